//! [`Sql`] on a Durable Object's own database.

use std::cell::Cell;
use std::rc::Rc;

use estafette_relay::sql::Row;
use estafette_relay::{Sql, StorageError, Value};
use wasm_bindgen::{JsCast, JsValue};
use worker::Storage;
use worker::js_sys::{Array, ArrayBuffer, Uint8Array};
use worker::worker_sys::types::SqlStorage;

use crate::js::{self, Rows, Transactions};

/// Integers are exact to here in a JavaScript number.
const EXACT_MAX: f64 = (1_u64 << 53) as f64;

/// The database of one object.
pub(crate) struct Database {
    storage: Storage,
    sql: SqlStorage,
    rows_written: Rc<Cell<u64>>,
}

impl Database {
    /// `rows_written` also counts what is billed as a row but is no statement.
    pub(crate) fn new(storage: Storage, rows_written: Rc<Cell<u64>>) -> Self {
        Self { sql: storage.as_raw().sql(), storage, rows_written }
    }
}

impl Sql for Database {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        let bound: Array = parameters.iter().map(bind).collect();
        let cursor = self.sql.exec(statement, bound).map_err(failed)?;
        let rows = cursor.raw().unchecked_into::<Rows>().to_array().map_err(failed)?;
        self.rows_written.set(self.rows_written.get() + cursor.rows_written() as u64);
        rows.iter().map(|row| row.unchecked_into::<Array>().iter().map(read).collect()).collect()
    }

    fn transaction<T>(
        &self,
        body: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut body = Some(body);
        let mut outcome = None;
        // A throw is what undoes the transaction.
        let ran =
            self.storage.as_raw().unchecked_ref::<Transactions>().transaction_sync(&mut || {
                let result = body.take().map(|body| body());
                let failed = matches!(result, Some(Err(_)));
                outcome = result;
                if failed { Err(JsValue::NULL) } else { Ok(()) }
            });
        match (outcome, ran) {
            (Some(Ok(_)) | None, Err(error)) => Err(failed(error)),
            (Some(result), _) => result,
            (None, Ok(())) => Err(StorageError::Sql("the transaction did not run".to_owned())),
        }
    }

    fn rows_written(&self) -> u64 {
        self.rows_written.get()
    }
}

/// A throw of the platform as an error.
pub(crate) fn failed(error: JsValue) -> StorageError {
    StorageError::Sql(js::message(&error))
}

fn bind(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Integer(integer) => JsValue::from_f64(*integer as f64),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(bytes.as_slice()).into(),
    }
}

fn read(value: JsValue) -> Result<Value, StorageError> {
    if let Some(number) = value.as_f64() {
        if number.fract() != 0.0 || number.abs() > EXACT_MAX {
            return Err(StorageError::Row("a number that is no exact integer"));
        }
        return Ok(Value::Integer(number as i64));
    }
    if value.is_null() {
        return Ok(Value::Null);
    }
    if let Some(text) = value.as_string() {
        return Ok(Value::Text(text));
    }
    let bytes: ArrayBuffer =
        value.dyn_into().map_err(|_| StorageError::Row("a value of an unknown type"))?;
    Ok(Value::Blob(Uint8Array::new(&bytes).to_vec()))
}
