//! An account is its owner's: to be had whole, and to be deleted.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{Known, Person, Profile};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, MediaWork, PinHash, Refusal};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;

fn device(id: u64) -> DeviceId {
    DeviceId(id)
}

#[test]
fn an_export_holds_all_that_is_held() {
    let mut world = World::with(&[ALICE, BOB]);
    world.link(ALICE, 2);
    let subscribe = AccountRequest::Subscribe { device: device(2), subscription: subscription(1) };
    assert_eq!(world.account(ALICE, subscribe), AccountAnswer::Granted);
    let person = Person { blocked: true, ..Person::default() };
    let set = AccountRequest::SetPerson {
        device: device(1),
        number: number(CAROL),
        person: person.clone(),
    };
    assert_eq!(world.account(ALICE, set), AccountAnswer::Granted);
    let profile = Profile { name: "Alice".into(), ..Profile::default() };
    for said in [
        AccountRequest::SetProfile { device: device(1), profile: profile.clone() },
        AccountRequest::SetPicture { device: device(2), bytes: 7 },
    ] {
        assert_eq!(world.account(ALICE, said), AccountAnswer::Granted);
    }
    let pin = Some(PinHash([4; 32]));
    let set = AccountRequest::SetPin { device: device(1), pin };
    assert_eq!(world.account(ALICE, set), AccountAnswer::Granted);
    let bob = world.connect(BOB, 1);
    let watch = Presence { available: true, watch: vec![number(ALICE)] };
    world.says(BOB, bob, &[ClientFrame::Presence(watch)]);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    let alice = world.connect(ALICE, 1);
    let here = Presence { available: true, watch: vec![] };
    world.says(ALICE, alice, &[ClientFrame::Presence(here)]);
    world.closes(ALICE, alice);
    let gone_at = world.now;
    world.restarts(ALICE);
    let AccountAnswer::Export(export) = world.account(ALICE, AccountRequest::Export(device(1)))
    else {
        panic!("an export")
    };
    assert_eq!((export.number, export.last_seen), (number(ALICE), Some(gone_at)));
    assert_eq!(export.people, [Known { number: number(CAROL), person }]);
    assert_eq!(export.watchers, [number(BOB)]);
    assert_eq!(export.profile, Profile { version: 2, ..profile });
    assert_eq!(export.picture_bytes, 7);
    assert!(export.pin);
    let waiting = &export.waiting[0];
    assert_eq!(
        (waiting.id, waiting.from, waiting.device),
        (id(1, 1), number(BOB), Some(device(1)))
    );
    let names: Vec<_> = export.devices.iter().map(|device| &device.device.name[..]).collect();
    assert_eq!(names, ["test", "linked"]);
    assert_eq!(export.devices[1].push.as_deref(), Some(&subscription(1).endpoint[..]));
    assert_eq!(export.devices[0].identity_key, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let stranger = world.account(ALICE, AccountRequest::Export(device(9)));
    assert_eq!(stranger, Refusal::from(ErrorCode::DeviceRemoved).into());
}

#[test]
fn only_the_primary_device_is_told_which_uploads_would_end() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let begin = AccountRequest::Upload {
        device: device(2),
        media: MediaId(7),
        bytes: 1,
        open_until: Some(world.now + 1000),
        work: MediaWork::default(),
    };
    assert_eq!(world.account(ALICE, begin), AccountAnswer::Granted);
    let ask = |id| AccountRequest::Uploads(device(id));
    assert_eq!(world.account(ALICE, ask(2)), Refusal::from(ErrorCode::NotPrimary).into());
    assert_eq!(world.account(ALICE, ask(9)), Refusal::from(ErrorCode::DeviceRemoved).into());
    assert_eq!(world.account(ALICE, ask(1)), AccountAnswer::Uploads(vec![MediaId(7)]));
}

#[test]
fn a_deletion_leaves_nothing() {
    let mut world = World::with(&[ALICE, BOB]);
    world.now += DAY;
    world.link(ALICE, 2);
    let (first, second) = (world.connect(ALICE, 1), world.connect(ALICE, 2));
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    world.says(ALICE, first, &[send(BOB, 2, 1, false)]);
    let profile = Profile { name: "Alice".into(), ..Profile::default() };
    let say = AccountRequest::SetProfile { device: device(1), profile };
    assert_eq!(world.account(ALICE, say), AccountAnswer::Granted);
    let delete = |id| AccountRequest::Delete(device(id));
    let refused = world.account(ALICE, delete(2));
    assert_eq!(refused, Refusal::from(ErrorCode::NotPrimary).into());
    assert_eq!(world.account(ALICE, delete(1)), AccountAnswer::Granted);
    assert!(!world.is_open(ALICE, first) && !world.is_open(ALICE, second));
    assert_eq!(world.query(ALICE, "SELECT name FROM sqlite_master"), Vec::<Vec<_>>::new());
    assert_eq!((world.object(ALICE).alarm, world.object(ALICE).timer), (None, None));
    world.hears(BOB, bob);
    world.says(BOB, bob, &[send(ALICE, 1, 2, true)]);
    assert_eq!(refused_codes(&mut world, bob), [ErrorCode::Unregistered]);
    for id in [1, 2] {
        let opened = world.connect_as(ALICE, id, Encoding::Cbor).map(drop);
        assert_eq!(opened, Err(ErrorCode::DeviceRemoved.into()));
    }
    // Whoever proves the number now begins anew.
    world.register(ALICE, 3);
    let third = world.connect(ALICE, 3);
    assert_eq!(world.receives(ALICE, third), []);
    let none = AccountAnswer::Profile(Profile::default());
    assert_eq!(world.account(ALICE, AccountRequest::Profile(device(3))), none);
    world.says(BOB, bob, &[send(ALICE, 1, 3, false)]);
    assert_eq!(world.receives(ALICE, third), ids(1, [3]));
}

/// Registering and deleting by turns brings neither more codes nor more of what comes with a registration.
#[test]
fn a_deletion_does_not_set_the_count_of_codes_back() {
    let mut world = World::with(&[BOB]);
    let bob = world.connect(BOB, 1);
    let began_at = world.now;
    let mut registered = 0;
    let refused = loop {
        match world.code(ALICE, 7) {
            AccountAnswer::CodeTaken { .. } if registered < 20 => registered += 1,
            refused => break refused,
        }
        assert_eq!(world.proves(ALICE, 1, 7), AccountAnswer::Granted);
        world.says(BOB, bob, &[send(ALICE, registered, 1, false)]);
        let delete = AccountRequest::Delete(device(1));
        assert_eq!(world.account(ALICE, delete), AccountAnswer::Granted);
        for row in world.query(ALICE, "SELECT name FROM sqlite_master WHERE type = 'table'") {
            let [estafette_relay::Value::Text(table)] = &row[..] else { panic!("{row:?}") };
            let is_kept = ["schema", "code"].contains(&&table[..]);
            assert_eq!(world.count(ALICE, table), usize::from(is_kept), "{table}");
        }
        assert_eq!(world.proves(ALICE, 1, 7), Refusal::from(ErrorCode::CodeExpired).into());
        world.restarts(ALICE);
        world.now += 600_000;
    };
    let (code, retry_after) = (ErrorCode::RateLimited, Some(began_at + DAY - world.now));
    assert_eq!((refused, registered), (Refusal { code, retry_after }.into(), 10));
    world.wait(began_at + DAY - world.now);
    assert_eq!(world.query(ALICE, "SELECT name FROM sqlite_master"), Vec::<Vec<_>>::new());
    world.register(ALICE, 1);
}

fn refused_codes(world: &mut World, bob: estafette_relay::SocketId) -> Vec<ErrorCode> {
    refused(&world.hears(BOB, bob)).into_iter().map(|(_, code)| code).collect()
}
