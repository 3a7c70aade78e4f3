//! What MLS keeps, and the lists of devices that were seen.

use estafette_protocol::PhoneNumber;
use rusqlite::OptionalExtension;

use super::{Store, StoreError, signed};
use crate::mls::{DeviceList, safety_number};

/// What two people compare to know that nobody is between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Safety {
    /// 60 digits, the same on both sides.
    pub number: String,
    /// Whether the user has compared it, and it is the same since.
    pub verified: bool,
}

impl Store {
    /// A value of MLS.
    pub(crate) fn mls(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT value FROM mls WHERE key = ?")?;
        Ok(query.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Sets a value of MLS.
    pub(crate) fn put_mls(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO mls (key, value) VALUES (?, ?)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute((key, value))?;
        Ok(())
    }

    /// Deletes a value of MLS.
    pub(crate) fn delete_mls(&self, key: &[u8]) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM mls WHERE key = ?")?.execute([key])?;
        Ok(())
    }

    /// The entries of an account's list of devices, in order.
    pub(crate) fn list_entries(&self, account: PhoneNumber) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT entry FROM device_list WHERE account = ? ORDER BY place")?;
        let entries = query.query_map([signed(account.digits())], |row| row.get(0))?;
        Ok(entries.collect::<Result<_, _>>()?)
    }

    /// Keeps an entry of an account's list of devices.
    pub(crate) fn add_list_entry(
        &self,
        account: PhoneNumber,
        place: u64,
        entry: &[u8],
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO device_list (account, place, entry) VALUES (?, ?, ?)")?
            .execute((signed(account.digits()), signed(place), entry))?;
        Ok(())
    }

    /// Forgets an account's list: it has another key.
    pub(crate) fn forget_list(&self, account: PhoneNumber) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM device_list WHERE account = ?")?
            .execute([signed(account.digits())])?;
        Ok(())
    }

    /// The safety number with somebody; `None` before this device has seen their devices and its own.
    ///
    /// # Errors
    /// When the store fails.
    pub fn safety(
        &self,
        own: PhoneNumber,
        peer: PhoneNumber,
    ) -> Result<Option<Safety>, StoreError> {
        let (Some(mine), Some(theirs)) = (self.account_key(own)?, self.account_key(peer)?) else {
            return Ok(None);
        };
        let verified = self.verified_key(peer)? == Some(theirs);
        Ok(Some(Safety { number: safety_number((own, mine), (peer, theirs)), verified }))
    }

    /// The user has compared the safety number with somebody, or takes that back. Returns whether there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn verify(&self, peer: PhoneNumber, verified: bool) -> Result<bool, StoreError> {
        let key = self.account_key(peer)?;
        self.set_verified_key(peer, key.filter(|_| verified))?;
        Ok(key.is_some())
    }

    fn account_key(&self, account: PhoneNumber) -> Result<Option<[u8; 32]>, StoreError> {
        let mut list = DeviceList::new(account);
        for entry in self.list_entries(account)? {
            list.extend(&entry).or(Err(StoreError::Corrupt))?;
        }
        Ok(list.key())
    }

    /// The key of an account that its user has compared, if any.
    pub(crate) fn verified_key(
        &self,
        account: PhoneNumber,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let mut query =
            self.connection.prepare_cached("SELECT key FROM verified WHERE account = ?")?;
        Ok(query.query_row([signed(account.digits())], |row| row.get(0)).optional()?)
    }

    /// The user has compared this key, or (`None`) takes that back.
    pub(crate) fn set_verified_key(
        &self,
        account: PhoneNumber,
        key: Option<[u8; 32]>,
    ) -> Result<(), StoreError> {
        let digits = signed(account.digits());
        match key {
            Some(key) => self
                .connection
                .prepare_cached(
                    "INSERT INTO verified (account, key) VALUES (?, ?)
                     ON CONFLICT (account) DO UPDATE SET key = excluded.key",
                )?
                .execute((digits, key))?,
            None => self
                .connection
                .prepare_cached("DELETE FROM verified WHERE account = ?")?
                .execute([digits])?,
        };
        Ok(())
    }
}
