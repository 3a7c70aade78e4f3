//! Sending files: from a path or a stream to a message.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use estafette_core::media::{Layout, MediaKey};
use estafette_core::{About, ClientError, Outgoing, OutgoingFile};
use estafette_protocol::{MediaId, MessageId, PhoneNumber};

use super::source::{Source, drawn, spool};
use super::{Claim, Report, Work, blocking, describe, outgoing};
use crate::{Error, Handle};

/// A file that is to be sent.
pub struct FileToSend {
    from: From,
    /// What the recipient is told that it is called; by itself the name of the file.
    pub name: Option<String>,
    /// What is said of it.
    pub caption: Option<String>,
}

enum From {
    Path(PathBuf),
    Reader(Box<dyn Read + Send>),
}

impl FileToSend {
    /// The file at a path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { from: From::Path(path.into()), name: None, caption: None }
    }

    /// What a reader gives, to its end. It is kept sealed in the profile until it is sent.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        Self { from: From::Reader(Box::new(reader)), name: None, caption: None }
    }
}

impl fmt::Debug for FileToSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileToSend")
    }
}

/// A file that the server has and nobody was told of.
#[derive(Debug)]
pub struct Uploaded {
    outgoing: Outgoing,
    id: MediaId,
    _claim: Claim,
}

/// A file whose upload was interrupted.
#[derive(Debug, Clone)]
pub struct Unfinished(Outgoing);

impl Unfinished {
    /// Whom it is for.
    pub fn peer(&self) -> PhoneNumber {
        self.0.file.peer
    }

    /// What is said of it.
    pub fn about(&self) -> &About {
        &self.0.file.about
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.0.file.size
    }
}

impl Handle {
    /// Sends a file: uploads it, sealed with a key of its own, and sends the message that tells of
    /// it. Whoever drops the future stops it; the same call goes on where it stopped, if the file
    /// did not change.
    ///
    /// # Errors
    /// When the file can't be read, is too large or changes meanwhile, when the server refuses or
    /// doesn't answer for long, and as [`Handle::send`].
    pub async fn send_file(
        &self,
        to: PhoneNumber,
        file: FileToSend,
        report: Report,
    ) -> Result<MessageId, Error> {
        let uploaded = self.upload(to, file, report).await?;
        self.tell_of(vec![uploaded]).await?.first().copied().ok_or(Error::Ended)
    }

    /// Uploads a file for somebody, who is told of it with [`Handle::tell_of`].
    ///
    /// # Errors
    /// As [`Handle::send_file`].
    pub async fn upload(
        &self,
        to: PhoneNumber,
        file: FileToSend,
        report: Report,
    ) -> Result<Uploaded, Error> {
        let work = Work::new(report);
        let _stop = work.stop.guard();
        let (outgoing, claim) = match file.from {
            From::Reader(reader) => {
                self.begin_stream(to, reader, (file.name, file.caption), &work).await?
            }
            From::Path(path) => self.begin_file(to, path, (file.name, file.caption), &work).await?,
        };
        self.carry(outgoing, claim, &work).await
    }

    /// The files for somebody whose upload was interrupted, the oldest first.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn unfinished(&self, to: PhoneNumber) -> Result<Vec<Unfinished>, Error> {
        let uploads = self.uploads().await?.into_iter();
        Ok(uploads.filter(|upload| upload.file.peer == to).map(Unfinished).collect())
    }

    /// Goes on with an interrupted upload.
    ///
    /// # Errors
    /// As [`Handle::send_file`]; [`Error::NotTaken`] when its message was sent meanwhile, or another
    /// call is at it. One whose file changed or is gone is forgotten.
    pub async fn resume(&self, unfinished: Unfinished, report: Report) -> Result<Uploaded, Error> {
        let work = Work::new(report);
        let _stop = work.stop.guard();
        let claimed = self.claim(unfinished.0.id).await?;
        let (outgoing, claim) = claimed.ok_or(Error::NotTaken(ClientError::NoSuchUpload))?;
        if !self.is_same(&outgoing, &work).await? {
            let path = Source::from_bytes(&outgoing.file.source);
            self.forget(outgoing).await?;
            let path = path.map(|source| source.path().to_owned()).unwrap_or_default();
            return Err(Error::Changed(path));
        }
        self.carry(outgoing, claim, &work).await
    }

    /// Tells the recipient of uploaded files, in this order, of all of them or of none. The messages
    /// are in the store when this returns.
    ///
    /// # Errors
    /// As [`Handle::send`]; when the files are not all for one recipient.
    pub async fn tell_of(&self, uploaded: Vec<Uploaded>) -> Result<Vec<MessageId>, Error> {
        let files = uploaded.iter().map(|uploaded| (uploaded.outgoing.id, uploaded.id)).collect();
        let messages = self.send_uploads(files).await?;
        for Uploaded { outgoing, .. } in &uploaded {
            if let Some(source) = Source::from_bytes(&outgoing.file.source) {
                source.forget();
            }
        }
        Ok(messages)
    }

    async fn carry(
        &self,
        outgoing: Outgoing,
        claim: Claim,
        work: &Work,
    ) -> Result<Uploaded, Error> {
        match outgoing::run(self, &outgoing, work).await {
            Ok(id) => Ok(Uploaded { outgoing, id, _claim: claim }),
            Err(error) => {
                if matches!(error, Error::Changed(_)) {
                    self.forget(outgoing).await?;
                }
                Err(error)
            }
        }
    }

    /// Reads a stream into the spool, and keeps what it is in the store.
    async fn begin_stream(
        &self,
        to: PhoneNumber,
        mut reader: Box<dyn Read + Send>,
        (name, caption): (Option<String>, Option<String>),
        work: &Work,
    ) -> Result<(Outgoing, Claim), Error> {
        let directory = self.spool().ok_or(Error::NoSpool)?;
        let part = work.clone();
        let about = About {
            media_type: name.as_deref().and_then(describe::media_type),
            name,
            caption,
            ..About::default()
        };
        about.check().map_err(ClientError::from)?;
        let (spooled, stamp) = blocking(move || {
            let spooled = spool(&directory, &mut reader, &part)?;
            let stamp = spooled.source.stamp()?;
            Ok((spooled, stamp))
        })
        .await?;
        let source = spooled.source.clone();
        let begun = self
            .begin(OutgoingFile {
                peer: to,
                source: source.to_bytes(),
                stamp,
                key: spooled.key,
                size: spooled.layout.size(),
                digest: spooled.digest,
                about,
            })
            .await;
        if begun.is_err() {
            source.forget();
        }
        begun
    }

    /// Finds the upload of a file in the store, or begins one.
    async fn begin_file(
        &self,
        to: PhoneNumber,
        path: PathBuf,
        (name, caption): (Option<String>, Option<String>),
        work: &Work,
    ) -> Result<(Outgoing, Claim), Error> {
        let (source, size, stamp, about) = blocking(move || {
            let (source, size) = Source::file(&path)?;
            // What is not sent anyhow needs no description.
            Layout::of_size(size)?;
            let stamp = source.stamp()?;
            let about = About { caption, ..describe::describe(&path, name) };
            Ok((source, size, stamp, about))
        })
        .await?;
        about.check().map_err(ClientError::from)?;
        let bytes = source.to_bytes();
        for outgoing in self.uploads().await? {
            let file = &outgoing.file;
            if file.peer != to || file.source != bytes {
                continue;
            }
            // Another call of this program may be at it.
            let Some((outgoing, claim)) = self.claim(outgoing.id).await? else { continue };
            let file = &outgoing.file;
            if file.stamp != stamp {
                self.forget(outgoing).await?;
            } else if file.about == about {
                // With another caption it would be another message.
                if self.is_same(&outgoing, work).await? {
                    return Ok((outgoing, claim));
                }
                self.forget(outgoing).await?;
            }
        }
        let layout = Layout::of_size(size)?;
        let key = MediaKey(drawn()?);
        let (part, drawn_key) = (work.clone(), key.clone());
        let (digest, stamp) = blocking(move || {
            let digest = source.digest(&drawn_key, layout, &part)?;
            source.check(&stamp)?;
            Ok((digest, stamp))
        })
        .await?;
        self.begin(OutgoingFile { peer: to, source: bytes, stamp, key, size, digest, about }).await
    }

    /// Whether a file still is what its key sealed. All of it is read: a key that sealed other bytes
    /// would give both away.
    async fn is_same(&self, outgoing: &Outgoing, work: &Work) -> Result<bool, Error> {
        let (file, part) = (outgoing.file.clone(), work.clone());
        blocking(move || {
            let Some(source) = Source::from_bytes(&file.source) else { return Ok(false) };
            let layout = Layout::of_size(file.size)?;
            let same = source.check(&file.stamp).and_then(|()| {
                let digest = source.digest(&file.key, layout, &part)?;
                Ok(digest == file.digest)
            });
            match same {
                Err(Error::Changed(_) | Error::File { .. }) => Ok(false),
                same => same,
            }
        })
        .await
    }

    /// An upload that nobody else is at, unless it is over.
    async fn claim(&self, id: u64) -> Result<Option<(Outgoing, Claim)>, Error> {
        let Some(claim) = self.claims().take(id) else { return Ok(None) };
        Ok(self.upload_now(id).await?.map(|outgoing| (outgoing, claim)))
    }

    async fn begin(&self, file: OutgoingFile) -> Result<(Outgoing, Claim), Error> {
        let (id, claim) = self.begin_upload(file.clone()).await?;
        Ok((Outgoing { id, file, path: None }, claim.ok_or(Error::Ended)?))
    }

    /// Forgets an upload, here and on the server.
    async fn forget(&self, outgoing: Outgoing) -> Result<(), Error> {
        self.drop_upload(outgoing.id).await?;
        if let Some(source) = Source::from_bytes(&outgoing.file.source) {
            source.forget();
        }
        if let Some(path) = outgoing.path {
            outgoing::end(self, path).await;
        }
        Ok(())
    }
}
