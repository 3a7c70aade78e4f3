//! `estafette devices`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use estafette::{Device, Error, LinkUrl, Profile, UrlError};
use jiff::tz::TimeZone;

use crate::args::{Args, Devices, device_name};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::place;
use crate::text::{local, one_line};

/// More than the longest address has.
const LINE_BYTES_MAX: u64 = 4096;
/// How much of a device's name is shown, in characters.
const NAME_CHARACTERS: usize = 64;

pub(crate) async fn devices(
    args: &Args,
    command: &Devices,
    output: &Output,
) -> Result<(), Failure> {
    // Nothing of the profile changes, so that it works beside a chat.
    let account = Profile::account_in(&place::directory(args)?)?;
    match command {
        Devices::List => {
            for device in account.server.devices(&account.token).await?.devices {
                output.line(&Line::device(&device), || described(&device, output))?;
            }
        }
        Devices::Link { url } => {
            let url = url.clone().map_or_else(|| pasted(output), Ok)?;
            let (server, token) = (&account.server, &account.token);
            let secrets = Profile::secrets_in(&place::directory(args)?)?;
            let sealed = secrets.account.hand_over(url.identity_key(), url.code());
            let sealed = sealed.ok_or(Error::from(UrlError::Part("key")))?;
            let (code, key) = (url.code(), url.identity_key());
            let device = server.approve(token, code, url.name(), key, Some(&sealed)).await?;
            let (name, number) = (url.name(), account.number);
            output.line(&Line::Linked { device, name }, || {
                let name = one_line(name.as_bytes(), NAME_CHARACTERS);
                let remove = place::example(args, &format!("devices remove {device}"));
                format!(
                    "{name} is now a device of {number}: it reads and writes as you do.\n\
                     If you did not want that, {remove} ends it."
                )
            })?;
        }
        Devices::Rename { id, name } => {
            let name = device_name(&name.join(" ")).map_err(Failure::usage)?;
            account.server.rename_device(&account.token, *id, &name).await?;
            output.remark(&format!("{id} is now called {name}."));
        }
        Devices::Remove { id } => {
            account.server.remove_device(&account.token, *id).await?;
            output.remark(&format!("{id} is removed."));
        }
    }
    Ok(())
}

/// Reads an address from standard input.
fn pasted(output: &Output) -> Result<LinkUrl, Failure> {
    if io::stdin().is_terminal() && !output.is_json() {
        print!("Address: ");
        io::stdout().flush()?;
    }
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line)?;
    line.parse().map_err(|error: UrlError| Failure::usage(error.to_string()))
}

fn described(device: &Device, output: &Output) -> String {
    let name = one_line(device.name.as_bytes(), NAME_CHARACTERS);
    let states = [
        Some(if device.connected { "connected" } else { "away" }),
        device.primary.then_some("primary"),
        device.current.then_some("this one"),
    ];
    let states: Vec<_> = states.into_iter().flatten().collect();
    let since = output.when(device.registered_at);
    // The server knows the day, as it is in Greenwich.
    let seen = device.seen_at.filter(|_| !device.connected).map(|day| local(day, &TimeZone::UTC));
    let seen = seen.map(|day| day.strftime(", last seen %-d %B %Y").to_string());
    let (id, states) = (device.id, states.join(", "));
    format!("{id}  {name} ({states}), since {since}{}", seen.unwrap_or_default())
}
