//! Files on their way, out and in.
//!
//! [`estafette_core::media`] decides which request comes next and seals and opens; here the bytes
//! are read, sent, received and written, on the runtime's blocking threads and never whole in memory.
//! Whoever drops the future of a transfer stops it, and the same call goes on where it stopped:
//! what is needed for that is in the store, in the file beside the destination, and on the server.

mod describe;
mod incoming;
mod outgoing;
mod sealed;
mod sending;
mod source;
mod wire;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use estafette_core::media::{MediaError, TransferError};
use estafette_protocol::Millis;
use tokio::sync::Semaphore;

use crate::Error;

pub(crate) use describe::media_type;
pub use incoming::Destination;
pub use sending::{FileToSend, Unfinished, Uploaded};
pub(crate) use source::drawn;

/// How many bytes are read or written at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// How many transfers of this process use the network or the disk at a time.
const AT_ONCE: usize = 4;

static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Bytes that are done, of those that the stage is about.
    pub done: u64,
    /// How many there are; `None` where nobody knows before the end.
    pub total: Option<u64>,
}

/// What a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It reads what is to be sent, or what is here already, to know it by its digest.
    Reading,
    /// It sends or receives.
    Moving,
    /// It waits so many milliseconds before it tries again.
    Waiting(Millis),
}

/// Is told how far a transfer is, often, from any thread.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// A report for whoever does not look.
pub fn unseen() -> Report {
    Arc::new(|_| {})
}

/// Tells a blocking thread that nobody waits for it any more.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Ended) } else { Ok(()) }
    }

    /// Stops when the answer is dropped.
    fn guard(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// The uploads that this program is at, so that no two calls are at the same one.
///
/// Invariant: only who has the claim changes the upload. What was read of it before the claim was
/// taken may be over by then, so it is read again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<u64>>>);

impl Claims {
    pub(crate) fn take(&self, upload: u64) -> Option<Claim> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.insert(upload).then(|| Claim { claims: self.clone(), upload })
    }
}

/// An upload that nobody else of this program is at.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Claims,
    upload: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.remove(&self.upload);
    }
}

/// What a blocking part of a transfer works with.
#[derive(Clone)]
struct Work {
    stop: Stop,
    report: Report,
}

impl Work {
    fn new(report: Report) -> Self {
        Self { stop: Stop::default(), report }
    }

    fn says(&self, stage: Stage, done: u64, total: Option<u64>) {
        (self.report)(Progress { stage, done, total });
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

/// Does something that blocks, when it is this transfer's turn.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let permit = PERMITS.acquire().await.or(Err(Error::Ended))?;
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.or(Err(Error::Ended)).flatten()
}

/// A number for the jitter of waits.
fn random() -> u64 {
    // Waits that don't vary are no fault.
    getrandom::u64().unwrap_or_default()
}

impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        Self::Media(error)
    }
}

/// Why a transfer ended early. `reason` is what the network said last.
fn ended(error: TransferError, server: &str, reason: String) -> Error {
    match error {
        TransferError::Refused(problem) => Error::Refused(problem),
        TransferError::Unexpected(status) => {
            Error::Unexpected { server: server.to_owned(), status }
        }
        TransferError::Gone => Error::Gone,
        _ => Error::Unreachable { server: server.to_owned(), reason },
    }
}
