//! Everything has a limit, and what passes one is told so and changes nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountRequest, Verdict};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;

fn send_body(to: u64, message: u64, bytes: usize) -> ClientFrame {
    ClientFrame::Send(Send {
        id: id(1, message),
        to: number(to),
        body: Body(vec![b'x'; bytes]),
        chained: false,
        after: None,
    })
}

#[test]
fn sixty_sends_at_once_then_five_a_second() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=62));
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&heard), ids(1, 1..=60));
    let limited = |number| (id(1, number), ErrorCode::RateLimited);
    assert_eq!(refused(&heard), [limited(61), limited(62)]);
    assert_eq!(world.mailbox(BOB).waiting(), 60);

    world.wait(199);
    world.says(ALICE, alice, &[send(BOB, 1, 61, false)]);
    assert_eq!(refusal(&world.hears(ALICE, alice)).retry_after, Some(1));
    world.wait(1);
    world.says(ALICE, alice, &[send(BOB, 1, 61, false), send(BOB, 1, 62, true)]);
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&heard), ids(1, [61]));
    assert_eq!(refusal(&heard).retry_after, Some(200));

    world.wait(12_000);
    world.says(ALICE, alice, &burst(BOB, 2, 1..=61));
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(2, 1..=60), "after twelve seconds, all again");
}

#[test]
fn receipts_have_a_rate_of_their_own() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=60));
    world.hears(ALICE, alice);
    let read = |number| receipt(BOB, id(2, number), ids(9, [number]), Mark::Read);
    let receipts: Vec<_> = (1..=61).map(read).collect();
    world.says(ALICE, alice, &receipts);
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&heard), ids(2, 1..=60));
    assert_eq!(refused(&heard), [(id(2, 61), ErrorCode::RateLimited)]);
}

#[test]
fn a_clock_that_goes_back_locks_nobody_out() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=60));
    world.hears(ALICE, alice);
    for back in [5_990, DAY] {
        world.now -= back;
        world.says(ALICE, alice, &[send(BOB, 1, 61, false)]);
        assert_eq!(refusal(&world.hears(ALICE, alice)).retry_after, Some(200));
        assert!(world.is_open(ALICE, alice), "batches are not thought a flood");
    }
    world.wait(200);
    world.says(ALICE, alice, &[send(BOB, 1, 61, false)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [61]));
}

#[test]
fn over_its_budget_an_account_waits_for_midnight_and_still_receives() {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    world.config.daily_budget = 512_000;
    world.restarts(ALICE);
    let (alice, carol) = (world.connect(ALICE, 1), world.connect(CAROL, 1));
    let mut number = 0;
    let refusal = loop {
        number += 1;
        assert!(number < 500, "there is an end to it");
        world.wait(200);
        world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
        let heard = world.hears(ALICE, alice);
        if sent(&heard).is_empty() {
            break refusal(&heard);
        }
    };
    let midnight = DAY - world.now % DAY;
    assert_eq!(refusal.code, ErrorCode::BudgetExhausted);
    assert_eq!(refusal.retry_after, Some(midnight));
    assert!(number > 150, "{number}: a message costs about 3,150, its count included");
    assert_eq!(world.mailbox(BOB).waiting(), number - 1);

    let read = receipt(BOB, id(5, 1), ids(9, [1]), Mark::Read);
    world.says(ALICE, alice, &[read]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(5, 1), ErrorCode::BudgetExhausted)]);

    world.says(CAROL, carol, &[send(ALICE, 7, 1, false)]);
    assert_eq!(world.receives(ALICE, alice), ids(7, [1]));
    world.says(ALICE, alice, &[ack(ids(7, [1]))]);
    assert_eq!(sent(&world.hears(CAROL, carol)), ids(7, [1]));

    world.closes(ALICE, alice);
    let closed = world.connect_as(ALICE, 1, Encoding::Cbor).unwrap_err();
    assert_eq!((closed.code, closed.retry_after), (refusal.code, Some(midnight)));
    world.says(CAROL, carol, &[send(ALICE, 7, 2, false)]);
    assert_eq!(sent(&world.hears(CAROL, carol)), ids(7, [2]));

    world.wait(midnight - 1);
    assert!(world.connect_as(ALICE, 1, Encoding::Cbor).is_err());
    world.wait(1);
    let alice = world.connect(ALICE, 1);
    assert_eq!(world.receives(ALICE, alice), ids(7, [2]));
    world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [number]));
}

#[test]
fn an_eviction_forgets_at_most_a_256th_of_the_budget() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.daily_budget = 256_000;
    world.restarts(ALICE);
    for number in 1..=40 {
        let alice = world.connect(ALICE, 1);
        world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
        let before = world.usage(ALICE);
        world.restarts(ALICE);
        let after = world.usage(ALICE);
        // A step is counted when it ends, so the step that passes the mark is not lost.
        assert!(after.spent + 1000 >= before.spent, "{} of {}", after.spent, before.spent);
        assert!(after.spent <= before.spent + 150, "nothing is counted twice");
    }
    assert!(world.usage(ALICE).spent > 60_000);
}

#[test]
fn the_count_costs_at_most_256_rows_a_day() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    let before = world.usage(ALICE);
    for number in 1..=2000 {
        world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
        world.says(BOB, bob, &[ack(ids(1, [number]))]);
        let heard = world.hears(ALICE, alice);
        world.says(ALICE, alice, &[ack(receipt_ids(&heard))]);
        world.hears(BOB, bob);
        world.wait(200);
    }
    let after = world.usage(ALICE);
    let (rows, spent) = (after.rows_written - before.rows_written, after.spent - before.spent);
    assert!(spent > 2000 * 150);
    assert!(rows <= spent / (after.budget / 256) + 1, "{rows} rows for {spent}");
}

#[test]
fn a_full_mailbox_refuses_its_sender_until_there_is_room() {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    world.config.queue_messages_max = 10;
    world.restarts(BOB);
    let (alice, carol) = (world.connect(ALICE, 1), world.connect(CAROL, 1));
    world.says(ALICE, alice, &burst(BOB, 1, 1..=9));
    world.says(ALICE, alice, &[send(BOB, 1, 10, true), send(BOB, 1, 11, true)]);
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&heard), ids(1, 1..=10));
    assert_eq!(refused(&heard), [(id(1, 11), ErrorCode::MailboxFull)]);

    let (waiting, rows) = (world.mailbox(BOB).waiting(), world.rows(BOB));
    let read = receipt(BOB, id(3, 1), ids(9, [1]), Mark::Read);
    world.says(CAROL, carol, &[send(BOB, 2, 1, false), read]);
    let full = |id| (id, ErrorCode::MailboxFull);
    assert_eq!(refused(&world.hears(CAROL, carol)), [full(id(2, 1)), full(id(3, 1))]);
    assert_eq!((world.mailbox(BOB).waiting(), world.rows(BOB)), (waiting, rows));

    // A message that came before is no new one, and one's own mailbox may be full.
    world.says(ALICE, alice, &[send(BOB, 1, 10, false)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [10]));
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[send(ALICE, 4, 1, false), ack(ids(1, 1..=10))]);
    world.says(ALICE, alice, &[send(BOB, 1, 11, false)]);
    world.says(CAROL, carol, &[send(BOB, 2, 1, false)]);
    world.wait(1000);
    assert_eq!(sent(&world.hears(ALICE, alice)).last(), Some(&id(1, 11)));
    assert_eq!(sent(&world.hears(CAROL, carol)), ids(2, [1]));
}

#[test]
fn a_mailbox_is_also_full_by_bytes() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.queue_bytes_max = 100_000;
    world.restarts(BOB);
    let alice = world.connect(ALICE, 1);
    for number in 1..=3 {
        world.says(ALICE, alice, &[send_body(BOB, number, 60_000)]);
    }
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&heard), ids(1, 1..=2));
    assert_eq!(refused(&heard), [(id(1, 3), ErrorCode::MailboxFull)]);
    world.restarts(BOB);
    world.says(ALICE, alice, &[send_body(BOB, 3, 60_000)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), [], "bytes are counted anew on waking");
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(1, 1..=2))]);
    world.hears(ALICE, alice);
    world.says(ALICE, alice, &[send_body(BOB, 3, 60_000)]);
    world.wait(1000);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [3]));
}

#[test]
fn a_body_has_64_kibibytes_and_no_more() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut world = World::with(&[ALICE, BOB]);
        let alice = world.connect_as(ALICE, 1, encoding).unwrap();
        let bob = world.connect_as(BOB, 1, encoding).unwrap();
        let most = limits::BODY_BYTES_MAX;
        world.says(ALICE, alice, &[send_body(BOB, 1, most + 1), send_body(BOB, 1, most)]);
        assert_eq!(refused(&world.hears(ALICE, alice)), [(id(1, 1), ErrorCode::TooLarge)]);
        let heard = world.hears(BOB, bob);
        let Some(ServerFrame::Deliver(deliver)) = heard.last() else { panic!("{heard:?}") };
        assert_eq!(deliver.body, Body(vec![b'x'; most]));
    }
}

#[test]
fn an_ack_has_256_ids_and_no_more() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=3));
    let bob = world.connect(BOB, 1);
    world.hears(BOB, bob);
    world.says(BOB, bob, &[ack(ids(9, [1])), ack(ids(1, 1..=257))]);
    assert_eq!(errors(&world.hears(BOB, bob)), [(ErrorCode::TooMany, Some(1))]);
    assert_eq!(world.mailbox(BOB).waiting(), 3);
    world.says(BOB, bob, &[ack(ids(1, 1..=256))]);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn a_receipt_says_what_a_person_did_of_at_most_256_messages() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    let receipts = [
        receipt(ALICE, id(5, 1), ids(1, [1]), Mark::Delivered),
        receipt(ALICE, id(5, 2), vec![], Mark::Read),
        receipt(ALICE, id(5, 3), ids(1, 1..=257), Mark::Read),
        receipt(ALICE, id(5, 4), ids(1, 1..=256), Mark::Played),
    ];
    world.says(BOB, bob, &receipts);
    let heard = world.hears(BOB, bob);
    let (malformed, many) = (ErrorCode::Malformed, ErrorCode::TooMany);
    assert_eq!(refused(&heard), [(id(5, 1), malformed), (id(5, 2), malformed), (id(5, 3), many)]);
    assert_eq!(sent(&heard), ids(5, [4]));
    assert_eq!(world.mailbox(ALICE).waiting(), 1);
}

#[test]
fn a_batch_has_256_frames_and_a_mebibyte_and_no_more() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut world = World::with(&[ALICE, BOB]);
        world.config.send_burst = 1000;
        world.restarts(ALICE);
        let alice = world.connect_as(ALICE, 1, encoding).unwrap();
        world.hears(ALICE, alice);
        world.says(ALICE, alice, &burst(BOB, 1, 1..=257));
        assert_eq!(errors(&world.hears(ALICE, alice)), [(ErrorCode::TooMany, None)]);
        let large: Vec<_> = (1..=17).map(|number| send_body(BOB, number, 65_000)).collect();
        world.says(ALICE, alice, &large);
        assert_eq!(errors(&world.hears(ALICE, alice)), [(ErrorCode::TooLarge, None)]);
        assert_eq!(world.mailbox(BOB).waiting(), 0, "nothing of it was taken");
        world.says(ALICE, alice, &burst(BOB, 1, 1..=256));
        assert_eq!(sent(&world.hears(ALICE, alice)).len(), 256);
    }
}

#[test]
fn what_is_no_frame_is_told_apart_and_the_rest_stands() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect_as(ALICE, 1, Encoding::Json).unwrap();
    world.hears(ALICE, alice);
    let (bad, good) = (id(1, 1), serde_like(&send(BOB, 1, 2, false)));
    let batch = format!(
        r#"[{{"send":{{"id":"{bad}","to":12}}}}, {{"send":{{"id":"short"}}}}, {{"dance":[]}}, 7, {good}]"#
    );
    world.says_raw(ALICE, alice, &WireMessage::Text(batch));
    let heard = world.hears(ALICE, alice);
    assert_eq!(refused(&heard), [(bad, ErrorCode::Malformed)]);
    assert_eq!(
        errors(&heard),
        [
            (ErrorCode::Malformed, Some(1)),
            (ErrorCode::UnknownFrame, Some(2)),
            (ErrorCode::Malformed, Some(3))
        ]
    );
    assert_eq!(sent(&heard), ids(1, [2]));
}

/// A frame as it stands in a batch in JSON.
fn serde_like(frame: &ClientFrame) -> String {
    match Encoding::Json.encode(std::slice::from_ref(frame)) {
        WireMessage::Text(text) => text[1..text.len() - 1].to_owned(),
        WireMessage::Binary(_) => panic!("JSON is text"),
    }
}

#[test]
fn junk_changes_nothing_and_closes_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    let text = |text: &str| WireMessage::Text(text.to_owned());
    let deep = "[".repeat(100_000);
    let one = Encoding::Cbor.encode(&[send(BOB, 1, 1, false)]);
    let WireMessage::Binary(bytes) = &one else { panic!("CBOR is binary") };
    let junk = [
        (Encoding::Json, text("")),
        (Encoding::Json, text("hello")),
        (Encoding::Json, text("[{")),
        (Encoding::Json, text("{}")),
        (Encoding::Json, text(&deep)),
        (Encoding::Json, one.clone()),
        (Encoding::Cbor, text("[]")),
        (Encoding::Cbor, WireMessage::Binary(vec![])),
        (Encoding::Cbor, WireMessage::Binary(bytes[..bytes.len() - 1].to_vec())),
        (Encoding::Cbor, WireMessage::Binary([bytes.as_slice(), &[0]].concat())),
        (Encoding::Cbor, WireMessage::Binary(vec![0x81; 100_000])),
        (Encoding::Cbor, WireMessage::Binary(vec![0x9b, 255, 255, 255, 255, 255, 255, 255, 255])),
        (Encoding::Cbor, WireMessage::Binary(vec![0xff])),
    ];
    for (encoding, message) in junk {
        let alice = world.connect_as(ALICE, 1, encoding).unwrap();
        world.hears(ALICE, alice);
        world.says_raw(ALICE, alice, &message);
        let told = errors(&world.hears(ALICE, alice));
        assert!(
            matches!(told[..], [(ErrorCode::Malformed | ErrorCode::TooMany, None)]),
            "{message:?}: {told:?}"
        );
        assert!(world.is_open(ALICE, alice));
    }
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn a_flood_of_batches_closes_the_socket_and_loses_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    for _ in 0..600 {
        world.says(BOB, bob, &[]);
        assert!(world.is_open(BOB, bob));
    }
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    assert_eq!(world.object(BOB).sockets[&bob].closed, Some(4003));
    let heard = world.hears(BOB, bob);
    assert!(
        matches!(heard.last(), Some(ServerFrame::Goaway(away)) if away.code == ErrorCode::RateLimited)
    );
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]), "what was held is stored");
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    let bob = world.connect(BOB, 1);
    assert_eq!(world.receives(BOB, bob), ids(1, [1]), "the last batch was not looked at");
    for _ in 0..1000 {
        world.wait(10);
        world.says(BOB, bob, &[]);
    }
    assert!(world.is_open(BOB, bob), "a hundred a second are fine");
}

#[test]
fn a_way_that_hangs_takes_768_messages_and_then_no_more() {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    world.config.send_burst = 2000;
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    world.calls_hang = true;
    for first in [1, 257, 513] {
        world.says(ALICE, alice, &burst(BOB, 1, first..=first + 255));
    }
    world.hears(ALICE, alice);
    world.says(ALICE, alice, &[send(BOB, 1, 769, true)]);
    let refusal = refusal(&world.hears(ALICE, alice));
    assert_eq!((refusal.code, refusal.retry_after), (ErrorCode::Unavailable, Some(1000)));
    world.says(ALICE, alice, &[send(CAROL, 2, 1, false)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [], "other ways are open");

    world.calls_hang = false;
    world.called = 0;
    world.settle();
    assert_eq!(world.called, 4, "256 at a time to one, one to the other");
    let mut told = sent(&world.hears(ALICE, alice));
    told.sort();
    assert_eq!(told, [ids(1, 1..=768), ids(2, [1])].concat());
}

#[test]
fn a_socket_that_does_not_read_gets_256_and_no_more() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.send_burst = 2000;
    world.restarts(ALICE);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    for first in [1, 201, 401] {
        world.says(ALICE, alice, &burst(BOB, 1, first..=first + 199));
        world.wait(1000);
    }
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, 1..=600), "its mailbox took all");
    let mut received = world.receives(BOB, bob);
    assert!(received.len() <= limits::UNACKNOWLEDGED_MAX);
    // It reads after all, and gets the rest in order.
    let mut acknowledged = 0;
    while acknowledged < received.len() {
        world.says(BOB, bob, &[ack(received[acknowledged..].to_vec())]);
        acknowledged = received.len();
        received.extend(world.receives(BOB, bob));
    }
    assert_eq!(received, ids(1, 1..=600));
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn refusals_of_other_mailboxes_reach_the_device_as_they_are() {
    let mut world = World::with(&[ALICE]);
    let verdicts = world.calls(BOB, NOBODY, vec![]);
    assert_eq!(verdicts, [] as [Verdict; 0]);
    let request = AccountRequest::Usage(DeviceId(1));
    world.account(ALICE, request);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(NOBODY, 1, 1, false)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(1, 1), ErrorCode::Unregistered)]);
}
