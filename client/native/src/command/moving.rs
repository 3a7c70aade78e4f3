//! `estafette account move`.
//!
//! The new number is registered first, and kept beside the old one in the profile. Then what waits at the old
//! one is fetched, people are told, and the server moves the account. What was done is found by the next run of
//! the command: the registration in the profile, that people are told in the store, that the account has moved
//! by the server's word that the old one is not there any more.

use std::time::Duration;

use estafette::{Account, Client, Error, ErrorCode, Event, Moving, PhoneNumber, Profile};
use tokio::time::{Instant, sleep, timeout};

use super::register::{self, Place, Registration};
use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::place;
use crate::text::count;

/// How long to wait for the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to ask again while something comes in.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(
    args: &Args,
    number: &str,
    code: Option<&str>,
    output: &Output,
) -> Result<(), Failure> {
    let to = place::number(number)?;
    let mut profile = place::profile(args)?;
    let from = profile.account().clone();
    let moving = match profile.moving()? {
        Some(moving) if moving.account.number == to => moving,
        Some(moving) => return Err(on_the_way(&profile, moving.account.number)),
        None if from.number == to => {
            output.remark(&format!("{to} is the number of this profile: nothing is left to move."));
            return Ok(());
        }
        None => {
            let name = check(&from, to, output).await?;
            let registration = Registration {
                place: Place::Beside(&profile),
                server: from.server.clone(),
                number: to,
                name: &name,
                again: place::example(args, &format!("account move {to} --code CODE")),
                output,
            };
            Moving { account: registration.run(code).await?, asked: false }
        }
    };
    if from.number != to {
        let asked = Moving { asked: true, ..moving.clone() };
        leave(profile, &from, &asked, moving.asked, output).await?;
        profile = place::profile(args)?;
    }
    profile.arrive(moving.account)?;
    output.line(&Line::Moved { from: from.number, to }, || {
        format!(
            "{} is now {to}. Link your other devices again, and set a PIN if you had one: {}.",
            from.number,
            place::example(args, "pin set")
        )
    })?;
    register::publish(profile, output).await;
    Ok(())
}

fn on_the_way(profile: &Profile, to: PhoneNumber) -> Failure {
    Failure::usage(format!(
        "this profile is on its way to {to}: finish that first, or delete moving.json in {}",
        profile.directory().display()
    ))
}

/// Whether the account may move, and what its device is called. Says what will come of it.
async fn check(from: &Account, to: PhoneNumber, output: &Output) -> Result<String, Failure> {
    let devices = from.server.devices(&from.token).await?.devices;
    let others = devices.iter().filter(|device| !device.current).count() as u64;
    let this = devices.into_iter().find(|device| device.current);
    let this = this.filter(|device| device.primary).ok_or_else(|| {
        let message = "only the account's primary device can move it: see `estafette devices list`";
        let code = Some(ErrorCode::NotPrimary);
        Failure { code, ..Failure::new(Exit::Refused, message) }
    })?;
    output.remark(&format!(
        "This moves {} to {to}. Those whom you know are told, and the old number is no longer registered.",
        from.number
    ));
    if others > 0 {
        let others = count(others, "other device");
        output.remark(&format!("{others} of yours will be signed out, to be linked again."));
    }
    Ok(this.name)
}

/// Fetches what waits, tells people, and has the server move the account.
async fn leave(
    profile: Profile,
    from: &Account,
    moving: &Moving,
    asked: bool,
    output: &Output,
) -> Result<(), Failure> {
    let directory = profile.directory().to_owned();
    let mut client = estafette::connect(profile).await?;
    let left = match drain(&mut client).await {
        Err(failure) if asked && failure.code == Some(ErrorCode::DeviceRemoved) => Ok(true),
        Err(failure) => Err(failure),
        Ok(()) => {
            let told = tell(&mut client, moving.account.number, output).await;
            told.map(|()| false)
        }
    };
    let done = match left {
        Ok(false) => {
            Profile::keep_moving(&directory, moving)?;
            ask(&mut client, from, &moving.account).await
        }
        Ok(true) => Ok(()),
        Err(failure) => Err(failure),
    };
    client.close().await;
    done.map_err(|failure| {
        if failure.exit != Exit::Unreachable {
            return failure;
        }
        let message = format!("{}; the same command goes on from there", failure.message);
        Failure { message, ..failure }
    })
}

/// Waits until all that waited is here.
async fn drain(client: &mut Client) -> Result<(), Failure> {
    let drained = async {
        loop {
            match client.next().await {
                Some(Event::Drained) => return Ok(()),
                Some(Event::SignedOut(code)) => return Err(Failure::signed_out(code)),
                Some(_) => {}
                None => return Err(Error::Ended.into()),
            }
        }
    };
    timeout(PATIENCE, drained).await.unwrap_or_else(|_| Err(unreachable()))
}

/// Tells people, and waits until the server has all that is to be sent.
async fn tell(client: &mut Client, to: PhoneNumber, output: &Output) -> Result<(), Failure> {
    let told = client.tell_moved(to).await? as u64;
    if told > 0 {
        output.remark(&format!("Telling {}.", count(told, "person").replace("persons", "people")));
    }
    let handle = client.handle();
    let flushed = async {
        let mut flush = std::pin::pin!(handle.flush());
        loop {
            tokio::select! {
                done = &mut flush => return Ok(done?),
                event = client.next() => match event {
                    Some(Event::SignedOut(code)) => return Err(Failure::signed_out(code)),
                    Some(_) => {}
                    None => return Err(Error::Ended.into()),
                },
            }
        }
    };
    timeout(PATIENCE, flushed).await.unwrap_or_else(|_| Err(unreachable()))
}

/// Asks until nothing comes in any more.
async fn ask(client: &mut Client, from: &Account, to: &Account) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match from.server.move_account(&from.token, &to.token).await {
            Err(Error::Refused(problem))
                if problem.error == ErrorCode::Waiting && Instant::now() < end => {}
            done => return Ok(done?),
        }
        // It is fetched meanwhile.
        let _ = timeout(PAUSE, async { while client.next().await.is_some() {} }).await;
        sleep(PAUSE).await;
    }
}

fn unreachable() -> Failure {
    Failure::new(Exit::Unreachable, "the server does not answer, or somebody cannot be told yet")
}
