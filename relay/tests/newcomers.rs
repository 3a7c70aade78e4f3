//! New accounts have a quarter of the limits, and reports are counted.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Config, MediaWork};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;
const GIB: u64 = 1 << 30;

/// A world of defaults, with one account, and when that was registered.
fn newcomer() -> (World, Millis) {
    let mut world = World::new();
    world.config = Config::default();
    world.register(BOB, 1);
    let registered_at = world.now;
    world.register(ALICE, 1);
    world.now = registered_at;
    (world, registered_at)
}

/// How many of so many messages are not refused for their rate.
fn taken(world: &mut World, stream: u64, messages: u64) -> u64 {
    let socket = world.connect(ALICE, 1);
    world.says(ALICE, socket, &burst(BOB, stream, 1..=messages));
    let heard = world.hears(ALICE, socket);
    let refused = refused(&heard);
    let limited = refused.iter().filter(|(_, code)| *code == ErrorCode::RateLimited).count();
    world.closes(ALICE, socket);
    messages - limited as u64
}

#[test]
fn a_new_account_sends_a_quarter_at_once_until_its_day_is_over() {
    let (mut world, registered_at) = newcomer();
    assert_eq!(taken(&mut world, 1, 100), 15);
    world.now += 1000;
    assert_eq!(taken(&mut world, 2, 100), 2, "and a quarter a second, rounded up");
    world.now = registered_at + DAY - 1;
    assert_eq!(taken(&mut world, 3, 100), 15);
    world.now = registered_at + DAY;
    world.restarts(ALICE);
    assert_eq!(taken(&mut world, 4, 100), 60);
}

#[test]
fn registering_again_makes_no_account_new_and_deleting_it_does() {
    let (mut world, registered_at) = newcomer();
    world.now = registered_at + DAY;
    let budget = |world: &mut World, device| {
        let usage = world.account(ALICE, AccountRequest::Usage(DeviceId(device)));
        let AccountAnswer::Usage(usage) = usage else { panic!("{usage:?}") };
        usage.budget
    };
    world.register(ALICE, 2);
    assert_eq!(budget(&mut world, 2), 20_000_000);
    world.restarts(ALICE);
    assert_eq!(budget(&mut world, 2), 20_000_000);
    world.account(ALICE, AccountRequest::Delete(DeviceId(2)));
    world.register(ALICE, 3);
    assert_eq!(budget(&mut world, 3), 5_000_000);
}

#[test]
fn a_new_account_costs_and_uploads_a_quarter() {
    let (mut world, registered_at) = newcomer();
    assert_eq!(world.usage(ALICE).budget, 5_000_000);
    let (device, work) = (DeviceId(1), MediaWork { writes: 1, ..MediaWork::default() });
    let upload = |media: u128, bytes| AccountRequest::Upload {
        device,
        media: MediaId(media),
        bytes,
        open_until: None,
        work,
    };
    let refused = |answer: AccountAnswer| match answer {
        AccountAnswer::Refused { code, .. } => Some(code),
        _ => None,
    };
    assert_eq!(refused(world.account(ALICE, upload(1, GIB))), None);
    let more = world.account(ALICE, upload(2, 1));
    assert_eq!(refused(more), Some(ErrorCode::QuotaExhausted));
    // 1,111 writes are 5,000,000; each request is 150 more.
    let media = AccountRequest::Media { device, work: MediaWork { writes: 1100, ..work } };
    assert_eq!(refused(world.account(ALICE, media.clone())), None);
    assert_eq!(refused(world.account(ALICE, media.clone())), None);
    assert_eq!(refused(world.account(ALICE, media.clone())), Some(ErrorCode::BudgetExhausted));
    let connected = world.connect_as(ALICE, 1, Encoding::Cbor);
    assert_eq!(connected.err().map(|refusal| refusal.code), Some(ErrorCode::BudgetExhausted));
    world.now = registered_at + DAY;
    assert_eq!(world.usage(ALICE).budget, 20_000_000);
    assert_eq!(refused(world.account(ALICE, upload(3, 4 * GIB))), None);
}

#[test]
fn where_nobody_is_new_limits_are_full_at_once() {
    let mut world = World::with(&[ALICE, BOB]);
    assert_eq!(world.config.new_account, 0);
    assert_eq!(taken(&mut world, 1, 100), 60);
}

#[test]
fn ten_reports_a_day_and_a_crash_gives_none_back() {
    let mut world = World::with(&[ALICE]);
    let report = AccountRequest::Report(DeviceId(1));
    let rows = world.rows(ALICE);
    for _ in 0..10 {
        assert_eq!(world.account(ALICE, report.clone()), AccountAnswer::Granted);
        world.restarts(ALICE);
    }
    let wait = DAY - world.now % DAY;
    let over = AccountAnswer::Refused { code: ErrorCode::RateLimited, retry_after: Some(wait) };
    assert_eq!(world.account(ALICE, report.clone()), over);
    assert!(world.rows(ALICE) - rows <= 12, "a row each, and no more");
    world.restarts(ALICE);
    assert_eq!(world.account(ALICE, report.clone()), over);
    world.now += wait;
    assert_eq!(world.account(ALICE, report.clone()), AccountAnswer::Granted);
    let stranger = AccountRequest::Report(DeviceId(9));
    let removed = AccountAnswer::Refused { code: ErrorCode::DeviceRemoved, retry_after: None };
    assert_eq!(world.account(ALICE, stranger), removed);
}
