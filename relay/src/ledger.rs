//! The wallet breaker: what the account's work has cost today, against its daily budget.
//!
//! Counting is done in memory and written when it has grown by 1/256 of the budget, so a day costs at
//! most 256 rows and an eviction forgets at most 1/256. An object is evicted after ten idle seconds at
//! the earliest, which bounds what can be evaded to 34 budgets a day.

use estafette_protocol::Millis;
use estafette_protocol::http::Usage;

use crate::sql::{Columns, Sql, StorageError};

/// Paid prices, in billionths of a dollar.
const REQUEST: u64 = 150;
const ROW: u64 = 1000;
/// 7.5, rounded up.
const SOCKET_MESSAGE: u64 = 8;
const DAY: Millis = 24 * 60 * 60 * 1000;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    day: u64,
    usage: Usage,
    /// `usage.spent` when it was last written.
    written: u64,
    /// The database's count when it was last looked at.
    rows_seen: u64,
}

impl Ledger {
    pub(crate) fn load<S: Sql>(sql: &S) -> Result<Self, StorageError> {
        let query = "SELECT day, spent, requests, rows_written, socket_messages FROM ledger";
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
        };
        Ok(Self { day, usage, written: spent, rows_seen })
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

    /// What the account sent was stored at the other end: a row is written, and deleted in the end.
    pub(crate) fn stored_elsewhere(&mut self) {
        self.usage.spent += 2 * ROW;
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
        budget: u64,
    ) -> Result<(), StorageError> {
        self.turn(now);
        self.count_rows(sql);
        if self.usage.spent < self.written + (budget / 256).max(1) {
            return Ok(());
        }
        self.written = self.usage.spent;
        sql.run(
            "INSERT INTO ledger (id, day, spent, requests, rows_written, socket_messages)
             VALUES (1, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET day = excluded.day, spent = excluded.spent,
                requests = excluded.requests, rows_written = excluded.rows_written,
                socket_messages = excluded.socket_messages",
            &[
                self.day.into(),
                self.usage.spent.into(),
                self.usage.requests.into(),
                self.usage.rows_written.into(),
                self.usage.socket_messages.into(),
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
