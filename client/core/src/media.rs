//! Files: how they are encrypted before they leave a device, and how they travel.
//!
//! Each file has a random key of its own. It is cut into chunks of 64 KiB, each sealed with
//! ChaCha20-Poly1305 in the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015): the
//! nonce is seven bytes of zeros, the number of the chunk as a 32-bit big-endian integer, and one
//! byte that is 1 for the last chunk and 0 for the others. So a chunk that is altered, missing,
//! repeated, in another's place, cut off or added is refused, and any chunk is read by itself.
//!
//! Invariant: a key seals one sequence of bytes, ever. The nonce repeats with every use of a key, so
//! whoever sends a file again after it changed draws another key.
//!
//! The shell reads and writes, here and on the network: [`Sealer`] and [`Opener`] turn bytes into
//! bytes, [`Upload`] and [`Download`] say which request comes next.

mod cipher;
mod download;
mod layout;
mod name;
mod retry;
mod upload;

use core::fmt;

use sha2::{Digest as _, Sha256};

pub use cipher::{Opener, Sealer, StreamSealer};
pub use download::{Download, DownloadStep};
pub use layout::{CHUNK_BYTES, Layout, SIZE_MAX, TAG_BYTES};
pub use name::safe_file_name;
pub use retry::{Answer, TransferError};
pub use upload::{Upload, UploadStep};

/// The key of one file. The shell draws it from a cryptographic generator.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaKey(pub [u8; 32]);

/// Shows nothing.
impl fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaKey")
    }
}

/// SHA-256 of a file as it was uploaded.
pub type MediaDigest = [u8; 32];

/// Makes the digest of a file as it comes by.
#[derive(Debug, Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Takes the next bytes.
    pub fn update(&mut self, sealed: &[u8]) {
        self.0.update(sealed);
    }

    /// The digest of all that was taken.
    pub fn finish(self) -> MediaDigest {
        self.0.finalize().into()
    }
}

/// Why a file is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// Longer than [`SIZE_MAX`], once sealed longer than the server takes.
    #[error("the file is too large: {bytes} bytes, and at most {SIZE_MAX} are sent")]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// There are more bytes, or fewer, than was said, or so many as no sealed file has.
    #[error("the file has another length than was said")]
    WrongLength,
    /// The range does not lie within the file.
    #[error("the file has no such part")]
    NoSuchRange,
    /// A chunk is not what was sealed with this key in this place.
    #[error("the file was altered on its way")]
    Altered,
}
