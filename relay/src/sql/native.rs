//! [`Sql`] on rusqlite.

use std::cell::Cell;

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::{Row, Sql, StorageError, Value};

/// A database of rusqlite, in memory or in a file.
pub struct Native {
    connection: Connection,
    rows_written: Cell<u64>,
}

impl Native {
    /// Takes over a connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection, rows_written: Cell::new(0) }
    }

    /// A fresh database in memory.
    pub fn in_memory() -> Result<Self, StorageError> {
        Connection::open_in_memory().map(Self::new).map_err(failed)
    }

    /// Runs statements that are no business of a mailbox, such as savepoints around its steps.
    pub fn execute(&self, statements: &str) -> Result<(), StorageError> {
        self.connection.execute_batch(statements).map_err(failed)
    }

    /// Gives the connection back, to wake another mailbox on it.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

fn failed(error: rusqlite::Error) -> StorageError {
    StorageError::Sql(error.to_string())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Self::Integer(value) => ToSqlOutput::Owned(SqliteValue::Integer(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

impl Sql for Native {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        let mut prepared = self.connection.prepare_cached(statement).map_err(failed)?;
        let columns = prepared.column_count();
        let changes = self.connection.total_changes();
        let mut rows = prepared.query(params_from_iter(parameters)).map_err(failed)?;
        let mut result = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..columns).map(|column| match row.get(column).map_err(failed)? {
                SqliteValue::Null => Ok(Value::Null),
                SqliteValue::Integer(value) => Ok(Value::Integer(value)),
                SqliteValue::Text(value) => Ok(Value::Text(value)),
                SqliteValue::Blob(value) => Ok(Value::Blob(value)),
                SqliteValue::Real(_) => Err(StorageError::Row("a float")),
            });
            result.push(values.collect::<Result<Row, _>>()?);
        }
        let changed = self.connection.total_changes() - changes;
        self.rows_written.set(self.rows_written.get() + changed);
        Ok(result)
    }

    fn transaction<T>(
        &self,
        body: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        // A savepoint, because the simulation runs whole steps in one of its own.
        self.connection.execute_batch("SAVEPOINT body").map_err(failed)?;
        let result = body();
        let end = if result.is_ok() { "RELEASE body" } else { "ROLLBACK TO body; RELEASE body" };
        self.connection.execute_batch(end).map_err(failed)?;
        result
    }

    fn rows_written(&self) -> u64 {
        self.rows_written.get()
    }
}
