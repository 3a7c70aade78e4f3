//! `estafette contacts`.

use estafette::{ChatUrl, Profile};

use crate::args::{Args, Contacts};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::{place, qr};

pub(crate) fn run(args: &Args, command: &Contacts, output: &Output) -> Result<(), Failure> {
    if matches!(command, Contacts::Share) {
        return share(args, output);
    }
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
        Contacts::Share => {}
    }
    Ok(())
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
