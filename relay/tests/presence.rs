//! Who is there, who types, and who may see it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::http::{Attribute, Audience, Known, People, Person, Privacy, Profile};
use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, Refusal};
use support::people::*;
use support::*;

fn types(to: u64, state: Activity) -> ClientFrame {
    ClientFrame::ChatState(ChatState { to: number(to), state })
}

/// What the frames say of others' presence.
fn seen(frames: &[ServerFrame]) -> Vec<(u64, bool, Option<Millis>)> {
    let seen = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Presence(seen) => Some((seen.from.digits(), seen.available, seen.last_seen)),
        _ => None,
    });
    seen.collect()
}

fn doing(frames: &[ServerFrame]) -> Vec<(u64, Activity)> {
    let doing = frames.iter().filter_map(|frame| match frame {
        ServerFrame::ChatState(doing) => Some((doing.from.digits(), doing.state)),
        _ => None,
    });
    doing.collect()
}

#[test]
fn whoever_watches_is_told_at_once_and_of_each_change() {
    let (mut world, alice, bob) = world();
    world.says(ALICE, alice, &[says(false, &[BOB])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, None)]);
    world.says(BOB, bob, &[says(true, &[])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, true, None)]);
    world.now += 5000;
    world.says(BOB, bob, &[says(false, &[])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, Some(world.now))]);
    assert_eq!(world.hears(BOB, bob), [], "nobody told bob");
    world.says(BOB, bob, &[says(true, &[])]);
    world.now += 5000;
    world.closes(BOB, bob);
    let told = seen(&world.hears(ALICE, alice));
    assert_eq!(told, [(BOB, true, None), (BOB, false, Some(world.now))], "a socket that closes");
}

#[test]
fn one_of_several_devices_is_enough_to_be_there() {
    let (mut world, alice, bob) = world();
    world.link(BOB, 2);
    let second = world.connect(BOB, 2);
    world.says(ALICE, alice, &[says(false, &[BOB])]);
    world.says(BOB, bob, &[says(true, &[])]);
    world.says(BOB, second, &[says(true, &[])]);
    world.says(BOB, bob, &[says(false, &[])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, None), (BOB, true, None)]);
    world.closes(BOB, second);
    assert_eq!(seen(&world.hears(ALICE, alice)).len(), 1);
}

#[test]
fn a_watch_outlives_the_hibernation_of_both_and_silence_costs_nothing() {
    let (mut world, alice, bob) = world();
    world.says(BOB, bob, &[says(true, &[ALICE])]);
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    world.hears(ALICE, alice);
    world.hears(BOB, bob);
    world.hibernates(ALICE);
    world.hibernates(BOB);
    let before = (world.called, world.usage(ALICE), world.usage(BOB));
    world.wait(600_000);
    let after = (world.called, world.usage(ALICE), world.usage(BOB));
    assert_eq!(before.0, after.0, "no call in ten minutes");
    assert_eq!(before.1.rows_written, after.1.rows_written);
    let requests = (after.1.requests - before.1.requests, after.2.requests - before.2.requests);
    assert_eq!(requests, (1, 1), "but this question");
    assert_eq!((world.object(ALICE).timer, world.object(BOB).timer), (None, None));
    world.says(BOB, bob, &[says(false, &[ALICE])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, Some(world.now))]);
    assert_eq!(seen(&world.hears(BOB, bob)), [], "what bob watches was answered before");
}

#[test]
fn who_is_away_tells_a_watcher_when_they_come() {
    let (mut world, alice, bob) = world();
    world.closes(BOB, bob);
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    world.restarts(BOB);
    let bob = world.connect(BOB, 1);
    world.hears(ALICE, alice);
    world.says(BOB, bob, &[says(true, &[])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, true, None)]);
}

#[test]
fn a_watch_that_is_over_is_forgotten_with_the_next_change() {
    let (mut world, alice, bob) = world();
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    world.says(ALICE, alice, &[says(true, &[])]);
    assert_eq!(world.count(BOB, "watcher"), 1, "ending it costs nothing");
    world.hears(ALICE, alice);
    world.says(BOB, bob, &[says(true, &[])]);
    assert_eq!((seen(&world.hears(ALICE, alice)), world.count(BOB, "watcher")), (vec![], 0));
    let called = world.called;
    world.says(BOB, bob, &[says(false, &[])]);
    assert_eq!(world.called, called);
}

#[test]
fn a_watch_that_was_not_answered_is_asked_for_again() {
    let (mut world, alice, _) = world();
    world.unreachable = Some(BOB);
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), []);
    world.unreachable = None;
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, None)]);
    let called = world.called;
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    assert_eq!((world.called, seen(&world.hears(ALICE, alice))), (called, vec![]), "it is known");
}

#[test]
fn nobody_hidden_and_blocked_look_alike() {
    let (mut world, alice, bob) = world();
    world.register(CAROL, 1);
    world.says(BOB, bob, &[says(true, &[])]);
    let carol = world.connect(CAROL, 1);
    world.says(CAROL, carol, &[says(true, &[])]);
    set_person(&mut world, BOB, ALICE, blocked());
    let hidden = Audience::Nobody;
    set_privacy(
        &mut world,
        CAROL,
        Privacy { last_seen: hidden, online: hidden, ..Privacy::default() },
    );
    world.says(ALICE, alice, &[says(true, &[BOB, CAROL, NOBODY])]);
    let mut told = seen(&world.hears(ALICE, alice));
    told.sort_unstable();
    assert_eq!(told, [(BOB, false, None), (CAROL, false, None), (NOBODY, false, None)]);
    let called = world.called;
    world.says(BOB, bob, &[says(false, &[])]);
    world.says(CAROL, carol, &[says(false, &[])]);
    assert_eq!((world.called, world.hears(ALICE, alice)), (called, vec![]));
}

#[test]
fn what_is_said_in_a_chat_is_passed_on_and_kept_nowhere() {
    let (mut world, alice, bob) = world();
    let rows = (world.rows(ALICE), world.rows(BOB));
    for state in [Activity::Composing, Activity::Recording, Activity::Paused] {
        world.says(ALICE, alice, &[types(BOB, state)]);
        assert_eq!(doing(&world.hears(BOB, bob)), [(ALICE, state)]);
    }
    world.closes(BOB, bob);
    world.says(ALICE, alice, &[types(BOB, Activity::Composing)]);
    world.says(ALICE, alice, &[types(NOBODY, Activity::Composing)]);
    world.says(ALICE, alice, &[types(ALICE, Activity::Composing)]);
    assert_eq!(world.hears(ALICE, alice), [], "whether anybody hears it is not told");
    let bob = world.connect(BOB, 1);
    assert_eq!(doing(&world.hears(BOB, bob)), []);
    assert_eq!((world.rows(ALICE), world.rows(BOB)), rows);
}

#[test]
fn too_much_is_refused() {
    let (mut world, alice, bob) = world();
    let nine: Vec<u64> = (0..9).map(|n| CAROL + n).collect();
    world.says(ALICE, alice, &[says(true, &nine)]);
    assert_eq!(errors(&world.hears(ALICE, alice)), [(ErrorCode::TooMany, Some(0))]);
    for _ in 0..60 {
        world.says(ALICE, alice, &[types(BOB, Activity::Composing)]);
    }
    let refused = errors(&world.hears(ALICE, alice));
    assert!(refused.len() >= 30 && refused[0] == (ErrorCode::RateLimited, Some(0)), "{refused:?}");
    assert!(doing(&world.hears(BOB, bob)).len() <= 30);
    assert!(world.is_open(ALICE, alice));
}

#[test]
fn an_account_has_so_many_watchers_and_no_more() {
    let (mut world, _, bob) = world();
    world.says(BOB, bob, &[says(true, &[])]);
    let watch = || vec![estafette_relay::PeerItem::Watch { last_seen: true, online: true }];
    for watcher in 0..limits::WATCHERS_MAX as u64 {
        let [estafette_relay::Verdict::Seen { available: true, .. }] =
            world.calls(33_700_000_000 + watcher, BOB, watch())[..]
        else {
            panic!("{watcher}")
        };
    }
    let hidden = estafette_relay::Verdict::Seen { available: false, last_seen: None };
    assert_eq!(world.calls(33_700_009_999, BOB, watch()), [hidden]);
    assert_eq!(world.count(BOB, "watcher"), limits::WATCHERS_MAX);
}

// Privacy.

/// What a viewer may see of an owner, by every setting of both.
#[test]
fn each_row_of_the_rules() {
    use Audience::{Contacts, Everyone, Nobody};
    // The owner's audience, what the owner says of the viewer, whether the viewer is shown it.
    let plain = Person::default;
    let contact = || Person { contact: true, ..plain() };
    let except = |person: Person, attribute| Person { except: vec![attribute], ..person };
    for attribute in Attribute::ALL {
        let rows = [
            (Everyone, plain(), true),
            (Everyone, contact(), true),
            (Everyone, except(plain(), attribute), false),
            (Everyone, blocked(), false),
            (Contacts, plain(), false),
            (Contacts, contact(), true),
            (Contacts, except(contact(), attribute), false),
            (Contacts, except(plain(), attribute), true),
            (Contacts, Person { contact: true, ..blocked() }, false),
            (Nobody, plain(), false),
            (Nobody, contact(), false),
            (Nobody, except(plain(), attribute), true),
            (Nobody, except(blocked(), attribute), false),
        ];
        for (owners, of_viewer, shown) in &rows {
            // The viewer's own settings towards the owner: who hides does not see, but for the profile.
            for (viewers, of_owner, shows) in &rows {
                let reciprocal = attribute != Attribute::Profile;
                let expected = *shown && (*shows || !reciprocal);
                let seen = sees(attribute, (*owners, of_viewer), (*viewers, of_owner));
                assert_eq!(
                    seen, expected,
                    "{attribute:?}: owner {owners:?} {of_viewer:?}, viewer {viewers:?} {of_owner:?}"
                );
            }
        }
    }
}

fn audiences(attribute: Attribute, audience: Audience) -> Privacy {
    let of = |this| if this == attribute { audience } else { Audience::Everyone };
    Privacy {
        last_seen: of(Attribute::LastSeen),
        online: of(Attribute::Online),
        read_marks: of(Attribute::ReadMarks),
        profile: of(Attribute::Profile),
        number: of(Attribute::Number),
    }
}

/// Whether BOB sees an attribute of ALICE.
fn sees(
    attribute: Attribute,
    (alices, of_bob): (Audience, &Person),
    (bobs, of_alice): (Audience, &Person),
) -> bool {
    let (mut world, alice, bob) = world();
    world.says(BOB, bob, &[send(ALICE, 1, 1, false)]);
    world.says(ALICE, alice, &[ack(ids(1, [1]))]);
    world.says(ALICE, alice, &[says(true, &[])]);
    world.now += 60_000;
    world.says(ALICE, alice, &[says(false, &[])]);
    let gone_at = world.now;
    if attribute == Attribute::Online {
        world.says(ALICE, alice, &[says(true, &[])]);
    }
    set_privacy(&mut world, ALICE, audiences(attribute, alices));
    set_person(&mut world, ALICE, BOB, of_bob.clone());
    set_privacy(&mut world, BOB, audiences(attribute, bobs));
    set_person(&mut world, BOB, ALICE, of_alice.clone());
    world.hears(BOB, bob);
    match attribute {
        Attribute::Profile => sees_profile(&mut world),
        Attribute::ReadMarks => {
            let read = receipt(BOB, id(7, 1), ids(1, [1]), Mark::Read);
            world.says(ALICE, alice, &[read]);
            let heard = world.hears(BOB, bob);
            world.says(BOB, bob, &[ack(receipt_ids(&heard))]);
            assert_eq!(sent(&world.hears(ALICE, alice)), [id(7, 1)], "the reader is never told");
            receipt_ids(&heard).contains(&id(7, 1))
        }
        Attribute::Number => {
            let look_up =
                AccountRequest::LookUp { device: DeviceId(1), numbers: vec![number(ALICE)] };
            let AccountAnswer::Found(asked) = world.account(BOB, look_up) else { panic!("found") };
            let findable = AccountRequest::Findable(number(BOB));
            asked == [number(ALICE)] && world.account(ALICE, findable) == AccountAnswer::Granted
        }
        _ => {
            world.says(BOB, bob, &[says(false, &[ALICE])]);
            let [(ALICE, available, last_seen)] = seen(&world.hears(BOB, bob))[..] else {
                panic!("one answer")
            };
            match attribute {
                Attribute::Online => available,
                _ => last_seen.inspect(|&at| assert_eq!(at, gone_at)).is_some(),
            }
        }
    }
}

/// Whether BOB sees ALICE's profile, and as well her picture.
fn sees_profile(world: &mut World) -> bool {
    let (device, viewer) = (DeviceId(1), number(BOB));
    let profile = Profile { name: "Alice".into(), ..Profile::default() };
    for said in [
        AccountRequest::SetProfile { device, profile: profile.clone() },
        AccountRequest::SetPicture { device, bytes: 7 },
    ] {
        assert_eq!(world.account(ALICE, said), AccountAnswer::Granted);
    }
    let shown = world.account(ALICE, AccountRequest::ShownProfile(viewer));
    let picture = world.account(ALICE, AccountRequest::ShownPicture(viewer));
    let whole = AccountAnswer::Profile(Profile { version: 2, ..profile });
    if shown == whole {
        assert_eq!(picture, AccountAnswer::Granted);
        return true;
    }
    assert_eq!(shown, AccountAnswer::Profile(Profile::default()));
    assert_eq!(picture, Refusal::from(ErrorCode::NotFound).into());
    false
}

#[test]
fn who_hides_that_they_are_there_is_not_seen_typing() {
    let hide = audiences(Attribute::Online, Audience::Nobody);
    for case in 0..3 {
        let (mut world, alice, bob) = world();
        match case {
            0 => set_privacy(&mut world, ALICE, hide),
            1 => set_privacy(&mut world, BOB, hide),
            _ => set_person(&mut world, ALICE, BOB, blocked()),
        }
        world.says(ALICE, alice, &[types(BOB, Activity::Composing)]);
        assert_eq!((world.hears(BOB, bob), world.hears(ALICE, alice)), (vec![], vec![]));
    }
}

#[test]
fn what_arrives_late_is_not_told() {
    let (mut world, alice, _) = world();
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    world.hears(ALICE, alice);
    let told = world.now;
    let presence = |available, at| {
        vec![estafette_relay::PeerItem::Presence { available, last_seen: None, at }]
    };
    world.calls(BOB, ALICE, presence(true, told + 10));
    world.calls(BOB, ALICE, presence(false, told + 5));
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, true, None)]);
    // A clock that was set back is believed.
    world.calls(BOB, ALICE, presence(false, told - 3_600_000));
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, None)]);
}

#[test]
fn a_change_of_privacy_shows_at_once() {
    let (mut world, alice, bob) = world();
    world.says(BOB, bob, &[says(true, &[])]);
    world.says(ALICE, alice, &[says(true, &[BOB])]);
    world.hears(ALICE, alice);
    set_person(&mut world, BOB, ALICE, blocked());
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, None)]);
    set_person(&mut world, BOB, ALICE, Person::default());
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, true, None)]);
    // Who begins to hide sees no more.
    set_privacy(&mut world, ALICE, audiences(Attribute::Online, Audience::Nobody));
    assert_eq!(seen(&world.hears(ALICE, alice)), [(BOB, false, None)]);
}

#[test]
fn the_blocked_are_not_heard_and_cannot_tell() {
    let (mut world, alice, bob) = world();
    world.closes(BOB, bob);
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    let unblocked = world.hears(ALICE, alice);
    set_person(&mut world, BOB, ALICE, blocked());
    world.restarts(BOB);
    world.says(ALICE, alice, &burst(BOB, 2, 1..=3));
    let read = receipt(BOB, id(7, 1), ids(9, [1]), Mark::Read);
    world.says(ALICE, alice, &[read, types(BOB, Activity::Composing)]);
    let heard = world.hears(ALICE, alice);
    assert_eq!(sent(&unblocked), ids(1, [1]));
    assert_eq!(sent(&heard), [ids(2, 1..=3), vec![id(7, 1)]].concat(), "as if he were away");
    assert_eq!((refused(&heard), errors(&heard)), (vec![], vec![]));
    let bob = world.connect(BOB, 1);
    assert_eq!(received(&world.hears(BOB, bob)), ids(1, [1]), "what came before stays");
    world.says(ALICE, alice, &[send(BOB, 2, 4, false), types(BOB, Activity::Composing)]);
    assert_eq!(world.hears(BOB, bob), []);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(2, [4]));
    assert_eq!((world.mailbox(BOB).waiting(), world.count(BOB, "page")), (1, 1), "nothing new");
    set_person(&mut world, BOB, ALICE, Person::default());
    world.says(ALICE, alice, &[send(BOB, 2, 5, false)]);
    assert_eq!(world.receives(BOB, bob), ids(2, [5]), "and then heard again");
}

#[test]
fn what_is_dropped_is_answered_and_paid_as_what_is_stored() {
    let (mut world, alice, bob) = world();
    world.register(CAROL, 1);
    set_person(&mut world, BOB, ALICE, blocked());
    let mut all = Vec::new();
    // Bob is there and blocks her, Carol is away.
    for to in [BOB, CAROL] {
        let (spent, rows, of_others) =
            (world.usage(ALICE).spent, world.rows(to), world.usage(to).spent);
        let mut heard = Vec::new();
        for frames in [
            vec![send(to, 1, 2, true)],
            burst(to, 1, 1..=3),
            vec![send(to, 1, 3, true)],
            vec![send(to, 1, 5, true)],
            vec![receipt(to, id(7, 1), ids(9, [1]), Mark::Read)],
            vec![send(to, 1, 4, false), receipt(to, id(7, 2), ids(9, [2]), Mark::Played)],
            vec![types(to, Activity::Composing)],
        ] {
            world.says(ALICE, alice, &frames);
            heard.push(world.hears(ALICE, alice));
        }
        assert_eq!(
            refused(&heard[0]),
            [(id(1, 2), ErrorCode::OutOfOrder)],
            "what it follows is not there"
        );
        assert_eq!((sent(&heard[1]), sent(&heard[2])), (ids(1, 1..=3), ids(1, [3])));
        assert_eq!(refused(&heard[3]), [(id(1, 5), ErrorCode::OutOfOrder)]);
        assert_eq!(world.rows(to), rows + 3, "one for each call that brings something");
        let spent = world.usage(ALICE).spent - spent;
        all.push((heard, spent, world.usage(to).spent - of_others));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!((world.hears(BOB, bob), world.count(BOB, "page")), (vec![], 0));
    assert_eq!(world.count(BOB, "noise"), 1, "and the next takes its place");
}

#[test]
fn a_full_mailbox_refuses_the_blocked_too() {
    let mut world = World::new();
    world.config.queue_messages_max = 2;
    [ALICE, BOB, CAROL].into_iter().for_each(|account| world.register(account, 1));
    let alice = world.connect(ALICE, 1);
    for to in [BOB, CAROL] {
        world.says(ALICE, alice, &burst(to, 1, 1..=2));
    }
    set_person(&mut world, BOB, ALICE, blocked());
    world.hears(ALICE, alice);
    for to in [BOB, CAROL] {
        let read = receipt(to, id(7, to), ids(9, [1]), Mark::Read);
        world.says(ALICE, alice, &[send(to, 1, 3, false), read]);
        let refused: Vec<_> = refused(&world.hears(ALICE, alice)).iter().map(|it| it.1).collect();
        assert_eq!(refused, [ErrorCode::MailboxFull; 2]);
    }
}

#[test]
fn what_is_said_of_people_is_kept_and_listed() {
    let (mut world, ..) = world();
    let carol = Person { contact: true, except: vec![Attribute::Online], ..Person::default() };
    set_person(&mut world, ALICE, CAROL, carol.clone());
    set_person(&mut world, ALICE, BOB, blocked());
    set_privacy(&mut world, ALICE, audiences(Attribute::LastSeen, Audience::Contacts));
    world.restarts(ALICE);
    let device = DeviceId(1);
    let people = world.account(ALICE, AccountRequest::People(device));
    let known = |digits, person| Known { number: number(digits), person };
    let expected = People { people: vec![known(BOB, blocked()), known(CAROL, carol)] };
    assert_eq!(people, AccountAnswer::People(expected));
    let privacy = world.account(ALICE, AccountRequest::Privacy(device));
    let expected = audiences(Attribute::LastSeen, Audience::Contacts);
    assert_eq!(privacy, AccountAnswer::Privacy(expected));
    set_person(&mut world, ALICE, CAROL, Person::default());
    assert_eq!(world.count(ALICE, "person"), 1, "nothing is said by no row");
    let rows = world.rows(ALICE);
    set_person(&mut world, ALICE, BOB, blocked());
    set_privacy(&mut world, ALICE, audiences(Attribute::LastSeen, Audience::Contacts));
    assert_eq!(world.rows(ALICE), rows, "the same again writes nothing");
    let stranger = AccountRequest::People(DeviceId(9));
    let removed: AccountAnswer = Refusal::from(ErrorCode::DeviceRemoved).into();
    assert_eq!(world.account(ALICE, stranger), removed);
}

#[test]
fn people_have_a_limit() {
    let (mut world, ..) = world();
    let statement = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {})
         INSERT INTO person (number, flags) SELECT 33700000000 + n, 1 FROM n",
        limits::PEOPLE_MAX
    );
    world.query(ALICE, &statement);
    world.restarts(ALICE);
    let person = Person { contact: true, ..Person::default() };
    let request = AccountRequest::SetPerson { device: DeviceId(1), number: number(BOB), person };
    let full: AccountAnswer = Refusal::from(ErrorCode::TooManyPeople).into();
    assert_eq!(world.account(ALICE, request), full);
    set_person(&mut world, ALICE, 33_700_000_001, blocked());
}
