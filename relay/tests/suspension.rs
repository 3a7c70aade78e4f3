//! Suspended and restored by whoever runs the server: what ends, what waits, and what cannot be got round.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{AccountLimits, Inspection, Person, Privacy};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, MediaWork, Refusal};
use support::*;

const SUSPENDED: AccountAnswer =
    AccountAnswer::Refused { code: ErrorCode::Suspended, retry_after: Some(600_000) };
const DAY: Millis = 24 * 60 * 60 * 1000;

fn device(id: u64) -> DeviceId {
    DeviceId(id)
}

fn not_found() -> AccountAnswer {
    Refusal::from(ErrorCode::NotFound).into()
}

fn granted(world: &mut World, account: u64, request: AccountRequest) {
    assert_eq!(world.account(account, request.clone()), AccountAnswer::Granted, "{request:?}");
}

fn inspect(world: &mut World, account: u64) -> Inspection {
    match world.account(account, AccountRequest::Inspect) {
        AccountAnswer::Inspection(inspection) => *inspection,
        other => panic!("{other:?}"),
    }
}

fn code_is_refused(world: &mut World, account: u64) -> Option<ErrorCode> {
    let opened = world.connect_as(account, 1, Encoding::Cbor);
    opened.err().map(|refusal| refusal.code)
}

/// Everything that a device may ask of its account.
fn requests() -> Vec<AccountRequest> {
    let (device, target) = (device(1), device(1));
    let (media, work) = (MediaId(1), MediaWork::default());
    vec![
        AccountRequest::Link {
            device,
            target: DeviceId(9),
            name: "x".into(),
            identity_key: [0; 32],
        },
        AccountRequest::Rename { device, target, name: "x".into() },
        AccountRequest::Remove { device, target },
        AccountRequest::Renew(device),
        AccountRequest::Usage(device),
        AccountRequest::Upload { device, media, bytes: 1, open_until: None, work },
        AccountRequest::Media { device, work },
        AccountRequest::Privacy(device),
        AccountRequest::SetPrivacy { device, privacy: Privacy::default() },
        AccountRequest::People(device),
        AccountRequest::SetPerson { device, number: number(BOB), person: Person::default() },
        AccountRequest::Subscription(device),
        AccountRequest::Subscribe { device, subscription: subscription(1) },
        AccountRequest::Unsubscribe(device),
        AccountRequest::Report(device),
    ]
}

#[test]
fn a_suspended_account_is_cut_off_and_may_do_nothing_but_leave() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    granted(&mut world, ALICE, AccountRequest::Suspend);
    for socket in [first, second] {
        let heard = world.hears(ALICE, socket);
        let last =
            ServerFrame::Goaway(Goaway { code: ErrorCode::Suspended, retry_after: Some(600_000) });
        assert_eq!(heard.last(), Some(&last));
        assert_eq!(world.object(ALICE).sockets[&socket].closed, Some(4003));
    }
    for wakes in [false, true] {
        if wakes {
            world.restarts(ALICE);
        }
        assert_eq!(code_is_refused(&mut world, ALICE), Some(ErrorCode::Suspended));
        let before = world.query(ALICE, "SELECT * FROM device");
        for request in requests() {
            assert_eq!(world.account(ALICE, request.clone()), SUSPENDED, "{request:?}");
        }
        assert_eq!(world.query(ALICE, "SELECT * FROM device"), before);
        // What is its owner's right.
        let devices = world.account(ALICE, AccountRequest::Devices(device(1)));
        assert!(matches!(devices, AccountAnswer::Devices(devices) if devices.len() == 2));
        let export = world.account(ALICE, AccountRequest::Export(device(1)));
        let AccountAnswer::Export(export) = export else { panic!("{export:?}") };
        assert!(export.suspended_at.is_some());
    }
    // A device that is none is told so, as ever.
    let stranger = world.account(ALICE, AccountRequest::Renew(device(7)));
    assert_eq!(stranger, Refusal::from(ErrorCode::DeviceRemoved).into());

    granted(&mut world, ALICE, AccountRequest::Restore);
    granted(&mut world, ALICE, AccountRequest::Renew(device(1)));
    world.restarts(ALICE);
    let socket = world.connect(ALICE, 1);
    assert!(world.is_open(ALICE, socket));
}

#[test]
fn others_see_somebody_who_is_away_and_lose_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.says(ALICE, alice, &[ClientFrame::Presence(Presence { available: true, watch: vec![] })]);
    let bob = world.connect(BOB, 1);
    let watch = Presence { available: true, watch: vec![number(ALICE)] };
    world.says(BOB, bob, &[ClientFrame::Presence(watch)]);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    world.hears(BOB, bob);
    granted(&mut world, ALICE, AccountRequest::Suspend);
    let at = world.now;
    let heard = world.hears(BOB, bob);
    let seen = Seen { from: number(ALICE), available: false, last_seen: Some(at) };
    assert!(heard.contains(&ServerFrame::Presence(seen)), "{heard:?}");
    assert_eq!(sent(&heard), ids(1, [1]), "what was held is stored: {heard:?}");

    world.says(BOB, bob, &[send(ALICE, 1, 2, false)]);
    assert_eq!(sent(&world.hears(BOB, bob)), ids(1, [2]));
    world.restarts(ALICE);
    world.says(BOB, bob, &[send(ALICE, 1, 3, false)]);
    assert_eq!(sent(&world.hears(BOB, bob)), ids(1, [3]));
    assert_eq!(inspect(&mut world, ALICE).waiting, 3);

    granted(&mut world, ALICE, AccountRequest::Restore);
    let alice = world.connect(ALICE, 1);
    assert_eq!(world.receives(ALICE, alice), ids(1, [1, 2, 3]));
}

#[test]
fn no_suspended_device_is_woken_until_it_may_come() {
    let mut world = World::with(&[ALICE, BOB]);
    let subscribe = AccountRequest::Subscribe { device: device(1), subscription: subscription(1) };
    granted(&mut world, ALICE, subscribe);
    granted(&mut world, ALICE, AccountRequest::Suspend);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    assert_eq!(world.pushes.len(), 0);
    granted(&mut world, ALICE, AccountRequest::Restore);
    assert_eq!(world.pushes.len(), 1, "what waited is news now");
}

#[test]
fn deleting_and_registering_again_is_no_way_round() {
    let mut world = World::with(&[ALICE, BOB]);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    world.hears(BOB, bob);
    granted(&mut world, ALICE, AccountRequest::Suspend);
    world.code(ALICE, 7);
    assert_eq!(world.proves(ALICE, 2, 7), SUSPENDED, "the right code");
    let wrong = AccountAnswer::Refused { code: ErrorCode::WrongCode, retry_after: None };
    assert_eq!(world.proves(ALICE, 2, 8), wrong, "who does not own the number learns nothing");
    let devices = world.account(ALICE, AccountRequest::Devices(device(1)));
    assert!(matches!(devices, AccountAnswer::Devices(devices) if devices.len() == 1));

    granted(&mut world, ALICE, AccountRequest::Delete(device(1)));
    let tables = world.query(ALICE, "SELECT name FROM sqlite_master WHERE type = 'table'");
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let [estafette_relay::Value::Text(table)] = &table[..] else { panic!() };
        // The count of codes goes when its day is over.
        let kept = ["schema", "suspension", "code"].contains(&&table[..]);
        let kept = usize::from(kept);
        assert_eq!(world.count(ALICE, table), kept, "{table}");
    }
    world.says(BOB, bob, &[send(ALICE, 1, 2, true)]);
    let refused: Vec<_> =
        refused(&world.hears(BOB, bob)).into_iter().map(|(_, code)| code).collect();
    assert_eq!(refused, [ErrorCode::Unregistered]);

    // Neither time nor an alarm that is left makes it go.
    world.wait(40 * DAY);
    world.restarts(ALICE);
    let standing = inspect(&mut world, ALICE);
    assert_eq!((standing.registered_at, standing.devices, standing.waiting), (None, 0, 0));
    assert!(standing.suspended_at.is_some());
    granted(&mut world, ALICE, AccountRequest::Suspend);
    world.code(ALICE, 7);
    assert_eq!(world.proves(ALICE, 3, 7), SUSPENDED);
    world.wait(2 * DAY);
    assert_eq!((world.count(ALICE, "code"), world.count(ALICE, "suspension")), (0, 1));

    granted(&mut world, ALICE, AccountRequest::Restore);
    assert!(!world.objects.contains_key(&ALICE), "nothing is left of it");
    world.register(ALICE, 3);
    assert_eq!(inspect(&mut world, ALICE).suspended_at, None);
}

/// Whoever restores a number just when it is being proven forgets no count of codes.
#[test]
fn restoring_leaves_a_code_that_is_on_its_way() {
    let mut world = World::with(&[ALICE]);
    granted(&mut world, ALICE, AccountRequest::Suspend);
    granted(&mut world, ALICE, AccountRequest::Delete(device(1)));
    world.code(ALICE, 7);
    granted(&mut world, ALICE, AccountRequest::Restore);
    let again = world.code(ALICE, 8);
    assert!(
        matches!(again, AccountAnswer::Refused { code: ErrorCode::RateLimited, .. }),
        "{again:?}"
    );
    assert_eq!(world.proves(ALICE, 2, 7), AccountAnswer::Granted);
}

#[test]
fn whom_nobody_knows_is_not_found_and_leaves_nothing() {
    let mut world = World::new();
    for request in [AccountRequest::Inspect, AccountRequest::Suspend, AccountRequest::Restore] {
        assert_eq!(world.account(NOBODY, request), not_found());
    }
    assert_eq!(world.count(NOBODY, "sqlite_master"), 0);
    // A code alone makes no account.
    world.code(ALICE, 7);
    assert_eq!(world.account(ALICE, AccountRequest::Suspend), not_found());
}

#[test]
fn both_can_be_said_twice() {
    let mut world = World::with(&[ALICE]);
    granted(&mut world, ALICE, AccountRequest::Restore);
    granted(&mut world, ALICE, AccountRequest::Suspend);
    let since = inspect(&mut world, ALICE).suspended_at;
    world.now += 1000;
    granted(&mut world, ALICE, AccountRequest::Suspend);
    assert_eq!(inspect(&mut world, ALICE).suspended_at, since);
    granted(&mut world, ALICE, AccountRequest::Restore);
    granted(&mut world, ALICE, AccountRequest::Restore);
    assert_eq!(inspect(&mut world, ALICE).suspended_at, None);
}

#[test]
fn an_inspection_counts_and_names_nobody() {
    let mut world = World::with(&[ALICE, BOB]);
    let registered_at = world.now - 2 * 3_600_000;
    world.config.new_account = DAY;
    world.restarts(ALICE);
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    let standing = inspect(&mut world, ALICE);
    assert_eq!(standing.registered_at, Some(registered_at));
    assert_eq!((standing.devices, standing.waiting), (1, 1));
    assert!(standing.waiting_bytes > 3, "{standing:?}");
    assert_eq!(standing.usage.budget, 5_000_000);
    let quarter =
        AccountLimits { send_burst: 15, sends_per_second: 2, upload_bytes_a_day: 1 << 30 };
    assert_eq!((standing.limits, standing.new_until), (quarter, Some(registered_at + DAY)));
    world.now = registered_at + DAY;
    let standing = inspect(&mut world, ALICE);
    let full = AccountLimits { send_burst: 60, sends_per_second: 5, upload_bytes_a_day: 4 << 30 };
    assert_eq!((standing.limits, standing.new_until), (full, None));
    assert_eq!(standing.usage.budget, 20_000_000);
}
