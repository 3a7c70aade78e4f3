//! The encrypted database of a device: contacts, chats, messages, and what is owed to others.
//!
//! Invariants:
//! - what a method has done is durable when it returns, or when the transaction around it is
//!   committed; a failure undoes all of it;
//! - nothing is written in plain text: the whole file is encrypted (SQLCipher), its journal too, and
//!   temporary tables stay in memory;
//! - the file may be deleted at any time the program does not run. The next start makes it again, with
//!   new streams, so that no id is ever used for two messages.

mod conversations;
mod error;
mod keys;
mod messages;
mod outbox;
mod people;
mod profiles;
mod prune;
mod receipts;
mod schema;
mod uploads;

use core::fmt;
use std::path::Path;
#[cfg(not(target_family = "wasm"))]
use std::sync::Once;
use std::time::Duration;

use rusqlite::Connection;

pub use error::StoreError;
pub use keys::Safety;
pub(crate) use messages::{Heard, Kept};
pub(crate) use outbox::Queued;
pub(crate) use people::Setting;
pub use people::Sharing;
pub use profiles::KnownProfile;
pub(crate) use receipts::Owed;
pub use uploads::{Outgoing, OutgoingFile};

/// The key of a store and its salt, derived by the shell. The salt is explicit because in the
/// browser SQLCipher would write one of zeros.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey {
    /// The key that encrypts each page.
    pub key: [u8; 32],
    /// The first 16 bytes of the file.
    pub salt: [u8; 16],
}

/// Shows nothing.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

impl StoreKey {
    /// As SQLCipher takes it: raw, without derivation.
    fn pragma(&self) -> String {
        let bytes = self.key.iter().chain(&self.salt);
        let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
        format!("PRAGMA key = \"x'{hex}'\"")
    }
}

/// An open store. One process has it open at a time.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the store in a file, and makes it where there is none. The directory must exist.
    pub fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        set_up();
        let connection = Connection::open(path)?;
        // SQLCipher would write to the standard error; what it finds is in the error returned.
        connection.execute_batch("PRAGMA cipher_log_level = NONE")?;
        connection.execute_batch(&key.pragma())?;
        Self::on(connection)
    }

    /// A fresh store that is gone when it is dropped, and not encrypted.
    pub fn in_memory() -> Result<Self, StoreError> {
        set_up();
        Self::on(Connection::open_in_memory()?)
    }

    /// A store on an open database, whose key is set.
    pub fn on(connection: Connection) -> Result<Self, StoreError> {
        // Whoever finds the store in use is told at once.
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_prepared_statement_cache_capacity(64);
        // Locking for good needs no memory shared with other processes, which browsers lack.
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;")?;
        let store = Self { connection };
        // The first read: a wrong key shows here.
        let version = store.version()?;
        store.connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        if cfg!(not(target_family = "wasm")) {
            store
                .connection
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 4194304;")?;
        }
        // An acknowledgement promises that the message survives a loss of power.
        store.connection.execute_batch("PRAGMA synchronous = FULL")?;
        store.migrate(version)?;
        Ok(store)
    }

    /// Gives the database back, as a crash leaves it.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Runs `body` in a transaction, which an error undoes.
    pub(crate) fn transaction<T>(
        &self,
        body: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        let value = body()?;
        transaction.commit()?;
        Ok(value)
    }

    /// Begins a transaction that [`Store::end`] ends: for steps that change the engine too.
    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    /// Commits what was done since [`Store::begin`], or undoes it if the outcome is an error.
    pub(crate) fn end<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        let outcome = outcome.and_then(|value| {
            self.connection.execute_batch("COMMIT")?;
            Ok(value)
        });
        // SQLite may have undone it already; what matters is the first error.
        if outcome.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        outcome
    }
}

/// Sets up the libraries in C, before their first use.
///
/// SQLCipher's own start is not safe against a second thread's: one of two that open their first store
/// at once may fail. And OpenSSL by itself frees at the end of the process what threads that end at the
/// same time still free, which crashes one run in some hundreds; set up like this, it leaves that to the
/// system.
fn set_up() {
    #[cfg(not(target_family = "wasm"))]
    {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            openssl_sys::init();
            // If this fails, so does what follows, and says why.
            drop(Connection::open_in_memory());
        });
    }
}

/// Streams and devices use all 64 bits; SQL integers are signed.
fn signed(value: u64) -> i64 {
    value.cast_signed()
}

fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}
