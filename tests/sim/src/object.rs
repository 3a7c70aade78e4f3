//! The host of one account's mailbox: its storage, clock, timer and alarm.

use std::collections::BTreeMap;

use estafette_protocol::{DeviceId, Millis, PhoneNumber};
use estafette_relay::sql::Native;
use estafette_relay::{Config, Mailbox, SocketId, Sql, StorageError, Value, Wake};

pub(crate) struct Object {
    pub(crate) number: PhoneNumber,
    config: Config,
    /// Its database, while it is not in memory.
    asleep: Option<Native>,
    mailbox: Option<Mailbox<Native>>,
    /// Grows whenever memory is lost: what was started before concerns nobody after.
    pub(crate) generation: u64,
    /// Its clock less the true one.
    pub(crate) skew: i64,
    /// Open sockets: which connection, and what is attached.
    pub(crate) sockets: BTreeMap<SocketId, (usize, Vec<u8>)>,
    pub(crate) timer: u64,
    pub(crate) alarm: u64,
    pub(crate) alarm_at: Option<Millis>,
    pub(crate) rows_written: u64,
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    CrashBeforeCommit,
    CrashAfterCommit,
}

impl Object {
    pub(crate) fn new(number: PhoneNumber, config: Config) -> Self {
        Self {
            number,
            config,
            asleep: Some(Native::in_memory().unwrap()),
            mailbox: None,
            generation: 0,
            skew: 0,
            sockets: BTreeMap::new(),
            timer: 0,
            alarm: 0,
            alarm_at: None,
            rows_written: 0,
        }
    }

    pub(crate) fn clock(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.skew)
    }

    /// Runs a step of the mailbox, which is woken if need be. If it crashed, what came of the step
    /// is an error, and only if it was committed.
    pub(crate) fn step<T>(
        &mut self,
        now: Millis,
        seed: u64,
        fate: Fate,
        step: impl FnOnce(&mut Mailbox<Native>, Millis) -> Result<T, StorageError>,
    ) -> Result<T, Option<T>> {
        let clock = self.clock(now);
        if let Some(sql) = self.asleep.take() {
            let sockets = self.sockets.values().map(|(_, attachment)| attachment.clone()).collect();
            let alarm = self.alarm_at;
            let wake = Wake { now: clock, seed, alarm, sockets };
            self.mailbox = Some(Mailbox::wake(sql, self.config, wake).unwrap());
        }
        let mailbox = self.mailbox.as_mut().unwrap();
        mailbox.sql().execute("SAVEPOINT step").unwrap();
        let result = step(mailbox, clock).unwrap();
        match fate {
            Fate::Done => {
                mailbox.sql().execute("RELEASE step").unwrap();
                Ok(result)
            }
            Fate::CrashBeforeCommit => {
                mailbox.sql().execute("ROLLBACK TO step; RELEASE step").unwrap();
                self.sleep();
                Err(None)
            }
            Fate::CrashAfterCommit => {
                mailbox.sql().execute("RELEASE step").unwrap();
                self.sleep();
                Err(Some(result))
            }
        }
    }

    /// Leaves memory. Sockets and the alarm stay.
    pub(crate) fn sleep(&mut self) {
        let Some(mailbox) = self.mailbox.take() else { return };
        let sql = mailbox.into_sql();
        self.rows_written += sql.rows_written();
        self.asleep = Some(Native::new(sql.into_connection()));
        self.generation += 1;
        self.timer += 1;
    }

    /// Whether nothing waits in it and nothing is owed by it.
    pub(crate) fn is_empty(&self) -> bool {
        let sql = match (&self.mailbox, &self.asleep) {
            (Some(mailbox), _) if mailbox.waiting() > 0 => return false,
            (Some(mailbox), _) => mailbox.sql(),
            (None, Some(sql)) => sql,
            (None, None) => return true,
        };
        let tables = sql.run("SELECT 1 FROM sqlite_master WHERE name = 'page'", &[]).unwrap();
        let query = "SELECT position FROM page UNION ALL SELECT id FROM owed";
        tables.is_empty() || sql.run(query, &[]).unwrap().is_empty()
    }

    /// The devices that have subscribed, and whose service is not known to fail.
    pub(crate) fn pushable(&self, clock: Millis) -> Vec<DeviceId> {
        let mailbox = self.mailbox.as_ref().map(Mailbox::sql);
        let Some(sql) = mailbox.or(self.asleep.as_ref()) else { return Vec::new() };
        let tables = sql.run("SELECT 1 FROM sqlite_master WHERE name = 'push'", &[]).unwrap();
        if tables.is_empty() {
            return Vec::new();
        }
        let query = "SELECT device FROM push WHERE failures = 0 AND not_before <= ?";
        let rows = sql.run(query, &[clock.into()]).unwrap();
        let devices = rows.iter().flatten().filter_map(|value| match value {
            Value::Blob(bytes) => bytes.as_slice().try_into().ok().map(DeviceId::from_bytes),
            _ => None,
        });
        devices.collect()
    }

    /// What is in its tables, for a violation's text.
    pub(crate) fn contents(&mut self) -> String {
        let queries = ["SELECT position FROM page", "SELECT id, peer, expires_at FROM owed"];
        let sql = self.database();
        format!("{:?}", queries.map(|query| sql.run(query, &[]).ok()))
    }

    /// Something done to the database before anybody uses it.
    pub(crate) fn database(&mut self) -> &Native {
        self.sleep();
        self.asleep.as_ref().unwrap()
    }
}
