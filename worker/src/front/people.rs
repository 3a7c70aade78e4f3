//! `/v1/account`, `/v1/privacy` and `/v1/people`: what is held on the account, who may see what of it, and
//! what it says of others.

use estafette_protocol::PhoneNumber;
use estafette_relay::AccountRequest;
use worker::Response;

use super::Front;
use crate::input;
use crate::problem::Failure;
use crate::token::Identity;

impl Front {
    pub(super) async fn export(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::Export(device)).await
    }

    pub(super) async fn delete_account(&self) -> Result<Response, Failure> {
        let identity = self.authorise().await?;
        let Identity { account, device } = identity;
        // Files first: if this ends half way, their owner is still there to ask again.
        self.delete_files(identity).await?;
        self.erase_picture(account).await?;
        self.granted(account, &AccountRequest::Delete(device)).await
    }

    pub(super) async fn privacy(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::Privacy(device)).await
    }

    pub(super) async fn set_privacy(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let privacy = input::json(&self.body().await?)?;
        self.granted(account, &AccountRequest::SetPrivacy { device, privacy }).await
    }

    pub(super) async fn people(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::People(device)).await
    }

    pub(super) async fn set_person(&self, number: PhoneNumber) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let person = input::json(&self.body().await?)?;
        self.granted(account, &AccountRequest::SetPerson { device, number, person }).await
    }
}
