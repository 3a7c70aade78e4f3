//! What the targets start from: the golden vectors, and shapes that the contract takes or names.

use serde::Deserialize;
use serde_json::value::RawValue;

const FRAMES: &str = include_str!("../../tests/golden/frames.json");
const BODIES: &str = include_str!("../../tests/golden/http.json");

const ODD_JSON: [&str; 4] = [
    r#"[{"send":{"id":1}},{"new":{"a":[[]]}},{"ack":{"ids":[],"b":null}},7]"#,
    r#"[{"receipt":{"id":"a1b2c3d4e5f607180000000000000001","to":"+1","ids":[],"mark":"read"}}]"#,
    r#"[{"goaway":{"code":"internal","retry_after":null,"x":"\ud83d\ude00\u0000"}}]"#,
    r#"[{"error":{"index":18446744073709551615,"code":"malformed"}} , {"drained":{}} ]"#,
];

const ODD_CBOR: [&[u8]; 4] = [
    b"\x9f\xbf\x63ack\xbf\x63ids\x9f\xff\xff\xff\xff",
    b"\x82\xa1\x00\x01\xa1\x63new\xc1\xd8\x20\x9f\x7f\x61a\xff\x83\x01\x9f\xff\xf6\xff",
    b"\x81\xa1\x63ack\xa2\x63ids\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x81\xa1\x67drained\xa1\x61x\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",
];

const TEXTS: [&str; 6] = [
    "a1b2c3d4e5f607180000000000000007",
    "0f1e2d3c4b5a6978",
    "+33612345678",
    "+999999999999999",
    "estafette.v1.json",
    "\0\0\0\u{7}\u{53}\u{73}\u{31}\u{4e}",
];

#[derive(Deserialize)]
struct Vector<'a> {
    from: String,
    #[serde(borrow)]
    json: &'a RawValue,
    cbor: String,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    json: &'a RawValue,
}

/// The seeds of each target, by its name.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let vectors: Vec<Vector> = serde_json::from_str(FRAMES).expect("the vectors are JSON");
    let bodies: Vec<Body> = serde_json::from_str(BODIES).expect("the bodies are JSON");
    let json = |from: &str| -> Vec<Vec<u8>> {
        let golden = vectors.iter().filter(|vector| vector.from == from);
        golden.map(|vector| vector.json.get().into()).chain(ODD_JSON.map(Vec::from)).collect()
    };
    let golden_cbor = |from: &str| -> Vec<Vec<u8>> {
        vectors.iter().filter(|vector| vector.from == from).map(|v| hex(&v.cbor)).collect()
    };
    let cbor = |from: &str| -> Vec<Vec<u8>> {
        golden_cbor(from).into_iter().chain(ODD_CBOR.map(Vec::from)).collect()
    };
    // The head of a short array says how many frames follow; here the first byte does.
    let stored = |mut batch: Vec<u8>| {
        batch[0] -= 0x80;
        batch
    };
    vec![
        ("json_client", json("device")),
        ("cbor_client", cbor("device")),
        ("json_server", json("server")),
        ("cbor_server", cbor("server")),
        ("stored", golden_cbor("server").into_iter().map(stored).collect()),
        ("texts", TEXTS.map(Vec::from).into()),
        ("http", bodies.iter().map(|body| body.json.get().into()).collect()),
    ]
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
