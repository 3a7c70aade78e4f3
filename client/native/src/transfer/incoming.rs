//! Fetching files.
//!
//! What was proven goes into `ID.part` beside the destination; when all is there and is what the
//! message says, it moves to its name. A part that is there already is read again, sealed again, and
//! so counts in the digest like what comes after it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use estafette_core::Media;
use estafette_core::media::{
    CHUNK_BYTES, Digester, Download, DownloadStep, Layout, MediaError, Opener, Sealer,
    safe_file_name,
};
use tokio_tungstenite::tungstenite::http::Method;

use super::wire::{Cut, Wire, answer};
use super::{PIECE_BYTES, Report, Stage, Work, blocking, ended, random};
use crate::server::plain_reason;
use crate::{Account, Error, Handle};

/// How many numbers are tried for a name that is taken.
const NAMES_MAX: u32 = 10_000;

/// Where a file goes.
pub enum Destination {
    /// Into a directory, under the name that its sender gave it, as far as that is safe, and with a
    /// number where the name is taken.
    Directory(PathBuf),
    /// To this path, where nothing is yet.
    File(PathBuf),
    /// Into a stream, as it comes. What was written is proven chunk by chunk, the whole only when
    /// it is all there.
    Writer(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Destination")
    }
}

impl Handle {
    /// Fetches the file that a message tells of, opens it and proves it. Returns where it is, unless
    /// it went into a stream. Whoever drops the future stops it; the same call goes on where it
    /// stopped.
    ///
    /// # Errors
    /// When the server no longer has it, it was altered, or can't be written; when the server
    /// refuses or doesn't answer for long.
    pub async fn fetch_file(
        &self,
        media: &Media,
        to: Destination,
        report: Report,
    ) -> Result<Option<PathBuf>, Error> {
        let work = Work::new(report);
        let _stop = work.stop.guard();
        let (media, part) = (media.clone(), work.clone());
        let mut incoming = blocking(move || Incoming::begin(media, to, &part)).await?;
        let mut download = Download::new(incoming.layout, incoming.opener.takes().start);
        let (mut reason, sealed) = (String::new(), incoming.layout.sealed());
        loop {
            match download.step() {
                DownloadStep::Done => break,
                DownloadStep::Wait(wait) => {
                    work.says(Stage::Waiting(wait), download.from(), Some(sealed));
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                DownloadStep::Get(from) => {
                    let account = self.account();
                    let server = account.server.address().to_owned();
                    let part = work.clone();
                    let got = blocking(move || {
                        let mut state = (incoming, download);
                        let got = state.0.get(&account, from, &mut state.1, &part)?;
                        Ok((state, got))
                    });
                    let got = got.await?;
                    (incoming, download) = got.0;
                    if let Some(Cut(why)) = got.1.cut {
                        reason = why;
                    }
                    got.1.went_on.map_err(|error| ended(error, &server, reason.clone()))?;
                }
            }
        }
        blocking(move || incoming.finish()).await
    }
}

/// What came of a request.
struct Got {
    went_on: Result<(), estafette_core::media::TransferError>,
    cut: Option<Cut>,
}

/// A file on its way in.
struct Incoming {
    media: Media,
    layout: Layout,
    opener: Opener,
    digester: Digester,
    sink: Sink,
}

enum Sink {
    Part { file: File, path: PathBuf, to: Target },
    Writer(Box<dyn Write + Send>),
}

enum Target {
    Directory(PathBuf),
    File(PathBuf),
}

impl Incoming {
    fn begin(media: Media, to: Destination, work: &Work) -> Result<Self, Error> {
        let layout = Layout::of_size(media.size)?;
        let (directory, target) = match to {
            Destination::Writer(writer) => {
                let opener = Opener::new(&media.key, layout);
                let (digester, sink) = (Digester::default(), Sink::Writer(writer));
                return Ok(Self { media, layout, opener, digester, sink });
            }
            Destination::Directory(directory) => (directory.clone(), Target::Directory(directory)),
            Destination::File(path) => {
                if path.symlink_metadata().is_ok() {
                    return Err(Error::Exists(path));
                }
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                (parent.unwrap_or(Path::new(".")).to_owned(), Target::File(path))
            }
        };
        let path = directory.join(format!("{}.part", media.id));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(writing(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::Fetching(path)),
            // A file system without locks.
            Err(fs::TryLockError::Error(_)) => {}
        }
        let (digester, kept) =
            reread(&mut file, &media, layout, work).map_err(|error| match error {
                Failed::System(error) => writing(&path)(error),
                Failed::Other(error) => error,
            })?;
        let opener = match kept {
            0 => Opener::new(&media.key, layout),
            kept => Opener::of_range(&media.key, layout, kept..media.size)?,
        };
        let sink = Sink::Part { file, path, to: target };
        Ok(Self { media, layout, opener, digester, sink })
    }

    /// Performs one request, and takes what comes of it.
    fn get(
        &mut self,
        account: &Account,
        from: u64,
        download: &mut Download,
        work: &Work,
    ) -> Result<Got, Error> {
        let wire = Wire::new(account);
        let mut request = wire.request(Method::GET, &format!("/v1/media/{}", self.media.id));
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let mut response = match wire.perform(request, None)? {
            Ok(response) => response,
            Err(cut) => {
                let went_on = download.on_answer(None, random()).map(drop);
                return Ok(Got { went_on, cut: Some(cut) });
            }
        };
        let answer = answer(&mut response);
        match download.on_answer(Some(&answer), random()) {
            Ok(true) => {}
            other => return Ok(Got { went_on: other.map(drop), cut: None }),
        }
        if download.from() != from {
            self.restart()?;
        }
        let length = self.layout.sealed() - download.from();
        let mut body = response.into_body().into_with_config().limit(length + 1).reader();
        let mut piece = vec![0; PIECE_BYTES];
        let mut cut = None;
        loop {
            work.stop.check()?;
            match body.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => {
                    self.take(piece.get(..read).unwrap_or_default())?;
                    download.has(self.opener.takes().start);
                    work.says(Stage::Moving, download.from(), Some(self.layout.sealed()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    cut = Some(Cut(plain_reason(&ureq::Error::Io(error))));
                    break;
                }
            }
        }
        Ok(Got { went_on: download.ended(random()), cut })
    }

    /// Takes the next bytes of the sealed file.
    fn take(&mut self, sealed: &[u8]) -> Result<(), Error> {
        let mut opened = Vec::with_capacity(PIECE_BYTES);
        let proven = self.opener.open(sealed, &mut opened);
        self.digester.update(sealed);
        match &mut self.sink {
            Sink::Part { file, path, .. } => file.write_all(&opened).map_err(writing(path))?,
            Sink::Writer(writer) => {
                writer.write_all(&opened).map_err(writing(Path::new("the output")))?;
            }
        }
        proven.map_err(altered)
    }

    /// Begins from the first byte, since the server does.
    fn restart(&mut self) -> Result<(), Error> {
        match &mut self.sink {
            Sink::Part { file, path, .. } => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(writing(path))?;
            }
            // What was written can't be taken back.
            Sink::Writer(_) => {
                let kind = io::ErrorKind::Unsupported;
                return Err(writing(Path::new("the output"))(kind.into()));
            }
        }
        self.opener = Opener::new(&self.media.key, self.layout);
        self.digester = Digester::default();
        Ok(())
    }

    /// Proves the whole, and moves it to its name.
    fn finish(self) -> Result<Option<PathBuf>, Error> {
        self.opener.finish().map_err(altered)?;
        let same = self.digester.finish() == self.media.digest;
        let (file, path, to) = match self.sink {
            Sink::Writer(mut writer) => {
                writer.flush().map_err(writing(Path::new("the output")))?;
                return if same { Ok(None) } else { Err(Error::Altered) };
            }
            Sink::Part { file, path, to } => (file, path, to),
        };
        if !same {
            drop(file);
            // What stays is refused again.
            let _ = fs::remove_file(&path);
            return Err(Error::Altered);
        }
        file.sync_all().map_err(writing(&path))?;
        let taken = match to {
            Target::File(to) if claim(&to)? => to,
            Target::File(to) => return Err(Error::Exists(to)),
            Target::Directory(directory) => {
                let name = self.media.about.name.as_deref().unwrap_or_default();
                free_name(&directory, &safe_file_name(name))?
            }
        };
        fs::rename(&path, &taken).map_err(writing(&taken))?;
        Ok(Some(taken))
    }
}

enum Failed {
    System(io::Error),
    Other(Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<MediaError> for Failed {
    fn from(error: MediaError) -> Self {
        Self::Other(error.into())
    }
}

/// Reads what is there already of a file, whole chunks of it, and cuts off the rest. Returns the
/// digest so far and how many bytes of the file it is of.
fn reread(
    file: &mut File,
    media: &Media,
    layout: Layout,
    work: &Work,
) -> Result<(Digester, u64), Failed> {
    let there = file.metadata()?.len();
    // More than there is cannot be of this file.
    let there = if there > media.size { 0 } else { there };
    let kept = if there == media.size { there } else { there / CHUNK_BYTES * CHUNK_BYTES };
    file.set_len(kept)?;
    file.seek(SeekFrom::Start(0))?;
    let (mut sealer, mut digester) = (Sealer::new(&media.key, layout), Digester::default());
    let (mut piece, mut sealed, mut done) = (vec![0; PIECE_BYTES], Vec::new(), 0);
    while done < kept {
        work.stop.check().map_err(Failed::Other)?;
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Err(Failed::System(io::ErrorKind::UnexpectedEof.into()));
        }
        sealer.seal(piece.get(..read).unwrap_or_default(), &mut sealed)?;
        digester.update(&sealed);
        sealed.clear();
        done += read as u64;
        work.says(Stage::Reading, done, Some(kept));
    }
    Ok((digester, kept))
}

/// A name in a directory that nothing has, which is then taken by an empty file.
fn free_name(directory: &Path, name: &str) -> Result<PathBuf, Error> {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    for number in 1..NAMES_MAX {
        let numbered = match number {
            1 => name.to_owned(),
            number => format!("{stem} ({number}){extension}"),
        };
        let path = directory.join(numbered);
        if claim(&path)? {
            return Ok(path);
        }
    }
    Err(Error::Exists(directory.join(name)))
}

/// Takes a name, unless something has it.
fn claim(path: &Path) -> Result<bool, Error> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(writing(path)(error)),
    }
}

fn altered(error: MediaError) -> Error {
    match error {
        MediaError::Altered | MediaError::WrongLength => Error::Altered,
        other => other.into(),
    }
}

fn writing(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { action: "write", path: path.clone(), source }
}
