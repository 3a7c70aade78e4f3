//! Messages go out: kept first, sent until the server has them, in order, within bounds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::mls::envelope::CONTENT_BYTES_MAX;
use estafette_core::{ClientError, Config, Event, Input, Status, Store};
use estafette_protocol::{ErrorCode, Mark, MessageId, Millis, limits};
use harness::*;

/// Sends so many messages to Bob at once.
fn burst(phone: &mut Phone, count: usize) -> (Vec<MessageId>, Said) {
    let bodies = (1..=count).map(|n| format!("{n}").into_bytes()).collect();
    let (ids, effects) = phone.client.send_all(phone.now, number(BOB), bodies).unwrap();
    (ids, phone.read(effects))
}

fn retry_in(phone: &Phone) -> Millis {
    phone.client.wake_at().unwrap() - phone.now
}

/// Lets time pass, on a connection that is alive, until messages leave.
fn until_sent(phone: &mut Phone) -> Said {
    for _ in 0..1000 {
        phone.now = phone.client.wake_at().unwrap();
        let said = phone.tick();
        if !said.sends().is_empty() {
            return said;
        }
        phone.input(Input::Pong);
    }
    panic!("nothing leaves");
}

#[test]
fn a_message_is_kept_before_it_leaves() {
    let mut phone = Phone::new();
    let (first, said) = phone.sends(BOB, "hi");
    assert!(said.batches.is_empty());
    assert_eq!(phone.status(BOB, first), Status::Queued);
    let mut phone = phone.crashes(2);
    assert_eq!(phone.client.pending().messages, 1);
    let said = phone.connects();
    assert_eq!(said.sends()[0].id, first);
    assert_eq!(said.sends()[0].body.0, b"hi");
    // The engine is killed when the frame has left, before the answer: the next one repeats it.
    let mut phone = phone.crashes(3);
    assert_eq!(phone.connects().sends()[0].id, first);
    let said = phone.hears(vec![sent(&[first])]);
    assert_eq!(said.statuses(), [(1, Status::Sent)]);
    assert!(phone.client.pending().is_empty());
    assert!(phone.crashes(4).connects().batches.is_empty());
}

#[test]
fn nothing_leaves_before_the_greeting() {
    let mut phone = Phone::new();
    phone.sends(BOB, "hi");
    assert!(phone.tick().batches.is_empty());
    assert!(phone.input(Input::Opened).batches.is_empty());
    let hello = phone.hello();
    assert_eq!(phone.hears(vec![hello]).sends().len(), 1);
}

#[test]
fn a_message_is_chained_while_an_earlier_one_is_unsettled() {
    let mut phone = Phone::connected();
    let (ids, said) = burst(&mut phone, 3);
    assert_eq!(said.chain(), [(1, false, None), (2, true, None), (3, true, None)]);
    phone.hears(vec![sent(&[ids[0], ids[1]])]);
    assert_eq!(phone.sends(BOB, "4").1.chain(), [(4, true, None)]);
    assert_eq!(phone.sends(CAROL, "1").1.chain(), [(1, false, None)], "a stream of its own");
    phone.hears(vec![sent(&[ids[2], id(ids[0].stream, 4)])]);
    assert_eq!(phone.sends(BOB, "5").1.chain(), [(5, false, None)]);
}

#[test]
fn what_is_not_answered_is_sent_again_from_the_first_unsettled() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 3);
    phone.hears(vec![sent(&ids[..1])]);
    let mut waits = Vec::new();
    // Twice as long each time, up to a minute, and never quite the same.
    for longest in [5, 10, 20, 40, 60, 60, 60].map(|seconds| seconds * SECOND) {
        let begun = phone.now;
        let said = until_sent(&mut phone);
        assert_eq!(said.chain(), [(2, false, None), (3, true, None)]);
        let wait = phone.now - begun;
        assert!((longest * 4 / 5..=longest).contains(&wait), "{wait} of {longest}");
        waits.push(wait);
    }
    assert!(waits[4] != waits[5] || waits[5] != waits[6], "{waits:?}");
    // An answer makes it patient again, and ends it when nothing is left.
    phone.hears(vec![sent(&ids[1..2])]);
    assert!(retry_in(&phone) <= 5000);
    phone.hears(vec![sent(&ids[2..])]);
    assert!(phone.wait(20 * SECOND).batches.is_empty());
}

#[test]
fn out_of_order_rewinds_once() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 4);
    phone.hears(vec![sent(&ids[..1])]);
    let said = phone.hears(vec![refused(&ids[..1], ErrorCode::Unavailable, Some(HOUR))]);
    assert!(said.events.is_empty(), "it is settled, and holds nothing up");
    assert!(retry_in(&phone) > 100);
    let said = phone.hears(vec![refused(&ids[2..], ErrorCode::OutOfOrder, None)]);
    assert!(said.batches.is_empty(), "after a wait");
    assert!(said.events.is_empty());
    let wait = retry_in(&phone);
    assert!((80..=100).contains(&wait), "{wait}");
    phone.pass(50);
    phone.hears(vec![refused(&ids[1..2], ErrorCode::OutOfOrder, None)]);
    assert_eq!(retry_in(&phone), wait - 50, "the same refusal, said twice");
    // New messages wait too, and leave behind the old ones.
    assert!(phone.sends(BOB, "5").1.batches.is_empty());
    let said = phone.wait(100);
    let chain = [(2, false, None), (3, true, None), (4, true, None), (5, true, None)];
    assert_eq!(said.chain(), chain);
    assert_eq!(said.batches.len(), 1);
    // The waits grow to five seconds.
    for longest in [200, 400, 800, 1600, 3200, 5000, 5000] {
        phone.hears(vec![refused(&ids[1..], ErrorCode::OutOfOrder, None)]);
        let wait = retry_in(&phone);
        assert!((longest * 4 / 5..=longest).contains(&wait), "{wait} of {longest}");
        assert_eq!(phone.wait(longest).chain(), chain);
    }
    // And are short again once something was taken.
    phone.hears(vec![sent(&ids[1..2])]);
    phone.hears(vec![refused(&ids[2..3], ErrorCode::OutOfOrder, None)]);
    assert!(retry_in(&phone) <= 100);
}

#[test]
fn one_stream_waits_and_the_others_do_not() {
    let mut phone = Phone::connected();
    let (bob, _) = phone.sends(BOB, "1");
    phone.sends(CAROL, "1");
    phone.hears(vec![refused(&[bob], ErrorCode::MailboxFull, None)]);
    assert_eq!(phone.sends(CAROL, "2").1.chain(), [(2, true, None)]);
    assert!(phone.sends(BOB, "2").1.batches.is_empty());
}

#[test]
fn a_permanent_refusal_fails_the_message_and_the_next_skips_it() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 5);
    phone.hears(vec![sent(&ids[..1])]);
    let said = phone.hears(vec![
        refused(&ids[1..3], ErrorCode::TooLarge, None),
        refused(&ids[3..], ErrorCode::OutOfOrder, None),
    ]);
    let failed = |id| Event::Failed { peer: number(BOB), id, code: ErrorCode::TooLarge };
    assert_eq!(said.events, [failed(ids[1]), failed(ids[2])]);
    assert_eq!(phone.status(BOB, ids[2]), Status::Failed);
    let chain = [(4, false, Some(1)), (5, true, None)];
    assert_eq!(phone.wait(100).chain(), chain);
    let mut phone = phone.crashes(2);
    assert_eq!(phone.connects().chain(), chain, "the store knows it too");
    assert!(phone.wait(6 * SECOND).sends().iter().all(|send| send.id.number >= 4));
}

#[test]
fn what_follows_a_failure_at_the_end_skips_it() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 2);
    phone.hears(vec![refused(&ids, ErrorCode::Unregistered, None)]);
    assert_eq!(phone.sends(BOB, "3").1.chain(), [(3, false, Some(0))]);
    let mut phone = phone.crashes(2);
    assert_eq!(phone.sends(BOB, "4").1.chain(), []);
    assert_eq!(phone.connects().chain(), [(3, false, Some(0)), (4, true, None)]);
    let fourth = id(ids[0].stream, 4);
    phone.hears(vec![refused(&[fourth], ErrorCode::TooLarge, None)]);
    assert_eq!(phone.sends(BOB, "5").1.chain(), [(5, true, Some(3))]);
}

#[test]
fn a_refusal_for_now_is_repeated_when_the_server_says() {
    let told =
        |retry_at| Event::Refused { peer: number(BOB), code: ErrorCode::BudgetExhausted, retry_at };
    let mut phone = Phone::connected();
    let (first, _) = phone.sends(BOB, "1");
    let refusal = refused(&[first], ErrorCode::BudgetExhausted, Some(7000));
    let said = phone.hears(vec![refusal]);
    assert_eq!(said.events, [told(phone.now + 7000)]);
    assert!(phone.wait(6999).batches.is_empty());
    assert_eq!(phone.wait(1).chain(), [(1, false, None)]);
    assert_eq!(phone.status(BOB, first), Status::Queued);
    // Something absurd is not believed.
    phone.hears(vec![refused(&[first], ErrorCode::Unavailable, Some(u64::MAX))]);
    phone.input(Input::Closed { code: None });
    phone.pass(DAY);
    assert_eq!(phone.connects().chain(), [(1, false, None)]);
}

#[test]
fn a_full_mailbox_is_tried_every_five_minutes() {
    let mut phone = Phone::connected();
    let (first, _) = phone.sends(BOB, "1");
    for longest in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(|seconds| seconds * SECOND) {
        let said = phone.hears(vec![refused(&[first], ErrorCode::MailboxFull, None)]);
        let Some(Event::Refused { retry_at, .. }) = said.events.first() else {
            assert_eq!(longest, SECOND, "{said:?}");
            phone.wait(SECOND);
            continue;
        };
        let wait = retry_at - phone.now;
        assert!((longest * 4 / 5..=longest).contains(&wait), "{wait} of {longest}");
        until_sent(&mut phone);
        assert_eq!(phone.now, *retry_at);
    }
}

#[test]
fn a_device_that_sends_too_fast_slows_down() {
    let mut phone = Phone::connected();
    let (_, mut said) = burst(&mut phone, 100);
    assert_eq!(said.sends().len(), 48);
    // The server takes the first it gets after each 200 ms, and refuses the others one by one.
    let (mut taken, mut refusals, mut full_at) = (0, 0, 0);
    while phone.client.pending().messages > 0 {
        assert!(phone.now < START + HOUR);
        let mut answers = Vec::new();
        for send in said.sends() {
            assert!(send.id.number <= taken + 48);
            if phone.now >= full_at && send.id.number == taken + 1 {
                (taken, full_at) = (taken + 1, phone.now + 200);
                answers.push(sent(&[send.id]));
            } else {
                refusals += 1;
                let wait = Some(full_at.saturating_sub(phone.now));
                answers.push(refused(&[send.id], ErrorCode::RateLimited, wait));
            }
        }
        said = if answers.is_empty() {
            phone.now = phone.client.wake_at().unwrap();
            phone.tick()
        } else {
            phone.hears(answers)
        };
    }
    assert!(phone.now - START < 100 * 300, "{}", phone.now - START);
    assert!(refusals < 48 * 2 + 3 * 100, "{refusals}");
}

#[test]
fn so_many_are_under_way_at_once() {
    let mut phone = Phone::connected();
    let (ids, said) = burst(&mut phone, 100);
    assert_eq!(said.sends().len(), 48, "to one peer");
    assert_eq!(said.batches.len(), 1);
    let mut others = 0;
    for n in 0..30 {
        others += phone.sends(CAROL, &n.to_string()).1.sends().len();
    }
    assert_eq!(others, 16, "64 in all");
    let said = phone.hears(vec![sent(&ids[..5])]);
    let numbers: Vec<_> = said.chain().into_iter().map(|(number, ..)| number).collect();
    assert_eq!(numbers, [49, 50, 51, 52, 53], "the oldest first");
}

#[test]
fn batches_stay_within_the_limits() {
    let store = Store::in_memory().unwrap();
    let config = Config { window: 1000, peer_window: 1000, ..Config::default() };
    let mut phone = Phone::with(store, 1, START, config);
    let (_, _) = burst(&mut phone, 600);
    let said = phone.connects();
    let lengths: Vec<_> = said.batches.iter().map(Vec::len).collect();
    assert_eq!(lengths, [256, 256, 88]);
    for encoding in [estafette_protocol::Encoding::Cbor, estafette_protocol::Encoding::Json] {
        let store = Store::in_memory().unwrap();
        let mut phone = Phone::with(store, 1, START, Config { encoding, ..config });
        let bodies = vec![vec![b'x'; CONTENT_BYTES_MAX]; 40];
        phone.client.send_all(START, number(BOB), bodies).unwrap();
        let said = phone.connects();
        assert_eq!(said.sends().len(), 40);
        assert!(said.sizes.iter().all(|size| *size <= limits::BATCH_BYTES_MAX), "{:?}", said.sizes);
        assert!(said.batches.len() <= 4);
    }
}

#[test]
fn limits_change_nothing() {
    let store = Store::in_memory().unwrap();
    let config = Config { outbox_max: 2, ..Config::default() };
    let mut phone = Phone::with(store, 1, START, config);
    let long = vec![0; CONTENT_BYTES_MAX + 1];
    let error = phone.client.send_all(START, number(BOB), vec![vec![1], long]).unwrap_err();
    let (bytes, max) = (CONTENT_BYTES_MAX + 1, CONTENT_BYTES_MAX);
    assert_eq!(error, ClientError::TooLarge { bytes, max });
    burst(&mut phone, 2);
    let error = phone.client.send(START, number(BOB), vec![1]).unwrap_err();
    assert_eq!(error, ClientError::OutboxFull(2));
    assert_eq!(phone.screen(BOB), ["1", "2"]);
}

#[test]
fn a_status_moves_forward_only() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 2);
    let said = phone.hears(vec![receipt(id(9, 5), CAROL, &ids, Mark::Delivered)]);
    assert!(said.events.is_empty());
    assert_eq!(phone.client.pending().messages, 2, "nobody else settles it");
    let said = phone.hears(vec![
        receipt(id(9, 1), BOB, &ids[..1], Mark::Delivered),
        receipt(id(9, 2), BOB, &ids[..1], Mark::Read),
    ]);
    assert_eq!(said.statuses(), [(1, Status::Delivered), (1, Status::Read)]);
    assert_eq!(phone.client.pending().messages, 2, "only `sent` says that it is safe");
    let said = phone.hears(vec![
        sent(&ids[..1]),
        receipt(id(9, 3), BOB, &ids, Mark::Delivered),
        receipt(id(9, 4), CAROL, &ids, Mark::Played),
        receipt(id(9, 2), BOB, &ids[..1], Mark::Read),
    ]);
    assert_eq!(said.statuses(), [(2, Status::Delivered)], "only Bob speaks for Bob");
    assert_eq!(phone.status(BOB, ids[0]), Status::Read);
    assert_eq!(phone.client.pending().messages, 1);
    phone.hears(vec![sent(&ids[1..])]);
    assert_eq!(phone.status(BOB, ids[1]), Status::Delivered);
    assert!(phone.wait(20 * SECOND).sends().is_empty());
}

#[test]
fn what_somebody_has_read_is_sent_until_it_is_safe() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 2);
    let said = phone.hears(vec![receipt(id(9, 1), BOB, &ids, Mark::Read)]);
    assert_eq!(said.statuses(), [(1, Status::Read), (2, Status::Read)]);
    // Another of Bob's devices may not have them.
    let chain = [(1, false, None), (2, true, None)];
    assert_eq!(phone.wait(5 * SECOND).chain(), chain);
    let mut phone = phone.crashes(2);
    assert_eq!(phone.connects().chain(), chain);
    let said = phone.hears(vec![sent(&ids[..1]), refused(&ids[1..], ErrorCode::TooLarge, None)]);
    assert!(said.events.is_empty(), "neither moves back: {said:?}");
    assert!(ids.iter().all(|id| phone.status(BOB, *id) == Status::Read));
    assert_eq!(phone.client.pending().messages, 0);
    assert_eq!(phone.sends(BOB, "3").1.chain(), [(3, false, Some(1))]);
    let mut phone = phone.crashes(3);
    assert_eq!(phone.connects().chain(), [(3, false, Some(1))]);
}

#[test]
fn what_is_given_up_is_skipped_though_somebody_has_it() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 3);
    phone.hears(vec![receipt(id(9, 1), BOB, &ids[1..2], Mark::Read)]);
    phone.hears(vec![refused(&ids[1..2], ErrorCode::TooLarge, None)]);
    phone.hears(vec![refused(&ids[..1], ErrorCode::TooLarge, None)]);
    let mut phone = phone.crashes(2);
    assert_eq!(phone.connects().chain(), [(3, false, Some(0))]);
}

#[test]
fn a_message_that_was_given_up_may_turn_out_to_have_arrived() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 1);
    phone.hears(vec![refused(&ids, ErrorCode::Unregistered, None)]);
    let said = phone.hears(vec![receipt(id(9, 1), BOB, &ids, Mark::Delivered)]);
    assert_eq!(said.statuses(), [(1, Status::Delivered)]);
}

#[test]
fn after_thirty_days_a_message_is_given_up() {
    let mut phone = Phone::connected();
    let (ids, _) = burst(&mut phone, 3);
    phone.hears(vec![refused(&ids[..1], ErrorCode::MailboxFull, None)]);
    phone.input(Input::Closed { code: None });
    phone.pass(29 * DAY);
    let said = phone.connects();
    assert_eq!(said.events, [Event::Connected { waiting: 0 }, Event::Reachable]);
    phone.input(Input::Closed { code: None });
    phone.pass(DAY + 1);
    let (late, _) = phone.sends(BOB, "4");
    let said = phone.connects();
    let failed: Vec<_> = said
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Failed { id, code, .. } => Some((id.number, *code)),
            _ => None,
        })
        .collect();
    let full = ErrorCode::MailboxFull;
    assert_eq!(failed, [(1, full), (2, full), (3, full)]);
    assert_eq!(said.chain(), [(4, false, Some(0))]);
    assert_eq!(phone.status(BOB, late), Status::Queued);
}

#[test]
fn streams_are_drawn_and_differ() {
    let stream = |seed| {
        let mut phone = Phone::on(Store::in_memory().unwrap(), seed);
        (phone.sends(BOB, "1").0.stream, phone.sends(CAROL, "1").0.stream)
    };
    assert_eq!(stream(1), stream(1), "by the shell's entropy alone");
    assert_ne!(stream(1), stream(2));
    assert_ne!(stream(1).0, stream(1).1);
}
