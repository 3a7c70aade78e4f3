//! A database that fails when a test says so, and that a test can look into while a mailbox uses it.
//!
//! As at the edge, the statements of a step are committed together or not at all.

use std::cell::Cell;
use std::rc::Rc;

use estafette_relay::sql::{Native, Row};
use estafette_relay::{Sql, StorageError, Value};

const MADE_TO_FAIL: &str = "made to fail";

#[derive(Clone)]
pub struct Db {
    native: Rc<Native>,
    /// How many statements succeed before one fails; shared by all databases of a world.
    fails_in: Rc<Cell<Option<u64>>>,
    /// The rows that were written before this waking.
    earlier: Rc<Cell<u64>>,
}

impl Db {
    pub fn new(fails_in: Rc<Cell<Option<u64>>>) -> Self {
        let native = Rc::new(Native::in_memory().unwrap());
        Self { native, fails_in, earlier: Rc::default() }
    }

    /// Runs a statement of the test's own.
    pub fn query(&self, statement: &str) -> Vec<Row> {
        self.native.run(statement, &[]).unwrap()
    }

    pub fn counts_rows_anew(&self) {
        self.earlier.set(self.native.rows_written());
    }

    pub fn was_made_to_fail(&self, error: &StorageError) -> bool {
        matches!(error, StorageError::Sql(text) if text == MADE_TO_FAIL)
    }

    /// Runs `body`, whose statements are committed together or not at all.
    pub fn whole<T>(
        &self,
        body: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.query("SAVEPOINT whole");
        let done = body();
        if done.is_err() {
            self.query("ROLLBACK TO whole");
        }
        self.query("RELEASE whole");
        done
    }
}

impl Sql for Db {
    fn run(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StorageError> {
        if let Some(left) = self.fails_in.get() {
            self.fails_in.set(left.checked_sub(1));
            if left == 0 {
                return Err(StorageError::Sql(MADE_TO_FAIL.into()));
            }
        }
        self.native.run(statement, parameters)
    }

    fn transaction<T>(
        &self,
        body: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.whole(body)
    }

    fn rows_written(&self) -> u64 {
        self.native.rows_written() - self.earlier.get()
    }
}
