//! The one trait between the decisions and SQLite: the object's own database at the edge, rusqlite
//! natively. Both are synchronous, so a mailbox's reads and writes never interleave with another's.

#[cfg(feature = "native")]
mod native;

#[cfg(feature = "native")]
pub use native::Native;

/// A value of a column or parameter. No floats: integers stay within 53 bits, because at the edge
/// they pass through a JavaScript number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// At most 2^53 either way.
    Integer(i64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The database failed, or holds what the schema does not allow. What the step wrote is void, and so
/// is the state machine: the shell undoes the one and drops the other.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A statement failed; the text is SQLite's own and holds no user data.
    #[error("the database refused a statement: {0}")]
    Sql(String),
    /// A row is not what this code or an earlier version of it wrote.
    #[error("a stored row cannot be read: {0}")]
    Row(&'static str),
}

/// A row of a result.
pub type Row = Vec<Value>;

/// One SQLite database.
pub trait Sql {
    /// Runs one statement and returns its rows.
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError>;

    /// Runs `body` in a transaction, which an error undoes.
    fn transaction<T>(
        &self,
        body: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError>;

    /// How many rows the statements so far have written, as they are billed.
    fn rows_written(&self) -> u64;
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        debug_assert!(value <= 1 << 53, "not exact in a JavaScript number");
        Self::Integer(value as i64)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// Takes a row apart by position.
pub(crate) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub(crate) fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    pub(crate) fn integer(&mut self) -> Result<u64, StorageError> {
        match self.0.next() {
            Some(Value::Integer(value)) => {
                u64::try_from(value).or(Err(StorageError::Row("a negative integer")))
            }
            _ => Err(StorageError::Row("expected an integer")),
        }
    }

    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, StorageError> {
        match self.0.next() {
            Some(Value::Blob(value)) => Ok(value),
            _ => Err(StorageError::Row("expected a blob")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, StorageError> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(StorageError::Row("expected a text")),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], StorageError> {
        self.blob()?.try_into().or(Err(StorageError::Row("a blob of another length")))
    }
}
