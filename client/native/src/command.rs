//! The commands, one file each where they are long.

mod account;
mod contacts;
mod fetch;
mod find;
mod link;
mod listen;
mod mailbox;
pub(crate) mod motd;
mod moving;
mod overview;
mod ownership;
mod pin;
mod privacy;
mod profile;
mod progress;
mod register;
mod report;
mod send;
mod send_files;
mod verify;

use clap::CommandFactory as _;

pub(crate) use self::overview::Overview;
use crate::args::{Args, Command, History};
use crate::chat;
use crate::failure::Failure;
use crate::output::Output;
use crate::place;

/// Runs the command.
pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Register(register) => register::run(&args, register, output).await,
        Command::Link(link) => link::run(&args, link, output).await,
        Command::Send(send) => send::run(&args, send, output).await,
        Command::Fetch(fetch) => fetch::run(&args, fetch, output).await,
        Command::Chat(chat) => chat::run(&args, chat, output).await,
        Command::Listen(listen) => listen::run(&args, listen, output).await,
        Command::History(asked) => history(&args, asked, output),
        Command::Contacts(command) => contacts::run(&args, command, output).await,
        Command::Privacy(asked) => privacy::run(&args, asked, output).await,
        Command::Profile(asked) => profile::run(&args, asked, output).await,
        Command::Block { who } => privacy::block(&args, who, true, output).await,
        Command::Unblock { who } => privacy::block(&args, who, false, output).await,
        Command::Report(report) => report::run(&args, report, output).await,
        Command::Devices(command) => account::devices(&args, command, output).await,
        Command::Account(command) => ownership::run(&args, command, output).await,
        Command::Pin { command } => pin::run(&args, command.as_ref(), output).await,
        Command::Verify { who, same, different } => {
            let verified = same.then_some(true).or(different.then_some(false));
            verify::run(&args, who, verified, output)
        }
        Command::Status => overview::run(&args, output).await,
        Command::Completions { shell } => {
            let mut command = Args::command();
            clap_complete::generate(*shell, &mut command, "estafette", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn history(args: &Args, asked: &History, output: &Output) -> Result<(), Failure> {
    let store = place::profile(args)?.open_store()?;
    let peer = place::peer(&asked.with, &store.contacts()?)?;
    let contacts = place::names(&store)?;
    let stranger = store.is_stranger(peer)?;
    let messages = store.history(peer, asked.limit)?;
    for message in &messages {
        output.message(message, &contacts, stranger)?;
    }
    if let Some(moved) =
        messages.iter().rev().find_map(|message| place::moved(args, message, &contacts))
    {
        output.remark(&moved);
    }
    if store.is_blocked(peer)? {
        output.remark(&format!("{}.", place::blocked(args, peer, &contacts).message));
    } else if stranger && !messages.is_empty() {
        output.remark(&place::stranger(args, peer));
    }
    Ok(())
}
