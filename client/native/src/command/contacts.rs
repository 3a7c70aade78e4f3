//! `estafette contacts`.

use estafette::{ChatUrl, Contact, Profile};

use super::{find, mailbox};
use crate::args::{Args, Contacts};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::{place, qr};

pub(crate) async fn run(args: &Args, command: &Contacts, output: &Output) -> Result<(), Failure> {
    match command {
        Contacts::Share => return share(args, output),
        Contacts::Find { number, file } => {
            return find::run(args, number, file.as_deref(), output).await;
        }
        _ => {}
    }
    let profile = place::profile(args)?;
    let store = profile.open_store()?;
    let shown = |number, name: &str, text: String| -> Result<(), Failure> {
        let blocked = store.is_blocked(number)?;
        Ok(output.line(&Line::Contact { number, name, blocked }, || text)?)
    };
    match command {
        Contacts::List => {
            for Contact { number, name } in store.contacts()? {
                let blocked = if store.is_blocked(number)? { "  (blocked)" } else { "" };
                shown(number, &name, format!("{:<16}  {name}{blocked}", number.to_string()))?;
            }
            return Ok(());
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
        Contacts::Find { .. } | Contacts::Share => {}
    }
    mailbox::keep_in_step(profile.account(), &store, output).await
}

/// Nothing of the profile changes, so that it works beside a chat.
fn share(args: &Args, output: &Output) -> Result<(), Failure> {
    let number = Profile::account_in(&place::directory(args)?)?.number;
    let url = ChatUrl(number).to_string();
    output.line(&Line::ContactLink { number, url: &url }, || {
        format!(
            "Whoever scans this, or opens the link, can write to {number}.\n\n{}",
            qr::with_text(&url)
        )
    })?;
    Ok(())
}
