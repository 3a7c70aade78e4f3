//! A sealed file as a stream of bytes.

use std::fs::File;
use std::io::{self, Read};

use estafette_core::media::Sealer;

use super::{Error, PIECE_BYTES, Stage, Work};

/// Seals a file while it is read, or reads one that is sealed.
pub(super) struct SealedReader {
    file: File,
    sealer: Option<Sealer>,
    plain: Vec<u8>,
    ready: Vec<u8>,
    taken: usize,
}

impl SealedReader {
    pub(super) fn sealing(file: File, sealer: Sealer) -> Self {
        let plain = vec![0; PIECE_BYTES];
        Self { file, sealer: Some(sealer), plain, ready: Vec::new(), taken: 0 }
    }

    pub(super) fn sealed(file: File) -> Self {
        Self { file, sealer: None, plain: Vec::new(), ready: Vec::new(), taken: 0 }
    }

    /// Seals more of the file, until something is ready or nothing is left.
    fn fill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.taken = 0;
        let longer = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        while self.ready.is_empty() {
            let Some(sealer) = &mut self.sealer else { return Ok(()) };
            let read = self.file.read(&mut self.plain)?;
            let bytes = self.plain.get(..read).unwrap_or_default();
            if !bytes.is_empty() {
                sealer.seal(bytes, &mut self.ready).map_err(longer)?;
            } else if let Some(sealer) = self.sealer.take() {
                // What is missing is missed by whoever counts.
                let _ = sealer.finish(&mut self.ready);
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Read for SealedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plain.is_empty() {
            return self.file.read(buffer);
        }
        if self.taken == self.ready.len() {
            self.fill()?;
        }
        let mut rest = self.ready.get(self.taken..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}

/// A part of a sealed file as the body of a request. It remembers why it failed, which the network
/// only passes on as a failure.
pub(super) struct UploadBody<'a> {
    reader: SealedReader,
    at: u64,
    end: u64,
    sealed: u64,
    work: &'a Work,
    failed: Option<Failed>,
}

/// Why a body could not be read.
pub(super) enum Failed {
    Stopped(Error),
    Read(io::Error),
    Short,
}

impl<'a> UploadBody<'a> {
    /// The bytes from `at` to `end` of a file of `sealed` bytes.
    pub(super) fn new(
        reader: SealedReader,
        (at, end): (u64, u64),
        sealed: u64,
        work: &'a Work,
    ) -> Self {
        Self { reader, at, end, sealed, work, failed: None }
    }

    pub(super) fn failed(self) -> Option<Failed> {
        self.failed
    }

    fn fail(&mut self, failed: Failed) -> io::Error {
        self.failed = Some(failed);
        io::ErrorKind::Other.into()
    }
}

impl Read for UploadBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Err(stopped) = self.work.stop.check() {
            return Err(self.fail(Failed::Stopped(stopped)));
        }
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = left.min(buffer.len());
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let read = match self.reader.read(buffer) {
            Ok(read) => read,
            Err(error) => return Err(self.fail(Failed::Read(error))),
        };
        if read == 0 && room > 0 {
            return Err(self.fail(Failed::Short));
        }
        self.at += read as u64;
        self.work.says(Stage::Moving, self.at, Some(self.sealed));
        Ok(read)
    }
}
