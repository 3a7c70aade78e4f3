//! `/v1/profile` and `/v1/profiles`: what an account says of its user, and what somebody sees of it. The
//! picture is in `media/picture.rs`.

use estafette_protocol::{ErrorCode, PhoneNumber};
use estafette_relay::{AccountReply, AccountRequest};
use worker::Response;

use super::{Front, answer};
use crate::input;
use crate::problem::Failure;
use crate::token::Identity;

impl Front {
    pub(super) async fn profile(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::Profile(device)).await
    }

    pub(super) async fn set_profile(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let profile = input::profile(&self.body().await?)?;
        self.granted(account, &AccountRequest::SetProfile { device, profile }).await
    }

    /// Somebody's profile, as far as it is shown to whoever asks.
    pub(super) async fn shown_profile(&self, number: PhoneNumber) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.ask(account, &AccountRequest::Visit(device)).await?;
        let shown = self.ask(number, &AccountRequest::ShownProfile(account)).await?;
        let AccountReply::Data(profile) = shown else { return Err(ErrorCode::Internal.into()) };
        let tag = tag(&profile.0).ok_or(ErrorCode::Internal)?;
        // It may be hidden, or be another, the next time: a copy is used after asking.
        let known = [("etag", tag.as_str()), ("cache-control", "private, no-cache")];
        if self.knows(&tag) {
            return Ok(answer(304, &known).empty());
        }
        let headers = [known.as_slice(), &[("content-type", "application/json")]].concat();
        Ok(answer(200, &headers).fixed(profile.0))
    }
}

/// The entity tag of a profile: its version, with which its JSON begins.
fn tag(json: &[u8]) -> Option<String> {
    let version = json.strip_prefix(br#"{"version":"#)?.split(|&byte| byte == b',').next()?;
    Some(format!("\"{}\"", str::from_utf8(version).ok()?))
}

#[cfg(test)]
mod tests {
    use estafette_protocol::http::Profile;

    use super::tag;

    #[test]
    fn the_tag_is_the_version() {
        for version in [0, 7, 1 << 53] {
            let profile = Profile { version, name: "\"version\":1".into(), ..Profile::default() };
            let json = serde_json::to_vec(&profile).unwrap();
            assert_eq!(tag(&json), Some(format!("\"{version}\"")));
        }
        assert_eq!(tag(b"{}"), None);
    }
}
