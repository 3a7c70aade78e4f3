//! Where the bytes of an outgoing file come from: a file of the user's, which is sealed as it is
//! read, or the spool of a profile, where what has no length before its end is kept sealed.
//!
//! Invariant: what is read under one key is the same bytes each time. A file's stamp, its length and
//! the time of its last change, is looked at before and after it is read.

use std::fs::{self, File, Metadata};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use estafette_core::media::{Digester, Layout, MediaDigest, MediaKey, StreamSealer};

use super::sealed::SealedReader;
use super::{PIECE_BYTES, Stage, Work};
use crate::files::{private, private_directory};
use crate::{Error, ProfileError};

/// How long a spooled file stays that no upload knows.
const ORPHAN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const SPOOLED: &str = "sealed";
/// What the source of a file begins with in the store, and that of a spooled one.
const KINDS: [&[u8]; 2] = [b"file:", b"spool:"];

/// See the file's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A file of the user's, by its absolute path.
    File(PathBuf),
    /// A sealed file of the spool.
    Spool(PathBuf),
}

impl Source {
    /// A file that the user named.
    pub(super) fn file(path: &Path) -> Result<(Self, u64), Error> {
        let absolute = fs::canonicalize(path).map_err(reading(path))?;
        let metadata = fs::metadata(&absolute).map_err(reading(path))?;
        if !metadata.is_file() {
            return Err(Error::NoFile(path.to_owned()));
        }
        Ok((Self::File(absolute), metadata.len()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Spool(path) => path,
        }
    }

    /// As the store keeps it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let [file, spool] = KINDS;
        let kind = if matches!(self, Self::File(_)) { file } else { spool };
        [kind, self.path().as_os_str().as_encoded_bytes()].concat()
    }

    /// The reverse of [`Source::to_bytes`], as far as this system can write such a path.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [file, spool] = KINDS;
        if let Some(path) = bytes.strip_prefix(file) {
            return Some(Self::File(to_path(path)?));
        }
        Some(Self::Spool(to_path(bytes.strip_prefix(spool)?)?))
    }

    /// What its bytes are known by.
    pub(super) fn stamp(&self) -> Result<Vec<u8>, Error> {
        let metadata = fs::metadata(self.path()).map_err(reading(self.path()))?;
        Ok(stamp_of(&metadata))
    }

    /// Whether its bytes are those that the stamp was taken of.
    pub(super) fn check(&self, stamp: &[u8]) -> Result<(), Error> {
        if self.stamp()? == stamp { Ok(()) } else { Err(self.changed()) }
    }

    pub(super) fn changed(&self) -> Error {
        Error::Changed(self.path().to_owned())
    }

    /// Reads the sealed file from one of its bytes on.
    pub(super) fn sealed(
        &self,
        key: &MediaKey,
        layout: Layout,
        from: u64,
    ) -> Result<SealedReader, Error> {
        let path = self.path();
        let mut file = File::open(path).map_err(reading(path))?;
        let mut seek = |to| file.seek(SeekFrom::Start(to)).map(drop).map_err(reading(path));
        match self {
            Self::File(_) => {
                let sealer = estafette_core::media::Sealer::after(key, layout, from)?;
                seek(sealer.reads_from())?;
                Ok(SealedReader::sealing(file, sealer))
            }
            Self::Spool(_) => {
                seek(from)?;
                Ok(SealedReader::sealed(file))
            }
        }
    }

    /// The digest of the sealed file.
    pub(super) fn digest(
        &self,
        key: &MediaKey,
        layout: Layout,
        work: &Work,
    ) -> Result<MediaDigest, Error> {
        let mut reader = self.sealed(key, layout, 0)?;
        let mut digester = Digester::default();
        let mut piece = vec![0; PIECE_BYTES];
        let mut done = 0;
        loop {
            work.stop.check()?;
            let read = reader.read(&mut piece).map_err(reading(self.path()))?;
            let Some(sealed) = piece.get(..read).filter(|sealed| !sealed.is_empty()) else { break };
            digester.update(sealed);
            done += read as u64;
            work.says(Stage::Reading, done, Some(layout.sealed()));
        }
        // A file that grew or shrank while it was read.
        if done != layout.sealed() {
            return Err(self.changed());
        }
        Ok(digester.finish())
    }

    /// Removes what only the upload needed.
    pub(super) fn forget(&self) {
        if let Self::Spool(path) = self {
            // What can't be removed now is removed as an orphan later.
            let _ = fs::remove_file(path);
        }
    }
}

/// What was spooled.
pub(super) struct Spooled {
    pub(super) source: Source,
    pub(super) key: MediaKey,
    pub(super) layout: Layout,
    pub(super) digest: MediaDigest,
}

/// Reads something to its end and keeps it sealed.
pub(super) fn spool(directory: &Path, from: &mut dyn Read, work: &Work) -> Result<Spooled, Error> {
    private_directory(directory)?;
    remove_orphans(directory);
    let name: [u8; 16] = drawn()?;
    let path = directory.join(HEXLOWER.encode(&name)).with_extension(SPOOLED);
    let source = Source::Spool(path.clone());
    let written = write_spool(&path, from, work);
    match written {
        Ok((key, layout, digest)) => Ok(Spooled { source, key, layout, digest }),
        Err(error) => {
            source.forget();
            Err(error)
        }
    }
}

fn write_spool(
    path: &Path,
    from: &mut dyn Read,
    work: &Work,
) -> Result<(MediaKey, Layout, MediaDigest), Error> {
    let key = MediaKey(drawn()?);
    let writing = |source| ProfileError::Io { action: "write", path: path.to_owned(), source };
    let mut file = private().create_new(true).write(true).open(path).map_err(writing)?;
    let mut sealer = StreamSealer::new(&key);
    let mut digester = Digester::default();
    let (mut piece, mut sealed, mut done) = (vec![0; PIECE_BYTES], Vec::new(), 0);
    loop {
        work.stop.check()?;
        let read = from.read(&mut piece).map_err(reading(Path::new("standard input")))?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        sealer.seal(bytes, &mut sealed)?;
        digester.update(&sealed);
        file.write_all(&sealed).map_err(writing)?;
        sealed.clear();
        done += read as u64;
        work.says(Stage::Reading, done, None);
    }
    let layout = sealer.finish(&mut sealed)?;
    digester.update(&sealed);
    file.write_all(&sealed).map_err(writing)?;
    file.sync_all().map_err(writing)?;
    Ok((key, layout, digester.finish()))
}

/// Removes what a crash left before an upload knew it, and what the store forgot.
fn remove_orphans(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age =
            modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        let spooled = entry.path().extension().is_some_and(|extension| extension == SPOOLED);
        // An upload is unfinished for a day at most before the server forgets it.
        if spooled && age.is_some_and(|age| age > ORPHAN_LIFE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Random bytes, as many as are wanted.
pub(crate) fn drawn<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ProfileError::NoRandomness)?;
    Ok(bytes)
}

fn stamp_of(metadata: &Metadata) -> Vec<u8> {
    let modified = metadata.modified().ok();
    let since = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = since.unwrap_or_default().as_nanos();
    [&metadata.len().to_be_bytes()[..], &nanoseconds.to_be_bytes()].concat()
}

/// Says on what reading failed.
pub(super) fn reading(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { action: "read", path: path.clone(), source }
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> Option<PathBuf> {
    str::from_utf8(bytes).ok().map(PathBuf::from)
}
