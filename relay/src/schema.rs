//! The tables of a mailbox, as numbered migrations that are only ever appended to.
//!
//! An object that nobody registered has no tables: looking for one costs a read and leaves nothing
//! behind. The first write makes them ([`prepare`]).

use crate::sql::{Columns, Sql, StorageError};

/// Migration `n` takes a database from version `n` to `n + 1`. The version is the one row of
/// `schema`, because `PRAGMA user_version` is not to be had at the edge.
const MIGRATIONS: &[&[&str]] = &[
    &[
        "CREATE TABLE schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT",
        "INSERT INTO schema (id, version) VALUES (1, 0)",
        // The account: absent until its number was proven.
        "CREATE TABLE account (
            id INTEGER PRIMARY KEY,
            number INTEGER NOT NULL,
            registered_at INTEGER NOT NULL
        ) STRICT",
        // A device's slot is its bit in the sets of waiting devices.
        "CREATE TABLE device (
            slot INTEGER PRIMARY KEY,
            device BLOB NOT NULL,
            name TEXT NOT NULL,
            identity_key BLOB NOT NULL,
            registered_at INTEGER NOT NULL,
            cursor INTEGER NOT NULL
        ) STRICT",
        // The one-time code that is on its way, as a keyed hash.
        "CREATE TABLE code (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL,
            expires_at INTEGER NOT NULL,
            tries INTEGER NOT NULL,
            sent INTEGER NOT NULL,
            first_sent_at INTEGER NOT NULL,
            last_sent_at INTEGER NOT NULL
        ) STRICT",
        // Messages and receipts that wait, many in a row; `position` is that of the first.
        "CREATE TABLE page (
            position INTEGER PRIMARY KEY,
            expires_at INTEGER NOT NULL,
            entries BLOB NOT NULL,
            frames BLOB NOT NULL
        ) STRICT",
        // What another mailbox must still be told; repeated from the alarm.
        "CREATE TABLE owed (
            id INTEGER PRIMARY KEY,
            peer INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            items BLOB NOT NULL
        ) STRICT",
        // What was charged on the current day.
        "CREATE TABLE ledger (
            id INTEGER PRIMARY KEY,
            day INTEGER NOT NULL,
            spent INTEGER NOT NULL,
            requests INTEGER NOT NULL,
            rows_written INTEGER NOT NULL,
            socket_messages INTEGER NOT NULL
        ) STRICT",
    ],
    // Media: what is charged for them, and the account's unfinished uploads.
    &[
        "ALTER TABLE ledger ADD COLUMN media_writes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE ledger ADD COLUMN media_reads INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE ledger ADD COLUMN uploaded_bytes INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE upload (
            id INTEGER PRIMARY KEY,
            media BLOB NOT NULL,
            expires_at INTEGER NOT NULL
        ) STRICT",
    ],
    // Push: where to, and what is counted.
    &[
        // Where to push to a device. `device` says whose it is, should an earlier version have given
        // the slot to another. The rest is what became of the last pushes, 0 where all is well.
        "CREATE TABLE push (
            slot INTEGER PRIMARY KEY,
            device BLOB NOT NULL,
            endpoint TEXT NOT NULL,
            p256dh TEXT NOT NULL,
            auth TEXT NOT NULL,
            brief INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            not_before INTEGER NOT NULL
        ) STRICT",
        "ALTER TABLE ledger ADD COLUMN pushes INTEGER NOT NULL DEFAULT 0",
    ],
    // Several devices: from which position on a device is given what comes, and the day on which it last
    // connected, counted from 1970.
    &[
        "ALTER TABLE device ADD COLUMN since INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE device ADD COLUMN seen_on INTEGER NOT NULL DEFAULT 0",
    ],
    // Presence and privacy. `last_seen` is when the user was last there, 0 if never. `privacy` holds the
    // audience of each attribute, `person.flags` what is said of somebody: see `privacy.rs`. `watcher.shows`
    // is what the watcher shows in turn.
    &[
        "ALTER TABLE account ADD COLUMN last_seen INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN privacy INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE person (number INTEGER PRIMARY KEY, flags INTEGER NOT NULL) STRICT",
        "CREATE TABLE watcher (number INTEGER PRIMARY KEY, shows INTEGER NOT NULL) STRICT",
    ],
    // The profile: one row, where there is one. `picture` is empty where nothing opens a picture, and
    // `picture_bytes` is 0 where there is none.
    &["CREATE TABLE profile (
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        name TEXT NOT NULL,
        about TEXT NOT NULL,
        picture TEXT NOT NULL,
        picture_bytes INTEGER NOT NULL
    ) STRICT"],
    // The registration PIN, as a keyed hash. `tries` counts the wrong ones in a row, the last of them at
    // `tried_at`. `alive_at` is when a device last set it, or was removed: see `pin.rs`.
    &["CREATE TABLE pin (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL,
            tries INTEGER NOT NULL,
            tried_at INTEGER NOT NULL,
            alive_at INTEGER NOT NULL
        ) STRICT"],
    // Administration: since when the account is suspended, which outlives it; and the day's reports.
    &[
        "CREATE TABLE suspension (id INTEGER PRIMARY KEY, suspended_at INTEGER NOT NULL) STRICT",
        "ALTER TABLE ledger ADD COLUMN reports INTEGER NOT NULL DEFAULT 0",
    ],
    // Look-up of contacts. `looked_up` counts the numbers that an account has at first, `looked_up_today`
    // those of `lookup_day`, a day counted from 1970.
    &[
        "ALTER TABLE account ADD COLUMN looked_up INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN lookup_day INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN looked_up_today INTEGER NOT NULL DEFAULT 0",
    ],
    // What is dropped must take as long as what is stored, so something is written: see `privacy.rs`.
    &["CREATE TABLE noise (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT"],
    // Conversations. `keys` has a device's key packages: how many are left (`remaining`) as a CBOR list of
    // byte strings, and the last-resort one, empty where there is none; `device` is as in `push`.
    // `device_list` has the entries of the account's list of devices. `mark` says which devices are to look
    // into a conversation's log, a bit for each slot: see `marks.rs`.
    &[
        "CREATE TABLE keys (
            slot INTEGER PRIMARY KEY,
            device BLOB NOT NULL,
            remaining INTEGER NOT NULL,
            last_resort BLOB NOT NULL,
            packages BLOB NOT NULL
        ) STRICT",
        "CREATE TABLE device_list (place INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT",
        "CREATE TABLE mark (
            conversation BLOB PRIMARY KEY,
            slots INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID",
    ],
    #[cfg(feature = "rehearsal")]
    &["ALTER TABLE device ADD COLUMN rehearsed INTEGER NOT NULL DEFAULT 0"],
];

/// The version of the database; `None` when it has no tables.
fn version<S: Sql>(sql: &S) -> Result<Option<u64>, StorageError> {
    let tables = sql.run("SELECT name FROM sqlite_master WHERE name = 'schema'", &[])?;
    if tables.is_empty() {
        return Ok(None);
    }
    let row = sql.run("SELECT version FROM schema WHERE id = 1", &[])?.pop();
    row.map(|row| Columns::of(row).integer()).transpose()
}

/// The tables of an existing database, but for those of the platform.
pub(crate) fn tables<S: Sql>(sql: &S) -> Result<Vec<String>, StorageError> {
    let query = "SELECT name FROM sqlite_master
         WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'";
    sql.run(query, &[])?.into_iter().map(|row| Columns::of(row).text()).collect()
}

/// Brings an existing database up to date. Returns whether there is one.
pub(crate) fn upgrade<S: Sql>(sql: &S) -> Result<bool, StorageError> {
    match version(sql)? {
        None => Ok(false),
        Some(version) => migrate(sql, version).map(|()| true),
    }
}

/// Makes the tables of a new database.
pub(crate) fn prepare<S: Sql>(sql: &S) -> Result<(), StorageError> {
    migrate(sql, version(sql)?.unwrap_or(0))
}

fn migrate<S: Sql>(sql: &S, from: u64) -> Result<(), StorageError> {
    let to = MIGRATIONS.len() as u64;
    // A database from a later version is read as it is: migrations only add.
    if from >= to {
        return Ok(());
    }
    sql.transaction(|| {
        let pending = MIGRATIONS.iter().skip(from as usize);
        for statement in pending.copied().flatten() {
            sql.run(statement, &[])?;
        }
        sql.run("UPDATE schema SET version = ? WHERE id = 1", &[to.into()])?;
        Ok(())
    })
}
