//! Whatever fails, and wherever: what was told `sent` arrives, what was not is sent again, and in the
//! end every queue is empty.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{PeerAnswer, PeerItem, PeerRequest, Verdict};
use support::*;

/// The marks that came in, with what they are about.
fn marks(frames: &[ServerFrame]) -> Vec<(Mark, Vec<MessageId>)> {
    let marks = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Receipt(receipt) => Some((receipt.mark, receipt.ids.clone())),
        _ => None,
    });
    marks.collect()
}

#[test]
fn a_call_that_failed_before_or_after_is_safe_to_repeat() {
    for took_effect in [false, true] {
        let mut world = World::with(&[ALICE, BOB]);
        let alice = world.connect(ALICE, 1);
        let fault = Some(BOB);
        if took_effect {
            world.mute = fault;
        } else {
            world.unreachable = fault;
        }
        let read = receipt(BOB, id(2, 1), ids(9, [1]), Mark::Read);
        world.says(ALICE, alice, &[burst(BOB, 1, 1..=2), vec![read.clone()]].concat());
        let heard = world.hears(ALICE, alice);
        let unavailable = |id| (id, ErrorCode::Unavailable);
        let told = [id(1, 1), id(1, 2), id(2, 1)].map(unavailable);
        assert_eq!(refused(&heard), told);
        assert_eq!(refusal(&heard).retry_after, Some(1000));
        assert_eq!(sent(&heard), []);
        assert_eq!(world.mailbox(BOB).waiting(), if took_effect { 3 } else { 0 });

        (world.unreachable, world.mute) = (None, None);
        world.says(ALICE, alice, &[burst(BOB, 1, 1..=3), vec![read]].concat());
        assert_eq!(sent(&world.hears(ALICE, alice)), [ids(1, 1..=3), ids(2, [1])].concat());
        let bob = world.connect(BOB, 1);
        assert_eq!(world.receives(BOB, bob), ids(1, 1..=3), "each once");
    }
}

#[test]
fn what_follows_a_lost_call_is_not_taken_before_it() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.hears(ALICE, alice);
    world.unreachable = Some(BOB);
    world.says(ALICE, alice, &[send(BOB, 1, 2, true)]);
    world.unreachable = None;
    world.says(ALICE, alice, &[send(BOB, 1, 3, true)]);
    let heard = world.hears(ALICE, alice);
    let (gone, order) = (ErrorCode::Unavailable, ErrorCode::OutOfOrder);
    assert_eq!(refused(&heard), [(id(1, 2), gone), (id(1, 3), order)]);
}

/// BOB has acknowledged a stored message of ALICE, whose mailbox could not be told.
fn owing() -> World {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.closes(ALICE, alice);
    let bob = world.connect(BOB, 1);
    world.hears(BOB, bob);
    world.unreachable = Some(ALICE);
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
    assert_eq!((world.count(BOB, "page"), world.count(BOB, "owed")), (0, 1));
    world
}

#[test]
fn what_a_sender_could_not_be_told_is_owed_until_it_can() {
    let mut world = owing();
    let first = world.now;
    let mut waits = Vec::new();
    for _ in 0..8 {
        let (now, due) = (world.now, world.object(BOB).alarm.unwrap());
        waits.push((due - now) / 1000);
        world.called = 0;
        world.restarts(BOB);
        world.wait(due - now);
        assert_eq!((world.called, world.count(BOB, "owed")), (1, 1));
    }
    assert_eq!(waits, [10, 10, 20, 40, 80, 160, 320, 640]);
    world.unreachable = None;
    let due = world.object(BOB).alarm.unwrap();
    world.wait(due - world.now);
    assert_eq!(world.count(BOB, "owed"), 0);
    assert_eq!(world.now - first, 2_560_000);
    let alice = world.connect(ALICE, 1);
    assert_eq!(delivered(&world.hears(ALICE, alice)), ids(1, [1]));
    // The alarm that was set in case of another failure is the last.
    let due = world.object(BOB).alarm.unwrap();
    world.wait(due - world.now);
    assert_eq!(world.object(BOB).alarm, None);
}

#[test]
fn what_is_owed_ends_with_the_life_of_a_message() {
    let mut world = owing();
    let mut tries = 0;
    let over = world.now + limits::MESSAGE_LIFE;
    while let Some(due) = world.object(BOB).alarm {
        tries += 1;
        assert!(tries < 30, "about 20 in 30 days");
        world.wait(due - world.now);
    }
    assert!(world.now >= over && tries > 15);
    assert_eq!(world.count(BOB, "owed"), 0);
}

#[test]
fn what_is_owed_may_be_told_twice() {
    let mut world = owing();
    (world.unreachable, world.mute) = (None, Some(ALICE));
    world.wait(10_000);
    world.mute = None;
    world.wait(10_000);
    assert_eq!(world.count(BOB, "owed"), 0);
    let alice = world.connect(ALICE, 1);
    let told = marks(&world.hears(ALICE, alice));
    assert_eq!(told, vec![(Mark::Delivered, ids(1, [1])); 2]);
}

#[test]
fn more_than_one_alarm_can_carry_is_owed_and_told() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    let mut number = 0;
    for _ in 0..2 {
        for _ in 0..40 {
            number += 1;
            world.says(ALICE, alice, &[send(BOB, 1, number, number > 1)]);
        }
        world.wait(20_000);
    }
    let bob = world.connect(BOB, 1);
    world.unreachable = Some(ALICE);
    for number in 1..=80 {
        world.says(BOB, bob, &[ack(ids(1, [number]))]);
    }
    assert_eq!(world.count(BOB, "owed"), 80);
    world.unreachable = None;
    for _ in 0..3 {
        let due = world.object(BOB).alarm.unwrap();
        world.wait(due - world.now);
    }
    assert_eq!(world.count(BOB, "owed"), 0);
    let mut told = delivered(&world.hears(ALICE, alice));
    told.sort();
    assert_eq!(told, ids(1, 1..=80));
}

#[test]
fn a_crash_between_acknowledgement_and_telling_delivers_again_and_tells() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=3));
    world.hears(ALICE, alice);
    let bob = world.connect(BOB, 1);
    world.hears(BOB, bob);
    world.calls_hang = true;
    world.says(BOB, bob, &[ack(ids(1, 1..=3))]);
    assert_eq!(world.count(BOB, "page"), 1, "kept until the sender knows");
    world.restarts(BOB);
    world.loses_calls();
    world.calls_hang = false;
    let bob = world.connect(BOB, 1);
    assert_eq!(world.receives(BOB, bob), ids(1, 1..=3));
    world.says(BOB, bob, &[ack(ids(1, 1..=3))]);
    assert_eq!(delivered(&world.hears(ALICE, alice)), ids(1, 1..=3));
    assert_eq!(world.count(BOB, "page"), 0);
}

#[test]
fn what_was_only_held_is_owed_by_the_sender_alone() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.unreachable = Some(ALICE);
    let rows = world.rows(BOB);
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    assert_eq!(world.rows(BOB), rows, "nothing is written for it");
    assert_eq!(world.mailbox(BOB).waiting(), 0);
    world.unreachable = None;
    world.hears(BOB, bob);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let heard = world.hears(ALICE, alice);
    assert_eq!((sent(&heard), delivered(&heard)), (ids(1, [1]), ids(1, [1])));
    assert_eq!(world.hears(BOB, bob), []);
}

#[test]
fn an_answer_that_does_not_fit_its_call_is_none() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.calls_hang = true;
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let answer = PeerAnswer { verdicts: vec![], at: world.now, keys: vec![] };
    world.answers(ALICE, BOB, Some(answer));
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(1, 1), ErrorCode::Unavailable)]);
    // An answer to no call, as after a crash, changes nothing.
    let (verdicts, keys) = (vec![Verdict::Stored], vec![]);
    let answer = PeerAnswer { verdicts, at: world.now, keys };
    world.answers(ALICE, BOB, Some(answer));
    assert_eq!(world.hears(ALICE, alice), []);
}

#[test]
fn what_comes_while_a_call_is_under_way_travels_together() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.calls_hang = true;
    for number in 1..=20 {
        world.says(ALICE, alice, &[send(BOB, 1, number, number > 1)]);
    }
    world.calls_hang = false;
    world.called = 0;
    world.settle();
    assert_eq!(world.called, 2);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, 1..=20));
    assert_eq!(world.count(BOB, "page"), 2);
}

#[test]
fn a_clock_that_goes_back_holds_nothing_for_longer() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, _) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.now -= 3_600_000;
    world.timer_fires(BOB);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]));
    assert_eq!(world.object(BOB).timer, None);

    // By less than the hold: the timer is set again, for no more than is left.
    world.wait(5000);
    world.restarts(BOB);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    world.says(ALICE, alice, &[send(BOB, 1, 2, false)]);
    world.now += 400;
    world.timer_fires(BOB);
    let left = world.now + 600;
    assert_eq!(world.object(BOB).timer, Some(left));
    world.wait(600);
    assert!(sent(&world.hears(ALICE, alice)).contains(&id(1, 2)));
}

#[test]
fn an_alarm_is_set_only_for_something_and_never_put_off() {
    // The harness asserts that an alarm is only ever set to an earlier time than the pending one.
    let mut world = World::with(&[ALICE, BOB]);
    let registered = world.object(BOB).alarm.take();
    assert!(registered.is_some(), "for the code, should nobody have registered");
    world.restarts(BOB);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    for number in 1..=5 {
        world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
        world.says(BOB, bob, &[ack(ids(1, [number]))]);
        world.wait(10_000);
    }
    assert_eq!((world.object(BOB).alarm, world.object(BOB).timer), (None, None));

    world.closes(BOB, bob);
    world.says(ALICE, alice, &[send(BOB, 1, 6, false)]);
    let first = world.now + limits::MESSAGE_LIFE;
    assert_eq!(world.object(BOB).alarm, Some(first));
    world.wait(60_000);
    world.says(ALICE, alice, &[send(BOB, 1, 7, false)]);
    assert_eq!(world.object(BOB).alarm, Some(first));
    world.restarts(BOB);
    world.wait(first - world.now);
    assert_eq!(world.mailbox(BOB).waiting(), 1);
    assert_eq!(world.object(BOB).alarm, Some(first + 60_000), "for the next");
    // Too early, as an alarm may be: nothing goes, and it is asked for again.
    world.now -= 1000;
    world.alarm_fires(BOB);
    assert_eq!(world.object(BOB).alarm, Some(first + 60_000));
    world.now = first + 60_000;
    world.alarm_fires(BOB);
    assert_eq!((world.mailbox(BOB).waiting(), world.object(BOB).alarm), (0, None));
    world.alarm_fires(BOB);
    assert_eq!(world.object(BOB).alarm, None);
}

#[test]
fn what_was_committed_and_did_not_leave_is_put_on_the_sockets_that_are_left() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    for number in 1..=3 {
        world.says(ALICE, alice, &[send(BOB, 1, number, false)]);
        world.wait(1000);
    }
    world.says(BOB, bob, &[ack(ids(1, 1..=3))]);
    world.hears(BOB, bob);
    assert_eq!(world.count(BOB, "page"), 0);
    world.hibernates(BOB);
    let news =
        PeerItem::Delivered { device: DeviceId(1), ids: ids(7, [1]), at: world.now, stored: true };
    let request = PeerRequest { from: number(ALICE), to: number(BOB), items: vec![news] };
    let now = world.now;
    let (answer, _) = world.mailbox(BOB).on_call(now, request).unwrap();
    assert_eq!(answer.verdicts, [Verdict::Stored]);
    world.hibernates(BOB);
    world.says(BOB, bob, &[]);
    let heard = world.hears(BOB, bob);
    assert_eq!(delivered(&heard), ids(7, [1]));
    world.says(BOB, bob, &[ack(receipt_ids(&heard))]);
    assert_eq!(world.mailbox(BOB).waiting(), 0);
}

#[test]
fn a_socket_that_is_closing_is_no_socket_after_hibernation() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, first) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    let second = world.connect(BOB, 1);
    assert_eq!(world.object(BOB).sockets[&first].closed, Some(4002));
    world.hears(BOB, second);
    // The platform gives both back as long as the device has not answered the close.
    world.hibernates(BOB);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    assert_eq!(world.receives(BOB, second), ids(1, [1]));
    world.says(BOB, second, &[ack(ids(1, [1]))]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]));
    world.says(BOB, second, &[receipt(ALICE, id(5, 1), ids(1, [1]), Mark::Read)]);
    world.wait(1000);
    assert!(sent(&world.hears(BOB, second)).contains(&id(5, 1)));
}

#[test]
fn a_stored_tell_is_no_receipt() {
    // `Stored` says nothing but `sent`: it may be lost, and is kept nowhere.
    let mut world = World::with(&[ALICE, BOB]);
    let device = DeviceId(1);
    let stored = PeerItem::Stored { device, ids: ids(1, [1]), at: world.now };
    world.calls(BOB, ALICE, vec![stored]);
    assert_eq!(world.mailbox(ALICE).waiting(), 0);
}
