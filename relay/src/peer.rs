//! What mailboxes say to each other. It outlives a deploy: two versions of the server can be on
//! either end, so kinds and fields are only ever added, and golden tests pin the bytes.

use estafette_protocol::{
    Activity, Body, DeviceId, ErrorCode, Keys, Mark, MessageId, Millis, PhoneNumber,
};
use serde::{Deserialize, Serialize};

/// One call: everything that one mailbox has for another at the time, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    /// The account that calls. Set by its mailbox, which knows who its devices are.
    pub from: PhoneNumber,
    /// The account that is called.
    pub to: PhoneNumber,
    /// What it is about; each item is answered in its place.
    pub items: Vec<PeerItem>,
}

/// One thing that a mailbox tells another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerItem {
    /// Take a message.
    Message(PeerMessage),
    /// Messages of yours that were held are now committed, or receipts of yours that were held are
    /// with every device.
    Stored {
        /// The device that made them.
        device: DeviceId,
        /// Which messages or receipts.
        ids: Vec<MessageId>,
        /// When.
        at: Millis,
    },
    /// A device has these messages of yours.
    Delivered {
        /// The device that sent them.
        device: DeviceId,
        /// Which messages.
        ids: Vec<MessageId>,
        /// When.
        at: Millis,
        /// Whether they had been stored: then nobody asks again, and the news must be kept. If not,
        /// the device hears `sent` and `delivered` in one batch, and asks again if that is lost.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        stored: bool,
    },
    /// Somebody has read or played these messages of yours.
    Receipt {
        /// Made by the reading device.
        id: MessageId,
        /// The reading device, which repeats it until it hears `sent`.
        device: DeviceId,
        /// Which messages.
        ids: Vec<MessageId>,
        /// What became of them.
        mark: Mark,
        /// When.
        at: Millis,
    },
    /// Tell me whether your user is there, now and when that changes, until I say that nobody asks any
    /// more. Answered by [`Verdict::Seen`].
    Watch {
        /// Whether my account shows you when its user was last there.
        last_seen: bool,
        /// Whether it shows you that its user is there.
        online: bool,
    },
    /// My user has come, or gone. Refused with `not_found` where nobody watches.
    Presence {
        /// Whether they are there.
        available: bool,
        /// When they were last there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Millis>,
        /// When that was so.
        at: Millis,
    },
    /// My account was registered again: its devices, and so its keys, are others now. Refused with
    /// `not_found` where nobody watches.
    KeysChanged {
        /// When.
        at: Millis,
    },
    /// Tell me your account's list of devices. Answered by [`Verdict::Delivered`] and, in the order of
    /// such items, in [`PeerAnswer::keys`].
    Keys {
        /// After which place.
        after: u64,
        /// Whether a key package of each device is taken.
        packages: bool,
    },
    /// My user types in the chat with yours.
    ChatState {
        /// What they do.
        state: Activity,
    },
}

/// A message on its way from mailbox to mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMessage {
    /// As the device made it.
    pub id: MessageId,
    /// The device that sent it, as its mailbox knows it.
    pub device: DeviceId,
    /// Opaque.
    pub body: Body,
    /// As in the frame.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub chained: bool,
    /// As in the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl PeerMessage {
    /// The number of the message that this one follows in its stream.
    pub(crate) fn follows(&self) -> u64 {
        self.after.unwrap_or_else(|| self.id.previous())
    }
}

/// The answer to a call: a verdict for each item, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// As many as there were items.
    pub verdicts: Vec<Verdict>,
    /// When the mailbox took what it took.
    pub at: Millis,
    /// What was asked for by [`PeerItem::Keys`], each with `query` 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Keys>,
}

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Committed to the queue.
    Stored,
    /// In memory, on its way to every device. `Stored` or `Delivered` follows in a call.
    Held,
    /// A device has it already.
    Delivered,
    /// Whether the user is there, as far as the caller may know.
    Seen {
        /// Whether they are there.
        available: bool,
        /// When they were last there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Millis>,
    },
    /// Not taken; nothing has changed.
    Refused {
        /// Why.
        code: ErrorCode,
        /// When to try again.
        retry_after: Option<Millis>,
    },
}

/// What an item weighs whose answer may be long: sixteen go in one call.
const ANSWER_BYTES: usize = 64 * 1024;

impl PeerRequest {
    /// About how many bytes it takes on the way, or its answer.
    pub(crate) fn weight(item: &PeerItem) -> usize {
        match item {
            PeerItem::Message(message) => message.body.0.len() + 64,
            PeerItem::Stored { ids, .. }
            | PeerItem::Delivered { ids, .. }
            | PeerItem::Receipt { ids, .. } => ids.len() * 17 + 64,
            PeerItem::Keys { .. } => ANSWER_BYTES,
            PeerItem::Watch { .. }
            | PeerItem::Presence { .. }
            | PeerItem::KeysChanged { .. }
            | PeerItem::ChatState { .. } => 64,
        }
    }
}

macro_rules! cbor {
    ($visibility:vis $($name:ident),*) => {$(
        impl $name {
            /// Its bytes in CBOR.
            $visibility fn encode(&self) -> Vec<u8> {
                // Encoding into memory cannot fail for types without maps of odd keys.
                minicbor_serde::to_vec(self).unwrap_or_default()
            }

            /// The reverse; `None` for bytes that no version of this code wrote.
            $visibility fn decode(bytes: &[u8]) -> Option<Self> {
                minicbor_serde::from_slice(bytes).ok()
            }
        }
    )*};
}
pub(crate) use cbor;

cbor!(pub PeerRequest, PeerAnswer);
