//! What commands print: lines for people, or one JSON object a line (`--json`).
//!
//! The objects are for programs: fields and types are only ever added. Times are milliseconds since
//! the Unix epoch.

use std::io::{self, IsTerminal, Write};

use data_encoding::{BASE64, HEXLOWER};
use estafette::{
    Activity, Attribute, Audience, Contact, Content, Device, DeviceId, ErrorCode, Event, Media,
    MediaId, Message, MessageId, Millis, Moved, PhoneNumber, ReportReason, Status,
};
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::failure::{Failure, SUSPENDED, why_not_sent};
use crate::place;
use crate::text::{SUSPICIOUS, keys_changed, list_broken, local, mark, says, time};

/// One JSON object.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// A message that says `text`, or tells of `media`, or that its sender has `moved` to another number;
    /// `body` in base64 where it is none of them. `name` begins with a tilde where it is what they call
    /// themselves.
    Message {
        peer: PhoneNumber,
        name: Option<&'a str>,
        incoming: bool,
        id: MessageId,
        at: Millis,
        #[serde(serialize_with = "as_text")]
        status: Status,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        media: Option<Box<FileLine>>,
        /// The sender's new number.
        #[serde(skip_serializing_if = "Option::is_none")]
        moved: Option<PhoneNumber>,
        /// Why this device cannot open it.
        #[serde(skip_serializing_if = "Option::is_none")]
        unopened: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// Whether nobody knows its sender here. Left out where somebody does.
        #[serde(skip_serializing_if = "is_false")]
        stranger: bool,
    },
    /// A file is on its way. `of` is the stage: `reading`, `moving` or `waiting`.
    Progress {
        file: &'a str,
        of: &'static str,
        done: u64,
        total: Option<u64>,
        bytes_per_second: Option<u64>,
        seconds_left: Option<u64>,
    },
    /// A file was fetched.
    Fetched { peer: PhoneNumber, id: MessageId, path: &'a str },
    /// A message of one's own has come further.
    Status {
        peer: PhoneNumber,
        id: MessageId,
        #[serde(serialize_with = "as_text")]
        status: Status,
    },
    /// A message of one's own was given up.
    Failed { peer: PhoneNumber, id: MessageId, code: ErrorCode },
    /// Messages of a peer were read on another device of this account.
    ReadElsewhere { peer: PhoneNumber, ids: &'a [MessageId] },
    /// Whether the peer of the open chat is there.
    Presence { peer: PhoneNumber, available: bool, last_seen: Option<Millis> },
    /// A peer registered their number again: their keys are others now.
    KeysChanged { peer: PhoneNumber, at: Millis },
    /// An account's key is another than it was: what was compared does not hold any more.
    KeyChanged { peer: PhoneNumber },
    /// What two people compare: 60 digits.
    Safety { peer: PhoneNumber, number: &'a str, verified: bool },
    /// The server, or somebody in a conversation, did what nobody honest does: `list_broken`,
    /// `suspicious` or `forged`.
    Warning { about: &'static str, peer: Option<PhoneNumber> },
    /// What could not be opened was nothing for people.
    Vanished { peer: PhoneNumber, id: MessageId },
    /// Others can write to this device.
    Reachable,
    /// The account has another number.
    Moved { from: PhoneNumber, to: PhoneNumber },
    /// Whether the account has a registration PIN.
    Pin { set: bool },
    /// What a peer does in the chat: `composing`, `recording` or `paused`.
    Activity { peer: PhoneNumber, activity: Activity },
    /// Messages before this one never came.
    Gap { peer: PhoneNumber, id: MessageId, last: u64 },
    /// The server does not take messages for this peer yet; they are sent again.
    Refused { peer: PhoneNumber, code: ErrorCode, retry_at: Millis },
    /// The server greeted this device.
    Connected { waiting: u64 },
    /// All that waited has come.
    Drained,
    /// There is no connection.
    Disconnected { retry_at: Option<Millis> },
    /// This device may not connect any more.
    SignedOut { code: ErrorCode },
    /// A code is on its way.
    CodeSent { number: PhoneNumber, resend_after: Millis, expires_at: Millis },
    /// The number is this device's.
    Registered { number: PhoneNumber, device: DeviceId, server: &'a str, expires_at: Millis },
    /// What a new device shows, to be approved.
    Link { url: &'a str, expires_at: Millis },
    /// A new device was approved.
    Linked { device: DeviceId, name: &'a str },
    /// What somebody shows, to be written to.
    ContactLink { number: PhoneNumber, url: &'a str },
    /// Somebody who has a name. `blocked` is left out where they are not, as far as is known here.
    Contact {
        number: PhoneNumber,
        name: &'a str,
        #[serde(skip_serializing_if = "is_false")]
        blocked: bool,
    },
    /// Somebody who was looked up and found.
    Found { number: PhoneNumber, name: Option<&'a str> },
    /// Who may see what: `everyone`, `contacts` or `nobody`.
    Privacy {
        last_seen: Audience,
        online: Audience,
        read_marks: Audience,
        profile: Audience,
        number: Audience,
    },
    /// What somebody says of themselves, of version 0 where they show nothing; or what is said here.
    Profile {
        number: PhoneNumber,
        version: u64,
        name: &'a str,
        about: &'a str,
        /// Null where there is none, or it can't be read.
        picture: Option<PictureLine>,
    },
    /// A picture was fetched.
    Picture { number: PhoneNumber, path: &'a str },
    /// Somebody of whom the server was told something.
    Person {
        number: PhoneNumber,
        name: Option<&'a str>,
        contact: bool,
        blocked: bool,
        /// For what the audience means the opposite: `last_seen`, `online`, `read_marks`, `profile`,
        /// `number`.
        except: &'a [Attribute],
    },
    /// A device of the account.
    Device {
        id: DeviceId,
        name: &'a str,
        registered_at: Millis,
        connected: bool,
        current: bool,
        primary: bool,
        /// Midnight UTC of the day; null where it never connected.
        seen_at: Option<Millis>,
    },
    /// Somebody was reported to whoever runs the server, with so many messages.
    Reported { number: PhoneNumber, reason: ReportReason, messages: usize },
    /// The message of the day, where it is new.
    Motd { text: &'a str, since: Millis },
    /// How things are.
    Overview(&'a crate::command::Overview),
    /// What went wrong, on standard error when it ends the command.
    Error { code: Option<ErrorCode>, message: &'a str },
}

/// A picture as a profile tells of it, without its key.
#[derive(Debug, Serialize)]
pub(crate) struct PictureLine {
    pub(crate) size: u64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
}

/// A file as a message tells of it, without its key.
#[derive(Debug, Serialize)]
pub(crate) struct FileLine {
    id: MediaId,
    size: u64,
    /// SHA-256 of the encrypted file, in hexadecimal.
    digest: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbhash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
}

impl FileLine {
    fn of(media: Media) -> Self {
        let about = media.about;
        let (width, height) = about.dimensions.unzip();
        Self {
            id: media.id,
            size: media.size,
            digest: HEXLOWER.encode(&media.digest),
            media_type: about.media_type,
            name: about.name,
            width,
            height,
            duration: about.duration,
            thumbhash: about.thumbhash.map(|hash| BASE64.encode(&hash)),
            caption: about.caption,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(is: &bool) -> bool {
    !is
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn as_text<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_str())
}

impl<'a> Line<'a> {
    fn message(message: &'a Message, name: Option<&'a str>, stranger: bool) -> Self {
        let (mut text, mut media, mut moved, mut unopened, mut body) =
            (None, None, None, None, None);
        match message.content() {
            Ok(Content::Text(says)) => text = Some(says),
            Ok(Content::Media(file)) => media = Some(Box::new(FileLine::of(*file))),
            Ok(Content::Moved(Moved { to })) => moved = Some(to),
            Ok(Content::Unopened(why)) => unopened = Some(why.as_str()),
            _ => body = Some(BASE64.encode(&message.body)),
        }
        Self::Message {
            peer: message.peer,
            name,
            incoming: message.incoming,
            id: message.id,
            at: message.at,
            status: message.status,
            text,
            media,
            moved,
            unopened,
            body,
            stranger,
        }
    }

    pub(crate) fn device(device: &'a Device) -> Self {
        Self::Device {
            id: device.id,
            name: &device.name,
            registered_at: device.registered_at,
            connected: device.connected,
            current: device.current,
            primary: device.primary,
            seen_at: device.seen_at,
        }
    }

    fn event(event: &'a Event, contacts: &'a [Contact], stranger: bool) -> Self {
        match *event {
            Event::Connected { waiting } => Self::Connected { waiting },
            Event::Drained => Self::Drained,
            Event::Disconnected { retry_at } => Self::Disconnected { retry_at },
            Event::Received(ref message)
            | Event::Changed(ref message)
            | Event::Written(ref message) => {
                Self::message(message, place::name(message.peer, contacts), stranger)
            }
            Event::Status { peer, id, status } => Self::Status { peer, id, status },
            Event::ReadElsewhere { peer, ref ids } => Self::ReadElsewhere { peer, ids },
            Event::Presence { peer, available, last_seen } => {
                Self::Presence { peer, available, last_seen }
            }
            Event::KeysChanged { peer, at } => Self::KeysChanged { peer, at },
            Event::KeyChanged { account } => Self::KeyChanged { peer: account },
            Event::ListBroken { account } => {
                Self::Warning { about: "list_broken", peer: Some(account) }
            }
            Event::Suspicious { .. } => Self::Warning { about: "suspicious", peer: None },
            Event::Forged { from, .. } => Self::Warning { about: "forged", peer: Some(from) },
            Event::Reachable => Self::Reachable,
            Event::Vanished { peer, id } => Self::Vanished { peer, id },
            Event::Activity { peer, activity } => Self::Activity { peer, activity },
            Event::Failed { peer, id, code } => Self::Failed { peer, id, code },
            Event::Gap { peer, id, last } => Self::Gap { peer, id, last },
            Event::Refused { peer, code, retry_at } => Self::Refused { peer, code, retry_at },
            Event::SignedOut(code) => Self::SignedOut { code },
            Event::StoreFailed(_) => {
                Self::Error { code: None, message: "the message store failed; it is tried again" }
            }
            Event::Error(code) => Self::Error { code: Some(code), message: code.as_str() },
        }
    }
}

/// Where commands print.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    zone: TimeZone,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, zone: TimeZone::system(), colour }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints an object, or what people see in its place.
    pub(crate) fn line(&self, line: &Line<'_>, people: impl FnOnce() -> String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")?;
        } else {
            writeln!(out, "{}", people())?;
        }
        out.flush()
    }

    /// Prints what only people want to know.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            // Nothing is to be done about a standard error that is closed.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Prints a message: the time, who, what. `stranger` says that nobody knows who.
    pub(crate) fn message(
        &self,
        message: &Message,
        contacts: &[Contact],
        stranger: bool,
    ) -> io::Result<()> {
        self.message_after("", message, contacts, stranger)
    }

    /// The same after a word.
    pub(crate) fn message_after(
        &self,
        word: &str,
        message: &Message,
        contacts: &[Contact],
        stranger: bool,
    ) -> io::Result<()> {
        let name = place::name(message.peer, contacts);
        let word = if word.is_empty() { String::new() } else { format!("{word}  ") };
        self.line(&Line::message(message, name, stranger), || {
            let at = local(message.at, &self.zone);
            let who = match name {
                _ if !message.incoming => "me".to_owned(),
                Some(name) => name.to_owned(),
                None => message.peer.to_string(),
            };
            let lead = format!("{word}{} {} {who}: ", at.date(), time(&at));
            let indent = " ".repeat(unicode_width::UnicodeWidthStr::width(lead.as_str()));
            let text = says(&message.body).trim_end().replace('\n', &format!("\n{indent}"));
            if message.incoming {
                return format!("{lead}{text}");
            }
            format!("{lead}{text} {}", self.mark(message.status))
        })
    }

    /// An event, for programs. People see what they need to know of it. `stranger` is about a message.
    pub(crate) fn event(
        &self,
        event: &Event,
        contacts: &[Contact],
        stranger: bool,
    ) -> io::Result<()> {
        if self.json {
            return self.line(&Line::event(event, contacts, stranger), String::new);
        }
        match event {
            Event::Received(message) | Event::Changed(message) | Event::Written(message) => {
                self.message(message, contacts, stranger)?;
            }
            Event::Failed { code, .. } => {
                self.remark(&format!("Not sent: {}.", why_not_sent(*code)));
            }
            Event::Refused { code, .. } => self.remark(&format!("Waits: {}.", why_not_sent(*code))),
            Event::Gap { peer, .. } => {
                let who =
                    place::name(*peer, contacts).map_or_else(|| peer.to_string(), str::to_owned);
                self.remark(&format!("Something that {who} sent before this never came."));
            }
            Event::KeysChanged { peer, .. } | Event::KeyChanged { account: peer } => {
                let who =
                    place::name(*peer, contacts).map_or_else(|| peer.to_string(), str::to_owned);
                self.remark(&keys_changed(&who));
            }
            Event::ListBroken { account } => {
                let who = place::name(*account, contacts)
                    .map_or_else(|| account.to_string(), str::to_owned);
                self.remark(&list_broken(&who));
            }
            Event::Suspicious { .. } => self.remark(SUSPICIOUS),
            Event::StoreFailed(error) => self.remark(&format!("{error}.")),
            Event::Error(ErrorCode::Suspended) => self.remark(&format!("{SUSPENDED}.")),
            _ => {}
        }
        Ok(())
    }

    /// A mark, blue where it was read.
    pub(crate) fn mark(&self, status: Status) -> String {
        match status {
            Status::Read | Status::Played if self.colour => {
                format!("\x1b[94m{}\x1b[0m", mark(status))
            }
            Status::Read | Status::Played => format!("{} read", mark(status)),
            _ => mark(status).to_owned(),
        }
    }

    /// A moment, for people.
    pub(crate) fn when(&self, at: Millis) -> String {
        local(at, &self.zone).strftime("%-d %B %Y %H:%M").to_string()
    }

    /// Says on standard error why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut error = io::stderr().lock();
        let message = failure.message.as_str();
        // Nothing is to be done about a standard error that is closed.
        let _ = if self.json {
            let line = Line::Error { code: failure.code, message };
            serde_json::to_writer(&mut error, &line)
                .map_err(Into::into)
                .and_then(|()| writeln!(error))
        } else {
            writeln!(error, "estafette: {}.", message.trim_end_matches('.'))
        };
    }
}
