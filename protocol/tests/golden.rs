//! Every frame and every HTTP body, byte for byte, as it is written and as it is read. Long, because each
//! has its value here.
//!
//! What breaks when one of these fails: devices in the field, which are not updated with the
//! server; messages that wait in mailboxes, which are stored as frames in CBOR; clients that others
//! wrote from `docs/protocol.md`; and the documents that the server serves about itself. So a
//! vector is never changed. A field is added as one that may be absent, with a vector of its own,
//! and the vectors without it stay as they are.
//!
//! The vectors are files (`golden/*.json`), so that programs in other languages can read them:
//! `tests/conformance` does. The values that they stand for are here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "golden/conversations.rs"]
mod conversations;

use std::collections::BTreeMap;
use std::fmt::Debug;

use data_encoding::HEXLOWER;
use estafette_protocol::http::{
    AccountLimits, Attribute, Audience, Audit, AuditAction, AuditEntry, CodeRequest, CodeSent,
    Collected, Device, DeviceName, Devices, Export, ExportedDevice, Health, Inspection, Known,
    Link, LinkRequest, Linked, Lookup, LookupRequest, Motd, MotdRequest, MoveRequest, NewPin,
    People, Person, Pin, Privacy, Problem, Profile, Push, PushKeys, PushSubscription,
    RegisterRequest, Registered, ReportReason, ReportRequest, ReportedMessage, Suspension, Usage,
    Waiting,
};
use estafette_protocol::limits::{LINK_LIFE, MESSAGE_NUMBER_MAX};
use estafette_protocol::{
    Ack, Activity, Batch, BatchError, BatchWriter, Body, ChatState, ClientFrame, Decoded, Deliver,
    DeviceId, Doing, Drained, Encoding, ErrorCode, ErrorFrame, Fault, Goaway, Hello, IdError,
    KeysChanged, Mark, MediaId, MessageId, NumberError, PhoneNumber, Presence, Receipt, Receipted,
    Refused, Seen, Send, Sent, ServerFrame, WireMessage, frame_to_cbor, frames_from_cbor,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const STREAM: u64 = 0xa1b2_c3d4_e5f6_0718;
/// 2025-10-09 08:53:20 UTC.
const AT: u64 = 1_760_000_000_000;
/// The midnight before.
const MIDNIGHT: u64 = 1_759_968_000_000;
/// The public key of RFC 8032, section 7.1, test 1.
const IDENTITY_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn id(number: u64) -> MessageId {
    MessageId { stream: STREAM, number }
}

fn alice() -> PhoneNumber {
    "+33612345678".parse().unwrap()
}

fn bob() -> PhoneNumber {
    "+4915112345678".parse().unwrap()
}

fn carol() -> PhoneNumber {
    "+34612345678".parse().unwrap()
}

fn device() -> DeviceId {
    DeviceId(0x0f1e_2d3c_4b5a_6978)
}

fn send(chained: bool, after: Option<u64>) -> ClientFrame {
    ClientFrame::Send(Send { id: id(7), to: bob(), body: Body(b"hello".to_vec()), chained, after })
}

fn read(mark: Mark) -> ClientFrame {
    ClientFrame::Receipt(Receipt { id: id(1), to: bob(), ids: vec![id(5), id(6)], mark })
}

fn presence(available: bool, watch: Vec<PhoneNumber>) -> ClientFrame {
    ClientFrame::Presence(Presence { available, watch })
}

fn chat_state(state: Activity) -> ClientFrame {
    ClientFrame::ChatState(ChatState { to: bob(), state })
}

fn delivery(after: Option<u64>, to: Option<PhoneNumber>) -> ServerFrame {
    let body = Body(b"hello".to_vec());
    ServerFrame::Deliver(Deliver {
        id: id(7),
        from: alice(),
        device: device(),
        at: AT,
        body,
        after,
        to,
    })
}

fn deliver(after: Option<u64>) -> ServerFrame {
    delivery(after, None)
}

fn receipted(mark: Mark) -> ServerFrame {
    ServerFrame::Receipt(Receipted {
        id: id(9),
        from: bob(),
        ids: vec![id(7)],
        mark,
        at: AT,
        to: None,
    })
}

/// What [`read`] is to Alice's other devices.
fn copied_receipt() -> ServerFrame {
    ServerFrame::Receipt(Receipted {
        id: id(1),
        from: alice(),
        ids: vec![id(5), id(6)],
        mark: Mark::Read,
        at: AT,
        to: Some(bob()),
    })
}

fn seen(available: bool, last_seen: Option<u64>) -> ServerFrame {
    ServerFrame::Presence(Seen { from: bob(), available, last_seen })
}

fn doing(state: Activity) -> ServerFrame {
    ServerFrame::ChatState(Doing { from: bob(), state })
}

fn client_batches() -> Vec<(&'static str, Vec<ClientFrame>)> {
    let extreme = Send {
        id: MessageId { stream: u64::MAX, number: MESSAGE_NUMBER_MAX },
        to: "+999999999999999".parse().unwrap(),
        body: Body((0..=255).collect()),
        chained: true,
        after: Some(MESSAGE_NUMBER_MAX - 1),
    };
    let least = Send {
        id: MessageId { stream: 0, number: 1 },
        to: "+1000000".parse().unwrap(),
        body: Body::default(),
        chained: false,
        after: None,
    };
    vec![
        ("send", vec![send(false, None)]),
        ("send, chained", vec![send(true, None)]),
        ("send, after", vec![send(false, Some(4))]),
        ("send, chained after", vec![send(true, Some(4))]),
        ("send, least", vec![ClientFrame::Send(least)]),
        ("send, extreme", vec![ClientFrame::Send(extreme)]),
        ("ack", vec![ClientFrame::Ack(Ack { ids: vec![id(1), id(2), id(3)] })]),
        ("ack, nothing", vec![ClientFrame::Ack(Ack { ids: vec![] })]),
        ("receipt, read", vec![read(Mark::Read)]),
        ("receipt, played", vec![read(Mark::Played)]),
        ("presence, away", vec![presence(false, vec![])]),
        ("presence, available", vec![presence(true, vec![bob(), carol()])]),
        ("chat_state, composing", vec![chat_state(Activity::Composing)]),
        ("chat_state, recording", vec![chat_state(Activity::Recording)]),
        ("chat_state, paused", vec![chat_state(Activity::Paused)]),
        ("client batch", vec![send(false, None), ClientFrame::Ack(Ack { ids: vec![id(2)] })]),
        ("client batch, empty", vec![]),
    ]
}

fn server_batches() -> Vec<(&'static str, Vec<ServerFrame>)> {
    let hello =
        Hello { account: alice(), device: device(), now: AT, waiting: 3, key_packages: None };
    let refused = |retry_after, code| {
        ServerFrame::Refused(Refused { ids: vec![id(7), id(8)], code, retry_after })
    };
    let goaway = |retry_after, code| ServerFrame::Goaway(Goaway { code, retry_after });
    let error = |index, code| ServerFrame::Error(ErrorFrame { code, index });
    vec![
        ("hello", vec![ServerFrame::Hello(hello)]),
        ("sent", vec![ServerFrame::Sent(Sent { ids: vec![id(7), id(8)], at: AT })]),
        ("refused", vec![refused(None, ErrorCode::OutOfOrder)]),
        ("refused, retry after", vec![refused(Some(1500), ErrorCode::RateLimited)]),
        ("deliver", vec![deliver(None)]),
        ("deliver, after", vec![deliver(Some(4))]),
        ("deliver, copy", vec![delivery(None, Some(bob()))]),
        ("receipt, delivered", vec![receipted(Mark::Delivered)]),
        ("receipt from server, read", vec![receipted(Mark::Read)]),
        ("receipt from server, played", vec![receipted(Mark::Played)]),
        ("receipt from server, copy", vec![copied_receipt()]),
        ("presence from server, available", vec![seen(true, None)]),
        ("presence from server, last seen", vec![seen(false, Some(AT))]),
        ("presence from server, hidden", vec![seen(false, None)]),
        ("chat_state from server, composing", vec![doing(Activity::Composing)]),
        ("chat_state from server, recording", vec![doing(Activity::Recording)]),
        ("chat_state from server, paused", vec![doing(Activity::Paused)]),
        ("keys_changed", vec![ServerFrame::KeysChanged(KeysChanged { from: bob(), at: AT })]),
        ("drained", vec![ServerFrame::Drained(Drained {})]),
        ("goaway", vec![goaway(None, ErrorCode::Replaced)]),
        ("goaway, retry after", vec![goaway(Some(60_000), ErrorCode::RateLimited)]),
        ("error", vec![error(None, ErrorCode::Malformed)]),
        ("error, index", vec![error(Some(2), ErrorCode::UnknownFrame)]),
        ("server batch", vec![deliver(None), ServerFrame::Drained(Drained {})]),
    ]
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    from: String,
    json: Box<RawValue>,
    cbor: String,
}

/// Compares one side's batches with the vectors, and returns how many there were.
fn compare<F>(
    vectors: &[Vector],
    from: &str,
    batches: Vec<(&str, Vec<F>)>,
    decode: fn(Encoding, &WireMessage) -> Result<Batch<F>, BatchError>,
) where
    F: Serialize + for<'de> Deserialize<'de> + Clone + PartialEq + Debug,
{
    let vectors: BTreeMap<_, _> =
        vectors.iter().filter(|vector| vector.from == from).map(|v| (&*v.name, v)).collect();
    assert_eq!(vectors.len(), batches.len(), "each vector has a value");
    for (name, frames) in batches {
        let text = WireMessage::Text(serde_json::to_string(&frames).unwrap());
        let WireMessage::Binary(bytes) = Encoding::Cbor.encode(&frames) else { unreachable!() };
        let hex = HEXLOWER.encode(&bytes);
        let vector = vectors.get(name).unwrap_or_else(|| {
            panic!("no vector for {name}:\n{text:?}\n{hex}");
        });
        assert_eq!(Encoding::Json.encode(&frames), text);
        assert_eq!(text, WireMessage::Text(vector.json.get().to_owned()), "{name}");
        assert_eq!(hex, vector.cbor, "{name}");

        let decoded: Batch<F> = frames.iter().cloned().map(Decoded::Frame).collect();
        let bytes = WireMessage::Binary(bytes);
        assert_eq!(decode(Encoding::Json, &text).as_ref(), Ok(&decoded), "{name}");
        assert_eq!(decode(Encoding::Cbor, &bytes).as_ref(), Ok(&decoded), "{name}");

        for (encoding, whole) in [(Encoding::Json, &text), (Encoding::Cbor, &bytes)] {
            let mut writer = BatchWriter::new(encoding);
            frames.iter().for_each(|frame| writer.push(frame));
            assert_eq!(writer.finish(), *whole, "{name}, frame by frame");
        }
        let stored: Vec<u8> = frames.iter().flat_map(frame_to_cbor).collect();
        let mut writer = BatchWriter::new(Encoding::Cbor);
        writer.push_cbor(frames.len(), &stored);
        assert_eq!(writer.finish(), bytes, "{name}, from stored frames");
        assert_eq!(frames_from_cbor(frames.len(), &stored), Some(frames), "{name}");
    }
}

#[test]
fn frames_are_as_pinned() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("golden/frames.json")).unwrap();
    let client = [client_batches(), conversations::client_batches()].concat();
    compare(&vectors, "device", client, Encoding::decode_client);
    let server = [server_batches(), conversations::server_batches()].concat();
    compare(&vectors, "server", server, Encoding::decode_server);
}

#[derive(Deserialize)]
struct Document {
    name: String,
    json: Box<RawValue>,
}

#[derive(Default)]
struct Documents(Vec<(String, String)>);

impl Documents {
    fn add<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, value: T) {
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), value);
        self.0.push((name.to_owned(), text));
    }
}

/// What travels when a device is named or linked.
fn linking(documents: &mut Documents) {
    let link = "5f0c3a9e7b1d24688ace13579bdf02468ace1357".to_owned();
    documents.add("DeviceName", DeviceName { name: "Salon".to_owned() });
    let secret = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210".to_owned();
    let shown = Link { link: link.clone(), secret, expires_at: AT + LINK_LIFE };
    assert_eq!(format!("{shown:?}"), "Link { .. }", "the secret collects a token");
    documents.add("Link", shown);
    let request = LinkRequest {
        link,
        name: "Alice's télé".to_owned(),
        identity_key: IDENTITY_KEY.to_owned(),
        handover: None,
    };
    documents.add("LinkRequest", request.clone());
    let handover = Some("aGFuZGVkIG92ZXI=".to_owned());
    documents.add("LinkRequest", LinkRequest { handover: handover.clone(), ..request });
    for handover in [None, handover] {
        let token = "eyJhbGciOiJFZERTQSJ9.e30.c2ln".to_owned();
        let (account, device, expires_at) = (alice(), device(), AT + 7_776_000_000);
        let collected = Collected { account, device, token, expires_at, handover };
        documents.add("Collected", collected);
    }
    documents.add("Linked", Linked { device: DeviceId(1) });
}

/// What an account says of who may see what, and of others.
fn people(documents: &mut Documents) {
    documents.add("Privacy", Privacy::default());
    let privacy =
        Privacy { last_seen: Audience::Nobody, online: Audience::Contacts, ..Privacy::default() };
    documents.add("Privacy", privacy);
    let contacts = Audience::Contacts;
    documents.add("Privacy", Privacy { profile: contacts, number: contacts, ..privacy });
    let earlier = r#"{"last_seen":"nobody","online":"everyone","read_marks":"everyone"}"#;
    let earlier: Privacy = serde_json::from_str(earlier).unwrap();
    assert_eq!(earlier.number, Audience::Nobody, "who says nothing of it is not found");
    let numbers = [alice(), bob()].map(|number| number.to_string()).to_vec();
    documents.add("LookupRequest", LookupRequest { numbers });
    documents.add("Lookup", Lookup { registered: vec![] });
    documents.add("Lookup", Lookup { registered: vec![bob()] });
    let [nothing, contact, blocked] = [(false, false), (true, false), (false, true)]
        .map(|(contact, blocked)| Person { contact, blocked, except: vec![] });
    assert_eq!(nothing, Person::default(), "who says this is forgotten");
    let [last_seen, online, read_marks, profile, number] = Attribute::ALL;
    let excepted = Person { except: vec![last_seen, online, read_marks], ..contact.clone() };
    let hidden = Person { except: vec![profile, number], ..nothing.clone() };
    for person in [&nothing, &contact, &blocked, &excepted, &hidden] {
        documents.add("Person", person.clone());
    }
    documents.add("People", People { people: vec![] });
    let one = Person { except: vec![Attribute::LastSeen], ..contact };
    let known = |number, person| Known { number, person };
    let people = vec![known(bob(), blocked), known(carol(), one)];
    documents.add("People", People { people: people.clone() });
    let held = Export {
        number: alice(),
        registered_at: AT,
        last_seen: Some(AT + 1000),
        suspended_at: None,
        devices: vec![ExportedDevice {
            device: Device {
                id: device(),
                name: "télé".to_owned(),
                registered_at: AT,
                connected: false,
                current: true,
                primary: true,
                seen_at: None,
            },
            identity_key: "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned(),
            push: Some("https://updates.push.services.mozilla.com/wpush/v2/gAAA".to_owned()),
        }],
        privacy: Privacy::default(),
        people,
        pin: false,
        watchers: vec![bob()],
        waiting: vec![Waiting { id: id(7), from: bob(), device: Some(device()) }],
        uploads: vec!["0123456789abcdef0123456789abcdef".to_owned()],
        usage: Usage::default(),
        profile: Profile::default(),
        picture_bytes: 0,
    };
    let nothing = Export {
        last_seen: None,
        devices: vec![],
        people: vec![],
        watchers: vec![],
        waiting: vec![],
        uploads: vec![],
        ..held.clone()
    };
    documents.add("Export", nothing.clone());
    documents.add("Export", held.clone());
    let profile = profiles(documents);
    documents.add("Export", Export { profile, picture_bytes: 1_048_832, ..nothing.clone() });
    documents.add("Export", Export { pin: true, ..held });
    documents.add("Export", Export { suspended_at: Some(AT + 2000), ..nothing });
}

/// What an account says of its user, which is returned.
fn profiles(documents: &mut Documents) -> Profile {
    documents.add("Profile", Profile::default());
    let profile = Profile {
        version: 12,
        name: "Zoé".to_owned(),
        about: "In the hills\nuntil May".to_owned(),
        picture: None,
    };
    documents.add("Profile", profile.clone());
    assert_eq!(format!("{profile:?}"), "Profile { version: 12, .. }", "no words reach a log");
    let profile = Profile { picture: Some("o2NrZXk".to_owned()), ..profile };
    documents.add("Profile", profile.clone());
    profile
}

/// What somebody tells of somebody.
fn reports(documents: &mut Documents) {
    let report = ReportRequest {
        number: bob().to_string(),
        reason: ReportReason::Spam,
        comment: String::new(),
        messages: vec![],
    };
    for reason in [ReportReason::Spam, ReportReason::Abuse, ReportReason::Other] {
        documents.add("ReportRequest", ReportRequest { reason, ..report.clone() });
    }
    let message = ReportedMessage { id: id(7), at: AT, text: "You won!".to_owned() };
    assert!(!format!("{message:?}").contains("won"), "what is written is nobody's business");
    let comment = "Third time today.".to_owned();
    documents.add("ReportRequest", ReportRequest { comment, messages: vec![message], ..report });
}

/// What an admin says and is told. The entries of the audit log are stored like that, too.
fn administration(documents: &mut Documents) {
    documents.add("Motd", Motd::default());
    documents.add("Motd", Motd { text: "Back at 5.".to_owned(), since: Some(AT) });
    documents.add("MotdRequest", MotdRequest { text: "Back at 5.".to_owned() });
    documents.add("Suspension", Suspension { reason: "spam, ticket 7".to_owned() });
    documents.add("Inspection", Inspection::default());
    let limits = AccountLimits { send_burst: 15, sends_per_second: 2, upload_bytes_a_day: 1 << 30 };
    let inspection = Inspection {
        registered_at: Some(AT),
        suspended_at: Some(AT + 1000),
        devices: 2,
        waiting: 3,
        waiting_bytes: 400,
        usage: Usage { requests: 1, spent: 150, budget: 5_000_000, ..Usage::default() },
        limits,
        new_until: Some(AT + 86_400_000),
    };
    documents.add("Inspection", inspection);
    documents.add("Audit", Audit { entries: vec![], next: None });
    let id = |number| format!("{AT:015}-{number:016x}");
    let entry = |number, action| AuditEntry {
        id: id(number),
        at: AT,
        action,
        number: Some(bob()),
        reason: None,
        address: "192.0.2.1".to_owned(),
    };
    let reason = Some("spam, ticket 7".to_owned());
    let motd = |number, action| AuditEntry { number: None, ..entry(number, action) };
    let entries = vec![
        entry(1, AuditAction::Inspect),
        AuditEntry { reason, ..entry(2, AuditAction::Suspend) },
        entry(3, AuditAction::Restore),
        motd(4, AuditAction::SetMotd),
        motd(255, AuditAction::DeleteMotd),
    ];
    documents.add("Audit", Audit { entries, next: Some(id(255)) });
}

#[test]
fn http_bodies_are_as_pinned() {
    let vectors: Vec<Document> = serde_json::from_str(include_str!("golden/http.json")).unwrap();
    let mut documents = Documents::default();
    let number = alice().to_string();
    documents.add("CodeRequest", CodeRequest { number: number.clone() });
    documents.add("CodeSent", CodeSent { resend_after: 30_000, expires_at: AT + 600_000 });
    let register = RegisterRequest {
        number,
        code: "042137".to_owned(),
        name: "Alice's télé".to_owned(),
        identity_key: IDENTITY_KEY.to_owned(),
        pin: None,
    };
    documents.add("RegisterRequest", register.clone());
    let pin = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned();
    let with_pin = RegisterRequest { pin: Some(pin.clone()), ..register };
    assert_eq!(format!("{with_pin:?}"), "RegisterRequest { .. }");
    documents.add("RegisterRequest", with_pin);
    documents.add(
        "Registered",
        Registered {
            account: alice(),
            device: device(),
            token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln".to_owned(),
            expires_at: AT + 7_776_000_000,
        },
    );
    let entry = |id, name: &str, current: bool| Device {
        id,
        name: name.to_owned(),
        registered_at: AT,
        connected: !current,
        current,
        primary: false,
        seen_at: None,
    };
    documents.add("Devices", Devices { devices: vec![] });
    documents.add(
        "Devices",
        Devices { devices: vec![entry(device(), "télé", true), entry(DeviceId(1), "", false)] },
    );
    let seen = |device| Device { seen_at: Some(MIDNIGHT), ..device };
    let primary = Device { primary: true, ..seen(entry(device(), "télé", true)) };
    let devices = vec![primary, seen(entry(DeviceId(1), "", false))];
    documents.add("Devices", Devices { devices });
    linking(&mut documents);
    let pin = NewPin { pin };
    assert_eq!(format!("{pin:?}"), "NewPin { .. }");
    documents.add("NewPin", pin);
    documents.add("Pin", Pin { set: false });
    documents.add("Pin", Pin { set: true });
    let to = MoveRequest { token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln".to_owned() };
    assert_eq!(format!("{to:?}"), "MoveRequest { .. }", "a token is a secret");
    documents.add("MoveRequest", to);
    people(&mut documents);
    reports(&mut documents);
    administration(&mut documents);
    documents.add("Usage", Usage::default());
    let usage = Usage {
        requests: 12,
        rows_written: 7,
        socket_messages: 90,
        spent: 8_580,
        budget: 1 << 40,
        ..Usage::default()
    };
    documents.add("Usage", usage);
    let media = Usage { media_writes: 3, media_reads: 2, uploaded_bytes: 16_777_216, ..usage };
    documents.add("Usage", media);
    documents.add("Usage", Usage { pushes: 2, ..Usage::default() });
    documents.add("Usage", Usage { lookups_left: 5200, ..Usage::default() });
    let endpoint = "https://updates.push.services.mozilla.com/wpush/v2/gAAA".to_owned();
    // The user agent's of RFC 8291, appendix A.
    let p256dh =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    let keys = PushKeys { p256dh: p256dh.to_owned(), auth: "BTBZMqHH6r4Tts7J_aSIgg".to_owned() };
    let subscription = PushSubscription { endpoint, keys };
    documents.add("PushSubscription", subscription.clone());
    let public_key =
        "BDd3_hVL9fZi9Ybo2UUzA284WG5FZR30_95YeZJsiApwXKpNcF1rRPF3foIiBHXRdJI2Qhumhf6_LFTeZaNndIo";
    documents.add("Push", Push { public_key: public_key.to_owned(), subscription: None });
    let subscription = Some(subscription);
    documents.add("Push", Push { public_key: public_key.to_owned(), subscription });
    let health = Health { status: "ok".to_owned(), version: "0.1.0".to_owned(), now: AT };
    documents.add("Health", health);
    let problem = |error, retry_after| Problem {
        error,
        message: "Say what to do next.".to_owned(),
        retry_after,
    };
    documents.add("Problem", problem(ErrorCode::TokenExpired, None));
    documents.add("Problem", problem(ErrorCode::RateLimited, Some(30_000)));

    let pinned: Vec<_> =
        vectors.iter().map(|vector| (vector.name.clone(), vector.json.get().to_owned())).collect();
    assert_eq!(documents.0, pinned);
}

#[test]
fn error_codes_are_as_pinned() {
    use Fault::{Caller, Limit, Server};
    let pinned = [
        ("malformed", 400, Caller),
        ("unknown_frame", 400, Caller),
        ("too_large", 413, Caller),
        ("too_many", 413, Caller),
        ("invalid_number", 400, Caller),
        ("not_found", 404, Caller),
        ("method_not_allowed", 405, Caller),
        ("gone", 410, Caller),
        ("length_required", 411, Caller),
        ("unsupported_version", 412, Caller),
        ("unsupported_media_type", 415, Caller),
        ("unsatisfiable_range", 416, Caller),
        ("wrong_offset", 409, Caller),
        ("checksum_mismatch", 460, Caller),
        ("upgrade_required", 426, Caller),
        ("token_missing", 401, Caller),
        ("token_invalid", 401, Caller),
        ("token_expired", 401, Caller),
        ("device_removed", 401, Caller),
        ("suspended", 403, Caller),
        ("wrong_code", 403, Caller),
        ("code_expired", 403, Caller),
        ("pin_required", 403, Caller),
        ("wrong_pin", 403, Caller),
        ("link_expired", 403, Caller),
        ("not_primary", 403, Caller),
        ("waiting", 409, Caller),
        ("too_many_people", 409, Caller),
        ("too_many_devices", 409, Caller),
        ("unregistered", 404, Caller),
        ("out_of_order", 409, Caller),
        ("stale_epoch", 409, Caller),
        ("stale_list", 409, Caller),
        ("no_conversation", 404, Caller),
        ("not_member", 403, Caller),
        ("not_allowed", 403, Caller),
        ("unknown_push_service", 403, Caller),
        ("rate_limited", 429, Limit),
        ("budget_exhausted", 429, Limit),
        ("quota_exhausted", 429, Limit),
        ("lookup_limit", 429, Limit),
        ("too_many_uploads", 429, Limit),
        ("log_full", 429, Limit),
        ("mailbox_full", 429, Limit),
        ("replaced", 409, Caller),
        ("sms_unavailable", 502, Server),
        ("push_unavailable", 501, Server),
        ("reports_unavailable", 503, Server),
        ("unavailable", 503, Server),
        ("internal", 500, Server),
    ];
    let codes: Vec<_> =
        ErrorCode::ALL.iter().map(|code| (code.as_str(), code.status(), code.fault())).collect();
    assert_eq!(codes, pinned);
    for &code in ErrorCode::ALL {
        let text = serde_json::to_string(&code).unwrap();
        assert_eq!(text, format!("\"{}\"", code.as_str()));
        assert_eq!(serde_json::from_str::<ErrorCode>(&text).unwrap(), code);
    }
}

#[test]
fn ids_have_one_text_and_one_binary_form() {
    let message = id(7);
    assert_eq!(message.to_string(), "a1b2c3d4e5f607180000000000000007");
    assert_eq!(message.to_string().parse(), Ok(message));
    assert_eq!(HEXLOWER.encode(&message.to_bytes()), message.to_string());
    assert_eq!(MessageId::from_bytes(message.to_bytes()), message);
    assert_eq!((id(1).previous(), id(7).previous()), (0, 6));

    assert_eq!(device().to_string(), "0f1e2d3c4b5a6978");
    assert_eq!(device().to_string().parse(), Ok(device()));
    assert_eq!(HEXLOWER.encode(&device().to_bytes()), device().to_string());
    assert_eq!(DeviceId::from_bytes(device().to_bytes()), device());

    let media = MediaId(0xa1b2_c3d4_e5f6_0718_293a_4b5c_6d7e_8f90);
    assert_eq!(media.to_string(), "a1b2c3d4e5f60718293a4b5c6d7e8f90");
    assert_eq!(media.to_string().parse(), Ok(media));
    assert_eq!(HEXLOWER.encode(&media.to_bytes()), media.to_string());
    assert_eq!(MediaId::from_bytes(media.to_bytes()), media);
    assert_eq!(format!("{media:?}"), "MediaId", "it opens the file");

    for wrong in
        ["", "0F1E2D3C4B5A6978", "0f1e2d3c4b5a697", " 0f1e2d3c4b5a6978", "0x1e2d3c4b5a6978"]
    {
        assert_eq!(wrong.parse::<DeviceId>(), Err(IdError { expected: 16 }), "{wrong}");
        assert_eq!(wrong.parse::<MessageId>(), Err(IdError { expected: 32 }), "{wrong}");
    }
}

#[test]
fn phone_numbers_have_one_text_form() {
    assert_eq!(alice().to_string(), "+33612345678");
    assert_eq!(alice().digits(), 33_612_345_678);
    assert_eq!(PhoneNumber::from_digits(33_612_345_678), Ok(alice()));
    for right in ["+1000000", "+999999999999999"] {
        assert_eq!(right.parse::<PhoneNumber>().map(|n| n.to_string()).as_deref(), Ok(right));
    }
    let wrong = [
        "",
        "+",
        "33612345678",
        "0033612345678",
        "+0612345678",
        "+123456",
        "+1234567890123456",
        "+33 612345678",
        "+33-612345678",
        "++3361234567",
        "+3361234567a",
        "+٣٣٦١٢٣٤٥٦٧٨",
        "+33612345678\n",
    ];
    for wrong in wrong {
        assert_eq!(wrong.parse::<PhoneNumber>(), Err(NumberError), "{wrong}");
    }
    for wrong in [0, 999_999, 1_000_000_000_000_000, u64::MAX] {
        assert_eq!(PhoneNumber::from_digits(wrong), Err(NumberError), "{wrong}");
    }
}

#[test]
fn subprotocols_are_as_pinned() {
    for (encoding, name) in
        [(Encoding::Json, "estafette.v1.json"), (Encoding::Cbor, "estafette.v1.cbor")]
    {
        assert_eq!(encoding.subprotocol(), name);
        assert_eq!(Encoding::from_subprotocol(name), Some(encoding));
    }
    for wrong in ["", "estafette.v1", "estafette.v1.JSON", "estafette.v2.json", "estafette.token.x"]
    {
        assert_eq!(Encoding::from_subprotocol(wrong), None, "{wrong}");
    }
}
