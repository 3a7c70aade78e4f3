//! Files on their way out, as the store keeps them: no file is told of twice, and no key is lost
//! while its bytes may be on the server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::media::{MediaKey, SIZE_MAX};
use estafette_core::{About, Client, ClientError, Content, Input, Media, OutgoingFile, Store};
use estafette_protocol::MediaId;
use harness::*;

const PATH: &str = "/v1/uploads/0f1e2d3c4b5a69788796a5b4c3d2e1f0.tag";

fn file(name: &str) -> OutgoingFile {
    OutgoingFile {
        peer: number(BOB),
        source: b"/home/alice/a secret place".to_vec(),
        stamp: vec![1, 2, 3],
        key: MediaKey([9; 32]),
        size: 5,
        digest: [8; 32],
        about: About {
            name: Some(name.into()),
            dimensions: Some((3, 2)),
            caption: Some("look".into()),
            ..About::default()
        },
    }
}

#[test]
fn an_upload_is_kept_until_its_message_is_queued() {
    let mut phone = Phone::connected();
    let upload = phone.client.begin_upload(&file("a.txt")).unwrap();
    phone.client.store().place_upload(upload, Some(PATH)).unwrap();

    let mut phone = phone.crashes(2);
    phone.connects();
    let kept = phone.client.uploads().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].id, &kept[0].file), (upload, &file("a.txt")));
    assert_eq!(kept[0].path.as_deref(), Some(PATH));

    let other = phone.client.begin_upload(&file("b.txt")).unwrap();
    let files = [(upload, MediaId(9)), (other, MediaId(8))];
    let (ids, effects) = phone.client.send_uploads(phone.now, &files).unwrap();
    let said = phone.read(effects);
    let sends = said.sends();
    let OutgoingFile { key, size, digest, about, .. } = file("a.txt");
    let told = Media { id: MediaId(9), key, size, digest, about };
    assert_eq!(sends.iter().map(|send| send.id).collect::<Vec<_>>(), ids);
    assert_eq!(sends.len(), 2);
    assert_eq!(Content::read(&sends[0].body.0), Ok(Content::Media(Box::new(told))));

    // Whoever asks again is told that it is done, also after a crash.
    assert_eq!(phone.client.uploads().unwrap(), []);
    let mut phone = phone.crashes(3);
    let again = phone.client.send_uploads(phone.now, &files).unwrap_err();
    assert_eq!(again, ClientError::NoSuchUpload);
    assert_eq!(phone.client.history(number(BOB), 10).unwrap().len(), 2);
}

#[test]
fn files_are_told_of_together_or_not_at_all() {
    let mut phone = Phone::connected();
    let one = phone.client.begin_upload(&file("a.txt")).unwrap();
    let carols = OutgoingFile { peer: number(CAROL), ..file("b.txt") };
    let other = phone.client.begin_upload(&carols).unwrap();
    for second in [other, other + 1] {
        let files = [(one, MediaId(9)), (second, MediaId(8))];
        let error = phone.client.send_uploads(phone.now, &files).unwrap_err();
        assert_eq!(error, ClientError::NoSuchUpload);
    }
    assert_eq!(phone.client.uploads().unwrap().len(), 2);
    assert_eq!(phone.client.history(number(BOB), 10).unwrap(), []);
    let (none, _) = phone.client.send_uploads(phone.now, &[]).unwrap();
    assert_eq!(none, []);
}

#[test]
fn a_store_that_fails_leaves_the_upload_and_queues_nothing() {
    let mut phone = Phone::connected();
    let upload = phone.client.begin_upload(&file("a.txt")).unwrap();
    let connection = phone.client.into_store().into_connection();
    let full = "CREATE TRIGGER full BEFORE INSERT ON message BEGIN SELECT raise(ABORT, ''); END";
    connection.execute_batch(full).unwrap();
    phone = Phone::on(Store::on(connection).unwrap(), 2);
    phone.connects();
    assert!(phone.client.send_uploads(phone.now, &[(upload, MediaId(9))]).is_err());
    assert_eq!(phone.client.uploads().unwrap().len(), 1);
    let connection = phone.client.into_store().into_connection();
    connection.execute_batch("DROP TRIGGER full").unwrap();
    phone = Phone::on(Store::on(connection).unwrap(), 3);
    assert_eq!(phone.client.history(number(BOB), 10).unwrap(), []);
    phone.client.send_uploads(phone.now, &[(upload, MediaId(9))]).unwrap();
    assert_eq!(phone.client.history(number(BOB), 10).unwrap().len(), 1);
}

#[test]
fn uploads_have_limits_and_an_end() {
    let mut phone = Phone::connected();
    let too_large = OutgoingFile { size: SIZE_MAX + 1, ..file("a") };
    assert!(matches!(phone.client.begin_upload(&too_large), Err(ClientError::Content(_))));
    let nameless = OutgoingFile {
        about: About { name: Some(String::new()), ..About::default() },
        ..file("a")
    };
    assert!(matches!(phone.client.begin_upload(&nameless), Err(ClientError::Content(_))));
    for _ in 0..Client::FILES_MAX {
        phone.client.begin_upload(&file("a")).unwrap();
    }
    let one_more = phone.client.begin_upload(&file("a")).unwrap_err();
    assert_eq!(one_more, ClientError::TooManyFiles(Client::FILES_MAX));
    let first = phone.client.uploads().unwrap()[0].id;
    assert_eq!(phone.client.store().drop_upload(first), Ok(true));
    assert_eq!(phone.client.store().drop_upload(first), Ok(false));
    phone.client.begin_upload(&file("a")).unwrap();

    // The server keeps what is unfinished for a day, this store for a week.
    phone.input(Input::Closed { code: None });
    phone.pass(7 * DAY - HOUR);
    phone.connects();
    assert_eq!(phone.client.uploads().unwrap().len(), Client::FILES_MAX);
    phone.input(Input::Closed { code: None });
    phone.pass(2 * HOUR);
    phone.connects();
    assert_eq!(phone.client.uploads().unwrap(), []);
}

#[test]
fn nothing_of_an_upload_is_on_the_disk_in_plain_text_or_in_a_log() {
    let scratch = Scratch::new("uploads_plain");
    let mut phone = Phone::on(scratch.open(), 1);
    let upload = phone.client.begin_upload(&file("a name that is secret")).unwrap();
    phone.client.store().place_upload(upload, Some(PATH)).unwrap();
    let shown = format!("{:?}", phone.client.uploads().unwrap());
    let bytes = scratch.bytes();
    for secret in ["a secret place", "a name that is secret", PATH, "\t\t\t\t\t\t"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[test]
fn no_two_uploads_ever_have_the_same_number() {
    let mut phone = Phone::connected();
    let mut numbers = Vec::new();
    for life in 2..5 {
        let upload = phone.client.begin_upload(&file("a")).unwrap();
        phone.client.send_uploads(phone.now, &[(upload, MediaId(9))]).unwrap();
        let dropped = phone.client.begin_upload(&file("b")).unwrap();
        phone.client.store().drop_upload(dropped).unwrap();
        numbers.extend([upload, dropped]);
        phone = phone.crashes(life);
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(phone.client.store().upload(numbers[0]).unwrap(), None);
}

/// What breaks if a column or the map in it changes its meaning: uploads that a newer program is to
/// go on with.
#[test]
fn what_is_stored_of_an_upload_keeps_its_meaning() {
    // As version 2 of the schema has it.
    let connection = Store::in_memory().unwrap().into_connection();
    let row = format!(
        "DROP TABLE upload; DROP TABLE blocked; DROP TABLE untold; DROP TABLE profile;
         DROP TABLE conversation; DROP TABLE sealed; DROP TABLE mls; DROP TABLE device_list;
         DROP TABLE verified; ALTER TABLE message DROP COLUMN hidden;
         ALTER TABLE chat DROP COLUMN silent;
         CREATE TABLE upload (
            id INTEGER PRIMARY KEY, peer INTEGER NOT NULL, source BLOB NOT NULL,
            stamp BLOB NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL,
            about BLOB NOT NULL, path TEXT, begun_at INTEGER NOT NULL
         ) STRICT;
         PRAGMA user_version = 2;
         INSERT INTO upload (id, peer, source, stamp, key, size, digest, about, path, begun_at)
         VALUES (3, {BOB}, CAST('/home/alice/a secret place' AS BLOB), x'010203',
            x'{key}', 5, x'{digest}',
            x'a4646e616d6565612e7478746577696474680366686569676874026763617074696f6e646c6f6f6b',
            '{PATH}', {START})",
        key = "09".repeat(32),
        digest = "08".repeat(32),
    );
    connection.execute_batch(&row).unwrap();
    let phone = Phone::on(Store::on(connection).unwrap(), 1);
    let kept = phone.client.uploads().unwrap();
    assert_eq!((kept[0].id, &kept[0].file), (3, &file("a.txt")));
    assert_eq!(kept[0].path.as_deref(), Some(PATH));
    phone.client.store().drop_upload(3).unwrap();
    let mut client = phone.client;
    assert_eq!(client.begin_upload(&file("b.txt")).unwrap(), 4);
}
