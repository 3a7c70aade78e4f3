//! The payload of a push, byte for byte. Devices in the field read it without asking the server, so
//! what is pinned here never changes: a field is added as one that may be absent, with a line of its
//! own.
#![allow(clippy::unwrap_used)]

use data_encoding::HEXLOWER;
use estafette_protocol::limits::{BODY_BYTES_MAX, MESSAGE_NUMBER_MAX, PUSH_BYTES_MAX};
use estafette_protocol::push::{Notification, PayloadError};
use estafette_protocol::{Body, MessageId};
use proptest::prelude::*;

fn notification(body: Option<&[u8]>) -> Notification {
    Notification {
        from: "+33612345678".parse().unwrap(),
        id: MessageId { stream: 0xa1b2_c3d4_e5f6_0718, number: 7 },
        at: 1_760_000_000_000,
        waiting: 3,
        body: body.map(|body| Body(body.to_vec())),
    }
}

#[test]
fn payloads_are_as_pinned() {
    for (value, pinned) in [
        (
            notification(None),
            "01a46466726f6d1b00000007d373b14e62696450a1b2c3d4e5f6071800000000000000076261741b00000199c82cc0006777616974696e6703",
        ),
        (
            notification(Some(b"hello")),
            "01a56466726f6d1b00000007d373b14e62696450a1b2c3d4e5f6071800000000000000076261741b00000199c82cc0006777616974696e670364626f64794568656c6c6f",
        ),
    ] {
        assert_eq!(HEXLOWER.encode(&value.to_payload()), pinned);
        let payload = HEXLOWER.decode(pinned.as_bytes()).unwrap();
        assert_eq!(Notification::from_payload(&payload), Ok(value));
    }
}

/// A map of four becomes a map of five.
#[test]
fn fields_of_a_later_version_are_ignored() {
    let payload = notification(None).to_payload();
    let later = [&[1, 0xa5][..], payload.get(2..).unwrap(), b"\x63new\x81\x01"].concat();
    assert_eq!(Notification::from_payload(&later), Ok(notification(None)));
}

#[test]
fn what_is_no_payload_is_told_from_one_of_a_later_version() {
    use PayloadError::{Malformed, Version};
    let payload = notification(Some(b"hello")).to_payload();
    for cut in 1..payload.len() {
        assert_eq!(Notification::from_payload(payload.get(..cut).unwrap()), Err(Malformed));
    }
    assert_eq!(Notification::from_payload(&[]), Err(Malformed));
    assert_eq!(Notification::from_payload(&[2, 0xa0]), Err(Version(2)));
}

#[test]
fn a_body_that_does_not_fit_is_left_out_and_nothing_else() {
    let room = (0..PUSH_BYTES_MAX)
        .rev()
        .find(|&bytes| notification(Some(&vec![b'x'; bytes])).to_payload().len() > 3000)
        .unwrap();
    let fits = notification(Some(&vec![b'x'; room]));
    assert_eq!(fits.to_payload().len(), PUSH_BYTES_MAX, "to the last byte");
    assert_eq!(Notification::from_payload(&fits.to_payload()), Ok(fits));
    let payload = notification(Some(&vec![b'x'; room + 1])).to_payload();
    assert_eq!(payload, notification(None).to_payload());
}

proptest! {
    #[test]
    fn any_message_fits(
        from in 1_000_000_u64..1_000_000_000_000_000,
        stream: u64,
        number in 0..=MESSAGE_NUMBER_MAX,
        at in 0..=MESSAGE_NUMBER_MAX,
        waiting: u64,
        body in prop::option::of(0..=BODY_BYTES_MAX),
    ) {
        let notification = Notification {
            from: estafette_protocol::PhoneNumber::from_digits(from).unwrap(),
            id: MessageId { stream, number },
            at,
            waiting,
            body: body.map(|bytes| Body(vec![7; bytes])),
        };
        let payload = notification.to_payload();
        prop_assert!(payload.len() <= PUSH_BYTES_MAX);
        let read = Notification::from_payload(&payload).unwrap();
        let body = notification.body.clone().filter(|_| read.body.is_some());
        prop_assert_eq!(read, Notification { body, ..notification });
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // It must return; what it says of noise is its own affair.
        let _ = Notification::from_payload(&bytes);
    }
}
