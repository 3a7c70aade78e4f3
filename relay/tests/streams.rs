//! Each message is taken once and in the order of its stream, whatever is repeated, refused or
//! forgotten in between.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{PeerItem, PeerMessage, Verdict};
use support::*;

const OUT_OF_ORDER: Verdict = Verdict::Refused { code: ErrorCode::OutOfOrder, retry_after: None };

/// A message of ALICE's device 1 on its way to BOB's mailbox.
fn message(stream: u64, number: u64, chained: bool, after: Option<u64>) -> PeerItem {
    let body = Body(vec![number as u8]);
    let (id, device) = (id(stream, number), DeviceId(1));
    PeerItem::Message(PeerMessage { id, device, body, chained, after })
}

fn follows(number: u64, after: u64) -> ClientFrame {
    let ClientFrame::Send(frame) = send(BOB, 1, number, true) else { panic!() };
    ClientFrame::Send(Send { after: Some(after), ..frame })
}

fn oversized(number: u64) -> ClientFrame {
    let ClientFrame::Send(frame) = send(BOB, 1, number, true) else { panic!() };
    ClientFrame::Send(Send { body: Body(vec![0; limits::BODY_BYTES_MAX + 1]), ..frame })
}

#[test]
fn a_repetition_of_what_is_held_is_not_shown_again() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    for _ in 0..3 {
        world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    }
    assert_eq!(world.receives(BOB, bob), ids(1, [1]));
    assert_eq!(sent(&world.hears(ALICE, alice)), [], "held is not yet safe");
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]));
}

#[test]
fn a_repetition_of_what_is_stored_is_told_sent_and_writes_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=3));
    world.hears(ALICE, alice);
    let rows = world.rows(BOB);
    for evicted in [false, true] {
        if evicted {
            world.restarts(BOB);
        }
        world.says(ALICE, alice, &burst(BOB, 1, 1..=3));
        assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, 1..=3));
        assert_eq!(world.mailbox(BOB).waiting(), 3);
    }
    assert_eq!(world.count(BOB, "page"), 1);
    assert_eq!(world.rows(BOB), 0, "nothing since the restart");
    assert!(rows > 0);
    let bob = world.connect(BOB, 1);
    assert_eq!(world.receives(BOB, bob), ids(1, 1..=3));
}

#[test]
fn a_repetition_of_what_is_delivered_is_told_so() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    world.hears(ALICE, alice);
    world.hears(BOB, bob);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let heard = world.hears(ALICE, alice);
    assert_eq!((sent(&heard), delivered(&heard)), (ids(1, [1]), ids(1, [1])));
    assert_eq!(world.hears(BOB, bob), []);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn what_is_delivered_and_forgotten_is_taken_again_only_by_itself() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &burst(BOB, 1, 1..=2));
    world.says(BOB, bob, &[ack(ids(1, 1..=2))]);
    world.hears(ALICE, alice);
    world.restarts(BOB);
    world.says(ALICE, alice, &[send(BOB, 1, 2, true)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(1, 2), ErrorCode::OutOfOrder)]);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=2));
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, 1..=2));
    let bob = world.connect(BOB, 1);
    assert_eq!(world.receives(BOB, bob), ids(1, 1..=2), "the device shows neither again");
}

#[test]
fn the_same_message_twice_in_one_call_is_one() {
    let mut world = World::with(&[ALICE, BOB]);
    let twice = || vec![message(1, 1, false, None), message(1, 1, false, None)];
    assert_eq!(world.calls(ALICE, BOB, twice()), [Verdict::Stored, Verdict::Held]);
    assert_eq!(world.mailbox(BOB).waiting(), 1);
    assert_eq!(world.calls(ALICE, BOB, twice()), [Verdict::Stored, Verdict::Stored]);

    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 2, 1, false), send(BOB, 2, 1, false)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(2, [1]));
}

#[test]
fn an_id_used_twice_stands_for_the_first_body() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    let ClientFrame::Send(frame) = send(BOB, 1, 1, false) else { panic!() };
    let other = Send { body: Body(b"other".to_vec()), ..frame.clone() };
    world.says(ALICE, alice, &[ClientFrame::Send(frame.clone()), ClientFrame::Send(other)]);
    let heard = world.hears(BOB, bob);
    let bodies: Vec<_> = heard
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Deliver(deliver) => Some(&deliver.body),
            _ => None,
        })
        .collect();
    assert_eq!(bodies, [&frame.body]);
}

#[test]
fn nothing_is_taken_before_what_it_follows() {
    let mut world = World::with(&[ALICE, BOB]);
    let chained = |number| message(1, number, true, None);
    assert_eq!(world.calls(ALICE, BOB, vec![chained(2)]), [OUT_OF_ORDER], "an unknown stream");
    assert_eq!(world.calls(ALICE, BOB, vec![message(1, 1, false, None)]), [Verdict::Stored]);
    assert_eq!(world.calls(ALICE, BOB, vec![chained(3)]), [OUT_OF_ORDER], "a gap");
    assert_eq!(
        world.calls(ALICE, BOB, vec![chained(3), chained(2), chained(4), chained(3)]),
        [OUT_OF_ORDER, Verdict::Stored, OUT_OF_ORDER, Verdict::Stored]
    );
    let bob = world.connect(BOB, 1);
    assert_eq!(world.receives(BOB, bob), ids(1, 1..=3));
}

#[test]
fn what_follows_a_refused_message_is_refused_in_the_same_call() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.queue_messages_max = 2;
    world.restarts(BOB);
    let full = Verdict::Refused { code: ErrorCode::MailboxFull, retry_after: None };
    let items = |first: u64| (first..first + 4).map(|n| message(1, n, n > 1, None)).collect();
    let verdicts = world.calls(ALICE, BOB, items(1));
    assert_eq!(verdicts, [Verdict::Stored, Verdict::Stored, full, OUT_OF_ORDER]);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(1, 1..=2))]);
    world.closes(BOB, bob);
    let verdicts = world.calls(ALICE, BOB, items(3));
    assert_eq!(verdicts, [Verdict::Stored, Verdict::Stored, full, OUT_OF_ORDER]);
}

#[test]
fn a_message_may_follow_over_numbers_that_were_given_up() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false), oversized(2), send(BOB, 1, 3, true)]);
    let heard = world.hears(ALICE, alice);
    let (large, order) = (ErrorCode::TooLarge, ErrorCode::OutOfOrder);
    assert_eq!(refused(&heard), [(id(1, 2), large), (id(1, 3), order)]);
    world.says(ALICE, alice, &[follows(3, 1), send(BOB, 1, 4, true)]);
    let after: Vec<_> = world
        .hears(BOB, bob)
        .into_iter()
        .filter_map(|frame| match frame {
            ServerFrame::Deliver(deliver) => Some((deliver.id.number, deliver.after)),
            _ => None,
        })
        .collect();
    assert_eq!(after, [(1, None), (3, Some(1)), (4, None)]);
}

#[test]
fn what_was_given_up_is_never_said_to_be_delivered() {
    let mut world = World::with(&[ALICE, BOB]);
    let given_up = [message(1, 2, true, None), message(1, 5, false, None)];
    let items = vec![
        message(1, 1, false, None),
        message(1, 3, true, Some(1)),
        // What is not chained says that all before it is settled.
        message(1, 6, false, None),
    ];
    assert_eq!(world.calls(ALICE, BOB, items), [Verdict::Stored; 3]);
    assert_eq!(world.calls(ALICE, BOB, given_up.to_vec()), [OUT_OF_ORDER; 2]);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(1, [1, 3, 6]))]);
    assert_eq!(world.calls(ALICE, BOB, given_up.to_vec()), [OUT_OF_ORDER; 2], "nor when all are");
}

#[test]
fn what_nobody_knows_any_more_is_taken_again_and_not_said_to_be_delivered() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    for number in 1..=3 {
        world.says(ALICE, alice, &[send(BOB, 1, number, number > 1)]);
    }
    world.hears(ALICE, alice);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(1, [2]))]);
    world.hears(ALICE, alice);
    world.restarts(BOB);
    assert_eq!(world.mailbox(BOB).waiting(), 2);
    // Her device did not hear that, and repeats from there.
    world.says(ALICE, alice, &[send(BOB, 1, 2, false), send(BOB, 1, 3, true)]);
    let heard = world.hears(ALICE, alice);
    assert_eq!((sent(&heard), delivered(&heard)), (ids(1, 2..=3), vec![]));
    let bob = world.connect(BOB, 1);
    let mut received = world.receives(BOB, bob);
    received.sort();
    assert_eq!(received, ids(1, 1..=3));
}

#[test]
fn many_streams_do_not_make_a_mailbox_forget_what_was_given_up() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    world.calls(ALICE, BOB, vec![message(1, 1, false, None), message(1, 3, true, Some(1))]);
    // Two generations of 2,048 streams are remembered. This one is the first of the older when the
    // younger is full, and then it is used.
    for other in 10..10 + 4095 {
        world.calls(ALICE, BOB, vec![message(other, 1, false, None)]);
        world.says(BOB, bob, &[ack(ids(other, [1]))]);
        world.now += 10;
    }
    assert_eq!(world.calls(ALICE, BOB, vec![message(1, 4, true, None)]), [Verdict::Held]);
    assert_eq!(world.calls(ALICE, BOB, vec![message(1, 2, true, None)]), [OUT_OF_ORDER]);
    world.calls(ALICE, BOB, vec![message(5, 1, false, None)]);
    assert_eq!(world.calls(ALICE, BOB, vec![message(1, 2, true, None)]), [OUT_OF_ORDER]);
}

#[test]
fn streams_of_other_devices_and_accounts_are_other_streams() {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    world.link(ALICE, 2);
    let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    let carol = world.connect(CAROL, 1);
    world.says(ALICE, first, &[send(BOB, 1, 1, false)]);
    world.says(ALICE, second, &burst(BOB, 1, 1..=2));
    world.says(CAROL, carol, &burst(BOB, 1, 1..=3));
    // The copies are committed.
    world.wait(1000);
    assert_eq!(sent(&world.hears(ALICE, first)), ids(1, [1]));
    assert_eq!(sent(&world.hears(ALICE, second)), ids(1, 1..=2));
    assert_eq!(sent(&world.hears(CAROL, carol)), ids(1, 1..=3));
    for evicted in [false, true] {
        if evicted {
            world.restarts(BOB);
        }
        world.says(ALICE, first, &[send(BOB, 1, 3, true)]);
        assert_eq!(refused(&world.hears(ALICE, first)), [(id(1, 3), ErrorCode::OutOfOrder)]);
    }
    let bob = world.connect(BOB, 1);
    let from: Vec<_> = world
        .hears(BOB, bob)
        .into_iter()
        .filter_map(|frame| match frame {
            ServerFrame::Deliver(deliver) => {
                Some((deliver.from.digits(), deliver.device.0, deliver.id.number))
            }
            _ => None,
        })
        .collect();
    let expected =
        [(ALICE, 1, 1), (ALICE, 2, 1), (ALICE, 2, 2), (CAROL, 1, 1), (CAROL, 1, 2), (CAROL, 1, 3)];
    assert_eq!(from, expected);
}

#[test]
fn equal_ids_in_one_page_do_not_eat_up_the_window() {
    let mut world = World::with(&[ALICE, BOB]);
    world.link(ALICE, 2);
    world.config.send_burst = 300;
    world.restarts(ALICE);
    let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    // All 256 leave in one call, and so come to lie in one page.
    world.calls_hang = true;
    world.says(ALICE, first, &[send(BOB, 9, 1, false)]);
    world.says(ALICE, first, &burst(BOB, 1, 1..=128));
    world.says(ALICE, second, &burst(BOB, 1, 1..=128));
    world.calls_hang = false;
    world.settle();
    world.calls(CAROL, BOB, (1..=200).map(|n| message(3, n, n > 1, None)).collect());
    let bob = world.connect(BOB, 1);
    let mut seen = 0;
    loop {
        let received = world.receives(BOB, bob);
        if received.is_empty() {
            break;
        }
        seen += received.len();
        assert!(received.len() <= limits::UNACKNOWLEDGED_MAX);
        world.says(BOB, bob, &[ack(received)]);
    }
    assert_eq!(seen, 457, "each once");
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn a_number_that_cannot_be_is_refused() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect_as(ALICE, 1, Encoding::Json).unwrap();
    world.hears(ALICE, alice);
    world.says(ALICE, alice, &[follows(3, 3), follows(3, 4), follows(1, 1)]);
    let malformed = |number| (id(1, number), ErrorCode::Malformed);
    let heard = world.hears(ALICE, alice);
    assert_eq!(refused(&heard), [malformed(3), malformed(3), malformed(1)]);
    for number in [0, limits::MESSAGE_NUMBER_MAX + 1] {
        world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
        let heard = world.hears(ALICE, alice);
        assert_eq!(errors(&heard), [(ErrorCode::Malformed, Some(0))], "such an id is no id");
    }
    world.says(ALICE, alice, &[send(BOB, 1, limits::MESSAGE_NUMBER_MAX, false)]);
    assert_eq!(sent(&world.hears(ALICE, alice)).len(), 1);
    assert_eq!(world.mailbox(BOB).waiting(), 1);
}
