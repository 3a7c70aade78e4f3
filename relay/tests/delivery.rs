//! One message's journey through two mailboxes, without faults in between.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use support::*;

#[test]
fn both_online_writes_nothing_and_takes_two_calls() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.hears(ALICE, alice);
    let rows = (world.rows(ALICE), world.rows(BOB));
    world.called = 0;

    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    assert_eq!(world.receives(BOB, bob), [id(1, 1)]);
    assert_eq!(world.hears(ALICE, alice), [], "held is not yet safe");
    world.says(BOB, bob, &[ack(vec![id(1, 1)])]);
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&heard), [id(1, 1)]);
    assert_eq!(delivered(&heard), [id(1, 1)]);
    world.says(ALICE, alice, &[ack(receipt_ids(&heard))]);

    assert_eq!(world.called, 2);
    assert_eq!((world.rows(ALICE), world.rows(BOB)), rows);
    assert_eq!(world.mailbox(ALICE).waiting() + world.mailbox(BOB).waiting(), 0);
    assert_eq!(world.object(BOB).timer, None, "nothing in flight keeps no timer");
}

#[test]
fn recipient_away_costs_one_row_a_burst_and_comes_back_in_order() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    let rows = world.rows(BOB);
    let burst: Vec<_> = (1..=20).map(|n| send(BOB, 9, n, n > 1)).collect();
    world.says(ALICE, alice, &burst);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(9, 1..=20));
    assert_eq!(world.rows(BOB), rows + 1);

    let bob = world.connect(BOB, 1);
    let heard = world.hears(BOB, bob);
    assert!(matches!(&heard[0], ServerFrame::Hello(hello) if hello.waiting == 20));
    assert!(matches!(heard.last(), Some(ServerFrame::Drained(_))));
    assert_eq!(heard.len(), 22);
    world.says(BOB, bob, &[ack(ids(9, 1..=20))]);
    assert_eq!(delivered(&world.hears(ALICE, alice)), ids(9, 1..=20));
    assert_eq!(world.rows(BOB), rows + 3, "one page in, one page out, and the day of its coming");
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn what_is_held_is_stored_after_a_second_or_when_the_socket_closes() {
    for closes in [false, true] {
        let mut world = World::with(&[ALICE, BOB]);
        let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
        world.says(ALICE, alice, &[send(BOB, 1, 1, false), send(BOB, 1, 2, true)]);
        assert_eq!(sent(&world.hears(ALICE, alice)), []);
        if closes {
            world.closes(BOB, bob);
        } else {
            world.wait(999);
            assert_eq!(sent(&world.hears(ALICE, alice)), []);
            world.wait(1);
        }
        assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, 1..=2));
        world.restarts(BOB);
        let bob = world.connect(BOB, 1);
        assert_eq!(world.receives(BOB, bob), ids(1, 1..=2));
    }
}

#[test]
fn status_reaches_a_sender_who_was_away_meanwhile() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.closes(ALICE, alice);
    let bob = world.connect(BOB, 1);
    let read = Receipt { id: id(5, 1), to: number(ALICE), ids: ids(1, [1]), mark: Mark::Read };
    world.says(BOB, bob, &[ack(ids(1, [1])), ClientFrame::Receipt(read)]);
    assert_eq!(sent(&world.hears(BOB, bob)), [id(5, 1)], "the receipt is safe");
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    let marks: Vec<_> = world
        .hears(ALICE, alice)
        .into_iter()
        .filter_map(|frame| match frame {
            ServerFrame::Receipt(receipt) => Some((receipt.mark, receipt.ids)),
            _ => None,
        })
        .collect();
    assert_eq!(marks, [(Mark::Delivered, ids(1, [1])), (Mark::Read, ids(1, [1]))]);
}

#[test]
fn every_device_has_its_own_pace_through_the_window() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.send_burst = 2000;
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    for start in [1, 201, 401] {
        let burst: Vec<_> = (start..start + 200).map(|n| send(BOB, 2, n, n > 1)).collect();
        world.says(ALICE, alice, &burst);
    }
    let bob = world.connect_as(BOB, 1, Encoding::Json).unwrap();
    let mut received = world.receives(BOB, bob);
    assert!(received.len() <= 256, "{}", received.len());
    let mut acknowledged = 0;
    while acknowledged < received.len() {
        // A piece at a time, over a hibernation each.
        let piece = received[acknowledged..(acknowledged + 100).min(received.len())].to_vec();
        acknowledged += piece.len();
        world.hibernates(BOB);
        world.says(BOB, bob, &[ack(piece)]);
        received.extend(world.receives(BOB, bob));
        received.extend(world.receives(BOB, bob));
        assert!(received.len() - acknowledged <= 256);
    }
    assert_eq!(received, ids(2, 1..=600));
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn a_partly_acknowledged_page_goes_on_where_it_was() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    let burst: Vec<_> = (1..=20).map(|n| send(BOB, 9, n, n > 1)).collect();
    world.says(ALICE, alice, &burst);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(9, 1..=7))]);
    world.restarts(BOB);
    let bob = world.connect(BOB, 1);
    assert_eq!(world.receives(BOB, bob), ids(9, 8..=20));
}

#[test]
fn an_acknowledgement_covers_only_what_the_device_was_given() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    world.closes(BOB, bob);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    // Hibernated with a socket that has not been given it: as a position reused would look like.
    let bob = world.connect(BOB, 1);
    world.hibernates(BOB);
    world.says(BOB, bob, &[ack(ids(1, [2, 3]))]);
    assert_eq!(world.mailbox(BOB).waiting(), 1);
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn what_no_longer_fits_the_window_comes_after_what_is_held() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.send_burst = 1000;
    world.restarts(ALICE);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &burst(BOB, 1, 1..=200));
    world.says(ALICE, alice, &burst(BOB, 1, 201..=300));
    assert_eq!(sent(&world.hears(ALICE, alice)).len(), 300, "stored, all of it");
    assert_eq!(world.receives(BOB, bob), ids(1, 1..=200));
    world.wait(1000);
    world.says(BOB, bob, &[ack(ids(1, 1..=200))]);
    assert_eq!(world.receives(BOB, bob), ids(1, 201..=300));
}

#[test]
fn what_is_still_to_be_given_cannot_be_acknowledged() {
    let mut world = World::with(&[ALICE, BOB]);
    world.config.send_burst = 1000;
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=200));
    world.says(ALICE, alice, &burst(BOB, 1, 201..=400));
    let bob = world.connect(BOB, 1);
    let given = world.receives(BOB, bob).len() as u64;
    assert!((100..=256).contains(&given));
    for hibernated in [false, true] {
        if hibernated {
            world.hibernates(BOB);
        }
        world.says(BOB, bob, &[ack(ids(1, given + 1..=given + 100))]);
        assert_eq!(world.mailbox(BOB).waiting(), 400);
    }
}

#[test]
fn the_new_device_of_a_number_inherits_what_waits_and_the_old_one_is_cut_off() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.register(BOB, 2);
    assert_eq!(world.object(BOB).sockets[&bob].closed, Some(4001));
    assert_eq!(
        world.connect_as(BOB, 1, Encoding::Cbor).unwrap_err().code,
        ErrorCode::DeviceRemoved
    );
    let bob = world.connect(BOB, 2);
    assert_eq!(world.receives(BOB, bob), ids(1, [1]));
}

#[test]
fn a_second_socket_of_a_device_replaces_the_first_and_loses_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, first) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let second = world.connect(BOB, 1);
    assert_eq!(world.object(BOB).sockets[&first].closed, Some(4002));
    assert_eq!(world.receives(BOB, second), ids(1, [1]));
    world.says(BOB, first, &[ack(ids(1, [1]))]);
    assert_eq!(world.mailbox(BOB).waiting(), 1, "a replaced socket has no say");
}

#[test]
fn messages_expire_after_thirty_days() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.wait(limits::MESSAGE_LIFE - 1);
    assert_eq!(world.mailbox(BOB).waiting(), 1);
    world.wait(1);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
    assert_eq!(world.object(BOB).alarm, None, "nothing left, no alarm");
}

#[test]
fn one_may_write_to_oneself() {
    let mut world = World::with(&[ALICE]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(ALICE, 1, 1, false)]);
    assert_eq!(world.receives(ALICE, alice), ids(1, [1]));
    world.says(ALICE, alice, &[ack(ids(1, [1]))]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]));
}
