//! What a client knows of others: their profiles, fetched when they are needed and due.

use estafette_core::{Contact, KnownProfile};
use estafette_protocol::PhoneNumber;

use crate::server::now;
use crate::{Error, Handle};

impl Handle {
    /// Somebody's profile as it was last fetched.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn profile(&self, number: PhoneNumber) -> Result<Option<KnownProfile>, Error> {
        self.look(move |core| core.store().profile(number)).await
    }

    /// Asks for somebody's profile, unless it was fetched within a day: for when their chat is opened.
    /// Whether it is another than was known.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer: what was known stays, and is asked for the next time.
    pub async fn refresh_profile(&self, number: PhoneNumber) -> Result<bool, Error> {
        let known = self.profile(number).await?;
        let now = now();
        if known.as_ref().is_some_and(|known| !known.is_due(now)) {
            return Ok(false);
        }
        let account = self.account();
        let version = known.as_ref().map(|known| known.profile.version);
        let fetched = account.server.profile_of(&account.token, number, version).await?;
        let before = known.map(|known| known.profile).unwrap_or_default();
        let profile = fetched.unwrap_or_else(|| before.clone());
        let changed = profile != before;
        let known = KnownProfile { profile, fetched_at: now };
        self.look(move |core| core.store().set_profile(number, &known)).await?;
        Ok(changed)
    }

    /// What people are called: contacts by their name, others by what they call themselves, after a tilde.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn names(&self) -> Result<Vec<Contact>, Error> {
        self.look(|core| core.store().names()).await
    }
}
