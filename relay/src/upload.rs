//! One file that comes in pieces: how far it has come, and what R2 has of it.
//!
//! Invariants:
//! - `offset == committed parts * part size + the fragments behind them`, and `offset <= length`; what
//!   lies before the offset is in R2, wherever the process that brought it is;
//! - what a request brought counts only if the upload still stands where the request found it: of two
//!   requests at once the first to commit wins, the other is told so. Nothing is locked, so nothing stays
//!   locked;
//! - no two requests write to the same name in R2: a request that fills parts has a number of its own
//!   ([`Begun::steps`]), a fragment has a random name. So the loser cannot change what the winner
//!   committed;
//! - an upload leaves when its file is complete, when it is ended, or when its time is over.
//!
//! A file of at most one part becomes an object of R2 at once. A longer one is a multipart upload of R2:
//! parts of [`limits::MEDIA_PART_BYTES`], but for the last. A request that ends inside a part leaves a
//! *fragment*, a small object beside; whatever request fills the part puts the fragments before it.

mod call;
mod plan;
mod state;

use estafette_protocol::{MediaId, Millis, limits};

pub use call::{Begun, Finish, Fragment, Part, Piece, Standing, Step, UploadAnswer, UploadRequest};

use crate::media::MediaWork;
use crate::sql::{Sql, StorageError};
use state::State;

/// What the shell is to do after the writes of the step are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEffect {
    /// Set the object's alarm, which is not set yet.
    Alarm(Millis),
    /// Drop what R2 has: the multipart upload, and the fragments. Not to be repeated if it fails: R2 drops
    /// unfinished multipart uploads by itself, and the hourly job finds fragments.
    Abandon {
        /// Whose.
        media: MediaId,
        /// R2's name of the multipart upload, if there is one.
        multipart: Option<String>,
        /// The names of the fragments.
        fragments: Vec<u64>,
    },
    /// Delete all that is stored, and the alarm. Nothing follows.
    Forget,
}

/// What it takes to begin an upload: a call, a table of one row, the alarm; and R2's answer to it, if the
/// file has parts.
pub fn work_of_beginning(length: u64) -> MediaWork {
    let writes = u32::from(length > limits::MEDIA_PART_BYTES);
    MediaWork { writes, reads: 0, requests: 1, rows: 4 }
}

/// The state machine of one upload. As with a mailbox, an `Err` of any method means that the database
/// failed: undo what the step wrote, and wake another.
pub struct Upload<S> {
    sql: S,
    state: Option<State>,
    effects: Vec<UploadEffect>,
}

impl<S: Sql> Upload<S> {
    /// Brings an upload into memory. Reads only.
    pub fn wake(sql: S) -> Result<Self, StorageError> {
        let state = State::load(&sql)?;
        Ok(Self { sql, state, effects: Vec::new() })
    }

    /// Gives the database back, as an eviction leaves it.
    pub fn into_sql(self) -> S {
        self.sql
    }

    /// The front Worker asks something.
    pub fn on_request(
        &mut self,
        now: Millis,
        request: UploadRequest,
    ) -> Result<(UploadAnswer, Vec<UploadEffect>), StorageError> {
        let answer = match request {
            UploadRequest::Create { media, length, expires_at, multipart, metadata } => {
                self.create(State::new(media, length, expires_at, multipart, metadata))?
            }
            _ if self.state.as_ref().is_none_or(|state| now >= state.expires_at) => {
                UploadAnswer::Unknown
            }
            UploadRequest::Look => self.standing(),
            UploadRequest::Begin { offset, bytes } => self.begin(offset, bytes)?,
            UploadRequest::Commit { offset, pieces } => self.commit(offset, &pieces)?,
            UploadRequest::Completed => self.leave(UploadAnswer::Completed),
            UploadRequest::Terminate => self.terminate(),
        };
        Ok((answer, std::mem::take(&mut self.effects)))
    }

    /// The alarm went off: the upload's time is over.
    pub fn on_alarm(&mut self) -> Vec<UploadEffect> {
        if let Some(state) = self.state.take() {
            let (media, fragments) = (state.media, state.fragment_names());
            self.effects.push(UploadEffect::Abandon {
                media,
                multipart: state.multipart,
                fragments,
            });
        }
        self.effects.push(UploadEffect::Forget);
        std::mem::take(&mut self.effects)
    }

    fn create(&mut self, state: State) -> Result<UploadAnswer, StorageError> {
        // Ids are drawn at random: this is the call coming again.
        if self.state.is_none() {
            state.create(&self.sql)?;
            self.effects.push(UploadEffect::Alarm(state.expires_at));
            self.state = Some(state);
        }
        Ok(self.standing())
    }

    fn standing(&self) -> UploadAnswer {
        match &self.state {
            Some(state) => UploadAnswer::Standing(state.standing(Vec::new())),
            None => UploadAnswer::Unknown,
        }
    }

    fn begin(&mut self, offset: u64, bytes: u64) -> Result<UploadAnswer, StorageError> {
        let Some(state) = &mut self.state else { return Ok(UploadAnswer::Unknown) };
        // One that has all its parts only waits for R2 to put them together.
        if offset != state.offset() || offset == state.length {
            return Ok(self.standing());
        }
        if bytes > state.length - offset {
            return Ok(UploadAnswer::TooLong);
        }
        let begun = plan::plan(state, bytes);
        if begun.steps.iter().any(|step| matches!(step, Step::Part { .. })) {
            state.attempts += 1;
            state.save(&self.sql)?;
        }
        Ok(UploadAnswer::Begun { begun, metadata: state.metadata.clone() })
    }

    fn commit(&mut self, offset: u64, pieces: &[Piece]) -> Result<UploadAnswer, StorageError> {
        let Some(state) = &mut self.state else { return Ok(UploadAnswer::Unknown) };
        if offset != state.offset() {
            return Ok(self.standing());
        }
        let mut next = state.clone();
        let mut garbage = Vec::new();
        for piece in pieces {
            if !next.add(piece, &mut garbage) {
                return Ok(UploadAnswer::Impossible);
            }
        }
        if next.is_whole() {
            // The file is there under its name: nothing is left to do for this object.
            let answer = UploadAnswer::Committed(next.standing(garbage));
            return Ok(self.leave(answer));
        }
        next.save(&self.sql)?;
        *state = next;
        Ok(UploadAnswer::Committed(state.standing(garbage)))
    }

    fn terminate(&mut self) -> UploadAnswer {
        let ended =
            self.state.as_ref().map_or(UploadAnswer::Unknown, |state| UploadAnswer::Ended {
                multipart: state.multipart.clone(),
                garbage: state.fragment_names(),
            });
        self.leave(ended)
    }

    fn leave(&mut self, answer: UploadAnswer) -> UploadAnswer {
        self.state = None;
        self.effects.push(UploadEffect::Forget);
        answer
    }
}

/// How many bytes of a file lie in parts before a part.
fn part_start(index: u64) -> u64 {
    index * limits::MEDIA_PART_BYTES
}
