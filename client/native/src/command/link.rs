//! `estafette link`.

use std::time::{SystemTime, UNIX_EPOCH};

use estafette::limits::LINK_LIFE;
use estafette::{Millis, Profile};

use super::register;
use crate::args::{Args, Link};
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::text::count;
use crate::{place, qr};

pub(crate) async fn run(args: &Args, asked: &Link, output: &Output) -> Result<(), Failure> {
    let directory = place::directory(args)?;
    let server = register::server(asked.server.as_deref(), &directory)?;
    let linking = Profile::link(&directory, &server, &asked.name).await?;
    let (url, expires_at) = (linking.url().to_string(), linking.expires_at());
    output.line(&Line::Link { url: &url, expires_at }, || {
        format!(
            "Scan this with a device of your account. Or run `estafette devices link` on one, and\n\
             paste the address that stands beneath.\n\n{}\n\n\
             It is good for {}. Waiting for the approval…",
            qr::with_text(&url),
            good_for(expires_at)
        )
    })?;
    let profile = tokio::select! {
        profile = linking.collect() => profile?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            let message = "interrupted before a device approved: begin again";
            return Err(Failure::new(Exit::Interrupted, message));
        }
    };
    let account = profile.account();
    let number = account.number;
    let line = Line::Registered {
        number,
        device: account.device,
        server: account.server.address(),
        expires_at: account.expires_at,
    };
    let (chat, listen) = (place::example(args, "chat NUMBER"), place::example(args, "listen"));
    output.line(&line, || {
        format!(
            "This is now a device of {number}. What is sent to that number arrives here too, and\n\
             what you write here is seen on your other devices. Now try {chat} or\n{listen}."
        )
    })?;
    register::publish(profile, output).await;
    Ok(())
}

/// The time that is left, as far as this machine's clock is to be believed.
fn good_for(expires_at: Millis) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = u128::from(expires_at).saturating_sub(now.as_millis());
    let left = u64::try_from(left).unwrap_or(LINK_LIFE).min(LINK_LIFE);
    match left.div_ceil(1000) {
        0 => count(LINK_LIFE / 60_000, "minute"),
        seconds @ 1..=90 => count(seconds, "second"),
        seconds => count(seconds.div_ceil(60), "minute"),
    }
}
