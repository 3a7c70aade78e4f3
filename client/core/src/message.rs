//! What the store holds for people to see.

use core::fmt;

use estafette_protocol::{DeviceId, Mark, MessageId, Millis, PhoneNumber};

use crate::{Content, ContentError};

/// How far a message has come. A message moves forward only; [`Status::Failed`] is left only when
/// the server or the recipient turns out to have it after all.
///
/// The numbers are stored, and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// In this store only; it is sent until the server has it.
    Queued = 0,
    /// The server has it.
    Sent = 1,
    /// A device of the recipient has it. An incoming message starts here.
    Delivered = 2,
    /// It was read.
    Read = 3,
    /// It was played.
    Played = 4,
    /// It was given up.
    Failed = 5,
}

impl Status {
    /// Every status, in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Failed];

    /// Its name, for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }
}

impl From<Mark> for Status {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Delivered => Self::Delivered,
            Mark::Read => Self::Read,
            Mark::Played => Self::Played,
        }
    }
}

/// A message of a chat.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in this store: messages of a chat are shown in this order.
    pub place: u64,
    /// Who is at the other end.
    pub peer: PhoneNumber,
    /// The device that sent it.
    pub device: DeviceId,
    /// Its id. Unique among the incoming messages of a peer, and among the outgoing ones.
    pub id: MessageId,
    /// Whether it came from the peer; otherwise it goes there.
    pub incoming: bool,
    /// Opaque here.
    pub body: Vec<u8>,
    /// When the server took it, for an incoming one or one of another device of this account; when it
    /// was made, for one of this device, by its clock as corrected by the server's.
    pub at: Millis,
    /// How far it has come. An incoming one is delivered, read or played.
    pub status: Status,
}

impl Message {
    /// What it says.
    ///
    /// # Errors
    /// When it says nothing that this version can read.
    pub fn content(&self) -> Result<Content<'_>, ContentError> {
        Content::read(&self.body)
    }
}

/// Shows no body and no number: a message may reach a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("place", &self.place)
            .field("id", &self.id)
            .field("incoming", &self.incoming)
            .field("bytes", &self.body.len())
            .field("at", &self.at)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A conversation, as a list of chats shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Who is at the other end.
    pub peer: PhoneNumber,
    /// What the user calls them.
    pub name: Option<String>,
    /// What they call themselves, as far as that was fetched: see [`crate::KnownProfile`].
    pub profile_name: Option<String>,
    /// The last message.
    pub last: Message,
    /// Incoming messages that were not read.
    pub unread: u64,
    /// Whether nobody knows them here: they have no name, and this account never wrote to them.
    pub stranger: bool,
}

/// Somebody whom the user has given a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Their account.
    pub number: PhoneNumber,
    /// What the user calls them.
    pub name: String,
}
