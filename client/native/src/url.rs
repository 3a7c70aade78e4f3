//! What QR codes say, and what is pasted in their place: addresses that begin with `estafette://`.
//!
//! ```text
//! estafette://link?code=<40 hexadecimal digits>&key=<base64url, 32 bytes>&name=<percent-encoded>
//! estafette://chat/+33612345678
//! ```
//!
//! Both are read from strangers. Parameters that are not known are ignored, and what is read is as
//! bounded as what is written.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use estafette_protocol::PhoneNumber;
use estafette_protocol::limits::DEVICE_NAME_BYTES_MAX;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const LINK: &str = "estafette://link";
const CHAT: &str = "estafette://chat/";
/// Digits of the code that links a device.
const CODE_DIGITS: usize = 40;
/// The longest address that is read, in bytes: three times the longest name, twice the rest.
const BYTES_MAX: usize = 512;
/// What stays as it is in a name: the unreserved characters of RFC 3986, section 2.3.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a text is none of these addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is something else.
    #[error("this is no address of that kind: it begins with {0}")]
    OtherKind(&'static str),
    /// A part is missing, damaged or there twice.
    #[error("the address has no good {0}: scan it again, or paste all of it")]
    Part(&'static str),
}

/// What a new device shows, so that a device of an account makes it another one of that account.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkUrl {
    code: String,
    identity_key: [u8; 32],
    name: String,
}

impl LinkUrl {
    /// An address for the code that the server gave.
    ///
    /// # Errors
    /// When the code has not 40 hexadecimal digits, or the name is empty, longer than
    /// [`DEVICE_NAME_BYTES_MAX`] bytes, or has characters that control a terminal.
    pub fn new(code: &str, identity_key: [u8; 32], name: &str) -> Result<Self, UrlError> {
        if code.len() != CODE_DIGITS || !code.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(UrlError::Part("code"));
        }
        let long = name.is_empty() || name.len() > DEVICE_NAME_BYTES_MAX;
        if long || name.contains(char::is_control) {
            return Err(UrlError::Part("name"));
        }
        Ok(Self { code: code.to_ascii_lowercase(), identity_key, name: name.to_owned() })
    }

    /// The code, for [`Server::approve`](crate::Server::approve).
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The Ed25519 public key of the new device.
    pub fn identity_key(&self) -> &[u8; 32] {
        &self.identity_key
    }

    /// What the new device is to be called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Shows no code and no name: they may reach a log.
impl fmt::Debug for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkUrl").finish_non_exhaustive()
    }
}

impl fmt::Display for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64URL_NOPAD.encode(&self.identity_key);
        let name = utf8_percent_encode(&self.name, NAME);
        write!(f, "{LINK}?code={}&key={key}&name={name}", self.code)
    }
}

impl FromStr for LinkUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let other = UrlError::OtherKind(LINK);
        let rest = after(text, LINK).ok_or(other)?;
        let query = rest.strip_prefix('/').unwrap_or(rest).strip_prefix('?').ok_or(other)?;
        let code = parameter(query, "code")?;
        let key = parameter(query, "key")?;
        let key = BASE64URL_NOPAD.decode(key.trim_end_matches('=').as_bytes());
        let key = key.ok().and_then(|key| key.try_into().ok()).ok_or(UrlError::Part("key"))?;
        Self::new(&code, key, &parameter(query, "name")?)
    }
}

/// What somebody shows, so that others write to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatUrl(pub PhoneNumber);

impl fmt::Display for ChatUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CHAT}{}", self.0)
    }
}

impl FromStr for ChatUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = after(text, CHAT).ok_or(UrlError::OtherKind(CHAT))?;
        let number = rest.split(['?', '#']).next().unwrap_or_default();
        let number = percent_decode_str(number.strip_suffix('/').unwrap_or(number)).decode_utf8();
        let number = number.ok().and_then(|number| number.parse().ok());
        number.map(Self).ok_or(UrlError::Part("number"))
    }
}

/// What follows a prefix that may be written in capitals.
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let text = text.trim();
    let (start, rest) = text.split_at_checked(prefix.len())?;
    (text.len() <= BYTES_MAX && start.eq_ignore_ascii_case(prefix)).then_some(rest)
}

/// The value of a parameter that is there once.
fn parameter<'a>(query: &'a str, name: &'static str) -> Result<Cow<'a, str>, UrlError> {
    let query = query.split('#').next().unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let wrong = UrlError::Part(name);
    let (Some(value), None) = (values.next(), values.next()) else { return Err(wrong) };
    // Browsers write a space as a plus sign, and a plus sign never as itself.
    if value.contains('+') {
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8().map_err(|_| wrong)?;
        return Ok(Cow::Owned(value.into_owned()));
    }
    percent_decode_str(value).decode_utf8().map_err(|_| wrong)
}
