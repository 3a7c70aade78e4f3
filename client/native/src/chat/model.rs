//! What the chat shows. It changes with what happens and with what is typed, and does nothing by
//! itself: no terminal, no network, no clock.

use estafette::{
    Activity, Contact, Content, DeviceId, ErrorCode, Event, Message, MessageId, Millis, Moved,
    PhoneNumber, Status,
};
use jiff::tz::TimeZone;

use super::editor::Editor;
use crate::failure::{Failure, SUSPENDED, why_not_sent};
use crate::place;
use crate::text::{SUSPICIOUS, day, list_broken, local, one_line, time};

/// How long the connection may be away before it is worth a word.
const OFFLINE_UNNOTICED: Millis = 2000;
/// How much of a message to somebody else is shown in passing, in characters.
const PASSING_CHARACTERS: usize = 60;

/// Where what was not read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The place of the first of them.
    pub(crate) place: u64,
    /// How many they are.
    pub(crate) count: u64,
}

/// How the device stands with its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Connection {
    Connected,
    Away { since: Millis, retry_at: Option<Millis> },
    SignedOut(String),
}

/// Whether the peer is there, as far as they show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    /// When they were last there.
    Away(Millis),
}

/// How far up the user has gone. The view fills in the sizes when it draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scroll {
    /// Rows below the last one that is shown; 0 at the end.
    pub(crate) below: usize,
    /// Rows that all messages take.
    pub(crate) rows: usize,
    /// Rows that are shown.
    pub(crate) height: usize,
}

/// See the file's documentation.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) peer: PhoneNumber,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) messages: Vec<Message>,
    /// Whether the store has older ones.
    pub(crate) more: bool,
    pub(crate) unread: Option<Unread>,
    /// What to do about the peer, as long as nobody knows them here.
    pub(crate) stranger: Option<String>,
    pub(crate) connection: Connection,
    pub(crate) presence: Option<Presence>,
    /// What the peer does in the chat.
    pub(crate) activity: Activity,
    /// Whether what waited on the server is still coming.
    pub(crate) draining: bool,
    /// The place of the last message before the peer's keys changed.
    pub(crate) keys_changed: Option<u64>,
    pub(crate) notice: Option<String>,
    pub(crate) editor: Editor,
    pub(crate) scroll: Scroll,
    /// Messages that came while the user looked at older ones.
    pub(crate) below: u64,
    /// Whether the user looks, as far as the terminal tells.
    pub(crate) focused: bool,
    pub(crate) colour: bool,
    pub(crate) zone: TimeZone,
}

impl Model {
    pub(crate) fn new(peer: PhoneNumber, contacts: Vec<Contact>, now: Millis) -> Self {
        Self {
            peer,
            contacts,
            messages: Vec::new(),
            more: false,
            unread: None,
            stranger: None,
            connection: Connection::Away { since: now, retry_at: None },
            presence: None,
            activity: Activity::Paused,
            draining: false,
            keys_changed: None,
            notice: None,
            editor: Editor::default(),
            scroll: Scroll::default(),
            below: 0,
            focused: true,
            colour: true,
            zone: TimeZone::system(),
        }
    }

    /// Shows what the store holds, of which it was asked for `limit`.
    pub(crate) fn show(&mut self, messages: Vec<Message>, limit: usize) {
        self.more = messages.len() >= limit;
        self.messages = messages;
    }

    /// Marks where the messages that nobody has read begin.
    pub(crate) fn mark_unread(&mut self) {
        let unread = |message: &&Message| message.incoming && message.status == Status::Delivered;
        let mut messages = self.messages.iter().filter(unread);
        self.unread = messages
            .next()
            .map(|first| Unread { place: first.place, count: 1 + messages.count() as u64 });
    }

    /// What the peer is called.
    pub(crate) fn title(&self) -> String {
        place::name(self.peer, &self.contacts).map_or_else(|| self.peer.to_string(), str::to_owned)
    }

    /// What the peer does, or when they were last there.
    pub(crate) fn peer_state(&self, now: Millis) -> Option<String> {
        let at = match (self.activity, self.presence) {
            (Activity::Composing, _) => return Some("typing…".into()),
            (Activity::Recording, _) => return Some("recording…".into()),
            (Activity::Paused, Some(Presence::There)) => return Some("online".into()),
            (Activity::Paused, Some(Presence::Away(at))) => local(at, &self.zone),
            (Activity::Paused, None) => return None,
        };
        let (date, today) = (at.date(), local(now, &self.zone).date());
        Some(match day(date, today).as_str() {
            "Today" => format!("last seen {}", time(&at)),
            "Yesterday" => format!("last seen yesterday {}", time(&at)),
            day => format!("last seen {day} {}", time(&at)),
        })
    }

    /// A message of one's own, which the client has just taken.
    pub(crate) fn wrote(&mut self, id: MessageId, text: String, now: Millis) {
        let place = self.messages.last().map_or(1, |last| last.place + 1);
        self.messages.push(Message {
            place,
            peer: self.peer,
            device: DeviceId(0),
            id,
            incoming: false,
            body: text.into_bytes(),
            at: now,
            status: Status::Queued,
        });
        self.unread = None;
        self.stranger = None;
        self.notice = None;
        self.go_to_end();
    }

    pub(crate) fn go_to_end(&mut self) {
        self.scroll.below = 0;
        self.below = 0;
    }

    /// Goes up or, where `rows` is negative, down. Whether older messages are wanted.
    pub(crate) fn go_up(&mut self, rows: isize) -> bool {
        let highest = self.scroll.rows.saturating_sub(self.scroll.height);
        let wanted = self.scroll.below.saturating_add_signed(rows);
        self.scroll.below = wanted.min(highest);
        if self.scroll.below == 0 {
            self.below = 0;
        }
        wanted > highest && self.more
    }

    /// Something happened.
    pub(crate) fn apply(&mut self, event: Event, now: Millis) {
        match event {
            Event::Connected { .. } => {
                self.connection = Connection::Connected;
                self.draining = true;
            }
            Event::Drained => self.draining = false,
            Event::Disconnected { retry_at } => {
                (self.presence, self.activity) = (None, Activity::Paused);
                let since = match self.connection {
                    Connection::Away { since, .. } => since,
                    _ => now,
                };
                self.connection = Connection::Away { since, retry_at };
            }
            Event::SignedOut(code) => {
                self.connection = Connection::SignedOut(Failure::signed_out(code).message);
            }
            Event::Received(message) if message.peer == self.peer => self.received(message),
            Event::Received(message) => {
                let name = place::name(message.peer, &self.contacts);
                let who = name.map_or_else(|| message.peer.to_string(), str::to_owned);
                let text = one_line(&message.body, PASSING_CHARACTERS);
                self.notice = Some(format!("{who} writes: {text}"));
            }
            Event::Changed(message) if message.peer == self.peer => {
                let mut shown = self.messages.iter_mut();
                if let Some(shown) = shown.find(|shown| shown.place == message.place) {
                    *shown = message;
                }
            }
            Event::Vanished { peer, id } if peer == self.peer => {
                self.messages.retain(|message| !message.incoming || message.id != id);
            }
            Event::Written(message) if message.peer == self.peer => {
                self.unread = None;
                self.stranger = None;
                self.messages.push(message);
            }
            Event::ReadElsewhere { peer, ids } if peer == self.peer => {
                for message in &mut self.messages {
                    if message.incoming && ids.contains(&message.id) {
                        message.status = message.status.max(Status::Read);
                    }
                }
            }
            Event::Presence { peer, available, last_seen } if peer == self.peer => {
                let away = last_seen.map(Presence::Away);
                self.presence = if available { Some(Presence::There) } else { away };
            }
            Event::KeysChanged { peer, .. } | Event::KeyChanged { account: peer }
                if peer == self.peer =>
            {
                self.keys_changed = Some(self.messages.last().map_or(0, |last| last.place));
            }
            Event::Activity { peer, activity } if peer == self.peer => self.activity = activity,
            Event::Status { peer, id, status } if peer == self.peer => self.came(id, status),
            Event::Failed { peer, id, code } if peer == self.peer => {
                self.came(id, Status::Failed);
                self.complain("Not sent", code);
            }
            Event::Refused { peer, code, .. } if peer == self.peer => {
                // A device that writes fast waits its turn; that needs no word.
                if code != ErrorCode::RateLimited {
                    self.complain("Not sent yet", code);
                }
            }
            Event::ListBroken { account } if account == self.peer => {
                self.notice = Some(list_broken(&self.title()));
            }
            Event::Suspicious { .. } => self.notice = Some(SUSPICIOUS.into()),
            Event::Gap { peer, .. } if peer == self.peer => {
                self.notice = Some("Something that they sent before this never came.".into());
            }
            Event::StoreFailed(error) => self.notice = Some(format!("{error}.")),
            Event::Error(ErrorCode::Suspended) => self.notice = Some(format!("{SUSPENDED}.")),
            Event::Changed(_)
            | Event::Vanished { .. }
            | Event::Written(_)
            | Event::ReadElsewhere { .. }
            | Event::Presence { .. }
            | Event::KeysChanged { .. }
            | Event::KeyChanged { .. }
            | Event::ListBroken { .. }
            | Event::Forged { .. }
            | Event::Reachable
            | Event::Activity { .. }
            | Event::Status { .. }
            | Event::Failed { .. }
            | Event::Refused { .. }
            | Event::Gap { .. }
            | Event::Error(_) => {}
        }
    }

    fn received(&mut self, message: Message) {
        if let Ok(Content::Moved(Moved { to })) = message.content() {
            let who = self.title();
            self.notice = Some(format!("{who} has a new number: run `estafette chat {to}`."));
        }
        if self.draining || !self.focused {
            let unread = self.unread.get_or_insert(Unread { place: message.place, count: 0 });
            unread.count += 1;
        }
        if self.scroll.below > 0 {
            self.below += 1;
        }
        self.messages.push(message);
    }

    fn came(&mut self, id: MessageId, status: Status) {
        let mut own = self.messages.iter_mut().rev().filter(|message| !message.incoming);
        if let Some(message) = own.find(|message| message.id == id) {
            message.status = status;
        }
    }

    fn complain(&mut self, what: &str, code: ErrorCode) {
        self.notice = Some(format!("{what}: {}.", why_not_sent(code)));
    }

    /// What is to be said of the connection, if anything.
    pub(crate) fn banner(&self, now: Millis) -> Option<String> {
        match &self.connection {
            Connection::Connected => None,
            Connection::SignedOut(why) => Some(format!("{why}.")),
            Connection::Away { since, .. } if now.saturating_sub(*since) < OFFLINE_UNNOTICED => {
                None
            }
            Connection::Away { retry_at, .. } => {
                let wait = retry_at.map_or(0, |at| at.saturating_sub(now).div_ceil(1000));
                let next = match (retry_at, wait) {
                    (Some(_), 1..) => format!("trying again in {wait} s"),
                    (Some(_), 0) => "trying again".into(),
                    (None, _) => "connecting".into(),
                };
                Some(format!("No connection, {next}. What you write is kept and sent then."))
            }
        }
    }
}
