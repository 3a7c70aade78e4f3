//! Trying again: waits that grow and vary, and an end to them.

use estafette_protocol::Millis;
use estafette_protocol::http::Problem;

/// The first wait; twice as long each time.
const WAIT: Millis = 500;
/// The longest wait of one's own.
const WAIT_MAX: Millis = 30_000;
/// How often in a row a transfer may come no further: with the waits, about two minutes.
const FAILURES_MAX: u32 = 10;
/// The longest wait that the server may ask for. After more, somebody else decides.
const ASKED_MAX: Millis = 60_000;

/// What the server said, or what of it matters here. A shell that got no answer has none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Upload-Offset`.
    pub offset: Option<u64>,
    /// The length of the whole: `Content-Length`, or the last part of `Content-Range`.
    pub length: Option<u64>,
    /// Where the bytes begin that follow: the first part of `Content-Range`.
    pub first: Option<u64>,
    /// `Location`.
    pub location: Option<String>,
    /// The body of an answer that is not a success.
    pub problem: Option<Problem>,
}

/// Why a transfer ended early. What the server has, or what came of it, is still there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// No answer came, again and again.
    #[error("the server does not answer")]
    NoAnswer,
    /// The server understood the request and refused it.
    #[error("the server refused: {}", .0.message)]
    Refused(Problem),
    /// The answer is none that an Estafette server gives.
    #[error("the server gave an answer that is none (HTTP {0})")]
    Unexpected(u16),
    /// The server has no such file: it expired, or was never complete.
    #[error("the server no longer has the file")]
    Gone,
}

/// Counts what failed since a transfer last came further.
#[derive(Debug, Clone, Default)]
pub(super) struct Retry {
    failures: u32,
    waits: Option<Millis>,
}

impl Retry {
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try. `random` is any number, drawn for this.
    ///
    /// # Errors
    /// The reason, when it was tried often enough.
    pub(super) fn failed(
        &mut self,
        answer: Option<&Answer>,
        random: u64,
    ) -> Result<(), TransferError> {
        let problem = answer.and_then(|answer| answer.problem.as_ref());
        let asked = problem.and_then(|problem| problem.retry_after);
        if self.failures == FAILURES_MAX || asked.is_some_and(|asked| asked > ASKED_MAX) {
            return Err(reason(answer));
        }
        let wait = (WAIT << self.failures).min(WAIT_MAX);
        self.failures += 1;
        // From half to one and a half of it; what the server asks for is the least.
        let varied = wait / 2 + random % (wait + 1);
        self.waits = Some(varied.max(asked.unwrap_or(0)));
        Ok(())
    }

    /// The wait that is due, once.
    pub(super) fn take_wait(&mut self) -> Option<Millis> {
        self.waits.take()
    }
}

/// What an answer that is no success means, when nothing better is known.
pub(super) fn reason(answer: Option<&Answer>) -> TransferError {
    match answer {
        None => TransferError::NoAnswer,
        Some(Answer { problem: Some(problem), .. }) => TransferError::Refused(problem.clone()),
        Some(answer) => TransferError::Unexpected(answer.status),
    }
}

/// Whether the same request may succeed later.
pub(super) fn is_passing(answer: &Answer) -> bool {
    matches!(answer.status, 408 | 423 | 425 | 429 | 500..=599)
}
