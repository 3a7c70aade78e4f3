//! Pushes: which sleeping devices are woken, what they are told, and what becomes of it.
//!
//! Invariants:
//! - a device with a socket is never pushed to;
//! - a device that sleeps and has subscribed is pushed to once for all messages that are committed for
//!   it, and all that conversations have for it, within [`limits::PUSH_BURST`](estafette_protocol::limits::PUSH_BURST) of the push, or while it
//!   is under way or to be tried again;
//! - of a device, at most one push is under way.
//!
//! What was pushed is remembered in memory only. A crash between a commit and its push loses the push,
//! but also what the sender was to be told: the message comes again, and then it is made up for.

use estafette_protocol::http::{PushKeys, PushSubscription};
use estafette_protocol::push::{LogNotification, Notification};
use estafette_protocol::{DeviceId, Millis};

use super::Mailbox;
use crate::account::AccountAnswer;
use crate::effect::Effect;
use crate::push::{Next, Push, PushId, PushOutcome, Pusher, Standing, ttl};
use crate::sql::{Columns, Sql, StorageError, Value};

impl<S: Sql> Mailbox<S> {
    /// A push service has answered the push of this id, or did not.
    pub fn on_pushed(
        &mut self,
        now: Millis,
        push: PushId,
        outcome: PushOutcome,
    ) -> Result<Vec<Effect>, StorageError> {
        let returned = self.devices.iter_mut().enumerate().find_map(|(place, device)| {
            let departed = device.push.as_mut()?.returns(push)?;
            Some((place, departed))
        });
        // Whoever is not found has unsubscribed, or subscribed anew.
        if let Some((place, departed)) = returned {
            self.ledger.push_lasted(now, now.saturating_sub(departed));
            self.note_push(now, place, outcome)?;
        }
        self.finish(now)
    }

    fn note_push(
        &mut self,
        now: Millis,
        place: usize,
        outcome: PushOutcome,
    ) -> Result<(), StorageError> {
        let first_wait = self.config.push_retry;
        let Some(device) = self.devices.get(place) else { return Ok(()) };
        let (slot, id) = (device.slot, device.id);
        let asleep = outcome != PushOutcome::Accepted
            && self.socket_of(id).is_none()
            && (self.queue.messages_for(slot) > 0 || self.newest_marked_for(slot)?.is_some());
        let Some(device) = self.devices.get_mut(place) else { return Ok(()) };
        let Some(pusher) = &mut device.push else { return Ok(()) };
        match pusher.note(now, outcome, asleep, first_wait) {
            Next::Rest => {}
            Next::Note => self.record_standing(place)?,
            Next::Retry(at) => {
                self.record_standing(place)?;
                self.want_alarm(at);
            }
            Next::Drop => {
                device.push = None;
                self.forget_subscription(slot)?;
            }
        }
        Ok(())
    }

    /// Messages were committed: wakes every device that sleeps, unless it was just pushed to.
    pub(crate) fn wake_sleepers(&mut self, now: Millis) -> Result<(), StorageError> {
        self.push_where(now, true, |_, pusher| pusher.begins_burst(now))
    }

    /// A sender repeats what is stored: it may be that the last waking, which stored it, ended before it
    /// pushed.
    pub(crate) fn wake_forgotten(&mut self, now: Millis) -> Result<(), StorageError> {
        self.push_where(now, true, |_, pusher| !pusher.was_pushed() && pusher.may_depart(now))
    }

    /// A device is gone. What waits for it may never have come through, nor what conversations had for it
    /// (`behind`).
    pub(crate) fn wake_one(
        &mut self,
        now: Millis,
        device: DeviceId,
        behind: bool,
    ) -> Result<(), StorageError> {
        self.push_where(now, behind, |id, pusher| id == device && pusher.begins_burst(now))
    }

    /// From the alarm: tries again what has failed.
    pub(crate) fn retry_pushes(&mut self, now: Millis) -> Result<(), StorageError> {
        for place in 0..self.devices.len() {
            let Some(device) = self.devices.get(place) else { continue };
            let Some(pusher) = device.push.as_ref() else { continue };
            let standing = pusher.standing;
            if standing.failures == 0 {
                continue;
            }
            if !pusher.may_depart(now) {
                let at = standing.not_before;
                self.want_alarm(if at > now { at } else { now + self.config.push_retry });
            } else if !self.push(now, place, true)? {
                // It came by itself.
                if let Some(pusher) =
                    self.devices.get_mut(place).and_then(|device| device.push.as_mut())
                {
                    pusher.standing.failures = 0;
                }
                self.record_standing(place)?;
            }
        }
        Ok(())
    }

    fn push_where(
        &mut self,
        now: Millis,
        marks: bool,
        wanted: impl Fn(DeviceId, &Pusher) -> bool,
    ) -> Result<(), StorageError> {
        for place in 0..self.devices.len() {
            let pushed =
                self.devices.get(place).and_then(|device| Some((device.id, device.push.as_ref()?)));
            if pushed.is_some_and(|(id, pusher)| wanted(id, pusher)) {
                self.push(now, place, marks)?;
            }
        }
        Ok(())
    }

    /// Pushes to a device, if it sleeps and a message waits for it, or (`marks`) a conversation's log.
    fn push(&mut self, now: Millis, place: usize, marks: bool) -> Result<bool, StorageError> {
        let Some(device) = self.devices.get(place) else { return Ok(false) };
        let (slot, id) = (device.slot, device.id);
        // Who is suspended could not fetch what they are woken for.
        if self.socket_of(id).is_some() || self.suspended_at.is_some() {
            return Ok(false);
        }
        let message = self.queue.newest_message(&self.sql, slot)?;
        let marked = match message {
            None if marks => self.newest_marked_for(slot)?,
            _ => None,
        };
        if message.is_none() && marked.is_none() {
            return Ok(false);
        }
        let waiting = self.queue.messages_for(slot);
        // What is over its budget is fetched when the device comes by itself.
        if self.ledger.check(now, self.limits(now).daily_budget).is_err() {
            return Ok(false);
        }
        self.last_push = self.last_push.wrapping_add(1);
        let push_id = PushId(self.last_push);
        let pusher = self.devices.get_mut(place).and_then(|device| device.push.as_mut());
        let Some(pusher) = pusher else { return Ok(false) };
        pusher.departs(push_id, now);
        let brief = pusher.standing.brief;
        let (payload, expires_at) = match (message, marked) {
            (Some((message, expires_at)), _) => {
                let body = Some(message.body).filter(|_| !brief);
                let (from, id, at) = (message.from, message.id, message.at);
                (Notification { from, id, at, waiting, body }.to_payload(), expires_at)
            }
            (None, Some(conversation)) => {
                let payload = LogNotification { conversation, at: now }.to_payload();
                (payload, now + self.config.message_life)
            }
            (None, None) => return Ok(false),
        };
        self.ledger.push();
        self.effects.push(Effect::Push(Box::new(Push {
            id: push_id,
            device: id,
            subscription: pusher.subscription.clone(),
            payload,
            ttl: ttl(now, expires_at),
        })));
        Ok(true)
    }

    // Subscriptions.

    /// Reads the subscriptions of the devices that there are. Others were left by a version that did
    /// not know of them, and are nobody's.
    pub(crate) fn load_subscriptions(&mut self) -> Result<(), StorageError> {
        let query = "SELECT device, endpoint, p256dh, auth, brief, failures, not_before FROM push";
        for row in self.sql.run(query, &[])? {
            let mut columns = Columns::of(row);
            let id = DeviceId::from_bytes(columns.array()?);
            let endpoint = columns.text()?;
            let keys = PushKeys { p256dh: columns.text()?, auth: columns.text()? };
            let standing = Standing {
                brief: columns.integer()? != 0,
                failures: columns.integer()?,
                not_before: columns.integer()?,
            };
            if let Some(device) = self.device_mut(id) {
                device.push = Some(Pusher::new(PushSubscription { endpoint, keys }, standing));
            }
        }
        Ok(())
    }

    pub(crate) fn subscription(&self, device: DeviceId) -> AccountAnswer {
        let pusher = self.device(device).and_then(|device| device.push.as_ref());
        AccountAnswer::Subscription(pusher.map(|pusher| pusher.subscription.clone()))
    }

    /// A device says where to push. What is there already costs nothing.
    pub(crate) fn subscribe(
        &mut self,
        device: DeviceId,
        subscription: PushSubscription,
    ) -> Result<AccountAnswer, StorageError> {
        let Some(known) = self.device_mut(device) else { return Ok(AccountAnswer::Granted) };
        if known.push.as_ref().is_some_and(|pusher| pusher.subscription == subscription) {
            return Ok(AccountAnswer::Granted);
        }
        let slot = known.slot;
        let PushSubscription { endpoint, keys } = subscription.clone();
        known.push = Some(Pusher::new(subscription, Standing::default()));
        self.sql.run(
            "INSERT INTO push (slot, device, endpoint, p256dh, auth, brief, failures, not_before)
             VALUES (?, ?, ?, ?, ?, 0, 0, 0)
             ON CONFLICT (slot) DO UPDATE SET device = excluded.device,
                endpoint = excluded.endpoint, p256dh = excluded.p256dh, auth = excluded.auth,
                brief = 0, failures = 0, not_before = 0",
            &[
                u64::from(slot).into(),
                device.to_bytes().to_vec().into(),
                Value::Text(endpoint),
                Value::Text(keys.p256dh),
                Value::Text(keys.auth),
            ],
        )?;
        Ok(AccountAnswer::Granted)
    }

    pub(crate) fn unsubscribe(&mut self, device: DeviceId) -> Result<AccountAnswer, StorageError> {
        let known = self.device_mut(device);
        if let Some(slot) = known.and_then(|known| known.push.take().map(|_| known.slot)) {
            self.forget_subscription(slot)?;
        }
        Ok(AccountAnswer::Granted)
    }

    fn forget_subscription(&self, slot: u8) -> Result<(), StorageError> {
        let statement = "DELETE FROM push WHERE slot = ?";
        self.sql.run(statement, &[u64::from(slot).into()]).map(drop)
    }

    fn record_standing(&self, place: usize) -> Result<(), StorageError> {
        let Some(device) = self.devices.get(place) else { return Ok(()) };
        let Some(Pusher { standing, .. }) = device.push.as_ref() else { return Ok(()) };
        let statement = "UPDATE push SET brief = ?, failures = ?, not_before = ? WHERE slot = ?";
        self.sql.run(
            statement,
            &[
                u64::from(standing.brief).into(),
                standing.failures.into(),
                standing.not_before.into(),
                u64::from(device.slot).into(),
            ],
        )?;
        Ok(())
    }
}
