//! What a stranger may send and what becomes of it, case by case: shapes at the edge of the
//! contract, on both sides of each limit. The server's answers (`docs/errors.md`) rest on these.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use data_encoding::HEXLOWER;
use estafette_protocol::http::{Audience, Person, Privacy};
use estafette_protocol::limits::{BATCH_BYTES_MAX, BATCH_FRAMES_MAX};
use estafette_protocol::{
    Ack, Batch, BatchError, ClientFrame, Decoded, Encoding, ErrorCode, MessageId, Presence,
    ServerFrame, WireMessage,
};

const ID: &str = "a1b2c3d4e5f607180000000000000007";

fn json(text: impl Into<String>) -> Result<Batch<ClientFrame>, BatchError> {
    Encoding::Json.decode_client(&WireMessage::Text(text.into()))
}

fn cbor(bytes: impl Into<Vec<u8>>) -> Result<Batch<ClientFrame>, BatchError> {
    Encoding::Cbor.decode_client(&WireMessage::Binary(bytes.into()))
}

/// Each part is text, or hexadecimal after an `x:`.
fn bytes(parts: &[&str]) -> Vec<u8> {
    let part = |part: &&str| match part.strip_prefix("x:") {
        Some(digits) => HEXLOWER.decode(digits.replace(' ', "").as_bytes()).unwrap(),
        None => part.as_bytes().to_vec(),
    };
    parts.iter().flat_map(part).collect()
}

fn id() -> MessageId {
    ID.parse().unwrap()
}

fn ack(ids: Vec<MessageId>) -> Decoded<ClientFrame> {
    Decoded::Frame(ClientFrame::Ack(Ack { ids }))
}

fn malformed() -> Result<Batch<ClientFrame>, BatchError> {
    Ok(vec![Decoded::Malformed(None)])
}

#[test]
fn a_message_that_is_no_batch_is_refused_whole() {
    for text in
        ["", " ", "{}", "7", "null", "[", "[]]", "[,]", "[{\"ack\":}]", "\u{feff}[]", "[1 2]"]
    {
        assert_eq!(json(text), Err(BatchError::Malformed), "{text}");
    }
    let wrong = [
        "",
        "x:a0",
        "x:07",
        "x:f6",
        "x:81",
        "x:9f",
        "x:8080",
        "x:9fffff",
        "x:ff",
        "x:9c",
        "x:9e",
        // A tag before the array; an item of reserved length; a break where an item is due.
        "x:d9d9f780",
        "x:811c",
        "x:811f",
        "x:81ff",
        "x:82f6ff",
        "x:81c1ff",
        "x:9fc1ff",
        // A map of indefinite length without its last value; chunks of another type.
        "x:81bf6161ff",
        "x:815f6161ff",
        "x:817f4161ff",
        "x:815f5f4161ffff",
        "x:81f81f",
        // Lengths far over what follows.
        "x:815bffffffffffffffff",
        "x:817bffffffffffffffff",
        "x:819bffffffffffffffff",
        "x:81bbffffffffffffffff",
        "x:81bb7fffffffffffffff",
        "x:81bb8000000000000000",
    ];
    for hex in wrong {
        assert_eq!(cbor(bytes(&[hex])), Err(BatchError::Malformed), "{hex}");
    }
    assert_eq!(ErrorCode::from(BatchError::Malformed), ErrorCode::Malformed);
}

#[test]
fn the_other_type_of_message_is_refused() {
    let text = WireMessage::Text("[]".to_owned());
    let binary = WireMessage::Binary(vec![0x80]);
    assert_eq!(Encoding::Json.decode_client(&text), Ok(vec![]));
    assert_eq!(Encoding::Cbor.decode_client(&binary), Ok(vec![]));
    assert_eq!(Encoding::Json.decode_client(&binary), Err(BatchError::Malformed));
    assert_eq!(Encoding::Cbor.decode_client(&text), Err(BatchError::Malformed));
}

#[test]
fn a_batch_has_at_most_256_frames() {
    let frame = ClientFrame::Ack(Ack { ids: vec![] });
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let most = encoding.encode(&vec![frame.clone(); BATCH_FRAMES_MAX]);
        assert_eq!(encoding.decode_client(&most), Ok(vec![ack(vec![]); BATCH_FRAMES_MAX]));
        let more = encoding.encode(&vec![frame.clone(); BATCH_FRAMES_MAX + 1]);
        assert_eq!(encoding.decode_client(&more), Err(BatchError::TooMany));
    }
    let indefinite = |frames| [&[0x9f][..], &vec![0xf6; frames], &[0xff]].concat();
    assert_eq!(cbor(indefinite(BATCH_FRAMES_MAX)).map(|b| b.len()), Ok(BATCH_FRAMES_MAX));
    assert_eq!(cbor(indefinite(BATCH_FRAMES_MAX + 1)), Err(BatchError::TooMany));
    assert_eq!(cbor(bytes(&["x:9bffffffffffffffff"])), Err(BatchError::TooMany));
    // Text is read to its end to know that it is JSON at all.
    let cut = format!("[{}", "7,".repeat(BATCH_FRAMES_MAX + 1));
    assert_eq!(json(cut), Err(BatchError::Malformed));
    assert_eq!(ErrorCode::from(BatchError::TooMany), ErrorCode::TooMany);
}

#[test]
fn a_batch_has_at_most_a_mebibyte() {
    let padded = |length: usize| format!("[{}]", " ".repeat(length - 2));
    assert_eq!(json(padded(BATCH_BYTES_MAX)), Ok(vec![]));
    assert_eq!(json(padded(BATCH_BYTES_MAX + 1)), Err(BatchError::TooLarge));
    let padded = |length: usize| {
        let string = [&[0x5a][..], &(length as u32 - 6).to_be_bytes()].concat();
        [&[0x81][..], &string, &vec![0; length - 6]].concat()
    };
    assert_eq!(cbor(padded(BATCH_BYTES_MAX)), malformed());
    assert_eq!(cbor(padded(BATCH_BYTES_MAX + 1)), Err(BatchError::TooLarge));
    assert_eq!(ErrorCode::from(BatchError::TooLarge), ErrorCode::TooLarge);
}

#[test]
fn a_wrong_frame_says_whose_it_is_where_it_can() {
    let named = Ok(vec![Decoded::Malformed(Some(id()))]);
    for fields in [
        r#""to":"0612","body":"""#,
        r#""to":"+33612345678""#,
        r#""to":"+33612345678","body":"?""#,
        r#""to":"+33612345678","body":"aGk""#,
        r#""to":"+33612345678","body":"","chained":1"#,
        r#""to":"+33612345678","body":"","after":-1"#,
        r#""to":"+33612345678","body":"","after":9007199254740992"#,
        r#""to":33612345678,"body":"""#,
        r#""to":"+33612345678","body":"","body":"""#,
    ] {
        assert_eq!(json(format!(r#"[{{"send":{{"id":"{ID}",{fields}}}}}]"#)), named, "{fields}");
    }
    for fields in [
        r#""to":"+33612345678","ids":[],"mark":"seen""#,
        r#""to":"+33612345678","ids":[],"mark":{"read":null}"#,
        r#""to":"+33612345678","ids":["7"],"mark":"read""#,
        r#""to":"+33612345678","ids":{},"mark":"read""#,
    ] {
        assert_eq!(json(format!(r#"[{{"receipt":{{"id":"{ID}",{fields}}}}}]"#)), named, "{fields}");
    }
    let frame = bytes(&["x:81 a1 64", "send", "x:a1 62", "id", "x:50", &format!("x:{ID}")]);
    assert_eq!(cbor(frame), named);
}

/// Presence and activities have no id: only their place in the batch says whose they were.
#[test]
fn a_wrong_presence_or_activity_is_refused_alone() {
    for fields in [
        "",
        r#""available":1"#,
        r#""available":"true""#,
        r#""watch":[]"#,
        r#""available":true,"available":true"#,
        r#""available":true,"watch":"+33612345678""#,
        r#""available":true,"watch":{"+33612345678":null}"#,
        r#""available":true,"watch":[33612345678]"#,
        r#""available":true,"watch":["0612"]"#,
        r#""available":true,"watch":[["+33612345678"]]"#,
        r#""available":true,"watch":["+33612345678",null]"#,
        r#""available":true,"watch":null"#,
        r#""available":true,"watch":[],"watch":[]"#,
    ] {
        assert_eq!(json(format!(r#"[{{"presence":{{{fields}}}}}]"#)), malformed(), "{fields}");
    }
    for fields in [
        r#""to":"+33612345678""#,
        r#""state":"composing""#,
        r#""to":"0612","state":"composing""#,
        r#""to":["+33612345678"],"state":"composing""#,
        r#""to":"+33612345678","state":"typing""#,
        r#""to":"+33612345678","state":"Composing""#,
        r#""to":"+33612345678","state":0"#,
        r#""to":"+33612345678","state":null"#,
        r#""to":"+33612345678","state":{"composing":null}"#,
        r#""to":"+33612345678","state":"paused","state":"paused""#,
    ] {
        assert_eq!(json(format!(r#"[{{"chat_state":{{{fields}}}}}]"#)), malformed(), "{fields}");
    }
    // In CBOR too an activity is a text: neither its place in the list nor bytes.
    for state in ["x:00", "x:20", "x:49 636f6d706f73696e67", "x:f6"] {
        let fields = ["x:81 a1 6a", "chat_state", "x:a2 62", "to", "x:1b 00000007d373b14e 65"];
        let frame = bytes(&[&fields[..], &["state", state]].concat());
        assert_eq!(cbor(frame), malformed(), "{state}");
    }
    let two = r#"[{"presence":{"available":7}},{"ack":{"ids":[]}}]"#;
    assert_eq!(json(two), Ok(vec![Decoded::Malformed(None), ack(vec![])]));
}

/// What is left out of a body is as for a new account. What is wrong never becomes an audience that its
/// author did not name.
#[test]
fn a_wrong_audience_is_no_other_audience() {
    let privacy = |text: &str| serde_json::from_str::<Privacy>(text).ok();
    let person = |text: &str| serde_json::from_str::<Person>(text).ok();
    assert_eq!(privacy("{}"), Some(Privacy::default()));
    let online = Privacy { online: Audience::Nobody, ..Privacy::default() };
    assert_eq!(privacy(r#"{"online":"nobody","about":"contacts"}"#), Some(online));
    for audience in [r#""Nobody""#, r#""friends""#, r#""""#, "null", "2", r#"{"nobody":1}"#] {
        assert_eq!(privacy(&format!(r#"{{"online":{audience}}}"#)), None, "{audience}");
    }
    assert_eq!(privacy(r#"{"online":"nobody","online":"everyone"}"#), None);
    assert_eq!(person(r#"{"except":[]}"#), Some(Person::default()));
    for fields in [
        r#""blocked":1"#,
        r#""blocked":null"#,
        r#""blocked":"yes""#,
        r#""except":"online""#,
        r#""except":["Online"]"#,
        r#""except":["about"]"#,
        r#""except":[0]"#,
        r#""except":null"#,
        r#""blocked":true,"blocked":false"#,
    ] {
        assert_eq!(person(&format!("{{{fields}}}")), None, "{fields}");
    }
}

/// What a list says of its length is not believed. How many a device may watch is for the server to
/// say, not for the decoder.
#[test]
fn a_watch_holds_what_it_announces() {
    let with = |watch: &[&str]| {
        let head = ["x:81 a1 68", "presence", "x:a2 69", "available", "x:f5 65", "watch"];
        cbor(bytes(&[&head[..], watch].concat()))
    };
    let number = "x:1b 00000007d373b14e";
    let watched = |times| {
        let watch = vec!["+33612345678".parse().unwrap(); times];
        let presence = Presence { available: true, watch };
        Ok(vec![Decoded::Frame(ClientFrame::Presence(presence))])
    };
    assert_eq!(with(&["x:80"]), watched(0));
    assert_eq!(with(&["x:81", number]), watched(1));
    assert_eq!(with(&["x:9f", number, number, "x:ff"]), watched(2));
    assert_eq!(with(&[&["x:98 40"][..], &[number; 64]].concat()), watched(64));
    for watch in [
        &["x:82", number][..],
        &["x:9a 00010000", number],
        &["x:9b ffffffffffffffff"],
        &["x:9b ffffffffffffffff", number],
        &["x:9f", number],
        &["x:80", number],
    ] {
        assert_eq!(with(watch), Err(BatchError::Malformed), "{watch:?}");
    }
    for watch in [
        &["x:f6"][..],
        &[number],
        &["x:40"],
        &["x:a1", number, "x:f6"],
        &["x:81 6c", "+33612345678"],
    ] {
        assert_eq!(with(watch), malformed(), "{watch:?}");
    }
}

#[test]
fn keys_given_twice_are_refused() {
    let frame = r#"{"ids":[]}"#;
    assert_eq!(json(format!(r#"[{{"ack":{frame},"ack":{frame}}}]"#)), malformed());
    assert_eq!(json(format!(r#"[{{"new":{frame},"ack":{frame}}}]"#)), malformed());
    assert_eq!(json(r#"[{"ack":{"ids":[],"ids":[]}}]"#), malformed());
    let twice = bytes(&["x:81 a1 63", "ack", "x:a2 63", "ids", "x:80 63", "ids", "x:80"]);
    assert_eq!(cbor(twice), malformed());
    let id = format!(r#""id":"{ID}""#);
    let twice = format!(r#"[{{"send":{{{id},{id},"to":"+33612345678","body":""}}}}]"#);
    assert_eq!(json(twice), malformed());
}

/// A kind is a text: neither its place in the list of kinds nor anything else.
#[test]
fn a_kind_is_a_text() {
    for key in ["x:00", "x:01", "x:20", "x:f4", "x:f6", "x:43 61636b", "x:80", "x:a1 63 61636b f6"]
    {
        let frame = bytes(&["x:81 a1", key, "x:a1 63", "ids", "x:80"]);
        assert_eq!(cbor(frame), malformed(), "{key}");
    }
    for key in ["x:00", "x:43 696473", "x:a1 63 696473 f6"] {
        let frame = bytes(&["x:81 a1 63", "ack", "x:a1", key, "x:80"]);
        assert_eq!(cbor(frame), malformed(), "{key}");
    }
    assert_eq!(json(r#"[{"0":{"ids":[]}}]"#), Ok(vec![Decoded::Unknown]));
    assert_eq!(json(r#"[{"Ack":{"ids":[]}}]"#), Ok(vec![Decoded::Unknown]));
    assert_eq!(json(r#"[{"\u0061ck":{"ids":[]}}]"#), Ok(vec![ack(vec![])]));
}

/// Fields have names, not places.
#[test]
fn fields_are_a_map() {
    assert_eq!(json(r#"[{"ack":[[]]}]"#), malformed());
    assert_eq!(cbor(bytes(&["x:81 a1 63", "ack", "x:81 80"])), malformed());
    assert_eq!(json(r#"[{"presence":[true,[]]}]"#), malformed());
    assert_eq!(json(r#"[{"chat_state":["+33612345678","paused"]}]"#), malformed());
    let drained = WireMessage::Text(r#"[{"drained":[]}]"#.to_owned());
    assert_eq!(Encoding::Json.decode_server(&drained), Ok(vec![Decoded::Malformed(None)]));
}

#[test]
fn each_encoding_has_its_own_form_of_ids() {
    assert_eq!(json(format!(r#"[{{"ack":{{"ids":["{ID}"]}}}}]"#)), Ok(vec![ack(vec![id()])]));
    for wrong in [&ID[1..], &ID.to_uppercase(), &format!("{ID}00"), ""] {
        assert_eq!(json(format!(r#"[{{"ack":{{"ids":["{wrong}"]}}}}]"#)), malformed(), "{wrong}");
    }
    let with =
        |id: &[&str]| bytes(&[&["x:81 a1 63", "ack", "x:a1 63", "ids", "x:81"][..], id].concat());
    assert_eq!(cbor(with(&["x:50", &format!("x:{ID}")])), Ok(vec![ack(vec![id()])]));
    for wrong in [&["x:78 20", ID][..], &["x:4f", &format!("x:{}", &ID[2..])], &["x:07"], &["x:80"]]
    {
        assert_eq!(cbor(with(wrong)), malformed(), "{wrong:?}");
    }
}

/// Message 0 would be one that nothing can follow, and JavaScript cannot count past 2^53.
#[test]
fn message_numbers_are_from_1_to_2_to_the_53() {
    let with = |number: u64| json(format!(r#"[{{"ack":{{"ids":["{:016x}{number:016x}"]}}}}]"#, 7));
    for right in [1, (1 << 53) - 1] {
        assert_eq!(with(right), Ok(vec![ack(vec![MessageId { stream: 7, number: right }])]));
    }
    for wrong in [0, 1 << 53, 1 << 63, u64::MAX] {
        assert_eq!(with(wrong), malformed(), "{wrong}");
    }
}

#[test]
fn text_that_is_not_utf8_spoils_its_own_frame_only() {
    let stands = bytes(&["x:a1 63", "ack", "x:a1 63", "ids", "x:80"]);
    for spoilt in [
        // As a kind; as a field; as the value of a field that is not known.
        bytes(&["x:a1 62 c328 a0"]),
        bytes(&["x:a1 63", "ack", "x:a2 62 c328 00 63", "ids", "x:80"]),
        bytes(&["x:a1 63", "ack", "x:a2 61", "x", "x:62 c328 63", "ids", "x:80"]),
    ] {
        let batch = [&[0x83], &stands[..], &spoilt, &stands].concat();
        let expected = vec![ack(vec![]), Decoded::Malformed(None), ack(vec![])];
        assert_eq!(cbor(batch), Ok(expected), "{}", HEXLOWER.encode(&spoilt));
    }
}

#[test]
fn absent_and_null_are_the_same() {
    let error = r#"[{"error":{"code":"internal"}}]"#;
    let null = r#"[{"error":{"code":"internal","index":null}}]"#;
    let read = |text: &str| Encoding::Json.decode_server(&WireMessage::Text(text.to_owned()));
    assert_eq!(read(error), read(null));
    assert!(matches!(read(null).unwrap()[..], [Decoded::Frame(ServerFrame::Error(_))]));
}

/// Items of indefinite length stand for the same, but not strings: nobody needs those in pieces.
#[test]
fn indefinite_lengths() {
    let batch = bytes(&["x:9f bf 63", "ack", "x:bf 63", "ids", "x:9f ff ff ff ff"]);
    assert_eq!(cbor(batch), Ok(vec![ack(vec![])]));
    let with =
        |id: &[&str]| bytes(&[&["x:81 a1 63", "ack", "x:a1 63", "ids", "x:81"][..], id].concat());
    assert_eq!(cbor(with(&["x:5f 50", &format!("x:{ID}"), "x:ff"])), malformed());
    let chunked_key = bytes(&["x:81 a1 7f 63", "ack", "x:ff a1 63", "ids", "x:80"]);
    assert_eq!(cbor(chunked_key), malformed());
}

/// Depth costs no stack. CBOR has a limit, because where a frame ends is known only by going
/// through it; JSON has none where fields are not known.
#[test]
fn deep_nesting() {
    let deep = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}7{}", open.repeat(deep), close.repeat(deep));
        let field = format!(r#"[{{"ack":{{"ids":[],"new":{nested}}}}}]"#);
        assert_eq!(json(field), Ok(vec![ack(vec![])]));
        assert_eq!(json(format!(r#"[{{"new":{nested}}}]"#)), Ok(vec![Decoded::Unknown]));
        assert_eq!(json(format!(r#"[{{"ack":{{"ids":{nested}}}}}]"#)), malformed());
        assert_eq!(json(format!(r#"[{{"ack":{nested}}}]"#)), malformed());
        assert_eq!(json(format!("[{nested}]")).map(|batch| batch.len()), Ok(1));
        assert_eq!(json(&nested[..nested.len() - 1]), Err(BatchError::Malformed));
    }
    let nested = |open: &[u8], levels: usize, close: &[u8]| {
        [&open.repeat(levels), &[7][..], &close.repeat(levels)].concat()
    };
    let field = |value: &[u8]| {
        let fields = bytes(&["x:81 a1 63", "ack", "x:a2 63", "ids", "x:80 63", "new"]);
        cbor([&fields, value].concat())
    };
    for (open, close) in [
        (&b"\x81"[..], &b""[..]),
        (b"\x9f", b"\xff"),
        (b"\xa1\x00", b""),
        (b"\xbf\x00", b"\xff"),
        (b"\x82\x00\x9f", b"\xff"),
    ] {
        assert_eq!(field(&nested(open, deep, close)), Err(BatchError::Malformed));
        let levels = if open.len() == 3 { 63 } else { 126 };
        assert_eq!(field(&nested(open, levels, close)), Ok(vec![ack(vec![])]));
        assert_eq!(field(&nested(open, levels + 1, close)), Err(BatchError::Malformed));
    }
    assert_eq!(field(&nested(b"\xc1", deep, b"")), Ok(vec![ack(vec![])]), "tags are no levels");
}
