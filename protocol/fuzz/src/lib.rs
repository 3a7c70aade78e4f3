//! What the fuzzer runs, one function for each decoder. `protocol/tests/fuzz.rs` includes this file
//! and drives the same functions for a bounded time with a mutator of its own.
//!
//! To run one: `cargo run --example seeds`, then `cargo +nightly fuzz run json_client`, or on stable
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run json_client`, in this directory.
//!
//! A target does more than not crash: what could be read is written again in both encodings, and
//! must be read as the same.

pub mod seeds;

use std::fmt::Debug;
use std::str::FromStr;

use estafette_protocol::http::{
    Attribute, Audience, CodeRequest, CodeSent, DeviceName, Devices, Health, Known, Link,
    LinkRequest, Linked, People, Person, Privacy, Problem, Push, PushSubscription, RegisterRequest,
    Registered, Usage,
};
use estafette_protocol::limits::BATCH_FRAMES_MAX;
use estafette_protocol::{
    Batch, BatchError, ClientFrame, Decoded, DeviceId, Encoding, ErrorCode, MessageId, PhoneNumber,
    ServerFrame, WireMessage, frame_to_cbor, frames_from_cbor,
};

/// A target.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("json_client", json_client),
    ("cbor_client", cbor_client),
    ("json_server", json_server),
    ("cbor_server", cbor_server),
    ("stored", stored),
    ("texts", texts),
    ("http", http),
];

/// What a device sent as text.
pub fn json_client(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        batch::<ClientFrame>(
            Encoding::Json,
            WireMessage::Text(text.to_owned()),
            Encoding::decode_client,
        );
    }
}

/// What a device sent as binary.
pub fn cbor_client(data: &[u8]) {
    batch::<ClientFrame>(
        Encoding::Cbor,
        WireMessage::Binary(data.to_owned()),
        Encoding::decode_client,
    );
}

/// What the server sent as text.
pub fn json_server(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        batch::<ServerFrame>(
            Encoding::Json,
            WireMessage::Text(text.to_owned()),
            Encoding::decode_server,
        );
    }
}

/// What the server sent as binary.
pub fn cbor_server(data: &[u8]) {
    batch::<ServerFrame>(
        Encoding::Cbor,
        WireMessage::Binary(data.to_owned()),
        Encoding::decode_server,
    );
}

/// Frames as a mailbox stores them. The first byte says how many.
pub fn stored(data: &[u8]) {
    let Some((&count, bytes)) = data.split_first() else { return };
    let count = usize::from(count);
    if let Some(frames) = frames_from_cbor::<ServerFrame>(count, bytes) {
        assert_eq!(frames.len(), count);
        let again: Vec<u8> = frames.iter().flat_map(frame_to_cbor).collect();
        assert_eq!(frames_from_cbor(count, &again), Some(frames));
    }
    let _ = frames_from_cbor::<ClientFrame>(count, bytes);
}

/// Ids and phone numbers in their text and number forms.
pub fn texts(data: &[u8]) {
    fn text<T: FromStr + ToString>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string(), text, "one value has one text");
        }
    }
    if let Ok(candidate) = std::str::from_utf8(data) {
        text::<MessageId>(candidate);
        text::<DeviceId>(candidate);
        text::<PhoneNumber>(candidate);
        assert!(Encoding::from_subprotocol(candidate).is_none_or(|e| e.subprotocol() == candidate));
    }
    if let Some(bytes) = data.first_chunk() {
        let digits = u64::from_be_bytes(*bytes);
        if let Ok(number) = PhoneNumber::from_digits(digits) {
            assert_eq!(number.digits(), digits);
            assert_eq!(number.to_string().parse(), Ok(number));
        }
        assert_eq!(DeviceId::from_bytes(*bytes).to_string().parse(), Ok(DeviceId(digits)));
    }
}

/// The bodies of HTTP requests and answers.
pub fn http(data: &[u8]) {
    macro_rules! bodies {
        ($($body:ty)*) => {
            $(if let Ok(body) = serde_json::from_slice::<$body>(data) {
                let again = serde_json::to_vec(&body).expect("encoding into memory");
                assert_eq!(serde_json::from_slice::<$body>(&again).ok(), Some(body));
            })*
        };
    }
    bodies!(CodeRequest CodeSent RegisterRequest Registered);
    bodies!(Devices DeviceName Link LinkRequest Linked);
    bodies!(Audience Attribute Privacy Person People Known);
    bodies!(PushSubscription Push Usage Health Problem ErrorCode);
}

type Decode<F> = fn(Encoding, &WireMessage) -> Result<Batch<F>, BatchError>;

fn batch<F>(encoding: Encoding, message: WireMessage, decode: Decode<F>)
where
    F: serde::Serialize + Clone + PartialEq + Debug,
{
    let Ok(batch) = decode(encoding, &message) else { return };
    assert!(batch.len() <= BATCH_FRAMES_MAX);
    let frames: Vec<F> = batch
        .into_iter()
        .filter_map(|decoded| match decoded {
            Decoded::Frame(frame) => Some(frame),
            Decoded::Unknown | Decoded::Malformed(_) => None,
        })
        .collect();
    let same: Batch<F> = frames.iter().cloned().map(Decoded::Frame).collect();
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let again = encoding.encode(&frames);
        match decode(encoding, &again) {
            Ok(read) => assert_eq!(read, same),
            // Base64 makes a batch longer, and so too long.
            Err(error) => assert_eq!(error, BatchError::TooLarge),
        }
    }
}
