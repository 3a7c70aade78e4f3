//! The payload of a push, byte for byte. Devices in the field read it without asking the server, so
//! what is pinned here never changes: a field is added as one that may be absent, with a line of its
//! own.
#![allow(clippy::unwrap_used)]

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
            concat!(
                "\x01",
                r#"{"from":"+33612345678","id":"a1b2c3d4e5f607180000000000000007","#,
                r#""at":1760000000000,"waiting":3}"#
            ),
        ),
        (
            notification(Some(b"hello")),
            concat!(
                "\x01",
                r#"{"from":"+33612345678","id":"a1b2c3d4e5f607180000000000000007","#,
                r#""at":1760000000000,"waiting":3,"body":"aGVsbG8="}"#
            ),
        ),
    ] {
        assert_eq!(String::from_utf8(value.to_payload()).unwrap(), pinned);
        assert_eq!(Notification::from_payload(pinned.as_bytes()), Ok(value));
    }
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let payload = notification(None).to_payload();
    let later = [b"\x01{\"new\":[1],", payload.get(2..).unwrap()].concat();
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
    assert_eq!(Notification::from_payload(b"\x02{}"), Err(Version(2)));
}

#[test]
fn a_body_that_does_not_fit_is_left_out_and_nothing_else() {
    let room = (0..PUSH_BYTES_MAX)
        .rev()
        .find(|&bytes| notification(Some(&vec![b'x'; bytes])).to_payload().len() > 3000)
        .unwrap();
    let fits = notification(Some(&vec![b'x'; room]));
    // Base64 grows by four bytes at a time.
    assert!(fits.to_payload().len() > PUSH_BYTES_MAX - 4, "to the last byte");
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
        prop_assert!(std::str::from_utf8(&payload).is_ok());
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
