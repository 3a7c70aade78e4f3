//! Why the store failed, split by whose fault it is and what mends it.

use rusqlite::ErrorCode as Sqlite;

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
    #[error("the disk is full: free some space and try again (nothing was lost)")]
    DiskFull,
    /// A later version of the program wrote it.
    #[error(
        "the message store was written by a newer version of this program (schema {0}): update \
         the program"
    )]
    Newer(i64),
    /// Another process has it open.
    #[error("the message store is open in another program: close that one first")]
    InUse,
    /// It belongs to another account.
    #[error("the message store belongs to another account: use another file")]
    OtherAccount,
    /// The file cannot be opened, read or written.
    #[error(
        "the message store cannot be read or written: check the path, its permissions and the \
         disk ({0})"
    )]
    Io(String),
    /// SQLite refused a statement: a fault of this program.
    #[error("the message store refused a statement, which is a fault of this program ({0})")]
    Sql(String),
}

/// SQLite's own text is left out: it may name the path, which may hold a number.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            return match error {
                rusqlite::Error::SqlInputError { error, .. } => Self::Sql(error.to_string()),
                // A column holds what no version of this program wrote.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt,
                other => Self::Sql(other.to_string()),
            };
        };
        match failure.code {
            Sqlite::NotADatabase => Self::WrongKeyOrNotADatabase,
            Sqlite::DatabaseCorrupt => Self::Corrupt,
            Sqlite::DiskFull => Self::DiskFull,
            Sqlite::DatabaseBusy | Sqlite::DatabaseLocked => Self::InUse,
            Sqlite::CannotOpen
            | Sqlite::ReadOnly
            | Sqlite::PermissionDenied
            | Sqlite::SystemIoFailure => Self::Io(failure.to_string()),
            _ => Self::Sql(failure.to_string()),
        }
    }
}
