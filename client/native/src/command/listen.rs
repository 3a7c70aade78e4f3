//! `estafette listen`.
//!
//! A message is printed when it arrives; one that arrived while another command ran is printed at
//! the next start. For that the file `listened` in the profile holds the place, in the store, of the
//! last message that was printed. It is written after the printing: a message may be printed twice
//! when the command is killed between the two, and is never passed over.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use estafette::{Client, Contact, Event, Message, PhoneNumber, Profile, Status};
use tokio::time::timeout;

use super::motd;
use crate::args::{self, Args};
use crate::failure::Failure;
use crate::output::Output;
use crate::place;

/// How long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// More messages than a chat of seven days holds.
const MESSAGES_MAX: usize = 1_000_000;

pub(crate) async fn run(args: &Args, asked: &args::Listen, output: &Output) -> Result<(), Failure> {
    let profile = place::profile(args)?;
    let cursor = Cursor::in_profile(profile.directory());
    let (unseen, contacts) = unseen(&profile, &cursor)?;
    let motd = motd::news(profile.directory(), &profile.account().server).await;
    motd::show(motd.as_ref(), output)?;
    let client = estafette::connect(profile).await?;
    let left = asked.count.unwrap_or(u64::MAX);
    let strangers = HashSet::new();
    let mut listening =
        Listening { client, contacts, strangers, cursor, left, args, asked, output };
    let done = listening.run(unseen).await;
    if done.is_ok() {
        // What was printed is acknowledged, and said to be read, if that takes no time.
        let _ = timeout(GOODBYE, listening.client.flush()).await;
    }
    listening.client.close().await;
    done
}

struct Listening<'a> {
    client: Client,
    contacts: Vec<Contact>,
    /// Of whom it was said that nobody knows them.
    strangers: HashSet<PhoneNumber>,
    cursor: Cursor,
    left: u64,
    args: &'a Args,
    asked: &'a args::Listen,
    output: &'a Output,
}

impl Listening<'_> {
    async fn run(&mut self, unseen: Vec<Message>) -> Result<(), Failure> {
        for message in unseen {
            if self.left > 0 {
                self.print(&message).await?;
            }
        }
        let mut warned = false;
        while self.left > 0 {
            let event = tokio::select! {
                event = self.client.next() => event,
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            };
            match event {
                Some(Event::Received(message)) => self.print(&message).await?,
                Some(Event::Written(message)) => {
                    self.show(&message, false)?;
                }
                Some(Event::SignedOut(code)) => return Err(Failure::signed_out(code)),
                Some(event) => {
                    if matches!(event, Event::Disconnected { .. }) && !warned {
                        self.output.remark("There is no connection; it is tried again.");
                    }
                    warned = matches!(event, Event::Disconnected { .. });
                    self.output.event(&event, &self.contacts, false)?;
                }
                None => return Err(estafette::Error::Ended.into()),
            }
        }
        Ok(())
    }

    /// Prints a message. Whether somebody still reads the other end.
    fn show(&mut self, message: &Message, stranger: bool) -> Result<bool, Failure> {
        match self.output.message(message, &self.contacts, stranger) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.left = 0;
                Ok(false)
            }
            done => Ok(done.map(|()| true)?),
        }
    }

    async fn print(&mut self, message: &Message) -> Result<(), Failure> {
        let stranger = self.client.is_stranger(message.peer).await?;
        if !self.show(message, stranger)? {
            return Ok(());
        }
        if let Some(moved) = place::moved(self.args, message, &self.contacts) {
            self.output.remark(&moved);
        }
        if stranger && self.strangers.insert(message.peer) {
            self.output.remark(&place::stranger(self.args, message.peer));
        }
        self.left -= 1;
        self.cursor.advance(message.place)?;
        if self.asked.read {
            self.client.read(message.peer, message.id).await?;
        }
        Ok(())
    }
}

/// What arrived, was not read, and was not printed before.
fn unseen(profile: &Profile, cursor: &Cursor) -> Result<(Vec<Message>, Vec<Contact>), Failure> {
    let store = profile.open_store()?;
    let chats = store.chats()?;
    // A store that was deleted counts its places from the beginning.
    let newest = chats.iter().map(|chat| chat.last.place).max().unwrap_or(0);
    let printed = if cursor.place > newest { 0 } else { cursor.place };
    let mut unseen = Vec::new();
    for chat in chats.iter().filter(|chat| chat.unread > 0 && chat.last.place > printed) {
        // All of it: what is unread may lie between messages of one's own.
        let messages = store.history(chat.peer, MESSAGES_MAX)?;
        unseen.extend(messages.into_iter().filter(|message| {
            message.incoming && message.status == Status::Delivered && message.place > printed
        }));
    }
    unseen.sort_by_key(|message| message.place);
    Ok((unseen, place::names(&store)?))
}

struct Cursor {
    path: PathBuf,
    place: u64,
}

impl Cursor {
    fn in_profile(directory: &Path) -> Self {
        let path = directory.join("listened");
        let place = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        Self { path, place: place.unwrap_or(0) }
    }

    fn advance(&mut self, place: u64) -> io::Result<()> {
        self.place = place;
        fs::write(&self.path, format!("{place}\n"))
    }
}
