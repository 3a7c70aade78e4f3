//! `estafette account`: what the server holds is its owner's.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use estafette::{PhoneNumber, Profile};

use crate::args::{self, Args};
use crate::failure::Failure;
use crate::output::Output;
use crate::place;

/// More than the longest number has.
const LINE_BYTES_MAX: u64 = 64;

pub(crate) async fn run(
    args: &Args,
    command: &args::Account,
    output: &Output,
) -> Result<(), Failure> {
    // Nothing of the profile changes, so that it works beside a chat.
    let directory = place::directory(args)?;
    let account = Profile::account_in(&directory)?;
    match command {
        args::Account::Export => {
            let export = account.server.export(&account.token).await?;
            let mut out = io::stdout().lock();
            serde_json::to_writer_pretty(&mut out, &export).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        args::Account::Move { number, code } => {
            return super::moving::run(args, number, code.as_deref(), output).await;
        }
        args::Account::Delete { number } => {
            let typed = number.clone().map_or_else(|| asked(account.number, output), Ok)?;
            if place::number(&typed)? != account.number {
                let message = format!("that is not {}: nothing was deleted", account.number);
                return Err(Failure::usage(message));
            }
            account.server.delete_account(&account.token).await?;
            output.remark(&format!(
                "{} is deleted from the server. What this machine keeps is in {}.",
                account.number,
                directory.display()
            ));
        }
    }
    Ok(())
}

/// Has the number typed.
fn asked(number: PhoneNumber, output: &Output) -> Result<String, Failure> {
    if io::stdin().is_terminal() && !output.is_json() {
        print!("This deletes {number} from the server, for good. Type the number to go on: ");
        io::stdout().flush()?;
    }
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
