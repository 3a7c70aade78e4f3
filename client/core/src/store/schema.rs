//! The tables of the store, as numbered migrations that are only ever appended to. The version is
//! `PRAGMA user_version`. The meaning of a column never changes.

use super::{Store, StoreError};

/// Migration `n` takes a store from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[
    "
    -- Single values by name: see `people.rs`.
    CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE contact (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL
    ) STRICT;
    -- The stream of what goes to a peer: the last number used, and the last one not given up.
    CREATE TABLE chat (
        peer INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL,
        number INTEGER NOT NULL,
        follows INTEGER NOT NULL
    ) STRICT;
    -- A stream that comes in: the last number seen, the last one pruned, when it was last heard.
    CREATE TABLE heard (
        peer INTEGER NOT NULL,
        device INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        number INTEGER NOT NULL,
        pruned INTEGER NOT NULL,
        heard_at INTEGER NOT NULL,
        PRIMARY KEY (peer, device, stream)
    ) STRICT, WITHOUT ROWID;
    -- The order of `place` is the order on the screen. `follows` is the number that an outgoing
    -- message directly follows, those given up left out. Of `kept_at` only age is told. An outgoing
    -- message is sent again until it is `settled`, even if somebody has read it already: others of
    -- the peer's devices may not have it.
    CREATE TABLE message (
        place INTEGER PRIMARY KEY,
        peer INTEGER NOT NULL,
        incoming INTEGER NOT NULL,
        device INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        number INTEGER NOT NULL,
        follows INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kept_at INTEGER NOT NULL,
        status INTEGER NOT NULL,
        settled INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    -- A message is shown once.
    CREATE UNIQUE INDEX message_by_id ON message (peer, incoming, stream, number);
    CREATE INDEX message_by_chat ON message (peer);
    CREATE INDEX message_unsettled ON message (place) WHERE settled = 0;
    CREATE INDEX message_unread ON message (peer) WHERE incoming = 1 AND status = 2;
    -- Marks of incoming messages that the server has not taken: 1 read, 2 played.
    CREATE TABLE receipt (
        id INTEGER PRIMARY KEY,
        peer INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        number INTEGER NOT NULL,
        mark INTEGER NOT NULL
    ) STRICT;
",
    "
    -- Files on their way to the server, each with its key, which is here before a byte leaves and
    -- seals those bytes alone. `source` says where the shell reads the file, and `stamp` what it
    -- knows its bytes by. `about` is a CBOR map: see `content/media.rs`. `path` is the upload's on
    -- the server; NULL until the server named it.
    CREATE TABLE upload (
        id INTEGER PRIMARY KEY,
        peer INTEGER NOT NULL,
        source BLOB NOT NULL,
        stamp BLOB NOT NULL,
        key BLOB NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        about BLOB NOT NULL,
        path TEXT,
        begun_at INTEGER NOT NULL
    ) STRICT;
",
    "
    -- A number is given to one upload and to no later one, so that who still holds the number of an
    -- upload that is over means no other by it.
    CREATE TABLE upload_once (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        peer INTEGER NOT NULL,
        source BLOB NOT NULL,
        stamp BLOB NOT NULL,
        key BLOB NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        about BLOB NOT NULL,
        path TEXT,
        begun_at INTEGER NOT NULL
    ) STRICT;
    INSERT INTO upload_once (id, peer, source, stamp, key, size, digest, about, path, begun_at)
        SELECT id, peer, source, stamp, key, size, digest, about, path, begun_at FROM upload;
    DROP TABLE upload;
    ALTER TABLE upload_once RENAME TO upload;
",
    "
    -- Whom the user blocked, as far as this device knows. The mailbox does the blocking.
    CREATE TABLE blocked (
        number INTEGER PRIMARY KEY
    ) STRICT;
    -- Of whom the mailbox is still to be told whether they are a contact. Empty unless contacts are
    -- shared: see `people.rs`.
    CREATE TABLE untold (
        number INTEGER PRIMARY KEY
    ) STRICT;
",
    "
    -- What others say of themselves, as they showed it when it was fetched, by this machine's clock. Of
    -- version 0: nothing. `picture` is empty where there is none.
    CREATE TABLE profile (
        number INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        name TEXT NOT NULL,
        about TEXT NOT NULL,
        picture TEXT NOT NULL,
        fetched_at INTEGER NOT NULL
    ) STRICT;
",
    "
    -- The conversations that this device is in, and how far the log of each was carried out.
    CREATE TABLE conversation (
        id BLOB PRIMARY KEY,
        place INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Deliveries that could not be opened yet, in the order in which they came.
    CREATE TABLE sealed (
        row INTEGER PRIMARY KEY,
        conversation BLOB NOT NULL,
        account INTEGER NOT NULL,
        device INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        follows INTEGER,
        copied_to INTEGER,
        body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX sealed_once ON sealed (account, device, stream, number);
    CREATE INDEX sealed_by_conversation ON sealed (conversation);
    -- The state of MLS: see `mls/storage.rs`.
    CREATE TABLE mls (
        key BLOB PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- The lists of devices that were seen, as they are signed.
    CREATE TABLE device_list (
        account INTEGER NOT NULL,
        place INTEGER NOT NULL,
        entry BLOB NOT NULL,
        PRIMARY KEY (account, place)
    ) STRICT, WITHOUT ROWID;
    -- What devices say to each other is a message too, which people do not see; a chat in which only such were
    -- sent is silent.
    ALTER TABLE message ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE chat ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;
    -- The account keys that the user has compared.
    CREATE TABLE verified (
        account INTEGER PRIMARY KEY,
        key BLOB NOT NULL
    ) STRICT;
",
];

impl Store {
    pub(super) fn version(&self) -> Result<i64, StoreError> {
        // Reads the first page, and so proves the key.
        self.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let version = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > MIGRATIONS.len() as i64 {
            return Err(StoreError::Newer(version));
        }
        Ok(version)
    }

    pub(super) fn migrate(&self, from: i64) -> Result<(), StoreError> {
        for (version, migration) in (0_i64..).zip(MIGRATIONS).skip_while(|(n, _)| *n < from) {
            self.transaction(|| {
                self.connection.execute_batch(migration)?;
                let done = format!("PRAGMA user_version = {}", version + 1);
                Ok(self.connection.execute_batch(&done)?)
            })?;
        }
        Ok(())
    }
}
