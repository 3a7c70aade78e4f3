//! How a file lies in its chunks: lengths and places, before and after sealing.

use core::ops::Range;

use estafette_protocol::limits::MEDIA_BYTES_MAX;

use super::MediaError;

/// Bytes of a file in each chunk but the last: 64 KiB.
pub const CHUNK_BYTES: u64 = 64 * 1024;
/// By how many bytes sealing makes a chunk longer: the tag of Poly1305.
pub const TAG_BYTES: u64 = 16;
/// A sealed chunk, in bytes.
pub(super) const SEALED_BYTES: u64 = CHUNK_BYTES + TAG_BYTES;
/// The longest file, in bytes before sealing: sealed it is what the server takes, 2 GiB.
pub const SIZE_MAX: u64 = size_max();

const fn size_max() -> u64 {
    let rest = MEDIA_BYTES_MAX % SEALED_BYTES;
    MEDIA_BYTES_MAX / SEALED_BYTES * CHUNK_BYTES + rest.saturating_sub(TAG_BYTES)
}

/// A file of a known length. It has at least one chunk, which is empty only in an empty file; the
/// last one may be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    size: u64,
}

impl Layout {
    pub(super) const LONGEST: Self = Self { size: SIZE_MAX };

    /// Of a file of `size` bytes.
    pub fn of_size(size: u64) -> Result<Self, MediaError> {
        if size > SIZE_MAX {
            return Err(MediaError::TooLarge { bytes: size });
        }
        Ok(Self { size })
    }

    /// Of a file that has this many bytes once sealed.
    pub fn of_sealed(sealed: u64) -> Result<Self, MediaError> {
        let (full, rest) = (sealed / SEALED_BYTES, sealed % SEALED_BYTES);
        let last = match (full, rest) {
            (1.., 0) => 0,
            (0, TAG_BYTES) => 0,
            // Fewer than a tag, or a tag of nothing after other chunks.
            (_, 0..=TAG_BYTES) => return Err(MediaError::WrongLength),
            (_, rest) => rest - TAG_BYTES,
        };
        Self::of_size(full * CHUNK_BYTES + last)
    }

    /// The length of the file, in bytes.
    pub fn size(self) -> u64 {
        self.size
    }

    /// Its length once sealed, in bytes.
    pub fn sealed(self) -> u64 {
        self.size + self.chunks() * TAG_BYTES
    }

    /// How many chunks it has.
    pub fn chunks(self) -> u64 {
        self.size.div_ceil(CHUNK_BYTES).max(1)
    }

    /// How many bytes of the file are in a chunk.
    pub(super) fn in_chunk(self, chunk: u64) -> usize {
        let left = self.size.saturating_sub(chunk * CHUNK_BYTES);
        // At most 64 KiB.
        left.min(CHUNK_BYTES) as usize
    }

    pub(super) fn is_last(self, chunk: u64) -> bool {
        chunk + 1 == self.chunks()
    }

    /// Where the chunks lie in the sealed file.
    pub(super) fn sealed_chunks(self, chunks: &Range<u64>) -> Range<u64> {
        let place = |chunk: u64| (chunk * SEALED_BYTES).min(self.sealed());
        place(chunks.start)..place(chunks.end)
    }

    /// The chunks that hold a part of the file.
    pub(super) fn chunks_of(self, range: &Range<u64>) -> Result<Range<u64>, MediaError> {
        if range.start > range.end || range.end > self.size {
            return Err(MediaError::NoSuchRange);
        }
        let start = range.start / CHUNK_BYTES;
        let end = if range.is_empty() { start } else { range.end.div_ceil(CHUNK_BYTES) };
        Ok(start..end)
    }
}
