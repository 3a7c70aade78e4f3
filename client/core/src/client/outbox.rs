//! Outgoing messages that are not settled: what leaves next, and what becomes of it.
//!
//! Invariants:
//! - a message leaves only after the ones before it in its stream have left on the same connection,
//!   so what is under way is a prefix of what is not settled;
//! - it is marked as chained exactly if an earlier one of its stream is not settled;
//! - all that is not settled is in the store, so this may be forgotten at any time.

use std::collections::BTreeMap;

use estafette_protocol::{ErrorCode, MessageId, Millis, PhoneNumber};

use super::retry::{Refusal, Retry};
use crate::clock::{Entropy, Timer};
use crate::store::Queued;
use crate::{Config, Store, StoreError};

#[derive(Debug)]
struct Stream {
    peer: PhoneNumber,
    unsettled: BTreeMap<u64, Queued>,
    /// Numbers below it are under way.
    cursor: u64,
    retry: Retry,
    /// What the server said last.
    code: ErrorCode,
}

impl Stream {
    fn new(peer: PhoneNumber) -> Self {
        Self {
            peer,
            unsettled: BTreeMap::new(),
            cursor: 0,
            retry: Retry::default(),
            code: ErrorCode::Unavailable,
        }
    }

    fn under_way(&self) -> usize {
        self.unsettled.range(..self.cursor).count()
    }

    fn next(&self) -> Option<&Queued> {
        self.unsettled.range(self.cursor..).next().map(|(_, queued)| queued)
    }
}

/// A message that leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departing {
    pub(super) queued: Queued,
    /// Whether an earlier one of its stream is not settled.
    pub(super) chained: bool,
    /// What it follows, where that is not the one before.
    pub(super) after: Option<u64>,
}

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The peer of each stream of this store.
    peers: BTreeMap<u64, PhoneNumber>,
    /// Streams with something that is not settled.
    streams: BTreeMap<u64, Stream>,
    /// How many may be under way: grows with what is taken, halves when it was too much.
    window: usize,
}

impl Outbox {
    pub(super) fn load(store: &Store, config: &Config) -> Result<Self, StoreError> {
        let peers = store.streams()?.into_iter().collect();
        let mut outbox = Self { peers, streams: BTreeMap::new(), window: config.window };
        outbox.add(store.queued(None)?);
        Ok(outbox)
    }

    pub(super) fn add(&mut self, queued: Vec<Queued>) {
        for queued in queued {
            let MessageId { stream, number } = queued.id;
            self.peers.insert(stream, queued.peer);
            let stream = self.streams.entry(stream).or_insert_with(|| Stream::new(queued.peer));
            stream.unsettled.insert(number, queued);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.streams.values().map(|stream| stream.unsettled.len()).sum()
    }

    pub(super) fn peer_of(&self, id: MessageId) -> Option<PhoneNumber> {
        self.peers.get(&id.stream).copied()
    }

    pub(super) fn get(&self, id: MessageId) -> Option<Queued> {
        self.streams.get(&id.stream)?.unsettled.get(&id.number).copied()
    }

    /// Whether something for this peer is not settled.
    pub(super) fn has(&self, peer: PhoneNumber) -> bool {
        self.streams.values().any(|stream| stream.peer == peer)
    }

    /// To whom something is not settled.
    pub(super) fn peers(&self) -> impl Iterator<Item = PhoneNumber> {
        self.streams.values().map(|stream| stream.peer)
    }

    /// What is not settled for this peer.
    pub(super) fn unsettled(&self, peer: PhoneNumber) -> Vec<Queued> {
        let streams = self.streams.values().filter(|stream| stream.peer == peer);
        streams.flat_map(|stream| stream.unsettled.values().copied()).collect()
    }

    /// What leaves next, if anything may: to those only to whom something may be sealed.
    pub(super) fn depart(
        &mut self,
        now: Millis,
        may_seal: impl Fn(PhoneNumber) -> bool,
        config: &Config,
        entropy: &mut Entropy,
    ) -> Option<Departing> {
        let under_way: usize = self.streams.values().map(Stream::under_way).sum();
        if under_way >= self.window {
            return None;
        }
        let ready = self
            .streams
            .values_mut()
            .filter(|stream| !stream.retry.is_waiting() && stream.under_way() < config.peer_window)
            .filter(|stream| may_seal(stream.peer));
        let stream =
            ready.min_by_key(|stream| stream.next().map_or(u64::MAX, |next| next.place))?;
        let queued = *stream.next()?;
        let Queued { id, follows, .. } = queued;
        let chained = stream.unsettled.range(..id.number).next().is_some();
        stream.cursor = id.number + 1;
        stream.retry.departed(now, config, entropy);
        let after = (follows != id.previous()).then_some(follows);
        Some(Departing { queued, chained, after })
    }

    /// It did not leave after all, nor does what comes after it.
    pub(super) fn held(&mut self, id: MessageId) {
        if let Some(stream) = self.streams.get_mut(&id.stream) {
            stream.cursor = stream.cursor.min(id.number);
        }
    }

    /// The server or the recipient has it.
    pub(super) fn settle(
        &mut self,
        now: Millis,
        id: MessageId,
        config: &Config,
        entropy: &mut Entropy,
    ) {
        let Some(stream) = self.streams.get_mut(&id.stream) else { return };
        if stream.unsettled.remove(&id.number).is_none() {
            return;
        }
        self.window = (self.window + 1).min(config.window);
        let more = stream.under_way() > 0;
        stream.retry.progressed(now, more, config, entropy);
        self.forget_if_settled(id.stream);
    }

    /// It is not sent again. Returns what the server said of its stream last.
    pub(super) fn give_up(&mut self, id: MessageId) -> ErrorCode {
        let Some(stream) = self.streams.get_mut(&id.stream) else { return ErrorCode::Unavailable };
        let code = stream.code;
        if let Some(given_up) = stream.unsettled.remove(&id.number) {
            let next = stream.unsettled.values_mut().find(|next| next.follows == id.number);
            if let Some(next) = next {
                next.follows = given_up.follows;
            }
        }
        self.forget_if_settled(id.stream);
        code
    }

    /// The server did not take it yet: its stream starts again from the first that is not settled,
    /// after a wait. `None` if nothing changes: it is not under way, for instance because its stream
    /// waits already.
    pub(super) fn rewind(
        &mut self,
        now: Millis,
        id: MessageId,
        refusal: Refusal,
        config: &Config,
        entropy: &mut Entropy,
    ) -> Option<(PhoneNumber, Timer)> {
        let stream = self.streams.get_mut(&id.stream)?;
        let under_way = id.number < stream.cursor && stream.unsettled.contains_key(&id.number);
        if !under_way {
            return None;
        }
        if refusal.code != ErrorCode::OutOfOrder {
            stream.code = refusal.code;
        }
        if refusal.code == ErrorCode::RateLimited {
            self.window = (self.window / 2).max(1);
        }
        stream.cursor = 0;
        Some((stream.peer, stream.retry.refused(now, refusal, config, entropy)))
    }

    /// The connection is gone: everything leaves again on the next.
    pub(super) fn disconnected(&mut self) {
        for stream in self.streams.values_mut() {
            stream.cursor = 0;
            stream.retry.disconnected();
        }
    }

    /// Sends again what was not answered in time.
    pub(super) fn on_time(&mut self, now: Millis) {
        for stream in self.streams.values_mut() {
            if stream.retry.is_unanswered(now) {
                stream.cursor = 0;
            }
        }
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        self.streams.values().filter_map(|stream| stream.retry.next()).min()
    }

    fn forget_if_settled(&mut self, stream: u64) {
        if self.streams.get(&stream).is_some_and(|stream| stream.unsettled.is_empty()) {
            self.streams.remove(&stream);
        }
    }
}
