//! The frames of the socket. A frame is a map of one entry: its kind, and the fields of that kind.
//!
//! `{"ack": {"ids": ["…"]}}` in JSON; the same map in CBOR, with ids and bodies as byte strings and
//! numbers as integers. Fields that are not known are ignored, on both sides.

use core::fmt;

use serde::de::{self, IgnoredAny, MapAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::conversation::{
    Commit, Denied, Done, Enlist, FetchKeys, FetchLog, Keys, Knock, Leave, Log, News, Passed, Post,
    Posted, PublishKeys,
};
use crate::shape::{self, Fields};
use crate::{Body, DeviceId, ErrorCode, MessageId, Millis, PhoneNumber};

fn is_false(value: &bool) -> bool {
    !*value
}

/// Device to server: take this message to that account. Answered by [`Sent`] or [`Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    /// Made by the device; see [`MessageId`]. The same id again is the same message again.
    pub id: MessageId,
    /// The account that it is for.
    pub to: PhoneNumber,
    /// Opaque to the server.
    pub body: Body,
    /// Whether an earlier message of the stream is still unsettled: neither told `sent` nor given
    /// up. Such a message is taken only after the one that it follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub chained: bool,
    /// The number of the message that it follows in its stream, where that is not the one before:
    /// the numbers between were refused for good.
    #[serde(default, deserialize_with = "shape::after", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Send {
    /// The number of the message that this one follows.
    pub fn follows(&self) -> u64 {
        self.after.unwrap_or_else(|| self.id.previous())
    }
}

/// Device to server: these deliveries and receipts are in the device's own store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The ids of `deliver` and `receipt` frames, in any order, at most
    /// [`crate::limits::IDS_MAX`]. Ids that were not delivered to this device change nothing.
    #[serde(deserialize_with = "shape::list")]
    pub ids: Vec<MessageId>,
}

/// What became of a message at its recipient. Each mark implies the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A device has it. Said by the server only.
    Delivered,
    /// Somebody has read it.
    Read,
    /// Somebody has played it.
    Played,
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shape::name(deserializer, |text| match text {
            "delivered" => Some(Self::Delivered),
            "read" => Some(Self::Read),
            "played" => Some(Self::Played),
            _ => None,
        })
    }
}

/// Device to server: these messages were read or played. Answered by [`Sent`] or [`Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Made by the device, in a stream of its own.
    pub id: MessageId,
    /// Who sent the messages.
    pub to: PhoneNumber,
    /// Which messages.
    #[serde(deserialize_with = "shape::list")]
    pub ids: Vec<MessageId>,
    /// [`Mark::Read`] or [`Mark::Played`].
    pub mark: Mark,
}

/// Server to device: the first frame on a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The account that the token named.
    pub account: PhoneNumber,
    /// The device that the token named.
    pub device: DeviceId,
    /// The server's clock, so that a device can correct its own.
    pub now: Millis,
    /// How many messages wait for this device.
    pub waiting: u64,
    /// How many key packages of this device are left, if it ever published any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_packages: Option<u64>,
}

/// Server to device: what you handed over is safe. For a message: it is committed to the
/// recipient's queue, or all of the recipient's devices have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The ids of `send` and `receipt` frames.
    #[serde(deserialize_with = "shape::list")]
    pub ids: Vec<MessageId>,
    /// When the recipient's mailbox took them.
    pub at: Millis,
}

/// Server to device: these were not taken and nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The ids of `send` and `receipt` frames.
    #[serde(deserialize_with = "shape::list")]
    pub ids: Vec<MessageId>,
    /// Why.
    pub code: ErrorCode,
    /// When to try again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Millis>,
}

/// Server to device: a message for this account. Answered by [`Ack`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// As the sender made it.
    pub id: MessageId,
    /// The account that sent it, as the server knows it.
    pub from: PhoneNumber,
    /// The device that sent it, likewise.
    pub device: DeviceId,
    /// When the mailbox took it.
    pub at: Millis,
    /// Opaque to the server.
    pub body: Body,
    /// As in [`Send`].
    #[serde(default, deserialize_with = "shape::after", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Where it is a copy of what another device of this account sent: to whom. `from` is this
    /// account then, and `at` when the recipient's mailbox took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<PhoneNumber>,
}

/// Server to device: what became of messages that this account sent. Answered by [`Ack`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipted {
    /// The id of this receipt, for the `ack`.
    pub id: MessageId,
    /// The account that the messages went to.
    pub from: PhoneNumber,
    /// Which messages.
    #[serde(deserialize_with = "shape::list")]
    pub ids: Vec<MessageId>,
    /// What became of them.
    pub mark: Mark,
    /// When.
    pub at: Millis,
    /// Where another device of this account made it: who sent the messages. `from` is this account
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<PhoneNumber>,
}

/// Device to server: whether its user is there, and whose presence is to be told. The latest stands, for
/// as long as the socket is open. Answered by a [`Seen`] for each account that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Presence {
    /// Whether the user is there.
    pub available: bool,
    /// The accounts whose chats are open, at most [`crate::limits::WATCHED_MAX`].
    #[serde(default, deserialize_with = "shape::list", skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<PhoneNumber>,
}

/// Server to device: whether somebody is there, as far as this account may know. Said when a watch
/// begins, and whenever it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The account that is watched.
    pub from: PhoneNumber,
    /// Whether they are there. Of who hides it, it is not.
    pub available: bool,
    /// When they were last there. Absent while they are, and where it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Millis>,
}

/// Server to device: a watched account was registered again, so that its devices and their keys are
/// others now. Said once, to who looks at the chat at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysChanged {
    /// The account.
    pub from: PhoneNumber,
    /// When it was registered.
    pub at: Millis,
}

/// What somebody does in a chat, just now (XEP-0085, and the recording of a voice message).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// They type.
    Composing,
    /// They record.
    Recording,
    /// Neither any more.
    Paused,
}

impl<'de> Deserialize<'de> for Activity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shape::name(deserializer, |text| match text {
            "composing" => Some(Self::Composing),
            "recording" => Some(Self::Recording),
            "paused" => Some(Self::Paused),
            _ => None,
        })
    }
}

/// Device to server: what its user does in the chat with this account. Forwarded to devices that are
/// connected, at once or never. Said again every few seconds while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatState {
    /// Whom it concerns.
    pub to: PhoneNumber,
    /// What.
    pub state: Activity,
}

/// Server to device: what somebody does in their chat with this account. Over
/// [`crate::limits::CHAT_STATE_LIFE`] after it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// Who.
    pub from: PhoneNumber,
    /// What.
    pub state: Activity,
}

/// Server to device: the socket is about to be closed by the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goaway {
    /// Why.
    pub code: ErrorCode,
    /// When to connect again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Millis>,
}

/// Server to device: a frame that has no id of its own to refuse, or a whole batch, was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFrame {
    /// Why.
    pub code: ErrorCode,
    /// Which frame of the batch, from 0. Absent when it is the whole batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// A frame, or what is left of one whose kind is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KnownOrNot<F> {
    Known(F),
    Unknown,
}

macro_rules! frames {
    ($(#[$doc:meta])* $name:ident { $($(#[$kind_doc:meta])* $kind:ident($fields:ty) = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$kind_doc])* $kind($fields),)*
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(1))?;
                match self {
                    $(Self::$kind(fields) => map.serialize_entry($text, fields)?,)*
                }
                map.end()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match KnownOrNot::deserialize(deserializer)? {
                    KnownOrNot::Known(frame) => Ok(frame),
                    KnownOrNot::Unknown => Err(de::Error::custom("a frame of an unknown kind")),
                }
            }
        }

        impl<'de> Deserialize<'de> for KnownOrNot<$name> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                enum Kind {
                    $($kind,)*
                    Other,
                }
                impl<'de> Deserialize<'de> for Kind {
                    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        shape::name(deserializer, |text| match text {
                            $($text => Some(Self::$kind),)*
                            _ => Some(Self::Other),
                        })
                    }
                }
                struct Visitor;
                impl<'de> de::Visitor<'de> for Visitor {
                    type Value = KnownOrNot<$name>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a frame: a map with one entry, its kind")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let kind = map.next_key()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                        let frame = match kind {
                            $(Kind::$kind => {
                                let Fields(fields) = map.next_value()?;
                                KnownOrNot::Known($name::$kind(fields))
                            })*
                            Kind::Other => {
                                map.next_value::<IgnoredAny>()?;
                                KnownOrNot::Unknown
                            }
                        };
                        if map.next_key::<IgnoredAny>()?.is_some() {
                            return Err(de::Error::invalid_length(2, &self));
                        }
                        Ok(frame)
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
    };
}

frames! {
    /// What a device says to the server.
    ClientFrame {
        /// Take a message.
        Send(Send) = "send",
        /// Deliveries are stored.
        Ack(Ack) = "ack",
        /// Messages were read or played.
        Receipt(Receipt) = "receipt",
        /// The user is there, or not; chats are open.
        Presence(Presence) = "presence",
        /// The user types or records.
        ChatState(ChatState) = "chat_state",
        /// Put a message into a group's log.
        Post(Post) = "post",
        /// A log is stored so far.
        Passed(Passed) = "passed",
        /// Take key packages.
        PublishKeys(PublishKeys) = "publish_keys",
        /// Append to the list of devices.
        Enlist(Enlist) = "enlist",
        /// Tell an account's devices and keys.
        FetchKeys(FetchKeys) = "fetch_keys",
        /// Take a commit.
        Commit(Box<Commit>) = "commit",
        /// Tell a conversation's log.
        FetchLog(FetchLog) = "fetch_log",
        /// Leave a group.
        Leave(Leave) = "leave",
        /// Ask to be let into a group.
        Knock(Knock) = "knock",
    }
}

frames! {
    /// What the server says to a device.
    ServerFrame {
        /// First on every socket.
        Hello(Hello) = "hello",
        /// Handed-over items are safe.
        Sent(Sent) = "sent",
        /// Handed-over items were not taken.
        Refused(Refused) = "refused",
        /// A message.
        Deliver(Deliver) = "deliver",
        /// What became of messages.
        Receipt(Receipted) = "receipt",
        /// Somebody is there, or not.
        Presence(Seen) = "presence",
        /// Somebody types or records.
        ChatState(Doing) = "chat_state",
        /// A watched account has new keys.
        KeysChanged(KeysChanged) = "keys_changed",
        /// A query was carried out.
        Done(Done) = "done",
        /// A query was refused.
        Denied(Denied) = "denied",
        /// An account's devices and keys.
        Keys(Keys) = "keys",
        /// What has happened in a conversation.
        Log(Box<Log>) = "log",
        /// What happens in a conversation.
        Posted(Posted) = "posted",
        /// Conversations have news.
        News(News) = "news",
        /// All that waited when the socket opened has been sent.
        Drained(Drained) = "drained",
        /// The server closes the socket.
        Goaway(Goaway) = "goaway",
        /// A frame or batch was not taken.
        Error(ErrorFrame) = "error",
    }
}

frames! {
    /// Those frames of [`ServerFrame`] that wait for a device. Who reads nothing else needs no code for the rest.
    StoredFrame {
        /// A message.
        Deliver(Deliver) = "deliver",
        /// What became of messages.
        Receipt(Receipted) = "receipt",
    }
}

impl From<StoredFrame> for ServerFrame {
    fn from(frame: StoredFrame) -> Self {
        match frame {
            StoredFrame::Deliver(deliver) => Self::Deliver(deliver),
            StoredFrame::Receipt(receipt) => Self::Receipt(receipt),
        }
    }
}

/// Server to device: everything that waited in the mailbox has been put on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Drained {}
