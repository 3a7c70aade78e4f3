//! The entrance of time: the timer that commits what is held, the alarm that drops what is too old
//! and repeats what is owed.

use estafette_protocol::{Millis, PhoneNumber};

use super::Mailbox;
use crate::effect::Effect;
use crate::lane::{Concern, LaneItem};
use crate::peer::PeerItem;
use crate::sql::{Columns, Sql, StorageError};

/// The first wait before what is owed is tried again; each further one is as long as all before it
/// together, so that 30 days make about 20 tries.
const OWED_RETRY: Millis = 10_000;
/// Rows of `owed` that one alarm repeats.
const OWED_MAX: u64 = 64;

impl<S: Sql> Mailbox<S> {
    /// The timer that the last [`Effect::Timer`] asked for is over.
    pub fn on_timer(&mut self, now: Millis) -> Result<Vec<Effect>, StorageError> {
        self.timer_fired();
        let due = self.queue.held_until().is_some_and(|until| {
            // A clock that went back must not hold anything for longer than it should be.
            until <= now || until > now + self.config.hold
        });
        if due {
            self.commit_held(now)?;
        }
        self.finish(now)
    }

    /// The alarm went off.
    pub fn on_alarm(&mut self, now: Millis) -> Result<Vec<Effect>, StorageError> {
        self.ledger.request(now, true);
        self.alarm_fired();
        if self.account.is_none() {
            self.forget_code(now)?;
            return self.finish(now);
        }
        if let Some(expiry) = self.on_queue(|queue, sql| queue.expire(sql, now))? {
            self.want_alarm(expiry);
        }
        self.repeat_owed(now)?;
        self.retry_pushes(now)?;
        self.finish(now)
    }

    /// Records what another mailbox could not be told, to be repeated from the alarm.
    pub(crate) fn owe(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        item: &PeerItem,
    ) -> Result<(), StorageError> {
        let expires_at = now + self.config.message_life;
        // Encoding into memory cannot fail.
        let item = minicbor_serde::to_vec(item).unwrap_or_default();
        self.sql.run(
            "INSERT INTO owed (peer, expires_at, items) VALUES (?, ?, ?)",
            &[peer.digits().into(), expires_at.into(), item.into()],
        )?;
        self.want_alarm(now + OWED_RETRY);
        Ok(())
    }

    fn repeat_owed(&mut self, now: Millis) -> Result<(), StorageError> {
        self.sql.run("DELETE FROM owed WHERE expires_at <= ?", &[now.into()])?;
        let query = "SELECT id, peer, expires_at, items FROM owed ORDER BY id DESC LIMIT ?";
        let mut youngest = None;
        for row in self.sql.run(query, &[OWED_MAX.into()])? {
            let mut columns = Columns::of(row);
            let id = columns.integer()?;
            let peer = PhoneNumber::from_digits(columns.integer()?)
                .or(Err(StorageError::Row("the number that is owed")))?;
            let age =
                self.config.message_life.saturating_sub(columns.integer()?.saturating_sub(now));
            youngest = Some(youngest.unwrap_or(age).min(age));
            let item = minicbor_serde::from_slice(&columns.blob()?)
                .or(Err(StorageError::Row("what is owed")))?;
            let concern = Concern::Owed(id);
            let under_way = self.lanes.get(&peer).is_some_and(|lane| {
                let items = lane.under_way.iter().flatten().chain(&lane.waiting);
                items.into_iter().any(|item| item.concern == concern)
            });
            if !under_way {
                self.post(peer, LaneItem { item, concern });
            }
        }
        if let Some(age) = youngest {
            self.want_alarm(now + age.max(OWED_RETRY));
        }
        Ok(())
    }
}
