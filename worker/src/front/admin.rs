//! `/v1/admin` and the message of the day: what whoever runs the server looks at and does, with a secret of
//! their own.
//!
//! Invariants:
//! - without `ADMIN_SECRET` there is nothing here;
//! - every request counts for its address before its secret is looked at;
//! - what was asked for is in the audit log before it is done. Where it cannot be written, nothing is done.

use std::cell::RefCell;

use estafette_protocol::http::{AuditAction, Motd, MotdRequest, Suspension};
use estafette_protocol::{ErrorCode, Millis, PhoneNumber, limits};
use estafette_relay::AccountRequest;
use worker::Response;

use super::{Front, answer, json_text};
use crate::admin::{AUDIT, MOTD, entry, is_entry, is_secret, page};
use crate::input;
use crate::problem::Failure;
use crate::route;

/// How long the message of the day is answered from memory.
const REMEMBERED: Millis = 60_000;

thread_local! {
    /// The message of the day as JSON, and when it was read.
    static KNOWN: RefCell<Option<(Millis, String)>> = const { RefCell::new(None) };
}

impl Front {
    /// Checks the admin's secret.
    async fn authorise_admin(&self) -> Result<(), Failure> {
        let secret = self.setup.admin.as_ref().ok_or(ErrorCode::NotFound)?;
        self.limit_address().await?;
        let header = self.header("authorization");
        let shown = header.as_deref().and_then(input::bearer).ok_or(ErrorCode::TokenMissing)?;
        if is_secret(secret, shown) { Ok(()) } else { Err(ErrorCode::TokenInvalid.into()) }
    }

    /// Writes to the audit log what is about to be done.
    async fn audit(
        &self,
        action: AuditAction,
        number: Option<PhoneNumber>,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let random = getrandom::u64().or(Err(ErrorCode::Internal))?;
        let address = self.header("cf-connecting-ip").unwrap_or_default();
        let entry = entry(self.now, random, action, number, reason, address);
        let text = serde_json::to_string(&entry).or(Err(ErrorCode::Internal))?;
        self.store.write(&format!("{AUDIT}{}", entry.id), &text).await
    }

    pub(super) async fn inspect(&self, number: PhoneNumber) -> Result<Response, Failure> {
        self.authorise_admin().await?;
        self.audit(AuditAction::Inspect, Some(number), None).await?;
        self.told(number, &AccountRequest::Inspect).await
    }

    pub(super) async fn suspend(&self, number: PhoneNumber) -> Result<Response, Failure> {
        self.authorise_admin().await?;
        let Suspension { reason } = input::json(&self.body().await?)?;
        if reason.len() > limits::NOTICE_BYTES_MAX {
            return Err(ErrorCode::TooLarge.into());
        }
        self.audit(AuditAction::Suspend, Some(number), Some(reason)).await?;
        self.granted(number, &AccountRequest::Suspend).await
    }

    pub(super) async fn restore(&self, number: PhoneNumber) -> Result<Response, Failure> {
        self.authorise_admin().await?;
        self.audit(AuditAction::Restore, Some(number), None).await?;
        self.granted(number, &AccountRequest::Restore).await
    }

    pub(super) async fn read_audit(&self, url: &str) -> Result<Response, Failure> {
        self.authorise_admin().await?;
        let after = route::parameter(url, "after");
        if after.is_some_and(|id| !is_entry(id)) {
            return Err(ErrorCode::Malformed.into());
        }
        let start = format!("{AUDIT}{}", after.unwrap_or_default());
        let (entries, last) = self.store.texts(AUDIT, &start, limits::AUDIT_PAGE_MAX).await?;
        let next = last.as_deref().and_then(|name| name.strip_prefix(AUDIT));
        Ok(json_text(200, page(&entries, next).into_bytes()))
    }

    /// Anybody may ask, so R2 is asked once a minute by each isolate at most.
    pub(super) async fn motd(&self) -> Result<Response, Failure> {
        let known = KNOWN.with_borrow(Clone::clone);
        let fresh = known.filter(|(at, _)| self.now.abs_diff(*at) < REMEMBERED);
        let text = match fresh {
            Some((_, text)) => text,
            None => {
                let none = || serde_json::to_string(&Motd::default()).unwrap_or_default();
                let text = self.store.read(MOTD).await?.unwrap_or_else(none);
                KNOWN.set(Some((self.now, text.clone())));
                text
            }
        };
        let headers =
            [("content-type", "application/json"), ("cache-control", "public, max-age=300")];
        Ok(answer(200, &headers).fixed(text.into_bytes()))
    }

    pub(super) async fn set_motd(&self) -> Result<Response, Failure> {
        self.authorise_admin().await?;
        let MotdRequest { text } = input::json(&self.body().await?)?;
        if text.is_empty() {
            return Err(ErrorCode::Malformed.into());
        }
        if text.len() > limits::NOTICE_BYTES_MAX {
            return Err(ErrorCode::TooLarge.into());
        }
        self.audit(AuditAction::SetMotd, None, None).await?;
        let motd = Motd { text, since: Some(self.now) };
        let motd = serde_json::to_string(&motd).or(Err(ErrorCode::Internal))?;
        self.store.write(MOTD, &motd).await?;
        KNOWN.set(None);
        Ok(answer(204, &[]).empty())
    }

    pub(super) async fn delete_motd(&self) -> Result<Response, Failure> {
        self.authorise_admin().await?;
        self.audit(AuditAction::DeleteMotd, None, None).await?;
        self.store.erase(MOTD).await?;
        KNOWN.set(None);
        Ok(answer(204, &[]).empty())
    }
}
