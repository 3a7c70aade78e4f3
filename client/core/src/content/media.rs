//! A file, as a message tells of it.

use core::fmt;

use estafette_protocol::MediaId;
use minicbor::encode::{Encoder, Error, Write};

use super::fields::Fields;
use super::{ContentError, TAG};
use crate::media::{Layout, MediaDigest, MediaKey};

/// The longest file name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest caption, in bytes of UTF-8.
pub const CAPTION_BYTES_MAX: usize = 4096;
/// The longest media type: two names of 127 characters (RFC 6838, section 4.2) and a slash.
const MEDIA_TYPE_BYTES_MAX: usize = 255;
/// The longest ThumbHash: 5 bytes, 1 for opacity, and at most 38 halves.
const THUMBHASH_BYTES_MAX: usize = 25;
/// The longest duration, in milliseconds: what survives a trip through a JavaScript number.
const DURATION_MAX: u64 = (1 << 53) - 1;

/// A file: where it is, how it is opened, and what can be said of it before it is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// Where the server keeps it.
    pub id: MediaId,
    /// What opens it.
    pub key: MediaKey,
    /// Its length in bytes, at most [`crate::media::SIZE_MAX`].
    pub size: u64,
    /// SHA-256 of it as it was uploaded.
    pub digest: MediaDigest,
    /// What is said of it.
    pub about: About,
}

/// What a sender says of a file. All of it is a peer's word.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct About {
    /// What it is, as `image/jpeg` (RFC 6838).
    pub media_type: Option<String>,
    /// What its sender calls it, at most [`NAME_BYTES_MAX`] bytes. What it is called here is for
    /// [`crate::media::safe_file_name`] to say.
    pub name: Option<String>,
    /// Width and height of a picture or video as it is shown, in pixels.
    pub dimensions: Option<(u32, u32)>,
    /// How long it plays, in milliseconds.
    pub duration: Option<u64>,
    /// A small blurred preview: a ThumbHash, at most 25 bytes.
    pub thumbhash: Option<Vec<u8>>,
    /// What its sender says of it, at most [`CAPTION_BYTES_MAX`] bytes.
    pub caption: Option<String>,
}

/// Shows nothing that opens or finds the file.
impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("size", &self.size)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// Shows no words: a message may reach a log.
impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About")
            .field("media_type", &self.media_type)
            .field("dimensions", &self.dimensions)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

impl Media {
    pub(super) const KIND: &'static str = "media";

    /// The body of a message that tells of the file.
    ///
    /// # Errors
    /// [`ContentError::Field`] when a field is over its limit.
    pub fn to_body(&self) -> Result<Vec<u8>, ContentError> {
        self.check()?;
        self.about.check()?;
        let mut encoder = Encoder::new(TAG.to_vec());
        // Nothing fails that is written to memory.
        self.write(&mut encoder).or(Err(ContentError::Malformed))?;
        Ok(encoder.into_writer())
    }

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ContentError> {
        let media = Self {
            id: MediaId::from_bytes(fields.array("id")?),
            key: MediaKey(fields.array("key")?),
            size: fields.integer("size")?.ok_or(ContentError::Field("size"))?,
            digest: fields.array("digest")?,
            about: About::read(fields)?,
        };
        media.check()?;
        Ok(media)
    }

    fn check(&self) -> Result<(), ContentError> {
        Layout::of_size(self.size).map(drop).or(Err(ContentError::Field("size")))
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        encoder.map(5 + self.about.len())?;
        encoder.str("kind")?.str(Self::KIND)?;
        encoder.str("id")?.bytes(&self.id.to_bytes())?;
        encoder.str("key")?.bytes(&self.key.0)?;
        encoder.str("size")?.u64(self.size)?;
        encoder.str("digest")?.bytes(&self.digest)?;
        self.about.write(encoder)
    }
}

impl About {
    /// As the store keeps it: a CBOR map.
    pub(crate) fn to_map(&self) -> Result<Vec<u8>, ContentError> {
        self.check()?;
        let mut encoder = Encoder::new(Vec::new());
        // Nothing fails that is written to memory.
        let written = encoder.map(self.len()).map(drop).and_then(|()| self.write(&mut encoder));
        written.or(Err(ContentError::Malformed))?;
        Ok(encoder.into_writer())
    }

    /// The reverse of [`About::to_map`].
    pub(crate) fn from_map(map: &[u8]) -> Result<Self, ContentError> {
        Self::read(&Fields::read(map)?)
    }

    /// Whether each field keeps to its limit.
    ///
    /// # Errors
    /// [`ContentError::Field`] when one does not.
    pub fn check(&self) -> Result<(), ContentError> {
        let fits = |text: &Option<String>, max| {
            text.as_ref().is_none_or(|text| (1..=max).contains(&text.len()))
        };
        let hash = self.thumbhash.as_ref().map_or(1, Vec::len);
        let checks = [
            ("type", self.media_type.as_deref().is_none_or(is_media_type)),
            ("name", fits(&self.name, NAME_BYTES_MAX)),
            ("width", self.dimensions.is_none_or(|(width, _)| width > 0)),
            ("height", self.dimensions.is_none_or(|(_, height)| height > 0)),
            ("duration", self.duration.is_none_or(|duration| duration <= DURATION_MAX)),
            ("thumbhash", (1..=THUMBHASH_BYTES_MAX).contains(&hash)),
            ("caption", fits(&self.caption, CAPTION_BYTES_MAX)),
        ];
        match checks.into_iter().find(|(_, fits)| !fits) {
            Some((field, _)) => Err(ContentError::Field(field)),
            None => Ok(()),
        }
    }

    fn read(fields: &Fields<'_>) -> Result<Self, ContentError> {
        let text = |name| Ok(fields.text(name)?.map(str::to_owned));
        let side = |name| {
            let side = fields.integer(name)?.map(u32::try_from);
            side.transpose().or(Err(ContentError::Field(name)))
        };
        let dimensions = match (side("width")?, side("height")?) {
            (None, None) => None,
            (Some(width), Some(height)) => Some((width, height)),
            (None, Some(_)) => return Err(ContentError::Field("width")),
            (Some(_), None) => return Err(ContentError::Field("height")),
        };
        let about = Self {
            media_type: text("type")?,
            name: text("name")?,
            dimensions,
            duration: fields.integer("duration")?,
            thumbhash: fields.bytes("thumbhash")?.map(<[u8]>::to_vec),
            caption: text("caption")?,
        };
        about.check()?;
        Ok(about)
    }

    /// How many fields it writes.
    fn len(&self) -> u64 {
        let texts = [&self.media_type, &self.name, &self.caption];
        texts.into_iter().flatten().count() as u64
            + 2 * u64::from(self.dimensions.is_some())
            + u64::from(self.duration.is_some())
            + u64::from(self.thumbhash.is_some())
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        if let Some(media_type) = &self.media_type {
            encoder.str("type")?.str(media_type)?;
        }
        if let Some(name) = &self.name {
            encoder.str("name")?.str(name)?;
        }
        if let Some((width, height)) = self.dimensions {
            encoder.str("width")?.u32(width)?.str("height")?.u32(height)?;
        }
        if let Some(duration) = self.duration {
            encoder.str("duration")?.u64(duration)?;
        }
        if let Some(thumbhash) = &self.thumbhash {
            encoder.str("thumbhash")?.bytes(thumbhash)?;
        }
        if let Some(caption) = &self.caption {
            encoder.str("caption")?.str(caption)?;
        }
        Ok(())
    }
}

/// Whether it has the form of a media type without parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let name = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !name.is_empty() && name.bytes().all(fits)
    };
    let (main, sub) = text.split_once('/').unwrap_or_default();
    text.len() <= MEDIA_TYPE_BYTES_MAX && name(main) && name(sub)
}
