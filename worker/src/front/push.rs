//! `/v1/push`: where the device in the token is pushed to.

use estafette_protocol::ErrorCode;
use estafette_protocol::http::Push;
use estafette_relay::{AccountReply, AccountRequest};
use worker::Response;

use super::{Front, json};
use crate::input;
use crate::problem::Failure;
use crate::push::PushSetup;
use crate::token::Identity;

impl Front {
    pub(super) async fn subscription(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let public_key = self.push()?.vapid.public_key.clone();
        match self.ask(account, &AccountRequest::Subscription(device)).await? {
            AccountReply::Data(data) => {
                let text = str::from_utf8(&data.0).or(Err(ErrorCode::Internal))?;
                let subscription = serde_json::from_str(text).or(Err(ErrorCode::Internal))?;
                json(200, &Push { public_key, subscription })
            }
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    pub(super) async fn subscribe(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let push = self.push()?;
        let subscription = push.check(input::json(&self.body().await?)?)?;
        self.granted(account, &AccountRequest::Subscribe { device, subscription }).await
    }

    /// Also where pushes are off: a device can always be forgotten.
    pub(super) async fn unsubscribe(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.granted(account, &AccountRequest::Unsubscribe(device)).await
    }

    fn push(&self) -> Result<&PushSetup, Failure> {
        Ok(self.setup.push.as_ref().ok_or(ErrorCode::PushUnavailable)?)
    }
}
