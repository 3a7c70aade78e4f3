//! What a mailbox remembers of the streams of messages that come in, to take each message once and
//! in order.
//!
//! Invariant, for each stream that is remembered: every number after `since` and up to `taken` was
//! taken, or its sender had settled it before a later one was taken (`holes`). Of those up to `since`
//! it is not known any more.
//!
//! The memory is lost with the object, except for streams of which something still waits. That is
//! safe: a message of an unknown stream is taken only if its device says that nothing earlier is
//! unsettled; what is not known to be taken is taken, and what comes twice is shown once by the
//! recipient's own store.

use std::collections::BTreeMap;

use estafette_protocol::{DeviceId, PhoneNumber};

/// Streams in each of the two generations; about 100 bytes each.
const STREAMS_MAX: usize = 2048;
/// Holes of a stream that are remembered.
const HOLES_MAX: usize = 16;

pub(crate) type StreamKey = (PhoneNumber, DeviceId, u64);

#[derive(Debug, Default)]
struct Stream {
    since: u64,
    taken: u64,
    /// Numbers below `taken` that never were: `(first, last)`.
    holes: Vec<(u64, u64)>,
}

/// What is known of the place of a message in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It may be taken.
    Next,
    /// It was taken before.
    Duplicate,
    /// If it does not wait, it may be taken: nobody knows whether it was.
    Forgotten,
    /// One that it follows was not taken, or a later one was.
    OutOfOrder,
}

#[derive(Debug, Default)]
pub(crate) struct Streams {
    young: BTreeMap<StreamKey, Stream>,
    old: BTreeMap<StreamKey, Stream>,
}

impl Streams {
    /// Where message `number`, which follows `after`, stands.
    pub(crate) fn place(&self, key: StreamKey, number: u64, after: u64, chained: bool) -> Place {
        let Some(stream) = self.young.get(&key).or_else(|| self.old.get(&key)) else {
            return if chained { Place::OutOfOrder } else { Place::Next };
        };
        if number <= stream.since {
            return Place::Forgotten;
        }
        if number <= stream.taken {
            let hole = stream.holes.iter().any(|&(first, last)| (first..=last).contains(&number));
            return if hole { Place::OutOfOrder } else { Place::Duplicate };
        }
        if chained && after > stream.taken { Place::OutOfOrder } else { Place::Next }
    }

    /// Notes on waking that message `number` still waits.
    pub(crate) fn recall(&mut self, key: StreamKey, number: u64) {
        let stream = self.young.entry(key).or_default();
        stream.taken = stream.taken.max(number);
        stream.since = stream.taken;
    }

    /// Notes that message `number` was taken.
    pub(crate) fn take(&mut self, key: StreamKey, number: u64) {
        // Before the old ones are dropped: it may be one of them.
        let known = self.old.remove(&key);
        if self.young.len() >= STREAMS_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let is_new = known.is_none() && !self.young.contains_key(&key);
        let stream = self.young.entry(key).or_insert_with(|| known.unwrap_or_default());
        if is_new {
            stream.since = number - 1;
        } else if number > stream.taken + 1 {
            stream.holes.push((stream.taken + 1, number - 1));
            if stream.holes.len() > HOLES_MAX {
                stream.holes.remove(0);
            }
        }
        stream.taken = stream.taken.max(number);
    }
}
