//! The commands, one file each where they are long.

mod account;
mod fetch;
mod listen;
mod overview;
mod progress;
mod register;
mod send;
mod send_files;

use clap::CommandFactory as _;

pub(crate) use self::overview::Overview;
use crate::args::{Args, Command, Contacts, History};
use crate::chat;
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::place;

/// Runs the command.
pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Register(register) => register::run(&args, register, output).await,
        Command::Send(send) => send::run(&args, send, output).await,
        Command::Fetch(fetch) => fetch::run(&args, fetch, output).await,
        Command::Chat(chat) => chat::run(&args, chat, output).await,
        Command::Listen(listen) => listen::run(&args, listen, output).await,
        Command::History(asked) => history(&args, asked, output),
        Command::Contacts(command) => contacts(&args, command, output),
        Command::Devices(command) => account::devices(&args, command, output).await,
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
    let contacts = store.contacts()?;
    let peer = place::peer(&asked.with, &contacts)?;
    for message in store.history(peer, asked.limit)? {
        output.message(&message, &contacts)?;
    }
    Ok(())
}

fn contacts(args: &Args, command: &Contacts, output: &Output) -> Result<(), Failure> {
    let store = place::profile(args)?.open_store()?;
    let shown =
        |number, name: &str, text: String| output.line(&Line::Contact { number, name }, || text);
    match command {
        Contacts::List => {
            for contact in store.contacts()? {
                let text = format!("{:<16}  {}", contact.number.to_string(), contact.name);
                shown(contact.number, &contact.name, text)?;
            }
        }
        Contacts::Add { number, name } => {
            let (number, name) = (place::number(number)?, name.join(" "));
            let name = name.trim();
            if name.is_empty() || place::number(name).is_ok() {
                return Err(Failure::usage("give a name that is no number"));
            }
            store.set_contact(number, name)?;
            shown(number, name, format!("{number} is called {name}."))?;
        }
        Contacts::Remove { who } => {
            let known = store.contacts()?;
            let number = place::peer(who, &known)?;
            let Some(name) = place::name(number, &known) else {
                return Err(Failure::usage(format!("{number} is not in the contacts")));
            };
            store.set_contact(number, "")?;
            shown(number, "", format!("{name} is no longer a contact; {number} keeps the chat."))?;
        }
    }
    Ok(())
}
