//! A new device on its way into an account: it shows a code and waits for a device of the account to
//! approve it.
//!
//! Invariants:
//! - the identity key is in its file before it is shown, so that a device that was approved can always prove
//!   itself;
//! - the account's secret is in its file before the account is.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use estafette_core::mls::AccountSecret;
use estafette_protocol::http::Link;
use estafette_protocol::limits::LINK_LIFE;
use estafette_protocol::{ErrorCode, Fault, Millis, PhoneNumber};
use tokio::time::{Instant, sleep};

use crate::{Account, Error, LinkUrl, Profile, ProfileError, Server};

/// How often to ask whether somebody approved.
const POLL: Duration = Duration::from_secs(2);
/// How long to go on asking a server that never says that the time is over.
const PATIENCE: Duration = Duration::from_millis(LINK_LIFE + 30_000);

/// A profile that waits to become another device of an account: what [`Profile::link`] begins. It
/// holds its directory.
#[derive(Debug)]
pub struct Linking {
    directory: PathBuf,
    lock: File,
    seed: [u8; 32],
    server: Server,
    offer: Link,
    url: LinkUrl,
    /// Whose device this profile was before.
    before: Option<PhoneNumber>,
}

impl Linking {
    pub(crate) fn new(
        (directory, lock): (PathBuf, File),
        seed: [u8; 32],
        before: Option<PhoneNumber>,
        server: Server,
        offer: Link,
        url: LinkUrl,
    ) -> Self {
        Self { directory, lock, seed, server, offer, url, before }
    }

    /// What to show, as a QR code or a text.
    pub fn url(&self) -> &LinkUrl {
        &self.url
    }

    /// When it is no longer good, by the server's clock.
    pub fn expires_at(&self) -> Millis {
        self.offer.expires_at
    }

    /// Waits until a device of an account approves, and makes the profile.
    ///
    /// # Errors
    /// [`Error::NotApproved`] when nobody does in time; otherwise when the server refuses or doesn't
    /// answer, the profile belongs to another number, or the files can't be written.
    pub async fn collect(self) -> Result<Profile, Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            sleep(POLL).await;
            match self.server.collect(&self.offer).await {
                Ok(Some((account, handover))) => return self.keep(account, handover).await,
                Err(Error::Refused(problem)) if problem.error == ErrorCode::LinkExpired => {
                    return Err(Error::NotApproved);
                }
                Err(error) if Instant::now() > end || !is_passing(&error) => return Err(error),
                Ok(None) if Instant::now() > end => return Err(Error::NotApproved),
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn keep(self, account: Account, handover: Option<Vec<u8>>) -> Result<Profile, Error> {
        if let Some(before) = self.before.filter(|before| *before != account.number) {
            // Nobody will use that device. If it can't be removed, its owner sees it in the list.
            let _ = self.server.remove_device(&account.token, account.device).await;
            return Err(ProfileError::OtherNumber(before).into());
        }
        let sealed = handover.unwrap_or_default();
        let secret = AccountSecret::take_over(&self.seed, &self.offer.link, &sealed);
        let Some(secret) = secret else {
            let _ = self.server.remove_device(&account.token, account.device).await;
            return Err(Error::NotHandedOver);
        };
        Profile::keep_secret(&self.directory, &secret)?;
        Ok(Profile::of(self.directory, self.lock, account)?)
    }
}

/// Whether the same request may succeed in a while.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused(problem) => problem.error.fault() != Fault::Caller,
        _ => false,
    }
}
