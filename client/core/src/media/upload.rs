//! Which request an upload makes next: tus 1.0 with creation-with-upload.
//!
//! Invariants:
//! - the server is told to go on from where it says that it is, never from where the device thinks;
//! - an upload that the server no longer knows begins again only after a look whether the file is
//!   there whole;
//! - what was not answered is asked for again after a wait, and not for ever.

use core::ops::Range;

use estafette_protocol::limits::{MEDIA_PART_BYTES, MEDIA_REQUEST_BYTES_MAX};
use estafette_protocol::{MediaId, Millis};

use super::Layout;
use super::retry::{Answer, Retry, TransferError, is_passing, reason};

/// What is not longer is sent with the request that creates the upload, in bytes: that costs the
/// server least, and what a cut throws away is little.
const AT_ONCE_BYTES_MAX: u64 = MEDIA_PART_BYTES;
/// The most that one request carries, in bytes: whole parts.
const REQUEST_BYTES_MAX: u64 = MEDIA_REQUEST_BYTES_MAX / MEDIA_PART_BYTES * MEDIA_PART_BYTES;
/// How often an upload may begin again because the server forgot it.
const RESTARTS_MAX: u32 = 3;
/// The path of uploads. What the server puts before it (its own address) is not followed: the token
/// goes nowhere else.
const UPLOADS: &str = "/v1/uploads/";
/// The longest name of an upload, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What the shell does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStep {
    /// `POST /v1/uploads` with `Upload-Length`, and with the first bytes of the sealed file, if any.
    Create(Range<u64>),
    /// `HEAD` of the upload.
    Ask,
    /// `PATCH` of the upload with these bytes of the sealed file, from `Upload-Offset` on.
    Send(Range<u64>),
    /// `HEAD` of the file, as one that fetches it: whether it is there whole.
    Look(MediaId),
    /// Wait so many milliseconds.
    Wait(Millis),
    /// Nothing: the server has the file.
    Done(MediaId),
}

/// An upload. [`Upload::step`] says what to do, [`Upload::on_answer`] takes what came of it.
#[derive(Debug, Clone)]
pub struct Upload {
    sealed: u64,
    place: Option<Place>,
    /// What the server has; `None` until it says.
    offset: Option<u64>,
    /// The most that the server was known to have.
    reached: u64,
    /// The server does not know the upload: it is complete or gone.
    lost: bool,
    /// A creation that brought bytes failed, so that the next brings none and can be resumed.
    bare: bool,
    done: Option<MediaId>,
    restarts: u32,
    retry: Retry,
}

/// Where an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: String,
    id: MediaId,
}

impl Place {
    fn read(location: &str) -> Option<Self> {
        let (_, name) = location.split_once(UPLOADS)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return None;
        }
        let id = name.get(..32)?.parse().ok()?;
        Some(Self { path: format!("{UPLOADS}{name}"), id })
    }
}

impl Upload {
    /// Uploads a file, from the beginning or on from where it was: `path` is what
    /// [`Upload::path`] said.
    pub fn new(layout: Layout, path: Option<&str>) -> Self {
        Self {
            sealed: layout.sealed(),
            place: path.and_then(Place::read),
            offset: None,
            reached: 0,
            lost: false,
            bare: false,
            done: None,
            restarts: 0,
            retry: Retry::default(),
        }
    }

    /// The path of the upload on the server, once there is one. It is to be kept before bytes go
    /// there.
    pub fn path(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.path.as_str())
    }

    /// How much the server has, in bytes of the sealed file, as far as is known.
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// What to do next.
    pub fn step(&mut self) -> UploadStep {
        if let Some(id) = self.done {
            return UploadStep::Done(id);
        }
        if let Some(wait) = self.retry.take_wait() {
            return UploadStep::Wait(wait);
        }
        match (&self.place, self.offset) {
            (Some(place), _) if self.lost => UploadStep::Look(place.id),
            (None, _) if self.bare || self.sealed > AT_ONCE_BYTES_MAX => UploadStep::Create(0..0),
            (None, _) => UploadStep::Create(0..self.sealed),
            (Some(_), None) => UploadStep::Ask,
            (Some(_), Some(offset)) => {
                UploadStep::Send(offset..self.sealed.min(offset + REQUEST_BYTES_MAX))
            }
        }
    }

    /// The server answered what `step` asked, or did not. `random` is any number, drawn for this.
    ///
    /// # Errors
    /// When it makes no sense to go on now. The same upload may be tried again another time.
    pub fn on_answer(
        &mut self,
        step: &UploadStep,
        answer: Option<&Answer>,
        random: u64,
    ) -> Result<(), TransferError> {
        let Some(answer) = answer else {
            self.bare |= matches!(step, UploadStep::Create(_));
            self.offset = None;
            return self.retry.failed(None, random);
        };
        match (step, answer.status) {
            (UploadStep::Create(_), 201) => self.created(answer),
            (UploadStep::Ask, 200 | 204) | (UploadStep::Send(_), 200 | 204) => {
                match answer.offset {
                    Some(offset) => self.has(offset, answer, random),
                    None => Err(TransferError::Unexpected(answer.status)),
                }
            }
            // Somebody else, or an earlier request of one's own, is further.
            (UploadStep::Send(_), 409) => {
                self.offset = None;
                self.retry.failed(Some(answer), random)
            }
            (UploadStep::Ask | UploadStep::Send(_), 404 | 410) => {
                self.lost = true;
                Ok(())
            }
            (UploadStep::Look(id), 200)
                if answer.length.is_none_or(|length| length == self.sealed) =>
            {
                self.done = Some(*id);
                self.reached = self.sealed;
                Ok(())
            }
            (UploadStep::Look(_), 200 | 404 | 410) => self.restart(answer),
            _ if is_passing(answer) => {
                self.offset = None;
                self.retry.failed(Some(answer), random)
            }
            _ => Err(reason(Some(answer))),
        }
    }

    fn created(&mut self, answer: &Answer) -> Result<(), TransferError> {
        let place = answer.location.as_deref().and_then(Place::read);
        let place = place.ok_or(TransferError::Unexpected(answer.status))?;
        let offset = answer.offset.unwrap_or(0);
        if offset > self.sealed {
            return Err(TransferError::Unexpected(answer.status));
        }
        self.reached = offset;
        self.offset = Some(offset);
        if offset == self.sealed {
            self.done = Some(place.id);
        }
        self.place = Some(place);
        self.retry.progressed();
        Ok(())
    }

    fn has(&mut self, offset: u64, answer: &Answer, random: u64) -> Result<(), TransferError> {
        if offset > self.sealed || answer.length.is_some_and(|length| length != self.sealed) {
            return Err(TransferError::Unexpected(answer.status));
        }
        if offset == self.sealed {
            self.done = self.place.as_ref().map(|place| place.id);
        }
        // A request that brought nothing further is a failure too, or it could go on for ever.
        let asked = self.offset.is_none();
        self.offset = Some(offset);
        if offset > self.reached {
            self.reached = offset;
            self.retry.progressed();
        } else if !asked && self.done.is_none() {
            return self.retry.failed(Some(answer), random);
        }
        Ok(())
    }

    fn restart(&mut self, answer: &Answer) -> Result<(), TransferError> {
        if self.restarts == RESTARTS_MAX {
            return Err(reason(Some(answer)));
        }
        self.restarts += 1;
        self.place = None;
        self.offset = None;
        self.reached = 0;
        self.lost = false;
        Ok(())
    }
}
