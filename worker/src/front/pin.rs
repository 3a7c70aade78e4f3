//! `/v1/pin`: what the account's number takes to be registered again, beside the code.

use estafette_relay::AccountRequest;
use worker::Response;

use super::Front;
use crate::input;
use crate::problem::Failure;
use crate::token::Identity;

impl Front {
    pub(super) async fn pin(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::Pin(device)).await
    }

    pub(super) async fn set_pin(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let pin = input::new_pin(&self.body().await?)?.hash(&self.setup.code_key, account);
        self.granted(account, &AccountRequest::SetPin { device, pin: Some(pin) }).await
    }

    pub(super) async fn remove_pin(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.granted(account, &AccountRequest::SetPin { device, pin: None }).await
    }
}
