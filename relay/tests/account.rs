//! An account is proven by a code and used by its devices, and nobody else learns or changes anything.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Effect, Value};
use support::*;

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const DAY: Millis = 24 * 60 * MINUTE;

fn refused_with(answer: &AccountAnswer) -> (ErrorCode, Option<Millis>) {
    match answer {
        AccountAnswer::Refused { code, retry_after } => (*code, *retry_after),
        other => panic!("{other:?}"),
    }
}

fn limited(wait: Millis) -> (ErrorCode, Option<Millis>) {
    (ErrorCode::RateLimited, Some(wait))
}

fn tables(world: &mut World, account: u64) -> usize {
    world.count(account, "sqlite_master")
}

#[test]
fn codes_wait_for_each_other_and_end_at_ten_a_day() {
    let mut world = World::new();
    let first = world.now;
    for (wait, sent) in [30 * SECOND, 2 * MINUTE].into_iter().chain([10 * MINUTE; 7]).zip(1..) {
        let expires_at = world.now + 10 * MINUTE;
        let taken = AccountAnswer::CodeTaken { resend_after: wait, expires_at };
        assert_eq!(world.code(ALICE, sent), taken, "code {sent}");
        assert_eq!(refused_with(&world.code(ALICE, 99)), limited(wait));
        world.now += wait - 1;
        assert_eq!(refused_with(&world.code(ALICE, 99)), limited(1));
        world.now += 1;
    }
    let left = first + DAY - world.now;
    let expires_at = world.now + 10 * MINUTE;
    assert_eq!(
        world.code(ALICE, 10),
        AccountAnswer::CodeTaken { resend_after: left, expires_at },
        "the tenth says that it is the last"
    );
    assert_eq!(refused_with(&world.code(ALICE, 99)), limited(left));
    world.restarts(ALICE);
    assert_eq!(refused_with(&world.code(ALICE, 99)), limited(left), "nor by waking it anew");
    assert_eq!(world.proves(ALICE, 1, 10), AccountAnswer::Granted, "a refusal keeps the code");
    assert_eq!(refused_with(&world.code(ALICE, 99)), limited(left), "nor by registering");
    world.now = first + DAY;
    assert!(matches!(world.code(ALICE, 11), AccountAnswer::CodeTaken { .. }));
}

#[test]
fn a_code_is_good_for_ten_minutes() {
    let mut world = World::new();
    world.code(ALICE, 1);
    world.now += 10 * MINUTE;
    assert_eq!(refused_with(&world.proves(ALICE, 1, 1)), (ErrorCode::CodeExpired, None));
    world.code(ALICE, 2);
    assert_eq!(refused_with(&world.proves(ALICE, 1, 1)), (ErrorCode::WrongCode, None), "replaced");
    world.now += 10 * MINUTE - 1;
    assert_eq!(world.proves(ALICE, 1, 2), AccountAnswer::Granted);
}

#[test]
fn a_code_is_good_for_one_registration() {
    let mut world = World::with(&[ALICE]);
    world.code(ALICE, 1);
    assert_eq!(world.proves(ALICE, 2, 1), AccountAnswer::Granted);
    assert_eq!(refused_with(&world.proves(ALICE, 3, 1)), (ErrorCode::CodeExpired, None));
    let AccountAnswer::Devices(devices) =
        world.account(ALICE, AccountRequest::Devices(DeviceId(2)))
    else {
        panic!()
    };
    assert_eq!(devices.len(), 1);
}

#[test]
fn five_tries_and_a_wrong_code_changes_only_their_count() {
    let mut world = World::with(&[ALICE]);
    let alice = world.connect(ALICE, 1);
    world.code(ALICE, 1);
    let all = |world: &mut World| {
        let tables = ["account", "device", "page", "owed"];
        let rows = tables.map(|table| world.query(ALICE, &format!("SELECT * FROM {table}")));
        (rows, world.query(ALICE, "SELECT hash, expires_at, sent, last_sent_at FROM code"))
    };
    let before = all(&mut world);
    for tries in 1..=5 {
        assert_eq!(refused_with(&world.proves(ALICE, 2, 9)), (ErrorCode::WrongCode, None));
        let counted = world.query(ALICE, "SELECT tries FROM code");
        assert_eq!(counted, [[Value::Integer(tries)]]);
        world.hibernates(ALICE);
    }
    assert_eq!(
        refused_with(&world.proves(ALICE, 2, 1)),
        (ErrorCode::CodeExpired, None),
        "too late"
    );
    assert_eq!(all(&mut world), before);
    assert!(world.is_open(ALICE, alice));
    world.now += 2 * MINUTE;
    world.code(ALICE, 2);
    assert_eq!(world.proves(ALICE, 2, 2), AccountAnswer::Granted, "a new code, new tries");
}

#[test]
fn a_hash_must_be_right_in_every_byte() {
    let mut world = World::new();
    for place in 0..32 {
        world.now += DAY;
        world.code(ALICE, 1);
        let mut hash = [1; 32];
        hash[place] = 0x81;
        let request = AccountRequest::Register {
            number: number(ALICE),
            hash,
            device: DeviceId(1),
            name: "test".into(),
            identity_key: [1; 32],
            pin: None,
        };
        let answer = world.account(ALICE, request);
        assert_eq!(refused_with(&answer), (ErrorCode::WrongCode, None), "byte {place}");
    }
}

#[test]
fn a_number_that_nobody_registers_leaves_nothing_after_a_day() {
    let mut world = World::new();
    world.code(ALICE, 1);
    let first = world.now;
    world.wait(30 * SECOND);
    world.code(ALICE, 2);
    assert_eq!(world.object(ALICE).alarm, Some(first + DAY));
    world.restarts(ALICE);
    // An alarm may come early; the code is not forgotten before its day is over.
    world.alarm_fires(ALICE);
    assert_eq!(world.object(ALICE).alarm, Some(first + DAY));
    world.wait(first + DAY - world.now - 1);
    assert!(world.objects.contains_key(&ALICE));
    world.now += 1;
    let now = world.now;
    let effects = world.mailbox(ALICE).on_alarm(now).unwrap();
    assert_eq!(effects, [Effect::Forget]);
    world.perform(ALICE, effects);
    assert!(!world.objects.contains_key(&ALICE));
}

#[test]
fn after_a_registration_the_alarm_for_the_code_forgets_nothing() {
    let mut world = World::with(&[ALICE]);
    let alarm = world.object(ALICE).alarm.unwrap();
    world.wait(alarm - world.now);
    assert!(world.objects.contains_key(&ALICE));
    assert_eq!(world.object(ALICE).alarm, None);
    world.connect(ALICE, 1);
}

#[test]
fn asking_about_a_number_that_nobody_registered_makes_no_tables() {
    let mut world = World::with(&[ALICE]);
    let alice = world.connect(ALICE, 1);
    let read = receipt(NOBODY, id(2, 1), ids(9, [1]), Mark::Read);
    world.says(ALICE, alice, &[send(NOBODY, 1, 1, false), read]);
    let nobody = ErrorCode::Unregistered;
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(1, 1), nobody), (id(2, 1), nobody)]);
    assert_eq!(refused_with(&world.proves(NOBODY, 1, 1)).0, ErrorCode::CodeExpired);
    let device = DeviceId(1);
    for request in every_request(device) {
        let answer = world.account(NOBODY, request);
        assert_eq!(refused_with(&answer).0, ErrorCode::DeviceRemoved);
    }
    let refusal = world.connect_as(NOBODY, 1, Encoding::Json).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::DeviceRemoved);
    world.restarts(NOBODY);
    world.alarm_fires(NOBODY);
    assert_eq!(tables(&mut world, NOBODY), 0);
    assert_eq!(world.object(NOBODY).alarm, None);

    // With a code on its way, there are tables, and still no mailbox.
    world.code(NOBODY, 1);
    world.says(ALICE, alice, &[send(NOBODY, 1, 1, false)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(1, 1), nobody)]);
    assert_eq!(world.count(NOBODY, "page"), 0);
}

fn every_request(device: DeviceId) -> [AccountRequest; 4] {
    [
        AccountRequest::Devices(device),
        AccountRequest::Remove { device, target: device },
        AccountRequest::Renew(device),
        AccountRequest::Usage(device),
    ]
}

#[test]
fn a_removed_device_is_refused_everything() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.register(ALICE, 2);
    let heard = world.hears(ALICE, alice);
    let Some(ServerFrame::Goaway(away)) = heard.last() else { panic!("{heard:?}") };
    assert_eq!(away.code, ErrorCode::DeviceRemoved);
    assert_eq!(world.object(ALICE).sockets[&alice].closed, Some(4001));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    assert_eq!(world.mailbox(BOB).waiting(), 0, "its socket has no say");
    for request in every_request(DeviceId(1)) {
        let answer = world.account(ALICE, request);
        assert_eq!(refused_with(&answer), (ErrorCode::DeviceRemoved, None));
    }
    let refusal = world.connect_as(ALICE, 1, Encoding::Cbor).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::DeviceRemoved);
    world.hibernates(ALICE);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    assert_eq!(world.mailbox(BOB).waiting(), 0, "nor after hibernation");
    assert_eq!(world.count(ALICE, "device"), 1);
}

#[test]
fn a_token_of_another_account_opens_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    let now = world.now;
    let connect = estafette_relay::Connect {
        account: number(ALICE),
        device: DeviceId(1),
        encoding: Encoding::Cbor,
    };
    let refused = world.mailbox(BOB).on_connect(now, connect).unwrap().unwrap_err();
    assert_eq!(refused.code, ErrorCode::DeviceRemoved);
}

#[test]
fn signing_out_keeps_the_account_and_what_waits_for_it() {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let device = DeviceId(1);
    let remove = AccountRequest::Remove { device, target: device };
    assert_eq!(world.account(BOB, remove), AccountAnswer::Granted);
    assert_eq!(world.object(BOB).sockets[&bob].closed, Some(4001));
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(1, [1]), "what was held is stored");
    world.says(ALICE, alice, &[send(BOB, 1, 2, true)]);
    let read = receipt(BOB, id(3, 1), ids(9, [1]), Mark::Read);
    world.says(ALICE, alice, &[read]);
    assert_eq!(sent(&world.hears(ALICE, alice)), [id(1, 2), id(3, 1)]);
    assert_eq!(world.count(BOB, "device"), 0);
    for restarted in [false, true] {
        if restarted {
            world.restarts(BOB);
        }
        assert_eq!(world.mailbox(BOB).waiting(), 3);
    }
    world.register(BOB, 2);
    let bob = world.connect(BOB, 2);
    let heard = world.hears(BOB, bob);
    assert_eq!(received(&heard), ids(1, 1..=2));
    world.says(BOB, bob, &[ack([ids(1, 1..=2), receipt_ids(&heard)].concat())]);
    assert_eq!(delivered(&world.hears(ALICE, alice)), ids(1, 1..=2));
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (0, 0));
}

#[test]
fn only_a_device_of_the_account_removes_another() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    let remove = |device, target| AccountRequest::Remove {
        device: DeviceId(device),
        target: DeviceId(target),
    };
    let answer = world.account(ALICE, remove(7, 2));
    assert_eq!(refused_with(&answer).0, ErrorCode::DeviceRemoved);
    let answer = world.account(ALICE, remove(1, 7));
    assert_eq!(refused_with(&answer).0, ErrorCode::NotFound);
    assert!(world.is_open(ALICE, first) && world.is_open(ALICE, second));
    assert_eq!(world.account(ALICE, remove(1, 2)), AccountAnswer::Granted);
    assert!(world.is_open(ALICE, first) && !world.is_open(ALICE, second));
}

#[test]
fn the_list_says_who_is_there() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let registered_at = world.query(ALICE, "SELECT registered_at FROM device WHERE slot = 0");
    let [Value::Integer(registered_at)] = registered_at[0][..] else { panic!() };
    world.connect(ALICE, 2);
    let answer = world.account(ALICE, AccountRequest::Devices(DeviceId(1)));
    let linked_at = world.now;
    let today = world.now / DAY * DAY;
    let device = |id, name: &str, registered_at, connected, current| http::Device {
        id: DeviceId(id),
        name: name.into(),
        registered_at,
        connected,
        current,
        primary: id == 1,
        seen_at: connected.then_some(today),
    };
    assert_eq!(
        answer,
        AccountAnswer::Devices(vec![
            device(1, "test", registered_at as Millis, false, true),
            device(2, "linked", linked_at, true, false),
        ])
    );
    let renewed = world.account(ALICE, AccountRequest::Renew(DeviceId(2)));
    assert_eq!(renewed, AccountAnswer::Granted);
}

#[test]
fn usage_is_what_the_day_has_cost() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    let before = world.usage(ALICE);
    assert_eq!(before.budget, world.config.daily_budget);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let after = world.usage(ALICE);
    // A socket message, a call that was stored at the other end, where it is deleted in the end, and
    // the question itself.
    assert_eq!(after.socket_messages - before.socket_messages, 1);
    assert_eq!(after.requests - before.requests, 1);
    assert_eq!(after.rows_written, before.rows_written);
    assert_eq!(after.spent - before.spent, 8 + 150 + 2000 + 150);
    world.wait(DAY);
    let next = world.usage(ALICE);
    assert_eq!(
        (next.requests, next.spent, next.socket_messages),
        (2, 300, 0),
        "a new day: its alarm and this"
    );
}

#[test]
fn whoever_sends_pays_for_what_is_stored() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    let alice = world.connect(ALICE, 1);
    world.usage(BOB);
    let of_two = |world: &mut World| [world.usage(ALICE), world.usage(BOB)];
    let before = of_two(&mut world);
    // Held, and committed after a second.
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    world.wait(1000);
    let after = of_two(&mut world);
    assert_eq!(after[1].rows_written - before[1].rows_written, 1);
    // The call that says that it was stored, and the question.
    assert_eq!(after[1].spent - before[1].spent, 150 + 150);
    assert_eq!(after[0].spent - before[0].spent, 8 + 150 + 2000 + 150);
    // Stored at once, for a device that is behind.
    world.closes(BOB, bob);
    let before = of_two(&mut world);
    world.says(ALICE, alice, &[send(BOB, 1, 2, true)]);
    let after = of_two(&mut world);
    assert_eq!(after[1].rows_written - before[1].rows_written, 1);
    assert_eq!(after[1].spent - before[1].spent, 150);
    assert_eq!(after[0].spent - before[0].spent, 8 + 150 + 2000 + 150);
}

#[test]
fn the_event_that_wakes_a_mailbox_is_counted() {
    let mut world = World::with(&[ALICE]);
    let alice = world.connect(ALICE, 1);
    world.hibernates(ALICE);
    let woken = world.usage(ALICE);
    assert_eq!((woken.requests, woken.spent), (1, 150));
    world.hibernates(ALICE);
    world.says(ALICE, alice, &[ack(ids(1, [1]))]);
    assert_eq!(world.usage(ALICE).socket_messages, 1);
}
