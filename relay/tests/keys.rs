//! A number is registered again: who looks at the chat is told that its keys changed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{Audience, Person, Privacy};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest};
use support::people::*;
use support::*;

/// What the frames say of others' keys.
fn changed(frames: &[ServerFrame]) -> Vec<(u64, Millis)> {
    let changed = frames.iter().filter_map(|frame| match frame {
        ServerFrame::KeysChanged(changed) => Some((changed.from.digits(), changed.at)),
        _ => None,
    });
    changed.collect()
}

fn registers_again(world: &mut World, account: u64, device: u64) -> Millis {
    world.now += 3_600_000;
    world.code(account, 8);
    assert_eq!(world.proves(account, device, 8), AccountAnswer::Granted);
    world.now
}

#[test]
fn who_looks_at_the_chat_is_told_that_keys_changed_once_on_each_device_that_looks() {
    let (mut world, alice, bob) = world();
    world.link(ALICE, 2);
    let second = world.connect(ALICE, 2);
    world.says(ALICE, alice, &[says(false, &[BOB])]);
    let looking = world.connect_as(ALICE, 2, Encoding::Json).unwrap();
    world.says(ALICE, looking, &[says(false, &[BOB])]);
    assert!(!world.is_open(ALICE, second));
    world.hears(ALICE, alice);
    world.hears(ALICE, looking);
    world.hibernates(ALICE);
    world.restarts(BOB);
    let at = registers_again(&mut world, BOB, 2);
    for socket in [alice, looking] {
        assert_eq!(changed(&world.hears(ALICE, socket)), [(BOB, at)]);
    }
    assert!(!world.is_open(BOB, bob));
    // The watch goes on, and the next time is told as well.
    let at = registers_again(&mut world, BOB, 3);
    assert_eq!(changed(&world.hears(ALICE, alice)), [(BOB, at)]);
}

#[test]
fn nobody_else_is_told_that_keys_changed_and_nothing_is_kept_of_it() {
    let (mut world, alice, _) = world();
    // A first registration, and devices that are linked and removed, are none.
    world.register(CAROL, 1);
    world.says(ALICE, alice, &[says(false, &[BOB])]);
    world.link(BOB, 2);
    let remove = AccountRequest::Remove { device: DeviceId(1), target: DeviceId(2) };
    assert_eq!(world.account(BOB, remove), AccountAnswer::Granted);
    assert_eq!(changed(&world.hears(ALICE, alice)), []);
    // The chat is closed: the row is still there, is used once, and goes.
    world.says(ALICE, alice, &[says(false, &[CAROL])]);
    assert_eq!(world.count(BOB, "watcher"), 1);
    registers_again(&mut world, BOB, 3);
    assert_eq!(changed(&world.hears(ALICE, alice)), []);
    assert_eq!(world.count(BOB, "watcher"), 0);
    let called = world.called;
    registers_again(&mut world, BOB, 4);
    assert_eq!(world.called, called);
    // Who cannot be reached is not told later.
    world.says(ALICE, alice, &[says(false, &[BOB])]);
    world.hears(ALICE, alice);
    world.unreachable = Some(ALICE);
    registers_again(&mut world, BOB, 5);
    world.unreachable = None;
    let alarms = (world.object(ALICE).alarm, world.object(BOB).alarm);
    assert_eq!((world.count(BOB, "owed"), world.count(ALICE, "page")), (0, 0));
    assert_eq!((world.object(ALICE).alarm, world.object(BOB).alarm), alarms);
    world.wait(60_000);
    assert_eq!(changed(&world.hears(ALICE, alice)), []);
    assert_eq!(world.count(BOB, "watcher"), 1, "nor forgotten");
}

#[test]
fn the_blocked_are_not_told_that_keys_changed_nor_is_whoever_blocks() {
    let (mut world, alice, _) = world();
    world.says(ALICE, alice, &[says(false, &[BOB])]);
    let hidden =
        Privacy { last_seen: Audience::Nobody, online: Audience::Nobody, ..Privacy::default() };
    set_privacy(&mut world, BOB, hidden);
    world.hears(ALICE, alice);
    let at = registers_again(&mut world, BOB, 2);
    assert_eq!(changed(&world.hears(ALICE, alice)), [(BOB, at)], "that is no presence");
    let block =
        AccountRequest::SetPerson { device: DeviceId(2), number: number(ALICE), person: blocked() };
    assert_eq!(world.account(BOB, block.clone()), AccountAnswer::Granted);
    world.hears(ALICE, alice);
    let called = world.called;
    registers_again(&mut world, BOB, 3);
    assert_eq!(world.called, called, "bob has blocked her");
    assert_eq!(world.hears(ALICE, alice), []);
    let unblock = AccountRequest::SetPerson {
        device: DeviceId(3),
        number: number(ALICE),
        person: Person::default(),
    };
    assert_eq!(world.account(BOB, unblock), AccountAnswer::Granted);
    set_person(&mut world, ALICE, BOB, blocked());
    world.hears(ALICE, alice);
    registers_again(&mut world, BOB, 4);
    assert_eq!(changed(&world.hears(ALICE, alice)), [], "and she him");
}
