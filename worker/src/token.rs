//! Device tokens: JSON Web Tokens (RFC 7519) with HMAC-SHA256, signed and verified here and nowhere
//! else.
//!
//! By hand, over `hmac` and `sha2`, which one-time codes need anyway: of the crates for it,
//! `jsonwebtoken` makes the Worker 913 KB larger, and `jwt-compact` brings older copies of both, 20 KB.
//!
//! Invariants: the algorithm is this code's choice and never the token's; a token that is not whole,
//! genuine and in time yields no [`Identity`], and nothing else makes one.

use base64ct::{Base64UrlUnpadded, Encoding};
use estafette_protocol::{DeviceId, Millis, PhoneNumber, limits::TOKEN_LIFE};
use hmac::Mac;
use serde::{Deserialize, Serialize};

use crate::code::mac;

/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
const ISSUER: &str = "estafette";
/// A token is about 230 bytes.
const BYTES_MAX: usize = 1024;

/// Who asks, as a verified token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) account: PhoneNumber,
    pub(crate) device: DeviceId,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// It was not signed here, or is no token.
    Invalid,
    /// Its time is over.
    Expired,
}

/// The keys of this deployment.
#[derive(Clone)]
pub(crate) struct Keys {
    /// Signs and verifies.
    pub(crate) current: Vec<u8>,
    /// Verifies only: the one before, until the tokens that it signed are renewed.
    pub(crate) previous: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood (RFC 7515, section 4.1.11). None is.
    #[serde(default, skip_serializing)]
    crit: Option<serde::de::IgnoredAny>,
}

/// The claims; times in seconds.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: PhoneNumber,
    dev: DeviceId,
    iat: u64,
    exp: u64,
}

impl Keys {
    /// A new token, and when it is no longer good.
    pub(crate) fn sign(&self, identity: Identity, now: Millis) -> (String, Millis) {
        let iat = now / 1000;
        let exp = iat + TOKEN_LIFE / 1000;
        let Identity { account: sub, device: dev } = identity;
        let claims = Claims { iss: ISSUER.to_owned(), sub, dev, iat, exp };
        // Strings and integers: writing them cannot fail.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let mut token = format!("{HEADER}.{}", Base64UrlUnpadded::encode_string(&claims));
        let signature = mac(&self.current, &[token.as_bytes()]).finalize().into_bytes();
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(&signature));
        (token, exp * 1000)
    }

    /// Who a token speaks for.
    pub(crate) fn verify(&self, token: &str, now: Millis) -> Result<Identity, TokenError> {
        const INVALID: TokenError = TokenError::Invalid;
        if token.len() > BYTES_MAX {
            return Err(INVALID);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(INVALID)?;
        let (header, claims) = signed.split_once('.').ok_or(INVALID)?;
        let signature = Base64UrlUnpadded::decode_vec(signature).or(Err(INVALID))?;
        let mut keys = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        let genuine = keys.any(|key| {
            // Compares in constant time.
            mac(key, &[signed.as_bytes()]).verify_slice(&signature).is_ok()
        });
        if !genuine {
            return Err(INVALID);
        }
        let header: Header = part(header).ok_or(INVALID)?;
        let claims: Claims = part(claims).ok_or(INVALID)?;
        if header.alg != "HS256" || header.crit.is_some() || claims.iss != ISSUER {
            return Err(INVALID);
        }
        if claims.exp <= now / 1000 {
            return Err(TokenError::Expired);
        }
        Ok(Identity { account: claims.sub, device: claims.dev })
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok()?;
    serde_json::from_str(str::from_utf8(&bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_760_000_000_123;

    fn keys(current: &[u8], previous: Option<&[u8]>) -> Keys {
        Keys { current: current.to_vec(), previous: previous.map(<[u8]>::to_vec) }
    }

    fn alice() -> Identity {
        Identity { account: "+33612345678".parse().unwrap(), device: DeviceId(0x0f1e_2d3c) }
    }

    fn signed(key: &[u8], header: &str, claims: &str) -> String {
        let mut token = [header, claims]
            .map(|part| Base64UrlUnpadded::encode_string(part.as_bytes()))
            .join(".");
        let signature = mac(key, &[token.as_bytes()]).finalize().into_bytes();
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(&signature));
        token
    }

    const CLAIMS: &str = r#"{"iss":"estafette","sub":"+33612345678","dev":"000000000f1e2d3c","iat":1760000000,"exp":1767776000}"#;
    const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    #[test]
    fn a_token_is_good_for_its_time() {
        let keys = keys(b"key", None);
        let (token, expires_at) = keys.sign(alice(), NOW);
        assert_eq!(expires_at, 1_767_776_000_000);
        assert_eq!(keys.verify(&token, NOW), Ok(alice()));
        assert_eq!(keys.verify(&token, expires_at - 1), Ok(alice()));
        assert_eq!(keys.verify(&token, expires_at), Err(TokenError::Expired));
    }

    /// Devices keep tokens for 90 days: if this changes, all of them must register again.
    #[test]
    fn the_form_is_pinned() {
        assert_eq!(keys(b"key", None).sign(alice(), NOW).0, signed(b"key", HS256, CLAIMS));
    }

    /// The example of RFC 7515, appendix A.1: signed as it should be, and no token of ours.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let key = Base64UrlUnpadded::decode_vec("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = mac(&key, &[signed.as_bytes()]).finalize().into_bytes();
        let expected = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(Base64UrlUnpadded::encode_string(&signature), expected);
        let token = format!("{signed}.{expected}");
        assert_eq!(keys(&key, None).verify(&token, 0), Err(TokenError::Invalid));
    }

    #[test]
    fn a_retired_key_verifies_and_does_not_sign() {
        let (old, _) = keys(b"old", None).sign(alice(), NOW);
        let rotated = keys(b"new", Some(b"old"));
        assert_eq!(rotated.verify(&old, NOW), Ok(alice()));
        let (new, _) = rotated.sign(alice(), NOW);
        assert_eq!(keys(b"old", None).verify(&new, NOW), Err(TokenError::Invalid));
        assert_eq!(keys(b"new", None).verify(&old, NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn nothing_forged_is_taken() {
        let keys = keys(b"key", None);
        let (good, _) = keys.sign(alice(), NOW);
        assert_eq!(keys.verify(&signed(b"key", HS256, CLAIMS), NOW), Ok(alice()));
        let unsigned = |alg: &str| {
            let header =
                Base64UrlUnpadded::encode_string(format!(r#"{{"alg":"{alg}"}}"#).as_bytes());
            format!("{header}.{}.", Base64UrlUnpadded::encode_string(CLAIMS.as_bytes()))
        };
        let mut wrong = vec![
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "a.b.c".to_owned(),
            unsigned("none"),
            unsigned("HS256"),
            signed(b"kez", HS256, CLAIMS),
            signed(b"key", r#"{"alg":"none"}"#, CLAIMS),
            signed(b"key", r#"{"alg":"HS512"}"#, CLAIMS),
            signed(b"key", r#"{"alg":"RS256"}"#, CLAIMS),
            signed(b"key", r#"{"alg":"HS256","crit":["b64"]}"#, CLAIMS),
            signed(b"key", HS256, &CLAIMS.replace("estafette", "elsewhere")),
            signed(b"key", HS256, &CLAIMS.replace("+33612345678", "33612345678")),
            signed(b"key", HS256, &CLAIMS.replace(r#","exp":1767776000"#, "")),
            signed(b"key", HS256, r#"{"#),
            format!("{good}="),
            format!("{good}."),
            format!("{good}{}", "A".repeat(2048)),
        ];
        // Every single change of a character is noticed.
        wrong.extend((0..good.len()).map(|at| {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        }));
        for token in wrong {
            assert_eq!(keys.verify(&token, NOW), Err(TokenError::Invalid), "{token}");
        }
        let late = signed(b"key", HS256, &CLAIMS.replace("1767776000", "1760000000"));
        assert_eq!(keys.verify(&late, NOW), Err(TokenError::Expired));
    }
}
