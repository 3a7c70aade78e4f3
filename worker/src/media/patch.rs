//! Bytes that arrive for an upload: each stretch goes where the upload's object says, and is told to it as
//! soon as R2 has it.

use estafette_protocol::ErrorCode;
use estafette_relay::{
    AccountRequest, Begun, Fragment, Part, Piece, Standing, Step, UploadAnswer, UploadRequest,
};
use wasm_bindgen::JsCast;
use worker::js_sys::{Promise, Uint8Array};

use super::headers::{self, Checksum};
use super::store::{Body, Outcome, answered};
use super::tus::{Opened, Progress, store_failed};
use crate::front::Front;
use crate::problem::Failure;

/// Where one request stands.
struct Patch<'a> {
    front: &'a Front,
    opened: Opened,
    body: Body,
    begun: Begun,
    /// What the client is told again of a file that is one object.
    metadata: Option<String>,
    /// Up to where the object knows of it.
    offset: u64,
    /// What R2 has, and the object does not know.
    pieces: Vec<Piece>,
    /// All bytes must come before any counts.
    checked: bool,
}

impl Front {
    /// `PATCH` of an upload.
    pub(super) async fn patch(&self, opened: Opened) -> Result<Progress, Failure> {
        self.check_type()?;
        let offset = self.header("upload-offset").as_deref().and_then(headers::whole);
        let offset = offset.ok_or(ErrorCode::Malformed)?;
        let bytes = self.announced(false)?;
        let checksum = self.checksum()?;
        self.bring(opened, offset, bytes, checksum).await
    }

    /// Takes the body of this request, `bytes` long, as what follows on `offset`.
    pub(super) async fn bring(
        &self,
        opened: Opened,
        offset: u64,
        bytes: u64,
        checksum: Option<Checksum>,
    ) -> Result<Progress, Failure> {
        let media = opened.name.media;
        let (begun, metadata) = match self
            .ask_upload(media, &UploadRequest::Begin { offset, bytes })
            .await?
        {
            UploadAnswer::Begun { begun, metadata } => (begun, metadata),
            UploadAnswer::Standing(standing) => {
                let progress = self.settle(opened, standing).await?;
                return stands(progress, offset, bytes);
            }
            UploadAnswer::TooLong => return Err(ErrorCode::TooLarge.into()),
            UploadAnswer::Unknown => {
                let file =
                    self.store.look(&self.setup.places.file(media)).await.map_err(store_failed)?;
                file.ok_or(ErrorCode::Gone)?;
                let end = u64::from(opened.name.length);
                return stands(Progress { offset: end, expires_at: None }, offset, bytes);
            }
            _ => return Err(ErrorCode::Internal.into()),
        };
        if bytes > 0 {
            let work = begun.work;
            let request = AccountRequest::Media { device: opened.identity.device, work };
            self.ask(opened.identity.account, &request).await?;
        }
        let checked = checksum.is_some();
        let (algorithm, digest) = checksum.map_or((None, None), |checksum| {
            let digest = Uint8Array::from(checksum.digest.as_slice());
            (Some(checksum.algorithm.of_streams().to_owned()), Some(digest))
        });
        let stream = self.request.inner().body();
        let body = self.store.body(stream, bytes as f64, algorithm, digest);
        let body = body.or(Err(ErrorCode::Internal))?;
        let pieces = Vec::new();
        Patch { front: self, opened, body, begun, metadata, offset, pieces, checked }.run().await
    }
}

/// What to say of bytes for an upload that takes none: it is finished, or stands elsewhere.
fn stands(progress: Progress, offset: u64, bytes: u64) -> Result<Progress, Failure> {
    if progress.offset != offset {
        return Err(ErrorCode::WrongOffset.into());
    }
    if bytes > 0 { Err(ErrorCode::TooLarge.into()) } else { Ok(progress) }
}

impl Patch<'_> {
    async fn run(mut self) -> Result<Progress, Failure> {
        if self.begun.steps.is_empty() {
            return self.nothing().await;
        }
        let mut standing = None;
        let steps = std::mem::take(&mut self.begun.steps);
        for (at, step) in steps.into_iter().enumerate() {
            let before = if at == 0 { std::mem::take(&mut self.begun.fragments) } else { vec![] };
            let rescue = name()?;
            let outcome = self.pour(step, &before, rescue).await?;
            if outcome.done() != Some(true) {
                self.body.cancel();
                return Err(self.failed(&outcome, rescue).await);
            }
            self.pieces.push(outcome_piece(step, rescue, &outcome));
            if !self.checked {
                standing = Some(self.commit().await?);
            }
        }
        if self.checked {
            standing = Some(self.commit().await?);
        }
        let standing = standing.ok_or(ErrorCode::Internal)?;
        // An object of one part has left by itself.
        if standing.offset == standing.length && standing.finish.is_none() {
            self.front.leave_place(self.opened).await;
        }
        self.front.settle(self.opened, standing).await
    }

    /// A request without bytes changes nothing; but its checksum must be right.
    async fn nothing(&self) -> Result<Progress, Failure> {
        let genuine = answered("digest", self.body.genuine()).await.map_err(store_failed)?;
        if genuine.as_bool() != Some(true) {
            return Err(ErrorCode::ChecksumMismatch.into());
        }
        let media = self.opened.name.media;
        match self.front.ask_upload(media, &UploadRequest::Look).await? {
            UploadAnswer::Standing(standing) => self.front.settle(self.opened, standing).await,
            _ => Err(ErrorCode::Gone.into()),
        }
    }

    /// Puts the next stretch into R2.
    async fn pour(&self, step: Step, before: &[Fragment], rescue: u64) -> Result<Outcome, Failure> {
        let media = self.opened.name.media;
        let (places, body) = (&self.front.setup.places, &self.body);
        let key = places.file(media);
        let offset = before.iter().map(|fragment| fragment.bytes).sum::<u64>() as f64;
        let names: Vec<_> = before.iter().map(|fragment| fragment.name).collect();
        let before = places.fragments(media, &names);
        // What was checked in part is not kept, and neither is what is kept already.
        let own = places.fragment(media, rescue);
        let kept = (!self.checked).then(|| own.clone());
        let promise: Promise = match step {
            Step::Part { number, bytes } => {
                let multipart = self.begun.multipart.as_deref().ok_or(ErrorCode::Internal)?;
                body.part(&key, multipart, number, before, offset, bytes as f64, kept)
            }
            Step::Whole { bytes } => {
                let metadata = self.metadata.clone();
                body.whole(&key, metadata, before, offset, bytes as f64, kept)
            }
            Step::Fragment { bytes } => body.fragment(&own, vec![], 0.0, bytes as f64, kept),
            Step::Merge { bytes } => body.fragment(&own, before, offset, bytes as f64, kept),
        };
        Ok(answered("upload", promise).await.map_err(store_failed)?.unchecked_into())
    }

    /// Tells the object what R2 has.
    async fn commit(&mut self) -> Result<Standing, Failure> {
        let media = self.opened.name.media;
        let pieces = std::mem::take(&mut self.pieces);
        let request = UploadRequest::Commit { offset: self.offset, pieces };
        match self.front.ask_upload(media, &request).await? {
            UploadAnswer::Committed(standing) => {
                let garbage = self.front.setup.places.fragments(media, &standing.garbage);
                self.front.store.delete(garbage).await;
                self.offset = standing.offset;
                Ok(standing)
            }
            // Another request was quicker, or the upload was ended.
            UploadAnswer::Standing(_) => Err(ErrorCode::WrongOffset.into()),
            UploadAnswer::Unknown => Err(ErrorCode::Gone.into()),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    /// Why a stretch did not come to R2. What was rescued of it counts.
    async fn failed(&mut self, outcome: &Outcome, rescue: u64) -> Failure {
        if outcome.forged() == Some(true) {
            return ErrorCode::ChecksumMismatch.into();
        }
        if outcome.taken() == Some(true) {
            return ErrorCode::WrongOffset.into();
        }
        let bytes = outcome.rescued().unwrap_or_default() as u64;
        if bytes > 0 {
            self.pieces.push(Piece::Fragment(Fragment { name: rescue, bytes }));
            if let Err(failure) = self.commit().await {
                return failure;
            }
        }
        // Most often nobody hears this: the client has gone.
        store_failed(super::store::StoreError { number: 0 })
    }
}

fn outcome_piece(step: Step, name: u64, outcome: &Outcome) -> Piece {
    match step {
        Step::Whole { .. } => Piece::Whole,
        Step::Part { number, .. } => {
            Piece::Part(Part { number, etag: outcome.etag().unwrap_or_default() })
        }
        Step::Fragment { bytes } => Piece::Fragment(Fragment { name, bytes }),
        Step::Merge { bytes } => Piece::Merged(Fragment { name, bytes }),
    }
}

fn name() -> Result<u64, ErrorCode> {
    getrandom::u64().or(Err(ErrorCode::Internal))
}
