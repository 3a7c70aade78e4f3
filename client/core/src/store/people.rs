//! Contacts, the blocked, and single values by name.
//!
//! Invariant: while contacts are shared ([`Sharing::Yes`]), everybody of whom the mailbox may believe
//! something else than the table `contact` says is in the table `untold`; otherwise nobody is in it.
//! Who tells the mailbox is the shell.

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
    /// A [`Sharing`].
    Sharing,
    /// Of which new number people were told: its digits.
    MovedTo,
    /// Whether the server was given key packages that this store can open.
    KeysPublished,
}

/// Whether the account's mailbox is told who is a contact. It needs to know where something is shown to
/// contacts only.
///
/// The numbers are stored, and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// It is told nothing.
    No = 0,
    /// It is told of everybody who becomes a contact, or is none any more.
    Yes = 1,
    /// It was told, and is to forget it.
    TakeBack = 2,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::ClockOffset => "clock_offset",
            Self::Sharing => "sharing",
            Self::MovedTo => "moved_to",
            Self::KeysPublished => "keys_published",
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
        self.transaction(|| {
            let known = self.has("contact", number)?;
            if name.is_empty() {
                self.connection.execute("DELETE FROM contact WHERE number = ?", [digits])?;
            } else {
                self.connection.execute(
                    "INSERT INTO contact (number, name) VALUES (?, ?)
                     ON CONFLICT (number) DO UPDATE SET name = excluded.name",
                    (digits, name),
                )?;
            }
            if known == name.is_empty() && self.sharing()? == Sharing::Yes {
                self.connection
                    .execute("INSERT OR IGNORE INTO untold (number) VALUES (?)", [digits])?;
            }
            Ok(())
        })
    }

    /// Whether nobody knows them here: they have no name, this account never wrote to them, and they
    /// are somebody else.
    pub fn is_stranger(&self, number: PhoneNumber) -> Result<bool, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM contact WHERE number = ?1)
                AND NOT EXISTS (SELECT 1 FROM chat WHERE peer = ?1 AND silent = 0)
                AND NOT EXISTS (SELECT 1 FROM setting WHERE name = 'account' AND value = ?1)",
        )?;
        Ok(query.query_row([number.digits().cast_signed()], |row| row.get(0))?)
    }

    /// Everybody who has a name or was written to, but for the blocked.
    pub(crate) fn acquaintances(&self) -> Result<Vec<PhoneNumber>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT number FROM contact UNION SELECT peer FROM chat WHERE silent = 0
             EXCEPT SELECT number FROM blocked ORDER BY 1",
        )?;
        let mut rows = query.query([])?;
        let mut people = Vec::new();
        while let Some(row) = rows.next()? {
            people.push(number(row.get(0)?)?);
        }
        Ok(people)
    }

    /// The account that the store belongs to has another number from now on. What it holds stays.
    ///
    /// # Errors
    /// When the store fails.
    pub fn move_to(&self, number: PhoneNumber) -> Result<(), StoreError> {
        self.transaction(|| {
            self.set(Setting::Account, number.digits().cast_signed())?;
            let name = Setting::MovedTo.name();
            self.connection.execute("DELETE FROM setting WHERE name = ?", [name])?;
            // Its conversations are others now: of the new number.
            self.forget_conversations()
        })
    }

    /// Whether the user blocked somebody, as far as this device knows.
    pub fn is_blocked(&self, number: PhoneNumber) -> Result<bool, StoreError> {
        self.has("blocked", number)
    }

    /// Keeps that these are blocked, and nobody else.
    pub fn set_blocked(
        &self,
        blocked: impl IntoIterator<Item = PhoneNumber>,
    ) -> Result<(), StoreError> {
        self.transaction(|| {
            self.connection.execute("DELETE FROM blocked", [])?;
            let mut insert = self
                .connection
                .prepare_cached("INSERT OR IGNORE INTO blocked (number) VALUES (?)")?;
            for number in blocked {
                insert.execute([number.digits().cast_signed()])?;
            }
            Ok(())
        })
    }

    /// Whether the mailbox is told who is a contact.
    pub fn sharing(&self) -> Result<Sharing, StoreError> {
        match self.setting(Setting::Sharing)? {
            None | Some(0) => Ok(Sharing::No),
            Some(1) => Ok(Sharing::Yes),
            Some(2) => Ok(Sharing::TakeBack),
            Some(_) => Err(StoreError::Corrupt),
        }
    }

    /// From now on it is, or is not. At the start of [`Sharing::Yes`] it is to be told of everybody.
    pub fn set_sharing(&self, sharing: Sharing) -> Result<(), StoreError> {
        self.transaction(|| {
            self.connection.execute("DELETE FROM untold", [])?;
            if sharing == Sharing::Yes {
                let all = "INSERT INTO untold (number) SELECT number FROM contact";
                self.connection.execute(all, [])?;
            }
            self.set(Setting::Sharing, sharing as i64)
        })
    }

    /// Of whom the mailbox is still to be told, and whether they are a contact.
    pub fn untold(&self) -> Result<Vec<(PhoneNumber, bool)>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT number, EXISTS (SELECT 1 FROM contact WHERE contact.number = untold.number)
             FROM untold ORDER BY number",
        )?;
        let mut rows = query.query([])?;
        let mut untold = Vec::new();
        while let Some(row) = rows.next()? {
            untold.push((number(row.get(0)?)?, row.get(1)?));
        }
        Ok(untold)
    }

    /// The mailbox was told whether they are a contact. If that changed meanwhile, it is told again.
    pub fn told(&self, number: PhoneNumber, contact: bool) -> Result<(), StoreError> {
        if self.has("contact", number)? == contact {
            let delete = "DELETE FROM untold WHERE number = ?";
            self.connection.execute(delete, [number.digits().cast_signed()])?;
        }
        Ok(())
    }

    /// Whether a number is in a table.
    fn has(&self, table: &'static str, number: PhoneNumber) -> Result<bool, StoreError> {
        let query = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE number = ?)");
        let mut query = self.connection.prepare_cached(&query)?;
        Ok(query.query_row([number.digits().cast_signed()], |row| row.get(0))?)
    }
}

/// The number in a column.
pub(super) fn number(digits: i64) -> Result<PhoneNumber, StoreError> {
    PhoneNumber::from_digits(digits.cast_unsigned()).or(Err(StoreError::Corrupt))
}
