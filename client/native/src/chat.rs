//! `estafette chat`: one conversation on the terminal.
//!
//! One loop draws the model and waits for a key, an event of the client, or the time to draw again.

mod editor;
mod keys;
mod model;
mod plain;
mod terminal;
#[cfg(test)]
mod tests;
mod typing;
mod view;
mod wrap;

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream};
use estafette::{Client, Contact, Event, Millis, PhoneNumber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};

use self::keys::Action;
use self::model::{Connection, Model};
use self::terminal::Screen;
use self::typing::Typing;
use crate::args::{self, Args};
use crate::command::motd;
use crate::failure::Failure;
use crate::output::Output;
use crate::place;
use crate::text::count;

/// Messages that are shown at first, and that each look further back adds.
const PAGE_MESSAGES: usize = 300;
/// Events that are taken before the screen is drawn again.
const EVENTS_AT_ONCE: usize = 256;
/// How long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: &Args, asked: &args::Chat, output: &Output) -> Result<(), Failure> {
    let profile = place::profile(args)?;
    let store = profile.open_store()?;
    let contacts = store.contacts()?;
    let peer = place::peer(&asked.with, &contacts)?;
    if store.is_blocked(peer)? {
        return Err(place::blocked(args, peer, &contacts));
    }
    let names = place::names(&store)?;
    drop(store);
    if peer == profile.account().number {
        return Err(Failure::usage("this is your own number: chat with somebody else"));
    }
    let motd = motd::news(profile.directory(), &profile.account().server).await;
    let mut client = estafette::connect(profile).await?;
    let people = io::stdin().is_terminal() && io::stdout().is_terminal() && !output.is_json();
    let done = if people {
        on_terminal(&mut client, peer, names, args, motd.as_ref().map(motd::said)).await
    } else {
        motd::show(motd.as_ref(), output)?;
        plain::run(&mut client, peer, &names, args, output).await
    };
    client.open_chat(None).await?;
    // What was read is said to be read, if that takes no time.
    let _ = timeout(GOODBYE, client.flush()).await;
    let waiting = client.pending().await?.messages as u64;
    if waiting > 0 {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        let waiting = count(waiting, "message");
        output.remark(&format!("{waiting} {verb}, to be sent the next time estafette runs."));
    }
    client.close().await;
    done
}

async fn on_terminal(
    client: &mut Client,
    peer: PhoneNumber,
    names: Vec<Contact>,
    args: &Args,
    notice: Option<String>,
) -> Result<(), Failure> {
    let mut limit = PAGE_MESSAGES;
    let mut model = opened(client, peer, names, args).await?;
    model.notice = notice;
    client.set_available(true).await?;
    client.open_chat(Some(peer)).await?;
    let (handle, mut asked) = (client.handle(), false);
    let mut asking = pin!(handle.refresh_profile(peer));
    let mut typing = Typing::default();
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    let mut ended = pin!(ended());
    loop {
        screen.terminal.draw(|frame| view::draw(frame, &mut model, now()))?;
        let before = model.editor.text().to_owned();
        let mut rested = false;
        let action = tokio::select! {
            key = keys.next() => match key {
                Some(key) => typed(client, &mut model, key?).await?,
                None => Action::Leave,
            },
            event = client.next() => {
                heard_all(client, &mut model, event)?;
                Action::Nothing
            }
            profile = &mut asking, if !asked => {
                asked = true;
                // Where the server does not tell, what was known stands, and it is asked the next time.
                if profile.unwrap_or_default() {
                    model.contacts = place::printable(client.names().await?);
                }
                Action::Nothing
            }
            () = sleep(until_drawn_again(&model)) => Action::Nothing,
            () = typing.rest() => {
                rested = true;
                Action::Nothing
            }
            () = &mut ended => Action::Leave,
        };
        let leaves = action == Action::Leave;
        match action {
            Action::Nothing | Action::Leave => {}
            Action::Older => {
                limit += PAGE_MESSAGES;
                model.show(client.history(peer, limit).await?, limit);
            }
            Action::Send(text) => send(client, &mut model, text).await?,
        }
        let activity = if rested || leaves {
            typing.stopped()
        } else if model.editor.text() != before {
            typing.changed(model.editor.text(), Instant::now())
        } else {
            None
        };
        if let Some(activity) = activity {
            client.chat_state(peer, activity).await?;
        }
        if leaves {
            return Ok(());
        }
    }
}

/// What the chat shows at first.
async fn opened(
    client: &Client,
    peer: PhoneNumber,
    names: Vec<Contact>,
    args: &Args,
) -> Result<Model, Failure> {
    let mut model = Model::new(peer, names, now());
    if client.is_stranger(peer).await? {
        model.stranger = Some(place::stranger(args, peer));
    }
    model.colour = std::env::var_os("NO_COLOR").is_none();
    model.show(client.history(peer, PAGE_MESSAGES).await?, PAGE_MESSAGES);
    model.mark_unread();
    Ok(model)
}

async fn send(client: &Client, model: &mut Model, text: String) -> Result<(), Failure> {
    match client.send(model.peer, text.clone()).await {
        Ok(id) => {
            model.wrote(id, text, now());
            // Somebody who writes wants it to go, so the wait is over.
            client.connect().await?;
        }
        Err(error) => {
            model.editor.insert(&text);
            model.notice = Some(format!("{error}."));
        }
    }
    Ok(())
}

/// Something came from the terminal.
async fn typed(
    client: &Client,
    model: &mut Model,
    event: TerminalEvent,
) -> Result<Action, Failure> {
    match event {
        TerminalEvent::Key(key) => return Ok(keys::press(model, key)),
        TerminalEvent::Paste(text) => model.editor.insert(&text),
        // Nobody has read what came while nobody looked.
        TerminalEvent::FocusLost => {
            model.focused = false;
            client.open_chat(None).await?;
        }
        TerminalEvent::FocusGained => {
            model.focused = true;
            client.open_chat(Some(model.peer)).await?;
        }
        TerminalEvent::Resize(..) | TerminalEvent::Mouse(_) => {}
    }
    Ok(Action::Nothing)
}

/// Something happened, and maybe more before the screen is drawn again.
fn heard_all(client: &mut Client, model: &mut Model, event: Option<Event>) -> Result<(), Failure> {
    heard(model, event)?;
    for _ in 0..EVENTS_AT_ONCE {
        match client.next().now_or_never() {
            Some(event) => heard(model, event)?,
            None => break,
        }
    }
    Ok(())
}

fn heard(model: &mut Model, event: Option<Event>) -> Result<(), Failure> {
    match event {
        Some(event) => model.apply(event, now()),
        None => return Err(estafette::Error::Ended.into()),
    }
    Ok(())
}

/// The banner counts seconds; otherwise only the names of the days change.
fn until_drawn_again(model: &Model) -> Duration {
    match model.connection {
        Connection::Away { .. } => Duration::from_millis(500),
        _ => Duration::from_secs(60),
    }
}

/// Waits for the signals that end a program whose terminal goes away.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut hang_up), Ok(mut terminate)) =
            (signal(SignalKind::hangup()), signal(SignalKind::terminate()))
        {
            tokio::select! {
                _ = hang_up.recv() => return,
                _ = terminate.recv() => return,
            }
        }
    }
    std::future::pending().await
}

fn now() -> Millis {
    Millis::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
