//! The account's profile: what it says of its user, and who sees it.
//!
//! Invariants:
//! - its version grows by one with each change, and with nothing else;
//! - the blocked, those from whom it is hidden, and those who ask an account that says nothing, or that
//!   nobody registered, get the same answer, and nothing is written for it;
//! - whoever asks pays, in their own mailbox (`on_visit`), and asks there first.
//!
//! It is read when it is asked for, and not kept in memory. The picture is in the bucket; here is only how
//! long it is.

use estafette_protocol::http::{Attribute, Profile};
use estafette_protocol::{ErrorCode, Millis, PhoneNumber};

use super::Mailbox;
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::sql::{Columns, Sql, StorageError, Value};

impl<S: Sql> Mailbox<S> {
    /// What is said of the user, and how long the picture is.
    pub(crate) fn kept_profile(&self) -> Result<(Profile, u64), StorageError> {
        let query = "SELECT version, name, about, picture, picture_bytes FROM profile";
        let Some(row) = self.sql.run(query, &[])?.pop() else { return Ok(Default::default()) };
        let mut columns = Columns::of(row);
        let profile = Profile {
            version: columns.integer()?,
            name: columns.text()?,
            about: columns.text()?,
            picture: Some(columns.text()?).filter(|text| !text.is_empty()),
        };
        Ok((profile, columns.integer()?))
    }

    pub(super) fn keep_profile(
        &self,
        profile: Profile,
        picture_bytes: u64,
    ) -> Result<(), StorageError> {
        let Profile { version, name, about, picture } = profile;
        self.sql.run(
            "INSERT OR REPLACE INTO profile (id, version, name, about, picture, picture_bytes)
             VALUES (1, ?, ?, ?, ?, ?)",
            &[
                (version + 1).into(),
                Value::Text(name),
                Value::Text(about),
                Value::Text(picture.unwrap_or_default()),
                picture_bytes.into(),
            ],
        )?;
        Ok(())
    }

    /// A device says this of the user.
    pub(crate) fn set_profile(&mut self, said: Profile) -> Result<AccountAnswer, StorageError> {
        let (kept, bytes) = self.kept_profile()?;
        let picture = said.picture.filter(|text| !text.is_empty());
        let profile = Profile { version: kept.version, picture, ..said };
        if profile != kept {
            self.keep_profile(profile, bytes)?;
        }
        Ok(AccountAnswer::Granted)
    }

    /// A device has put a picture of so many bytes, or wants it gone, and with it what opened it.
    pub(crate) fn set_picture(&mut self, bytes: u64) -> Result<AccountAnswer, StorageError> {
        let (kept, before) = self.kept_profile()?;
        let picture = kept.picture.clone().filter(|_| bytes > 0);
        // Another picture may be as long as the one before.
        if bytes > 0 || before > 0 || picture != kept.picture {
            self.keep_profile(Profile { picture, ..kept }, bytes)?;
        }
        Ok(AccountAnswer::Granted)
    }

    /// A device of this account asks for somebody's profile, or picture: may it? It counts as a look-up of
    /// one number, and the call to the other mailbox is on this account.
    pub(crate) fn on_visit(&mut self, now: Millis) -> Result<AccountAnswer, StorageError> {
        let budget = self.limits(now).daily_budget;
        if let Err(wait) = self.ledger.check(now, budget) {
            let (code, retry_after) = (ErrorCode::BudgetExhausted, Some(wait));
            return Ok(Refusal { code, retry_after }.into());
        }
        // A profile that is shown tells that its number has an account.
        if let Err(refusal) = self.spend_lookups(now, 1)? {
            return Ok(refusal.into());
        }
        self.ledger.call();
        Ok(AccountAnswer::Granted)
    }

    /// What of the profile somebody is shown.
    pub(crate) fn shown_profile(&mut self, viewer: PhoneNumber) -> Result<Profile, StorageError> {
        let (profile, _) = self.shown(viewer)?;
        Ok(if profile.is_empty() { Profile::default() } else { profile })
    }

    /// Whether somebody is shown a picture.
    pub(crate) fn shown_picture(
        &mut self,
        viewer: PhoneNumber,
    ) -> Result<AccountAnswer, StorageError> {
        Ok(match self.shown(viewer)? {
            (_, 0) => Refusal::from(ErrorCode::NotFound).into(),
            _ => AccountAnswer::Granted,
        })
    }

    fn shown(&mut self, viewer: PhoneNumber) -> Result<(Profile, u64), StorageError> {
        // Where nobody registered there may be no tables.
        let Some(own) = self.account else { return Ok(Default::default()) };
        if viewer == own || self.shows(viewer, Attribute::Profile)? {
            self.kept_profile()
        } else {
            Ok(Default::default())
        }
    }
}
