//! The registration PIN: asked for after the code, tried slowly, open after seven silent days.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, PinHash, Refusal, Value};
use support::*;

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;
/// The right PIN, and a wrong one.
const RIGHT: Option<u8> = Some(4);
const WRONG: Option<u8> = Some(5);

fn refused(code: ErrorCode, retry_after: Option<Millis>) -> AccountAnswer {
    Refusal { code, retry_after }.into()
}

fn required(wait: impl Into<Option<Millis>>) -> AccountAnswer {
    refused(ErrorCode::PinRequired, wait.into())
}

fn wrong(wait: impl Into<Option<Millis>>) -> AccountAnswer {
    refused(ErrorCode::WrongPin, wait.into())
}

fn set(world: &mut World, device: u64, pin: Option<u8>) -> AccountAnswer {
    let pin = pin.map(|pin| PinHash([pin; 32]));
    world.account(ALICE, AccountRequest::SetPin { device: DeviceId(device), pin })
}

fn is_set(world: &mut World, device: u64) -> AccountAnswer {
    world.account(ALICE, AccountRequest::Pin(DeviceId(device)))
}

/// Alice with a PIN, and a code on its way.
fn guarded() -> World {
    let mut world = World::with(&[ALICE]);
    assert_eq!(set(&mut world, 1, RIGHT), AccountAnswer::Granted);
    world.code(ALICE, 1);
    world
}

/// When an account opens that was registered, or seen, on this day at the latest.
fn opens(seen_until: Millis) -> Millis {
    seen_until + 7 * DAY
}

fn midnight_after(at: Millis) -> Millis {
    (at / DAY + 1) * DAY
}

#[test]
fn a_pin_is_asked_for_after_the_code_and_uses_nothing_up() {
    let mut world = guarded();
    let registered_at = world.now - HOUR;
    let alice = world.connect(ALICE, 1);
    let before = world.query(ALICE, "SELECT * FROM code");
    assert_eq!(world.proves(ALICE, 2, 9), refused(ErrorCode::WrongCode, None), "the code is first");
    assert_eq!(world.proves_with(ALICE, 2, 9, RIGHT), refused(ErrorCode::WrongCode, None));
    world.query(ALICE, "UPDATE code SET tries = 0");
    for _ in 0..6 {
        assert_eq!(world.proves(ALICE, 2, 1), required(None), "her device is connected");
    }
    assert!(world.is_open(ALICE, alice));
    assert_eq!(world.proves_with(ALICE, 2, 1, WRONG), wrong(None));
    assert_eq!(world.query(ALICE, "SELECT * FROM code"), before, "nor is it a try of the code");
    assert!(world.is_open(ALICE, alice), "and nothing has changed");
    assert_eq!(world.proves_with(ALICE, 2, 1, RIGHT), AccountAnswer::Granted);
    assert!(!world.is_open(ALICE, alice));
    assert_eq!(world.proves_with(ALICE, 3, 1, RIGHT), refused(ErrorCode::CodeExpired, None));
    // It stays for the next.
    assert!(world.now > registered_at);
    world.now += HOUR;
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 3, 2), required(opens(world.now - HOUR) - world.now));
}

#[test]
fn the_waits_between_wrong_ones_grow_and_what_comes_meanwhile_is_not_looked_at() {
    let mut world = guarded();
    let waits = [0, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, DAY, DAY];
    let alice = world.connect(ALICE, 1);
    for (tries, wait) in (1..).zip(waits) {
        world.query(ALICE, "UPDATE code SET expires_at = 9007199254740991, tries = 0");
        let told = Some(wait).filter(|&wait| wait > 0);
        assert_eq!(world.proves_with(ALICE, 2, 1, WRONG), wrong(told), "the {tries}th");
        world.hibernates(ALICE);
        if wait > 0 {
            let rows = world.query(ALICE, "SELECT * FROM pin");
            for (given, left) in [(RIGHT, wait), (WRONG, wait), (RIGHT, 1)] {
                world.now += wait - left;
                assert_eq!(world.proves_with(ALICE, 2, 1, given), wrong(left), "the {tries}th");
                world.now -= wait - left;
            }
            assert_eq!(world.query(ALICE, "SELECT * FROM pin"), rows, "nor is it counted");
            world.now += wait;
        }
        assert_eq!(world.query(ALICE, "SELECT tries FROM pin"), [[Value::Integer(tries)]]);
        // Her device is there all the while.
        world.says(ALICE, alice, &[]);
    }
    assert_eq!(world.proves_with(ALICE, 2, 1, RIGHT), AccountAnswer::Granted);
    // One that is right ends the row.
    assert_eq!(world.query(ALICE, "SELECT tries FROM pin"), [[Value::Integer(0)]]);
    world.now += DAY;
    world.code(ALICE, 2);
    assert_eq!(world.proves_with(ALICE, 3, 2, WRONG), wrong(None));
}

#[test]
fn a_pin_must_be_right_in_every_byte() {
    let mut world = guarded();
    for place in 0..32 {
        world.query(ALICE, "UPDATE pin SET tries = 0");
        let mut pin = [4; 32];
        pin[place] = 0x84;
        let request = AccountRequest::Register {
            number: number(ALICE),
            hash: [1; 32],
            device: DeviceId(2),
            name: "test".into(),
            identity_key: [1; 32],
            pin: Some(PinHash(pin)),
        };
        assert_eq!(world.account(ALICE, request), wrong(None), "byte {place}");
    }
}

#[test]
fn a_clock_that_goes_back_makes_no_wait_longer() {
    let mut world = guarded();
    assert_eq!(world.proves_with(ALICE, 2, 1, WRONG), wrong(None));
    assert_eq!(world.proves_with(ALICE, 2, 1, WRONG), wrong(30 * SECOND));
    world.now -= 5 * MINUTE;
    assert_eq!(world.proves_with(ALICE, 2, 1, RIGHT), wrong(30 * SECOND));
}

#[test]
fn a_lost_pin_opens_after_seven_days_without_a_device() {
    let mut world = guarded();
    let alice = world.connect(ALICE, 1);
    world.closes(ALICE, alice);
    let opens_at = opens(midnight_after(world.now));
    assert_eq!(world.proves(ALICE, 2, 1), required(opens_at - world.now));
    world.now = opens_at - 1;
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 2, 2), required(1));
    assert_eq!(world.proves_with(ALICE, 2, 2, WRONG), wrong(None));
    world.now += 1;
    world.restarts(ALICE);
    assert_eq!(world.proves(ALICE, 2, 2), AccountAnswer::Granted);
    assert_eq!(is_set(&mut world, 2), AccountAnswer::Pin(http::Pin { set: false }));
    assert_eq!(world.count(ALICE, "pin"), 0, "it is gone with the old devices");
}

#[test]
fn an_account_that_never_connected_opens_seven_days_after_it_was_registered() {
    let mut world = guarded();
    let registered_at = world.now - HOUR;
    // Setting it was a sign of life, too.
    assert_eq!(world.proves(ALICE, 2, 1), required(opens(registered_at + HOUR) - world.now));
    world.now = opens(registered_at + HOUR);
    world.code(ALICE, 2);
    assert_eq!(world.proves_with(ALICE, 2, 2, WRONG), AccountAnswer::Granted, "not asked for");
}

#[test]
fn a_device_that_stays_connected_keeps_it_shut_and_so_does_its_going() {
    let mut world = guarded();
    let alice = world.connect(ALICE, 1);
    world.now += 30 * DAY;
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 2, 2), required(None));
    world.hibernates(ALICE);
    assert_eq!(world.proves(ALICE, 2, 2), required(None));
    // It was there until now, though it connected long ago.
    world.closes(ALICE, alice);
    assert_eq!(world.proves(ALICE, 2, 2), required(opens(midnight_after(world.now)) - world.now));
}

#[test]
fn whoever_says_something_was_there_even_if_the_server_loses_the_socket() {
    let mut world = guarded();
    let alice = world.connect(ALICE, 1);
    world.now += 30 * DAY;
    world.says(ALICE, alice, &[]);
    world.restarts(ALICE);
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 2, 2), required(opens(midnight_after(world.now)) - world.now));
}

#[test]
fn one_of_several_devices_keeps_it_shut_and_signing_it_out_does_not_open_it() {
    let mut world = guarded();
    world.link(ALICE, 2);
    world.now += 20 * DAY;
    let tablet = world.connect(ALICE, 2);
    world.closes(ALICE, tablet);
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 3, 2), required(opens(midnight_after(world.now)) - world.now));
    let remove = AccountRequest::Remove { device: DeviceId(2), target: DeviceId(2) };
    assert_eq!(world.account(ALICE, remove), AccountAnswer::Granted);
    assert_eq!(world.proves(ALICE, 3, 2), required(opens(world.now) - world.now));
    // The last of them, too.
    let remove = AccountRequest::Remove { device: DeviceId(1), target: DeviceId(1) };
    assert_eq!(world.account(ALICE, remove), AccountAnswer::Granted);
    assert_eq!(world.proves(ALICE, 3, 2), required(opens(world.now) - world.now));
}

#[test]
fn a_primary_device_that_lapsed_leaves_it_open() {
    let mut world = guarded();
    world.now += 200 * DAY;
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 2, 2), AccountAnswer::Granted);
}

#[test]
fn the_primary_sets_and_removes_it_and_every_device_may_ask() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let not_primary = refused(ErrorCode::NotPrimary, None);
    assert_eq!(is_set(&mut world, 2), AccountAnswer::Pin(http::Pin { set: false }));
    assert_eq!(set(&mut world, 2, RIGHT), not_primary);
    assert_eq!(set(&mut world, 9, RIGHT), refused(ErrorCode::DeviceRemoved, None));
    assert_eq!(is_set(&mut world, 9), refused(ErrorCode::DeviceRemoved, None));
    assert_eq!(world.count(ALICE, "pin"), 0);
    assert_eq!(set(&mut world, 1, WRONG), AccountAnswer::Granted);
    assert_eq!(set(&mut world, 2, None), not_primary);
    assert_eq!(is_set(&mut world, 2), AccountAnswer::Pin(http::Pin { set: true }));
    assert_eq!(set(&mut world, 1, RIGHT), AccountAnswer::Granted, "another in its place");
    world.code(ALICE, 1);
    assert_eq!(world.proves_with(ALICE, 3, 1, WRONG), wrong(None));
    assert_eq!(set(&mut world, 1, None), AccountAnswer::Granted);
    assert_eq!(set(&mut world, 1, None), AccountAnswer::Granted, "the same again");
    assert_eq!(world.proves_with(ALICE, 3, 1, WRONG), AccountAnswer::Granted, "none is asked for");
}

#[test]
fn a_try_costs_a_row_and_deleting_the_account_deletes_it() {
    let mut world = guarded();
    let rows = world.rows(ALICE);
    assert_eq!(world.proves_with(ALICE, 2, 1, WRONG), wrong(None));
    assert_eq!(world.rows(ALICE), rows + 1);
    assert_eq!(world.proves(ALICE, 2, 1), required(opens(world.now) - world.now));
    assert_eq!(world.rows(ALICE), rows + 1, "one that is not given costs none");
    let delete = AccountRequest::Delete(DeviceId(1));
    assert_eq!(world.account(ALICE, delete), AccountAnswer::Granted);
    world.now += DAY;
    world.register(ALICE, 3);
    assert_eq!(is_set(&mut world, 3), AccountAnswer::Pin(http::Pin { set: false }));
}
