//! What outlives a deploy, byte for byte. Long, because the bytes are. Nothing here may change; a new
//! field may be added where a reader of the old bytes still finds all it needs, and then gets a line of
//! its own.
//!
//! What breaks otherwise:
//! - **calls between objects**: while a deploy is under way, old and new code call each other; a call
//!   that the other end cannot read is answered by nobody, and its device repeats it in vain;
//! - **what the front Worker asks of an account**: likewise, nobody can register or connect;
//! - **the attachment of a socket**: hibernated sockets wake into new code; one that it cannot read is
//!   open, and deaf;
//! - **stored rows and tables**: what waits in a mailbox is lost, or the mailbox does not wake;
//! - **the name of an object**: every account is empty.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fmt::Write;

use estafette_protocol::*;
use estafette_relay::*;
use support::*;

const DEVICE: DeviceId = DeviceId(0x0102_0304_0506_0708);
const STREAM: u64 = 0x1112_1314_1516_1718;
const MEDIA: MediaId = MediaId(0x2122_2324_2526_2728_292a_2b2c_2d2e_2f30);
const WORK: MediaWork = MediaWork { writes: 1, reads: 2, requests: 3, rows: 0 };

const PRIVACY: http::Privacy = http::Privacy {
    last_seen: http::Audience::Contacts,
    online: http::Audience::Nobody,
    read_marks: http::Audience::Everyone,
    profile: http::Audience::Everyone,
    number: http::Audience::Contacts,
};

fn profile() -> http::Profile {
    let texts = ["Alice", "Am Meer", "key"].map(str::to_owned);
    let [name, about, picture] = texts;
    http::Profile { version: 3, name, about, picture: Some(picture) }
}

fn person() -> http::Person {
    let except = vec![http::Attribute::LastSeen, http::Attribute::ReadMarks];
    http::Person { contact: true, blocked: true, except }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Compares all at once, so that a failure shows every line as it would have to be.
fn compare(pinned: &[&str], written: &[String]) {
    let written: Vec<_> = written.iter().map(String::as_str).collect();
    assert!(
        pinned == written,
        "not as pinned; written:\n{}",
        written.iter().map(|line| format!("        \"{line}\",\n")).collect::<String>()
    );
}

fn request(item: PeerItem) -> PeerRequest {
    PeerRequest { from: number(ALICE), to: number(BOB), items: vec![item] }
}

#[test]
fn calls_between_mailboxes() {
    let (id, device, at) = (id(STREAM, 1), DEVICE, NOON);
    let body = || Body(b"hi".to_vec());
    let items = [
        PeerItem::Message(PeerMessage { id, device, body: body(), chained: false, after: None }),
        PeerItem::Message(PeerMessage { id, device, body: body(), chained: true, after: Some(0) }),
        PeerItem::Stored { device, ids: vec![id], at },
        PeerItem::Delivered { device, ids: vec![id], at, stored: false },
        PeerItem::Delivered { device, ids: vec![id], at, stored: true },
        PeerItem::Receipt { id, device, ids: vec![id], mark: Mark::Read, at },
        PeerItem::Receipt { id, device, ids: vec![id], mark: Mark::Played, at },
        PeerItem::Watch { last_seen: true, online: false },
        PeerItem::Presence { available: true, last_seen: None, at },
        PeerItem::Presence { available: false, last_seen: Some(at), at },
        PeerItem::ChatState { state: Activity::Composing },
        PeerItem::KeysChanged { at },
        PeerItem::Keys { after: 0, packages: true },
        PeerItem::Keys { after: 3, packages: false },
    ];
    let pinned = PEER_REQUESTS;
    compare(pinned, &items.clone().map(|item| hex(&request(item).encode())));
    for (pinned, item) in pinned.iter().zip(items) {
        assert_eq!(PeerRequest::decode(&bytes(pinned)), Some(request(item)));
    }
}

#[test]
fn answers_between_mailboxes() {
    let refused = |code, retry_after| Verdict::Refused { code, retry_after };
    let verdicts = [
        Verdict::Stored,
        Verdict::Held,
        Verdict::Delivered,
        refused(ErrorCode::MailboxFull, None),
        refused(ErrorCode::RateLimited, Some(200)),
        Verdict::Seen { available: true, last_seen: None },
        Verdict::Seen { available: false, last_seen: Some(NOON) },
    ];
    let answer = |verdict| PeerAnswer { verdicts: vec![verdict], at: NOON, keys: vec![] };
    let pinned = PEER_ANSWERS;
    compare(pinned, &verdicts.map(|verdict| hex(&answer(verdict).encode())));
    for (pinned, verdict) in pinned.iter().zip(verdicts) {
        assert_eq!(PeerAnswer::decode(&bytes(pinned)), Some(answer(verdict)));
    }
    let package = Package { device: DEVICE, package: Body(vec![2]) };
    let entries = vec![Body(vec![1])];
    let keys = vec![Keys { query: 0, first: 4, entries, packages: vec![package] }];
    let answer = PeerAnswer { verdicts: vec![Verdict::Delivered], at: NOON, keys };
    compare(&[KEYS_ANSWER], &[hex(&answer.encode())]);
    assert_eq!(PeerAnswer::decode(&bytes(KEYS_ANSWER)), Some(answer));
}

#[test]
fn what_the_front_worker_asks_of_an_account() {
    let device = DEVICE;
    let requests = [
        AccountRequest::Code { hash: [0xab; 32] },
        AccountRequest::Register {
            number: number(ALICE),
            hash: [0xab; 32],
            device,
            name: "phone".into(),
            identity_key: [0xcd; 32],
            pin: None,
        },
        AccountRequest::Devices(device),
        AccountRequest::Remove { device, target: DeviceId(9) },
        AccountRequest::Renew(device),
        AccountRequest::Usage(device),
        AccountRequest::Upload { device, media: MEDIA, bytes: 5, open_until: None, work: WORK },
        AccountRequest::Upload { device, media: MEDIA, bytes: 5, open_until: Some(6), work: WORK },
        AccountRequest::Media { device, work: WORK },
        AccountRequest::UploadEnded(MEDIA),
        AccountRequest::Media { device, work: MediaWork { rows: 4, ..WORK } },
        AccountRequest::Subscription(device),
        AccountRequest::Subscribe { device, subscription: subscription(1) },
        AccountRequest::Unsubscribe(device),
        AccountRequest::Link {
            device,
            target: DeviceId(9),
            name: "tablet".into(),
            identity_key: [0xcd; 32],
        },
        AccountRequest::Rename { device, target: DeviceId(9), name: "tablet".into() },
        AccountRequest::Privacy(device),
        AccountRequest::SetPrivacy { device, privacy: PRIVACY },
        AccountRequest::People(device),
        AccountRequest::SetPerson { device, number: number(BOB), person: person() },
        AccountRequest::Export(device),
        AccountRequest::Delete(device),
        AccountRequest::Uploads(device),
        AccountRequest::Profile(device),
        AccountRequest::SetProfile { device, profile: profile() },
        AccountRequest::SetPicture { device, bytes: 7 },
        AccountRequest::Visit(device),
        AccountRequest::ShownProfile(number(BOB)),
        AccountRequest::ShownPicture(number(BOB)),
        AccountRequest::SetPrivacy {
            device,
            privacy: http::Privacy { profile: http::Audience::Contacts, ..PRIVACY },
        },
        AccountRequest::Register {
            number: number(ALICE),
            hash: [0xab; 32],
            device,
            name: "phone".into(),
            identity_key: [0xcd; 32],
            pin: Some(PinHash([0xef; 32])),
        },
        AccountRequest::Pin(device),
        AccountRequest::SetPin { device, pin: Some(PinHash([0xef; 32])) },
        AccountRequest::SetPin { device, pin: None },
        AccountRequest::Moving(device),
        AccountRequest::Arrive { device, moving: Body(vec![0xa0]) },
        AccountRequest::Leave(device),
        AccountRequest::Report(device),
        AccountRequest::Inspect,
        AccountRequest::Suspend,
        AccountRequest::Restore,
        AccountRequest::LookUp { device, numbers: vec![number(ALICE), number(BOB)] },
        AccountRequest::Findable(number(BOB)),
    ];
    let pinned = ACCOUNT_REQUESTS;
    compare(pinned, &requests.clone().map(|request| hex(&request.encode())));
    for (pinned, request) in pinned.iter().zip(requests) {
        assert_eq!(AccountRequest::decode(&bytes(pinned)), Some(request));
    }
}

/// What data look like is pinned where they are described, in `protocol`.
#[test]
fn what_an_account_answers() {
    let usage = http::Usage { requests: 1, rows_written: 2, ..http::Usage::default() };
    let answers = [
        AccountAnswer::CodeTaken { resend_after: 30_000, expires_at: NOON },
        AccountAnswer::Granted,
        AccountAnswer::Refused { code: ErrorCode::WrongCode, retry_after: None },
        AccountAnswer::Refused { code: ErrorCode::RateLimited, retry_after: Some(1000) },
        AccountAnswer::Subscription(None),
        AccountAnswer::Usage(usage),
        AccountAnswer::Pin(http::Pin { set: true }),
        AccountAnswer::Moving(Moving {
            privacy: 9,
            people: vec![(BOB, 3)],
            profile: profile(),
            picture_bytes: 7,
        }),
        AccountAnswer::Found(vec![number(ALICE), number(BOB)]),
    ];
    compare(ACCOUNT_ANSWERS, &answers.clone().map(|answer| hex(&answer.encode())));
    for (pinned, answer) in ACCOUNT_ANSWERS.iter().zip(answers) {
        assert_eq!(AccountReply::decode(&bytes(pinned)), Some(answer.into()));
    }
}

#[test]
fn what_the_front_worker_and_an_upload_say() {
    let (multipart, metadata) = (Some("r2".to_owned()), Some("a YQ==".to_owned()));
    let part = Part { number: 40, etag: "e".into() };
    let fragment = Fragment { name: u64::MAX, bytes: 9 };
    let create = |multipart, metadata| UploadRequest::Create {
        media: MEDIA,
        length: 1 << 31,
        expires_at: NOON,
        multipart,
        metadata,
    };
    let pieces = vec![
        Piece::Whole,
        Piece::Part(part.clone()),
        Piece::Fragment(fragment),
        Piece::Merged(fragment),
    ];
    let requests = [
        create(None, None),
        create(multipart.clone(), metadata.clone()),
        UploadRequest::Look,
        UploadRequest::Begin { offset: 1, bytes: 2 },
        UploadRequest::Commit { offset: 1, pieces },
        UploadRequest::Completed,
        UploadRequest::Terminate,
    ];
    compare(UPLOAD_REQUESTS, &requests.clone().map(|request| hex(&request.encode())));
    for (pinned, request) in UPLOAD_REQUESTS.iter().zip(requests) {
        assert_eq!(UploadRequest::decode(&bytes(pinned)), Some(request));
    }

    let standing = Standing {
        offset: 1,
        length: 2,
        expires_at: NOON,
        metadata: None,
        finish: None,
        garbage: vec![],
    };
    let finish = Finish { multipart: "r2".into(), parts: vec![part] };
    let (finish, garbage) = (Some(finish), vec![u64::MAX]);
    let full = Standing { metadata: metadata.clone(), finish, garbage, ..standing };
    let steps = vec![
        Step::Whole { bytes: 1 },
        Step::Part { number: 40, bytes: 2 },
        Step::Fragment { bytes: 3 },
        Step::Merge { bytes: 4 },
    ];
    let begun =
        Begun { multipart: multipart.clone(), fragments: vec![fragment], steps, work: WORK };
    let answers = [
        UploadAnswer::Unknown,
        UploadAnswer::Standing(standing),
        UploadAnswer::Committed(full),
        UploadAnswer::Begun { begun, metadata },
        UploadAnswer::TooLong,
        UploadAnswer::Impossible,
        UploadAnswer::Completed,
        UploadAnswer::Ended { multipart, garbage: vec![u64::MAX] },
    ];
    compare(UPLOAD_ANSWERS, &answers.clone().map(|answer| hex(&answer.encode())));
    for (pinned, answer) in UPLOAD_ANSWERS.iter().zip(answers) {
        assert_eq!(UploadAnswer::decode(&bytes(pinned)), Some(answer));
    }
}

/// An upload that a deploy meets half way: a part, a fragment, an attempt at another.
#[test]
fn the_row_of_an_upload() {
    let db = Db::new(Default::default());
    let length = 2 * limits::MEDIA_PART_BYTES;
    let create = UploadRequest::Create {
        media: MEDIA,
        length,
        expires_at: NOON,
        multipart: Some("r2".into()),
        metadata: Some("a YQ==".into()),
    };
    let part = Part { number: 1, etag: "e".into() };
    let pieces = vec![Piece::Part(part), Piece::Fragment(Fragment { name: u64::MAX, bytes: 9 })];
    let mut upload = Upload::wake(db.clone()).unwrap();
    for request in [
        create,
        UploadRequest::Begin { offset: 0, bytes: length },
        UploadRequest::Commit { offset: 0, pieces },
    ] {
        upload.on_request(NOON - 1, request).unwrap();
    }
    let rows = db.query("SELECT hex(state), version FROM upload");
    let tables = db.query("SELECT sql FROM sqlite_master");
    let [Value::Text(state), version] = &rows[0][..] else { panic!() };
    let [Value::Text(table)] = &tables[0][..] else { panic!() };
    let table = table.split_whitespace().collect::<Vec<_>>().join(" ");
    compare(UPLOAD_ROW, &[table, state.to_lowercase()]);
    assert_eq!(*version, Value::Integer(1));
}

/// What a later version may add is read over.
#[test]
fn fields_of_a_later_version_are_ignored() {
    let stored = bytes(PEER_ANSWERS[0]);
    // A map of two becomes a map of three.
    assert_eq!(stored[0], 0xa2);
    let later = [&[0xa3], &stored[1..], b"\x63new\x81\x01"].concat();
    assert_eq!(PeerAnswer::decode(&later), PeerAnswer::decode(&stored));
    assert!(PeerAnswer::decode(&stored).is_some());
}

/// And what an earlier version did not have means that nobody finds the account.
#[test]
fn privacy_of_an_earlier_version_is_read() {
    let earlier = "a16b7365745f70726976616379a2666465766963654801020304050607086770726976616379a3696c6173745f7365656e68636f6e7461637473666f6e6c696e65666e6f626f64796a726561645f6d61726b736865766572796f6e65";
    let privacy = http::Privacy { number: http::Audience::Nobody, ..PRIVACY };
    let request = AccountRequest::SetPrivacy { device: DEVICE, privacy };
    assert_eq!(AccountRequest::decode(&bytes(earlier)), Some(request));
}

/// BOB's mailbox, with a socket of device DEVICE that was given what `frames` says.
fn attachments(encoding: Encoding) -> [String; 3] {
    let mut world = World::with(&[ALICE]);
    world.register(BOB, DEVICE.0);
    let bob = world.connect_as(BOB, DEVICE.0, encoding).unwrap();
    let fresh = hex(&world.object(BOB).sockets[&bob].attachment);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, STREAM, 1, false)]);
    world.wait(1000);
    let stored = hex(&world.object(BOB).sockets[&bob].attachment);
    world.connect_as(BOB, DEVICE.0, encoding).unwrap();
    let closed = hex(&world.object(BOB).sockets[&bob].attachment);
    [fresh, stored, closed]
}

#[test]
fn the_attachment_of_a_socket() {
    let written = [attachments(Encoding::Cbor), attachments(Encoding::Json)].concat();
    compare(ATTACHMENTS, &written);
}

#[test]
fn the_attachment_of_a_socket_that_watches() {
    let mut world = World::with(&[ALICE]);
    world.register(BOB, DEVICE.0);
    let bob = world.connect(BOB, DEVICE.0);
    let presence = Presence { available: true, watch: vec![number(ALICE)] };
    world.says(BOB, bob, &[ClientFrame::Presence(presence)]);
    compare(&[WATCHING], &[hex(&world.object(BOB).sockets[&bob].attachment)]);
    world.hibernates(BOB);
    let alice = world.connect(ALICE, 1);
    let here = Presence { available: true, watch: vec![] };
    world.says(ALICE, alice, &[ClientFrame::Presence(here)]);
    let heard = world.hears(BOB, bob);
    assert!(matches!(heard.last(), Some(ServerFrame::Presence(Seen { available: true, .. }))));
}

#[test]
fn sockets_with_pinned_attachments_wake() {
    for (attachment, json) in [(ATTACHMENTS[0], false), (ATTACHMENTS[3], true)] {
        let mut world = World::with(&[ALICE]);
        world.register(BOB, DEVICE.0);
        let encoding = if json { Encoding::Json } else { Encoding::Cbor };
        let bob = world.connect_as(BOB, DEVICE.0, encoding).unwrap();
        world.object(BOB).sockets.get_mut(&bob).unwrap().attachment = bytes(attachment);
        world.hibernates(BOB);
        let alice = world.connect(ALICE, 1);
        world.hears(ALICE, alice);
        world.says(ALICE, alice, &[send(BOB, STREAM, 1, false)]);
        assert_eq!(world.hears(ALICE, alice), [], "held: it is known to be drained");
        assert_eq!(world.receives(BOB, bob), ids(STREAM, [1]));
    }
}

/// Something of a group's log is on it that its device has not said to have.
#[test]
fn the_attachment_of_a_socket_that_is_behind() {
    let mut world = asleep();
    let bob = world.connect(BOB, 1);
    world.told(BOB, group(1), vec![entry(1, ALICE, 1)], true);
    compare(&[BEHIND], &[hex(&world.object(BOB).sockets[&bob].attachment)]);
    world.object(BOB).sockets.get_mut(&bob).unwrap().attachment = bytes(BEHIND);
    world.hibernates(BOB);
    world.closes(BOB, bob);
    assert_eq!(world.pushes().len(), 1);
}

#[test]
fn what_is_stored_of_keys_and_marks() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    let last_resort = Some(Body(vec![3]));
    let packages = vec![Body(vec![1]), Body(vec![2, 2])];
    let said = PublishKeys { query: 1, packages, last_resort, anew: false };
    let entry = Body(vec![4]);
    let listed = Enlist { query: 2, place: 1, entry, anew: false };
    world.says(BOB, bob, &[ClientFrame::PublishKeys(said), ClientFrame::Enlist(listed)]);
    world.link(BOB, 2);
    world.told(BOB, group(0x0102), vec![], false);
    let texts = [
        "SELECT format('%d %s %d %s %s', slot, hex(device), remaining, hex(last_resort),
            hex(packages)) FROM keys",
        "SELECT format('%d %s', place, hex(entry)) FROM device_list",
        "SELECT format('%s %d', hex(conversation), slots) FROM mark",
    ];
    let rows = texts.map(|query| match &world.query(BOB, query)[..] {
        [row] => match &row[..] {
            [Value::Text(text)] => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    compare(KEYS_AND_MARKS, &rows);
}

fn blob(world: &mut World, column: &str, table: &str) -> String {
    let rows = world.query(BOB, &format!("SELECT {column} FROM {table}"));
    match &rows[..] {
        [row] => match &row[..] {
            [Value::Blob(blob)] => hex(blob),
            other => panic!("{other:?}"),
        },
        other => panic!("{} rows", other.len()),
    }
}

#[test]
fn stored_rows() {
    let mut world = World::with(&[ALICE]);
    world.now = NOON;
    world.register(BOB, DEVICE.0);
    let (from, device) = (number(ALICE), DEVICE);
    let body = Body(b"hi".to_vec());
    let (first, second) = (id(STREAM, 1), id(STREAM, 3));
    let message = |id, after| {
        let body = body.clone();
        PeerItem::Message(PeerMessage { id, device, body, chained: after == Some(1), after })
    };
    let (mark, at) = (Mark::Read, NOON);
    let read = PeerItem::Receipt { id: id(9, 1), device, ids: ids(7, [2]), mark, at };
    world.calls(from.digits(), BOB, vec![message(first, None), message(second, Some(1)), read]);
    let (entries, frames) =
        (blob(&mut world, "entries", "page"), blob(&mut world, "frames", "page"));

    world.unreachable = Some(ALICE);
    let bob = world.connect(BOB, DEVICE.0);
    world.says(BOB, bob, &[ack(vec![first])]);
    compare(STORED, &[entries, frames, blob(&mut world, "items", "owed")]);
}

/// The bits of `account.privacy` and `person.flags`. 0 is what an account has that never said anything.
#[test]
fn what_is_stored_of_privacy() {
    let mut world = World::with(&[BOB]);
    let device = DeviceId(1);
    let nobody = http::Audience::Nobody;
    for (privacy, bits) in [
        (http::Privacy::default(), 0),
        (PRIVACY, 0b01_00_00_10_01),
        (
            http::Privacy { read_marks: nobody, number: http::Audience::Everyone, ..PRIVACY },
            0b10_00_10_10_01,
        ),
    ] {
        world.account(BOB, AccountRequest::SetPrivacy { device, privacy });
        let stored = world.query(BOB, "SELECT privacy FROM account");
        assert_eq!(stored, [[Value::Integer(bits)]], "{privacy:?}");
        world.restarts(BOB);
        let read = world.account(BOB, AccountRequest::Privacy(device));
        assert_eq!(read, AccountAnswer::Privacy(privacy));
    }
    let all = http::Person { except: http::Attribute::ALL.to_vec(), ..person() };
    world.account(BOB, AccountRequest::SetPerson { device, number: number(ALICE), person: all });
    let stored = world.query(BOB, "SELECT flags FROM person");
    assert_eq!(stored, [[Value::Integer(0b1_1111_0000_0011)]]);
}

#[test]
fn the_tables() {
    let mut world = World::with(&[ALICE]);
    let rows = world.query(ALICE, "SELECT sql FROM sqlite_master ORDER BY name");
    let written = rows.iter().map(|row| match &row[..] {
        [Value::Text(sql)] => sql.split_whitespace().collect::<Vec<_>>().join(" "),
        other => panic!("{other:?}"),
    });
    let written: Vec<_> = written.collect();
    if cfg!(feature = "rehearsal") {
        assert_eq!(written.len(), TABLES.len(), "{written:?}");
    } else {
        compare(TABLES, &written);
    }
}

#[test]
fn the_name_of_an_object() {
    // The front Worker and every mailbox find one by this text.
    assert_eq!(number(ALICE).to_string(), "+33600000001");
}

/// A database as version 1 of the schema left it: BOB's, with two messages and a receipt that wait,
/// a row that is owed, a code and a count.
fn version_1(world: &mut World) {
    for table in TABLES_1 {
        world.query(BOB, table);
    }
    let [entries, frames, owed] = STORED else { panic!() };
    let device = hex(&DEVICE.to_bytes());
    let later = NOON + limits::MESSAGE_LIFE;
    for row in [
        "schema VALUES (1, 1)".to_owned(),
        format!("account VALUES (1, {BOB}, {NOON})"),
        format!("device VALUES (0, x'{device}', 'phone', zeroblob(32), {NOON}, 4)"),
        format!("code VALUES (1, zeroblob(32), 0, 0, 1, {NOON}, {NOON})"),
        format!("page VALUES (5, {later}, x'{entries}', x'{frames}')"),
        format!("owed VALUES (1, {ALICE}, {later}, x'{owed}')"),
        format!("ledger VALUES (1, {}, 123456, 7, 8, 9)", NOON / 86_400_000),
    ] {
        world.query(BOB, &format!("INSERT INTO {row}"));
    }
    world.restarts(BOB);
}

#[test]
fn a_database_of_version_1_wakes_and_loses_nothing() {
    let mut world = World::with(&[ALICE]);
    world.now = NOON;
    let alice = world.connect(ALICE, 1);
    version_1(&mut world);
    assert_eq!(world.mailbox(BOB).waiting(), 3);
    let usage = world.account(BOB, AccountRequest::Usage(DEVICE));
    assert!(matches!(usage, AccountAnswer::Usage(usage) if usage.socket_messages == 9));

    let bob = world.connect(BOB, DEVICE.0);
    let heard = world.hears(BOB, bob);
    assert_eq!(received(&heard), ids(STREAM, [1, 3]));
    assert_eq!(receipt_ids(&heard), ids(9, [1]));
    world.says(BOB, bob, &[ack([received(&heard), receipt_ids(&heard)].concat())]);
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
    world.hears(ALICE, alice);
    world.alarm_fires(BOB);
    world.wait(1000);
    assert_eq!(delivered(&world.hears(ALICE, alice)), ids(STREAM, [1]), "what was owed");
    assert_eq!(world.count(BOB, "owed"), 0);

    let version = if cfg!(feature = "rehearsal") { 12 } else { 11 };
    assert_eq!(world.query(BOB, "SELECT version FROM schema"), [[Value::Integer(version)]]);
    #[cfg(feature = "rehearsal")]
    assert_eq!(world.query(BOB, "SELECT rehearsed FROM device"), [[Value::Integer(0)]]);
}

#[test]
fn sockets_survive_the_migration() {
    let mut world = World::with(&[ALICE]);
    world.now = NOON;
    version_1(&mut world);
    let bob = world.connect(BOB, DEVICE.0);
    world.hears(BOB, bob);
    // As the earlier version leaves it: the socket open, the database at its version.
    #[cfg(feature = "rehearsal")]
    for undo in ["ALTER TABLE device DROP COLUMN rehearsed", "UPDATE schema SET version = 6"] {
        world.query(BOB, undo);
    }
    world.hibernates(BOB);
    assert!(world.is_open(BOB, bob));
    world.says(BOB, bob, &[ack([ids(STREAM, [1, 3]), ids(9, [1])].concat())]);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn a_database_of_a_later_version_is_read_as_it_is() {
    let mut world = World::with(&[ALICE]);
    world.now = NOON;
    version_1(&mut world);
    for later in [
        "ALTER TABLE device ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
        "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT",
        "UPDATE schema SET version = 99",
    ] {
        world.query(BOB, later);
    }
    world.restarts(BOB);
    let bob = world.connect(BOB, DEVICE.0);
    assert_eq!(world.receives(BOB, bob), ids(STREAM, [1, 3]));
    assert_eq!(world.query(BOB, "SELECT version FROM schema"), [[Value::Integer(99)]]);
    assert_eq!(world.query(BOB, "SELECT later FROM device"), [[Value::Integer(7)]]);
}

const PEER_REQUESTS: &[&str] = &[
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a1676d657373616765a362696450111213141516171800000000000000016664657669636548010203040506070864626f6479426869",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a1676d657373616765a562696450111213141516171800000000000000016664657669636548010203040506070864626f647942686967636861696e6564f565616674657200",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16673746f726564a366646576696365480102030405060708636964738150111213141516171800000000000000016261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16964656c697665726564a366646576696365480102030405060708636964738150111213141516171800000000000000016261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16964656c697665726564a466646576696365480102030405060708636964738150111213141516171800000000000000016261741b000001a3185c50006673746f726564f5",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16772656365697074a562696450111213141516171800000000000000016664657669636548010203040506070863696473815011121314151617180000000000000001646d61726b64726561646261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16772656365697074a562696450111213141516171800000000000000016664657669636548010203040506070863696473815011121314151617180000000000000001646d61726b66706c617965646261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a1657761746368a2696c6173745f7365656ef5666f6e6c696e65f4",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16870726573656e6365a269617661696c61626c65f56261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16870726573656e6365a369617661696c61626c65f4696c6173745f7365656e1b000001a3185c50006261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16a636861745f7374617465a165737461746569636f6d706f73696e67",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a16c6b6579735f6368616e676564a16261741b000001a3185c5000",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a1646b657973a265616674657200687061636b61676573f5",
    "a36466726f6d1b00000007d2b7500162746f1b00000007d2b75002656974656d7381a1646b657973a265616674657203687061636b61676573f4",
];

const PEER_ANSWERS: &[&str] = &[
    "a2687665726469637473816673746f7265646261741b000001a3185c5000",
    "a2687665726469637473816468656c646261741b000001a3185c5000",
    "a2687665726469637473816964656c6976657265646261741b000001a3185c5000",
    "a268766572646963747381a16772656675736564a264636f64656c6d61696c626f785f66756c6c6b72657472795f6166746572f66261741b000001a3185c5000",
    "a268766572646963747381a16772656675736564a264636f64656c726174655f6c696d697465646b72657472795f616674657218c86261741b000001a3185c5000",
    "a268766572646963747381a1647365656ea169617661696c61626c65f56261741b000001a3185c5000",
    "a268766572646963747381a1647365656ea269617661696c61626c65f4696c6173745f7365656e1b000001a3185c50006261741b000001a3185c5000",
];

const KEYS_ANSWER: &str = "a3687665726469637473816964656c6976657265646261741b000001a3185c5000646b65797381a4657175657279006566697273740467656e7472696573814101687061636b6167657381a266646576696365480102030405060708677061636b6167654102";

const ACCOUNT_REQUESTS: &[&str] = &[
    "a164636f6465a16468617368982018ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab",
    "a1687265676973746572a5666e756d6265721b00000007d2b750016468617368982018ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab66646576696365480102030405060708646e616d656570686f6e656c6964656e746974795f6b6579982018cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd",
    "a16764657669636573480102030405060708",
    "a16672656d6f7665a26664657669636548010203040506070866746172676574480000000000000009",
    "a16572656e6577480102030405060708",
    "a1657573616765480102030405060708",
    "a16675706c6f6164a566646576696365480102030405060708656d65646961502122232425262728292a2b2c2d2e2f30656279746573056a6f70656e5f756e74696cf664776f726ba366777269746573016572656164730268726571756573747303",
    "a16675706c6f6164a566646576696365480102030405060708656d65646961502122232425262728292a2b2c2d2e2f30656279746573056a6f70656e5f756e74696c0664776f726ba366777269746573016572656164730268726571756573747303",
    "a1656d65646961a26664657669636548010203040506070864776f726ba366777269746573016572656164730268726571756573747303",
    "a16c75706c6f61645f656e646564502122232425262728292a2b2c2d2e2f30",
    "a1656d65646961a26664657669636548010203040506070864776f726ba46677726974657301657265616473026872657175657374730364726f777304",
    "a16c737562736372697074696f6e480102030405060708",
    "a169737562736372696265a2666465766963654801020304050607086c737562736372697074696f6ea268656e64706f696e747668747470733a2f2f707573682e6578616d706c652f31646b657973a266703235366468656b65792031646175746866736563726574",
    "a16b756e737562736372696265480102030405060708",
    "a1646c696e6ba46664657669636548010203040506070866746172676574480000000000000009646e616d65667461626c65746c6964656e746974795f6b6579982018cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd",
    "a16672656e616d65a36664657669636548010203040506070866746172676574480000000000000009646e616d65667461626c6574",
    "a16770726976616379480102030405060708",
    "a16b7365745f70726976616379a2666465766963654801020304050607086770726976616379a4696c6173745f7365656e68636f6e7461637473666f6e6c696e65666e6f626f64796a726561645f6d61726b736865766572796f6e65666e756d62657268636f6e7461637473",
    "a16670656f706c65480102030405060708",
    "a16a7365745f706572736f6ea366646576696365480102030405060708666e756d6265721b00000007d2b7500266706572736f6ea367636f6e74616374f567626c6f636b6564f56665786365707482696c6173745f7365656e6a726561645f6d61726b73",
    "a1666578706f7274480102030405060708",
    "a16664656c657465480102030405060708",
    "a16775706c6f616473480102030405060708",
    "a16770726f66696c65480102030405060708",
    "a16b7365745f70726f66696c65a2666465766963654801020304050607086770726f66696c65a46776657273696f6e03646e616d6565416c6963656561626f757467416d204d6565726770696374757265636b6579",
    "a16b7365745f70696374757265a26664657669636548010203040506070865627974657307",
    "a1657669736974480102030405060708",
    "a16d73686f776e5f70726f66696c651b00000007d2b75002",
    "a16d73686f776e5f706963747572651b00000007d2b75002",
    "a16b7365745f70726976616379a2666465766963654801020304050607086770726976616379a5696c6173745f7365656e68636f6e7461637473666f6e6c696e65666e6f626f64796a726561645f6d61726b736865766572796f6e656770726f66696c6568636f6e7461637473666e756d62657268636f6e7461637473",
    "a1687265676973746572a6666e756d6265721b00000007d2b750016468617368982018ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab18ab66646576696365480102030405060708646e616d656570686f6e656c6964656e746974795f6b6579982018cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd18cd6370696e982018ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef",
    "a16370696e480102030405060708",
    "a1677365745f70696ea2666465766963654801020304050607086370696e982018ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef18ef",
    "a1677365745f70696ea2666465766963654801020304050607086370696ef6",
    "a1666d6f76696e67480102030405060708",
    "a166617272697665a266646576696365480102030405060708666d6f76696e6741a0",
    "a1656c65617665480102030405060708",
    "a1667265706f7274480102030405060708",
    "67696e7370656374",
    "6773757370656e64",
    "67726573746f7265",
    "a1676c6f6f6b5f7570a266646576696365480102030405060708676e756d62657273821b00000007d2b750011b00000007d2b75002",
    "a16866696e6461626c651b00000007d2b75002",
];

const ACCOUNT_ANSWERS: &[&str] = &[
    "a16a636f64655f74616b656ea26c726573656e645f61667465721975306a657870697265735f61741b000001a3185c5000",
    "676772616e746564",
    "a16772656675736564a264636f64656a77726f6e675f636f64656b72657472795f6166746572f6",
    "a16772656675736564a264636f64656c726174655f6c696d697465646b72657472795f61667465721903e8",
    "a16464617461446e756c6c",
    "a1646461746158487b227265717565737473223a312c22726f77735f7772697474656e223a322c22736f636b65745f6d65737361676573223a302c227370656e74223a302c22627564676574223a307d",
    "a164646174614c7b22736574223a747275657d",
    "a164646174615863a46770726976616379096670656f706c6581821b00000007d2b75002036770726f66696c65a46776657273696f6e03646e616d6565416c6963656561626f757467416d204d6565726770696374757265636b65796d706963747572655f627974657307",
    "a16464617461581f5b222b3333363030303030303031222c222b3333363030303030303032225d",
];

/// In CBOR, then in JSON: fresh, with something stored, closed by the server.
const WATCHING: &str =
    "a76173016164480102030405060708616af46174006165f56161f56177811b00000007d2b75001";
/// Behind in a group's log.
const BEHIND: &str = "a66173016164480000000000000001616af46174006165f56162f5";
const ATTACHMENTS: &[&str] = &[
    "a56173016164480102030405060708616af46174006165f5",
    "a56173016164480102030405060708616af46174016165f5",
    "a66173016164480102030405060708616af46174016165f56163f5",
    "a56173016164480102030405060708616af56174006165f5",
    "a56173016164480102030405060708616af56174016165f5",
    "a66173016164480102030405060708616af56174016165f56163f5",
];

/// `page.entries`, `page.frames`, `owed.items`.
const STORED: &[&str] = &[
    "83a4666f66667365740062696450111213141516171800000000000000016466726f6d1b00000007d2b7500166646576696365480102030405060708a4666f66667365740162696450111213141516171800000000000000036466726f6d1b00000007d2b7500166646576696365480102030405060708a4666f66667365740262696450000000000000000900000000000000016466726f6d1b00000007d2b7500166646576696365f6",
    "a16764656c69766572a562696450111213141516171800000000000000016466726f6d1b00000007d2b75001666465766963654801020304050607086261741b000001a318933e8064626f6479426869a16764656c69766572a662696450111213141516171800000000000000036466726f6d1b00000007d2b75001666465766963654801020304050607086261741b000001a318933e8064626f647942686965616674657201a16772656365697074a562696450000000000000000900000000000000016466726f6d1b00000007d2b7500163696473815000000000000000070000000000000002646d61726b64726561646261741b000001a3185c5000",
    "a16964656c697665726564a466646576696365480102030405060708636964738150111213141516171800000000000000016261741b000001a318933e806673746f726564f5",
];

/// Rows of `keys`, `device_list` and `mark`.
const KEYS_AND_MARKS: &[&str] =
    &["0 0000000000000001 2 03 824101420202", "1 04", "02000000000000000000000000000102 3"];

/// As version 1 made them: databases in the field begin with these.
const TABLES_1: &[&str] = &[
    "CREATE TABLE account ( id INTEGER PRIMARY KEY, number INTEGER NOT NULL, registered_at INTEGER NOT NULL ) STRICT",
    "CREATE TABLE code ( id INTEGER PRIMARY KEY, hash BLOB NOT NULL, expires_at INTEGER NOT NULL, tries INTEGER NOT NULL, sent INTEGER NOT NULL, first_sent_at INTEGER NOT NULL, last_sent_at INTEGER NOT NULL ) STRICT",
    "CREATE TABLE device ( slot INTEGER PRIMARY KEY, device BLOB NOT NULL, name TEXT NOT NULL, identity_key BLOB NOT NULL, registered_at INTEGER NOT NULL, cursor INTEGER NOT NULL ) STRICT",
    "CREATE TABLE ledger ( id INTEGER PRIMARY KEY, day INTEGER NOT NULL, spent INTEGER NOT NULL, requests INTEGER NOT NULL, rows_written INTEGER NOT NULL, socket_messages INTEGER NOT NULL ) STRICT",
    "CREATE TABLE owed ( id INTEGER PRIMARY KEY, peer INTEGER NOT NULL, expires_at INTEGER NOT NULL, items BLOB NOT NULL ) STRICT",
    "CREATE TABLE page ( position INTEGER PRIMARY KEY, expires_at INTEGER NOT NULL, entries BLOB NOT NULL, frames BLOB NOT NULL ) STRICT",
    "CREATE TABLE schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT",
];

/// As they are now.
const TABLES: &[&str] = &[
    "CREATE TABLE account ( id INTEGER PRIMARY KEY, number INTEGER NOT NULL, registered_at INTEGER NOT NULL , last_seen INTEGER NOT NULL DEFAULT 0, privacy INTEGER NOT NULL DEFAULT 0, looked_up INTEGER NOT NULL DEFAULT 0, lookup_day INTEGER NOT NULL DEFAULT 0, looked_up_today INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE TABLE code ( id INTEGER PRIMARY KEY, hash BLOB NOT NULL, expires_at INTEGER NOT NULL, tries INTEGER NOT NULL, sent INTEGER NOT NULL, first_sent_at INTEGER NOT NULL, last_sent_at INTEGER NOT NULL ) STRICT",
    "CREATE TABLE device ( slot INTEGER PRIMARY KEY, device BLOB NOT NULL, name TEXT NOT NULL, identity_key BLOB NOT NULL, registered_at INTEGER NOT NULL, cursor INTEGER NOT NULL , since INTEGER NOT NULL DEFAULT 0, seen_on INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE TABLE device_list (place INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT",
    "CREATE TABLE keys ( slot INTEGER PRIMARY KEY, device BLOB NOT NULL, remaining INTEGER NOT NULL, last_resort BLOB NOT NULL, packages BLOB NOT NULL ) STRICT",
    "CREATE TABLE ledger ( id INTEGER PRIMARY KEY, day INTEGER NOT NULL, spent INTEGER NOT NULL, requests INTEGER NOT NULL, rows_written INTEGER NOT NULL, socket_messages INTEGER NOT NULL , media_writes INTEGER NOT NULL DEFAULT 0, media_reads INTEGER NOT NULL DEFAULT 0, uploaded_bytes INTEGER NOT NULL DEFAULT 0, pushes INTEGER NOT NULL DEFAULT 0, reports INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE TABLE mark ( conversation BLOB PRIMARY KEY, slots INTEGER NOT NULL ) STRICT, WITHOUT ROWID",
    "CREATE TABLE noise (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
    "CREATE TABLE owed ( id INTEGER PRIMARY KEY, peer INTEGER NOT NULL, expires_at INTEGER NOT NULL, items BLOB NOT NULL ) STRICT",
    "CREATE TABLE page ( position INTEGER PRIMARY KEY, expires_at INTEGER NOT NULL, entries BLOB NOT NULL, frames BLOB NOT NULL ) STRICT",
    "CREATE TABLE person (number INTEGER PRIMARY KEY, flags INTEGER NOT NULL) STRICT",
    "CREATE TABLE pin ( id INTEGER PRIMARY KEY, hash BLOB NOT NULL, tries INTEGER NOT NULL, tried_at INTEGER NOT NULL, alive_at INTEGER NOT NULL ) STRICT",
    "CREATE TABLE profile ( id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, about TEXT NOT NULL, picture TEXT NOT NULL, picture_bytes INTEGER NOT NULL ) STRICT",
    "CREATE TABLE push ( slot INTEGER PRIMARY KEY, device BLOB NOT NULL, endpoint TEXT NOT NULL, p256dh TEXT NOT NULL, auth TEXT NOT NULL, brief INTEGER NOT NULL, failures INTEGER NOT NULL, not_before INTEGER NOT NULL ) STRICT",
    "CREATE TABLE schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT",
    "CREATE TABLE suspension (id INTEGER PRIMARY KEY, suspended_at INTEGER NOT NULL) STRICT",
    "CREATE TABLE upload ( id INTEGER PRIMARY KEY, media BLOB NOT NULL, expires_at INTEGER NOT NULL ) STRICT",
    "CREATE TABLE watcher (number INTEGER PRIMARY KEY, shows INTEGER NOT NULL) STRICT",
];

const UPLOAD_REQUESTS: &[&str] = &[
    "a166637265617465a3656d65646961502122232425262728292a2b2c2d2e2f30666c656e6774681a800000006a657870697265735f61741b000001a3185c5000",
    "a166637265617465a5656d65646961502122232425262728292a2b2c2d2e2f30666c656e6774681a800000006a657870697265735f61741b000001a3185c5000696d756c746970617274627232686d6574616461746166612059513d3d",
    "646c6f6f6b",
    "a165626567696ea2666f66667365740165627974657302",
    "a166636f6d6d6974a2666f66667365740166706965636573846577686f6c65a16470617274a2666e756d626572182864657461676165a168667261676d656e74a2646e616d651bffffffffffffffff65627974657309a1666d6572676564a2646e616d651bffffffffffffffff65627974657309",
    "69636f6d706c65746564",
    "697465726d696e617465",
];

const UPLOAD_ANSWERS: &[&str] = &[
    "67756e6b6e6f776e",
    "a1687374616e64696e67a3666f666673657401666c656e677468026a657870697265735f61741b000001a3185c5000",
    "a169636f6d6d6974746564a6666f666673657401666c656e677468026a657870697265735f61741b000001a3185c5000686d6574616461746166612059513d3d6666696e697368a2696d756c74697061727462723265706172747381a2666e756d6265721828646574616761656767617262616765811bffffffffffffffff",
    "a165626567756ea265626567756ea4696d756c74697061727462723269667261676d656e747381a2646e616d651bffffffffffffffff6562797465730965737465707384a16577686f6c65a165627974657301a16470617274a2666e756d626572182865627974657302a168667261676d656e74a165627974657303a1656d65726765a16562797465730464776f726ba366777269746573016572656164730268726571756573747303686d6574616461746166612059513d3d",
    "68746f6f5f6c6f6e67",
    "6a696d706f737369626c65",
    "69636f6d706c65746564",
    "a165656e646564a2696d756c7469706172746272326767617262616765811bffffffffffffffff",
];

/// The table, and what its row holds.
const UPLOAD_ROW: &[&str] = &[
    "CREATE TABLE upload ( id INTEGER PRIMARY KEY, version INTEGER NOT NULL, state BLOB NOT NULL ) STRICT",
    "a8656d65646961502122232425262728292a2b2c2d2e2f30666c656e6774681a010000006a657870697265735f61741b000001a3185c5000696d756c746970617274627232686d6574616461746166612059513d3d68617474656d7074730165706172747381a2666e756d626572016465746167616569667261676d656e747381a2646e616d651bffffffffffffffff65627974657309",
];
