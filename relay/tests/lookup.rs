//! Look-up of contacts: who is found, how many may be asked for, and that nothing is kept.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{Attribute, Audience, Person, Privacy};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Config, Refusal, Value};
use support::*;

const DAY: Millis = 24 * 60 * 60 * 1000;

fn look_up(world: &mut World, asker: u64, numbers: &[u64]) -> AccountAnswer {
    let numbers = numbers.iter().map(|&digits| number(digits)).collect();
    world.account(asker, AccountRequest::LookUp { device: DeviceId(1), numbers })
}

/// Whom an account finds, by the way that the front Worker goes.
fn finds(world: &mut World, asker: u64, numbers: &[u64]) -> Vec<u64> {
    let AccountAnswer::Found(asked) = look_up(world, asker, numbers) else { panic!("refused") };
    let mut found = Vec::new();
    for asked in asked {
        let request = AccountRequest::Findable(number(asker));
        match world.account(asked.digits(), request) {
            AccountAnswer::Granted => found.push(asked.digits()),
            answer => assert_eq!(answer, Refusal::from(ErrorCode::NotFound).into()),
        }
    }
    found
}

fn shows_number(world: &mut World, account: u64, to: Audience) {
    let privacy = Privacy { number: to, ..Privacy::default() };
    let request = AccountRequest::SetPrivacy { device: DeviceId(1), privacy };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

fn says_of(world: &mut World, account: u64, of: u64, person: Person) {
    let request = AccountRequest::SetPerson { device: DeviceId(1), number: number(of), person };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

/// Numbers that nobody has.
fn strangers(count: u64) -> Vec<u64> {
    (0..count).map(|n| 49_151_000_000 + n).collect()
}

/// Two who let themselves be found.
fn open_world() -> World {
    let mut world = World::with(&[ALICE, BOB]);
    shows_number(&mut world, ALICE, Audience::Everyone);
    shows_number(&mut world, BOB, Audience::Everyone);
    world
}

fn over(now: Millis) -> AccountAnswer {
    let (code, retry_after) = (ErrorCode::LookupLimit, Some(DAY - now % DAY));
    Refusal { code, retry_after }.into()
}

#[test]
fn nobody_is_found_who_did_not_say_so() {
    let mut world = World::with(&[ALICE, BOB]);
    assert_eq!(finds(&mut world, ALICE, &[BOB, NOBODY]), [0; 0], "as they begin");
    shows_number(&mut world, ALICE, Audience::Everyone);
    assert_eq!(finds(&mut world, ALICE, &[BOB, NOBODY]), [0; 0]);
    shows_number(&mut world, BOB, Audience::Everyone);
    assert_eq!(finds(&mut world, ALICE, &[NOBODY, BOB]), [BOB]);
    assert_eq!(finds(&mut world, BOB, &[BOB, ALICE]), [BOB, ALICE], "in the order asked for");
    world.restarts(BOB);
    assert_eq!(finds(&mut world, ALICE, &[BOB]), [BOB]);
    let privacy = world.account(BOB, AccountRequest::Privacy(DeviceId(1)));
    let expected = Privacy { number: Audience::Everyone, ..Privacy::default() };
    assert_eq!(privacy, AccountAnswer::Privacy(expected));

    // Whoever deletes the account is not there, and who takes the number over begins hidden.
    assert_eq!(world.account(BOB, AccountRequest::Delete(DeviceId(1))), AccountAnswer::Granted);
    assert_eq!(finds(&mut world, ALICE, &[BOB]), [0; 0]);
    world.register(BOB, 1);
    assert_eq!(finds(&mut world, ALICE, &[BOB]), [0; 0]);
}

#[test]
fn who_hides_does_not_find_and_is_not_even_asked_about() {
    let mut world = open_world();
    shows_number(&mut world, ALICE, Audience::Nobody);
    assert_eq!(look_up(&mut world, ALICE, &[BOB]), AccountAnswer::Found(vec![]));
    says_of(
        &mut world,
        ALICE,
        BOB,
        Person { except: vec![Attribute::Number], ..Person::default() },
    );
    assert_eq!(finds(&mut world, ALICE, &[BOB, CAROL]), [BOB], "but from him");
    shows_number(&mut world, ALICE, Audience::Everyone);
    says_of(&mut world, ALICE, BOB, Person { blocked: true, ..Person::default() });
    assert_eq!(look_up(&mut world, ALICE, &[BOB]), AccountAnswer::Found(vec![]));
    says_of(&mut world, ALICE, BOB, Person::default());
    says_of(&mut world, BOB, ALICE, Person { blocked: true, ..Person::default() });
    assert_eq!(finds(&mut world, ALICE, &[BOB]), [0; 0]);
}

#[test]
fn a_look_up_writes_one_row_here_and_none_elsewhere() {
    let mut world = open_world();
    shows_number(&mut world, BOB, Audience::Nobody);
    let rows = (world.rows(ALICE), world.rows(BOB));
    let requests = (world.usage(ALICE).requests, world.usage(BOB).requests);
    let spent = (world.usage(ALICE).spent, world.usage(BOB).spent);
    finds(&mut world, ALICE, &[BOB, NOBODY, CAROL, BOB, NOBODY]);
    let after = (world.usage(ALICE), world.usage(BOB));
    assert_eq!((after.0.rows_written, after.1.rows_written), (rows.0 + 1, rows.1));
    assert_eq!((after.0.requests, after.1.requests), (requests.0 + 3, requests.1 + 3));
    // Two questions about usage each, one look-up of three numbers, one row: all of it hers.
    assert_eq!(after.0.spent - spent.0, 150 * (1 + 1 + 3) + 1000);
    assert_eq!(after.1.spent - spent.1, 150);
    for nobody in [NOBODY, CAROL] {
        assert_eq!(world.query(nobody, "SELECT name FROM sqlite_master"), Vec::<Vec<_>>::new());
        let object = world.object(nobody);
        assert_eq!((object.alarm, object.timer), (None, None));
    }
    // Nothing that is kept on either side has any of the numbers, but each its own.
    for account in [ALICE, BOB] {
        for table in ["account", "person", "watcher", "owed", "page"] {
            for value in world.query(account, &format!("SELECT * FROM {table}")).concat() {
                let others = [ALICE, BOB, CAROL, NOBODY].into_iter().filter(|&one| one != account);
                assert!(others.into_iter().all(|other| value != Value::Integer(other as i64)));
            }
        }
    }
    let rows = world.rows(ALICE);
    assert_eq!(look_up(&mut world, ALICE, &[]), AccountAnswer::Found(vec![]));
    assert_eq!(world.rows(ALICE), rows, "nobody was asked for");
}

/// Somebody asks for one number after the other, to see who is there.
#[test]
fn an_enumeration_runs_into_the_limit() {
    let mut world = open_world();
    world.now = world.now.next_multiple_of(DAY) + DAY / 2;
    let range = strangers(limits::LOOKUPS_FIRST + limits::LOOKUPS_A_DAY + 50);
    let (mut taken, mut refused) = (0, 0);
    for piece in range.chunks(50) {
        match look_up(&mut world, ALICE, piece) {
            AccountAnswer::Found(asked) => taken += asked.len() as u64,
            answer => {
                assert_eq!(answer, over(world.now));
                refused += 1;
            }
        }
    }
    assert_eq!((taken, refused), (limits::LOOKUPS_FIRST + limits::LOOKUPS_A_DAY, 1));
    assert_eq!(look_up(&mut world, ALICE, &[BOB]), over(world.now), "who is there, too");
    let usage = world.usage(ALICE);
    assert_eq!(usage.lookups_left, 0);
    assert!(usage.spent < usage.budget / 10, "far from the budget");

    // The days that follow bring 200 each; what is not used does not add up.
    for days in [1, 1, 30] {
        world.now += days * DAY;
        assert_eq!(world.usage(ALICE).lookups_left, limits::LOOKUPS_A_DAY);
        let refused = look_up(&mut world, ALICE, &strangers(limits::LOOKUPS_A_DAY + 1));
        assert_eq!(refused, over(world.now));
        world.restarts(ALICE);
        let AccountAnswer::Found(asked) =
            look_up(&mut world, ALICE, &strangers(limits::LOOKUPS_A_DAY))
        else {
            panic!("what was refused has spent nothing")
        };
        assert_eq!(asked.len() as u64, limits::LOOKUPS_A_DAY);
        world.restarts(ALICE);
        assert_eq!(look_up(&mut world, ALICE, &[BOB]), over(world.now));
    }

    // Another device has no allowance of its own, and neither has a new one.
    world.link(ALICE, 2);
    let numbers = vec![number(BOB)];
    let second = AccountRequest::LookUp { device: DeviceId(2), numbers: numbers.clone() };
    assert_eq!(world.account(ALICE, second), over(world.now));
    world.register(ALICE, 3);
    let third = AccountRequest::LookUp { device: DeviceId(3), numbers };
    assert_eq!(world.account(ALICE, third), over(world.now));
}

#[test]
fn the_first_ones_are_used_up_before_those_of_the_day() {
    let mut world = World::new();
    world.config = Config { lookups_first: 10, lookups_a_day: 4, ..world.config };
    world.register(ALICE, 1);
    shows_number(&mut world, ALICE, Audience::Everyone);
    let left = |world: &mut World| world.usage(ALICE).lookups_left;
    assert_eq!(left(&mut world), 14);
    look_up(&mut world, ALICE, &strangers(6));
    assert_eq!(left(&mut world), 8);
    world.now += DAY;
    assert_eq!(left(&mut world), 8);
    look_up(&mut world, ALICE, &strangers(7));
    assert_eq!(left(&mut world), 1);
    world.now += DAY;
    assert_eq!(left(&mut world), 4);
    // Twice the same number is one.
    assert_ne!(look_up(&mut world, ALICE, &[strangers(4), strangers(4)].concat()), over(world.now));
    assert_eq!(left(&mut world), 0);
    let AccountAnswer::Export(export) = world.account(ALICE, AccountRequest::Export(DeviceId(1)))
    else {
        panic!("an export")
    };
    assert_eq!(export.usage.lookups_left, 0);
    world.config = Config { lookups_first: 0, lookups_a_day: 0, ..world.config };
    world.restarts(ALICE);
    world.now += DAY;
    assert_eq!(look_up(&mut world, ALICE, &[BOB]), over(world.now), "no look-up at all");
}

#[test]
fn whoever_may_not_look_up_spends_nothing() {
    let mut world = open_world();
    let left = world.usage(ALICE).lookups_left;
    let removed: AccountAnswer = Refusal::from(ErrorCode::DeviceRemoved).into();
    let numbers = vec![number(BOB)];
    let stranger = AccountRequest::LookUp { device: DeviceId(9), numbers: numbers.clone() };
    assert_eq!(world.account(ALICE, stranger), removed);
    let unregistered = AccountRequest::LookUp { device: DeviceId(1), numbers };
    assert_eq!(world.account(NOBODY, unregistered), removed);
    world.config.daily_budget = 1;
    world.restarts(ALICE);
    let answer = look_up(&mut world, ALICE, &[BOB]);
    let AccountAnswer::Refused { code: ErrorCode::BudgetExhausted, .. } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(world.usage(ALICE).lookups_left, left);
}
