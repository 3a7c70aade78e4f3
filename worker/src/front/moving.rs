//! `/v1/account/move`: an account moves to another number.
//!
//! Each of the calls may have been made before: what one mailbox gave goes to the other before the first is
//! asked to leave.

use estafette_protocol::ErrorCode;
use estafette_protocol::http::MoveRequest;
use estafette_relay::{AccountReply, AccountRequest};
use worker::Response;

use super::Front;
use crate::input;
use crate::problem::Failure;
use crate::token::Identity;

impl Front {
    pub(super) async fn move_account(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let MoveRequest { token } = input::json(&self.body().await?)?;
        let to = self.setup.tokens.verify(&token, self.now)?;
        if to.account == account {
            return Err(ErrorCode::Malformed.into());
        }
        let answer = self.ask(account, &AccountRequest::Moving(device)).await?;
        let AccountReply::Data(moving) = answer else {
            return Err(ErrorCode::Internal.into());
        };
        let arrive = AccountRequest::Arrive { device: to.device, moving };
        self.ask(to.account, &arrive).await?;
        self.bring_picture(account, to.account).await?;
        let done = self.granted(account, &AccountRequest::Leave(device)).await?;
        self.erase_picture(account).await?;
        Ok(done)
    }
}
