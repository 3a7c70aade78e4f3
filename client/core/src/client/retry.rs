//! When to say something again that was not answered, or was refused for now.
//!
//! Invariant: what is said again is at most one thing's worth of traffic for each wait, and the waits
//! double until something is taken.

use estafette_protocol::{ErrorCode, Millis};

use crate::Config;
use crate::clock::{Entropy, Timer, doubled, take_due};

/// A server that asks for more than this is not believed: it says at most "after midnight UTC".
pub(super) const RETRY_AFTER_MAX: Millis = 24 * 60 * 60 * 1000;
/// The first wait for a mailbox that is full.
const FULL: Millis = 1000;

/// The waits of one stream, or of the receipts for one peer.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// Nothing leaves before.
    wait: Option<Timer>,
    /// What is under way should be answered before.
    answer: Option<Timer>,
    refusals: u32,
    silences: u32,
}

/// What is under way was refused, and may be asked for again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) retry_after: Option<Millis>,
}

impl Retry {
    pub(super) fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }

    /// Something left.
    pub(super) fn departed(&mut self, now: Millis, config: &Config, entropy: &mut Entropy) {
        if self.answer.is_none() {
            let wait = doubled(config.answer, self.silences, config.answer_max);
            self.answer = Some(Timer::after(now, entropy.jittered(wait)));
        }
    }

    /// Something was taken; the time for the rest of what is under way starts again.
    pub(super) fn progressed(
        &mut self,
        now: Millis,
        more: bool,
        config: &Config,
        entropy: &mut Entropy,
    ) {
        (self.refusals, self.silences, self.answer) = (0, 0, None);
        if more {
            self.departed(now, config, entropy);
        }
    }

    /// Waits before anything leaves again. Returns until when.
    pub(super) fn refused(
        &mut self,
        now: Millis,
        refusal: Refusal,
        config: &Config,
        entropy: &mut Entropy,
    ) -> Timer {
        let (base, max) = match refusal.code {
            ErrorCode::MailboxFull => (FULL, config.full_max),
            _ => (config.refusal, config.refusal_max),
        };
        let backoff = entropy.jittered(doubled(base, self.refusals, max));
        let asked = refusal.retry_after.unwrap_or(0).min(RETRY_AFTER_MAX);
        let timer = Timer::after(now, backoff.max(asked));
        self.refusals = self.refusals.saturating_add(1);
        (self.wait, self.answer) = (Some(timer), None);
        timer
    }

    /// The connection is gone, and what was under way with it.
    pub(super) fn disconnected(&mut self) {
        self.answer = None;
    }

    /// Ends what is due. Returns whether an answer is overdue.
    pub(super) fn is_unanswered(&mut self, now: Millis) -> bool {
        take_due(&mut self.wait, now);
        let overdue = take_due(&mut self.answer, now);
        if overdue {
            self.silences = self.silences.saturating_add(1);
        }
        overdue
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.wait.into_iter().chain(self.answer).map(Timer::at).min()
    }
}
