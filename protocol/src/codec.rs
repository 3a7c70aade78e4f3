//! Batches in their two encodings, decoded within bounds.
//!
//! A batch is decoded frame by frame: bytes that are no batch at all are refused whole
//! ([`BatchError`]), a frame that is wrong or unknown is reported in its place ([`Decoded`]) and the
//! others stand. Nothing here recurses into what it doesn't know, so depth costs no stack, and
//! nothing is allocated for what a message announces but doesn't hold.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{self, IgnoredAny, SeqAccess};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::cbor::item_length;
use crate::frame::KnownOrNot;
use crate::limits::{BATCH_BYTES_MAX, BATCH_FRAMES_MAX};
use crate::{ClientFrame, ErrorCode, MessageId, ServerFrame};

/// How batches are written on a socket, chosen by WebSocket subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Text messages; ids in hexadecimal, bodies in base64.
    Json,
    /// Binary messages (RFC 8949).
    Cbor,
}

/// One WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireMessage {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl WireMessage {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a WebSocket message is no batch. Nothing of it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Not one well-formed array, or text where the encoding is binary, or the reverse.
    #[error("the message is not an array of frames in the encoding of this socket")]
    Malformed,
    /// Longer than [`BATCH_BYTES_MAX`].
    #[error("the message is longer than {BATCH_BYTES_MAX} bytes")]
    TooLarge,
    /// More frames than [`BATCH_FRAMES_MAX`].
    #[error("the batch has more than {BATCH_FRAMES_MAX} frames")]
    TooMany,
}

impl From<BatchError> for ErrorCode {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Malformed => Self::Malformed,
            BatchError::TooLarge => Self::TooLarge,
            BatchError::TooMany => Self::TooMany,
        }
    }
}

/// One frame of a batch, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<F> {
    /// A frame.
    Frame(F),
    /// A frame of a kind that is not known here.
    Unknown,
    /// A frame of a known kind with wrong fields; its id, where that much could be read.
    Malformed(Option<MessageId>),
}

/// The frames of a batch, at most [`BATCH_FRAMES_MAX`].
pub type Batch<F> = Vec<Decoded<F>>;

impl Encoding {
    /// The WebSocket subprotocol that asks for it.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "estafette.v1.json",
            Self::Cbor => "estafette.v1.cbor",
        }
    }

    /// The encoding of a subprotocol.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        [Self::Json, Self::Cbor].into_iter().find(|encoding| encoding.subprotocol() == name)
    }

    /// Writes a batch. The caller keeps it within the limits.
    pub fn encode<F: Serialize>(self, frames: &[F]) -> WireMessage {
        match self {
            // Frames hold no maps with keys other than strings, and no Serialize here fails.
            Self::Json => WireMessage::Text(serde_json::to_string(frames).unwrap_or_default()),
            Self::Cbor => WireMessage::Binary(minicbor_serde::to_vec(frames).unwrap_or_default()),
        }
    }

    /// Reads what a device sent.
    pub fn decode_client(self, message: &WireMessage) -> Result<Batch<ClientFrame>, BatchError> {
        self.decode(message)
    }

    /// Reads what the server sent.
    pub fn decode_server(self, message: &WireMessage) -> Result<Batch<ServerFrame>, BatchError> {
        self.decode(message)
    }

    fn decode<F>(self, message: &WireMessage) -> Result<Batch<F>, BatchError>
    where
        KnownOrNot<F>: for<'de> Deserialize<'de>,
    {
        if message.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge);
        }
        match (self, message) {
            (Self::Json, WireMessage::Text(text)) => {
                let Bounded(frames) = serde_json::from_str(text).or(Err(BatchError::Malformed))?;
                let frames: Vec<&RawValue> = frames.ok_or(BatchError::TooMany)?;
                Ok(frames.into_iter().map(json_frame).collect())
            }
            (Self::Cbor, WireMessage::Binary(bytes)) => {
                cbor_frames(bytes)?.into_iter().map(|frame| Ok(cbor_frame(frame))).collect()
            }
            _ => Err(BatchError::Malformed),
        }
    }
}

/// What is read of a malformed frame, to say which message it was.
#[derive(Deserialize)]
struct IdOnly {
    #[serde(alias = "receipt", alias = "post")]
    send: IdField,
}

#[derive(Deserialize)]
struct IdField {
    id: MessageId,
}

fn json_frame<F>(frame: &RawValue) -> Decoded<F>
where
    KnownOrNot<F>: for<'de> Deserialize<'de>,
{
    match serde_json::from_str(frame.get()) {
        Ok(KnownOrNot::Known(frame)) => Decoded::Frame(frame),
        Ok(KnownOrNot::Unknown) => Decoded::Unknown,
        Err(_) => Decoded::Malformed(
            serde_json::from_str(frame.get()).ok().map(|IdOnly { send }| send.id),
        ),
    }
}

fn cbor_frame<F>(frame: &[u8]) -> Decoded<F>
where
    KnownOrNot<F>: for<'de> Deserialize<'de>,
{
    match minicbor_serde::from_slice(frame) {
        Ok(KnownOrNot::Known(frame)) => Decoded::Frame(frame),
        Ok(KnownOrNot::Unknown) => Decoded::Unknown,
        Err(_) => Decoded::Malformed(
            minicbor_serde::from_slice(frame).ok().map(|IdOnly { send }| send.id),
        ),
    }
}

/// Splits a CBOR array into the bytes of its items.
fn cbor_frames(bytes: &[u8]) -> Result<Vec<&[u8]>, BatchError> {
    const BREAK: u8 = 0xff;
    let malformed = BatchError::Malformed;
    let mut decoder = minicbor::Decoder::new(bytes);
    let length = decoder.array().or(Err(malformed))?;
    if length.is_some_and(|length| length > BATCH_FRAMES_MAX as u64) {
        return Err(BatchError::TooMany);
    }
    let mut rest = bytes.get(decoder.position()..).ok_or(malformed)?;
    let mut frames = Vec::new();
    loop {
        match (length, rest) {
            (Some(length), []) if frames.len() as u64 == length => return Ok(frames),
            (Some(length), _) if frames.len() as u64 == length => return Err(malformed),
            (None, [BREAK]) => return Ok(frames),
            (None, [BREAK, ..]) => return Err(malformed),
            (None, _) if frames.len() == BATCH_FRAMES_MAX => return Err(BatchError::TooMany),
            _ => {}
        }
        let frame = item_length(rest).and_then(|length| rest.split_at_checked(length));
        let (frame, after) = frame.ok_or(malformed)?;
        frames.push(frame);
        rest = after;
    }
}

/// A JSON array of at most [`BATCH_FRAMES_MAX`] items; `None` when there are more.
struct Bounded<T>(Option<Vec<T>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Bounded<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of frames")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounded<T>, A::Error> {
                let mut items = Vec::new();
                while items.len() < BATCH_FRAMES_MAX {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Bounded(Some(items))),
                    }
                }
                let mut more = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Bounded((!more).then_some(items)))
            }
        }
        deserializer.deserialize_seq(Visitor(PhantomData))
    }
}
