//! An account can be suspended by whoever runs the server, and restored.
//!
//! Invariants:
//! - no device of a suspended account is connected, and of what its devices ask nothing is done but what is
//!   its owner's right: to have all that is held, to delete it, to see the devices;
//! - what others send to it is taken and waits: they are told what they are told of somebody who is away;
//! - a suspension outlives the account. Deleting it leaves the row of `suspension` and nothing else, and
//!   nobody registers the number until it is restored.

use estafette_protocol::http::{AccountLimits, Inspection};
use estafette_protocol::{ErrorCode, Millis};

use super::Mailbox;
use crate::account::{AccountAnswer, AccountRequest};
use crate::config::Config;
use crate::effect::Refusal;
use crate::sql::{Columns, Sql, StorageError};

/// How long a suspended device waits before it asks again whether it may connect.
const ASK_AGAIN: Millis = 10 * 60 * 1000;

/// What a suspended account is told.
pub(crate) fn suspended() -> Refusal {
    Refusal { code: ErrorCode::Suspended, retry_after: Some(ASK_AGAIN) }
}

impl<S: Sql> Mailbox<S> {
    pub(crate) fn load_suspension(&mut self) -> Result<(), StorageError> {
        let row = self.sql.run("SELECT suspended_at FROM suspension", &[])?.pop();
        self.suspended_at = row.map(|row| Columns::of(row).integer()).transpose()?;
        Ok(())
    }

    /// Whether a request of a device is refused because the account is suspended.
    pub(crate) fn is_barred(&self, request: &AccountRequest) -> bool {
        let allowed = matches!(
            request,
            AccountRequest::Export(..)
                | AccountRequest::Delete(..)
                // Its files go before it.
                | AccountRequest::Uploads(..)
                | AccountRequest::Devices(..)
        );
        self.suspended_at.is_some() && !allowed
    }

    /// The limits that are in force.
    pub(crate) fn limits(&self, now: Millis) -> Config {
        self.config.for_age(now.saturating_sub(self.registered_at))
    }

    pub(crate) fn suspend(&mut self, now: Millis) -> Result<AccountAnswer, StorageError> {
        if self.suspended_at.is_some() {
            return Ok(AccountAnswer::Granted);
        }
        if self.account.is_none() {
            return Ok(Refusal::from(ErrorCode::NotFound).into());
        }
        self.commit_held(now)?;
        let statement = "INSERT INTO suspension (id, suspended_at) VALUES (1, ?)";
        self.sql.run(statement, &[now.into()])?;
        self.suspended_at = Some(now);
        let open = self.sessions.iter().map(|(&socket, session)| (socket, session.device));
        for (socket, device) in open.collect::<Vec<_>>() {
            self.dismiss(socket, ErrorCode::Suspended);
            self.copies.forget(device);
        }
        Ok(AccountAnswer::Granted)
    }

    pub(crate) fn restore(&mut self, now: Millis) -> Result<AccountAnswer, StorageError> {
        if self.suspended_at.take().is_some() {
            self.sql.run("DELETE FROM suspension", &[])?;
            if self.account.is_none() {
                self.forget_code(now)?;
            }
            // Those that sleep hear what waited for them.
            self.wake_sleepers(now)?;
        } else if self.account.is_none() {
            return Ok(Refusal::from(ErrorCode::NotFound).into());
        }
        Ok(AccountAnswer::Granted)
    }

    /// How the account stands.
    pub(crate) fn inspect(&mut self, now: Millis) -> AccountAnswer {
        if self.account.is_none() && self.suspended_at.is_none() {
            return Refusal::from(ErrorCode::NotFound).into();
        }
        let config = self.limits(now);
        let new_until = self.registered_at.saturating_add(self.config.new_account);
        AccountAnswer::Inspection(Box::new(Inspection {
            registered_at: self.account.map(|_| self.registered_at),
            suspended_at: self.suspended_at,
            devices: self.devices.len() as u64,
            waiting: self.queue.len(),
            waiting_bytes: self.queue.bytes(),
            usage: self.ledger.usage(now, config.daily_budget),
            limits: AccountLimits {
                send_burst: config.send_burst.into(),
                sends_per_second: config.sends_per_second.into(),
                upload_bytes_a_day: config.upload_bytes_a_day,
            },
            new_until: Some(new_until).filter(|&until| self.account.is_some() && now < until),
        }))
    }
}
