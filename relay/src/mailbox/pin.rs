//! The registration PIN: what a number's next holder needs beside the one-time code.
//!
//! Invariants:
//! - an account with a PIN is registered again by who knows it, or after seven days in which no device
//!   of it was there: whoever takes a number over while its owner is active does not get in;
//! - a wrong PIN, or none, leaves the one-time code as it is;
//! - the wait between tries only grows until one is right, and what is given during a wait is not
//!   looked at.

use estafette_protocol::{DeviceId, ErrorCode, Millis, limits};
use serde::{Deserialize, Serialize};

use super::{Device, Mailbox};
use crate::account::{self, AccountAnswer};
use crate::effect::Refusal;
use crate::sql::{Columns, Sql, StorageError};

/// HMAC-SHA256 of number and PIN, made by the front Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinHash(#[serde(with = "account::array")] pub [u8; 32]);

struct Pin {
    hash: [u8; 32],
    tries: u64,
    tried_at: Millis,
    alive_at: Millis,
}

impl Pin {
    /// How long until the next try is looked at.
    fn wait(&self, now: Millis) -> Millis {
        let Some(last) = self.tries.checked_sub(1) else { return 0 };
        let [.., longest] = limits::PIN_DELAYS;
        let delay = limits::PIN_DELAYS.get(last as usize).copied().unwrap_or(longest);
        // A clock that went back must not make it longer.
        self.tried_at.saturating_add(delay).saturating_sub(now).min(delay)
    }
}

impl<S: Sql> Mailbox<S> {
    fn pin(&self) -> Result<Option<Pin>, StorageError> {
        let query = "SELECT hash, tries, tried_at, alive_at FROM pin";
        let Some(row) = self.sql.run(query, &[])?.pop() else { return Ok(None) };
        let mut columns = Columns::of(row);
        Ok(Some(Pin {
            hash: columns.array()?,
            tries: columns.integer()?,
            tried_at: columns.integer()?,
            alive_at: columns.integer()?,
        }))
    }

    pub(crate) fn has_pin(&self) -> Result<bool, StorageError> {
        Ok(self.pin()?.is_some())
    }

    pub(crate) fn set_pin(
        &mut self,
        now: Millis,
        device: DeviceId,
        pin: Option<PinHash>,
    ) -> Result<AccountAnswer, StorageError> {
        if !self.is_primary(device) {
            return Ok(Refusal::from(ErrorCode::NotPrimary).into());
        }
        match pin {
            Some(PinHash(hash)) => self.sql.run(
                "INSERT OR REPLACE INTO pin (id, hash, tries, tried_at, alive_at)
                 VALUES (1, ?, 0, 0, ?)",
                &[hash.to_vec().into(), now.into()],
            )?,
            None => self.sql.run("DELETE FROM pin", &[])?,
        };
        Ok(AccountAnswer::Granted)
    }

    /// The code was right: whether the PIN is, too, or is not asked for.
    pub(crate) fn check_pin(
        &mut self,
        now: Millis,
        given: Option<PinHash>,
    ) -> Result<Result<(), Refusal>, StorageError> {
        let Some(pin) = self.pin()? else { return Ok(Ok(())) };
        let opens_at = self.silent_since(&pin).map(|since| since + limits::PIN_LIFE);
        if opens_at.is_some_and(|at| at <= now) {
            self.sql.run("DELETE FROM pin", &[])?;
            return Ok(Ok(()));
        }
        let Some(PinHash(given)) = given else {
            let retry_after = opens_at.map(|at| at - now);
            return Ok(Err(Refusal { code: ErrorCode::PinRequired, retry_after }));
        };
        let wrong = |wait| {
            let retry_after = Some(wait).filter(|&wait| wait > 0);
            Ok(Err(Refusal { code: ErrorCode::WrongPin, retry_after }))
        };
        let wait = pin.wait(now);
        if wait > 0 {
            return wrong(wait);
        }
        if !account::is_same(&pin.hash, &given) {
            let pin = Pin { tries: pin.tries + 1, tried_at: now, ..pin };
            let statement = "UPDATE pin SET tries = ?, tried_at = ?";
            self.sql.run(statement, &[pin.tries.into(), now.into()])?;
            return wrong(pin.wait(now));
        }
        if pin.tries > 0 {
            self.sql.run("UPDATE pin SET tries = 0", &[])?;
        }
        Ok(Ok(()))
    }

    /// Since when no device was there. `None` while one is.
    fn silent_since(&self, pin: &Pin) -> Option<Millis> {
        if !self.sessions.is_empty() {
            return None;
        }
        let seen = self.devices.iter().map(Device::seen_until);
        Some(seen.fold(pin.alive_at, Millis::max))
    }

    /// A device was removed, by itself or another: that was the owner's doing, and the device no longer
    /// tells when it was last there.
    pub(crate) fn pin_owner_is_there(&mut self, now: Millis) -> Result<(), StorageError> {
        if self.has_pin()? {
            self.sql.run("UPDATE pin SET alive_at = ?", &[now.into()])?;
        }
        Ok(())
    }
}
