//! An account moves to another number: what goes along, what waits, and that each step may come twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{Attribute, Audience, Known, People, Person, Privacy, Profile};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Moving, Refusal, SocketId};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;

fn device(id: u64) -> DeviceId {
    DeviceId(id)
}

fn refused(code: ErrorCode) -> AccountAnswer {
    Refusal::from(code).into()
}

fn moving(world: &mut World, id: u64) -> AccountAnswer {
    world.account(ALICE, AccountRequest::Moving(device(id)))
}

fn leaves(world: &mut World, id: u64) -> AccountAnswer {
    world.account(ALICE, AccountRequest::Leave(device(id)))
}

fn arrives(world: &mut World, id: u64, moving: &Moving) -> AccountAnswer {
    let moving = Body(moving.encode());
    world.account(CAROL, AccountRequest::Arrive { device: device(id), moving })
}

fn said(world: &mut World, account: u64, of: u64, person: Person) {
    let number = number(of);
    let request = AccountRequest::SetPerson { device: device(1), number, person };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

fn privacy(world: &mut World, account: u64) -> AccountAnswer {
    world.account(account, AccountRequest::Privacy(device(1)))
}

fn people(world: &mut World, account: u64) -> AccountAnswer {
    world.account(account, AccountRequest::People(device(1)))
}

const HIDDEN: Privacy = Privacy {
    last_seen: Audience::Nobody,
    online: Audience::Contacts,
    read_marks: Audience::Everyone,
    profile: Audience::Contacts,
    number: Audience::Everyone,
};

fn profile() -> Profile {
    Profile { name: "Alice".into(), picture: Some("what opens it".into()), ..Profile::default() }
}

/// Alice, who moves to Carol's number, and Bob, whom she has blocked.
fn world() -> (World, Moving) {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    let request = AccountRequest::SetPrivacy { device: device(1), privacy: HIDDEN };
    assert_eq!(world.account(ALICE, request), AccountAnswer::Granted);
    said(&mut world, ALICE, BOB, Person { blocked: true, ..Person::default() });
    said(&mut world, ALICE, CAROL, Person { contact: true, ..Person::default() });
    let except = vec![Attribute::LastSeen];
    said(&mut world, ALICE, NOBODY, Person { contact: true, blocked: false, except });
    let profile = profile();
    let says = AccountRequest::SetProfile { device: device(1), profile };
    assert_eq!(world.account(ALICE, says), AccountAnswer::Granted);
    let puts = AccountRequest::SetPicture { device: device(1), bytes: 7 };
    assert_eq!(world.account(ALICE, puts), AccountAnswer::Granted);
    // What the new account says for itself.
    said(&mut world, CAROL, ALICE, Person { blocked: true, ..Person::default() });
    let AccountAnswer::Moving(taken) = moving(&mut world, 1) else { panic!() };
    (world, taken)
}

#[test]
fn privacy_people_and_profile_go_along_and_take_the_place_of_what_was_there() {
    let (mut world, taken) = world();
    let bob = world.connect(BOB, 1);
    // Twice: the answer to the first may have been lost.
    for _ in 0..2 {
        assert_eq!(arrives(&mut world, 1, &taken), AccountAnswer::Granted);
        world.restarts(CAROL);
    }
    assert_eq!(privacy(&mut world, CAROL), AccountAnswer::Privacy(HIDDEN));
    let blocked = Person { blocked: true, ..Person::default() };
    let except = vec![Attribute::LastSeen];
    let contact = Person { contact: true, blocked: false, except };
    let known = |of, person| Known { number: number(of), person };
    let expected = vec![known(BOB, blocked), known(NOBODY, contact)];
    let expected = AccountAnswer::People(People { people: expected });
    assert_eq!(people(&mut world, CAROL), expected, "nobody says anything of themselves");
    let AccountAnswer::Profile(said) = world.account(CAROL, AccountRequest::Profile(device(1)))
    else {
        panic!()
    };
    assert_eq!(Profile { version: 0, ..said }, profile());
    let picture = AccountRequest::ShownPicture(number(CAROL));
    assert_eq!(world.account(CAROL, picture), AccountAnswer::Granted);
    // The block holds at once.
    let carol = world.connect(CAROL, 1);
    world.hears(CAROL, carol);
    world.says(BOB, bob, &[send(CAROL, 1, 1, false)]);
    assert_eq!(world.hears(CAROL, carol), []);
}

#[test]
fn who_watches_the_new_number_sees_at_once_what_they_may() {
    let (mut world, taken) = world();
    let (bob, carol) = (world.connect(BOB, 1), world.connect(CAROL, 1));
    let says = |available, watch| ClientFrame::Presence(Presence { available, watch });
    world.says(BOB, bob, &[says(true, vec![number(CAROL)])]);
    world.says(CAROL, carol, &[says(true, vec![])]);
    let last = |world: &mut World| match world.hears(BOB, bob).pop() {
        Some(ServerFrame::Presence(seen)) => seen.available,
        other => panic!("{other:?}"),
    };
    assert!(last(&mut world));
    assert_eq!(arrives(&mut world, 1, &taken), AccountAnswer::Granted);
    assert!(!last(&mut world), "alice has blocked him");
}

#[test]
fn nothing_is_left_of_the_old_account_and_leaving_twice_finds_nobody() {
    let (mut world, taken) = world();
    // The count of codes is no longer kept.
    world.now += DAY;
    let alice = world.connect(ALICE, 1);
    assert_eq!(arrives(&mut world, 1, &taken), AccountAnswer::Granted);
    assert_eq!(leaves(&mut world, 1), AccountAnswer::Granted);
    assert!(!world.is_open(ALICE, alice));
    assert_eq!(world.query(ALICE, "SELECT name FROM sqlite_master"), Vec::<Vec<_>>::new());
    assert_eq!(leaves(&mut world, 1), refused(ErrorCode::DeviceRemoved));
    assert_eq!(moving(&mut world, 1), refused(ErrorCode::DeviceRemoved));
    let bob = world.connect(BOB, 1);
    world.hears(BOB, bob);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    let codes: Vec<_> =
        support::refused(&world.hears(BOB, bob)).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, [ErrorCode::Unregistered]);
}

/// Alice's device, connected or not, and a message to her.
fn waits(world: &mut World, connected: bool) -> Option<SocketId> {
    let alice = connected.then(|| world.connect(ALICE, 1));
    said(world, ALICE, BOB, Person::default());
    let bob = world.connect(BOB, 1);
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    alice
}

#[test]
fn who_has_not_fetched_everything_stays() {
    for connected in [false, true] {
        let (mut world, _) = world();
        let alice = waits(&mut world, connected);
        let rows = world.query(ALICE, "SELECT * FROM account, device, person");
        assert_eq!(moving(&mut world, 1), refused(ErrorCode::Waiting), "{connected}");
        assert_eq!(leaves(&mut world, 1), refused(ErrorCode::Waiting), "{connected}");
        assert_eq!(world.query(ALICE, "SELECT * FROM account, device, person"), rows);
        let alice = alice.unwrap_or_else(|| world.connect(ALICE, 1));
        assert!(world.is_open(ALICE, alice));
        world.says(ALICE, alice, &[ack(ids(1, [1]))]);
        assert_eq!(leaves(&mut world, 1), AccountAnswer::Granted, "{connected}");
    }
}

#[test]
fn what_waits_for_another_device_keeps_nobody() {
    let (mut world, _) = world();
    world.link(ALICE, 2);
    let alice = waits(&mut world, true).unwrap();
    world.says(ALICE, alice, &[ack(ids(1, [1]))]);
    assert!(world.mailbox(ALICE).waiting() > 0);
    assert_eq!(leaves(&mut world, 1), AccountAnswer::Granted);
}

#[test]
fn the_primary_device_moves_and_what_is_no_luggage_changes_nothing() {
    let (mut world, taken) = world();
    world.link(ALICE, 2);
    world.link(CAROL, 2);
    for answer in [moving(&mut world, 2), leaves(&mut world, 2), arrives(&mut world, 2, &taken)] {
        assert_eq!(answer, refused(ErrorCode::NotPrimary));
    }
    for answer in [moving(&mut world, 9), leaves(&mut world, 9), arrives(&mut world, 9, &taken)] {
        assert_eq!(answer, refused(ErrorCode::DeviceRemoved));
    }
    let arrive = AccountRequest::Arrive { device: device(1), moving: Body(b"{}".to_vec()) };
    assert_eq!(world.account(CAROL, arrive), refused(ErrorCode::Internal));
    assert_eq!(privacy(&mut world, CAROL), AccountAnswer::Privacy(Privacy::default()));
    let AccountAnswer::People(people) = people(&mut world, CAROL) else { panic!() };
    assert_eq!(people.people.len(), 1);
}
