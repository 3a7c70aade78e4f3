//! The other devices of the account: what they write is shown here too, what they read is read here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::{Content, Event, Input, Status, Unopened};
use estafette_protocol::{Body, Deliver, Mark, MessageId, ServerFrame};
use harness::*;

fn texts(messages: Vec<estafette_core::Message>) -> Vec<String> {
    let texts = messages.into_iter().map(|message| String::from_utf8(message.body).unwrap());
    texts.collect()
}

fn read_elsewhere(said: &Said) -> Vec<MessageId> {
    let ids = said.events.iter().filter_map(|event| match event {
        Event::ReadElsewhere { ids, .. } => Some(ids.clone()),
        _ => None,
    });
    ids.flatten().collect()
}

fn has_gap(said: &Said) -> bool {
    said.events.iter().any(|event| matches!(event, Event::Gap { .. }))
}

fn unread(phone: &Phone, peer: u64) -> u64 {
    let chats = phone.client.chats().unwrap();
    chats.iter().find(|chat| chat.peer == number(peer)).unwrap().unread
}

#[test]
fn what_the_laptop_writes_is_shown_once_as_ones_own() {
    let mut phone = Phone::connected();
    let said = phone.hears(vec![
        deliver(BOB, 5, 1, "lunch?"),
        copy(BOB, 8, 1, "yes"),
        copy(BOB, 8, 2, "at one"),
        copy(BOB, 8, 1, "yes"),
    ]);
    assert_eq!(texts(said.written()), ["yes", "at one"]);
    assert_eq!(texts(said.received()), ["lunch?"]);
    assert_eq!(said.acks(), [id(5, 1), id(8, 1), id(8, 2)]);
    let written = &said.written()[0];
    assert_eq!((written.peer, written.device), (number(BOB), LAPTOP));
    assert_eq!((written.incoming, written.status), (false, Status::Sent));
    // Nothing of it is this device's to send, now or after a crash, and it is not shown again.
    assert!(phone.client.pending().is_empty());
    let mut phone = phone.crashes(2);
    assert!(phone.connects().sends().is_empty());
    let said = phone.hears(vec![copy(BOB, 8, 2, "at one"), copy(BOB, 8, 3, "bring bread")]);
    assert_eq!(
        (said.acks(), texts(said.written())),
        (vec![id(8, 2), id(8, 3)], vec!["bring bread".to_owned()])
    );
    assert_eq!(phone.screen(BOB), ["lunch?", "yes", "at one", "bring bread"]);
    // This device's own messages go on in their own stream.
    let (own, said) = phone.sends(BOB, "and butter");
    assert_eq!(said.chain(), [(1, false, None)]);
    assert_ne!(own.stream, 8);
}

#[test]
fn a_crash_before_the_acknowledgement_repeats_the_copy() {
    let mut phone = Phone::connected();
    phone.hears(vec![copy(BOB, 8, 1, "yes")]);
    let mut phone = phone.crashes(2);
    assert!(phone.connects().acks().is_empty());
    let said = phone.hears(vec![copy(BOB, 8, 1, "yes")]);
    assert_eq!((said.acks(), said.written().len()), (vec![id(8, 1)], 0));
}

#[test]
fn what_becomes_of_the_laptops_message_is_shown_here_too() {
    let mut phone = Phone::connected();
    let of = id(8, 1);
    // A receipt about what never came is acknowledged, and that is all.
    phone.hears(vec![receipt(id(9, 1), BOB, &[of], Mark::Read)]);
    phone.hears(vec![copy(BOB, 8, 1, "yes")]);
    assert_eq!(phone.status(BOB, of), Status::Sent);
    let said = phone.hears(vec![receipt(id(9, 2), BOB, &[of], Mark::Delivered)]);
    assert_eq!(said.statuses(), [(1, Status::Delivered)]);
    // Carol has no say in it.
    phone.hears(vec![receipt(id(9, 3), CAROL, &[of], Mark::Played)]);
    let said = phone.hears(vec![receipt(id(9, 4), BOB, &[of], Mark::Read)]);
    assert_eq!(said.statuses(), [(1, Status::Read)]);
    // Out of order and again: it goes forward only.
    let late = receipt(id(9, 5), BOB, &[of], Mark::Delivered);
    let again = receipt(id(9, 4), BOB, &[of], Mark::Read);
    assert!(phone.hears(vec![late, again]).statuses().is_empty());
    assert_eq!(phone.crashes(2).status(BOB, of), Status::Read);
}

#[test]
fn what_this_device_wrote_before_its_store_was_lost_comes_back_and_goes_on() {
    let mut phone = Phone::connected();
    let (own, _) = phone.sends(BOB, "hello");
    let ServerFrame::Deliver(mut back) = copy(BOB, own.stream, own.number, "hello") else {
        panic!("no delivery")
    };
    back.device = PHONE;
    let back = ServerFrame::Deliver(back);
    // While it is still here, a copy of it changes nothing: it is sent until the server has it.
    let said = phone.hears(vec![back.clone()]);
    assert_eq!((said.acks(), said.written().len()), (vec![own], 0));
    assert_eq!(phone.client.pending().messages, 1);
    // What it has lost with its store it cannot open. That is shown.
    let mut phone = Phone::connected();
    let written = phone.hears(vec![back]).written();
    assert_eq!(written[0].id, own);
    assert_eq!(written[0].content(), Ok(Content::Unopened(Unopened::NotForThisDevice)));
    let said = phone.hears(vec![receipt(id(9, 1), BOB, &[own], Mark::Read)]);
    assert_eq!(said.statuses(), [(1, Status::Read)]);
}

#[test]
fn copies_and_the_peers_messages_keep_their_own_places() {
    let mut phone = Phone::connected();
    // Bob's device happens to name its stream as the laptop does.
    let said = phone.hears(vec![copy(BOB, 5, 7, "mine"), deliver(BOB, 5, 7, "his")]);
    assert_eq!(
        (texts(said.written()), texts(said.received())),
        (vec!["mine".to_owned()], vec!["his".to_owned()])
    );
    let said = phone.hears(vec![copy(BOB, 5, 20, "a gap of mine is not his")]);
    assert!(!has_gap(&said));
    let said = phone.hears(vec![deliver(BOB, 5, 8, "his next")]);
    assert!(!has_gap(&said));
    assert!(has_gap(&phone.hears(vec![deliver(BOB, 5, 10, "one is missing")])));
}

#[test]
fn a_copy_that_is_no_longer_kept_is_not_shown_again() {
    let mut phone = Phone::connected();
    phone.hears(vec![copy(BOB, 8, 1, "old"), deliver(BOB, 5, 1, "old too")]);
    phone.input(Input::Closed { code: None });
    phone.pass(8 * DAY);
    phone.connects();
    assert!(phone.screen(BOB).is_empty());
    let said = phone.hears(vec![copy(BOB, 8, 1, "old"), copy(BOB, 8, 2, "new")]);
    assert_eq!((said.acks().len(), texts(said.written())), (2, vec!["new".to_owned()]));
    assert!(!phone.client.chats().unwrap()[0].stranger, "this account wrote to Bob");
}

#[test]
fn a_note_to_oneself_is_shown_once_even_as_a_copy() {
    let mut phone = Phone::connected();
    let ServerFrame::Deliver(note) = copy(ALICE, 8, 1, "buy milk") else { panic!("no delivery") };
    let delivered = ServerFrame::Deliver(Deliver { to: None, ..note.clone() });
    let said = phone.hears(vec![ServerFrame::Deliver(note), delivered]);
    assert_eq!((texts(said.received()), said.written().len()), (vec!["buy milk".to_owned()], 0));
}

#[test]
fn what_the_laptop_has_read_is_read_here_and_owes_nobody_anything() {
    let mut phone = Phone::connected();
    phone.hears((1..=3).map(|n| deliver(BOB, 5, n, "x")).collect());
    phone.hears(vec![deliver(CAROL, 5, 1, "x")]);
    let both = [id(5, 1), id(5, 2)];
    let said = phone.hears(vec![read_on_laptop(id(9, 1), BOB, &both, Mark::Read)]);
    assert_eq!(read_elsewhere(&said), both);
    assert_eq!((unread(&phone, BOB), unread(&phone, CAROL)), (1, 1));
    let said = phone.wait(SECOND);
    assert_eq!((said.acks(), said.receipts().len()), (vec![id(9, 1)], 0));
    // Again, after a crash, and with what never came.
    let mut phone = phone.crashes(2);
    phone.connects();
    let ids = [id(5, 1), id(5, 2), id(77, 1)];
    let said = phone.hears(vec![read_on_laptop(id(9, 1), BOB, &ids, Mark::Read)]);
    assert!(read_elsewhere(&said).is_empty());
    // Played is further than read; read then changes nothing.
    phone.hears(vec![
        read_on_laptop(id(9, 2), BOB, &[id(5, 3)], Mark::Played),
        read_on_laptop(id(9, 3), BOB, &[id(5, 3)], Mark::Read),
    ]);
    let history = phone.client.history(number(BOB), 10).unwrap();
    let statuses: Vec<_> = history.iter().map(|message| message.status).collect();
    assert_eq!(statuses, [Status::Read, Status::Read, Status::Played]);
    // The user opens the chat: all of it is said already.
    assert!(phone.opens_chat(Some(BOB)).receipts().is_empty());
}

#[test]
fn a_receipt_that_waits_is_dropped_when_the_laptop_has_said_it() {
    let mut phone = Phone::connected();
    phone.opens_chat(Some(BOB));
    let first = phone.hears(vec![deliver(BOB, 5, 1, "x")]).receipts();
    phone.hears(vec![deliver(BOB, 5, 2, "x"), deliver(BOB, 5, 3, "x")]);
    assert_eq!(phone.client.pending().receipts, 3, "one is under way, two wait for it");
    let said = [id(5, 1), id(5, 2)];
    phone.hears(vec![read_on_laptop(id(9, 1), BOB, &said, Mark::Read)]);
    assert_eq!(phone.client.pending().receipts, 2, "what is under way is left to its answer");
    let second = phone.hears(vec![sent(&[first[0].id])]).receipts();
    assert_eq!(second[0].ids, [id(5, 3)]);
    // Away, this device owes what the laptop meanwhile says.
    phone.input(Input::Closed { code: None });
    let mut phone = phone.crashes(2);
    assert_eq!(phone.client.pending().receipts, 1);
    let again = phone.connects().receipts();
    phone.hears(vec![refused(&[again[0].id], estafette_protocol::ErrorCode::Unavailable, None)]);
    phone.hears(vec![read_on_laptop(id(9, 2), BOB, &[id(5, 3)], Mark::Read)]);
    assert!(phone.wait(MINUTE).receipts().is_empty());
    assert!(phone.client.pending().is_empty());
    assert!(phone.crashes(3).connects().receipts().is_empty());
}

#[test]
fn a_stranger_has_no_name_and_was_never_written_to() {
    let mut phone = Phone::connected();
    let stranger = |phone: &Phone| phone.client.chats().unwrap()[0].stranger;
    phone.hears(vec![deliver(BOB, 5, 1, "you won")]);
    assert!(stranger(&phone));
    phone.client.set_contact(number(BOB), "Bob").unwrap();
    assert!(!stranger(&phone));
    phone.client.set_contact(number(BOB), "").unwrap();
    assert!(stranger(&phone));
    phone.sends(BOB, "who is this?");
    assert!(!stranger(&phone));
    // Whichever device wrote.
    phone.hears(vec![deliver(CAROL, 5, 1, "hello")]);
    assert!(stranger(&phone));
    phone.hears(vec![copy(CAROL, 8, 1, "hi Carol")]);
    assert!(!stranger(&phone));
    assert!(!stranger(&phone.crashes(2)));
    // Nobody is a stranger to themselves.
    let mut phone = Phone::connected();
    phone.hears(vec![ServerFrame::Deliver(Deliver {
        id: id(8, 1),
        from: number(ALICE),
        device: LAPTOP,
        at: START,
        body: Body("note".into()),
        after: None,
        to: None,
    })]);
    assert!(!stranger(&phone));
}

#[test]
fn a_copy_that_cannot_be_kept_is_not_acknowledged() {
    let scratch = Scratch::new("copy_not_kept");
    let mut phone = Phone::on(scratch.open(), 1);
    phone.connects();
    let store = phone.client.into_store().into_connection();
    store
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON message BEGIN SELECT raise(ABORT, 'full'); END",
        )
        .unwrap();
    let mut phone = Phone::on(estafette_core::Store::on(store).unwrap(), 2);
    phone.connects();
    phone.fails_to_hear(vec![copy(BOB, 8, 1, "yes")]);
    assert!(phone.screen(BOB).is_empty());
    let store = phone.client.into_store().into_connection();
    store.execute_batch("DROP TRIGGER full").unwrap();
    let mut phone = Phone::on(estafette_core::Store::on(store).unwrap(), 3);
    phone.connects();
    let said = phone.hears(vec![copy(BOB, 8, 1, "yes")]);
    assert_eq!((said.acks(), texts(said.written())), (vec![id(8, 1)], vec!["yes".to_owned()]));
}
