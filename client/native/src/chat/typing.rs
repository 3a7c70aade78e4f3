//! When to tell the peer that the user types, and that they stopped.
//!
//! The client says it no more often than it must: here, every key counts.

use std::time::Duration;

use estafette::Activity;
use tokio::time::Instant;

/// How long after the last key the user has stopped.
const REST: Duration = Duration::from_secs(5);

/// Whether the user types.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    /// When they have stopped, unless they go on.
    until: Option<Instant>,
}

impl Typing {
    /// The text being written has changed. What is to be said, if anything.
    pub(crate) fn changed(&mut self, text: &str, now: Instant) -> Option<Activity> {
        if text.trim().is_empty() {
            return self.stopped();
        }
        self.until = Some(now + REST);
        Some(Activity::Composing)
    }

    /// Time is up, or the chat ends. What is to be said, if anything.
    pub(crate) fn stopped(&mut self) -> Option<Activity> {
        self.until.take().map(|_| Activity::Paused)
    }

    /// Waits until the user has stopped.
    pub(crate) async fn rest(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, Instant, Typing};

    #[test]
    fn stopping_is_said_once_and_only_by_who_has_typed() {
        let (mut typing, now) = (Typing::default(), Instant::now());
        assert_eq!(typing.stopped(), None);
        assert_eq!(typing.changed("h", now), Some(Activity::Composing));
        assert_eq!(typing.changed("hi", now), Some(Activity::Composing));
        assert_eq!(typing.until, Some(now + super::REST));
        assert_eq!(typing.changed("", now), Some(Activity::Paused), "sent, or deleted");
        assert_eq!(typing.changed(" ", now), None);
        assert_eq!(typing.stopped(), None);
    }
}
