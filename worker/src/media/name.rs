//! The names of uploads: whose they are and what they are for, signed, so that a forged one wakes no object.
//!
//! `media id | length | when it was begun | tag`, as 32, 8, 8 and 32 hexadecimal digits: length in bytes,
//! time in seconds since 1970. The tag is the first half of HMAC-SHA256 under the key of the tokens over
//! what stands before it and the account. Names are in the hands of clients for a day: their form is pinned.

use base16ct::lower;
use estafette_protocol::{MediaId, Millis, PhoneNumber};
use hmac::Mac;

use crate::code::mac;
use crate::token::Keys;

/// What no token begins with, which are signed with the same key.
const PURPOSE: &[u8] = b"estafette upload ";
const TAG_BYTES: usize = 16;

/// An upload as its name tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UploadName {
    pub(crate) media: MediaId,
    /// At most 2 GiB.
    pub(crate) length: u32,
    /// To the second.
    pub(crate) begun_at: Millis,
}

impl UploadName {
    /// The name, good for this account.
    pub(crate) fn write(&self, keys: &Keys, account: PhoneNumber) -> String {
        let mut text = format!("{}{:08x}{:08x}", self.media, self.length, self.begun_at / 1000);
        let tag = signature(&keys.current, account, &text).finalize().into_bytes();
        text.push_str(&lower::encode_string(tag.get(..TAG_BYTES).unwrap_or_default()));
        text
    }

    /// The reverse; `None` for anything that is not the name of an upload of this account.
    pub(crate) fn read(text: &str, keys: &Keys, account: PhoneNumber) -> Option<Self> {
        let (signed, tag) = text.split_at_checked(48)?;
        let tag: [u8; TAG_BYTES] = lower::decode_vec(tag).ok()?.try_into().ok()?;
        let mut keys = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten();
        // Compares in constant time.
        keys.find(|key| signature(key, account, signed).verify_truncated_left(&tag).is_ok())?;
        let (media, numbers) = signed.split_at_checked(32)?;
        let (length, begun_at) = numbers.split_at_checked(8)?;
        let number = |text| u32::from_str_radix(text, 16).ok();
        Some(Self {
            media: media.parse().ok()?,
            length: number(length)?,
            begun_at: Millis::from(number(begun_at)?) * 1000,
        })
    }
}

fn signature(key: &[u8], account: PhoneNumber, signed: &str) -> impl Mac {
    mac(key, &[PURPOSE, account.to_string().as_bytes(), b" ", signed.as_bytes()])
}

#[cfg(test)]
mod tests {
    use estafette_protocol::{MediaId, PhoneNumber};

    use super::UploadName;
    use crate::token::Keys;

    const NAME: UploadName = UploadName {
        media: MediaId(0xa1b2_c3d4_e5f6_0718_293a_4b5c_6d7e_8f90),
        length: 0x8000_0000,
        begun_at: 1_800_000_000_000,
    };

    fn keys(current: &str, previous: Option<&str>) -> Keys {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Keys { current: bytes(current), previous: previous.map(bytes) }
    }

    fn alice() -> PhoneNumber {
        "+33612345678".parse().unwrap()
    }

    #[test]
    fn the_name_is_pinned() {
        let text = NAME.write(&keys("key", None), alice());
        let (signed, tag) = text.split_at(48);
        assert_eq!(signed, "a1b2c3d4e5f60718293a4b5c6d7e8f90800000006b49d200");
        assert_eq!(tag.len(), 32);
        assert_eq!(UploadName::read(&text, &keys("key", None), alice()), Some(NAME));
        assert_eq!(UploadName::read(&text, &keys("new", Some("key")), alice()), Some(NAME));
    }

    #[test]
    fn nothing_else_is_a_name() {
        let good = NAME.write(&keys("key", None), alice());
        let mut wrong = vec![
            String::new(),
            NAME.media.to_string(),
            good.to_uppercase(),
            format!("{good}00"),
            good[..78].to_owned(),
            NAME.write(&keys("kez", None), alice()),
            NAME.write(&keys("key", None), "+33612345679".parse().unwrap()),
        ];
        wrong.extend((0..good.len()).map(|at| {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            String::from_utf8(bytes).unwrap()
        }));
        for text in wrong {
            assert_eq!(UploadName::read(&text, &keys("key", None), alice()), None, "{text}");
        }
    }
}
