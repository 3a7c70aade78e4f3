//! The connection: opened, kept alive, tried again, given up; and clocks that cannot be trusted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::{Config, Event, Input, Status, Store};
use estafette_protocol::{DeviceId, ErrorCode, Hello, Millis, ServerFrame};
use harness::*;

fn closed(code: u16) -> Input {
    Input::Closed { code: Some(code) }
}

/// How long until the client wants to be woken; a wait of nothing is over in the same step.
fn retry_in(phone: &Phone) -> Millis {
    if phone.connecting { 0 } else { phone.client.wake_at().unwrap() - phone.now }
}

#[test]
fn the_first_tick_connects_and_the_greeting_is_told() {
    let mut phone = Phone::new();
    assert_eq!(phone.client.wake_at(), Some(START));
    let said = phone.tick();
    assert_eq!(said.acts, ["connect"]);
    assert_eq!(said.wake_at, Some(START + 20 * SECOND));
    phone.input(Input::Opened);
    assert!(!phone.client.is_connected());
    let said = phone.hears(vec![phone.hello(), drained()]);
    let told = [Event::Connected { waiting: 0 }, Event::Drained, Event::Reachable];
    assert_eq!(said.events, told);
    assert!(phone.client.is_connected());
}

#[test]
fn attempts_back_off_with_full_jitter_until_the_greeting() {
    let mut shortest = [u64::MAX; 9];
    let mut longest = [0; 9];
    for seed in 0..200 {
        let mut phone = Phone::on(Store::in_memory().unwrap(), seed);
        phone.tick();
        for attempt in 0..9 {
            phone.connecting = false;
            let said = phone.input(Input::Closed { code: None });
            let wait = retry_in(&phone);
            assert_eq!(said.events, [Event::Disconnected { retry_at: Some(phone.now + wait) }]);
            shortest[attempt] = wait.min(shortest[attempt]);
            longest[attempt] = wait.max(longest[attempt]);
            if wait > 0 {
                assert!(!phone.pass(wait - 1).tick().does("connect"));
                assert!(phone.pass(1).tick().does("connect"));
            }
        }
    }
    let most = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
    for (attempt, most) in most.into_iter().enumerate() {
        assert!(longest[attempt] <= most, "{longest:?}");
        assert!(longest[attempt] > most * 9 / 10, "{longest:?}");
        assert!(shortest[attempt] < most / 10, "{shortest:?}");
    }
    let mut phone = Phone::new();
    for _ in 0..8 {
        phone.pass(MINUTE).tick();
        phone.connecting = false;
        phone.input(Input::Closed { code: None });
    }
    phone.connects();
    phone.input(Input::Closed { code: None });
    assert!(retry_in(&phone) <= 500);
}

#[test]
fn an_attempt_that_comes_to_nothing_is_given_up() {
    let mut phone = Phone::new();
    phone.tick();
    assert!(phone.wait(20 * SECOND - 1).acts.is_empty());
    assert_eq!(phone.pass(1).tick().acts, ["disconnect"]);
    phone.wait(SECOND);
    phone.input(Input::Opened);
    let said = phone.wait(20 * SECOND);
    assert_eq!(said.acts[0], "disconnect", "open, but no greeting");
}

#[test]
fn a_silent_connection_is_pinged_then_dropped() {
    let mut phone = Phone::connected();
    assert_eq!(retry_in(&phone), 25 * SECOND);
    assert_eq!(phone.pass(25 * SECOND).tick().acts, ["ping"]);
    phone.pass(9 * SECOND).input(Input::Pong);
    assert_eq!(retry_in(&phone), 25 * SECOND);
    phone.pass(20 * SECOND).hears(vec![drained()]);
    assert_eq!(retry_in(&phone), 25 * SECOND, "anything that is heard will do");
    assert_eq!(phone.pass(25 * SECOND).tick().acts, ["ping"]);
    assert!(phone.pass(10 * SECOND - 1).tick().acts.is_empty());
    let said = phone.pass(1).tick();
    assert_eq!(said.acts, ["disconnect"]);
    assert!(matches!(said.events[..], [Event::Disconnected { retry_at: Some(_) }]));
}

#[test]
fn a_removed_device_stops_for_good() {
    let ways: [fn(&mut Phone) -> Said; 4] = [
        |phone| phone.hears(vec![goaway(ErrorCode::DeviceRemoved, None)]),
        |phone| phone.input(closed(4001)),
        |phone| {
            let (first, _) = phone.sends(CAROL, "x");
            phone.hears(vec![refused(&[first], ErrorCode::DeviceRemoved, None)])
        },
        |phone| {
            phone.input(closed(1006));
            phone.pass(SECOND).tick();
            phone.connecting = false;
            let code = ErrorCode::DeviceRemoved;
            phone.input(Input::Rejected { code, retry_after: None })
        },
    ];
    for way in ways {
        let mut phone = Phone::connected();
        let (kept, _) = phone.sends(BOB, "kept for another registration");
        let said = way(&mut phone);
        assert!(said.events.contains(&Event::SignedOut(ErrorCode::DeviceRemoved)), "{said:?}");
        assert!(said.events.contains(&Event::Disconnected { retry_at: None }));
        assert_eq!((phone.client.wake_at(), phone.status(BOB, kept)), (None, Status::Queued));
        assert!(phone.pass(DAY).tick().acts.is_empty());
        let effects = phone.client.connect(phone.now).unwrap();
        assert!(phone.read(effects).acts.is_empty());
    }
}

#[test]
fn a_device_that_is_replaced_twice_waits_to_be_asked() {
    for by_frame in [true, false] {
        let mut phone = Phone::connected();
        let said = phone.input(closed(4002));
        assert!(matches!(said.events[..], [Event::Disconnected { retry_at: Some(_) }]), "{said:?}");
        assert!(retry_in(&phone) >= 30 * SECOND);
        phone.pass(2 * 60 * SECOND);
        phone.connects();
        let said = if by_frame {
            phone.hears(vec![goaway(ErrorCode::Replaced, None)])
        } else {
            phone.input(closed(4002))
        };
        let told = [Event::Error(ErrorCode::Replaced), Event::Disconnected { retry_at: None }];
        assert_eq!(said.events, told);
        assert!(phone.pass(DAY).tick().acts.is_empty());
        let effects = phone.client.connect(phone.now).unwrap();
        assert_eq!(phone.read(effects).acts, ["connect"]);
    }
}

#[test]
fn a_server_that_goes_away_says_when_to_come_back() {
    let mut phone = Phone::connected();
    let said = phone.hears(vec![goaway(ErrorCode::Unavailable, Some(30 * SECOND))]);
    assert!(said.does("disconnect"));
    let wait = retry_in(&phone);
    assert!((30_000..=30_500).contains(&wait), "{wait}");
    phone.connects();
    phone.hears(vec![goaway(ErrorCode::Unavailable, None)]);
    assert!(retry_in(&phone) <= 500);
    phone.connects();
    phone.hears(vec![goaway(ErrorCode::RateLimited, None)]);
    assert!(retry_in(&phone) >= 5000, "too fast is not answered at once");
    phone.pass(6 * SECOND).tick();
    let code = ErrorCode::BudgetExhausted;
    phone.connecting = false;
    phone.input(Input::Rejected { code, retry_after: Some(HOUR) });
    assert!(retry_in(&phone) >= HOUR);
    // The user knows better.
    let effects = phone.client.connect(phone.now).unwrap();
    assert_eq!(phone.read(effects).acts, ["connect"]);
}

#[test]
fn what_follows_a_goodbye_belongs_to_the_next_connection() {
    let mut phone = Phone::connected();
    let farewell = goaway(ErrorCode::Unavailable, None);
    let said = phone.hears(vec![deliver(BOB, 5, 1, "1"), farewell, deliver(BOB, 5, 2, "2")]);
    assert_eq!(said.received().len(), 1);
    assert!(said.batches.is_empty());
    assert!(phone.hears(vec![deliver(BOB, 5, 3, "3")]).received().is_empty());
    phone.connects();
    let said = phone.hears(vec![deliver(BOB, 5, 1, "1"), deliver(BOB, 5, 2, "2")]);
    assert_eq!((said.received().len(), said.acks().len()), (1, 2));
}

#[test]
fn a_greeting_for_another_device_is_not_for_this_one() {
    let mut phone = Phone::new();
    phone.sends(BOB, "not under another name");
    phone.tick();
    phone.input(Input::Opened);
    let hello = ServerFrame::Hello(Hello {
        account: number(ALICE),
        device: DeviceId(99),
        now: START,
        waiting: 1,
        key_packages: None,
    });
    let said = phone.hears(vec![hello, deliver(BOB, 5, 1, "not for this device")]);
    assert!(said.does("disconnect") && said.batches.is_empty() && said.received().is_empty());
    assert_eq!(said.events[0], Event::SignedOut(ErrorCode::TokenInvalid));
}

#[test]
fn each_tick_names_the_next() {
    let mut phone = Phone::connected();
    phone.sends(BOB, "1");
    let said = phone.tick();
    assert!(said.wake_at.is_some_and(|at| at > phone.now), "also when it came too early");
    for _ in 0..500 {
        phone.now = phone.client.wake_at().unwrap();
        let before = phone.now;
        let said = phone.tick();
        let next = phone.client.wake_at().unwrap();
        assert_eq!(said.wake_at, Some(next));
        if said.does("connect") {
            phone.input(Input::Opened);
            phone.hears(vec![phone.hello()]);
        }
        assert!(next > before || said.acts == ["disconnect"], "no spinning: {said:?}");
    }
}

#[test]
fn own_messages_bear_the_servers_time() {
    let mut phone = Phone::new();
    phone.offset = -(HOUR.cast_signed());
    phone.sends(BOB, "before");
    phone.connects();
    phone.pass(7).sends(BOB, "after");
    let mut phone = phone.crashes(2);
    phone.sends(BOB, "remembered");
    let history = phone.client.history(number(BOB), 3).unwrap();
    let times: Vec<_> = history.iter().map(|message| message.at).collect();
    assert_eq!(times, [START, START + 7 - HOUR, START + 7 - HOUR]);
    assert_eq!(phone.screen(BOB), ["before", "after", "remembered"], "shown as they came");
}

#[test]
fn a_clock_that_jumps_back_stalls_nothing() {
    let mut phone = Phone::connected();
    let (first, _) = phone.sends(BOB, "1");
    phone.now -= HOUR;
    assert_eq!(phone.tick().chain(), [(1, false, None)], "no answer in time");
    phone.hears(vec![refused(&[first], ErrorCode::Unavailable, Some(9000))]);
    phone.now -= HOUR;
    assert_eq!(phone.tick().chain(), [(1, false, None)]);
    phone.hears(vec![refused(&[first], ErrorCode::Unavailable, Some(9000))]);
    phone.pass(4000).now -= 8000;
    let said = phone.wait(13_000);
    assert_eq!(said.sends().len(), 1, "at most its own delay late");
    phone.hears(vec![sent(&[first]), deliver(BOB, 5, 1, "x")]);
    phone.input(Input::Closed { code: None });
    phone.now -= HOUR;
    assert!(phone.tick().does("connect"));
    phone.now -= HOUR;
    assert!(phone.tick().does("disconnect"), "an attempt that takes an hour");
}

#[test]
fn a_clock_that_jumps_ahead_loses_nothing() {
    let mut phone = Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "kept")]);
    let (first, _) = phone.sends(BOB, "queued");
    phone.now += 400 * DAY;
    let said = phone.tick();
    assert_eq!((said.acts.as_slice(), said.sends().len()), (["ping"].as_slice(), 1));
    assert!(said.events.is_empty(), "nothing is given up: {said:?}");
    phone.input(Input::Pong);
    let (second, _) = phone.sends(BOB, "made in the future");
    // The next greeting tells that no time has passed.
    phone.input(Input::Closed { code: None });
    phone.offset = -((400 * DAY).cast_signed());
    assert_eq!(phone.connects().chain(), [(1, false, None), (2, true, None)]);
    phone.hears(vec![sent(&[first, second])]);
    phone.wait(2 * HOUR);
    assert_eq!(phone.screen(BOB), ["kept", "queued", "made in the future"]);
    // Its age counts from then: a week later it goes.
    phone.input(Input::Closed { code: None });
    phone.pass(8 * DAY).connects();
    assert!(phone.screen(BOB).is_empty());
}

#[test]
fn a_clock_that_starts_in_1970_loses_nothing() {
    let store = Store::in_memory().unwrap();
    let mut phone = Phone::with(store, 1, 1000, Config::default());
    phone.offset = START.cast_signed();
    let (first, _) = phone.sends(BOB, "queued before anyone knew the time");
    let said = phone.connects();
    assert_eq!(said.events, [Event::Connected { waiting: 0 }, Event::Reachable]);
    assert_eq!(said.chain(), [(1, false, None)]);
    phone.hears(vec![sent(&[first])]);
    phone.wait(2 * HOUR);
    assert_eq!(phone.screen(BOB).len(), 1);
}
