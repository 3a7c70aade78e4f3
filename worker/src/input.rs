//! What comes from outside: headers and JSON bodies, checked before anything is done with them.

use base64ct::{Base64, Encoding as _};
use estafette_protocol::http::{
    CodeRequest, DeviceName, LookupRequest, NewPin, Profile, RegisterRequest, ReportRequest,
};
use estafette_protocol::{Encoding, ErrorCode, PhoneNumber, limits};
use serde::Deserialize;

use crate::code::{Code, Pin};

/// The longest body of a request, in bytes. The longest honest one has about 300.
pub(crate) const BODY_BYTES_MAX: usize = 4096;
/// The longest look-up, in bytes: 250 numbers of 15 digits in quotes make 4,760, and some write blanks.
pub(crate) const LOOKUP_BYTES_MAX: usize = 8192;
/// What a subprotocol that carries the token begins with: browsers cannot set headers on a socket.
const TOKEN_PROTOCOL: &str = "estafette.token.";

/// A registration that may be put to the account.
pub(crate) struct Registration {
    pub(crate) number: PhoneNumber,
    pub(crate) code: Code,
    pub(crate) name: String,
    pub(crate) identity_key: [u8; 32],
    pub(crate) pin: Option<Pin>,
}

/// Reads the body of `POST /v1/registration/code`.
pub(crate) fn code_request(body: &[u8]) -> Result<PhoneNumber, ErrorCode> {
    let CodeRequest { number } = json(body)?;
    number.parse().or(Err(ErrorCode::InvalidNumber))
}

/// Reads the body of `POST /v1/registration`.
pub(crate) fn registration(body: &[u8]) -> Result<Registration, ErrorCode> {
    let RegisterRequest { number, code, name, identity_key, pin } = json(body)?;
    let number = number.parse().or(Err(ErrorCode::InvalidNumber))?;
    let (name, identity_key) = new_device(name, &identity_key)?;
    let pin = pin.as_deref().map(bytes).transpose()?.map(Pin);
    let code = Code::typed(&code).ok_or(ErrorCode::WrongCode)?;
    Ok(Registration { number, code, name, identity_key, pin })
}

/// Reads the body of `PUT /v1/pin`.
pub(crate) fn new_pin(body: &[u8]) -> Result<Pin, ErrorCode> {
    let NewPin { pin } = json(body)?;
    bytes(&pin).map(Pin)
}

/// Reads what is said of a new device: its name and its key.
pub(crate) fn new_device(
    name: String,
    identity_key: &str,
) -> Result<(String, [u8; 32]), ErrorCode> {
    if name.len() > limits::DEVICE_NAME_BYTES_MAX {
        return Err(ErrorCode::TooLarge);
    }
    Ok((name, bytes(identity_key)?))
}

/// Reads what is handed over to a new device. It stays as it came.
pub(crate) fn handover(text: String) -> Result<String, ErrorCode> {
    match Base64::decode_vec(&text) {
        Ok(bytes) if bytes.is_empty() => Err(ErrorCode::Malformed),
        Ok(bytes) if bytes.len() > limits::HANDOVER_BYTES_MAX => Err(ErrorCode::TooLarge),
        Ok(_) => Ok(text),
        Err(_) => Err(ErrorCode::Malformed),
    }
}

/// 32 bytes in base64.
fn bytes(text: &str) -> Result<[u8; 32], ErrorCode> {
    let bytes = Base64::decode_vec(text).or(Err(ErrorCode::Malformed))?;
    bytes.try_into().or(Err(ErrorCode::Malformed))
}

/// Reads the body of `PATCH /v1/devices/{id}`.
pub(crate) fn device_name(body: &[u8]) -> Result<String, ErrorCode> {
    let DeviceName { name } = json(body)?;
    if name.len() > limits::DEVICE_NAME_BYTES_MAX {
        return Err(ErrorCode::TooLarge);
    }
    Ok(name)
}

/// Reads the body of `PUT /v1/profile`.
pub(crate) fn profile(body: &[u8]) -> Result<Profile, ErrorCode> {
    let profile: Profile = json(body)?;
    profile.check()?;
    Ok(profile)
}

/// Reads the body of `POST /v1/reports`, and of whom it is.
pub(crate) fn report(body: &[u8]) -> Result<(PhoneNumber, ReportRequest), ErrorCode> {
    let report: ReportRequest = json(body)?;
    let number = report.number.parse().or(Err(ErrorCode::InvalidNumber))?;
    if report.comment.len() > limits::REPORT_COMMENT_BYTES_MAX {
        return Err(ErrorCode::TooLarge);
    }
    if report.messages.len() > limits::REPORT_MESSAGES_MAX {
        return Err(ErrorCode::TooMany);
    }
    // Whoever reads it may keep numbers as JavaScript does.
    if report.messages.iter().any(|message| message.at > limits::MESSAGE_NUMBER_MAX) {
        return Err(ErrorCode::Malformed);
    }
    Ok((number, report))
}

/// Reads the body of `POST /v1/lookup`.
pub(crate) fn lookup(body: &[u8]) -> Result<Vec<PhoneNumber>, ErrorCode> {
    let LookupRequest { numbers } = json(body)?;
    if numbers.len() > limits::LOOKUP_NUMBERS_MAX {
        return Err(ErrorCode::TooMany);
    }
    let numbers = numbers.iter().map(|number| number.parse().or(Err(ErrorCode::InvalidNumber)));
    numbers.collect()
}

/// Reads a JSON body: an object. The derived code would take an array of its values as well. (As text, like
/// all JSON here: each further source is a reader of its own, 6 KB.)
pub(crate) fn json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, ErrorCode> {
    let text = str::from_utf8(body).or(Err(ErrorCode::Malformed))?;
    if !text.trim_start().starts_with('{') {
        return Err(ErrorCode::Malformed);
    }
    serde_json::from_str(text).or(Err(ErrorCode::Malformed))
}

/// The token of an `Authorization` header (RFC 6750, section 2.1).
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a `Sec-WebSocket-Protocol` header offers: the first encoding that is known, and a token.
pub(crate) fn offer(protocols: &str) -> Option<(Encoding, Option<&str>)> {
    let names = || protocols.split(',').map(str::trim);
    let encoding = names().find_map(Encoding::from_subprotocol)?;
    Some((encoding, names().find_map(|name| name.strip_prefix(TOKEN_PROTOCOL))))
}

/// What requests of one address are counted under. One subscriber has a whole /64 of IPv6.
pub(crate) fn address_key(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn register(number: &str, code: &str, name: &str, identity_key: &str) -> Option<ErrorCode> {
        let [number, code, name, identity_key] =
            [number, code, name, identity_key].map(str::to_owned);
        let request = RegisterRequest { number, code, name, identity_key, pin: None };
        registration(&serde_json::to_vec(&request).unwrap()).err()
    }

    #[test]
    fn a_registration_is_checked_before_the_account_is_asked() {
        let long = "x".repeat(limits::DEVICE_NAME_BYTES_MAX + 1);
        for (number, code, name, key, expected) in [
            ("+33612345678", "042137", "télé", KEY, None),
            ("+33612345678", "042137", "", KEY, None),
            ("33612345678", "042137", "a", KEY, Some(ErrorCode::InvalidNumber)),
            ("+33612345678", "42137", "a", KEY, Some(ErrorCode::WrongCode)),
            ("+33612345678", "042137", &long, KEY, Some(ErrorCode::TooLarge)),
            ("+33612345678", "042137", "a", "AAAA", Some(ErrorCode::Malformed)),
            ("+33612345678", "042137", "a", "", Some(ErrorCode::Malformed)),
        ] {
            assert_eq!(register(number, code, name, key), expected, "{number} {code} {name} {key}");
        }
    }

    #[test]
    fn a_pin_is_32_bytes_or_absent() {
        let read = |pin: &str| {
            let start = r#"{"number":"+33612345678","code":"042137","name":"","identity_key":"#;
            let body = format!("{start}\"{KEY}\"{pin}}}");
            registration(body.as_bytes()).map(|registration| registration.pin.is_some())
        };
        assert_eq!(read(""), Ok(false));
        assert_eq!(read(r#","pin":null"#), Ok(false));
        assert_eq!(read(&format!(r#","pin":"{KEY}""#)), Ok(true));
        for wrong in [r#","pin":"1234""#, r#","pin":"=""#, r#","pin":1234"#] {
            assert_eq!(read(wrong), Err(ErrorCode::Malformed), "{wrong}");
        }
        for wrong in [r#"{"pin":"1234"}"#, r#"{"pin":null}"#, "{}"] {
            assert_eq!(new_pin(wrong.as_bytes()).err(), Some(ErrorCode::Malformed), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_request_is_malformed() {
        for body in [&b""[..], b"{}", b"[]", b"{\"number\":1}", b"{\"number\":\"\xff\"}", b"{}{}"] {
            assert_eq!(code_request(body).err(), Some(ErrorCode::Malformed));
        }
        assert!(json::<estafette_protocol::http::Privacy>(b" {}").is_ok());
        for body in [&b"[]"[..], b" [\"nobody\"]", b"null"] {
            let read = json::<estafette_protocol::http::Privacy>(body);
            assert_eq!(read.err(), Some(ErrorCode::Malformed));
        }
        assert_eq!(code_request(br#"{"number":"+1"}"#).err(), Some(ErrorCode::InvalidNumber));
        assert!(code_request(br#"{"number":"+33612345678","more":1}"#).is_ok());
    }

    #[test]
    fn the_texts_of_a_profile_have_limits() {
        let read = |name: &str, about: &str| {
            let said = Profile { name: name.into(), about: about.into(), ..Profile::default() };
            profile(&serde_json::to_vec(&said).unwrap()).err()
        };
        let (malformed, large) = (Some(ErrorCode::Malformed), Some(ErrorCode::TooLarge));
        for (name, about, expected) in [
            ("", "", None),
            ("Zoé", "one\ntwo", None),
            (&*"n".repeat(100), &*"é".repeat(256), None),
            (&"n".repeat(101), "", large),
            (&"é".repeat(51), "", large),
            ("", &"a".repeat(513), large),
            ("one\ntwo", "", malformed),
            ("\u{1b}[31m", "", malformed),
            ("\u{85}", "", malformed),
            ("", "tab\t", malformed),
            ("", "\u{7f}", malformed),
        ] {
            assert_eq!(read(name, about), expected, "{name:?} {about:?}");
        }
        let picture = |length| {
            let picture = Some("p".repeat(length));
            profile(&serde_json::to_vec(&Profile { picture, ..Profile::default() }).unwrap()).err()
        };
        assert_eq!((picture(512), picture(513)), (None, large));
        assert_eq!(profile(br#"{"version":7,"more":1}"#).map(|said| said.version), Ok(7));
    }

    #[test]
    fn a_report_is_checked_before_anybody_is_asked() {
        let message = r#"{"id":"a1b2c3d4e5f607180000000000000007","at":1,"text":"x"}"#;
        let with = |number: &str, reason: &str, comment: usize, messages: usize| {
            let comment = "x".repeat(comment);
            let messages = vec![message; messages].join(",");
            let body = format!(
                r#"{{"number":"{number}","reason":"{reason}","comment":"{comment}","messages":[{messages}]}}"#
            );
            report(body.as_bytes()).err()
        };
        let bob = "+33612345678";
        assert_eq!(with(bob, "spam", 1000, 10), None);
        assert_eq!(with(bob, "other", 0, 0), None);
        assert_eq!(with(bob, "envy", 0, 0), Some(ErrorCode::Malformed));
        assert_eq!(with("0612345678", "spam", 0, 0), Some(ErrorCode::InvalidNumber));
        assert_eq!(with(bob, "spam", 1001, 0), Some(ErrorCode::TooLarge));
        assert_eq!(with(bob, "spam", 0, 11), Some(ErrorCode::TooMany));
        let at = |at: u64| {
            let message = format!(r#"{{"id":"{}1","at":{at},"text":""}}"#, "0".repeat(31));
            let body = format!(r#"{{"number":"{bob}","reason":"spam","messages":[{message}]}}"#);
            report(body.as_bytes()).err()
        };
        assert_eq!(at((1 << 53) - 1), None);
        assert_eq!(at(1 << 53), Some(ErrorCode::Malformed));
        assert!(report(format!(r#"{{"number":"{bob}","reason":"abuse"}}"#).as_bytes()).is_ok());
    }

    #[test]
    fn a_look_up_is_checked_before_the_account_is_asked() {
        let body =
            |numbers: &[&str]| serde_json::to_vec(&serde_json::json!({ "numbers": numbers }));
        let read = |numbers: &[&str]| lookup(&body(numbers).unwrap()).map(|read| read.len());
        let longest = "+123456789012345";
        let most = limits::LOOKUP_NUMBERS_MAX;
        assert_eq!(read(&[]), Ok(0));
        assert_eq!(read(&vec![longest; most]), Ok(most));
        assert!(body(&vec![longest; most]).unwrap().len() + 4 * most < LOOKUP_BYTES_MAX);
        assert_eq!(read(&vec![longest; most + 1]), Err(ErrorCode::TooMany));
        assert_eq!(read(&["+33612345678", "0612345678"]), Err(ErrorCode::InvalidNumber));
        for body in [&b"{}"[..], b"[]", br#"{"numbers":"+33612345678"}"#, br#"{"numbers":[1]}"#] {
            assert_eq!(lookup(body), Err(ErrorCode::Malformed));
        }
    }

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(bearer("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer("bearer  a.b.c "), Some("a.b.c"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }

    #[test]
    fn an_offer_names_an_encoding_and_maybe_a_token() {
        let cases = [
            ("estafette.v1.json", Some((Encoding::Json, None))),
            ("x, estafette.v1.cbor,estafette.v1.json", Some((Encoding::Cbor, None))),
            ("estafette.token.a.b.c, estafette.v1.json", Some((Encoding::Json, Some("a.b.c")))),
            ("estafette.token.a.b.c", None),
            ("estafette.v2.json", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(offer(header), expected, "{header}");
        }
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_address() {
        let key = address_key("2001:db8:1:2:3:4:5:6");
        assert_eq!(key, "2001:db8:1:2::/64");
        assert_eq!(key, address_key("2001:db8:1:2::"));
        assert_ne!(key, address_key("2001:db8:1:3::"));
        assert_eq!(address_key("192.0.2.1"), "192.0.2.1");
        assert_eq!(address_key("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
    }
}
