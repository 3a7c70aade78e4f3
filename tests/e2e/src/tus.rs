//! A device that sends and fetches files by hand.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use estafette::Account;
use estafette_protocol::MediaId;
use tokio::time::{Instant, sleep};

use crate::{Answer, Request, Stage};

const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// How long the server may take to be where it will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// A device of an account.
#[derive(Clone, Copy)]
pub struct Tus<'a> {
    stage: &'a Stage,
    account: &'a Account,
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TusUpload {
    /// Its path.
    pub path: String,
    /// The file that it becomes.
    pub media: MediaId,
}

/// So many bytes that no other seed gives.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

impl<'a> Tus<'a> {
    /// A device.
    pub fn new(stage: &'a Stage, account: &'a Account) -> Self {
        Self { stage, account }
    }

    /// A request with the headers that every one has.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).token(&self.account.token).header("Tus-Resumable", "1.0.0")
    }

    /// A request that begins an upload.
    pub fn creation(&self, length: u64) -> Request {
        self.request("POST", "/v1/uploads").header("Upload-Length", &length.to_string())
    }

    /// A request that brings bytes.
    pub fn patch(&self, upload: &TusUpload, offset: u64) -> Request {
        self.request("PATCH", &upload.path)
            .header("Content-Type", OFFSET_STREAM)
            .header("Upload-Offset", &offset.to_string())
    }

    /// Begins an upload, and maybe brings bytes with it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, length: u64, body: &[u8]) -> Result<TusUpload> {
        let mut request = self.creation(length);
        if !body.is_empty() {
            request = request.header("Content-Type", OFFSET_STREAM);
        }
        let answer = request.body(body).send(self.stage).await?;
        ensure!(answer.status == 201, "{answer:?}");
        ensure!(answer.header("upload-offset") == Some(&body.len().to_string()), "{answer:?}");
        let path = answer.header("location").context("no location")?.to_owned();
        let name = path.rsplit('/').next().and_then(|name| name.get(..32));
        let media = name.context("no name")?.parse()?;
        Ok(TusUpload { path, media })
    }

    /// Where an upload stands.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn offset(&self, upload: &TusUpload) -> Result<u64> {
        let answer = self.request("HEAD", &upload.path).send(self.stage).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.header("upload-offset").context("no offset")?.parse()?)
    }

    /// Brings what is still to come of a file, `most` bytes at a time; asks where the upload stands when
    /// it stands elsewhere than was thought.
    ///
    /// # Errors
    /// When it is refused for another reason.
    pub async fn finish(&self, upload: &TusUpload, file: &[u8], most: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut offset = self.offset(upload).await?;
        while offset < file.len() as u64 {
            ensure!(Instant::now() < deadline, "the upload does not get on from {offset}");
            let rest = file.get(offset as usize..).unwrap_or_default();
            let piece = rest.get(..most).unwrap_or(rest);
            let answer = self.patch(upload, offset).body(piece).send(self.stage).await?;
            if answer.status == 204 {
                offset += piece.len() as u64;
                let told = answer.header("upload-offset").context("no offset")?;
                ensure!(told.parse() == Ok(offset), "{told} is not {offset}");
            } else {
                ensure!(answer.status == 409, "{answer:?}");
                offset = self.offset(upload).await?;
            }
        }
        Ok(())
    }

    /// Brings bytes from an offset on, and is cut after some. Returns where the upload stands when
    /// nothing of what arrived is on its way any more: all of it is safe.
    ///
    /// # Errors
    /// When less is safe.
    pub async fn cut(
        &self,
        upload: &TusUpload,
        offset: u64,
        rest: &[u8],
        after: usize,
    ) -> Result<u64> {
        self.patch(upload, offset).body(rest).cut(self.stage, after).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stands = self.offset(upload).await?;
            if stands == offset + after as u64 {
                return Ok(stands);
            }
            ensure!(Instant::now() < deadline, "{after} bytes from {offset} came to {stands}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Fetches a file.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, media: MediaId) -> Result<Answer> {
        let path = format!("/v1/media/{media}");
        Request::new("GET", &path).token(&self.account.token).send(self.stage).await
    }
}
