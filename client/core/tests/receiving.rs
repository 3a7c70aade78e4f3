//! Messages and receipts come in: kept, then acknowledged, shown once, answered with what is due.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::mls::Leaf;
use estafette_core::{Client, Event, Input, Status, Store};
use estafette_protocol::{Body, Deliver, DeviceId, ErrorCode, Mark, MessageId, ServerFrame};
use harness::*;

fn texts(said: &Said) -> Vec<String> {
    let received = said.received().into_iter();
    received.map(|message| String::from_utf8(message.body).unwrap()).collect()
}

fn reads(phone: &mut Phone, peer: u64, through: MessageId) -> Said {
    let effects = phone.client.read(phone.now, number(peer), through).unwrap();
    phone.read(effects)
}

#[test]
fn a_message_is_kept_then_acknowledged_and_shown_once() {
    let mut phone = Phone::connected();
    let said = phone.hears(vec![
        deliver(BOB, 5, 1, "one"),
        deliver(BOB, 5, 2, "two"),
        deliver(BOB, 5, 1, "one"),
    ]);
    assert_eq!(texts(&said), ["one", "two"]);
    assert_eq!(said.batches.len(), 1, "one acknowledgement for the batch");
    assert_eq!(said.acks(), [id(5, 1), id(5, 2), id(5, 1)]);
    // Again on the same connection, on the next, and after a crash.
    for _ in 0..2 {
        let said = phone.hears(vec![deliver(BOB, 5, 2, "two")]);
        assert_eq!((said.acks(), texts(&said).len()), (vec![id(5, 2)], 0));
        phone.input(Input::Closed { code: None });
        phone.connects();
    }
    let mut phone = phone.crashes(2);
    phone.connects();
    let said = phone.hears(vec![deliver(BOB, 5, 2, "two"), deliver(BOB, 5, 3, "three")]);
    assert_eq!(said.acks(), [id(5, 2), id(5, 3)]);
    assert_eq!(texts(&said), ["three"]);
    assert_eq!(phone.screen(BOB), ["one", "two", "three"]);
}

#[test]
fn a_crash_before_the_acknowledgement_repeats_it() {
    let mut phone = Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "one")]);
    // The batch that this led to is lost with the process.
    let mut phone = phone.crashes(2);
    assert!(phone.connects().acks().is_empty(), "nothing is acknowledged out of turn");
    let said = phone.hears(vec![deliver(BOB, 5, 1, "one")]);
    assert_eq!((said.acks(), texts(&said).len()), (vec![id(5, 1)], 0));
}

#[test]
fn ids_of_other_people_do_not_collide() {
    let mut phone = Phone::connected();
    let (own, _) = phone.sends(BOB, "mine");
    let said = phone.hears(vec![
        deliver(BOB, 5, 1, "from bob"),
        deliver(CAROL, 5, 1, "from carol"),
        deliver(BOB, own.stream, own.number, "with my own id"),
    ]);
    assert_eq!(texts(&said), ["from bob", "from carol", "with my own id"]);
    assert_eq!(phone.status(BOB, own), Status::Queued);
}

#[test]
fn a_message_to_oneself_is_shown_once() {
    let mut phone = Phone::connected();
    let (own, _) = phone.sends(ALICE, "buy milk");
    let echo = |device| {
        ServerFrame::Deliver(Deliver {
            id: own,
            from: number(ALICE),
            device,
            at: START,
            body: Body("buy milk".into()),
            after: None,
            to: None,
        })
    };
    phone.opens_chat(Some(ALICE));
    let said = phone.hears(vec![echo(PHONE), sent(&[own])]);
    assert_eq!((said.acks(), texts(&said).len()), (vec![own], 0));
    // From another device of the account it is news, and nobody need be told that it was read.
    let said = phone.hears(vec![echo(TABLET)]);
    assert_eq!((texts(&said).len(), said.receipts().len()), (1, 0));
}

#[test]
fn acknowledgements_name_at_most_256() {
    let mut phone = Phone::connected();
    let batch = |from: u64| (from..from + 200).map(|n| deliver(BOB, 5, n, "x")).collect();
    let said = phone.hears(batch(1));
    assert_eq!(said.acks().len(), 200);
    let ids: Vec<_> = (1..=128).map(|n| id(3, n)).collect();
    let receipts: Vec<_> = ids.iter().map(|of| receipt(*of, BOB, &[], Mark::Read)).collect();
    let said = phone.hears([receipts.clone(), receipts.clone()[..100].to_vec()].concat());
    assert_eq!(said.acks().len(), 228, "so many do not wait");
    let said = phone.hears(receipts[..60].to_vec());
    assert!(said.batches.is_empty());
    let said = phone.hears(batch(201));
    assert_eq!(said.acks().len(), 260);
    let lengths: Vec<_> = said
        .frames()
        .map(|frame| match frame {
            estafette_protocol::ClientFrame::Ack(ack) => ack.ids.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [256, 4]);
}

#[test]
fn an_acknowledgement_of_receipts_waits_for_company() {
    let mut phone = Phone::connected();
    let (first, _) = phone.sends(BOB, "1");
    let said = phone.hears(vec![sent(&[first]), receipt(id(9, 1), BOB, &[first], Mark::Delivered)]);
    assert!(said.batches.is_empty());
    assert_eq!(phone.client.pending().acks, 1);
    phone.pass(200);
    let said = phone.hears(vec![receipt(id(9, 2), BOB, &[first], Mark::Read)]);
    assert!(said.batches.is_empty(), "the first one's time is not put off");
    assert_eq!(phone.client.wake_at(), Some(phone.now + 100));
    let said = phone.pass(100).tick();
    assert_eq!(said.acks(), [id(9, 1), id(9, 2)]);
    assert!(phone.wait(SECOND).batches.is_empty());
    // In company it leaves at once, in the same batch.
    phone.hears(vec![receipt(id(9, 3), BOB, &[first], Mark::Read)]);
    let (_, said) = phone.sends(BOB, "2");
    assert_eq!((said.batches.len(), said.acks(), said.sends().len()), (1, vec![id(9, 3)], 1));
    // What was not acknowledged on one connection is not on the next: the server repeats it.
    phone.hears(vec![receipt(id(9, 4), BOB, &[first], Mark::Read)]);
    phone.input(Input::Closed { code: None });
    assert!(phone.connects().acks().is_empty());
}

#[test]
fn saying_goodbye_acknowledges_first() {
    let mut phone = Phone::connected();
    phone.hears(vec![receipt(id(9, 1), BOB, &[], Mark::Delivered)]);
    let effects = phone.client.disconnect(phone.now).unwrap();
    let said = phone.read(effects);
    assert_eq!(said.acks(), [id(9, 1)]);
    assert!(said.does("disconnect"));
    assert_eq!(said.events, [Event::Disconnected { retry_at: None }]);
    assert_eq!((phone.client.wake_at(), said.wake_at), (None, None));
}

#[test]
fn reading_owes_a_receipt_once() {
    let mut phone = Phone::connected();
    phone.hears((1..=5).map(|n| deliver(BOB, 5, n, "x")).collect());
    phone.hears(vec![deliver(CAROL, 6, 1, "x")]);
    let said = reads(&mut phone, BOB, id(5, 3));
    let receipts = said.receipts();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].ids, [id(5, 1), id(5, 2), id(5, 3)]);
    assert_eq!((receipts[0].to, receipts[0].mark), (number(BOB), Mark::Read));
    assert_eq!(phone.client.chats().unwrap()[1].unread, 2);
    assert!(reads(&mut phone, BOB, id(5, 3)).batches.is_empty());
    assert!(reads(&mut phone, BOB, id(77, 1)).batches.is_empty(), "no such message");
    phone.hears(vec![sent(&[receipts[0].id])]);
    assert_eq!(phone.client.pending().receipts, 0);
    assert!(phone.crashes(2).connects().receipts().is_empty());
}

#[test]
fn what_comes_into_the_open_chat_is_acknowledged_and_read_in_one_batch() {
    let mut phone = Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "before")]);
    let said = phone.opens_chat(Some(BOB));
    assert_eq!(said.receipts()[0].ids, [id(5, 1)]);
    phone.hears(vec![sent(&[said.receipts()[0].id])]);
    let said = phone.hears(vec![deliver(BOB, 5, 2, "hi"), deliver(CAROL, 6, 1, "psst")]);
    assert_eq!(said.batches.len(), 1);
    assert_eq!(said.acks(), [id(5, 2), id(6, 1)]);
    assert_eq!(said.receipts()[0].ids, [id(5, 2)]);
    let statuses: Vec<_> = said.received().iter().map(|message| message.status).collect();
    assert_eq!(statuses, [Status::Read, Status::Delivered]);
    phone.opens_chat(None);
    assert!(phone.hears(vec![deliver(BOB, 5, 3, "later")]).receipts().is_empty());
}

#[test]
fn receipts_gather_while_one_is_under_way() {
    let mut phone = Phone::connected();
    phone.opens_chat(Some(BOB));
    let first = phone.hears(vec![deliver(BOB, 5, 1, "x")]).receipts();
    for n in 2..=300 {
        assert!(phone.hears(vec![deliver(BOB, 5, n, "x")]).receipts().is_empty());
    }
    assert_eq!(phone.client.pending().receipts, 300);
    let second = phone.hears(vec![sent(&[first[0].id])]).receipts();
    assert_eq!(second[0].ids.len(), 256);
    let third = phone.hears(vec![sent(&[second[0].id])]).receipts();
    assert_eq!(third[0].ids.len(), 43);
    assert_eq!(third[0].ids[42], id(5, 300));
    let streams = [&first[0], &second[0], &third[0]].map(|receipt| receipt.id.stream);
    assert_eq!(streams, [first[0].id.stream; 3]);
}

#[test]
fn a_receipt_is_owed_until_the_server_has_it() {
    let mut phone = Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "x")]);
    let first = reads(&mut phone, BOB, id(5, 1)).receipts();
    // No answer: after a while, and on the next connection, and after a crash.
    let again = phone.wait(5 * SECOND).receipts();
    assert_eq!(again[0].ids, [id(5, 1)]);
    assert_ne!(again[0].id, first[0].id);
    phone.input(Input::Closed { code: None });
    assert_eq!(phone.connects().receipts()[0].ids, [id(5, 1)]);
    let mut phone = phone.crashes(2);
    let third = phone.connects().receipts();
    assert_ne!(third[0].id.stream, first[0].id.stream, "each start draws its own");
    // Refused for now.
    let said = phone.hears(vec![refused(&[third[0].id], ErrorCode::RateLimited, Some(3 * SECOND))]);
    assert!(said.receipts().is_empty());
    assert!(phone.wait(2999).receipts().is_empty());
    let fourth = phone.wait(1).receipts();
    assert_eq!(fourth[0].ids, [id(5, 1)]);
    // A late answer to another frame settles nothing.
    phone.hears(vec![sent(&[third[0].id, first[0].id])]);
    assert_eq!(phone.client.pending().receipts, 1);
    // Refused for good.
    phone.hears(vec![refused(&[fourth[0].id], ErrorCode::Unregistered, None)]);
    assert!(phone.client.pending().is_empty());
    assert!(phone.crashes(3).connects().receipts().is_empty());
}

#[test]
fn a_gap_is_told_and_the_message_shown() {
    let gaps = |said: &Said| -> Vec<(u64, u64)> {
        let gaps = said.events.iter().filter_map(|event| match event {
            Event::Gap { id, last, .. } => Some((id.number, *last)),
            _ => None,
        });
        gaps.collect()
    };
    let mut phone = Phone::connected();
    let said = phone.hears(vec![deliver(BOB, 5, 4, "first seen"), deliver(BOB, 5, 5, "next")]);
    assert_eq!(gaps(&said), []);
    let said = phone.hears(vec![deliver(BOB, 5, 8, "two are missing")]);
    assert_eq!(gaps(&said), [(8, 5)]);
    assert_eq!(texts(&said), ["two are missing"]);
    // The sender gave 9 and 10 up, and says so.
    let given_up = ServerFrame::Deliver(Deliver {
        id: id(5, 11),
        from: number(BOB),
        device: TABLET,
        at: START,
        body: Body(b"no gap".to_vec()),
        after: Some(8),
        to: None,
    });
    let mut phone = phone.crashes(2);
    phone.connects();
    assert_eq!(gaps(&phone.hears(vec![given_up])), []);
    // A late one is shown, and the next is still in its place.
    let said = phone.hears(vec![deliver(BOB, 5, 6, "late"), deliver(BOB, 5, 12, "next")]);
    assert_eq!((gaps(&said), texts(&said).len()), (vec![], 2));
    let other = ServerFrame::Deliver(Deliver {
        id: id(5, 20),
        from: number(BOB),
        device: DeviceId(2),
        at: START,
        body: Body(b"of another device".to_vec()),
        after: None,
        to: None,
    });
    assert_eq!(gaps(&phone.hears(vec![other])), []);
}

#[test]
fn what_is_not_understood_is_left_and_the_rest_taken() {
    let mut phone = Phone::connected();
    phone.encoding = estafette_protocol::Encoding::Json;
    let store = Store::in_memory().unwrap();
    let config = estafette_core::Config { encoding: phone.encoding, ..Default::default() };
    phone.client =
        Client::start_with(store, alice(), &secrets(), config, entropy(1), START).unwrap();
    phone.connects();
    phone.hears(vec![deliver(BOB, 5, 9, "of a conversation that this device is in")]);
    let bob = Leaf { account: number(BOB), device: TABLET };
    let body = people(|people| people.seal(bob, number(ALICE), id(5, 1), b"hi"));
    let body = data_encoding::BASE64.encode(&body.0);
    let text = format!(
        r#"[{{"weather": {{"rain": true}}}}, {{"deliver": {{"id": "no id"}}}},
            {{"error": {{"code": "unknown_frame", "index": 3}}}},
            {{"deliver": {{"id": "{}", "from": "+{BOB}", "device": "{TABLET}", "at": 1,
                "body": "{body}", "colour": "red"}}}}]"#,
        id(5, 1)
    );
    let said = phone.input(Input::Message(estafette_protocol::WireMessage::Text(text)));
    assert_eq!(texts(&said), ["hi"]);
    assert_eq!(said.acks(), [id(5, 1)]);
    let errors = [ErrorCode::Malformed, ErrorCode::UnknownFrame].map(Event::Error);
    assert_eq!(said.events[..2], errors);
    // What is no batch at all can only be asked for again.
    let garbage = estafette_protocol::WireMessage::Binary(vec![0xff; 10]);
    let said = phone.input(Input::Message(garbage));
    assert!(said.does("disconnect"));
    assert_eq!(said.events[0], Event::Error(ErrorCode::Malformed));
    assert!(phone.client.wake_at().unwrap() - phone.now >= 5 * SECOND, "not in haste");
}
