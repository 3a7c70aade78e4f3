//! Phone numbers, the identifiers of accounts: E.164, a plus sign and at most fifteen digits.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DIGITS_MIN: usize = 7;
const DIGITS_MAX: usize = 15;
const VALUE_MIN: u64 = 1_000_000;
const VALUE_MAX: u64 = 999_999_999_999_999;

/// A phone number in E.164 form. Fifteen digits fit in 53 bits, so it survives a trip through a
/// JavaScript number. Whether anyone answers there is for the one-time code to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

/// A text that is not a phone number in E.164 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a phone number is a plus sign, the country code and the number: 7 to 15 digits, no spaces"
)]
pub struct NumberError;

impl PhoneNumber {
    /// The digits as a number: `+33612345678` is 33612345678.
    pub fn digits(self) -> u64 {
        self.0
    }

    /// The reverse of [`PhoneNumber::digits`].
    pub fn from_digits(digits: u64) -> Result<Self, NumberError> {
        if (VALUE_MIN..=VALUE_MAX).contains(&digits) { Ok(Self(digits)) } else { Err(NumberError) }
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl FromStr for PhoneNumber {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let digits = text.strip_prefix('+').ok_or(NumberError)?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let canonical =
            (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && !digits.starts_with('0');
        if !all_digits || !canonical {
            return Err(NumberError);
        }
        Self::from_digits(digits.parse().or(Err(NumberError))?)
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = PhoneNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a phone number in E.164 form")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PhoneNumber, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, digits: u64) -> Result<PhoneNumber, E> {
                PhoneNumber::from_digits(digits).map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_u64(Visitor)
        }
    }
}
