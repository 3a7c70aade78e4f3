//! An account moves to another number: what goes along, and how the old one ends.
//!
//! Invariants:
//! - the old account ends only when nothing waits in it for the device that moves;
//! - each step may be repeated: what goes along takes the place of what was there, and an account that has
//!   left is as if it had been deleted.

use estafette_protocol::http::Profile;
use estafette_protocol::{DeviceId, ErrorCode, Millis, PhoneNumber, limits};
use serde::{Deserialize, Serialize};

use super::Mailbox;
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::peer::cbor;
use crate::sql::{Columns, Sql, StorageError};

/// What an account takes along, as its tables have it. Fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moving {
    /// Who may see what: the column `account.privacy`.
    pub privacy: u64,
    /// What is said of others: the rows of the table `person`.
    pub people: Vec<(u64, u64)>,
    /// What is said of the user.
    #[serde(default)]
    pub profile: Profile,
    /// The length of the picture, whose bytes are brought along beside.
    #[serde(default)]
    pub picture_bytes: u64,
}

cbor!(pub Moving);

impl<S: Sql> Mailbox<S> {
    /// Why the account cannot move now, if it cannot.
    fn stays(&self, device: DeviceId) -> Option<ErrorCode> {
        let waits = |slot| self.queue.waiting_for(slot) > 0;
        match self.device(device) {
            _ if !self.is_primary(device) => Some(ErrorCode::NotPrimary),
            Some(device) if waits(device.slot) => Some(ErrorCode::Waiting),
            _ => None,
        }
    }

    /// What goes along.
    pub(crate) fn moving(&self, device: DeviceId) -> Result<AccountAnswer, StorageError> {
        if let Some(code) = self.stays(device) {
            return Ok(Refusal::from(code).into());
        }
        let rows = self.sql.run("SELECT number, flags FROM person ORDER BY number", &[])?;
        let people = rows.into_iter().map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.integer()?, columns.integer()?))
        });
        let people = people.collect::<Result<_, StorageError>>()?;
        let (profile, picture_bytes) = self.kept_profile()?;
        let privacy = self.privacy.stored();
        Ok(AccountAnswer::Moving(Moving { privacy, people, profile, picture_bytes }))
    }

    /// Takes in what comes along, in place of what was said here.
    pub(crate) fn arrive(
        &mut self,
        now: Millis,
        device: DeviceId,
        moving: &[u8],
    ) -> Result<AccountAnswer, StorageError> {
        if !self.is_primary(device) {
            return Ok(Refusal::from(ErrorCode::NotPrimary).into());
        }
        let Some(moving) = Moving::decode(moving) else {
            return Ok(Refusal::from(ErrorCode::Internal).into());
        };
        let Moving { privacy, people, profile, picture_bytes } = moving;
        let own = self.account.map(PhoneNumber::digits);
        let people = people.into_iter().take(limits::PEOPLE_MAX);
        let people: Vec<_> = people.filter(|(number, _)| Some(*number) != own).collect();
        self.sql.transaction(|| {
            self.sql.run("UPDATE account SET privacy = ?", &[privacy.into()])?;
            self.sql.run("DELETE FROM person", &[])?;
            for &(number, flags) in &people {
                let statement = "INSERT INTO person (number, flags) VALUES (?, ?)";
                self.sql.run(statement, &[number.into(), flags.into()])?;
            }
            if profile == Profile::default() {
                self.sql.run("DELETE FROM profile", &[]).map(drop)
            } else {
                self.keep_profile(profile, picture_bytes)
            }
        })?;
        self.privacy = super::Privacy::new(privacy, !people.is_empty());
        self.privacy_changed(now, None)?;
        Ok(AccountAnswer::Granted)
    }

    /// The account is at its new number: nothing is left here.
    pub(crate) fn leave(
        &mut self,
        now: Millis,
        device: DeviceId,
    ) -> Result<AccountAnswer, StorageError> {
        match self.stays(device) {
            Some(code) => Ok(Refusal::from(code).into()),
            None => self.delete(now, device),
        }
    }
}
