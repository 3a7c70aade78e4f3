//! How a new device gets the account's secret from one that approves it: sealed to the new device's identity key,
//! which the approving device has read off the new one's screen, not from the server.
//!
//! HPKE (RFC 9180) in base mode, with X25519, HKDF-SHA256 and ChaCha20-Poly1305. The recipient's key is the
//! Ed25519 key turned into an X25519 one, `info` is [`INFO`], and the associated data is the code of the link. The
//! key that was encapsulated, 32 bytes, comes before the ciphertext.

use ed25519_dalek::{SigningKey, VerifyingKey};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType};

use super::AccountSecret;

const INFO: &[u8] = b"estafette link v1";
const CONFIG: HpkeConfig =
    HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::ChaCha20Poly1305);
/// Its length: an encapsulated key, the secret, a tag.
pub const HANDOVER_BYTES: usize = 32 + 32 + 16;

impl AccountSecret {
    /// Seals the secret for a new device that shows this key and this code. `None`: that is no key.
    pub fn hand_over(&self, identity_key: &[u8; 32], code: &str) -> Option<Vec<u8>> {
        let key = VerifyingKey::from_bytes(identity_key).ok().filter(|key| !key.is_weak())?;
        let key = key.to_montgomery().to_bytes();
        let crypto = RustCrypto::default();
        let sealed =
            crypto.hpke_seal(CONFIG, &key, INFO, code.as_bytes(), &self.to_bytes()).ok()?;
        Some([sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat())
    }

    /// Opens what was handed over to the device with this seed, for this code.
    pub fn take_over(seed: &[u8; 32], code: &str, sealed: &[u8]) -> Option<Self> {
        let (kem_output, ciphertext) = sealed.split_at_checked(32)?;
        let sealed = HpkeCiphertext {
            kem_output: kem_output.to_vec().into(),
            ciphertext: ciphertext.to_vec().into(),
        };
        let key = SigningKey::from_bytes(seed).to_scalar_bytes();
        let crypto = RustCrypto::default();
        let secret = crypto.hpke_open(CONFIG, &sealed, &key, INFO, code.as_bytes()).ok()?;
        secret.try_into().ok().map(Self::new)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_new_device_alone_opens_it() {
        let (secret, seed) = (AccountSecret::new([5; 32]), [6; 32]);
        let key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let sealed = secret.hand_over(&key, "c0de").unwrap();
        assert_eq!(sealed.len(), HANDOVER_BYTES);
        assert_eq!(AccountSecret::take_over(&seed, "c0de", &sealed), Some(secret.clone()));
        assert_eq!(AccountSecret::take_over(&[7; 32], "c0de", &sealed), None);
        assert_eq!(AccountSecret::take_over(&seed, "c0df", &sealed), None);
        for length in 0..sealed.len() {
            assert_eq!(AccountSecret::take_over(&seed, "c0de", &sealed[..length]), None);
        }
        assert_eq!(secret.hand_over(&[0; 32], "c0de"), None, "a key of small order");
    }

    /// Two versions of the client may seal and open it.
    #[test]
    fn what_is_handed_over_is_pinned() {
        let sealed = data_encoding::HEXLOWER.decode(PINNED.as_bytes()).unwrap();
        let opened = AccountSecret::take_over(&[6; 32], "c0de", &sealed);
        assert_eq!(opened, Some(AccountSecret::new([5; 32])));
    }

    const PINNED: &str = concat!(
        "361f3a2cb06c905c66f8b31e3372fffcf5c609fed8adafd6f2f6825270ebda6ac0b3b0b4a01beca4",
        "76e11ece7fae800a91db6a31fb84c730a59e94c79d09c05daa927b7e5a33c2e97f2221684c02a3f3",
    );
}
