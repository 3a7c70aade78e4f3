//! One open socket: which device is at the other end, and how far it has been served.

use estafette_protocol::{ConversationId, DeviceId, Encoding, Millis, PhoneNumber};
use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::effect::SocketId;
use crate::entry::Position;
use crate::peer::cbor;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) device: DeviceId,
    pub(crate) slot: u8,
    pub(crate) encoding: Encoding,
    /// Everything that is stored at or before this position, and waits for the device, was put on
    /// this socket.
    pub(crate) sent_through: Position,
    /// Deliveries and receipts on this socket that were not acknowledged.
    pub(crate) unacknowledged: usize,
    pub(crate) drained: bool,
    pub(crate) batches: Bucket,
    /// The device said that its user is there.
    pub(crate) available: bool,
    /// Whose presence it watches.
    pub(crate) watched: Vec<Watched>,
    /// Messages of conversations' logs were put on this socket, and the device has not said that it has
    /// them: of which conversations, up to which place. Hibernation keeps that there are some.
    pub(crate) behind: bool,
    pub(crate) posted: LiteMap<ConversationId, u64>,
}

/// An account that a socket watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) account: PhoneNumber,
    /// Its mailbox has answered, and says when something changes.
    pub(crate) answered: bool,
    /// When what was told last was so, by that mailbox's clock. Hibernation forgets it.
    pub(crate) as_of: Millis,
}

impl Watched {
    pub(crate) fn new(account: PhoneNumber) -> Self {
        Self { account, answered: false, as_of: 0 }
    }
}

/// What survives hibernation with the socket. Pinned by a golden test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    #[serde(rename = "s")]
    pub(crate) socket: u32,
    #[serde(rename = "d")]
    pub(crate) device: DeviceId,
    #[serde(rename = "j")]
    pub(crate) json: bool,
    #[serde(rename = "t")]
    pub(crate) sent_through: Position,
    #[serde(rename = "e")]
    pub(crate) drained: bool,
    /// The server has closed it, but the device may not have answered yet: until then the platform
    /// counts it among the open ones.
    #[serde(rename = "c", default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) closed: bool,
    /// The device said that its user is there.
    #[serde(rename = "a", default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) available: bool,
    /// Messages of conversations' logs were put on it that the device has not said to have.
    #[serde(rename = "b", default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) behind: bool,
    /// Whose presence it watches, where that was answered.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) watched: Vec<PhoneNumber>,
}

cbor!(pub(crate) Attachment);

impl Session {
    pub(crate) fn attachment(&self, socket: SocketId) -> Attachment {
        Attachment {
            socket: socket.0,
            device: self.device,
            json: self.encoding == Encoding::Json,
            sent_through: self.sent_through,
            drained: self.drained,
            closed: false,
            available: self.available,
            behind: self.behind,
            watched: self
                .watched
                .iter()
                .filter_map(|watched| watched.answered.then_some(watched.account))
                .collect(),
        }
    }

    pub(crate) fn resume(attachment: &Attachment, slot: u8) -> Self {
        Self {
            device: attachment.device,
            slot,
            encoding: if attachment.json { Encoding::Json } else { Encoding::Cbor },
            sent_through: attachment.sent_through,
            unacknowledged: 0,
            drained: attachment.drained,
            batches: Bucket::default(),
            available: attachment.available,
            behind: attachment.behind,
            posted: LiteMap::new(),
            watched: attachment
                .watched
                .iter()
                .map(|&account| Watched { answered: true, ..Watched::new(account) })
                .collect(),
        }
    }
}
