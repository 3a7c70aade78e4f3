//! What a push tells a device that sleeps: sealed for it alone (RFC 8291), so that the push service
//! on the way sees neither who nor what.
//!
//! One byte says the version. What follows it in version 1 is [`Notification`] in JSON, as in a frame, and
//! in version 2 [`LogNotification`]; unknown fields are ignored. A device that does not know the version
//! connects and fetches: a push never says more than the mailbox does.
//!
//! Invariant: the whole is UTF-8. Chromium decrypts other payloads too, and then gives the service
//! worker none at all (`tests/browser`).

use serde::{Deserialize, Serialize};

use crate::limits::PUSH_BYTES_MAX;
use crate::{Body, ConversationId, MessageId, Millis, PhoneNumber};

/// The first byte of a payload.
const VERSION: u8 = 1;
/// The first byte of one that tells of a conversation's log.
const LOG_VERSION: u8 = 2;

/// The newest message that waits for a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The account that sent it.
    pub from: PhoneNumber,
    /// Its id, under which it is also delivered on the socket.
    pub id: MessageId,
    /// When the server took it.
    pub at: Millis,
    /// How many messages wait for the device, this one included.
    pub waiting: u64,
    /// Its body, where it fits: in base64, some 2,800 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// No message waits in the mailbox, but there are some in a conversation's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogNotification {
    /// Which conversation: of several, one.
    pub conversation: ConversationId,
    /// When the push departed.
    pub at: Millis,
}

/// Why a payload is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It was written by a later version of the server.
    #[error("the payload has the unknown version {0}")]
    Version(u8),
    /// It is no payload.
    #[error("the payload cannot be read")]
    Malformed,
}

impl Notification {
    /// The payload before it is sealed: at most [`PUSH_BYTES_MAX`] bytes. A body that does not fit is
    /// left out.
    pub fn to_payload(&self) -> Vec<u8> {
        let payload = self.encode();
        if payload.len() <= PUSH_BYTES_MAX {
            return payload;
        }
        Self { body: None, ..self.clone() }.encode()
    }

    fn encode(&self) -> Vec<u8> {
        encode(VERSION, self)
    }

    /// Reads a payload that was opened.
    ///
    /// # Errors
    /// When the version is unknown, or the rest is not what the version says.
    pub fn from_payload(payload: &[u8]) -> Result<Self, PayloadError> {
        decode(VERSION, payload)
    }
}

impl LogNotification {
    /// The payload before it is sealed.
    pub fn to_payload(&self) -> Vec<u8> {
        encode(LOG_VERSION, self)
    }

    /// Reads a payload that was opened.
    ///
    /// # Errors
    /// When the version is another, or the rest is not what the version says.
    pub fn from_payload(payload: &[u8]) -> Result<Self, PayloadError> {
        decode(LOG_VERSION, payload)
    }
}

fn encode(version: u8, fields: &impl Serialize) -> Vec<u8> {
    // Encoding into memory cannot fail for types without maps of odd keys.
    let fields = serde_json::to_vec(fields).unwrap_or_default();
    [&[version][..], &fields].concat()
}

fn decode<T: for<'de> Deserialize<'de>>(version: u8, payload: &[u8]) -> Result<T, PayloadError> {
    match payload.split_first() {
        Some((&first, fields)) if first == version => {
            serde_json::from_slice(fields).or(Err(PayloadError::Malformed))
        }
        Some((&other, _)) => Err(PayloadError::Version(other)),
        None => Err(PayloadError::Malformed),
    }
}
