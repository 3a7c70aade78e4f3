//! An account with two devices: what is for it is for both, each at its own pace.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, SocketId, Value};
use support::*;

/// ALICE is connected; BOB has devices 1 and 2.
fn world() -> (World, SocketId) {
    let mut world = World::with(&[ALICE, BOB]);
    world.link(BOB, 2);
    let alice = world.connect(ALICE, 1);
    world.hears(ALICE, alice);
    (world, alice)
}

fn remove(world: &mut World, device: u64, target: u64) {
    let request = AccountRequest::Remove { device: DeviceId(device), target: DeviceId(target) };
    assert_eq!(world.account(BOB, request), AccountAnswer::Granted);
}

fn cursors(world: &mut World) -> Vec<i64> {
    let rows = world.query(BOB, "SELECT cursor FROM device ORDER BY slot");
    let cursors = rows.iter().map(|row| match row[..] {
        [Value::Integer(cursor)] => cursor,
        _ => panic!("{row:?}"),
    });
    cursors.collect()
}

#[test]
fn only_what_both_can_have_at_once_is_held() {
    let (mut world, alice) = world();
    let first = world.connect(BOB, 1);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]), "stored: one is away");
    assert_eq!(world.receives(BOB, first), ids(1, [1]), "and yet on its way to the other");
    let second = world.connect(BOB, 2);
    world.says(BOB, first, &[ack(ids(1, [1]))]);
    world.says(ALICE, alice, &[send(BOB, 1, 2, false)]);
    assert!(sent(&world.hears(ALICE, alice)).contains(&id(1, 2)), "stored: one is behind");
    world.says(BOB, second, &[ack(ids(1, 1..=2))]);
    world.says(BOB, first, &[ack(ids(1, [2]))]);
    world.hears(ALICE, alice);
    let rows = world.rows(BOB);
    world.says(ALICE, alice, &[send(BOB, 1, 3, false)]);
    assert_eq!(world.hears(ALICE, alice), [], "held");
    assert_eq!(world.rows(BOB), rows);
}

#[test]
fn held_is_safe_only_with_both() {
    let (mut world, alice) = world();
    let (first, second) = (world.connect(BOB, 1), world.connect(BOB, 2));
    let rows = world.rows(BOB);
    world.says(ALICE, alice, &burst(BOB, 1, 1..=2));
    world.says(BOB, first, &[ack(ids(1, 1..=2))]);
    assert_eq!(world.hears(ALICE, alice), [], "one has it, the other may never");
    world.says(BOB, second, &[ack(ids(1, [1]))]);
    let heard = world.hears(ALICE, alice);
    assert_eq!((sent(&heard), delivered(&heard)), (ids(1, [1]), ids(1, [1])));
    world.says(BOB, second, &[ack(ids(1, [2]))]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [2]));
    assert_eq!((world.rows(BOB), world.mailbox(BOB).waiting()), (rows, 0));
    assert_eq!(world.object(BOB).timer, None);
}

#[test]
fn held_that_one_has_is_stored_for_the_other() {
    for closes in [false, true] {
        let (mut world, alice) = world();
        let (first, second) = (world.connect(BOB, 1), world.connect(BOB, 2));
        world.says(ALICE, alice, &burst(BOB, 1, 1..=2));
        world.says(BOB, first, &[ack(ids(1, [1]))]);
        if closes {
            world.closes(BOB, second);
        } else {
            world.wait(1000);
        }
        let heard = world.hears(ALICE, alice);
        assert_eq!((sent(&heard), delivered(&heard)), (ids(1, 1..=2), ids(1, [1])));
        world.restarts(BOB);
        let second = world.connect(BOB, 2);
        assert_eq!(world.receives(BOB, second), ids(1, 1..=2));
        world.says(BOB, second, &[ack(ids(1, 1..=2))]);
        let first = world.connect(BOB, 1);
        // What it has, it may be given again after a crash; what it hasn't, it must.
        assert!(world.receives(BOB, first).contains(&id(1, 2)));
        world.says(BOB, first, &[ack(ids(1, 1..=2))]);
        assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
    }
}

#[test]
fn each_device_has_a_cursor_of_its_own() {
    let (mut world, alice) = world();
    world.says(ALICE, alice, &burst(BOB, 1, 1..=20));
    world.hears(ALICE, alice);
    let first = world.connect(BOB, 1);
    world.says(BOB, first, &[ack(ids(1, 1..=12))]);
    assert_eq!(delivered(&world.hears(ALICE, alice)), ids(1, 1..=12));
    assert_eq!(cursors(&mut world), [12, 0]);
    world.restarts(BOB);
    let (first, second) = (world.connect(BOB, 1), world.connect(BOB, 2));
    assert_eq!(world.receives(BOB, first), ids(1, 13..=20));
    assert_eq!(world.receives(BOB, second), ids(1, 1..=20));
    world.says(BOB, second, &[ack(ids(1, 1..=20))]);
    let heard = world.hears(ALICE, alice);
    assert_eq!(delivered(&heard), ids(1, 13..=20), "of the others she was told");
    assert_eq!((cursors(&mut world), world.count(BOB, "page")), (vec![12, 20], 1));
    world.says(BOB, first, &[ack(ids(1, 13..=20))]);
    assert_eq!(world.hears(ALICE, alice), []);
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
}

#[test]
fn one_device_does_not_acknowledge_for_the_other() {
    let (mut world, alice) = world();
    world.says(ALICE, alice, &burst(BOB, 1, 1..=3));
    let first = world.connect(BOB, 1);
    world.says(BOB, first, &[ack(ids(1, 1..=3))]);
    world.says(BOB, first, &[ack(ids(1, 1..=3))]);
    world.closes(BOB, first);
    let second = world.connect(BOB, 2);
    assert_eq!(world.receives(BOB, second), ids(1, 1..=3));
}

#[test]
fn a_removed_device_keeps_nothing_waiting() {
    for connected in [false, true] {
        let (mut world, alice) = world();
        world.says(ALICE, alice, &burst(BOB, 1, 1..=20));
        let first = world.connect(BOB, 1);
        world.says(BOB, first, &[ack(ids(1, 1..=15))]);
        if connected {
            let second = world.connect(BOB, 2);
            world.says(BOB, second, &[ack(ids(1, 1..=5))]);
        }
        remove(&mut world, 1, 2);
        assert_eq!(world.mailbox(BOB).waiting(), 5);
        world.says(BOB, first, &[ack(ids(1, 16..=20))]);
        assert_eq!(delivered(&world.hears(ALICE, alice)), ids(1, 1..=20));
        assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
        world.says(ALICE, alice, &[send(BOB, 2, 1, false)]);
        assert_eq!(sent(&world.hears(ALICE, alice)), [], "held again, for the one that is left");
    }
}

#[test]
fn all_that_waited_for_a_removed_device_goes_with_it() {
    let (mut world, alice) = world();
    let first = world.connect(BOB, 1);
    let read = receipt(BOB, id(3, 1), ids(9, [1]), Mark::Read);
    world.says(ALICE, alice, &[burst(BOB, 1, 1..=20), vec![read]].concat());
    let mut all = ids(1, 1..=20);
    all.push(id(3, 1));
    world.says(BOB, first, &[ack(all)]);
    assert_eq!(world.count(BOB, "page"), 1);
    remove(&mut world, 1, 2);
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
}

#[test]
fn what_the_removed_device_alone_had_still_comes_to_the_other() {
    let (mut world, alice) = world();
    world.says(ALICE, alice, &burst(BOB, 1, 1..=20));
    let second = world.connect(BOB, 2);
    world.says(BOB, second, &[ack(ids(1, 1..=20))]);
    remove(&mut world, 1, 2);
    assert_eq!(world.object(BOB).sockets[&second].closed, Some(4001));
    for restarted in [false, true] {
        if restarted {
            world.restarts(BOB);
        }
        let first = world.connect(BOB, 1);
        assert_eq!(world.receives(BOB, first), ids(1, 1..=20));
    }
}

#[test]
fn held_while_one_is_removed_is_stored_first() {
    let (mut world, alice) = world();
    let (first, second) = (world.connect(BOB, 1), world.connect(BOB, 2));
    world.says(ALICE, alice, &burst(BOB, 1, 1..=2));
    world.says(BOB, first, &[ack(ids(1, [1]))]);
    remove(&mut world, 1, 2);
    let heard = world.hears(ALICE, alice);
    assert_eq!((sent(&heard), delivered(&heard)), (ids(1, 1..=2), ids(1, [1])));
    assert!(!world.is_open(BOB, second));
    world.says(BOB, first, &[ack(ids(1, [2]))]);
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
}

#[test]
fn a_registration_inherits_what_no_device_had() {
    let (mut world, alice) = world();
    world.says(ALICE, alice, &burst(BOB, 1, 1..=20));
    let first = world.connect(BOB, 1);
    world.says(BOB, first, &[ack(ids(1, 1..=12))]);
    world.register(BOB, 3);
    assert_eq!(world.mailbox(BOB).waiting(), 8, "the other device waits no longer");
    for restarted in [false, true] {
        if restarted {
            world.restarts(BOB);
        }
        let third = world.connect(BOB, 3);
        assert_eq!(world.receives(BOB, third), ids(1, 13..=20));
    }
}

#[test]
fn a_sender_is_told_once_that_a_message_is_delivered() {
    let (mut world, alice) = world();
    world.says(ALICE, alice, &burst(BOB, 1, 1..=2));
    world.hears(ALICE, alice);
    let (first, second) = (world.connect(BOB, 1), world.connect(BOB, 2));
    world.calls_hang = true;
    world.says(BOB, first, &[ack(ids(1, 1..=2))]);
    world.says(BOB, second, &[ack(ids(1, 1..=2))]);
    world.calls_hang = false;
    world.settle();
    let told = world.hears(ALICE, alice);
    assert_eq!(delivered(&told), ids(1, 1..=2));
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
}
