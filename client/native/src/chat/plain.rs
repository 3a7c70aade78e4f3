//! The chat without a terminal: each line of standard input is sent, each message is printed. It
//! ends with the input, when the server has everything.

use std::pin::pin;
use std::time::Duration;

use estafette::{Client, Contact, Event, Handle, PhoneNumber};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::time::timeout;

use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::place;

/// How long to wait for the server once the input has ended.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    client: &mut Client,
    peer: PhoneNumber,
    contacts: &[Contact],
    args: &Args,
    output: &Output,
) -> Result<(), Failure> {
    let mut hearing =
        Hearing { client: client.handle(), peer, contacts, said: false, args, output };
    client.set_available(true).await?;
    client.open_chat(Some(peer)).await?;
    let asking = client.handle();
    // What they call themselves is shown the next time.
    tokio::spawn(async move { asking.refresh_profile(peer).await });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(input) = next(client, &mut lines).await? {
        match input {
            Next::Line(line) if line.trim().is_empty() => {}
            Next::Line(line) => {
                client.send(peer, line).await?;
            }
            Next::Event(event) => hearing.hear(&event).await?,
        }
    }
    let flushed = client.handle();
    let mut flushing = pin!(timeout(PATIENCE, flushed.flush()));
    loop {
        tokio::select! {
            done = &mut flushing => match done {
                Ok(done) => return Ok(done?),
                Err(_) => return Err(Failure::new(Exit::Timeout,
                    "the server does not answer: what waits is sent the next time estafette runs")),
            },
            event = client.next() => match event {
                Some(event) => hearing.hear(&event).await?,
                None => return Err(estafette::Error::Ended.into()),
            },
        }
    }
}

enum Next {
    Line(String),
    Event(Event),
}

/// What comes next; nothing when the input has ended or Ctrl-C was pressed.
async fn next(
    client: &mut Client,
    lines: &mut Lines<BufReader<Stdin>>,
) -> Result<Option<Next>, Failure> {
    tokio::select! {
        line = lines.next_line() => Ok(line?.map(Next::Line)),
        event = client.next() => match event {
            Some(event) => Ok(Some(Next::Event(event))),
            None => Err(estafette::Error::Ended.into()),
        },
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Ok(None)
        }
    }
}

struct Hearing<'a> {
    client: Handle,
    peer: PhoneNumber,
    contacts: &'a [Contact],
    /// Whether it was said that nobody knows the peer here.
    said: bool,
    args: &'a Args,
    output: &'a Output,
}

impl Hearing<'_> {
    async fn hear(&mut self, event: &Event) -> Result<(), Failure> {
        let stranger = match event {
            Event::Received(message) | Event::Written(message)
                if message.peer != self.peer && !self.output.is_json() =>
            {
                return Ok(());
            }
            Event::SignedOut(code) => return Err(Failure::signed_out(*code)),
            Event::Received(message) => self.client.is_stranger(message.peer).await?,
            _ => false,
        };
        self.output.event(event, self.contacts, stranger)?;
        if stranger && !std::mem::replace(&mut self.said, true) {
            self.output.remark(&place::stranger(self.args, self.peer));
        }
        Ok(())
    }
}
