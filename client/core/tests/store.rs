//! The store: who may open it, what it says when it cannot be used, what it keeps and forgets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::{Client, Input, Status, Store, StoreError, StoreKey};
use estafette_protocol::Mark;
use harness::*;
use rusqlite::Connection;

/// A store with 2,000 messages to Bob, 200 bytes each.
fn filled(scratch: &Scratch) -> Vec<u8> {
    let mut phone = Phone::on(scratch.open(), 1);
    let bodies: Vec<_> = (0..2000).map(|n| format!("{n:0200}").into_bytes()).collect();
    phone.client.send_all(START, number(BOB), bodies).unwrap();
    drop(phone);
    std::fs::read(scratch.file()).unwrap()
}

/// Opens the store and reads all of it.
fn read_all(scratch: &Scratch) -> Result<usize, StoreError> {
    let store = Store::open(&scratch.file(), &key(1))?;
    let client = Client::start(store, alice(), &secrets(), entropy(1), START)?;
    client.chats()?;
    Ok(client.history(number(BOB), 10_000)?.len())
}

#[test]
fn a_wrong_key_opens_nothing_and_harms_nothing() {
    let scratch = Scratch::new("wrong_key");
    let before = filled(&scratch);
    let other_salt = StoreKey { salt: [9; 16], ..key(1) };
    for wrong in [key(2), other_salt] {
        let error = Store::open(&scratch.file(), &wrong).unwrap_err();
        assert_eq!(error, StoreError::WrongKeyOrNotADatabase);
    }
    assert_eq!(std::fs::read(scratch.file()).unwrap(), before);
    assert_eq!(read_all(&scratch), Ok(2000));
}

#[test]
fn what_is_no_database_is_told_apart_from_a_damaged_one() {
    let scratch = Scratch::new("no_database");
    let text = "a text that somebody saved under the name of the store".repeat(100);
    std::fs::write(scratch.file(), &text).unwrap();
    let error = Store::open(&scratch.file(), &key(1)).unwrap_err();
    assert_eq!(error, StoreError::WrongKeyOrNotADatabase);
    assert_eq!(std::fs::read(scratch.file()).unwrap(), text.as_bytes());
    let missing = Store::open(&scratch.file().join("no directory"), &key(1)).unwrap_err();
    assert!(matches!(missing, StoreError::Io(_)), "{missing:?}");
}

#[test]
fn a_truncated_file_is_corrupt() {
    let scratch = Scratch::new("truncated");
    let whole = filled(&scratch);
    for length in [4096, 5000, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(scratch.file(), &whole[..length]).unwrap();
        let error = Store::open(&scratch.file(), &key(1)).unwrap_err();
        assert_eq!(error, StoreError::Corrupt, "cut to {length}");
    }
}

#[test]
fn a_damaged_page_is_corrupt_and_never_read_as_something_else() {
    let scratch = Scratch::new("damaged");
    let whole = filled(&scratch);
    for page in (2..whole.len() / 4096).step_by(7) {
        let mut damaged = whole.clone();
        damaged[page * 4096 + 100] ^= 1;
        std::fs::write(scratch.file(), &damaged).unwrap();
        match read_all(&scratch) {
            Ok(2000) | Err(StoreError::Corrupt) => {}
            other => panic!("page {page}: {other:?}"),
        }
    }
    let last = whole.len() - 4096;
    std::fs::write(scratch.file(), [&whole[..last], &[0; 4096]].concat()).unwrap();
    assert_eq!(read_all(&scratch), Err(StoreError::Corrupt));
}

#[test]
fn a_newer_schema_is_left_alone() {
    let scratch = Scratch::new("newer");
    let connection = scratch.open().into_connection();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = Store::open(&scratch.file(), &key(1)).unwrap_err();
    assert_eq!(error, StoreError::Newer(99));
    assert!(error.to_string().contains("update the program"));
}

#[test]
fn a_store_is_open_once_and_of_one_account() {
    let scratch = Scratch::new("in_use");
    let first = Phone::on(scratch.open(), 1);
    assert_eq!(Store::open(&scratch.file(), &key(1)).unwrap_err(), StoreError::InUse);
    drop(first);
    let other = estafette_core::Identity { account: number(BOB), ..alice() };
    let started = Client::start(scratch.open(), other, &secrets(), entropy(1), START);
    assert_eq!(started.err(), Some(StoreError::OtherAccount));
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Writes a message and a contact, and says which of them the files show, open and closed.
fn shown(scratch: &Scratch, store: Store) -> Vec<&'static str> {
    let mut phone = Phone::on(store, 1);
    phone.sends(BOB, "meet me at noon");
    phone.client.set_contact(number(BOB), "Robert the Bruce").unwrap();
    let mut bytes = scratch.bytes();
    drop(phone);
    bytes.extend(scratch.bytes());
    let secrets = ["SQLite format 3", "CREATE TABLE", "meet me at noon", "Robert the Bruce"];
    secrets.into_iter().filter(|secret| contains(&bytes, secret)).collect()
}

#[test]
fn nothing_is_written_in_plain_text() {
    let plain = Scratch::new("plain");
    let store = Store::on(Connection::open(plain.file()).unwrap()).unwrap();
    assert_eq!(shown(&plain, store).len(), 4, "the search finds what is not encrypted");
    let scratch = Scratch::new("encrypted");
    assert_eq!(shown(&scratch, scratch.open()), [""; 0]);
}

#[test]
fn what_was_promised_survives_a_loss_of_power() {
    let scratch = Scratch::new("power");
    let mut phone = Phone::on(scratch.open(), 1);
    phone.connects();
    let (id, _) = phone.sends(BOB, "kept");
    phone.hears(vec![deliver(BOB, 5, 1, "kept too")]);
    // What the disk holds at this moment, with the journal.
    let copy = Scratch::new("power_copy");
    for end in ["", "-wal"] {
        let name = |of: &Scratch| format!("{}{end}", of.file().display());
        std::fs::copy(name(&scratch), name(&copy)).unwrap();
    }
    let mut again = Phone::on(copy.open(), 2);
    assert_eq!(again.screen(BOB), ["kept", "kept too"]);
    assert_eq!(again.connects().sends()[0].id, id);
}

/// A connection to the store's database that has room for so many pages more.
fn with_room(store: Store, pages: i64) -> Store {
    let connection = store.into_connection();
    let used: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.execute_batch(&format!("PRAGMA max_page_count = {}", used + pages)).unwrap();
    Store::on(connection).unwrap()
}

#[test]
fn a_full_disk_acknowledges_nothing_and_heals() {
    let scratch = Scratch::new("full");
    let mut phone = Phone::on(scratch.open(), 1);
    phone.connects();
    phone.hears(vec![deliver(BOB, 5, 1, "before")]);
    let (first, _) = phone.sends(BOB, "on its way");
    let mut phone = Phone::on(with_room(phone.client.into_store(), 3), 2);
    phone.connects();

    let long = "x".repeat(60_000);
    let batch = vec![sent(&[first]), deliver(BOB, 5, 2, "small"), deliver(BOB, 5, 3, &long)];
    assert_eq!(phone.fails_to_hear(batch.clone()), StoreError::DiskFull);
    assert_eq!(phone.screen(BOB), ["before", "on its way"], "all of a batch or nothing");
    assert_eq!(phone.status(BOB, first), Status::Queued);
    assert!(!phone.client.is_connected(), "only a new connection brings it again");
    let error = phone.client.send(phone.now, number(BOB), long.clone().into()).unwrap_err();
    assert_eq!(error, StoreError::DiskFull.into());
    assert_eq!(phone.client.pending().messages, 1);

    // The client goes on by itself, not in haste, and from what the store holds.
    let after = phone.client.wake_at().unwrap() - phone.now;
    assert!((10_000..=10_500).contains(&after), "{after}");
    // The shell may have closed the socket; it is told to in any case.
    let said = phone.input(Input::Closed { code: None });
    assert!(said.does("disconnect") && !said.does("connect"), "{said:?}");
    let said = phone.connects();
    assert_eq!(said.chain(), [(1, false, None)], "{said:?}");
    let said = phone.hears(batch[..2].to_vec());
    assert_eq!((said.acks(), said.received().len()), (vec![id(5, 2)], 1));
    assert_eq!(phone.client.pending().messages, 0);

    // There is room again.
    let mut phone = Phone::on(with_room(phone.client.into_store(), 1_000_000), 3);
    phone.connects();
    let said = phone.hears(batch);
    assert_eq!(said.acks(), [id(5, 2), id(5, 3)]);
    assert_eq!(said.received().len(), 1);
}

#[test]
fn a_deleted_store_is_made_again() {
    let scratch = Scratch::new("deleted");
    let mut phone = Phone::on(scratch.open(), 1);
    phone.connects();
    let (old, _) = phone.sends(BOB, "first life");
    let said = phone.hears(vec![deliver(BOB, 5, 1, "seen"), sent(&[old])]);
    assert_eq!(said.acks(), [id(5, 1)]);
    drop(phone);
    std::fs::remove_file(scratch.file()).unwrap();

    let mut phone = Phone::on(scratch.open(), 2);
    let said = phone.connects();
    assert!(said.batches.is_empty(), "nothing is asked for");
    let said = phone.hears(vec![deliver(BOB, 5, 2, "waited"), drained()]);
    assert_eq!(phone.screen(BOB), ["waited"]);
    assert_eq!(said.acks(), [id(5, 2)]);
    assert_eq!(said.events.len(), 1, "a stream that is new to the store has no gap: {said:?}");
    let (new, _) = phone.sends(BOB, "second life");
    assert_ne!(new.stream, old.stream, "no id is used for two messages");
    // A receipt for a message of the first life does no harm.
    let said = phone.hears(vec![receipt(id(9, 1), BOB, &[old], Mark::Read)]);
    assert!(said.events.is_empty());
}

#[test]
fn after_seven_days_messages_are_forgotten_but_nothing_that_is_owed() {
    let scratch = Scratch::new("prune");
    let mut phone = Phone::on(scratch.open(), 1);
    phone.connects();
    let big = "x".repeat(20_000);
    let (settled, _) = phone.sends(BOB, &big);
    let incoming = (1..=40).map(|n| deliver(BOB, 5, n, &big)).collect();
    phone.hears(incoming);
    phone.hears(vec![sent(&[settled])]);
    let (waiting, _) = phone.sends(CAROL, "still queued");
    phone.client.read(phone.now, number(BOB), id(5, 3)).unwrap();
    drop(phone);
    let mut phone = Phone::on(scratch.open(), 2);
    let before = std::fs::metadata(scratch.file()).unwrap().len();

    phone.pass(7 * DAY - HOUR);
    phone.connects();
    assert_eq!(phone.screen(BOB).len(), 41, "not yet");
    phone.hears(vec![deliver(BOB, 5, 41, "fresh")]);
    phone.input(Input::Closed { code: None });

    phone.pass(2 * HOUR);
    let said = phone.connects();
    assert_eq!(phone.screen(BOB), ["fresh"]);
    assert_eq!(said.sends()[0].id, waiting);
    assert_eq!(said.receipts()[0].ids, [id(5, 1), id(5, 2), id(5, 3)]);
    // The server repeats what it does not know to be acknowledged.
    let said = phone.hears(vec![deliver(BOB, 5, 40, &big), deliver(BOB, 5, 41, "fresh")]);
    assert_eq!(said.acks(), [id(5, 40), id(5, 41)]);
    assert!(said.received().is_empty(), "shown once, though long forgotten");
    drop(phone);
    let after = std::fs::metadata(scratch.file()).unwrap().len();
    let given_back = before.saturating_sub(after);
    assert!(
        given_back > 40 * big.len() as u64,
        "the file gives its room back: {before} to {after}"
    );
}

#[test]
fn pruning_goes_on_while_connected() {
    let mut phone = Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "old")]);
    let mut pinged = 0;
    for _ in 0..(7 * 24 * 60 + 61) * 2 {
        pinged += phone.wait(30 * SECOND).acts.len();
        phone.input(Input::Pong);
    }
    assert!(phone.client.is_connected() && pinged > 20_000, "{pinged}");
    assert_eq!(phone.screen(BOB), [""; 0]);
}

#[test]
fn contacts_have_names_that_chats_show() {
    let phone = &mut Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "hi"), deliver(BOB, 5, 2, "there")]);
    phone.sends(CAROL, "hello");
    let client = &phone.client;
    client.set_contact(number(CAROL), "Zoe").unwrap();
    client.set_contact(number(BOB), "Bob").unwrap();
    client.set_contact(number(CAROL), "Carol").unwrap();
    let chats = client.chats().unwrap();
    let shown: Vec<_> = chats
        .iter()
        .map(|chat| (chat.name.as_deref().unwrap(), chat.unread, chat.last.incoming))
        .collect();
    assert_eq!(shown, [("Carol", 0, false), ("Bob", 2, true)]);
    client.set_contact(number(BOB), "").unwrap();
    let names: Vec<_> = client.contacts().unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["Carol"]);
    let last = client.history(number(BOB), 1).unwrap();
    assert_eq!(last[0].body, b"there");
}

/// What breaks if these numbers or names change: every store that is out there.
#[test]
fn what_is_stored_keeps_its_meaning() {
    let names: Vec<_> = Status::ALL.iter().map(|status| (*status as u8, status.as_str())).collect();
    assert_eq!(
        names,
        [(0, "queued"), (1, "sent"), (2, "delivered"), (3, "read"), (4, "played"), (5, "failed")]
    );
    // Rows as version 1 of the schema has them.
    let connection = Store::in_memory().unwrap().into_connection();
    let rows = format!(
        "INSERT INTO setting (name, value) VALUES ('account', {ALICE}), ('clock_offset', -7000);
         INSERT INTO contact (number, name) VALUES ({BOB}, 'Bob');
         INSERT INTO chat (peer, stream, number, follows) VALUES ({BOB}, -2, 5, 5);
         INSERT INTO heard (peer, device, stream, number, pruned, heard_at)
            VALUES ({BOB}, {device}, 77, 9, 3, {START});
         INSERT INTO message (place, peer, incoming, device, stream, number, follows, at, kept_at,
            status, settled, body) VALUES
            (1, {BOB}, 1, {device}, 77, 9, 8, {START}, {START}, 2, 1, x'6869'),
            (2, {BOB}, 0, {phone}, -2, 3, 2, {START}, {START}, 5, 1, x'6e6f'),
            (3, {BOB}, 0, {phone}, -2, 5, 2, {START}, {START}, 0, 0, x'796573');
         INSERT INTO receipt (id, peer, stream, number, mark) VALUES
            (1, {BOB}, 77, 8, 1), (2, {BOB}, 77, 8, 2);
         DROP TABLE upload; DROP TABLE blocked; DROP TABLE untold; DROP TABLE profile;
         DROP TABLE conversation; DROP TABLE sealed; DROP TABLE mls; DROP TABLE device_list;
         DROP TABLE verified; ALTER TABLE message DROP COLUMN hidden;
         ALTER TABLE chat DROP COLUMN silent;
         PRAGMA user_version = 1;",
        device = TABLET.0,
        phone = PHONE.0,
    );
    connection.execute_batch(&rows).unwrap();

    let mut phone = Phone::on(Store::on(connection).unwrap(), 1);
    assert_eq!(phone.client.chats().unwrap()[0].name.as_deref(), Some("Bob"));
    let history = phone.client.history(number(BOB), 10).unwrap();
    let statuses: Vec<_> = history.iter().map(|message| message.status).collect();
    assert_eq!(statuses, [Status::Delivered, Status::Failed, Status::Queued]);
    assert_eq!((history[0].device, history[0].id), (TABLET, id(77, 9)));
    let (next, _) = phone.sends(BOB, "corrected");
    assert_eq!(next, id(u64::MAX - 1, 6));
    assert_eq!(phone.client.history(number(BOB), 1).unwrap()[0].at, START - 7000);
    let said = phone.connects();
    assert_eq!(said.chain(), [(5, false, Some(2)), (6, true, None)]);
    let marks: Vec<_> = said.receipts().iter().map(|receipt| receipt.mark).collect();
    assert_eq!(marks, [Mark::Read, Mark::Played]);
    let said = phone.hears(vec![deliver(BOB, 77, 3, "pruned"), deliver(BOB, 77, 10, "new")]);
    assert_eq!(said.received().len(), 1);
}

#[test]
fn errors_say_what_to_do_next() {
    let errors = [
        (StoreError::WrongKeyOrNotADatabase, "delete the file"),
        (StoreError::Corrupt, "delete the file"),
        (StoreError::DiskFull, "free some space"),
        (StoreError::InUse, "close that one"),
        (StoreError::OtherAccount, "use another file"),
        (StoreError::Io(String::new()), "check the path"),
    ];
    for (error, advice) in errors {
        assert!(error.to_string().contains(advice), "{error}");
    }
}
