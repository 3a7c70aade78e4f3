//! Where a push service fails, it is asked again for so long and no longer, and nothing waits for it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use PushOutcome::{Accepted, Gone, Refused, TooLarge};
use estafette_protocol::*;
use estafette_relay::*;
use support::*;

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DOWN: PushOutcome = PushOutcome::Unavailable { retry_after: None };

/// The row of BOB's subscription: brief, failures, not_before.
fn standing(world: &mut World) -> Vec<Value> {
    world.query(BOB, "SELECT brief, failures, not_before FROM push").remove(0)
}

fn row(brief: i64, failures: i64, not_before: Millis) -> Vec<Value> {
    vec![Value::Integer(brief), Value::Integer(failures), Value::from(not_before)]
}

#[test]
fn a_failed_push_is_tried_again_ever_later_and_then_no_more() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let mut waits = Vec::new();
    loop {
        let push = world.push();
        let departed = world.now;
        world.service_says(BOB, &push, DOWN);
        let failures = standing(&mut world)[1].clone();
        if failures == Value::Integer(0) {
            break;
        }
        let retry = world.object(BOB).alarm.unwrap();
        world.is_sent(BOB, 7, 100 + waits.len() as u64);
        assert_eq!(world.pushes(), [], "what comes meanwhile waits for the next try");
        world.wait(retry - world.now);
        waits.push((world.now - departed) / SECOND);
    }
    assert_eq!(waits, [30, 120, 480, 1920, 7680, 30_720]);
    world.wait(HOUR - 1);
    world.is_sent(BOB, 7, 200);
    assert_eq!(world.pushes(), [], "given up, for an hour");
    world.wait(1);
    world.is_sent(BOB, 7, 201);
    let push = world.push();
    assert_eq!(told(&push).waiting, 9);
    world.service_says(BOB, &push, Accepted);
    assert_eq!(standing(&mut world), row(0, 0, 0));
}

#[test]
fn a_retry_survives_an_eviction_and_says_what_is_newest() {
    let mut world = World::new();
    world.config.message_life = HOUR;
    world.register(BOB, 1);
    world.subscribes(BOB, 1);
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    assert_eq!(push.ttl, 3600);
    world.service_says(BOB, &push, DOWN);
    let due = world.now + 30 * SECOND;
    assert_eq!(standing(&mut world), row(0, 1, due));
    world.hibernates(BOB);
    world.wait(5 * SECOND);
    world.is_sent(BOB, 7, 2);
    assert_eq!(world.pushes(), []);
    world.hibernates(BOB);
    world.wait(25 * SECOND);
    let push = world.push();
    assert_eq!((told(&push).id, told(&push).waiting), (id(7, 2), 2));
    assert_eq!(push.ttl, 3600 - 25, "what is left of the newest message's life");
    let rows = world.rows(BOB);
    world.service_says(BOB, &push, Accepted);
    assert_eq!(standing(&mut world), row(0, 0, 0));
    assert_eq!(world.rows(BOB) - rows, 1);
}

#[test]
fn a_service_is_given_the_time_it_asks_for_up_to_a_day() {
    for (asked, given) in [
        (5 * SECOND, 30 * SECOND),
        (10 * MINUTE, 10 * MINUTE),
        (365 * 24 * HOUR, 24 * HOUR),
        (Millis::MAX, 24 * HOUR),
    ] {
        let mut world = asleep();
        world.is_sent(BOB, 7, 1);
        let push = world.push();
        let outcome = PushOutcome::Unavailable { retry_after: Some(asked) };
        world.service_says(BOB, &push, outcome);
        world.wait(given - 1);
        assert_eq!(world.pushes(), [], "{asked}");
        world.wait(1);
        world.push();
    }
}

#[test]
fn what_was_too_long_goes_without_its_body_from_then_on() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    assert!(told(&push).body.is_some());
    world.service_says(BOB, &push, TooLarge);
    world.hibernates(BOB);
    world.wait(30 * SECOND);
    let push = world.push();
    assert_eq!((told(&push).id, told(&push).body), (id(7, 1), None));
    world.service_says(BOB, &push, Accepted);
    world.wait(MINUTE);
    world.is_sent(BOB, 7, 2);
    let push = world.push();
    assert_eq!(told(&push).body, None);
    world.service_says(BOB, &push, TooLarge);
    assert_eq!(standing(&mut world), row(1, 0, world.now + HOUR), "it can't be shorter");
}

#[test]
fn a_subscription_that_is_gone_is_dropped() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    world.service_says(BOB, &push, Gone);
    assert_eq!(world.count(BOB, "push"), 0);
    assert_eq!(world.subscription(BOB, 1), None);
    world.wait(MINUTE);
    world.is_sent(BOB, 7, 2);
    assert_eq!(world.pushes(), []);
}

#[test]
fn a_set_up_error_is_not_asked_for_again_and_again() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    let alarm = world.object(BOB).alarm;
    world.service_says(BOB, &push, Refused);
    assert_eq!(world.object(BOB).alarm, alarm, "no alarm for it");
    world.wait(HOUR - 1);
    world.is_sent(BOB, 7, 2);
    world.hibernates(BOB);
    world.is_sent(BOB, 7, 3);
    assert_eq!(world.pushes(), []);
    world.wait(1);
    world.is_sent(BOB, 7, 4);
    world.push();
}

#[test]
fn a_device_that_comes_by_itself_needs_no_retry() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    world.service_says(BOB, &push, DOWN);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[ack(ids(7, [1]))]);
    world.closes(BOB, bob);
    world.wait(30 * SECOND);
    assert_eq!(world.pushes(), []);
    assert_eq!(standing(&mut world)[1], Value::Integer(0));
    let expiry = world.object(BOB).alarm;
    assert_eq!(expiry, None, "and no alarm");
}

#[test]
fn a_device_that_came_before_its_push_failed_needs_no_retry() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    world.connect(BOB, 1);
    let alarm = world.object(BOB).alarm;
    world.service_says(BOB, &push, DOWN);
    assert_eq!(world.object(BOB).alarm, alarm);
    assert_eq!(standing(&mut world)[1], Value::Integer(0));
}

#[test]
fn an_answer_to_an_earlier_subscription_says_nothing_of_the_present_one() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    world.subscribes_to(BOB, 1, subscription(99));
    world.service_says(BOB, &push, Gone);
    assert_eq!(world.subscription(BOB, 1), Some(subscription(99)));
    world.is_sent(BOB, 7, 2);
    assert_eq!(world.push().subscription, subscription(99));
}

#[test]
fn a_crash_after_the_commit_loses_no_push_for_good() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    world.push();
    world.restarts(BOB);
    world.is_sent(BOB, 7, 1);
    assert_eq!(told(&world.push()).id, id(7, 1));
    world.is_sent(BOB, 7, 1);
    assert_eq!(world.pushes(), [], "once is enough");
    world.wait(HOUR);
    world.is_sent(BOB, 7, 1);
    assert_eq!(world.pushes(), []);
}

#[test]
fn clocks_that_jump_neither_flood_nor_silence() {
    let mut world = asleep();
    world.is_sent(BOB, 7, 1);
    let push = world.push();
    world.service_says(BOB, &push, Accepted);
    world.now -= HOUR;
    world.is_sent(BOB, 7, 2);
    let push = world.push();
    world.service_says(BOB, &push, PushOutcome::Unavailable { retry_after: Some(24 * HOUR) });
    world.now -= 48 * HOUR;
    world.is_sent(BOB, 7, 3);
    world.push();
}

#[test]
fn statuses_mean_what_the_standard_says() {
    let after = |status| PushOutcome::of(status, Some(7));
    let wait = PushOutcome::Unavailable { retry_after: Some(7) };
    for (statuses, outcome) in [
        (&[200, 201, 202, 204][..], Accepted),
        (&[404, 410], Gone),
        (&[413], TooLarge),
        (&[301, 302, 307, 308, 408, 429, 500, 502, 503, 504, 599], wait),
        (&[400, 401, 403, 405, 415], Refused),
    ] {
        for &status in statuses {
            assert_eq!(after(status), outcome, "{status}");
        }
    }
}
