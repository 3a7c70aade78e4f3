//! `/v1/links`, and `POST /v1/devices`: how a new device comes to an account that approves it.
//!
//! The two ends meet in the bucket: an approval is noted under the name of the code, which can be done
//! once. What counts is the mailbox: a device that is noted and not the account's gets no token.

use estafette_protocol::http::{Collected, Link, LinkRequest, Linked};
use estafette_protocol::{DeviceId, ErrorCode};
use estafette_relay::{AccountReply, AccountRequest};
use worker::Response;

use super::{Front, answer, json};
use crate::input;
use crate::link::{Approval, LinkCode};
use crate::problem::Failure;
use crate::token::Identity;

impl Front {
    /// A new device asks for a code.
    pub(super) async fn offer_link(&self) -> Result<Response, Failure> {
        self.limit_address().await?;
        let random = getrandom::u64().or(Err(ErrorCode::Internal))?;
        let key = &self.setup.code_key;
        let (code, expires_at) = LinkCode::new(key, self.now, random);
        let (link, secret) = (code.as_str().to_owned(), code.secret(key));
        json(201, &Link { link, secret, expires_at })
    }

    /// A new device asks whether it was approved.
    pub(super) async fn collect_link(&self, code: &str) -> Result<Response, Failure> {
        let header = self.header("authorization");
        let secret = header.as_deref().and_then(input::bearer).ok_or(ErrorCode::TokenMissing)?;
        let key = &self.setup.code_key;
        let code = LinkCode::shown(key, self.now, code).filter(|code| code.is_secret(key, secret));
        let code = code.ok_or(ErrorCode::LinkExpired)?;
        self.limit_address().await?;
        let Some(Approval { account, device, handover }) = self.approval(&code).await? else {
            return Ok(answer(202, &[]).empty());
        };
        match self.ask(account, &AccountRequest::Renew(device)).await {
            Ok(AccountReply::Granted) => {
                let identity = Identity { account, device };
                let (token, expires_at) = self.setup.tokens.sign(identity, self.now);
                json(200, &Collected { account, device, token, expires_at, handover })
            }
            Ok(_) => Err(ErrorCode::Internal.into()),
            // It is noted first, and the mailbox may have refused it.
            Err(Failure { code: ErrorCode::DeviceRemoved, .. }) => Ok(answer(202, &[]).empty()),
            Err(failure) => Err(failure),
        }
    }

    /// A device of an account approves a new one.
    pub(super) async fn approve_link(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let LinkRequest { link, name, identity_key, handover } = input::json(&self.body().await?)?;
        let handover = handover.map(input::handover).transpose()?;
        let (name, identity_key) = input::new_device(name, &identity_key)?;
        let code = LinkCode::shown(&self.setup.code_key, self.now, &link);
        let code = code.ok_or(ErrorCode::LinkExpired)?;
        let drawn = DeviceId(getrandom::u64().or(Err(ErrorCode::Internal))?);
        let note = Approval { account, device: drawn, handover }.note();
        let target = if self.store.note(&code.store_key(), &note).await? {
            drawn
        } else {
            // It may be this request coming again.
            let approval = self.approval(&code).await?;
            let known = approval.filter(|approval| approval.account == account);
            known.ok_or(ErrorCode::LinkExpired)?.device
        };
        let request = AccountRequest::Link { device, target, name, identity_key };
        match self.ask(account, &request).await? {
            AccountReply::Granted => json(201, &Linked { device: target }),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    /// Who has approved a code, and under which id.
    async fn approval(&self, code: &LinkCode) -> Result<Option<Approval>, Failure> {
        let note = self.store.noted(&code.store_key()).await?;
        Ok(note.as_deref().and_then(Approval::noted))
    }

    /// A device is given another name.
    pub(super) async fn rename(&self, target: DeviceId) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let name = input::device_name(&self.body().await?)?;
        self.granted(account, &AccountRequest::Rename { device, target, name }).await
    }
}
