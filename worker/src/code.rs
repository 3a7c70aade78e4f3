//! One-time codes: six digits, every value as likely as any other; and the keyed hashes under which the
//! account keeps them and its registration PIN.

use estafette_protocol::{PhoneNumber, limits::CODE_DIGITS};
use estafette_relay::PinHash;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How many codes there are.
const CODES: u32 = 10_u32.pow(CODE_DIGITS as u32);

/// A one-time code as it is sent and typed: six digits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Code(String);

impl Code {
    /// A code from 32 random bits. `None` for the few values that would make some codes likelier than
    /// others: draw again.
    pub(crate) fn from_random(bits: u32) -> Option<Self> {
        let fair = u32::MAX - u32::MAX % CODES;
        (bits < fair).then(|| Self(format!("{:0width$}", bits % CODES, width = CODE_DIGITS)))
    }

    /// What somebody typed; `None` when it is not six digits.
    pub(crate) fn typed(text: &str) -> Option<Self> {
        let digits = text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// HMAC-SHA256 of number and code: without the key, a stored hash tells nothing, although there
    /// are only a million codes.
    pub(crate) fn hash(&self, key: &[u8], number: PhoneNumber) -> [u8; 32] {
        mac(key, &[number.to_string().as_bytes(), self.0.as_bytes()]).finalize().into_bytes().into()
    }
}

/// What a device made of a registration PIN: it never says the PIN itself.
#[derive(Clone, Copy)]
pub(crate) struct Pin(pub(crate) [u8; 32]);

impl Pin {
    /// HMAC-SHA256 of number and PIN: without the key, what is stored cannot be tried out, however short
    /// the PIN is.
    pub(crate) fn hash(&self, key: &[u8], number: PhoneNumber) -> PinHash {
        // The label begins as no number does, and so as no text that is made of a code.
        let number = number.to_string();
        let parts: [&[u8]; 3] = [b"registration pin", number.as_bytes(), &self.0];
        PinHash(mac(key, &parts).finalize().into_bytes().into())
    }
}

/// HMAC-SHA256 (RFC 2104) over the concatenation of some parts.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC takes a key of any length, so the other arm is never reached.
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()));
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::{Code, Pin};

    #[test]
    fn a_code_has_six_digits_and_no_bias() {
        let code = |bits| Code::from_random(bits).map(|code| code.as_str().to_owned());
        assert_eq!(code(0).as_deref(), Some("000000"));
        assert_eq!(code(42).as_deref(), Some("000042"));
        assert_eq!(code(4_293_999_999).as_deref(), Some("999999"));
        assert_eq!(code(4_294_000_000), None);
        assert_eq!(code(u32::MAX), None);
    }

    #[test]
    fn only_six_digits_can_be_typed() {
        assert!(Code::typed("012345").is_some());
        for wrong in ["", "12345", "1234567", "12345a", " 12345", "١٢٣"] {
            assert!(Code::typed(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_hash_depends_on_key_number_and_code() {
        let number = "+33600000001".parse().unwrap();
        let other = "+33600000002".parse().unwrap();
        let hash = |key: &[u8], number, code| Code::typed(code).unwrap().hash(key, number);
        let first = hash(b"key", number, "123456");
        assert_eq!(first, hash(b"key", number, "123456"));
        assert_ne!(first, hash(b"kez", number, "123456"));
        assert_ne!(first, hash(b"key", other, "123456"));
        assert_ne!(first, hash(b"key", number, "123457"));
    }

    #[test]
    fn the_hash_of_a_pin_depends_on_key_number_and_pin() {
        let number = "+33600000001".parse().unwrap();
        let other = "+33600000002".parse().unwrap();
        let first = Pin([1; 32]).hash(b"key", number);
        assert_eq!(first, Pin([1; 32]).hash(b"key", number));
        assert_ne!(first, Pin([1; 32]).hash(b"kez", number));
        assert_ne!(first, Pin([1; 32]).hash(b"key", other));
        assert_ne!(first, Pin([2; 32]).hash(b"key", number));
    }
}
