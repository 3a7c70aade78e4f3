//! The wallet breaker: what the account's work has cost today, against its daily budget.
//!
//! Counting is done in memory and written when it has grown by 1/256 of the budget, so a day costs at
//! most 256 rows and an eviction forgets at most 1/256. An object is evicted after ten idle seconds at
//! the earliest, which bounds what can be evaded to 34 budgets a day. Uploaded bytes are counted likewise,
//! and written when they have grown by 1/1024 of their quota: 1,024 rows a day, 9 quotas evaded.

use estafette_protocol::http::Usage;
use estafette_protocol::{Millis, limits};

use crate::config::Config;
use crate::media::MediaWork;
use crate::sql::{Columns, Sql, StorageError};

/// Paid prices, in billionths of a dollar.
const REQUEST: u64 = 150;
const ROW: u64 = 1000;
/// 7.5, rounded up.
const SOCKET_MESSAGE: u64 = 8;
/// An operation that writes to R2 (class A), and one that reads (class B).
const MEDIA_WRITE: u64 = 4500;
const MEDIA_READ: u64 = 360;
/// A millisecond for which a push keeps the object awake: 1.6, rounded up.
const AWAKE: u64 = 2;
/// No push lasts longer; only a clock that jumps says so.
const PUSH_MAX: Millis = 60 * 1000;
const DAY: Millis = 24 * 60 * 60 * 1000;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    day: u64,
    usage: Usage,
    /// `usage.spent` when it was last written.
    written: u64,
    /// `usage.uploaded_bytes` when it was last written.
    bytes_written: u64,
    /// Reports that were made, and how many of them were written: each is, ten a day at most.
    reports: u64,
    reports_written: u64,
    /// The database's count when it was last looked at.
    rows_seen: u64,
}

impl Ledger {
    pub(crate) fn load<S: Sql>(sql: &S) -> Result<Self, StorageError> {
        let query = "SELECT day, spent, requests, rows_written, socket_messages, media_writes,
                media_reads, uploaded_bytes, pushes, reports FROM ledger";
        let rows_seen = sql.rows_written();
        let Some(row) = sql.run(query, &[])?.pop() else {
            return Ok(Self { rows_seen, ..Self::default() });
        };
        let mut columns = Columns::of(row);
        let (day, spent) = (columns.integer()?, columns.integer()?);
        let usage = Usage {
            requests: columns.integer()?,
            rows_written: columns.integer()?,
            socket_messages: columns.integer()?,
            spent,
            budget: 0,
            media_writes: columns.integer()?,
            media_reads: columns.integer()?,
            uploaded_bytes: columns.integer()?,
            pushes: columns.integer()?,
            lookups_left: 0,
        };
        let bytes_written = usage.uploaded_bytes;
        let reports = columns.integer()?;
        let (written, reports_written) = (spent, reports);
        Ok(Self { day, usage, written, bytes_written, reports, reports_written, rows_seen })
    }

    /// A request came in that others pay for, or that costs the account itself.
    pub(crate) fn request(&mut self, now: Millis, own: bool) {
        self.turn(now);
        self.usage.requests += 1;
        self.usage.spent += if own { REQUEST } else { 0 };
    }

    /// A device said something.
    pub(crate) fn socket_message(&mut self, now: Millis) {
        self.turn(now);
        self.usage.socket_messages += 1;
        self.usage.spent += SOCKET_MESSAGE;
    }

    /// The account makes a call: it pays for the request at the other end.
    pub(crate) fn call(&mut self) {
        self.usage.spent += REQUEST;
    }

    /// A file is stored or fetched for the account.
    pub(crate) fn media(&mut self, work: MediaWork) {
        let MediaWork { writes, reads, requests, rows } = work;
        let [writes, reads, requests, rows] = [writes, reads, requests, rows].map(u64::from);
        self.usage.media_writes += writes;
        self.usage.media_reads += reads;
        self.usage.spent +=
            writes * MEDIA_WRITE + reads * MEDIA_READ + requests * REQUEST + rows * ROW;
    }

    /// The account uploads a file, unless its quota of the day does not reach: then, how long until
    /// there is a new one.
    pub(crate) fn upload(&mut self, now: Millis, bytes: u64, quota: u64) -> Result<(), Millis> {
        self.turn(now);
        if bytes > quota.saturating_sub(self.usage.uploaded_bytes) {
            return Err(DAY - now % DAY);
        }
        self.usage.uploaded_bytes += bytes;
        Ok(())
    }

    /// The account reports somebody, unless it has done so often enough today: then, how long until it
    /// may again.
    pub(crate) fn report(&mut self, now: Millis) -> Result<(), Millis> {
        self.turn(now);
        if self.reports >= limits::REPORTS_A_DAY {
            return Err(DAY - now % DAY);
        }
        self.reports += 1;
        Ok(())
    }

    /// A push departs. The request itself is free.
    pub(crate) fn push(&mut self) {
        self.usage.pushes += 1;
    }

    /// A push kept the object awake for so long.
    pub(crate) fn push_lasted(&mut self, now: Millis, lasted: Millis) {
        self.turn(now);
        self.usage.spent += lasted.min(PUSH_MAX) * AWAKE;
    }

    /// What the account sent was stored at the other end: a row is written, and deleted in the end.
    pub(crate) fn stored_elsewhere(&mut self) {
        self.usage.spent += 2 * ROW;
    }

    /// So many rows were written at the other end for the account.
    pub(crate) fn rows_elsewhere(&mut self, rows: u64) {
        self.usage.spent += rows * ROW;
    }

    /// So many of the rows that were written are paid for by whoever sent what is in them.
    pub(crate) fn others_rows(&mut self, rows: u64) {
        self.rows_seen += rows;
        self.usage.rows_written += rows;
    }

    /// What is left of today, or how long until there is a new budget.
    pub(crate) fn check(&mut self, now: Millis, budget: u64) -> Result<(), Millis> {
        self.turn(now);
        if self.usage.spent < budget { Ok(()) } else { Err(DAY - now % DAY) }
    }

    pub(crate) fn usage(&mut self, now: Millis, budget: u64) -> Usage {
        self.turn(now);
        Usage { budget, ..self.usage }
    }

    fn turn(&mut self, now: Millis) {
        let day = now / DAY;
        if day != self.day {
            *self = Self { day, rows_seen: self.rows_seen, ..Self::default() };
        }
    }

    /// At the end of each step: counts what the step wrote, and writes the count when it is due.
    pub(crate) fn settle<S: Sql>(
        &mut self,
        sql: &S,
        now: Millis,
        config: &Config,
    ) -> Result<(), StorageError> {
        self.turn(now);
        self.count_rows(sql);
        let spent = self.usage.spent >= self.written + (config.daily_budget / 256).max(1);
        let step = (config.upload_bytes_a_day / 1024).max(1);
        let uploaded = self.usage.uploaded_bytes >= self.bytes_written + step;
        if !spent && !uploaded && self.reports == self.reports_written {
            return Ok(());
        }
        self.written = self.usage.spent;
        self.bytes_written = self.usage.uploaded_bytes;
        self.reports_written = self.reports;
        sql.run(
            "INSERT INTO ledger (id, day, spent, requests, rows_written, socket_messages,
                media_writes, media_reads, uploaded_bytes, pushes, reports)
             VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET day = excluded.day, spent = excluded.spent,
                requests = excluded.requests, rows_written = excluded.rows_written,
                socket_messages = excluded.socket_messages, media_writes = excluded.media_writes,
                media_reads = excluded.media_reads, uploaded_bytes = excluded.uploaded_bytes,
                pushes = excluded.pushes, reports = excluded.reports",
            &[
                self.day.into(),
                self.usage.spent.into(),
                self.usage.requests.into(),
                self.usage.rows_written.into(),
                self.usage.socket_messages.into(),
                self.usage.media_writes.into(),
                self.usage.media_reads.into(),
                self.usage.uploaded_bytes.into(),
                self.usage.pushes.into(),
                self.reports.into(),
            ],
        )?;
        self.count_rows(sql);
        Ok(())
    }

    fn count_rows<S: Sql>(&mut self, sql: &S) {
        let rows = sql.rows_written() - self.rows_seen;
        self.rows_seen += rows;
        self.usage.rows_written += rows;
        self.usage.spent += rows * ROW;
    }
}
