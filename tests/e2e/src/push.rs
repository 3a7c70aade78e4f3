//! A browser's half of a push subscription: its keys, and how it opens what comes.

use anyhow::{Context, Result, bail};
use estafette::Account;
use estafette_protocol::http::{PushKeys, PushSubscription};
use estafette_protocol::push::Notification;
use estafette_testkit::Pushed;

use crate::{Answer, Request, Stage};

/// Somebody who can be pushed to.
#[derive(Debug)]
pub struct Subscriber {
    /// What the Worker is told.
    pub subscription: PushSubscription,
    keys: ece::EcKeyComponents,
    auth: [u8; 16],
}

impl Subscriber {
    /// New keys, for this endpoint.
    ///
    /// # Errors
    /// When OpenSSL makes none.
    pub fn at(endpoint: String) -> Result<Self> {
        let (pair, auth) = ece::generate_keypair_and_auth_secret()?;
        let keys = PushKeys { p256dh: base64url(&pair.pub_as_raw()?), auth: base64url(&auth) };
        let subscription = PushSubscription { endpoint, keys };
        Ok(Self { subscription, keys: pair.raw_components()?, auth })
    }

    /// Subscribes a device.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn subscribe(&self, stage: &Stage, account: &Account) -> Result<()> {
        let answer = put(stage, account, &serde_json::to_vec(&self.subscription)?).await?;
        match answer.status {
            204 => Ok(()),
            status => bail!("refused with {status}: {:?}", answer.problem()),
        }
    }

    /// What a push says.
    ///
    /// # Errors
    /// When it is not for this subscriber, or says nothing.
    pub fn open(&self, pushed: &Pushed) -> Result<Notification> {
        let payload = ece::decrypt(&self.keys, &self.auth, &pushed.body).context("not opened")?;
        Ok(Notification::from_payload(&payload)?)
    }
}

/// Puts a subscription, or what looks like one.
///
/// # Errors
/// When there is no answer.
pub async fn put(stage: &Stage, account: &Account, body: &[u8]) -> Result<Answer> {
    let request = Request::new("PUT", "/v1/push").header("Content-Type", "application/json");
    request.token(&account.token).body(body).send(stage).await
}

fn base64url(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}
