//! Profiles: what people say of themselves. A picture is sealed before it comes here, and opened after.

use estafette_protocol::PhoneNumber;
use estafette_protocol::http::Profile;
use tokio_tungstenite::tungstenite::http::Method;

use super::{NOT_MODIFIED, Server};
use crate::Error;

const PROFILE: &str = "/v1/profile";
const PICTURE: &str = "/v1/profile/picture";

impl Server {
    /// What the account says of its user.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn profile(&self, token: &str) -> Result<Profile, Error> {
        self.call(Method::GET, PROFILE.into(), Some(token), None::<()>).await
    }

    /// Says this of the user, instead of all that was said before. The server counts the version.
    ///
    /// # Errors
    /// When a text is over its limit, the server refuses otherwise or doesn't answer.
    pub async fn set_profile(&self, token: &str, profile: &Profile) -> Result<(), Error> {
        self.bytes(Method::PUT, PROFILE.into(), Some(token), Some(profile)).await.map(drop)
    }

    /// What somebody shows of themselves: of version 0 where that is nothing. `None` when it is what is
    /// `known`, by its version.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn profile_of(
        &self,
        token: &str,
        number: PhoneNumber,
        known: Option<u64>,
    ) -> Result<Option<Profile>, Error> {
        let path = format!("/v1/profiles/%2B{}", number.digits());
        let mut request = self.request(Method::GET, &path, Some(token));
        if let Some(version) = known {
            request = request.header("If-None-Match", format!("\"{version}\""));
        }
        let (status, bytes) = self.perform(request, Vec::new()).await?;
        if status == NOT_MODIFIED {
            return Ok(None);
        }
        serde_json::from_slice(&bytes).map(Some).or(Err(self.unexpected(status)))
    }

    /// Puts the picture of the profile, as [`Picture::seal`](crate::Picture::seal) made it. What opens it is
    /// said by [`Server::set_profile`], after this.
    ///
    /// # Errors
    /// When it is too long, the server refuses otherwise or doesn't answer.
    pub async fn put_picture(&self, token: &str, sealed: Vec<u8>) -> Result<(), Error> {
        let request = self.request(Method::PUT, PICTURE, Some(token));
        let request = request.header("Content-Type", "application/octet-stream");
        self.perform(request, sealed).await.map(drop)
    }

    /// Takes the picture of the profile away, and what opened it.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn drop_picture(&self, token: &str) -> Result<(), Error> {
        self.bytes(Method::DELETE, PICTURE.into(), Some(token), None::<()>).await.map(drop)
    }

    /// Somebody's picture, as it was put, to be opened by [`Picture::open`](crate::Picture::open).
    ///
    /// # Errors
    /// When they have or show none ([`ErrorCode::NotFound`](crate::ErrorCode::NotFound)), the server refuses
    /// otherwise or doesn't answer.
    pub async fn picture_of(&self, token: &str, number: PhoneNumber) -> Result<Vec<u8>, Error> {
        let path = format!("/v1/profiles/%2B{}/picture", number.digits());
        Ok(self.bytes(Method::GET, path, Some(token), None::<()>).await?.1)
    }
}
