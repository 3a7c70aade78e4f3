//! What holds for every batch: it comes back as it went, in both encodings; what is not known does
//! not disturb what is; and nothing that a stranger sends is more than refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cbor;

use std::fmt::Debug;

use cbor::Item;
use data_encoding::BASE64;
use estafette_protocol::limits::{MESSAGE_NUMBER_MAX, WATCHED_MAX};
use estafette_protocol::{
    Ack, Activity, Batch, BatchError, BatchWriter, Body, ChatState, ClientFrame, Decoded, Deliver,
    DeviceId, Doing, Drained, Encoding, ErrorCode, ErrorFrame, Goaway, Hello, KeysChanged, Mark,
    MessageId, PhoneNumber, Presence, Receipt, Receipted, Refused, Seen, Send, Sent, ServerFrame,
    WireMessage, frame_to_cbor, frames_from_cbor,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

fn id() -> impl Strategy<Value = MessageId> {
    let numbers = prop_oneof![1..1000u64, 1..=MESSAGE_NUMBER_MAX];
    (any::<u64>(), numbers).prop_map(|(stream, number)| MessageId { stream, number })
}

fn ids() -> impl Strategy<Value = Vec<MessageId>> {
    vec(id(), 0..6)
}

fn number() -> impl Strategy<Value = PhoneNumber> {
    (1_000_000..=999_999_999_999_999u64).prop_map(|n| PhoneNumber::from_digits(n).unwrap())
}

fn device() -> impl Strategy<Value = DeviceId> {
    any::<u64>().prop_map(DeviceId)
}

fn body() -> impl Strategy<Value = Body> {
    vec(any::<u8>(), 0..80).prop_map(Body)
}

fn code() -> impl Strategy<Value = ErrorCode> {
    select(ErrorCode::ALL)
}

fn mark() -> impl Strategy<Value = Mark> {
    select(&[Mark::Delivered, Mark::Read, Mark::Played])
}

fn activity() -> impl Strategy<Value = Activity> {
    select(&[Activity::Composing, Activity::Recording, Activity::Paused])
}

fn after() -> impl Strategy<Value = Option<u64>> {
    of(0..=MESSAGE_NUMBER_MAX)
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        (id(), number(), body(), any::<bool>(), after()).prop_map(
            |(id, to, body, chained, after)| {
                ClientFrame::Send(Send { id, to, body, chained, after })
            }
        ),
        ids().prop_map(|ids| ClientFrame::Ack(Ack { ids })),
        (id(), number(), ids(), mark())
            .prop_map(|(id, to, ids, mark)| ClientFrame::Receipt(Receipt { id, to, ids, mark })),
        (any::<bool>(), vec(number(), 0..=WATCHED_MAX)).prop_map(|(available, watch)| {
            ClientFrame::Presence(Presence { available, watch })
        }),
        (number(), activity())
            .prop_map(|(to, state)| ClientFrame::ChatState(ChatState { to, state })),
    ]
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let time = || any::<u64>();
    let retry = || of(any::<u64>());
    prop_oneof![
        (number(), device(), time(), any::<u64>()).prop_map(|(account, device, now, waiting)| {
            ServerFrame::Hello(Hello { account, device, now, waiting, key_packages: None })
        }),
        (ids(), time()).prop_map(|(ids, at)| ServerFrame::Sent(Sent { ids, at })),
        (ids(), code(), retry()).prop_map(|(ids, code, retry_after)| {
            ServerFrame::Refused(Refused { ids, code, retry_after })
        }),
        (id(), number(), device(), time(), body(), after(), of(number())).prop_map(
            |(id, from, device, at, body, after, to)| {
                ServerFrame::Deliver(Deliver { id, from, device, at, body, after, to })
            }
        ),
        (id(), number(), ids(), mark(), time(), of(number())).prop_map(
            |(id, from, ids, mark, at, to)| {
                ServerFrame::Receipt(Receipted { id, from, ids, mark, at, to })
            }
        ),
        (number(), any::<bool>(), of(time())).prop_map(|(from, available, last_seen)| {
            ServerFrame::Presence(Seen { from, available, last_seen })
        }),
        (number(), activity())
            .prop_map(|(from, state)| ServerFrame::ChatState(Doing { from, state })),
        (number(), time())
            .prop_map(|(from, at)| ServerFrame::KeysChanged(KeysChanged { from, at })),
        Just(ServerFrame::Drained(Drained {})),
        (code(), retry())
            .prop_map(|(code, retry_after)| ServerFrame::Goaway(Goaway { code, retry_after })),
        (code(), of(any::<u64>()))
            .prop_map(|(code, index)| ServerFrame::Error(ErrorFrame { code, index })),
    ]
}

type Decode<F> = fn(Encoding, &WireMessage) -> Result<Batch<F>, BatchError>;

const CLIENT: Decode<ClientFrame> = Encoding::decode_client;
const SERVER: Decode<ServerFrame> = Encoding::decode_server;

fn whole<F: Clone>(frames: &[F]) -> Batch<F> {
    frames.iter().cloned().map(Decoded::Frame).collect()
}

fn text(json: impl Into<String>) -> WireMessage {
    WireMessage::Text(json.into())
}

/// JSON to a value without types, and from there to CBOR, as a program in another language would
/// do it: ids and bodies become bytes, numbers of accounts integers.
fn transcode(value: &serde_json::Value, field: &str) -> Item {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| (Item::text(key), transcode(value, key));
            Item::Map(map.iter().map(entry).collect())
        }
        Value::Array(items) => Item::Array(items.iter().map(|v| transcode(v, field)).collect()),
        Value::String(text) => match field {
            "id" | "ids" | "device" => {
                Item::Bytes(data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap())
            }
            "body" => Item::Bytes(BASE64.decode(text.as_bytes()).unwrap()),
            "to" | "from" | "account" | "watch" => Item::Unsigned(text[1..].parse().unwrap()),
            _ => Item::text(text),
        },
        Value::Number(number) => Item::Unsigned(number.as_u64().unwrap()),
        Value::Bool(value) => Item::Simple(if *value { 21 } else { 20 }),
        Value::Null => Item::Simple(22),
    }
}

fn round_trip<F>(frames: &[F], decode: Decode<F>) -> Result<(), TestCaseError>
where
    F: serde::Serialize + for<'de> serde::Deserialize<'de> + Clone + PartialEq + Debug,
{
    let expected = Ok(whole(frames));
    let json = Encoding::Json.encode(frames);
    prop_assert_eq!(&decode(Encoding::Json, &json), &expected);
    prop_assert_eq!(&decode(Encoding::Cbor, &Encoding::Cbor.encode(frames)), &expected);

    let WireMessage::Text(json) = json else { unreachable!() };
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let cbor = WireMessage::Binary(transcode(&value, "").bytes());
    prop_assert_eq!(&decode(Encoding::Cbor, &cbor), &expected);

    let stored: Vec<u8> = frames.iter().flat_map(frame_to_cbor).collect();
    prop_assert_eq!(frames_from_cbor(frames.len(), &stored), Some(frames.to_vec()));
    prop_assert_eq!(frames_from_cbor::<F>(frames.len() + 1, &stored), None);
    if let Some(fewer) = frames.len().checked_sub(1) {
        prop_assert_eq!(frames_from_cbor::<F>(fewer, &stored), None);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn client_batches_come_back(frames in vec(client_frame(), 0..6)) {
        round_trip(&frames, CLIENT)?;
    }

    #[test]
    fn server_batches_come_back(frames in vec(server_frame(), 0..6)) {
        round_trip(&frames, SERVER)?;
    }

    #[test]
    fn strangers_are_refused(bytes in vec(any::<u8>(), 0..600), json in "[\\[\\]{}\",:0-9a-z]*") {
        let bytes = WireMessage::Binary(bytes);
        let json = text(json);
        for message in [&bytes, &json] {
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let _ = CLIENT(encoding, message);
                let _ = SERVER(encoding, message);
            }
        }
        prop_assert_eq!(CLIENT(Encoding::Json, &bytes), Err(BatchError::Malformed));
        prop_assert_eq!(CLIENT(Encoding::Cbor, &json), Err(BatchError::Malformed));
    }

    /// Fields that are not known, of any shape and at any place, change nothing. Nor do items of
    /// indefinite length or heads longer than they need be.
    #[test]
    fn unknown_fields_are_ignored(
        frames in vec(client_frame(), 1..4),
        extra in cbor::items(),
        place in any::<prop::sample::Index>(),
        indefinite in any::<bool>(),
    ) {
        let value = serde_json::to_value(&frames).unwrap();
        let Item::Array(mut items) = transcode(&value, "") else { unreachable!() };
        for item in &mut items {
            let Item::Map(kinds) = item else { unreachable!() };
            let Item::Map(fields) = &mut kinds[0].1 else { unreachable!() };
            fields.insert(place.index(fields.len() + 1), (Item::text("new"), extra.clone()));
            if indefinite {
                kinds[0].1 = Item::MapIndefinite(std::mem::take(fields));
                *item = Item::MapIndefinite(std::mem::take(kinds));
            }
        }
        let batch = if indefinite { Item::ArrayIndefinite(items) } else { Item::Array(items) };
        let message = WireMessage::Binary(batch.bytes());
        prop_assert_eq!(CLIENT(Encoding::Cbor, &message), Ok(whole(&frames)));
    }

    #[test]
    fn unknown_fields_are_ignored_in_json(frames in vec(server_frame(), 1..4), extra in json()) {
        let mut value = serde_json::to_value(&frames).unwrap();
        for frame in value.as_array_mut().unwrap() {
            let fields = frame.as_object_mut().unwrap().values_mut().next().unwrap();
            fields.as_object_mut().unwrap().insert("new".to_owned(), extra.clone());
        }
        prop_assert_eq!(SERVER(Encoding::Json, &text(value.to_string())), Ok(whole(&frames)));
    }

    /// A frame of an unknown kind, and one with wrong fields, are told in their place.
    #[test]
    fn the_others_stand(
        frames in vec(client_frame(), 1..5),
        place in any::<prop::sample::Index>(),
        fields in cbor::items(),
        wrong in select(WRONG_SENDS),
    ) {
        let at = place.index(frames.len() + 1);
        let mut items: Vec<Item> = frames
            .iter()
            .map(|frame| transcode(&serde_json::to_value(frame).unwrap(), ""))
            .collect();
        items.insert(at, Item::Map(vec![(Item::text("sendx"), fields)]));
        let wrong: serde_json::Value = serde_json::from_str(wrong).unwrap();
        items.insert(at + 1, transcode(&wrong, "wrong"));
        let message = WireMessage::Binary(Item::Array(items).bytes());

        let mut expected = whole(&frames);
        expected.insert(at, Decoded::Unknown);
        expected.insert(at + 1, Decoded::Malformed(None));
        prop_assert_eq!(CLIENT(Encoding::Cbor, &message), Ok(expected));
    }

    /// A message cut anywhere is refused whole, and so is one with something after its end.
    #[test]
    fn no_part_is_a_whole(frames in vec(server_frame(), 0..4), more in any::<u8>()) {
        let WireMessage::Binary(bytes) = Encoding::Cbor.encode(&frames) else { unreachable!() };
        let WireMessage::Text(json) = Encoding::Json.encode(&frames) else { unreachable!() };
        for end in 0..bytes.len() {
            let part = WireMessage::Binary(bytes[..end].to_vec());
            prop_assert_eq!(SERVER(Encoding::Cbor, &part), Err(BatchError::Malformed));
        }
        for end in 0..json.len() {
            let part = text(&json[..end]);
            prop_assert_eq!(SERVER(Encoding::Json, &part), Err(BatchError::Malformed));
        }
        let longer = WireMessage::Binary([&bytes[..], &[more]].concat());
        prop_assert_eq!(SERVER(Encoding::Cbor, &longer), Err(BatchError::Malformed));
        let longer = text(json + "]");
        prop_assert_eq!(SERVER(Encoding::Json, &longer), Err(BatchError::Malformed));
    }

    /// A batch is split by the same rules as any well-formed CBOR: what follows an item of any
    /// shape is found.
    #[test]
    fn any_well_formed_item_is_stepped_over(items in vec(cbor::items(), 0..5)) {
        let marker = frame_to_cbor(&ClientFrame::Ack(Ack { ids: vec![] }));
        let mut batch = Vec::new();
        for item in &items {
            batch.extend(item.bytes());
            batch.extend(&marker);
        }
        let message = [&[0x80 | (2 * items.len()) as u8], &batch[..]].concat();
        let decoded = CLIENT(Encoding::Cbor, &WireMessage::Binary(message)).unwrap();
        let markers = decoded.iter().skip(1).step_by(2);
        prop_assert_eq!(markers.clone().count(), items.len());
        for marker in markers {
            prop_assert_eq!(marker, &Decoded::Frame(ClientFrame::Ack(Ack { ids: vec![] })));
        }
    }

    /// Who asks for room before each frame stays within what the other side reads.
    #[test]
    fn a_batch_with_room_is_read(
        frames in vec(server_frame(), 1..8),
        json in any::<bool>(),
        weight in 1..2000usize,
    ) {
        let encoding = if json { Encoding::Json } else { Encoding::Cbor };
        let mut writer = BatchWriter::new(encoding);
        let many = ServerFrame::Sent(Sent { ids: vec![MessageId { stream: 1, number: 1 }; weight], at: 0 });
        let mut written = 0;
        for frame in frames.iter().chain([&many]).cycle() {
            if !writer.has_room(1, frame_to_cbor(frame).len()) {
                break;
            }
            writer.push(frame);
            written += 1;
        }
        prop_assert_eq!(writer.frames(), written);
        prop_assert!(written > 0);
        prop_assert_eq!(SERVER(encoding, &writer.finish()).map(|batch| batch.len()), Ok(written));
    }

    /// The bound that has_room reckons with, on each frame alone.
    #[test]
    fn json_is_at_most_so_much_longer(said in client_frame(), told in server_frame()) {
        let json = serde_json::to_vec(&said).unwrap().len();
        prop_assert!(json < frame_to_cbor(&said).len() * 9 / 4 + 32);
        let json = serde_json::to_vec(&told).unwrap().len();
        prop_assert!(json < frame_to_cbor(&told).len() * 9 / 4 + 32);
    }
}

/// Frames of a known kind that are wrong in a field, without an id to tell.
const WRONG_SENDS: &[&str] = &[
    r#"{"send":null}"#,
    r#"{"send":[]}"#,
    r#"{"send":{}}"#,
    r#"{"ack":{"ids":7}}"#,
    r#"{"ack":{"ids":[7]}}"#,
    r#"{"receipt":{"mark":"read"}}"#,
    r#"{"presence":{}}"#,
    r#"{"presence":{"available":true,"watch":7}}"#,
    r#"{"chat_state":{"state":"composing"}}"#,
    r#"{"ack":{"ids":[]},"send":{}}"#,
    r#"{}"#,
    r#"[]"#,
    r#""send""#,
    r#"7"#,
    r#"null"#,
];

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((".*", inner), 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}
