//! Codes that link a device: 4 bytes of when they are over, 8 random ones, and 8 of a tag that only this
//! server can make; in hexadecimal. So a forged one, or one that is over, is refused without looking
//! anything up, and nothing is kept for a code that nobody approves.
//!
//! What collects the new device's token is another tag over the code. The code is shown, that is not: who
//! has a picture of the code can do no more than make the device his own account's.

use base16ct::lower;
use estafette_protocol::{DeviceId, Millis, PhoneNumber, limits};
use hmac::Mac;

use crate::code::mac;

const UNTAGGED_BYTES: usize = 12;
const TAG_BYTES: usize = 8;

/// A code that was made here and is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkCode(String);

impl LinkCode {
    /// A new one, and when it is over.
    pub(crate) fn new(key: &[u8], now: Millis, random: u64) -> (Self, Millis) {
        let over = (now + limits::LINK_LIFE) / 1000;
        let mut bytes = (over as u32).to_be_bytes().to_vec();
        bytes.extend(random.to_be_bytes());
        bytes.extend(tag(key, b"link code", &bytes).into_iter().take(TAG_BYTES));
        (Self(lower::encode_string(&bytes)), over * 1000)
    }

    /// A code that somebody shows.
    pub(crate) fn shown(key: &[u8], now: Millis, text: &str) -> Option<Self> {
        let bytes = lower::decode_vec(text).ok()?;
        let (untagged, shown) = bytes.split_at_checked(UNTAGGED_BYTES)?;
        let over = u32::from_be_bytes(*untagged.first_chunk()?);
        // Compares in constant time.
        let genuine = shown.len() == TAG_BYTES
            && mac(key, &[b"link code", untagged]).verify_truncated_left(shown).is_ok();
        (genuine && now / 1000 < u64::from(over)).then(|| Self(text.to_owned()))
    }

    /// What collects the token.
    pub(crate) fn secret(&self, key: &[u8]) -> String {
        lower::encode_string(&tag(key, b"link secret", self.0.as_bytes()))
    }

    /// Whether this is the secret of the code.
    pub(crate) fn is_secret(&self, key: &[u8], secret: &str) -> bool {
        let Ok(secret) = lower::decode_vec(secret) else { return false };
        mac(key, &[b"link secret", self.0.as_bytes()]).verify_slice(&secret).is_ok()
    }

    /// The code.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is noted who approved it.
    pub(crate) fn store_key(&self) -> String {
        format!("{}{}", PREFIX, self.0)
    }
}

/// What the names in the bucket begin with under which approvals are noted.
pub(crate) const PREFIX: &str = "link/";

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approval {
    pub(crate) account: PhoneNumber,
    pub(crate) device: DeviceId,
    /// What is handed over to the device, in base64.
    pub(crate) handover: Option<String>,
}

impl Approval {
    /// As it is noted: account, device, and what is handed over, with spaces between.
    pub(crate) fn note(&self) -> String {
        let Self { account, device, handover } = self;
        let handover = handover.as_deref().unwrap_or_default();
        let note = format!("{account} {device} {handover}");
        note.trim_end().to_owned()
    }

    /// The reverse of [`Approval::note`].
    pub(crate) fn noted(note: &str) -> Option<Self> {
        let (account, rest) = note.split_once(' ')?;
        let (device, handover) = match rest.split_once(' ') {
            Some((device, handover)) => (device, Some(handover.to_owned())),
            None => (rest, None),
        };
        Some(Self { account: account.parse().ok()?, device: device.parse().ok()?, handover })
    }
}

fn tag(key: &[u8], what: &[u8], of: &[u8]) -> [u8; 32] {
    mac(key, &[what, of]).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use estafette_protocol::{DeviceId, limits::LINK_LIFE};

    use super::{Approval, LinkCode};

    const NOW: u64 = 1_760_000_000_123;

    #[test]
    fn a_code_is_good_for_two_minutes() {
        let (code, over) = LinkCode::new(b"key", NOW, 7);
        assert_eq!(over, (NOW + LINK_LIFE) / 1000 * 1000);
        assert_eq!(code.as_str().len(), 40);
        for (now, good) in [(NOW, true), (over - 1, true), (over, false), (NOW + 1_000_000, false)]
        {
            assert_eq!(LinkCode::shown(b"key", now, code.as_str()).is_some(), good, "{now}");
        }
    }

    #[test]
    fn no_other_code_is_taken() {
        let (code, _) = LinkCode::new(b"key", NOW, 7);
        assert_eq!(LinkCode::shown(b"kez", NOW, code.as_str()), None);
        for at in 0..code.as_str().len() {
            let mut bytes = code.as_str().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(LinkCode::shown(b"key", NOW, &text), None, "{text}");
        }
        let upper = code.as_str().to_uppercase();
        for text in ["", "00", &code.as_str()[..38], &format!("{}00", code.as_str()), &upper] {
            assert_eq!(LinkCode::shown(b"key", NOW, text), None, "{text}");
        }
    }

    #[test]
    fn the_code_does_not_tell_the_secret() {
        let (code, _) = LinkCode::new(b"key", NOW, 7);
        let secret = code.secret(b"key");
        assert!(code.is_secret(b"key", &secret));
        let (other, _) = LinkCode::new(b"key", NOW, 8);
        for wrong in ["", "00", code.as_str(), &other.secret(b"key"), &code.secret(b"kez")] {
            assert!(!code.is_secret(b"key", wrong), "{wrong}");
        }
    }

    /// Two versions of the Worker may write and read it.
    #[test]
    fn what_is_noted_is_pinned() {
        let account = "+33612345678".parse().unwrap();
        let with = |handover: Option<&str>| {
            let handover = handover.map(str::to_owned);
            Approval { account, device: DeviceId(255), handover }
        };
        for (approval, note) in [
            (with(None), "+33612345678 00000000000000ff"),
            (with(Some("aGk=")), "+33612345678 00000000000000ff aGk="),
        ] {
            assert_eq!(approval.note(), note);
            assert_eq!(Approval::noted(note), Some(approval));
        }
        assert_eq!(Approval::noted("+33612345678"), None);
    }
}
