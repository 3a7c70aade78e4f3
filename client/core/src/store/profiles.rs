//! What others say of themselves: their profiles, as they showed them when they were last fetched. Who
//! fetches them is the shell.

use estafette_protocol::http::Profile;
use estafette_protocol::{Millis, PhoneNumber};

use super::people::number;
use super::{Store, StoreError, signed, unsigned};
use crate::Contact;

/// How long a profile that was fetched is not asked for again: a day.
const FRESH: Millis = 24 * 60 * 60 * 1000;

/// Somebody's profile, as far as they showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProfile {
    /// What they say; of version 0 where they say or show nothing.
    pub profile: Profile,
    /// When it was fetched, by this machine's clock.
    pub fetched_at: Millis,
}

impl KnownProfile {
    /// Whether it is to be asked for again.
    pub fn is_due(&self, now: Millis) -> bool {
        // One from the future comes of a clock that was set.
        now < self.fetched_at || now - self.fetched_at >= FRESH
    }
}

impl Store {
    /// Somebody's profile, if it was ever fetched.
    pub fn profile(&self, number: PhoneNumber) -> Result<Option<KnownProfile>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT version, name, about, picture, fetched_at FROM profile WHERE number = ?",
        )?;
        let mut rows = query.query([signed(number.digits())])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let picture: String = row.get(3)?;
        let profile = Profile {
            version: unsigned(row.get(0)?),
            name: row.get(1)?,
            about: row.get(2)?,
            picture: Some(picture).filter(|text| !text.is_empty()),
        };
        Ok(Some(KnownProfile { profile, fetched_at: unsigned(row.get(4)?) }))
    }

    /// Keeps somebody's profile. One that was not to be had any more, of version 0, takes the place of
    /// what was known.
    pub fn set_profile(&self, number: PhoneNumber, known: &KnownProfile) -> Result<(), StoreError> {
        let Profile { version, name, about, picture } = &known.profile;
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO profile (number, version, name, about, picture, fetched_at)
             VALUES (?, ?, ?, ?, ?, ?)",
        )?;
        insert.execute((
            signed(number.digits()),
            signed(*version),
            name,
            about,
            picture.as_deref().unwrap_or_default(),
            signed(known.fetched_at),
        ))?;
        Ok(())
    }

    /// What people are called: those who have a name by that, others who call themselves something by
    /// that, after a tilde. By name.
    pub fn names(&self) -> Result<Vec<Contact>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT number, name FROM contact
             UNION ALL SELECT number, '~' || name FROM profile
                WHERE name <> '' AND number NOT IN (SELECT number FROM contact)
             ORDER BY 2, 1",
        )?;
        let mut rows = query.query([])?;
        let mut names = Vec::new();
        while let Some(row) = rows.next()? {
            names.push(Contact { number: number(row.get(0)?)?, name: row.get(1)? });
        }
        Ok(names)
    }
}
