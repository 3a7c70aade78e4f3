//! Who sends a push (RFC 8292): a token for each push service, signed with the deployment's key.
//!
//! A signature costs milliseconds of processor time, so a token serves for half a day. What is kept of
//! them is memory only.

use std::cell::RefCell;

use base64ct::{Base64UrlUnpadded, Encoding};
use estafette_protocol::Millis;
use p256::PublicKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde::Serialize;

/// `{"typ":"JWT","alg":"ES256"}`.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9";
/// How long a token is used.
const REUSE: Millis = 12 * 60 * 60 * 1000;
/// How long it is good for: an hour longer, for services whose clocks are fast. The standard allows a
/// day.
const LIFE: Millis = REUSE + 60 * 60 * 1000;
/// Tokens that are kept; a service with a host for each region has dozens.
const TOKENS_MAX: usize = 256;

/// The deployment's key, and the tokens signed with it.
pub(crate) struct Vapid {
    key: SigningKey,
    /// In base64url: what a browser subscribes with, and a service compares.
    pub(crate) public_key: String,
    subject: String,
    tokens: RefCell<Vec<Token>>,
}

/// A signed token.
struct Token {
    audience: String,
    since: Millis,
    text: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    /// In seconds.
    exp: u64,
    sub: &'a str,
}

impl Vapid {
    /// Reads the private key: 32 bytes in base64url. `None` when it is no key.
    pub(crate) fn read(key: &str, subject: String) -> Option<Self> {
        let key = Base64UrlUnpadded::decode_vec(key.trim_end_matches('=')).ok()?;
        // A shorter one would be filled up.
        let key: [u8; 32] = key.try_into().ok()?;
        let key = SigningKey::from_slice(&key).ok()?;
        let public = PublicKey::from(key.verifying_key()).to_sec1_bytes();
        let public_key = Base64UrlUnpadded::encode_string(&public);
        Some(Self { key, public_key, subject, tokens: RefCell::default() })
    }

    /// The `Authorization` header of a push to the service at `audience`.
    pub(crate) fn authorization(&self, audience: &str, now: Millis) -> String {
        let mut tokens = self.tokens.borrow_mut();
        tokens.retain(|token| now.abs_diff(token.since) < REUSE);
        let text = match tokens.iter().find(|token| token.audience == audience) {
            Some(token) => token.text.clone(),
            None => {
                let text = self.sign(audience, now);
                if tokens.len() >= TOKENS_MAX {
                    tokens.clear();
                }
                let audience = audience.to_owned();
                tokens.push(Token { audience, since: now, text: text.clone() });
                text
            }
        };
        format!("vapid t={text}, k={}", self.public_key)
    }

    fn sign(&self, aud: &str, now: Millis) -> String {
        let claims = Claims { aud, exp: (now + LIFE) / 1000, sub: &self.subject };
        // Strings and an integer: writing them cannot fail.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let mut token = format!("{HEADER}.{}", Base64UrlUnpadded::encode_string(&claims));
        let signature: Signature = self.key.sign(token.as_bytes());
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(&signature.to_bytes()));
        token
    }
}

/// Whether somebody can be reached there: Apple refuses every push of whoever says otherwise.
pub(crate) fn is_contact(subject: &str) -> bool {
    let named = |scheme: &str| subject.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    let plain = subject.bytes().all(|byte| byte.is_ascii_graphic());
    plain && (named("https://") || named("mailto:") && subject.contains('@'))
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::{Signature, VerifyingKey};

    use super::*;

    const KEY: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const PUBLIC: &str =
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
    const NOW: Millis = 1_760_000_000_123;

    fn vapid() -> Vapid {
        Vapid::read(KEY, "mailto:ops@example.org".to_owned()).unwrap()
    }

    fn token(authorization: &str) -> &str {
        authorization.strip_prefix("vapid t=").unwrap().split(", k=").next().unwrap()
    }

    #[test]
    fn a_token_says_to_whom_by_whom_and_until_when() {
        let vapid = vapid();
        assert_eq!(vapid.public_key, PUBLIC);
        let header = vapid.authorization("https://push.example", NOW);
        assert!(header.ends_with(&format!(", k={PUBLIC}")), "{header}");
        let (signed, signature) = token(&header).rsplit_once('.').unwrap();
        let decode = |text: &str| Base64UrlUnpadded::decode_vec(text).unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        assert_eq!(decode(head), br#"{"typ":"JWT","alg":"ES256"}"#);
        let expected =
            r#"{"aud":"https://push.example","exp":1760046800,"sub":"mailto:ops@example.org"}"#;
        assert_eq!(String::from_utf8(decode(claims)).unwrap(), expected);
        let key = VerifyingKey::from_sec1_bytes(&decode(PUBLIC)).unwrap();
        let signature = Signature::from_slice(&decode(signature)).unwrap();
        assert!(key.verify(signed.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn a_token_is_signed_once_in_half_a_day_for_each_service() {
        let vapid = vapid();
        let first = vapid.authorization("https://push.example", NOW);
        assert_eq!(vapid.authorization("https://push.example", NOW + REUSE - 1), first);
        assert_ne!(vapid.authorization("https://push.example", NOW + REUSE), first);
        assert_ne!(vapid.authorization("https://other.example", NOW), first);
        for service in 0..2 * TOKENS_MAX {
            vapid.authorization(&format!("https://{service}.example"), NOW);
            assert!(vapid.tokens.borrow().len() <= TOKENS_MAX);
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let read = |key| Vapid::read(key, String::new());
        let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for key in [
            "",
            "AAAA",
            &KEY[..40],
            zero,
            "//////////8AAAAA//////////+85vqtpxeehPO5ysL8YyVR",
            PUBLIC,
        ] {
            assert!(read(key).is_none(), "{key}");
        }
        assert!(read(&format!("{KEY}=")).is_some());
    }

    #[test]
    fn a_contact_is_an_address() {
        for contact in ["mailto:a@b.example", "https://example.org", "https://example.org/contact"]
        {
            assert!(is_contact(contact), "{contact}");
        }
        for other in [
            "",
            "mailto:",
            "mailto:ops",
            "a@b.example",
            "http://x.example",
            "https://",
            "mailto:a@b c",
        ] {
            assert!(!is_contact(other), "{other}");
        }
    }
}
