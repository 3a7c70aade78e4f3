//! What one device of an account sends and reads, its other devices are given too.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Refusal, SocketId};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;

/// ALICE has devices 1 and 2, and BOB has one.
fn world() -> World {
    let mut world = World::with(&[ALICE, BOB]);
    world.link(ALICE, 2);
    world
}

/// The copies among the frames: to whom, and which.
fn copies(frames: &[ServerFrame]) -> Vec<(PhoneNumber, MessageId)> {
    let copies = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Deliver(deliver) => {
            assert_eq!(deliver.to.is_some(), deliver.from == number(ALICE));
            Some((deliver.to?, deliver.id))
        }
        _ => None,
    });
    copies.collect()
}

fn to_bob(stream: u64, numbers: std::ops::RangeInclusive<u64>) -> Vec<(PhoneNumber, MessageId)> {
    ids(stream, numbers).into_iter().map(|id| (number(BOB), id)).collect()
}

fn both(world: &mut World) -> (SocketId, SocketId) {
    let sockets = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    world.hears(ALICE, sockets.0);
    world.hears(ALICE, sockets.1);
    sockets
}

#[test]
fn with_everybody_connected_nothing_is_written() {
    let mut world = world();
    let (first, second) = both(&mut world);
    let bob = world.connect(BOB, 1);
    let rows = (world.rows(ALICE), world.rows(BOB));
    world.says(ALICE, first, &burst(BOB, 1, 1..=3));
    let heard = world.hears(ALICE, second);
    assert_eq!(copies(&heard), to_bob(1, 1..=3));
    let ServerFrame::Deliver(copy) = &heard[0] else { panic!("{heard:?}") };
    assert_eq!((copy.device, &copy.body.0[..]), (DeviceId(1), &b"1/1"[..]));
    assert_eq!(world.hears(ALICE, first), [], "bob has not got it, nor is the copy safe");
    world.says(BOB, bob, &[ack(ids(1, 1..=3))]);
    assert_eq!(sent(&world.hears(ALICE, first)), [], "the copy is not safe");
    world.says(ALICE, second, &[ack(ids(1, 1..=3))]);
    assert_eq!(sent(&world.hears(ALICE, first)), ids(1, 1..=3));
    assert_eq!(delivered(&world.hears(ALICE, second)), ids(1, 1..=3), "news comes to both");
    assert_eq!((world.rows(ALICE), world.rows(BOB)), rows);
}

#[test]
fn the_other_order_ends_the_same() {
    let mut world = world();
    let (first, second) = both(&mut world);
    let bob = world.connect(BOB, 1);
    world.says(ALICE, first, &[send(BOB, 1, 1, false)]);
    world.says(ALICE, second, &[ack(ids(1, [1]))]);
    assert_eq!(sent(&world.hears(ALICE, first)), [], "bob has not got it");
    world.says(BOB, bob, &[ack(ids(1, [1]))]);
    assert_eq!(sent(&world.hears(ALICE, first)), ids(1, [1]));
}

#[test]
fn a_copy_that_is_not_acknowledged_is_stored_and_then_it_is_sent() {
    for closes in [false, true] {
        let mut world = world();
        let (first, second) = both(&mut world);
        world.says(ALICE, first, &burst(BOB, 1, 1..=2));
        assert_eq!(world.hears(ALICE, first), [], "stored with bob, held for the other");
        if closes {
            world.closes(ALICE, second);
        } else {
            world.wait(1000);
        }
        assert_eq!(sent(&world.hears(ALICE, first)), ids(1, 1..=2));
        world.restarts(ALICE);
        let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
        assert_eq!(copies(&world.hears(ALICE, first)), [], "it is its own");
        assert_eq!(copies(&world.hears(ALICE, second)), to_bob(1, 1..=2));
        world.says(ALICE, second, &[ack(ids(1, 1..=2))]);
        assert_eq!((world.mailbox(ALICE).waiting(), world.count(ALICE, "page")), (0, 0));
    }
}

#[test]
fn a_device_that_is_away_gets_its_copies_later_and_in_order() {
    let mut world = world();
    let first = world.connect(ALICE, 1);
    let rows = world.rows(ALICE);
    world.says(ALICE, first, &burst(BOB, 1, 1..=20));
    assert_eq!(sent(&world.hears(ALICE, first)), ids(1, 1..=20));
    assert_eq!(world.rows(ALICE), rows + 1, "one page for the burst");
    let second = world.connect(ALICE, 2);
    assert_eq!(copies(&world.hears(ALICE, second)), to_bob(1, 1..=20));
    world.says(ALICE, second, &[ack(ids(1, 1..=20))]);
    assert_eq!(world.mailbox(ALICE).waiting(), 0);
}

#[test]
fn what_was_lost_on_the_way_is_copied_when_it_is_repeated() {
    // The call took effect and its answer was lost; or the mailbox was lost with the copy in it.
    for evicted in [false, true] {
        let mut world = world();
        let (first, second) = both(&mut world);
        if !evicted {
            world.mute = Some(BOB);
        }
        world.says(ALICE, first, &burst(BOB, 1, 1..=2));
        world.mute = None;
        let (first, second) = if evicted {
            world.restarts(ALICE);
            both(&mut world)
        } else {
            (first, second)
        };
        let heard = world.hears(ALICE, first);
        assert_eq!(sent(&heard), []);
        world.says(ALICE, first, &burst(BOB, 1, 1..=2));
        assert_eq!(copies(&world.hears(ALICE, second)), to_bob(1, 1..=2));
        world.says(ALICE, second, &[ack(ids(1, 1..=2))]);
        assert_eq!(sent(&world.hears(ALICE, first)), ids(1, 1..=2));
        world.says(ALICE, first, &burst(BOB, 1, 1..=2));
        assert_eq!(copies(&world.hears(ALICE, second)), [], "once is enough");
        assert_eq!(sent(&world.hears(ALICE, first)), ids(1, 1..=2));
    }
}

#[test]
fn what_is_refused_is_not_copied() {
    let mut world = world();
    let (first, second) = both(&mut world);
    world.says(ALICE, first, &[send(NOBODY, 1, 1, false)]);
    assert_eq!(refused(&world.hears(ALICE, first)), [(id(1, 1), ErrorCode::Unregistered)]);
    assert_eq!(world.hears(ALICE, second), []);
}

#[test]
fn the_copy_comes_before_the_news_of_it() {
    let mut world = world();
    let (first, second) = both(&mut world);
    let bob = world.connect(BOB, 1);
    world.calls_hang = true;
    world.says(ALICE, first, &[send(BOB, 1, 1, false)]);
    // Bob's mailbox took it, and its news overtake its answer.
    let message = estafette_relay::PeerMessage {
        id: id(1, 1),
        device: DeviceId(1),
        body: Body(b"1/1".to_vec()),
        chained: false,
        after: None,
    };
    world.calls(ALICE, BOB, vec![estafette_relay::PeerItem::Message(message)]);
    world.hears(BOB, bob);
    let news = estafette_relay::PeerItem::Delivered {
        device: DeviceId(1),
        ids: ids(1, [1]),
        at: world.now,
        stored: false,
    };
    world.calls(BOB, ALICE, vec![news]);
    let heard = world.hears(ALICE, second);
    assert_eq!(copies(&heard[..1]), to_bob(1, 1..=1));
    assert_eq!(delivered(&heard[1..]), ids(1, [1]));
    assert_eq!(sent(&world.hears(ALICE, first)), [], "the copy is not safe yet");
    let held = estafette_relay::PeerAnswer {
        verdicts: vec![estafette_relay::Verdict::Held],
        at: world.now,
        keys: vec![],
    };
    world.answers(ALICE, BOB, Some(held));
    assert_eq!(world.hears(ALICE, second), [], "and it comes once");
    world.says(ALICE, second, &[ack(ids(1, [1]))]);
    assert_eq!(sent(&world.hears(ALICE, first)), ids(1, [1]));
}

#[test]
fn what_one_device_has_read_the_other_is_told() {
    let mut world = world();
    let (first, second) = both(&mut world);
    let read = receipt(BOB, id(7, 1), ids(5, 1..=2), Mark::Read);
    world.says(ALICE, first, std::slice::from_ref(&read));
    let heard = world.hears(ALICE, second);
    let [ServerFrame::Receipt(copy)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((copy.from, copy.to, copy.mark), (number(ALICE), Some(number(BOB)), Mark::Read));
    assert_eq!(copy.ids, ids(5, 1..=2));
    assert_eq!(sent(&world.hears(ALICE, first)), []);
    world.says(ALICE, second, &[ack(vec![id(7, 1)])]);
    assert_eq!(sent(&world.hears(ALICE, first)), [id(7, 1)]);
    assert_eq!(world.mailbox(ALICE).waiting(), 0);
    let oneself = receipt(ALICE, id(7, 2), ids(5, [1]), Mark::Read);
    world.says(ALICE, first, &[oneself]);
    assert_eq!(refused(&world.hears(ALICE, first)), [(id(7, 2), ErrorCode::Malformed)]);
}

#[test]
fn what_a_device_has_not_got_yet_is_not_skipped_by_a_copy_of_its_own() {
    let mut world = world();
    let bob = world.connect(BOB, 1);
    // More than the window of a socket waits for both.
    for start in [1, 61, 121, 181, 241] {
        world.says(BOB, bob, &burst(ALICE, 9, 1..=1)[..0]);
        let numbers = start..=start + 59;
        let frames: Vec<_> = numbers.map(|n| send(ALICE, 9, n, n > 1)).collect();
        world.says(BOB, bob, &frames);
        world.now += 60_000;
    }
    let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    let mut seen = world.receives(ALICE, first);
    let theirs = world.receives(ALICE, second);
    world.says(ALICE, second, &[ack(theirs)]);
    let rest = world.receives(ALICE, second);
    world.says(ALICE, second, &[ack(rest)]);
    // The second is up to date, so the copy is held for it; the first still has to be given the rest.
    world.says(ALICE, first, &[send(BOB, 1, 1, false)]);
    world.wait(1000);
    while seen.len() < 300 {
        world.says(ALICE, first, &[ack(seen.clone())]);
        let more = world.receives(ALICE, first);
        assert!(!more.is_empty(), "stuck at {}", seen.len());
        seen.extend(more);
    }
    assert_eq!(seen, ids(9, 1..=300));
}

#[test]
fn a_full_mailbox_keeps_nobody_from_sending() {
    let mut world = World::new();
    world.config.queue_messages_max = 2;
    for account in [ALICE, BOB, CAROL] {
        world.register(account, 1);
    }
    world.link(ALICE, 2);
    let first = world.connect(ALICE, 1);
    world.says(ALICE, first, &burst(BOB, 1, 1..=2));
    world.says(ALICE, first, &burst(CAROL, 2, 1..=2));
    assert_eq!(sent(&world.hears(ALICE, first)), [ids(1, 1..=2), ids(2, 1..=2)].concat());
    assert_eq!(world.mailbox(ALICE).waiting(), 2);
}

// Devices.

#[test]
fn a_linked_device_begins_with_what_comes_next() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &burst(ALICE, 1, 1..=3));
    world.link(ALICE, 2);
    world.says(BOB, bob, &[send(ALICE, 1, 4, false)]);
    for restarted in [false, true] {
        if restarted {
            world.restarts(ALICE);
        }
        let second = world.connect(ALICE, 2);
        assert_eq!(world.receives(ALICE, second), ids(1, [4]));
        let first = world.connect(ALICE, 1);
        assert_eq!(world.receives(ALICE, first), ids(1, 1..=4), "the first still has it all");
    }
}

#[test]
fn at_most_five_devices() {
    let mut world = World::with(&[ALICE]);
    let link = |target| AccountRequest::Link {
        device: DeviceId(1),
        target: DeviceId(target),
        name: "tablet".into(),
        identity_key: [0; 32],
    };
    for target in 2..=5 {
        assert_eq!(world.account(ALICE, link(target)), AccountAnswer::Granted);
    }
    assert_eq!(world.account(ALICE, link(5)), AccountAnswer::Granted, "it is one already");
    let full: AccountAnswer = Refusal::from(ErrorCode::TooManyDevices).into();
    assert_eq!(world.account(ALICE, link(6)), full);
    let remove = AccountRequest::Remove { device: DeviceId(1), target: DeviceId(3) };
    assert_eq!(world.account(ALICE, remove), AccountAnswer::Granted);
    assert_eq!(world.account(ALICE, link(6)), AccountAnswer::Granted);
}

#[test]
fn the_primary_acts_on_all_and_the_others_on_themselves() {
    let mut world = world();
    world.link(ALICE, 3);
    let rename = |device, target| AccountRequest::Rename {
        device: DeviceId(device),
        target: DeviceId(target),
        name: "new".into(),
    };
    let remove = |device, target| AccountRequest::Remove {
        device: DeviceId(device),
        target: DeviceId(target),
    };
    let refused = |code: ErrorCode| -> AccountAnswer { Refusal::from(code).into() };
    for (request, expected) in [
        (rename(2, 1), refused(ErrorCode::NotPrimary)),
        (rename(2, 3), refused(ErrorCode::NotPrimary)),
        (rename(2, 9), refused(ErrorCode::NotFound)),
        (rename(9, 2), refused(ErrorCode::DeviceRemoved)),
        (rename(2, 2), AccountAnswer::Granted),
        (rename(1, 3), AccountAnswer::Granted),
        (remove(2, 1), refused(ErrorCode::NotPrimary)),
        (remove(2, 3), refused(ErrorCode::NotPrimary)),
        (remove(2, 9), refused(ErrorCode::NotFound)),
        (remove(1, 3), AccountAnswer::Granted),
        (remove(2, 2), AccountAnswer::Granted),
        (remove(2, 2), refused(ErrorCode::DeviceRemoved)),
    ] {
        assert_eq!(world.account(ALICE, request.clone()), expected, "{request:?}");
    }
    world.restarts(ALICE);
    let list = world.account(ALICE, AccountRequest::Devices(DeviceId(1)));
    let AccountAnswer::Devices(list) = list else { panic!("{list:?}") };
    assert_eq!(list.len(), 1);
}

#[test]
fn devices_that_do_not_come_lapse() {
    let mut world = world();
    let first = world.connect(ALICE, 1);
    let bob = world.connect(BOB, 1);
    world.wait(44 * DAY);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    assert_eq!(world.mailbox(ALICE).waiting(), 1, "it waits for the second");
    world.says(ALICE, first, &[ack(ids(1, [1]))]);
    world.wait(2 * DAY);
    let connect =
        |world: &mut World, device| world.connect_as(ALICE, device, Encoding::Cbor).map(drop);
    assert_eq!(connect(&mut world, 2), Err(ErrorCode::DeviceRemoved.into()));
    assert_eq!((world.mailbox(ALICE).waiting(), world.count(ALICE, "page")), (0, 0));
    assert!(world.is_open(ALICE, first), "who is connected is used");
    world.closes(ALICE, first);
    world.wait(134 * DAY);
    let first = world.connect(ALICE, 1);
    world.closes(ALICE, first);
    world.wait(182 * DAY);
    assert_eq!(connect(&mut world, 1), Err(ErrorCode::DeviceRemoved.into()));
}

#[test]
fn a_day_of_connections_is_one_row() {
    let mut world = World::with(&[ALICE]);
    let rows = world.rows(ALICE);
    for _ in 0..3 {
        let first = world.connect(ALICE, 1);
        world.closes(ALICE, first);
    }
    assert_eq!(world.rows(ALICE), rows + 1);
}
