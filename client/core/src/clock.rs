//! Time and chance, both of which come in as arguments.
//!
//! Invariant: no clock is believed. A device's clock may be wrong by any amount and jump either way,
//! so a [`Timer`] ends at the latest after its own delay, and what is deleted or given up for its age
//! is so by [`Clock::trusted`], which is not ahead of the server's clock.

use estafette_protocol::Millis;

/// The most by which trusted time advances between two steps. A connected client steps more often.
const STEP_MAX: Millis = 60_000;
/// The date of what was stored at a time that nobody knows: its age counts from when that is next
/// looked at in trusted time.
pub(crate) const UNDATED: Millis = i64::MAX.cast_unsigned();

/// A moment at which to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timer {
    at: Millis,
    delay: Millis,
}

impl Timer {
    pub(crate) const fn after(now: Millis, delay: Millis) -> Self {
        Self { at: now.saturating_add(delay), delay }
    }

    /// Whether to act. Further ahead than when it was set, it is due too: the clock went back.
    pub(crate) fn is_due(self, now: Millis) -> bool {
        self.at <= now || self.at - now > self.delay
    }

    pub(crate) fn at(self) -> Millis {
        self.at
    }
}

/// Clears a timer that is due, and says whether it was.
pub(crate) fn take_due(timer: &mut Option<Timer>, now: Millis) -> bool {
    timer.take_if(|timer| timer.is_due(now)).is_some()
}

/// What is known of the time.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The server's clock less the device's, when they were last compared.
    offset: i64,
    /// A time that the server's clock has passed; none while nothing vouches for it.
    trusted: Option<Millis>,
    /// The device's clock at the last step.
    last: Millis,
}

impl Clock {
    pub(crate) fn new(now: Millis, offset: i64) -> Self {
        Self { offset, trusted: None, last: now }
    }

    /// Trusted time goes on with the device's clock, as long as that goes on step by step. A longer
    /// step is a long sleep or a clock that was set, and nobody can tell which.
    pub(crate) fn step(&mut self, now: Millis) {
        let step = now.checked_sub(self.last).filter(|step| *step <= STEP_MAX);
        self.trusted = self.trusted.zip(step).map(|(trusted, step)| trusted + step);
        self.last = now;
    }

    /// The server said what time it is.
    pub(crate) fn compare(&mut self, now: Millis, server: Millis) {
        self.offset = server.wrapping_sub(now).cast_signed();
        self.trusted = Some(server);
    }

    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    /// The device's clock, corrected by what was last known of the server's. For people to see.
    pub(crate) fn corrected(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.offset)
    }

    pub(crate) fn trusted(&self) -> Option<Millis> {
        self.trusted
    }

    /// From when the age of what is stored now counts. With no time to trust it is [`UNDATED`].
    pub(crate) fn age_from(&self) -> Millis {
        self.trusted.unwrap_or(UNDATED)
    }
}

/// Chance, as the shell gives it.
pub(crate) struct Entropy(pub(crate) Box<dyn FnMut() -> u64 + Send>);

impl Entropy {
    pub(crate) fn draw(&mut self) -> u64 {
        (self.0)()
    }

    /// Any whole number from 0 to `max`. What matters is the spread, not that it be even.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        self.draw() % max.saturating_add(1).max(1)
    }

    /// A delay a little under `delay`, so that clients do not act in step.
    pub(crate) fn jittered(&mut self, delay: Millis) -> Millis {
        delay - self.up_to(delay / 5)
    }
}

/// `base`, doubled so many times, at most `max`.
pub(crate) fn doubled(base: Millis, times: u32, max: Millis) -> Millis {
    base.saturating_mul(1 << times.min(32)).min(max)
}
