//! `estafette register`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use estafette::{Error, ErrorCode, PhoneNumber, Profile, Server};

use crate::args::{Args, Register};
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::place;

/// The server when none is named: where `cargo xtask dev` listens.
const SERVER: &str = "http://127.0.0.1:8787";
/// How often the code may be typed; the server allows a few more.
const TRIES: u32 = 3;

pub(crate) async fn run(args: &Args, asked: &Register, output: &Output) -> Result<(), Failure> {
    let number = place::number(&asked.number)?;
    let directory = place::directory(args)?;
    Profile::check_free_for(&directory, number)?;
    let server = server(asked.server.as_deref(), &directory)?;
    let register =
        async |code: &str| Profile::register(&directory, &server, number, code, &asked.name).await;
    let profile = if let Some(code) = &asked.code {
        register(code).await?
    } else {
        send_code(&server, number, output).await?;
        let mut tries = 1;
        loop {
            match register(&typed_code(args, number, output)?).await {
                Err(Error::Refused(problem))
                    if problem.error == ErrorCode::WrongCode
                        && tries < TRIES
                        && io::stdin().is_terminal() =>
                {
                    output.remark("That is not the code. Look again, and type its six digits.");
                    tries += 1;
                }
                done => break done?,
            }
        }
    };
    let account = profile.account();
    let line = Line::Registered {
        number,
        device: account.device,
        server: account.server.address(),
        expires_at: account.expires_at,
    };
    let chat = place::example(args, "chat NUMBER");
    output.line(&line, || format!("{number} is registered. Now try {chat}."))?;
    Ok(())
}

/// The server that was named, the profile's, or the one of a developer.
pub(super) fn server(named: Option<&str>, directory: &Path) -> Result<Server, Failure> {
    Ok(match (named, Profile::account_in(directory)) {
        (Some(address), _) => Server::new(address)?,
        (None, Ok(account)) => account.server,
        (None, Err(_)) => Server::new(SERVER)?,
    })
}

async fn send_code(server: &Server, number: PhoneNumber, output: &Output) -> Result<(), Failure> {
    let sent = server.request_code(number).await?;
    let (resend_after, expires_at) = (sent.resend_after, sent.expires_at);
    let line = Line::CodeSent { number, resend_after, expires_at };
    output.line(&line, || format!("A code of six digits is on its way to {number}."))?;
    Ok(())
}

/// Reads the code from standard input. The runtime has other threads, so waiting here is harmless.
fn typed_code(args: &Args, number: PhoneNumber, output: &Output) -> Result<String, Failure> {
    if io::stdin().is_terminal() && !output.is_json() {
        print!("Code: ");
        io::stdout().flush()?;
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let code: String = line.chars().filter(char::is_ascii_digit).collect();
    if code.is_empty() {
        let again = place::example(args, &format!("register {number} --code CODE"));
        let message = format!("no code was given: when it arrives, run {again}");
        return Err(Failure::new(Exit::NotRegistered, message));
    }
    Ok(code)
}
