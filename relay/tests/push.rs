//! Sleeping devices are woken: once for each burst, and never while connected.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use PushOutcome::Accepted;
use estafette_protocol::*;
use estafette_relay::*;
use support::*;

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

#[test]
fn a_sleeping_device_is_told_who_and_what() {
    let mut world = asleep();
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[send(BOB, 7, 1, false)]);
    let push = world.push();
    assert_eq!(push.device, DeviceId(1));
    assert_eq!(push.subscription, subscription(1));
    assert_eq!(push.ttl, 28 * 24 * 60 * 60, "as long as services keep anything");
    let notification = told(&push);
    assert_eq!((notification.from, notification.id), (number(ALICE), id(7, 1)));
    assert_eq!((notification.at, notification.waiting), (world.now, 1));
    assert_eq!(notification.body, Some(Body(b"7/1".to_vec())));
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(7, [1]), "and nobody waited for the service");
}

#[test]
fn a_burst_is_one_push_and_the_next_burst_another() {
    let mut world = asleep();
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &burst(BOB, 7, 1..=20));
    let push = world.push();
    assert_eq!(told(&push).waiting, 20);
    assert_eq!(told(&push).id, id(7, 20), "the newest");
    world.service_says(BOB, &push, Accepted);

    world.wait(limits::PUSH_BURST - 1);
    world.says(ALICE, alice, &[send(BOB, 7, 21, false)]);
    assert_eq!(world.pushes(), [], "it belongs to the burst");
    world.wait(1);
    world.says(ALICE, alice, &[send(BOB, 7, 22, false)]);
    let push = world.push();
    assert_eq!((told(&push).id, told(&push).waiting), (id(7, 22), 22));
}

#[test]
fn one_push_at_a_time_however_long_a_service_takes() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let slow = world.push();
    for message in 2..=5 {
        world.wait(12 * SECOND);
        world.is_sent(BOB, 7, message);
        assert_eq!(world.pushes(), []);
    }
    world.service_says(BOB, &slow, Accepted);
    world.wait(12 * SECOND);
    world.is_sent(BOB, 7, 6);
    assert_eq!(told(&world.push()).waiting, 6);
}

#[test]
fn a_connected_device_is_not_pushed_to_and_a_silent_one_is_when_its_socket_ends() {
    let mut world = asleep();
    let bob = world.connect(BOB, 1);
    world.is_sent(BOB, 7, 1);
    assert_eq!(world.pushes(), [], "held, and on the socket");
    world.wait(SECOND);
    assert_eq!(world.count(BOB, "page"), 1);
    assert_eq!(world.pushes(), [], "stored, but connected");
    world.closes(BOB, bob);
    assert_eq!(told(&world.push()).id, id(7, 1), "the socket may have been dead all along");
}

#[test]
fn what_is_held_when_the_socket_closes_is_committed_and_pushed() {
    let mut world = asleep();
    let bob = world.connect(BOB, 1);
    world.is_sent(BOB, 7, 1);
    world.closes(BOB, bob);
    assert_eq!(told(&world.push()).id, id(7, 1));
    assert_eq!(world.count(BOB, "page"), 1);
}

#[test]
fn a_device_that_has_everything_is_not_woken_when_it_leaves() {
    let mut world = asleep();
    let bob = world.connect(BOB, 1);
    world.is_sent(BOB, 7, 1);
    world.says(BOB, bob, &[ack(ids(7, [1]))]);
    world.closes(BOB, bob);
    assert_eq!(world.pushes(), []);
}

#[test]
fn a_device_that_came_begins_a_new_burst() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    world.service_says(BOB, &push, Accepted);
    world.wait(SECOND);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(7, [1]))]);
    world.closes(BOB, bob);
    world.wait(SECOND);
    world.is_sent(BOB, 7, 2);
    assert_eq!(told(&world.push()).id, id(7, 2), "two seconds later, but it sleeps again");
}

#[test]
fn only_messages_wake() {
    let mut world = asleep();
    let read = |number| PeerItem::Receipt {
        id: id(9, number),
        device: DeviceId(1),
        ids: ids(3, [1]),
        mark: Mark::Read,
        at: NOON,
    };
    world.calls(ALICE, BOB, vec![read(1)]);
    assert_eq!(world.mailbox(BOB).waiting(), 1);
    assert_eq!(world.pushes(), []);
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    assert_eq!(told(&push).waiting, 1, "the receipt is not counted");
    world.service_says(BOB, &push, Accepted);
    world.wait(MINUTE);
    world.calls(ALICE, BOB, vec![read(2)]);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(7, [1]))]);
    world.closes(BOB, bob);
    assert_eq!(world.pushes(), [], "receipts wait, and nobody is woken for them");
}

#[test]
fn of_several_devices_those_that_sleep_are_woken() {
    let mut world = asleep();
    world.link(BOB, 2);
    world.link(BOB, 3);
    world.subscribes(BOB, 2);
    world.connect(BOB, 1);
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    assert_eq!((push.device, push.subscription), (DeviceId(2), subscription(2)));
}

#[test]
fn a_long_body_is_left_out_and_the_payload_has_its_limit() {
    let mut world = asleep();
    let alice = world.connect(ALICE, 1);
    let long = Body(vec![b'x'; limits::BODY_BYTES_MAX]);
    let send = Send { id: id(7, 1), to: number(BOB), body: long, chained: false, after: None };
    world.says(ALICE, alice, &[ClientFrame::Send(send)]);
    let push = world.push();
    assert!(push.payload.len() <= limits::PUSH_BYTES_MAX);
    assert_eq!((told(&push).id, told(&push).body), (id(7, 1), None));
}

#[test]
fn subscribing_again_costs_nothing_and_otherwise_a_row() {
    let mut world = asleep();
    let rows = world.rows(BOB);
    world.subscribes(BOB, 1);
    assert_eq!(world.rows(BOB) - rows, 0);
    world.subscribes_to(BOB, 1, subscription(99));
    assert_eq!(world.rows(BOB) - rows, 1);
    assert_eq!(world.count(BOB, "push"), 1);
    world.hibernates(BOB);
    assert_eq!(world.subscription(BOB, 1), Some(subscription(99)));
    let device = DeviceId(1);
    let answer = world.account(BOB, AccountRequest::Unsubscribe(device));
    assert_eq!(answer, AccountAnswer::Granted);
    assert_eq!((world.subscription(BOB, 1), world.count(BOB, "push")), (None, 0));
}

#[test]
fn a_subscription_goes_with_its_device() {
    let mut world = asleep();
    world.link(BOB, 2);
    world.subscribes(BOB, 2);
    let (device, target) = (DeviceId(1), DeviceId(2));
    world.account(BOB, AccountRequest::Remove { device, target });
    assert_eq!(world.count(BOB, "push"), 1);
    let request = AccountRequest::Subscribe { device: target, subscription: subscription(2) };
    let gone = AccountAnswer::Refused { code: ErrorCode::DeviceRemoved, retry_after: None };
    assert_eq!(world.account(BOB, request), gone);

    world.now += 24 * HOUR;
    world.register(BOB, 3);
    assert_eq!(world.count(BOB, "push"), 0, "the number may have a new owner");
    world.is_sent(BOB, 7, 1);
    assert_eq!(world.pushes(), []);
}

/// An earlier version of the server removes devices and knows nothing of subscriptions.
#[test]
fn a_subscription_that_was_left_behind_is_nobodys() {
    let mut world = asleep();
    world.query(BOB, "UPDATE device SET device = x'00000000000000aa'");
    world.restarts(BOB);
    world.is_sent(BOB, 7, 1);
    assert_eq!(world.pushes(), []);
    world.subscribes(BOB, 0xaa);
    assert_eq!(world.count(BOB, "push"), 1);
    world.is_sent(BOB, 7, 2);
    assert_eq!(world.push().device, DeviceId(0xaa));
}

/// What the sender was not told, it sends again: that makes up for a push that was lost with it.
#[test]
fn a_push_costs_no_row_and_is_counted_and_paid_for_by_the_time_it_takes() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    let before = world.usage(BOB);
    world.now += 500;
    world.service_says(BOB, &push, Accepted);
    let after = world.usage(BOB);
    assert_eq!(after.pushes, 1);
    assert_eq!(after.rows_written, before.rows_written);
    assert_eq!(after.requests - before.requests, 1, "of the account that asks");
    assert_eq!(after.spent - before.spent, 150 + 500 * 2);
}

#[test]
fn over_its_budget_an_account_is_not_woken() {
    let mut world = World::new();
    world.config.daily_budget = 100_000;
    for account in [ALICE, BOB] {
        world.register(account, 1);
    }
    world.subscribes(BOB, 1);
    let mut pushed = 0;
    for message in 1..=100 {
        world.is_sent(BOB, 7, message);
        for push in world.pushes() {
            pushed += 1;
            world.now += 8 * SECOND;
            world.service_says(BOB, &push, Accepted);
        }
        world.now += 11 * SECOND;
    }
    assert!((5..8).contains(&pushed), "{pushed}: 16,000 each");
    assert_eq!(world.mailbox(BOB).waiting(), 100, "what was sent has come");
    world.now += 24 * HOUR;
    world.is_sent(BOB, 7, 101);
    world.push();
}
