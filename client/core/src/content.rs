//! What the body of a message says. The server never looks inside.
//!
//! A text is its UTF-8, as it always was. Anything else begins with the CBOR tag 55799 (RFC 8949,
//! section 3.4.6), whose bytes D9 D9 F7 begin no UTF-8, and goes on with one CBOR map: `kind` says
//! what it is, the other fields depend on that. `docs/protocol.md` lists them.
//!
//! Invariants:
//! - what a body says is read from its bytes each time, and the store keeps the bytes: kinds and
//!   fields that only a later version knows are still there for it;
//! - reading allocates no more than the body is long, and recurses into nothing.

mod fields;
mod media;
mod moved;
mod picture;
mod repair;
mod unopened;

use core::fmt;

use self::fields::Fields;
pub use self::media::{About, CAPTION_BYTES_MAX, Media, NAME_BYTES_MAX};
pub use self::moved::Moved;
pub use self::picture::Picture;
pub(crate) use self::repair::{Again, Repair, UNREADABLE_MAX, Unreadable};
pub use self::unopened::Unopened;

/// What tells content from text: CBOR's tag 55799, which means nothing but "this is CBOR".
const TAG: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// What a message says.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// Words.
    Text(&'a str),
    /// A file.
    Media(Box<Media>),
    /// The sender has another number.
    Moved(Moved),
    /// Nothing that this device can open.
    Unopened(Unopened),
    /// Something of this kind, which this version does not know.
    Unknown(&'a str),
}

/// Why a body says nothing that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// It is neither UTF-8 nor tagged.
    #[error("the message is neither text nor tagged content")]
    NotText,
    /// What follows the tag is not one well-formed map with texts for keys, none of them twice, or
    /// it has no kind.
    #[error("the content of the message is malformed")]
    Malformed,
    /// A field that this version knows is missing, of the wrong type, or over its limit.
    #[error("the content of the message is wrong in its field {0}")]
    Field(&'static str),
}

impl<'a> Content<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// See [`ContentError`].
    pub fn read(body: &'a [u8]) -> Result<Self, ContentError> {
        let Some(map) = body.strip_prefix(&TAG) else {
            return str::from_utf8(body).map(Self::Text).or(Err(ContentError::NotText));
        };
        let fields = Fields::read(map)?;
        match fields.text("kind")?.ok_or(ContentError::Malformed)? {
            Media::KIND => Ok(Self::Media(Box::new(Media::read(&fields)?))),
            Moved::KIND => Ok(Self::Moved(Moved::read(&fields)?)),
            Unopened::KIND => Ok(Self::Unopened(Unopened::read(&fields)?)),
            kind => Ok(Self::Unknown(kind)),
        }
    }
}

/// Shows no words: a message may reach a log.
impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Media(media) => media.fmt(f),
            Self::Moved(moved) => moved.fmt(f),
            Self::Unopened(unopened) => unopened.fmt(f),
            Self::Unknown(_) => f.write_str("Unknown"),
        }
    }
}
