//! Seals what a push tells for one device (RFC 8291), so that no push service can read it.
//!
//! By hand over RustCrypto's primitives, of the same generation as those that tokens are signed with:
//! `web-push-native` brings older copies of all of them, and hides the salt and the key that the
//! standard's own example gives.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use base64ct::{Base64UrlUnpadded, Encoding};
use estafette_protocol::http::PushKeys;
use estafette_protocol::limits::PUSH_BYTES_MAX;
use hkdf::Hkdf;
use p256::{PublicKey, SecretKey};
use sha2::Sha256;

/// A point on P-256, uncompressed.
const POINT_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;
/// What follows is the last of the payload; then zeros (RFC 8188, section 2).
const LAST_RECORD: u8 = 2;
const RECORD_BYTES: u32 = 4096;
/// Payloads are filled up to a multiple of this, so that their length tells little.
const BUCKET_BYTES: usize = 512;

/// The device that a push is sealed for.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    public: PublicKey,
    auth: [u8; AUTH_BYTES],
}

impl Receiver {
    /// Reads the keys of a subscription: base64url, with or without padding. `None` when they are no
    /// keys.
    pub(crate) fn read(keys: &PushKeys) -> Option<Self> {
        let public = base64url(&keys.p256dh).filter(|bytes| bytes.len() == POINT_BYTES)?;
        Some(Self {
            public: PublicKey::from_sec1_bytes(&public).ok()?,
            auth: base64url(&keys.auth)?.try_into().ok()?,
        })
    }

    /// The same keys in the one form in which they are kept.
    pub(crate) fn keys(&self) -> PushKeys {
        PushKeys {
            p256dh: Base64UrlUnpadded::encode_string(&self.public.to_sec1_bytes()),
            auth: Base64UrlUnpadded::encode_string(&self.auth),
        }
    }
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text.trim_end_matches('=')).ok()
}

/// What a push is sealed with: new for each.
pub(crate) struct Seal {
    pub(crate) salt: [u8; 16],
    pub(crate) secret: SecretKey,
}

impl Seal {
    /// Draws salt and key.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        loop {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret)?;
            // One in four thousand million is no scalar of the curve.
            if let Ok(secret) = SecretKey::from_slice(&secret) {
                return Ok(Self { salt, secret });
            }
        }
    }

    /// The body of the request: header, key and one record. `None` when the payload is over its limit.
    ///
    /// ```text
    /// salt (16) | record size (4) | 65 | public key (65) | payload, 2, zeros, under AES-128-GCM
    /// ```
    pub(crate) fn close(&self, receiver: &Receiver, payload: &[u8]) -> Option<Vec<u8>> {
        self.close_padded(receiver, payload, padded(payload.len())?)
    }

    fn close_padded(&self, receiver: &Receiver, payload: &[u8], length: usize) -> Option<Vec<u8>> {
        let public = self.secret.public_key().to_sec1_bytes();
        let shared = self.secret.diffie_hellman(&receiver.public);
        let info = [b"WebPush: info\0", &*receiver.public.to_sec1_bytes(), &public].concat();
        let mut material = [0; 32];
        derive(&receiver.auth, shared.raw_secret_bytes(), &info, &mut material)?;
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        derive(&self.salt, &material, b"Content-Encoding: aes128gcm\0", &mut key)?;
        derive(&self.salt, &material, b"Content-Encoding: nonce\0", &mut nonce)?;

        let mut record = payload.to_vec();
        record.push(LAST_RECORD);
        record.resize(length + 1, 0);
        let sealed = Aes128Gcm::new(&key.into()).encrypt(&Nonce::from(nonce), &*record).ok()?;
        let size = RECORD_BYTES.to_be_bytes();
        Some([&self.salt[..], &size, &[POINT_BYTES as u8], &public, &sealed].concat())
    }
}

fn padded(length: usize) -> Option<usize> {
    let bucket = length.next_multiple_of(BUCKET_BYTES).min(PUSH_BYTES_MAX);
    (length <= PUSH_BYTES_MAX).then_some(bucket)
}

/// HKDF with SHA-256 (RFC 5869). It fails for longer keys than any here.
fn derive(salt: &[u8], material: &[u8], info: &[u8], key: &mut [u8]) -> Option<()> {
    Hkdf::<Sha256>::new(Some(salt), material).expand(info, key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        Base64UrlUnpadded::decode_vec(text).unwrap()
    }

    fn keys(p256dh: &str, auth: &str) -> PushKeys {
        PushKeys { p256dh: p256dh.to_owned(), auth: auth.to_owned() }
    }

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    /// RFC 8291, section 5 and appendix A.
    fn example() -> (Receiver, Seal) {
        let secret = SecretKey::from_slice(&bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"));
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let seal = Seal { salt, secret: secret.unwrap() };
        (Receiver::read(&keys(P256DH, AUTH)).unwrap(), seal)
    }

    #[test]
    fn the_example_of_the_standard_byte_for_byte() {
        let (receiver, seal) = example();
        let text = b"When I grow up, I want to be a watermelon";
        let sealed = seal.close_padded(&receiver, text, text.len()).unwrap();
        assert_eq!(
            Base64UrlUnpadded::encode_string(&sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn lengths_are_told_in_steps_and_end_at_the_limit() {
        let (receiver, seal) = example();
        let sealed = |length: usize| {
            let sealed = seal.close(&receiver, &vec![b'x'; length]);
            sealed.map(|sealed| sealed.len() - 86 - 17)
        };
        for (length, expected) in [
            (0, Some(0)),
            (1, Some(512)),
            (512, Some(512)),
            (513, Some(1024)),
            (3584, Some(3584)),
            (3585, Some(3993)),
            (3993, Some(3993)),
            (3994, None),
        ] {
            assert_eq!(sealed(length), expected, "{length}");
        }
    }

    #[test]
    fn each_push_has_a_salt_and_a_key_of_its_own() {
        let (one, other) = (Seal::draw().unwrap(), Seal::draw().unwrap());
        assert_ne!(one.salt, other.salt);
        assert_ne!(one.secret.to_bytes(), other.secret.to_bytes());
    }

    #[test]
    fn keys_are_read_and_kept_in_one_form() {
        let padded = keys(&format!("{P256DH}="), &format!("{AUTH}=="));
        for given in [keys(P256DH, AUTH), padded] {
            assert_eq!(Receiver::read(&given).unwrap().keys(), keys(P256DH, AUTH));
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let off_the_curve = format!("{}A", &P256DH[..86]);
        let mut infinity = vec![0];
        let point = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let compressed = [&[2][..], &bytes(P256DH)[1..33]].concat();
        assert!(PublicKey::from_sec1_bytes(&compressed).is_ok(), "a point, but not in this form");
        infinity.resize(65, 0);
        for p256dh in [
            "",
            "AAAA",
            &off_the_curve,
            &point(&infinity),
            &point(&compressed),
            &P256DH.replace('_', "/"),
            &format!("{P256DH}AAAA"),
        ] {
            assert!(Receiver::read(&keys(p256dh, AUTH)).is_none(), "{p256dh}");
        }
        for auth in ["", "AAAA", &AUTH[..20], &format!("{AUTH}AA"), "????????????????????=="] {
            assert!(Receiver::read(&keys(P256DH, auth)).is_none(), "{auth}");
        }
    }
}
