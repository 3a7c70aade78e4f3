//! Seals and opens files as they come by, chunk by chunk. `media.rs` tells the construction.

use core::fmt;
use core::ops::Range;

use aead_stream::{Key, NewStream as _, Nonce, StreamBE32, StreamPrimitive as _};
use chacha20poly1305::ChaCha20Poly1305;

use super::layout::{CHUNK_BYTES, SEALED_BYTES, TAG_BYTES};
use super::{Layout, MediaError, MediaKey};

type Stream = StreamBE32<ChaCha20Poly1305>;

struct Cipher {
    stream: Stream,
    layout: Layout,
}

impl Cipher {
    fn new(key: &MediaKey, layout: Layout) -> Self {
        let key = Key::<ChaCha20Poly1305>::from(key.0);
        let stream = Stream::new(&key, &Nonce::<ChaCha20Poly1305, Stream>::default());
        Self { stream, layout }
    }

    fn seal(&self, chunk: u64, last: bool, bytes: &mut Vec<u8>) -> Result<(), MediaError> {
        // A file has fewer than 2^15 chunks. It fails only for what is longer than any chunk.
        let sealed = self.stream.encrypt_in_place(chunk as u32, last, &[], bytes);
        sealed.or(Err(MediaError::WrongLength))
    }

    fn open(&self, chunk: u64, bytes: &mut Vec<u8>) -> Result<(), MediaError> {
        let last = self.layout.is_last(chunk);
        let opened = self.stream.decrypt_in_place(chunk as u32, last, &[], bytes);
        opened.or(Err(MediaError::Altered))
    }
}

/// Takes from `bytes` what `pending` needs to be `wanted` long. Whether it is.
fn fill(pending: &mut Vec<u8>, wanted: usize, bytes: &mut &[u8]) -> bool {
    let missing = wanted.saturating_sub(pending.len()).min(bytes.len());
    let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((&[], bytes));
    pending.extend_from_slice(taken);
    *bytes = rest;
    pending.len() == wanted
}

/// Seals a file, from its beginning or from where an upload goes on.
pub struct Sealer {
    cipher: Cipher,
    next: u64,
    /// Sealed bytes of the next chunk that are there already.
    skip: usize,
    pending: Vec<u8>,
}

impl Sealer {
    /// Seals a file of this layout.
    pub fn new(key: &MediaKey, layout: Layout) -> Self {
        Self { cipher: Cipher::new(key, layout), next: 0, skip: 0, pending: Vec::new() }
    }

    /// Seals what comes after the first `sealed` bytes of the sealed file.
    ///
    /// # Errors
    /// [`MediaError::NoSuchRange`] when it is not that long.
    pub fn after(key: &MediaKey, layout: Layout, sealed: u64) -> Result<Self, MediaError> {
        if sealed > layout.sealed() {
            return Err(MediaError::NoSuchRange);
        }
        let next = if sealed == layout.sealed() { layout.chunks() } else { sealed / SEALED_BYTES };
        // Less than a sealed chunk.
        let skip = (sealed - layout.sealed_chunks(&(next..next)).start) as usize;
        Ok(Self { next, skip, ..Self::new(key, layout) })
    }

    /// From where on the file is to be read, in bytes.
    pub fn reads_from(&self) -> u64 {
        (self.next * CHUNK_BYTES).min(self.cipher.layout.size())
    }

    /// Takes the next bytes of the file, and adds to `out` what of them is sealed: whole chunks.
    ///
    /// # Errors
    /// [`MediaError::WrongLength`] when there are more than the file has.
    pub fn seal(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), MediaError> {
        while self.next < self.cipher.layout.chunks() {
            let wanted = self.cipher.layout.in_chunk(self.next);
            if !fill(&mut self.pending, wanted, &mut bytes) {
                return Ok(());
            }
            let last = self.cipher.layout.is_last(self.next);
            self.cipher.seal(self.next, last, &mut self.pending)?;
            out.extend_from_slice(self.pending.get(self.skip..).unwrap_or_default());
            self.pending.clear();
            self.skip = 0;
            self.next += 1;
        }
        if bytes.is_empty() { Ok(()) } else { Err(MediaError::WrongLength) }
    }

    /// Seals what is left: nothing but the one chunk of an empty file.
    ///
    /// # Errors
    /// [`MediaError::WrongLength`] when the file has more bytes than came.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), MediaError> {
        self.seal(&[], out)?;
        let done = self.next == self.cipher.layout.chunks();
        if done { Ok(()) } else { Err(MediaError::WrongLength) }
    }
}

/// Seals a file whose length nobody knows before its end.
pub struct StreamSealer {
    cipher: Cipher,
    size: u64,
    next: u64,
    pending: Vec<u8>,
}

impl StreamSealer {
    /// Begins a file.
    pub fn new(key: &MediaKey) -> Self {
        let cipher = Cipher::new(key, Layout::LONGEST);
        Self { cipher, size: 0, next: 0, pending: Vec::new() }
    }

    /// Takes the next bytes of the file, and adds to `out` what of them is sealed. A chunk is kept
    /// back until another follows it, since the last one is sealed as such.
    ///
    /// # Errors
    /// [`MediaError::TooLarge`] when the file is longer than any may be.
    pub fn seal(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), MediaError> {
        self.size += bytes.len() as u64;
        Layout::of_size(self.size)?;
        while !bytes.is_empty() {
            if self.pending.len() as u64 == CHUNK_BYTES {
                self.seal_chunk(false, out)?;
            }
            fill(&mut self.pending, CHUNK_BYTES as usize, &mut bytes);
        }
        Ok(())
    }

    /// Seals what is left, and says how long the file is.
    ///
    /// # Errors
    /// None that [`StreamSealer::seal`] did not give.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Layout, MediaError> {
        self.seal_chunk(true, out)?;
        Layout::of_size(self.size)
    }

    fn seal_chunk(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), MediaError> {
        self.cipher.seal(self.next, last, &mut self.pending)?;
        out.append(&mut self.pending);
        self.next += 1;
        Ok(())
    }
}

/// Opens a sealed file, or a part of it.
///
/// Invariant: no byte comes out that was not proven to be what was sealed, and none after one that
/// was not.
pub struct Opener {
    cipher: Cipher,
    /// Chunks that are to come.
    chunks: Range<u64>,
    /// The part of the file that is wanted.
    wanted: Range<u64>,
    pending: Vec<u8>,
    failed: Option<MediaError>,
}

impl Opener {
    /// Opens a whole file.
    pub fn new(key: &MediaKey, layout: Layout) -> Self {
        Self::of_chunks(key, layout, 0..layout.chunks(), 0..layout.size())
    }

    /// Opens a part of the file, in bytes of the file.
    ///
    /// # Errors
    /// [`MediaError::NoSuchRange`] when it is not within the file.
    pub fn of_range(key: &MediaKey, layout: Layout, range: Range<u64>) -> Result<Self, MediaError> {
        let chunks = layout.chunks_of(&range)?;
        Ok(Self::of_chunks(key, layout, chunks, range))
    }

    fn of_chunks(key: &MediaKey, layout: Layout, chunks: Range<u64>, wanted: Range<u64>) -> Self {
        let cipher = Cipher::new(key, layout);
        Self { cipher, chunks, wanted, pending: Vec::new(), failed: None }
    }

    /// Which bytes of the sealed file it takes next, to its end.
    pub fn takes(&self) -> Range<u64> {
        let mut range = self.cipher.layout.sealed_chunks(&self.chunks);
        range.start += self.pending.len() as u64;
        range
    }

    /// Takes the next bytes of the sealed file, and adds to `out` what they prove.
    ///
    /// # Errors
    /// [`MediaError::Altered`] or [`MediaError::WrongLength`], and the same ever after. What of `out`
    /// was added before stands.
    pub fn open(&mut self, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<(), MediaError> {
        let opened = match self.failed {
            Some(failed) => Err(failed),
            None => self.open_chunks(&mut sealed, out),
        };
        self.failed = opened.err();
        opened
    }

    fn open_chunks(&mut self, sealed: &mut &[u8], out: &mut Vec<u8>) -> Result<(), MediaError> {
        while !self.chunks.is_empty() {
            let chunk = self.chunks.start;
            let wanted = self.cipher.layout.in_chunk(chunk) + TAG_BYTES as usize;
            if !fill(&mut self.pending, wanted, sealed) {
                return Ok(());
            }
            self.cipher.open(chunk, &mut self.pending)?;
            let start = chunk * CHUNK_BYTES;
            // Within a chunk.
            let within = |place: u64| place.saturating_sub(start).min(CHUNK_BYTES) as usize;
            let (from, to) = (within(self.wanted.start), within(self.wanted.end));
            let to = to.min(self.pending.len());
            out.extend_from_slice(self.pending.get(from..to).unwrap_or_default());
            self.pending.clear();
            self.chunks.start += 1;
        }
        if sealed.is_empty() { Ok(()) } else { Err(MediaError::WrongLength) }
    }

    /// Says whether all that was wanted came.
    ///
    /// # Errors
    /// [`MediaError::WrongLength`] when something is missing; what [`Opener::open`] said, if it failed.
    pub fn finish(self) -> Result<(), MediaError> {
        match self.failed {
            Some(failed) => Err(failed),
            None if self.chunks.is_empty() => Ok(()),
            None => Err(MediaError::WrongLength),
        }
    }
}

macro_rules! without_secrets {
    ($name:ident) => {
        /// Shows no key.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("layout", &self.cipher.layout).finish()
            }
        }
    };
}

without_secrets!(Sealer);
without_secrets!(StreamSealer);
without_secrets!(Opener);
