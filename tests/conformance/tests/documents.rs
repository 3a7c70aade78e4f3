//! What the documents and golden vectors say to programs that others wrote.
#![allow(clippy::unwrap_used)]

use data_encoding::HEXLOWER;
use estafette_conformance::run;
use estafette_protocol::{Encoding, WireMessage};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A vector as `js/vectors.mjs` tells it, with the CBOR that other encoders make of it.
#[derive(Deserialize)]
struct Vector {
    name: String,
    from: String,
    json: Box<RawValue>,
    written: Vec<String>,
}

#[test]
fn others_read_the_vectors_and_are_read() {
    let said = run("vectors").unwrap();
    let vectors: Vec<Vector> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(vectors.len() > 20, "{said}");
    for Vector { name, from, json, written } in vectors {
        let json = WireMessage::Text(json.get().to_owned());
        for hex in written {
            let cbor = WireMessage::Binary(HEXLOWER.decode(hex.as_bytes()).unwrap());
            if from == "device" {
                let expected = Encoding::Json.decode_client(&json);
                assert_eq!(Encoding::Cbor.decode_client(&cbor), expected, "{name}: {hex}");
            } else {
                let expected = Encoding::Json.decode_server(&json);
                assert_eq!(Encoding::Cbor.decode_server(&cbor), expected, "{name}: {hex}");
            }
        }
    }
}

#[test]
fn the_documents_are_valid_and_their_schemas_bite() {
    println!("{}", run("schemas").unwrap());
}
