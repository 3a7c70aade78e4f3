//! The identifiers that travel. Each has one text form (lower-case hexadecimal) and one binary form
//! (big-endian bytes); JSON carries the text, CBOR the bytes.

use core::fmt;
use core::str::FromStr;

use base16ct::lower;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::PhoneNumber;
use crate::limits::MESSAGE_NUMBER_MAX;

/// A text or byte string that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lower-case hexadecimal digits")]
pub struct IdError {
    /// How many hexadecimal digits the text form has.
    pub expected: usize,
}

/// The id of a message or receipt, made by the device that sends it.
///
/// Its first half names the *stream*: a random number that a device draws once for each
/// conversation and each new local store. The second half counts within the stream, from 1 to
/// [`MESSAGE_NUMBER_MAX`]; the wire takes no other. So one value is the deduplication key, the
/// place in the order, and what shows a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Which stream: random, 64 bits.
    pub stream: u64,
    /// Which message of the stream: 1, 2, 3 …
    pub number: u64,
}

impl MessageId {
    /// The number that this message directly follows, unless the frame says otherwise.
    pub fn previous(self) -> u64 {
        self.number.saturating_sub(1)
    }

    /// 16 bytes: stream, then number, both big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.stream) << 64 | u128::from(self.number)).to_be_bytes()
    }

    /// The reverse of [`MessageId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let whole = u128::from_be_bytes(bytes);
        Self { stream: (whole >> 64) as u64, number: whole as u64 }
    }
}

/// One device of an account. The server draws it at random when the device registers, and never
/// gives it out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u64);

impl DeviceId {
    /// 8 bytes, big-endian.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`DeviceId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

/// A file that the server keeps: 128 random bits, drawn by the server. Whoever knows it and has a
/// token may fetch the file, so it is told to nobody but those whom the file is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaId(pub u128);

/// Shows nothing: it opens the file.
impl fmt::Debug for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaId")
    }
}

impl MediaId {
    /// 16 bytes, big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`MediaId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// A conversation: of two accounts, named by their numbers, so that there is never more than one; or a
/// group, named by 120 random bits that the device draws which makes it. The first byte tells which. It is
/// the id of the MLS group too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(u128);

/// Shows nothing: it may hold numbers.
impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConversationId")
    }
}

impl ConversationId {
    const DIRECT: u128 = 1 << 120;
    const GROUP: u128 = 2 << 120;
    /// A number has at most 50 bits.
    const NUMBER_BITS: u32 = 60;

    /// The conversation of two accounts, which may be one.
    pub fn direct(one: PhoneNumber, other: PhoneNumber) -> Self {
        let (low, high) = (one.min(other).digits(), one.max(other).digits());
        Self(Self::DIRECT | u128::from(low) << Self::NUMBER_BITS | u128::from(high))
    }

    /// A group, of random bits.
    pub fn group(random: u128) -> Self {
        Self(Self::GROUP | random & (Self::DIRECT - 1))
    }

    /// Whose conversation it is; `None`: a group's.
    pub fn parties(self) -> Option<(PhoneNumber, PhoneNumber)> {
        let half = |bits: u128| PhoneNumber::from_digits((bits & ((1 << 60) - 1)) as u64).ok();
        if self.0 >> 120 != Self::DIRECT >> 120 {
            return None;
        }
        Some((half(self.0 >> Self::NUMBER_BITS)?, half(self.0)?))
    }

    /// Whether it is one that could have been made.
    fn is_valid(self) -> bool {
        let ordered = || self.parties().is_some_and(|(low, high)| low <= high);
        self.0 >> 120 == Self::GROUP >> 120 || ordered()
    }

    /// 16 bytes, big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`ConversationId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

macro_rules! text_and_bytes {
    ($name:ident, $bytes:literal, $valid:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $bytes];
                f.write_str(lower::encode_str(&self.to_bytes(), &mut text)?)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { expected: 2 * $bytes };
                let mut bytes = [0; $bytes];
                match lower::decode(text, &mut bytes) {
                    Ok(all) if all.len() == $bytes => Ok(Self::from_bytes(bytes)),
                    _ => Err(error),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.to_bytes())
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "an id of {} bytes", $bytes)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        let length = bytes.len();
                        let bytes = bytes.try_into();
                        bytes
                            .map($name::from_bytes)
                            .or_else(|_| Err(E::invalid_length(length, &self)))
                    }
                }
                let id = if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Visitor)
                } else {
                    deserializer.deserialize_bytes(Visitor)
                }?;
                let valid: fn(&$name) -> bool = $valid;
                if valid(&id) { Ok(id) } else { Err(de::Error::custom("an id out of range")) }
            }
        }
    };
}

text_and_bytes!(MessageId, 16, |id| (1..=MESSAGE_NUMBER_MAX).contains(&id.number));
text_and_bytes!(DeviceId, 8, |_| true);
text_and_bytes!(MediaId, 16, |_| true);
text_and_bytes!(ConversationId, 16, |id| id.is_valid());
