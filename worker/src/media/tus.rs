//! tus 1.0: creation, its look and its end. What `PATCH` brings is in `patch`.

use estafette_protocol::{ErrorCode, MediaId, limits};
use estafette_relay::{
    AccountRequest, Finish, MediaWork, Standing, UploadAnswer, UploadRequest, work_of_beginning,
};
use wasm_bindgen::{JsCast, JsValue};
use worker::Response;
use worker::js_sys::{Date, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;

use super::headers::{self, ALGORITHMS, Checksum, EXTENSIONS, OFFSET_STREAM, VERSION};
use super::name::UploadName;
use super::store::{BAD_DIGEST, StoreError, Uploads};
use crate::front::{Front, RETRY, answer, answered, problem};
use crate::problem::Failure;
use crate::route::path;
use crate::token::Identity;

const UPLOAD: &str = "UPLOAD";
const UPLOADS: &str = "/v1/uploads";

/// What a tus request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A new upload.
    Creation,
    /// The upload of this name, genuine or not.
    Upload(&'a str),
}

/// Whether a request is one of tus. Its method is still to be read: a header may say another.
pub(crate) fn target(url: &str) -> Option<Target<'_>> {
    match path(url).strip_prefix(UPLOADS)? {
        "" | "/" => Some(Target::Creation),
        name => name.strip_prefix('/').filter(|name| !name.contains('/')).map(Target::Upload),
    }
}

/// What became of a body.
pub(super) struct Progress {
    /// Bytes that are safe.
    pub(super) offset: u64,
    /// When the upload ends, unless it is finished.
    pub(super) expires_at: Option<u64>,
}

/// An upload that may be worked on: its name is genuine, and the account's own.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub(super) identity: Identity,
    pub(super) name: UploadName,
}

/// A failure of R2 tells nothing more.
pub(super) fn store_failed(_: StoreError) -> Failure {
    Failure::for_now(ErrorCode::Unavailable, RETRY)
}

impl Front {
    /// One request of tus, with the headers that every answer has.
    pub(crate) async fn tus(&self, target: Target<'_>) -> Response {
        let response = match self.tus_request(target).await {
            Ok(response) => response,
            Err(failure) => {
                let response = problem(&failure);
                if failure.code == ErrorCode::UnsupportedVersion {
                    // These are the program's own: none is refused.
                    let _ = response.headers().set("tus-version", VERSION);
                }
                response
            }
        };
        let _ = response.headers().set("tus-resumable", VERSION);
        response
    }

    async fn tus_request(&self, target: Target<'_>) -> Result<Response, Failure> {
        let overriding = self.header("x-http-method-override");
        let method = overriding.unwrap_or_else(|| self.request.inner().method());
        if method == "OPTIONS" {
            return Ok(discovery());
        }
        let allow = match target {
            Target::Creation => "OPTIONS, POST",
            Target::Upload(_) => "DELETE, HEAD, OPTIONS, PATCH",
        };
        if !allow.split(", ").any(|allowed| allowed == method) {
            return Err(Failure { allow: Some(allow), ..ErrorCode::MethodNotAllowed.into() });
        }
        if self.header("tus-resumable").as_deref() != Some(VERSION) {
            return Err(ErrorCode::UnsupportedVersion.into());
        }
        let identity = self.authorise_media().await?;
        let Target::Upload(name) = target else { return self.begin_upload(identity).await };
        let name = UploadName::read(name, &self.setup.tokens, identity.account);
        let opened = Opened { identity, name: name.ok_or(ErrorCode::NotFound)? };
        match method.as_str() {
            "HEAD" => self.look(opened).await,
            "DELETE" => self.end_upload(opened).await,
            _ => {
                let progress = self.patch(opened).await?;
                Ok(accepted(204, &progress, Vec::new()))
            }
        }
    }

    async fn begin_upload(&self, identity: Identity) -> Result<Response, Failure> {
        let length = self.header("upload-length").as_deref().and_then(headers::whole);
        let length = length.ok_or(ErrorCode::Malformed)?;
        // What is not offered is not passed over: the client would think that it was done.
        for other in ["upload-defer-length", "upload-concat"] {
            if self.header(other).is_some() {
                return Err(ErrorCode::Malformed.into());
            }
        }
        let metadata = self.header("upload-metadata");
        metadata.as_deref().map(headers::check_metadata).transpose()?;
        let bytes = self.announced(true)?;
        if length > limits::MEDIA_BYTES_MAX || bytes > length {
            return Err(ErrorCode::TooLarge.into());
        }
        let checksum = self.checksum()?;
        if bytes > 0 {
            self.check_type()?;
        }
        let random = getrandom::u64().or(Err(ErrorCode::Internal))?;
        let media = self.setup.places.media(identity.account, random);
        let name = UploadName { media, length: length as u32, begun_at: self.now };
        let opened = Opened { identity, name };
        let place = format!("{UPLOADS}/{}", name.write(&self.setup.tokens, identity.account));
        let progress = if bytes == length && length <= limits::MEDIA_REQUEST_BYTES_MAX {
            self.take_whole(opened, metadata, checksum).await?;
            Progress { offset: length, expires_at: None }
        } else {
            self.create(opened, metadata, bytes, checksum).await?
        };
        Ok(accepted(201, &progress, vec![("location", place)]))
    }

    /// A file that comes whole with this request: one call to the mailbox, one operation of R2.
    async fn take_whole(
        &self,
        Opened { identity, name }: Opened,
        metadata: Option<String>,
        checksum: Option<Checksum>,
    ) -> Result<(), Failure> {
        let work = MediaWork { writes: 1, ..MediaWork::default() };
        self.charge_upload(identity, name, None, work).await?;
        let body = self.request.inner().body();
        let checksum = checksum.map(|checksum| (checksum.algorithm.of_store(), checksum.hex()));
        let stored =
            self.store.store(&self.setup.places.file(name.media), body, metadata, checksum).await;
        stored.map_err(|error| match error.number {
            BAD_DIGEST => ErrorCode::ChecksumMismatch.into(),
            _ => store_failed(error),
        })
    }

    /// A file that takes more requests, of which this one may bring the first bytes.
    async fn create(
        &self,
        opened: Opened,
        metadata: Option<String>,
        bytes: u64,
        checksum: Option<Checksum>,
    ) -> Result<Progress, Failure> {
        let Opened { identity, name } = opened;
        let length = u64::from(name.length);
        let in_parts = length > limits::MEDIA_PART_BYTES;
        let expires_at = self.now + self.setup.upload_life;
        let work = work_of_beginning(length);
        self.charge_upload(identity, name, Some(expires_at), work).await?;
        let key = self.setup.places.file(name.media);
        let multipart = if in_parts {
            let begun = super::store::answered("create", self.store.begin(&key, metadata.clone()));
            match begun.await {
                Ok(name) => name.as_string(),
                Err(error) => {
                    self.leave_place(opened).await;
                    return Err(store_failed(error));
                }
            }
        } else {
            None
        };
        let media = name.media;
        let request = UploadRequest::Create { media, length, expires_at, multipart, metadata };
        self.ask_upload(media, &request).await?;
        if bytes == 0 {
            return Ok(Progress { offset: 0, expires_at: Some(expires_at) });
        }
        let brought = self.bring(opened, 0, bytes, checksum).await;
        if brought.is_err() {
            // The client was not told its name: nobody comes back for it.
            self.end_upload(opened).await?;
        }
        brought
    }

    async fn charge_upload(
        &self,
        Identity { account, device }: Identity,
        UploadName { media, length, .. }: UploadName,
        open_until: Option<u64>,
        work: MediaWork,
    ) -> Result<(), Failure> {
        let bytes = u64::from(length);
        let request = AccountRequest::Upload { device, media, bytes, open_until, work };
        self.ask(account, &request).await.map(drop)
    }

    async fn look(&self, opened: Opened) -> Result<Response, Failure> {
        self.count_read(opened.identity).await?;
        let length = u64::from(opened.name.length);
        let key = self.setup.places.file(opened.name.media);
        let file = self.store.look(&key).await.map_err(store_failed)?;
        let (progress, metadata) = match file {
            Some(file) => (Progress { offset: length, expires_at: None }, file.metadata()),
            None => match self.ask_upload(opened.name.media, &UploadRequest::Look).await? {
                UploadAnswer::Standing(standing) => {
                    let metadata = standing.metadata.clone();
                    (self.settle(opened, standing).await?, metadata)
                }
                // It was genuine once.
                _ => return Err(ErrorCode::Gone.into()),
            },
        };
        let mut more = vec![("upload-length", length.to_string())];
        more.extend(metadata.map(|metadata| ("upload-metadata", metadata)));
        Ok(accepted(200, &progress, more))
    }

    /// Ends an upload, or deletes the file that came of it.
    pub(super) async fn end_upload(&self, opened: Opened) -> Result<Response, Failure> {
        let media = opened.name.media;
        let key = self.setup.places.file(media);
        match self.ask_upload(media, &UploadRequest::Terminate).await? {
            UploadAnswer::Ended { multipart, garbage } => {
                if let Some(multipart) = multipart {
                    self.store.give_up(&key, &multipart).await;
                }
                let mut keys = self.setup.places.fragments(media, &garbage);
                // R2 may have put it together, and nobody have heard of it.
                keys.push(key);
                self.store.delete(keys).await;
                self.leave_place(opened).await;
            }
            _ => {
                let file = self.store.look(&key).await.map_err(store_failed)?;
                file.ok_or(ErrorCode::Gone)?;
                self.store.delete(vec![key]).await;
            }
        }
        Ok(answer(204, &[]).empty())
    }

    /// Lets R2 put the parts together, if it has them all. Until then nobody is told that all is there.
    pub(super) async fn settle(
        &self,
        opened: Opened,
        standing: Standing,
    ) -> Result<Progress, Failure> {
        let media = opened.name.media;
        let Standing { offset, expires_at, finish, .. } = standing;
        let Some(Finish { multipart, parts }) = finish else {
            let expires_at = (offset < standing.length).then_some(expires_at);
            return Ok(Progress { offset, expires_at });
        };
        let key = self.setup.places.file(media);
        let (numbers, etags) = parts.into_iter().map(|part| (part.number, part.etag)).unzip();
        if let Err(error) = self.store.join(&key, &multipart, numbers, etags).await {
            // It may have done so before, and the process have ended.
            let there = self.store.look(&key).await.map_err(store_failed)?;
            there.ok_or_else(|| store_failed(error))?;
        }
        self.ask_upload(media, &UploadRequest::Completed).await?;
        self.leave_place(opened).await;
        Ok(Progress { offset, expires_at: None })
    }

    /// The upload no longer counts among the account's unfinished ones. If that cannot be said, it counts
    /// until its time is over.
    pub(super) async fn leave_place(&self, Opened { identity, name }: Opened) {
        let request = AccountRequest::UploadEnded(name.media);
        let _ = self.ask(identity.account, &request).await;
    }

    /// Asks the upload's object.
    pub(super) async fn ask_upload(
        &self,
        media: MediaId,
        request: &UploadRequest,
    ) -> Result<UploadAnswer, Failure> {
        let answer = answered(self.call_upload(media, request).await)?;
        UploadAnswer::decode(&answer).ok_or_else(|| ErrorCode::Internal.into())
    }

    async fn call_upload(
        &self,
        media: MediaId,
        request: &UploadRequest,
    ) -> worker::Result<Vec<u8>> {
        let stub = self.env.durable_object(UPLOAD)?.get_by_name(&media.to_string())?;
        let uploads: Uploads = stub.into_rpc();
        let request = Uint8Array::from(request.encode().as_slice());
        let answer = JsFuture::from(uploads.ask(request)?).await?;
        Ok(answer.dyn_into::<Uint8Array>()?.to_vec())
    }

    /// How many bytes the body has. One whose length is not announced cannot be put where it belongs.
    pub(super) fn announced(&self, may_be_absent: bool) -> Result<u64, ErrorCode> {
        match self.header("content-length") {
            Some(length) => headers::whole(&length).ok_or(ErrorCode::Malformed),
            None if may_be_absent && self.request.inner().body().is_none() => Ok(0),
            None => Err(ErrorCode::LengthRequired),
        }
    }

    pub(super) fn checksum(&self) -> Result<Option<Checksum>, ErrorCode> {
        self.header("upload-checksum").as_deref().map(Checksum::read).transpose()
    }

    pub(super) fn check_type(&self) -> Result<(), ErrorCode> {
        let right = self.header("content-type").as_deref() == Some(OFFSET_STREAM);
        if right { Ok(()) } else { Err(ErrorCode::UnsupportedMediaType) }
    }
}

fn discovery() -> Response {
    let size = limits::MEDIA_BYTES_MAX.to_string();
    let headers = [
        ("tus-version", VERSION),
        ("tus-extension", EXTENSIONS),
        ("tus-max-size", &size),
        ("tus-checksum-algorithm", ALGORITHMS),
    ];
    answer(204, &headers).empty()
}

/// An answer that says how far the upload is.
fn accepted(status: u16, progress: &Progress, more: Vec<(&'static str, String)>) -> Response {
    let mut headers = vec![("upload-offset", progress.offset.to_string())];
    headers.extend(progress.expires_at.map(|at| {
        let date = Date::new(&JsValue::from_f64(at as f64));
        ("upload-expires", date.to_utc_string().into())
    }));
    headers.extend(more);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    answer(status, &headers).empty()
}

#[cfg(test)]
mod tests {
    use super::{Target, target};

    #[test]
    fn the_paths_of_tus() {
        let at = |path: &str| target(Box::leak(format!("https://host{path}").into_boxed_str()));
        assert_eq!(at("/v1/uploads"), Some(Target::Creation));
        assert_eq!(at("/v1/uploads/?x"), Some(Target::Creation));
        assert_eq!(at("/v1/uploads/abc"), Some(Target::Upload("abc")));
        for other in ["/v1/uploadsabc", "/v1/uploads/a/b", "/v1/media/abc", "/"] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
