//! Which request a download makes next: `GET` with `Range`.
//!
//! Invariant: it goes on from what was opened and kept, so that nothing is taken on trust that was
//! there before.

use estafette_protocol::Millis;

use super::Layout;
use super::retry::{Answer, Retry, TransferError, is_passing, reason};

/// What the shell does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadStep {
    /// `GET` the file from this byte of the sealed file on, with `Range` unless it is 0.
    Get(u64),
    /// Wait so many milliseconds.
    Wait(Millis),
    /// Nothing: all of it is there.
    Done,
}

/// A download of a whole file.
#[derive(Debug, Clone)]
pub struct Download {
    sealed: u64,
    kept: u64,
    retry: Retry,
}

impl Download {
    /// Downloads a file of which the first `kept` bytes, as it is sealed, are here.
    pub fn new(layout: Layout, kept: u64) -> Self {
        Self { sealed: layout.sealed(), kept, retry: Retry::default() }
    }

    /// What to do next.
    pub fn step(&mut self) -> DownloadStep {
        if self.kept >= self.sealed {
            return DownloadStep::Done;
        }
        match self.retry.take_wait() {
            Some(wait) => DownloadStep::Wait(wait),
            None => DownloadStep::Get(self.kept),
        }
    }

    /// The server answered, or did not. Whether the body is what was asked for.
    ///
    /// # Errors
    /// When it makes no sense to go on now.
    pub fn on_answer(
        &mut self,
        answer: Option<&Answer>,
        random: u64,
    ) -> Result<bool, TransferError> {
        let Some(answer) = answer else {
            return self.retry.failed(None, random).and(Ok(false));
        };
        let whole = answer.length == Some(self.sealed);
        match answer.status {
            200 if whole && self.kept == 0 => Ok(true),
            206 if whole && answer.first == Some(self.kept) => Ok(true),
            // A proxy that knows no ranges: from the beginning, then.
            200 if whole => {
                self.kept = 0;
                Ok(true)
            }
            // Another length than the message says is another file.
            200 | 206 | 416 => Err(TransferError::Unexpected(answer.status)),
            404 | 410 => Err(TransferError::Gone),
            _ if is_passing(answer) => self.retry.failed(Some(answer), random).and(Ok(false)),
            _ => Err(reason(Some(answer))),
        }
    }

    /// This much of the sealed file was opened and kept.
    pub fn has(&mut self, kept: u64) {
        if kept > self.kept {
            self.kept = kept;
            self.retry.progressed();
        }
    }

    /// Where the body that is coming begins, in bytes of the sealed file.
    pub fn from(&self) -> u64 {
        self.kept
    }

    /// The body ended, or was cut.
    ///
    /// # Errors
    /// As [`Download::on_answer`].
    pub fn ended(&mut self, random: u64) -> Result<(), TransferError> {
        if self.kept >= self.sealed { Ok(()) } else { self.retry.failed(None, random) }
    }
}
