//! What an account says of its user: counted, kept, and shown to whoever may see it. Who may is in
//! `presence.rs`, with the other attributes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{Audience, Person, Privacy, Profile};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Config, MediaWork, Refusal};
use support::*;

const DEVICE: DeviceId = DeviceId(1);

fn says(name: &str, about: &str, picture: Option<&str>) -> Profile {
    let picture = picture.map(str::to_owned);
    Profile { version: 0, name: name.into(), about: about.into(), picture }
}

fn set(world: &mut World, account: u64, profile: Profile) {
    let request = AccountRequest::SetProfile { device: DEVICE, profile };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

fn put_picture(world: &mut World, account: u64, bytes: u64) {
    let request = AccountRequest::SetPicture { device: DEVICE, bytes };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

fn profile(world: &mut World, account: u64, request: AccountRequest) -> Profile {
    match world.account(account, request) {
        AccountAnswer::Profile(profile) => profile,
        other => panic!("{other:?}"),
    }
}

fn own(world: &mut World, account: u64) -> Profile {
    profile(world, account, AccountRequest::Profile(DEVICE))
}

fn shown(world: &mut World, account: u64, viewer: u64) -> Profile {
    profile(world, account, AccountRequest::ShownProfile(number(viewer)))
}

fn picture(world: &mut World, account: u64, viewer: u64) -> AccountAnswer {
    world.account(account, AccountRequest::ShownPicture(number(viewer)))
}

fn not_found() -> AccountAnswer {
    Refusal::from(ErrorCode::NotFound).into()
}

#[test]
fn the_version_grows_with_each_change_and_with_nothing_else() {
    let mut world = World::with(&[ALICE]);
    assert_eq!(own(&mut world, ALICE), Profile::default());
    set(&mut world, ALICE, Profile::default());
    assert_eq!((own(&mut world, ALICE).version, world.count(ALICE, "profile")), (0, 0));
    for (step, said) in [
        says("Alice", "", None),
        says("Alice", "at sea", None),
        says("Alice", "at sea", Some("key")),
        says("Alice", "at sea", None),
        says("", "", None),
    ]
    .into_iter()
    .enumerate()
    {
        let version = step as u64 + 1;
        set(&mut world, ALICE, said.clone());
        assert_eq!(own(&mut world, ALICE), Profile { version, ..said.clone() });
        let rows = world.rows(ALICE);
        // The same again, whatever version it is said to be of.
        set(&mut world, ALICE, Profile { version: 70, ..said });
        assert_eq!((own(&mut world, ALICE).version, world.rows(ALICE)), (version, rows));
    }
    // An empty text opens nothing.
    set(&mut world, ALICE, says("", "", Some("")));
    assert_eq!(own(&mut world, ALICE).version, 5);
    world.restarts(ALICE);
    assert_eq!(own(&mut world, ALICE).version, 5);
}

#[test]
fn a_picture_is_another_each_time_and_goes_with_what_opened_it() {
    let mut world = World::with(&[ALICE]);
    put_picture(&mut world, ALICE, 0);
    assert_eq!(world.count(ALICE, "profile"), 0, "there was none");
    put_picture(&mut world, ALICE, 7);
    put_picture(&mut world, ALICE, 7);
    set(&mut world, ALICE, says("Alice", "", Some("key")));
    assert_eq!(own(&mut world, ALICE).version, 3);
    assert_eq!(picture(&mut world, ALICE, BOB), AccountAnswer::Granted);
    put_picture(&mut world, ALICE, 0);
    let said = says("Alice", "", None);
    assert_eq!(own(&mut world, ALICE), Profile { version: 4, ..said.clone() });
    assert_eq!(picture(&mut world, ALICE, BOB), not_found());
    put_picture(&mut world, ALICE, 0);
    assert_eq!(own(&mut world, ALICE).version, 4);
    // What opens a picture that is not there goes as well.
    set(&mut world, ALICE, says("Alice", "", Some("key")));
    put_picture(&mut world, ALICE, 0);
    assert_eq!(own(&mut world, ALICE), Profile { version: 6, ..said });
}

#[test]
fn hidden_blocked_silent_and_unregistered_answer_alike_and_nothing_is_written() {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    let silent = 33_600_000_004;
    let emptied = 33_600_000_005;
    world.register(silent, 1);
    world.register(emptied, 1);
    for account in [BOB, CAROL, emptied] {
        set(&mut world, account, says("somebody", "", Some("key")));
        put_picture(&mut world, account, 7);
    }
    put_picture(&mut world, emptied, 0);
    set(&mut world, emptied, Profile::default());
    let person = Person { blocked: true, ..Person::default() };
    let block = AccountRequest::SetPerson { device: DEVICE, number: number(ALICE), person };
    assert_eq!(world.account(BOB, block), AccountAnswer::Granted);
    let privacy = Privacy { profile: Audience::Nobody, ..Privacy::default() };
    let hide = AccountRequest::SetPrivacy { device: DEVICE, privacy };
    assert_eq!(world.account(CAROL, hide), AccountAnswer::Granted);
    // Somebody asked for a code there, and proved nothing.
    let asked_for = 33_600_000_006;
    world.code(asked_for, 7);
    for account in [BOB, CAROL, silent, emptied, asked_for, NOBODY] {
        for _ in 0..300 {
            assert_eq!(shown(&mut world, account, ALICE), Profile::default(), "{account}");
            assert_eq!(picture(&mut world, account, ALICE), not_found(), "{account}");
        }
    }
    assert_eq!(world.query(NOBODY, "SELECT name FROM sqlite_master"), Vec::<Vec<_>>::new());
    assert_eq!(world.object(NOBODY).alarm, None);
    // They see themselves all the same, though to no one else.
    assert_eq!(shown(&mut world, CAROL, CAROL).name, "somebody");
    assert_eq!(picture(&mut world, CAROL, CAROL), AccountAnswer::Granted);
}

#[test]
fn whoever_asks_pays_and_only_a_device_of_the_account_asks() {
    let mut world = World::with(&[ALICE, BOB]);
    set(&mut world, BOB, says("Bob", "", None));
    let before = (world.usage(ALICE), world.usage(BOB));
    let visit = AccountRequest::Visit(DEVICE);
    assert_eq!(world.account(ALICE, visit.clone()), AccountAnswer::Granted);
    assert_eq!(shown(&mut world, BOB, ALICE).name, "Bob");
    let after = (world.usage(ALICE), world.usage(BOB));
    // The request, the row that counts it as a look-up, the call that follows from it, and this question.
    assert_eq!(after.0.spent - before.0.spent, 150 + 1000 + 150 + 150);
    assert_eq!(before.0.lookups_left - after.0.lookups_left, 1);
    assert_eq!(after.1.spent - before.1.spent, 150, "but this question");
    assert_eq!(after.1.requests - before.1.requests, 2, "it is counted all the same");

    let removed: AccountAnswer = Refusal::from(ErrorCode::DeviceRemoved).into();
    let device = DeviceId(9);
    for request in [
        AccountRequest::Visit(device),
        AccountRequest::Profile(device),
        AccountRequest::SetProfile { device, profile: says("Mallory", "", None) },
        AccountRequest::SetPicture { device, bytes: 7 },
        AccountRequest::Uploads(device),
    ] {
        assert_eq!(world.account(BOB, request), removed);
    }
    assert_eq!(own(&mut world, BOB).name, "Bob");

    world.config = Config { daily_budget: 1, ..Config::default() };
    world.restarts(ALICE);
    let work = MediaWork { reads: 1, ..MediaWork::default() };
    world.account(ALICE, AccountRequest::Media { device: DEVICE, work });
    let AccountAnswer::Refused { code, retry_after } = world.account(ALICE, visit) else {
        panic!("refused")
    };
    assert_eq!((code, retry_after.is_some()), (ErrorCode::BudgetExhausted, true));
}

#[test]
fn a_new_registration_keeps_the_profile() {
    let mut world = World::with(&[ALICE]);
    set(&mut world, ALICE, says("Alice", "", None));
    put_picture(&mut world, ALICE, 7);
    let before = shown(&mut world, ALICE, BOB);
    world.register(ALICE, 2);
    assert_eq!(shown(&mut world, ALICE, BOB), before);
    assert_eq!(picture(&mut world, ALICE, BOB), AccountAnswer::Granted);
}
