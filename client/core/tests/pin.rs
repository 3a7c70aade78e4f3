//! What becomes of a registration PIN: the same on every device, and only for a PIN.
#![allow(missing_docs, clippy::unwrap_used)]

use data_encoding::BASE64;
use estafette_core::{PinError, PinKey};
use estafette_protocol::PhoneNumber;

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

fn derived(digits: u64, pin: &str) -> String {
    BASE64.encode(PinKey::derive(number(digits), pin).unwrap().as_bytes())
}

/// If it changes, nobody who has a PIN registers again. The vectors were made by the reference
/// implementation of Argon2; `docs/protocol.md` has the first.
#[test]
fn a_pin_makes_what_it_always_made() {
    assert_eq!(derived(33_612_345_678, "0420"), VECTORS[0]);
    assert_eq!(derived(33_612_345_678, "123456789012"), VECTORS[1]);
    assert_eq!(derived(4_915_112_345_678, "0420"), VECTORS[2]);
}

const VECTORS: [&str; 3] = [
    "OogVFy4tgA3e6CUqi4adhP4rBmcoPw1bDSUIeu1dqfI=",
    "m4syzOaeP6U6HlwTkL3et5mpMG/6xo0lylFoH79Elu0=",
    "r/lvkci14XTtRLyQDlaO11FaU3ihp9b5I/Eq5cwX+oc=",
];

#[test]
fn what_is_no_pin_makes_nothing() {
    for wrong in ["", "123", "1234567890123", "12 34", "12a4", "١٢٣٤", "-1234", "1234\n"] {
        let made = PinKey::derive(number(33_612_345_678), wrong);
        assert_eq!(made.err(), Some(PinError::Form), "{wrong:?}");
    }
    assert_eq!(PinError::Form.to_string(), "a PIN is 4 to 12 digits");
}

#[test]
fn it_is_not_shown() {
    let key = PinKey::derive(number(33_612_345_678), "0420").unwrap();
    assert_eq!(format!("{key:?}"), "PinKey");
}
