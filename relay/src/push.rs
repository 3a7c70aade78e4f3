//! What is known of a device that can be pushed to: its subscription, the burst, the failures.
//!
//! Invariant: `under_way`, `last` and `woken` are memory, the rest is the device's row of `push`. The
//! row is written when the device subscribes, when a push fails, and when pushes work again.

use estafette_protocol::http::PushSubscription;
use estafette_protocol::{DeviceId, Millis, limits::PUSH_BURST};

/// How often a push is tried again. With the waits below, a service may be away for eleven hours.
const RETRIES_MAX: u64 = 6;
/// Each wait is so many times as long as the one before: 30 s, 2 min, 8 min, 32 min, 2 h, 8.5 h.
const WAIT_FACTOR: u64 = 4;
/// No service, and no clock that jumps, puts a push off for longer.
const WAIT_MAX: Millis = 24 * 60 * 60 * 1000;
/// How long a subscription rests whose service thinks that this server is set up wrongly, or was tried
/// often enough. After that, the next message begins anew.
const REST: Millis = 60 * 60 * 1000;
/// A shell that has not said for so long what became of a push will not say it any more. Far over the
/// time in which it gives a service up.
const LOST_AFTER: Millis = 60 * 1000;
/// Push services take no longer life than four weeks: <https://firebase.google.com/docs/cloud-messaging>.
const TTL_MAX: Millis = 28 * 24 * 60 * 60 * 1000;

/// One push, for as long as the mailbox is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub u32);

/// A message to a push service: seal `payload` for the subscription (RFC 8291) and post it (RFC 8030).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// What its outcome is told under.
    pub id: PushId,
    /// The device that sleeps.
    pub device: DeviceId,
    /// As the device put it.
    pub subscription: PushSubscription,
    /// An encoded [`estafette_protocol::push::Notification`].
    pub payload: Vec<u8>,
    /// For how many seconds the service is to keep it.
    pub ttl: u64,
}

impl Push {
    /// Takes the place of an earlier push that the service still has. It is the same for all, and so
    /// tells the service nothing: topics are apart for each subscription (RFC 8030, section 5.4).
    pub const TOPIC: &str = "messages";
    /// Only messages are pushed, and somebody waits for an answer to one (RFC 8030, section 5.3).
    pub const URGENCY: &str = "high";
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// The service has it.
    Accepted,
    /// There is no such subscription any more.
    Gone,
    /// Too long for this service.
    TooLarge,
    /// Not now, or no answer.
    Unavailable {
        /// What the service says to wait.
        retry_after: Option<Millis>,
    },
    /// This server is not set up as the service wants it: the same would be refused again.
    Refused,
}

impl PushOutcome {
    /// What a service's status means, and what its `Retry-After` adds.
    pub fn of(status: u16, retry_after: Option<Millis>) -> Self {
        match status {
            200..=299 => Self::Accepted,
            404 | 410 => Self::Gone,
            413 => Self::TooLarge,
            // A redirection is not followed, and may be over soon.
            300..=399 | 408 | 425 | 429 => Self::Unavailable { retry_after },
            400..=499 => Self::Refused,
            _ => Self::Unavailable { retry_after },
        }
    }
}

/// What the row of a subscription holds beside the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// The service once found a push too long: bodies are left out.
    pub(crate) brief: bool,
    /// Failures in a row of the push that is to be tried again; 0 when none is.
    pub(crate) failures: u64,
    /// No push departs before.
    pub(crate) not_before: Millis,
}

/// A device's subscription, and its pushes.
#[derive(Debug, Clone)]
pub(crate) struct Pusher {
    pub(crate) subscription: PushSubscription,
    pub(crate) standing: Standing,
    under_way: Option<(PushId, Millis)>,
    /// When the last push departed, since the device was last connected.
    last: Option<Millis>,
}

/// What is to be done about a push's outcome.
pub(crate) enum Next {
    /// Nothing.
    Rest,
    /// Write the standing down.
    Note,
    /// The same, and try again at this time.
    Retry(Millis),
    /// Drop the subscription.
    Drop,
}

impl Pusher {
    pub(crate) fn new(subscription: PushSubscription, standing: Standing) -> Self {
        Self { subscription, standing, under_way: None, last: None }
    }

    /// Whether a message that has just come begins a burst.
    pub(crate) fn begins_burst(&self, now: Millis) -> bool {
        // A clock that went back begins one rather than none.
        let in_burst = self.last.is_some_and(|last| now.abs_diff(last) < PUSH_BURST);
        !in_burst && self.may_depart(now)
    }

    /// Whether nothing forbids a push.
    pub(crate) fn may_depart(&self, now: Millis) -> bool {
        let busy = self.under_way.is_some_and(|(_, since)| now.abs_diff(since) < LOST_AFTER);
        let wait = self.standing.not_before.saturating_sub(now);
        !busy && (wait == 0 || wait > WAIT_MAX)
    }

    /// Whether the device was pushed to since it was last connected, as far as is known.
    pub(crate) fn was_pushed(&self) -> bool {
        self.last.is_some()
    }

    pub(crate) fn departs(&mut self, id: PushId, now: Millis) {
        self.under_way = Some((id, now));
        self.last = Some(now);
    }

    /// The device is connected: its next sleep begins a burst of its own.
    pub(crate) fn is_awake(&mut self) {
        self.last = None;
    }

    /// When push `id` departed, if it is the one that is under way. It is not any more.
    pub(crate) fn returns(&mut self, id: PushId) -> Option<Millis> {
        let (_, departed) = self.under_way.take_if(|(under_way, _)| *under_way == id)?;
        Some(departed)
    }

    /// Takes note of an outcome. `asleep`: something waits for the device still, and it sleeps.
    pub(crate) fn note(
        &mut self,
        now: Millis,
        outcome: PushOutcome,
        asleep: bool,
        first_wait: Millis,
    ) -> Next {
        let before = self.standing;
        let standing = &mut self.standing;
        let retry_after = match outcome {
            PushOutcome::Gone => return Next::Drop,
            PushOutcome::Accepted => {
                *standing = Standing { brief: standing.brief, ..Standing::default() };
                return if *standing == before { Next::Rest } else { Next::Note };
            }
            PushOutcome::Refused => {
                (standing.failures, standing.not_before) = (0, now + REST);
                return Next::Note;
            }
            // It was as short as it can be.
            PushOutcome::TooLarge if standing.brief => {
                (standing.failures, standing.not_before) = (0, now + REST);
                return Next::Note;
            }
            PushOutcome::TooLarge => {
                standing.brief = true;
                None
            }
            PushOutcome::Unavailable { retry_after } => retry_after,
        };
        let wait = WAIT_FACTOR
            .saturating_pow(u32::try_from(standing.failures).unwrap_or(u32::MAX))
            .saturating_mul(first_wait);
        let wait = wait.max(retry_after.unwrap_or(0)).min(WAIT_MAX);
        if !asleep {
            (standing.failures, standing.not_before) = (0, now + wait);
            return Next::Note;
        }
        if standing.failures == RETRIES_MAX {
            let wait = REST.max(retry_after.unwrap_or(0)).min(WAIT_MAX);
            (standing.failures, standing.not_before) = (0, now + wait);
            return Next::Note;
        }
        (standing.failures, standing.not_before) = (standing.failures + 1, now + wait);
        Next::Retry(standing.not_before)
    }
}

/// For how many seconds a service is to keep a push for a message whose life is over at `expires_at`.
pub(crate) fn ttl(now: Millis, expires_at: Millis) -> u64 {
    expires_at.saturating_sub(now).min(TTL_MAX) / 1000
}
