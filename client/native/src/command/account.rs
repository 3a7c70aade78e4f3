//! `estafette devices`.

use estafette::Profile;

use crate::args::{Args, Devices};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::place;

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
                output.line(&Line::device(&device), || {
                    let connected = if device.connected { "connected" } else { "away" };
                    let current = if device.current { ", this one" } else { "" };
                    let since = output.when(device.registered_at);
                    let name = crate::text::one_line(device.name.as_bytes(), 64);
                    format!("{}  {name} ({connected}{current}), since {since}", device.id)
                })?;
            }
        }
        Devices::Remove { id } => {
            account.server.remove_device(&account.token, *id).await?;
            output.remark(&format!("{id} is removed."));
        }
    }
    Ok(())
}
