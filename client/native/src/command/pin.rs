//! `estafette pin`: what the number takes to be registered again, beside the code.

use estafette::{PinKey, Profile};

use crate::args::{Args, Pin};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::{place, secret};

pub(crate) async fn run(
    args: &Args,
    command: Option<&Pin>,
    output: &Output,
) -> Result<(), Failure> {
    // Nothing of the profile changes, so that it works beside a chat.
    let account = Profile::account_in(&place::directory(args)?)?;
    let (server, token) = (&account.server, &account.token);
    match command {
        None => {
            let set = server.has_pin(token).await?;
            output.line(&Line::Pin { set }, || match set {
                true => format!("{} has a registration PIN.", account.number),
                false => format!(
                    "{} has no registration PIN: whoever gets a code that is sent to it can register \
                     it. {} sets one.",
                    account.number,
                    place::example(args, "pin set")
                ),
            })?;
        }
        Some(Pin::Set) => {
            let typed = secret::ask("New PIN")?;
            let pin = PinKey::derive(account.number, &typed).map_err(wrong)?;
            if secret::is_typed() && secret::ask("The same again")? != typed {
                return Err(Failure::usage("that was another one: nothing was set"));
            }
            server.set_pin(token, &pin).await?;
            output.line(&Line::Pin { set: true }, || {
                format!(
                    "From now on, {} takes this PIN to be registered again. Nobody can tell it to you:\n\
                     if you forget it, the number opens once none of your devices was there for seven days.",
                    account.number
                )
            })?;
        }
        Some(Pin::Remove) => {
            server.remove_pin(token).await?;
            output.line(&Line::Pin { set: false }, || {
                format!("{} takes no PIN any more to be registered again.", account.number)
            })?;
        }
    }
    Ok(())
}

pub(super) fn wrong(error: estafette::PinError) -> Failure {
    match error {
        estafette::PinError::Form => Failure::usage(error.to_string()),
        estafette::PinError::Memory => {
            Failure::new(crate::failure::Exit::Failed, error.to_string())
        }
    }
}
