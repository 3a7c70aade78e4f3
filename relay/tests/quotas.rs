//! What an account may upload: bytes a day, uploads at once, and what files cost it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, MediaWork};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;
const MIB: u64 = 1024 * 1024;
const ONE_WRITE: MediaWork = MediaWork { writes: 1, reads: 0, requests: 0, rows: 0 };

fn upload(media: u128, bytes: u64, open_until: Option<Millis>) -> AccountRequest {
    let (device, media) = (DeviceId(1), MediaId(media));
    AccountRequest::Upload { device, media, bytes, open_until, work: ONE_WRITE }
}

fn refused(code: ErrorCode, wait: Millis) -> AccountAnswer {
    AccountAnswer::Refused { code, retry_after: Some(wait) }
}

#[test]
fn bytes_of_a_day_run_out_and_come_back_at_midnight() {
    let mut world = World::with(&[ALICE]);
    world.config.upload_bytes_a_day = 10 * MIB;
    world.restarts(ALICE);
    let midnight = DAY - world.now % DAY;
    assert_eq!(world.account(ALICE, upload(1, 6 * MIB, None)), AccountAnswer::Granted);
    let too_much = refused(ErrorCode::QuotaExhausted, midnight);
    assert_eq!(world.account(ALICE, upload(2, 4 * MIB + 1, None)), too_much);
    assert_eq!(world.usage(ALICE).uploaded_bytes, 6 * MIB, "a refusal is not charged");
    assert_eq!(world.account(ALICE, upload(2, 4 * MIB, None)), AccountAnswer::Granted);
    assert_eq!(world.account(ALICE, upload(3, 1, None)), too_much);
    assert_eq!(world.account(ALICE, upload(3, 0, None)), AccountAnswer::Granted, "an empty file");
    assert_eq!(world.account(ALICE, upload(4, u64::MAX, None)), too_much);

    world.restarts(ALICE);
    assert_eq!(world.account(ALICE, upload(3, 1, None)), too_much, "it was written");
    world.now += midnight;
    assert_eq!(world.account(ALICE, upload(3, 10 * MIB, None)), AccountAnswer::Granted);
}

#[test]
fn counting_small_files_costs_no_row_each() {
    let mut world = World::with(&[ALICE]);
    world.restarts(ALICE);
    let before = world.rows(ALICE);
    for media in 0..100 {
        assert_eq!(world.account(ALICE, upload(media, 64 * 1024, None)), AccountAnswer::Granted);
    }
    let usage = world.usage(ALICE);
    assert_eq!((usage.media_writes, usage.uploaded_bytes), (100, 100 * 64 * 1024));
    // 6.25 MiB are more than 1/1024 of the quota, once; $0.0006 are 7/256 of the budget.
    assert!(usage.rows_written - before <= 9, "{}", usage.rows_written - before);
    world.restarts(ALICE);
    let kept = world.usage(ALICE);
    assert!(kept.uploaded_bytes >= 4 * MIB, "at most 1/1024 of the quota is forgotten");
    assert!(kept.spent >= usage.spent - world.config.daily_budget / 256 - 1000);
}

#[test]
fn sixteen_uploads_may_be_unfinished() {
    let mut world = World::with(&[ALICE]);
    let begun = world.now;
    for media in 0..16 {
        world.now += 1000;
        let until = Some(world.now + DAY);
        assert_eq!(world.account(ALICE, upload(media, 1, until)), AccountAnswer::Granted);
    }
    let until = Some(world.now + DAY);
    let full = refused(ErrorCode::TooManyUploads, begun + 1000 + DAY - world.now);
    assert_eq!(world.account(ALICE, upload(99, 1, until)), full);
    assert_eq!(world.usage(ALICE).uploaded_bytes, 16, "a refusal is not charged");
    assert_eq!(world.account(ALICE, upload(99, 1, None)), AccountAnswer::Granted, "a whole file");
    world.restarts(ALICE);
    assert_eq!(world.account(ALICE, upload(99, 1, until)), full, "nor by waking it anew");

    // One that ends makes place, once.
    for _ in 0..2 {
        let ended = AccountRequest::UploadEnded(MediaId(7));
        assert_eq!(world.account(ALICE, ended), AccountAnswer::Granted);
    }
    assert_eq!(world.account(ALICE, upload(99, 1, until)), AccountAnswer::Granted);
    assert_eq!(world.account(ALICE, upload(100, 1, until)), full);

    // Those that nobody ended do so by themselves.
    world.now = begun + 3000 + DAY;
    let until = Some(world.now + DAY);
    for media in 101..104 {
        assert_eq!(world.account(ALICE, upload(media, 1, until)), AccountAnswer::Granted);
    }
    assert_eq!(
        world.account(ALICE, upload(105, 1, until)),
        refused(ErrorCode::TooManyUploads, 1000)
    );
    assert_eq!(world.count(ALICE, "upload"), 16);
}

#[test]
fn what_files_cost_is_charged_and_bounded() {
    let mut world = World::with(&[ALICE]);
    let before = world.usage(ALICE);
    let work = MediaWork { writes: 3, reads: 2, requests: 4, rows: 5 };
    let media = AccountRequest::Media { device: DeviceId(1), work };
    assert_eq!(world.account(ALICE, media.clone()), AccountAnswer::Granted);
    let after = world.usage(ALICE);
    assert_eq!((after.media_writes, after.media_reads), (3, 2));
    // Two calls of the account, and the prices of R2, calls and rows.
    assert_eq!(after.spent - before.spent, 2 * 150 + 3 * 4500 + 2 * 360 + 4 * 150 + 5 * 1000);

    world.config.daily_budget = after.spent + 30_000;
    world.restarts(ALICE);
    let granted = (0..10).take_while(|_| {
        let answer = world.account(ALICE, media.clone());
        answer == AccountAnswer::Granted
    });
    // Each is 19,970. The restart forgot at most 1/256 of the budget that was, 78,125.
    let granted = granted.count();
    assert!((2..=8).contains(&granted), "{granted}");
    let over = refused(ErrorCode::BudgetExhausted, DAY - world.now % DAY);
    for request in [media, upload(1, 1, None), upload(2, 1, Some(world.now + DAY))] {
        assert_eq!(world.account(ALICE, request), over);
    }
}

#[test]
fn only_a_device_of_the_account_uploads() {
    let mut world = World::with(&[ALICE]);
    let (device, work) = (DeviceId(2), ONE_WRITE);
    let removed = AccountAnswer::Refused { code: ErrorCode::DeviceRemoved, retry_after: None };
    let media = MediaId(1);
    for account in [ALICE, NOBODY] {
        for request in [
            AccountRequest::Upload { device, media, bytes: 1, open_until: None, work },
            AccountRequest::Media { device, work },
        ] {
            assert_eq!(world.account(account, request), removed);
        }
    }
    world.account(NOBODY, AccountRequest::UploadEnded(media));
    assert_eq!(world.count(NOBODY, "sqlite_master"), 0, "nobody leaves anything");
}
