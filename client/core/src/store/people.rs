//! Contacts, and single values by name.

use estafette_protocol::PhoneNumber;
use rusqlite::OptionalExtension;

use super::{Store, StoreError};
use crate::Contact;

/// A value of the table `setting`. The names are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Whose store it is: the digits of the number.
    Account,
    /// The server's clock less the device's, in milliseconds.
    ClockOffset,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::ClockOffset => "clock_offset",
        }
    }
}

impl Store {
    pub(crate) fn setting(&self, setting: Setting) -> Result<Option<i64>, StoreError> {
        let mut query =
            self.connection.prepare_cached("SELECT value FROM setting WHERE name = ?")?;
        Ok(query.query_row([setting.name()], |row| row.get(0)).optional()?)
    }

    pub(crate) fn set(&self, setting: Setting, value: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO setting (name, value) VALUES (?, ?)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?
            .execute((setting.name(), value))?;
        Ok(())
    }

    /// Everybody who has a name, by name.
    pub fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT number, name FROM contact ORDER BY name, number")?;
        let mut rows = query.query([])?;
        let mut contacts = Vec::new();
        while let Some(row) = rows.next()? {
            contacts.push(Contact { number: number(row.get(0)?)?, name: row.get(1)? });
        }
        Ok(contacts)
    }

    /// Gives somebody a name; an empty one takes it away.
    pub fn set_contact(&self, number: PhoneNumber, name: &str) -> Result<(), StoreError> {
        let digits = number.digits().cast_signed();
        if name.is_empty() {
            self.connection.execute("DELETE FROM contact WHERE number = ?", [digits])?;
            return Ok(());
        }
        self.connection.execute(
            "INSERT INTO contact (number, name) VALUES (?, ?)
             ON CONFLICT (number) DO UPDATE SET name = excluded.name",
            (digits, name),
        )?;
        Ok(())
    }
}

/// The number in a column.
pub(super) fn number(digits: i64) -> Result<PhoneNumber, StoreError> {
    PhoneNumber::from_digits(digits.cast_unsigned()).or(Err(StoreError::Corrupt))
}
