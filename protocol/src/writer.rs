//! Writes a batch frame by frame, so that its size is known while it grows and frames that are
//! already encoded need not be decoded to be sent on.

use serde::Serialize;

use crate::limits::{BATCH_BYTES_MAX, BATCH_FRAMES_MAX};
use crate::{Encoding, WireMessage};

/// A batch that is being written.
#[derive(Debug)]
pub struct BatchWriter {
    encoding: Encoding,
    frames: usize,
    /// CBOR: the frames one after the other. JSON: the same with commas between.
    bytes: Vec<u8>,
}

/// A frame in CBOR, as [`BatchWriter::push_cbor`] takes it.
pub fn frame_to_cbor<F: Serialize>(frame: &F) -> Vec<u8> {
    // Encoding into memory cannot fail for the frames of this crate.
    minicbor_serde::to_vec(frame).unwrap_or_default()
}

impl BatchWriter {
    /// An empty batch.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, frames: 0, bytes: Vec::new() }
    }

    /// How many frames it has.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Whether `frames` more, which are `bytes` long in CBOR, surely fit the limits of a batch.
    pub fn has_room(&self, frames: usize, bytes: usize) -> bool {
        let bytes = match self.encoding {
            Encoding::Cbor => bytes,
            // An id of 17 bytes becomes 35, an integer of 9 becomes 20, a body 4 of each 3; a name
            // gains 3 (quotes, colon, comma), of which a frame has at most 8.
            Encoding::Json => bytes.saturating_mul(9) / 4 + 32 * frames,
        };
        let total = self.bytes.len().saturating_add(bytes).saturating_add(8);
        self.frames + frames <= BATCH_FRAMES_MAX && total <= BATCH_BYTES_MAX
    }

    /// Adds a frame.
    pub fn push<F: Serialize>(&mut self, frame: &F) {
        match self.encoding {
            Encoding::Cbor => self.bytes.extend(frame_to_cbor(frame)),
            Encoding::Json => {
                if self.frames > 0 {
                    self.bytes.push(b',');
                }
                self.bytes.extend(serde_json::to_vec(frame).unwrap_or_default());
            }
        }
        self.frames += 1;
    }

    /// Adds frames that are in CBOR, one after the other. For a batch in CBOR only.
    pub fn push_cbor(&mut self, frames: usize, bytes: &[u8]) {
        debug_assert_eq!(self.encoding, Encoding::Cbor);
        self.bytes.extend_from_slice(bytes);
        self.frames += frames;
    }

    /// The batch.
    pub fn finish(self) -> WireMessage {
        match self.encoding {
            Encoding::Cbor => {
                let mut encoder = minicbor::Encoder::new(Vec::with_capacity(self.bytes.len() + 3));
                // Writing to a vector is infallible.
                let _ = encoder.array(self.frames as u64);
                let mut message = encoder.into_writer();
                message.extend(self.bytes);
                WireMessage::Binary(message)
            }
            Encoding::Json => {
                let mut text = String::with_capacity(self.bytes.len() + 2);
                text.push('[');
                text.push_str(&String::from_utf8_lossy(&self.bytes));
                text.push(']');
                WireMessage::Text(text)
            }
        }
    }
}

/// Reads frames that [`frame_to_cbor`] wrote, one after the other; `None` when they are anything else.
pub fn frames_from_cbor<F>(count: usize, bytes: &[u8]) -> Option<Vec<F>>
where
    F: for<'de> serde::Deserialize<'de>,
{
    let mut deserializer = minicbor_serde::Deserializer::new(bytes);
    let frames: Option<Vec<F>> =
        (0..count).map(|_| F::deserialize(&mut deserializer).ok()).collect();
    frames.filter(|_| deserializer.decoder().position() == bytes.len())
}
