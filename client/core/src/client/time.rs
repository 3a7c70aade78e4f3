//! One step of the engine, from beginning to end, and what time brings.

use estafette_protocol::Millis;

use super::Client;
use super::connection::Link;
use super::outbox::Outbox;
use super::receipts::Receipts;
use crate::clock::{Timer, take_due};
use crate::store::Setting;
use crate::{Effect, Event, StoreError};

/// How often to forget what is old.
const HOUSEKEEPING: Millis = 60 * 60 * 1000;
/// A change of the clock's offset that is worth a write.
const OFFSET_NOTED: u64 = 1000;
/// The wait after the store failed.
const STORE_WAIT: Millis = 10_000;

impl Client {
    /// Does one thing, then what is due, then what may leave. If the thing itself fails, nothing
    /// has happened; if what follows fails, it has, and the failure is told as an event.
    pub(super) fn step<T>(
        &mut self,
        now: Millis,
        body: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<(T, Vec<Effect>), StoreError> {
        self.clock.step(now);
        self.recover(now)?;
        let left_by_a_failure = self.effects.len();
        match body(self) {
            Ok(value) => {
                if let Err(error) = self.follow_up(now) {
                    self.tell(Event::StoreFailed(error));
                    self.store_failed(now);
                }
                let next = self.wake_at();
                if next != self.told {
                    self.told = next;
                    self.effects.extend(next.map(Effect::WakeAt));
                }
                Ok((value, std::mem::take(&mut self.effects)))
            }
            Err(error) => {
                self.effects.truncate(left_by_a_failure);
                self.store_failed(now);
                Err(error)
            }
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }

    /// What is in memory may be wrong, and what the server delivered on this connection it will not
    /// deliver on it again. What this leaves among the effects comes with the next step.
    fn store_failed(&mut self, now: Millis) {
        self.stale = true;
        self.unreadable.clear();
        self.mls.discard();
        self.keyring.discard();
        if self.is_linked() {
            self.effects.push(Effect::Disconnect);
            self.lost(now, STORE_WAIT);
        }
    }

    /// After a failure, reads again what is in the store.
    fn recover(&mut self, now: Millis) -> Result<(), StoreError> {
        if !self.stale {
            return Ok(());
        }
        let outbox = Outbox::load(&self.store, &self.config);
        let stream = self.entropy.draw();
        let read = outbox.and_then(|outbox| Ok((outbox, Receipts::load(&self.store, stream)?)));
        match read {
            Ok((outbox, receipts)) => {
                (self.outbox, self.receipts, self.stale) = (outbox, receipts, false);
                Ok(())
            }
            Err(error) => {
                if matches!(self.link, Link::Waiting(_)) {
                    self.link = Link::Waiting(Timer::after(now, STORE_WAIT));
                }
                Err(error)
            }
        }
    }

    fn follow_up(&mut self, now: Millis) -> Result<(), StoreError> {
        self.on_link_time(now);
        self.on_typing_time(now);
        self.outbox.on_time(now);
        self.receipts.on_time(now);
        self.advance_sealing(now)?;
        if self.drained && !self.drained_told && self.store.sealed_conversations()?.is_empty() {
            self.drained_told = true;
            self.tell(Event::Drained);
        }
        if self.is_connected() && take_due(&mut self.housekeeping, now) {
            // With no time to trust, the next greeting will ask for it.
            if let Some(time) = self.clock.trusted() {
                self.housekeeping = Some(Timer::after(now, HOUSEKEEPING));
                if let Err(error) = self.keep_house(time) {
                    self.tell(Event::StoreFailed(error));
                }
            }
        }
        self.flush(now)
    }

    /// Forgets what is old, and gives up what was not taken for too long, by trusted time.
    fn keep_house(&mut self, time: Millis) -> Result<(), StoreError> {
        let offset = self.clock.offset();
        let noted = self.store.setting(Setting::ClockOffset)?.unwrap_or(0);
        if offset.abs_diff(noted) > OFFSET_NOTED {
            self.store.set(Setting::ClockOffset, offset)?;
        }
        self.store.prune(time, self.config.keep)?;
        let overdue = self.store.queued(Some(time.saturating_sub(self.config.give_up)))?;
        let failed = self.store.transaction(|| {
            let failed = overdue.iter().map(|old| self.store.give_up(old.peer, old.id));
            failed.collect::<Result<Vec<_>, _>>()
        })?;
        for (old, failed) in overdue.into_iter().zip(failed) {
            let code = self.outbox.give_up(old.id);
            if failed {
                self.tell(Event::Failed { peer: old.peer, id: old.id, code });
            }
        }
        Ok(())
    }
}
