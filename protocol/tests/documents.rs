//! The documents agree with the code: each error code has its section, each example is a vector,
//! each limit is the one in force.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use estafette_protocol::{Encoding, ErrorCode, Fault, WireMessage, limits};
use serde::Deserialize;
use serde_json::Value;

const ERRORS: &str = include_str!("../../docs/errors.md");
const PROTOCOL: &str = include_str!("../../docs/protocol.md");
const OPENAPI: &str = include_str!("../../worker/api/openapi.json");
const ASYNCAPI: &str = include_str!("../../worker/api/asyncapi.json");

#[derive(Deserialize)]
struct Vector {
    json: Value,
    cbor: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("golden/frames.json")).unwrap()
}

/// What stands in the fenced blocks of a language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let parts = document.split(&fence).skip(1);
    parts.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn each_error_code_has_one_section() {
    let mut sections = ERRORS.split("\n## `").skip(1);
    for &code in ErrorCode::ALL {
        let section = sections.next().unwrap_or_default();
        let (name, text) = section.split_once("`\n").unwrap_or_default();
        assert_eq!(name, code.as_str(), "the sections are in the order of ErrorCode::ALL");
        let fault = match code.fault() {
            Fault::Caller => "caller",
            Fault::Limit => "limit",
            Fault::Server => "server",
        };
        let facts = format!("| {} | {fault} |", code.status());
        assert!(text.contains(&facts), "{name}: {facts}");
        for part in ["\n*Where:* ", "\n*What a client does:* "] {
            assert_eq!(text.matches(part).count(), 1, "{name}: {part}");
        }
    }
    assert_eq!(sections.next(), None);
}

#[test]
fn each_error_code_is_in_the_schemas() {
    let codes: Vec<Value> = ErrorCode::ALL.iter().map(|code| code.as_str().into()).collect();
    for document in [OPENAPI, ASYNCAPI] {
        let document: Value = serde_json::from_str(document).unwrap();
        assert_eq!(
            document["components"]["schemas"]["ErrorCode"]["enum"],
            Value::Array(codes.clone())
        );
    }
}

/// An operation names a code only under the status that goes with it.
#[test]
fn each_error_code_is_under_its_status() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut named = BTreeSet::new();
    for operations in document["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let path = response["$ref"].as_str().map(|path| path.trim_start_matches('#'));
                let response = path.map_or(response, |path| document.pointer(path).unwrap());
                let error = &response["content"]["application/json"]["schema"]["allOf"][1]["properties"]
                    ["error"];
                let several = error["enum"].as_array().map(Vec::as_slice).unwrap_or_default();
                for code in several.iter().chain(error.get("const")) {
                    let code: ErrorCode = serde_json::from_value(code.clone()).unwrap();
                    assert_eq!(code.status().to_string(), *status, "{}", code.as_str());
                    named.insert(code.as_str());
                }
            }
        }
    }
    assert!(named.len() > 12, "{named:?}");
}

#[test]
fn each_example_is_a_vector() {
    let vectors = vectors();
    let mut kinds = BTreeSet::new();
    for example in blocks(PROTOCOL, "json") {
        let value: Value = serde_json::from_str(example).unwrap();
        assert!(vectors.iter().any(|vector| vector.json == value), "no vector: {example}");
        let frames = value.as_array().unwrap().iter();
        kinds.extend(frames.flat_map(|frame| frame.as_object().unwrap().keys().cloned()));
    }
    let all = vectors.iter().flat_map(|vector| vector.json.as_array().unwrap());
    let all: BTreeSet<String> =
        all.flat_map(|frame| frame.as_object().unwrap().keys().cloned()).collect();
    assert_eq!(kinds, all, "each kind has an example");

    for example in blocks(PROTOCOL, "cbor") {
        let digits =
            example.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split(' '));
        let hex: String = digits.collect();
        assert!(vectors.iter().any(|vector| vector.cbor == hex), "no vector: {hex}");
    }
    assert_eq!(blocks(PROTOCOL, "cbor").len(), 1);
}

#[test]
fn the_limits_are_those_in_force() {
    let days = |time: u64| time / (24 * 60 * 60 * 1000);
    let [second, third, later] = limits::CODE_RESEND.map(|wait| wait / 1000);
    let [first, waits @ .., longest] = limits::PIN_DELAYS;
    let rows = [
        format!("| body of a message | {} bytes |", limits::BODY_BYTES_MAX),
        format!("| batch | {} bytes |", limits::BATCH_BYTES_MAX),
        format!("| frames in a batch | {} |", limits::BATCH_FRAMES_MAX),
        format!("| ids in an `ack` or `receipt` | {} |", limits::IDS_MAX),
        format!("| unacknowledged deliveries on a socket | {} |", limits::UNACKNOWLEDGED_MAX),
        format!("| messages that wait in a mailbox | {} |", limits::QUEUE_MESSAGES_MAX),
        format!("| bytes that wait in a mailbox | {} |", limits::QUEUE_BYTES_MAX),
        format!("| life of an undelivered message | {} days |", days(limits::MESSAGE_LIFE)),
        format!("| devices of an account | {} |", limits::DEVICES_MAX),
        format!("| name of a device | {} bytes |", limits::DEVICE_NAME_BYTES_MAX),
        format!("| life of a code that links a device | {} minutes |", limits::LINK_LIFE / 60_000),
        format!(
            "| a linked device that does not connect; the primary one | {} days; {} days |",
            days(limits::LINKED_DEVICE_LIFE),
            days(limits::PRIMARY_DEVICE_LIFE)
        ),
        format!("| accounts that a device watches | {} |", limits::WATCHED_MAX),
        format!("| accounts that watch an account | {} |", limits::WATCHERS_MAX),
        format!("| accounts of which an account says something | {} |", limits::PEOPLE_MAX),
        format!("| name in a profile | {} bytes |", limits::PROFILE_NAME_BYTES_MAX),
        format!("| text about the user in a profile | {} bytes |", limits::PROFILE_ABOUT_BYTES_MAX),
        format!("| what opens a picture | {} bytes |", limits::PROFILE_PICTURE_BYTES_MAX),
        format!("| picture of a profile | {} bytes |", limits::PICTURE_BYTES_MAX),
        format!("| numbers in a look-up | {} |", limits::LOOKUP_NUMBERS_MAX),
        format!(
            "| numbers that an account looks up | {} at first, then {} a day |",
            limits::LOOKUPS_FIRST,
            limits::LOOKUPS_A_DAY
        ),
        format!("| life of a `chat_state` | {} s |", limits::CHAT_STATE_LIFE / 1000),
        "| `presence` and `chat_state` of a device | 30 at once, then 2 a second |".to_owned(),
        format!(
            "| sends of a device | {} at once, then {} a second |",
            limits::SEND_BURST,
            limits::SENDS_PER_SECOND
        ),
        format!(
            "| a new account, for its first {} hours | a quarter of the sends, the daily budget, \
             the uploaded bytes and the look-ups |",
            limits::NEW_ACCOUNT / (60 * 60 * 1000)
        ),
        format!(
            "| reports of an account; messages in one; its comment | {} a day; {}; {} bytes |",
            limits::REPORTS_A_DAY,
            limits::REPORT_MESSAGES_MAX,
            limits::REPORT_COMMENT_BYTES_MAX
        ),
        format!(
            "| one-time code | {} digits, {} minutes, {} tries |",
            limits::CODE_DIGITS,
            limits::CODE_LIFE / 60_000,
            limits::CODE_TRIES_MAX
        ),
        format!("| delay before another code | {second} s, then {third} s, then {later} s |"),
        format!(
            "| registration PIN | {} to {} digits |",
            limits::PIN_DIGITS.start(),
            limits::PIN_DIGITS.end()
        ),
        format!(
            "| wait after a wrong PIN | {first} s, {waits}, then {longest} h |",
            waits =
                [("s", 1000), ("min", 60_000), ("min", 60_000), ("h", 3_600_000), ("h", 3_600_000)]
                    .into_iter()
                    .zip(waits)
                    .map(|((unit, millis), wait)| format!("{} {unit}", wait / millis))
                    .collect::<Vec<_>>()
                    .join(", "),
            longest = longest / 3_600_000
        ),
        format!("| life of a PIN once no device is there | {} days |", days(limits::PIN_LIFE)),
        "| body of an HTTP request, other than a file | 4096 bytes |".to_owned(),
        format!("| body of a report | {} bytes |", limits::REPORT_BYTES_MAX),
        "| body of an HTTP request, other than a file; of a look-up | 4096 bytes; 8192 bytes |"
            .to_owned(),
        format!("| endpoint of a push subscription | {} bytes |", limits::PUSH_ENDPOINT_BYTES_MAX),
        format!("| a push before it is sealed | {} bytes |", limits::PUSH_BYTES_MAX),
        format!("| life of a token | {} days |", days(limits::TOKEN_LIFE)),
        format!("| length of a file | {} GiB |", limits::MEDIA_BYTES_MAX >> 30),
        format!(
            "| bytes that an account uploads in a day | {} GiB |",
            limits::UPLOAD_BYTES_A_DAY >> 30
        ),
        format!("| unfinished uploads of an account | {} |", limits::UPLOADS_MAX),
        "| requests of a device for files | 600 a minute |".to_owned(),
        format!("| `Upload-Metadata` | {} bytes |", limits::UPLOAD_METADATA_BYTES_MAX),
        format!(
            "| life of a file; of an unfinished upload | {} days; {} day |",
            days(limits::MEDIA_LIFE),
            days(limits::UPLOAD_LIFE)
        ),
    ];
    let table = PROTOCOL.split("\n## Limits\n").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    for row in &rows {
        assert!(table.contains(row.as_str()), "{row}");
    }
    let documented = table.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert_eq!(documented, rows.len());
    assert_eq!(limits::MESSAGE_NUMBER_MAX, (1 << 53) - 1);
}

/// What the page tells about JavaScript's CBOR is what happens here.
#[test]
fn a_tagged_id_and_a_floating_number_are_refused() {
    let vector = vectors().swap_remove(0).cbor;
    let with = |from: &str, to: &str| {
        let changed = vector.replacen(from, to, 1);
        assert_ne!(changed, vector);
        let bytes = WireMessage::Binary(HEXLOWER.decode(changed.as_bytes()).unwrap());
        Encoding::Cbor.decode_client(&bytes).unwrap()
    };
    for (from, to) in [("50a1b2", "d84050a1b2"), ("1b000004786386804e", "fb4291e18e1a013800")] {
        assert!(matches!(with(from, to)[..], [estafette_protocol::Decoded::Malformed(_)]));
    }
}
