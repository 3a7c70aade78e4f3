//! The picture of a profile: what opens it, as the profile tells of it, and how it is sealed.
//!
//! The text in the profile is base64url without padding of a CBOR map, whose fields are those of a file in
//! a message: `key`, `size`, `digest`, and maybe `type`.
//!
//! Invariant: a picture is used only when all of it was proven: whoever shows it may show it to the user.

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use estafette_protocol::limits::PICTURE_BYTES_MAX;
use minicbor::encode::{Encoder, Error, Write};

use super::ContentError;
use super::fields::Fields;
use super::media::is_media_type;
use crate::media::{Digester, Layout, MediaDigest, MediaError, MediaKey, Opener, Sealer};

/// What opens the picture of a profile.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// What seals it, and nothing else ever.
    pub key: MediaKey,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of it once sealed.
    pub digest: MediaDigest,
    /// What it is, as `image/jpeg` (RFC 6838). Its owner's word.
    pub media_type: Option<String>,
}

/// Shows nothing that opens it.
impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("size", &self.size)
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

impl Picture {
    /// The longest picture, in bytes: 1 MiB, which sealed is as long as the server takes.
    pub const BYTES_MAX: u64 = 1024 * 1024;

    /// Seals a picture with a key that was drawn for it. Returns what opens it, and what to put on the
    /// server.
    ///
    /// # Errors
    /// [`MediaError::TooLarge`] when it is longer than [`Picture::BYTES_MAX`].
    pub fn seal(
        key: MediaKey,
        media_type: Option<String>,
        picture: &[u8],
    ) -> Result<(Self, Vec<u8>), MediaError> {
        let size = picture.len() as u64;
        let layout = Self::layout(size)?;
        let mut sealed = Vec::new();
        let mut sealer = Sealer::new(&key, layout);
        sealer.seal(picture, &mut sealed)?;
        sealer.finish(&mut sealed)?;
        let mut digester = Digester::default();
        digester.update(&sealed);
        Ok((Self { key, size, digest: digester.finish(), media_type }, sealed))
    }

    /// Opens what the server gave.
    ///
    /// # Errors
    /// [`MediaError::Altered`] or [`MediaError::WrongLength`] when that is another picture: its owner may
    /// have put a new one, of which the profile that was fetched does not tell yet.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, MediaError> {
        let layout = Self::layout(self.size)?;
        let mut digester = Digester::default();
        digester.update(sealed);
        if digester.finish() != self.digest {
            return Err(MediaError::Altered);
        }
        let mut picture = Vec::new();
        let mut opener = Opener::new(&self.key, layout);
        opener.open(sealed, &mut picture)?;
        opener.finish()?;
        Ok(picture)
    }

    fn layout(size: u64) -> Result<Layout, MediaError> {
        let layout = Layout::of_size(size)?;
        if layout.sealed() > PICTURE_BYTES_MAX {
            return Err(MediaError::TooLarge { bytes: size });
        }
        Ok(layout)
    }

    /// What the profile tells of it.
    ///
    /// # Errors
    /// [`ContentError::Field`] when its media type is none.
    pub fn to_text(&self) -> Result<String, ContentError> {
        self.check()?;
        let mut encoder = Encoder::new(Vec::new());
        // Nothing fails that is written to memory.
        self.write(&mut encoder).or(Err(ContentError::Malformed))?;
        Ok(BASE64URL_NOPAD.encode(&encoder.into_writer()))
    }

    /// The reverse of [`Picture::to_text`].
    ///
    /// # Errors
    /// See [`ContentError`].
    pub fn read(text: &str) -> Result<Self, ContentError> {
        let map = BASE64URL_NOPAD.decode(text.as_bytes()).or(Err(ContentError::Malformed))?;
        let fields = Fields::read(&map)?;
        let picture = Self {
            key: MediaKey(fields.array("key")?),
            size: fields.integer("size")?.ok_or(ContentError::Field("size"))?,
            digest: fields.array("digest")?,
            media_type: fields.text("type")?.map(str::to_owned),
        };
        picture.check()?;
        Ok(picture)
    }

    fn check(&self) -> Result<(), ContentError> {
        Self::layout(self.size).or(Err(ContentError::Field("size")))?;
        match self.media_type.as_deref().is_none_or(is_media_type) {
            true => Ok(()),
            false => Err(ContentError::Field("type")),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        encoder.map(3 + u64::from(self.media_type.is_some()))?;
        encoder.str("key")?.bytes(&self.key.0)?;
        encoder.str("size")?.u64(self.size)?;
        encoder.str("digest")?.bytes(&self.digest)?;
        if let Some(media_type) = &self.media_type {
            encoder.str("type")?.str(media_type)?;
        }
        Ok(())
    }
}
