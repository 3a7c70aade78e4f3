//! Conversations as a mailbox sees them: what its devices ask, how they are answered, who is told of news and
//! who finds it later. The conversation is played by the test.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::*;
use support::people::{blocked, set_person};
use support::*;

const RETRY: Millis = 1000;

fn commit(query: u64, conversation: ConversationId) -> Commit {
    let (commit, info) = (Body(vec![1]), Body(vec![2]));
    Commit { query, conversation, epoch: 0, commit, info, welcome: None, roster: None }
}

fn leave(query: u64, conversation: ConversationId) -> ClientFrame {
    ClientFrame::Leave(Leave { query, conversation })
}

fn knock(query: u64, conversation: ConversationId, bytes: usize) -> ClientFrame {
    let invitation = Body(vec![9; bytes]);
    ClientFrame::Knock(Knock { query, conversation, invitation })
}

fn direct(one: u64, other: u64) -> ConversationId {
    ConversationId::direct(number(one), number(other))
}

fn refused_by(code: ErrorCode) -> Outcome {
    Outcome::Refused { code, retry_after: None }
}

fn nothing_new(conversation: ConversationId, head: u64) -> Option<Vec<Outcome>> {
    Some(vec![Outcome::Log(Box::new(empty_log(conversation, head)))])
}

fn away() -> NewsAnswer {
    NewsAnswer { live: false, passed: 0, gone: false }
}

fn live(passed: u64) -> NewsAnswer {
    NewsAnswer { live: true, passed, gone: false }
}

fn alice() -> (World, SocketId) {
    let mut world = World::with(&[ALICE, BOB]);
    let alice = world.connect(ALICE, 1);
    world.hears(ALICE, alice);
    (world, alice)
}

/// What was asked of the only conversation that was called.
fn items(world: &mut World) -> Vec<Ask> {
    let mut asked = world.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0).items.into_iter().map(|item| item.ask).collect()
}

// What devices ask.

#[test]
fn what_a_device_asks_reaches_the_conversation_as_it_is() {
    let (mut world, alice) = alice();
    let group = group(1);
    let roster = Roster {
        members: vec![Member { account: number(ALICE), role: Role::Owner }],
        writing: Role::Member,
        adding: Role::Admin,
        approval: true,
        invitation: Some(Body(vec![3; 32])),
    };
    let (welcome, info) = (Some(Body(vec![4])), Body(vec![2]));
    let said =
        Commit { welcome: welcome.clone(), roster: Some(roster.clone()), ..commit(5, group) };
    for (frame, ask) in [
        (
            post(group, id(7, 2), true),
            Ask::Post {
                id: id(7, 2),
                epoch: 1,
                body: Body(b"7/2".to_vec()),
                chained: true,
                after: None,
            },
        ),
        (
            ClientFrame::Commit(Box::new(said)),
            Ask::Commit { epoch: 0, commit: Body(vec![1]), info, welcome, roster: Some(roster) },
        ),
        (look(6, group, Some(9)), Ask::Fetch { after: Some(9), before: None }),
        (look(6, group, None), Ask::Fetch { after: None, before: None }),
        (leave(7, group), Ask::Leave),
        (knock(8, group, 16), Ask::Knock { invitation: Body(vec![9; 16]) }),
    ] {
        world.says(ALICE, alice, &[frame]);
        let asked = world.asked();
        let item = ConversationItem { device: DeviceId(1), ask };
        let (conversation, from) = (group, number(ALICE));
        assert_eq!(asked, [ConversationRequest { conversation, from, items: vec![item] }]);
        world.conversed(ALICE, group, None);
    }
}

#[test]
fn what_comes_while_a_call_is_under_way_travels_together_and_in_order() {
    let (mut world, alice) = alice();
    let (one, other) = (group(1), group(2));
    world.says(ALICE, alice, &[post(one, id(7, 1), false)]);
    assert_eq!(items(&mut world).len(), 1);
    for number in 2..=4 {
        world.says(ALICE, alice, &[post(one, id(7, number), true)]);
    }
    world.says(ALICE, alice, &[look(1, one, Some(0)), post(other, id(8, 1), false)]);
    let asked = world.asked();
    assert_eq!(asked.len(), 1, "the other conversation alone");
    assert_eq!(asked[0].conversation, other);
    world.conversed(ALICE, one, Some(vec![Outcome::Done(1)]));
    let asked = items(&mut world);
    let numbers = asked.iter().filter_map(|ask| match ask {
        Ask::Post { id, .. } => Some(id.number),
        _ => None,
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 3, 4]);
    assert!(matches!(asked[3], Ask::Fetch { .. }));
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(7, [1]));
}

#[test]
fn posts_are_answered_together_and_questions_one_by_one() {
    let (mut world, alice) = alice();
    let group = group(1);
    let posts: Vec<_> = (1..=5).map(|number| post(group, id(7, number), false)).collect();
    let asks = [
        leave(1, group),
        look(2, group, Some(4)),
        ClientFrame::Commit(Box::new(commit(3, group))),
        knock(4, group, 1),
        look(5, group, Some(4)),
    ];
    world.says(ALICE, alice, &[&posts[..], &asks].concat());
    let late = Outcome::Refused { code: ErrorCode::LogFull, retry_after: Some(7) };
    let log = Log { entries: vec![entry(5, BOB, 1)], ..empty_log(group, 5) };
    world.conversed(
        ALICE,
        group,
        Some(vec![
            Outcome::Done(1),
            Outcome::Done(2),
            refused_by(ErrorCode::StaleEpoch),
            refused_by(ErrorCode::StaleEpoch),
            late,
            Outcome::Done(0),
            Outcome::Log(Box::new(log.clone())),
            Outcome::Done(6),
            refused_by(ErrorCode::NotAllowed),
            // Not an answer to that.
            Outcome::Done(3),
        ]),
    );
    let heard = world.hears(ALICE, alice);
    let expected = [
        (1, Ok(None)),
        (3, Ok(Some(6))),
        (4, Err(ErrorCode::NotAllowed)),
        (5, Err(ErrorCode::Unavailable)),
    ];
    assert_eq!(outcomes(&heard), expected);
    assert!(heard.contains(&ServerFrame::Log(Box::new(Log { query: 2, ..log }))));
    assert_eq!(sent(&heard), ids(7, [1, 2]));
    let refusals: Vec<_> = heard
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Refused(refused) => Some(refused.clone()),
            _ => None,
        })
        .collect();
    let refused = |ids, code, retry_after| Refused { ids, code, retry_after };
    assert_eq!(refusals.len(), 2, "one frame for each code");
    assert!(refusals.contains(&refused(ids(7, [3, 4]), ErrorCode::StaleEpoch, None)));
    assert!(refusals.contains(&refused(ids(7, [5]), ErrorCode::LogFull, Some(7))));
}

#[test]
fn what_nobody_answers_is_refused_until_later() {
    let (mut world, alice) = alice();
    let group = group(1);
    let denied = ServerFrame::Denied(Denied {
        query: 1,
        code: ErrorCode::Unavailable,
        retry_after: Some(RETRY),
    });
    // No answer, and one that does not fit its call.
    for answer in [None, Some(vec![Outcome::Done(1)])] {
        world.says(ALICE, alice, &[post(group, id(7, 1), false), look(1, group, Some(0))]);
        world.conversed(ALICE, group, answer);
        let heard = world.hears(ALICE, alice);
        assert!(heard.contains(&denied), "{heard:?}");
        assert_eq!(refused(&heard), [(id(7, 1), ErrorCode::Unavailable)]);
    }
    // An answer to no call, as after a crash, changes nothing.
    world.conversed(ALICE, group, Some(vec![Outcome::Done(1)]));
    world.conversed(ALICE, self::group(9), Some(vec![]));
    assert_eq!(world.hears(ALICE, alice), []);
}

#[test]
fn a_device_that_has_gone_is_not_told_and_its_siblings_are_not_either() {
    let (mut world, alice) = alice();
    world.link(ALICE, 2);
    let second = world.connect(ALICE, 2);
    world.hears(ALICE, second);
    let group = group(1);
    world.says(ALICE, alice, &[post(group, id(7, 1), false), leave(1, group)]);
    world.closes(ALICE, alice);
    world.conversed(ALICE, group, Some(vec![Outcome::Done(1), Outcome::Done(0)]));
    assert_eq!(world.hears(ALICE, second), []);
}

// What may be asked.

#[test]
fn sizes_are_checked_before_anything_is_called() {
    let (mut world, alice) = alice();
    let group = group(1);
    let long = |most: usize| Body(vec![0; most + 1]);
    let member = |digits| Member { account: number(digits), role: Role::Member };
    let roster = |count: u64, digest: usize| Roster {
        members: (0..count).map(|member_of| member(33_600_001_000 + member_of)).collect(),
        writing: Role::Member,
        adding: Role::Member,
        approval: false,
        invitation: Some(Body(vec![0; digest])),
    };
    let most = limits::HANDSHAKE_BYTES_MAX;
    let members = limits::MEMBERS_MAX as u64;
    let body = long(limits::BODY_BYTES_MAX);
    let id = id(7, 1);
    let posted = Post { id, conversation: group, epoch: 1, body, chained: false, after: None };
    world.says(ALICE, alice, &[ClientFrame::Post(posted.clone())]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id, ErrorCode::TooLarge)]);
    let backwards = Post { body: Body(vec![]), after: Some(1), ..posted };
    world.says(ALICE, alice, &[ClientFrame::Post(backwards)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id, ErrorCode::Malformed)]);
    for (said, code) in [
        (Commit { commit: long(most), ..commit(1, group) }, ErrorCode::TooLarge),
        (Commit { info: long(most), ..commit(1, group) }, ErrorCode::TooLarge),
        (Commit { welcome: Some(long(most)), ..commit(1, group) }, ErrorCode::TooLarge),
        (Commit { roster: Some(roster(members + 1, 32)), ..commit(1, group) }, ErrorCode::TooMany),
        (Commit { roster: Some(roster(1, 33)), ..commit(1, group) }, ErrorCode::TooLarge),
    ] {
        world.says(ALICE, alice, &[ClientFrame::Commit(Box::new(said))]);
        assert_eq!(outcomes(&world.hears(ALICE, alice)), [(1, Err(code))]);
    }
    world.says(ALICE, alice, &[knock(1, group, 257)]);
    assert_eq!(outcomes(&world.hears(ALICE, alice)), [(1, Err(ErrorCode::TooLarge))]);
    assert_eq!(world.asked(), []);

    let largest = Body(vec![0; most]);
    let (welcome, roster) = (Some(largest.clone()), Some(roster(members, 32)));
    let (commit, info) = (largest.clone(), largest);
    let said = Commit { commit, info, welcome, roster, ..self::commit(1, group) };
    world.says(ALICE, alice, &[ClientFrame::Commit(Box::new(said))]);
    assert_eq!(items(&mut world).len(), 1, "768 KB go");
}

#[test]
fn of_a_conversation_of_two_a_party_asks_for_the_log_alone() {
    let (mut world, alice) = alice();
    let (own, notes, others) = (direct(ALICE, BOB), direct(ALICE, ALICE), direct(BOB, CAROL));
    let not_member = Err(ErrorCode::NotMember);
    for frame in [
        look(1, others, Some(0)),
        ClientFrame::Commit(Box::new(commit(1, others))),
        leave(1, own),
        knock(1, own, 1),
    ] {
        world.says(ALICE, alice, &[frame]);
        assert_eq!(outcomes(&world.hears(ALICE, alice)), [(1, not_member)]);
    }
    world.says(ALICE, alice, &[post(own, id(7, 1), false)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(7, 1), ErrorCode::NotMember)]);
    assert_eq!(world.asked(), []);
    world.says(ALICE, alice, &[look(1, own, None), look(2, notes, None)]);
    world.says(ALICE, alice, &[ClientFrame::Commit(Box::new(commit(3, own)))]);
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn posts_count_as_messages_and_what_is_on_the_way_has_a_limit() {
    let (mut world, alice) = alice();
    let group = group(1);
    let burst = limits::SEND_BURST;
    let posts: Vec<_> = (1..=u64::from(burst) + 1).map(|n| post(group, id(7, n), n > 1)).collect();
    world.says(ALICE, alice, &posts);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(7, 61), ErrorCode::RateLimited)]);
    assert_eq!(items(&mut world).len(), 60);
    world.says(ALICE, alice, &[send(BOB, 8, 1, false)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [(id(8, 1), ErrorCode::RateLimited)]);

    let largest = Body(vec![0; limits::HANDSHAKE_BYTES_MAX]);
    let mut taken = 0;
    for query in 1.. {
        let (commit, info) = (largest.clone(), largest.clone());
        let to = self::group(100 + u128::from(query));
        let said = Commit { commit, info, ..self::commit(query, to) };
        world.says(ALICE, alice, &[ClientFrame::Commit(Box::new(said))]);
        if let [(_, outcome)] = outcomes(&world.hears(ALICE, alice))[..] {
            assert_eq!(outcome, Err(ErrorCode::Unavailable));
            break;
        }
        taken += 1;
    }
    assert_eq!(taken, 7, "half a megabyte each, of four, over all conversations");
    world.conversed(ALICE, self::group(101), None);
    world.hears(ALICE, alice);
    world.says(ALICE, alice, &[look(99, self::group(1), Some(0))]);
    assert_eq!(outcomes(&world.hears(ALICE, alice)), []);
}

#[test]
fn a_lane_takes_512_and_a_call_256() {
    let mut world = World::with(&[ALICE]);
    world.config.send_burst = 2000;
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    world.hears(ALICE, alice);
    let group = group(1);
    for _ in 0..3 {
        world.says(ALICE, alice, &vec![look(1, group, Some(0)); 256]);
    }
    world.says(ALICE, alice, &[look(2, group, Some(0))]);
    assert_eq!(outcomes(&world.hears(ALICE, alice)), [(2, Err(ErrorCode::Unavailable))]);
    assert_eq!(items(&mut world).len(), 256);
    world.conversed(ALICE, group, None);
    assert_eq!(items(&mut world).len(), 256);
}

#[test]
fn a_call_and_its_rows_are_the_accounts_own() {
    let (mut world, alice) = alice();
    let group = group(1);
    let spent = |world: &mut World| world.usage(ALICE).spent;
    let before = spent(&mut world);
    world.says(ALICE, alice, &[post(group, id(7, 1), false), post(group, id(7, 2), true)]);
    world.conversed(ALICE, group, Some(vec![Outcome::Done(1), Outcome::Done(2)]));
    assert_eq!(spent(&mut world) - before, 8 + 150 + 2000 + 150, "a page, written and deleted");
    let before = spent(&mut world);
    world.says(ALICE, alice, &[look(1, group, Some(2))]);
    world.conversed(ALICE, group, nothing_new(group, 2));
    assert_eq!(spent(&mut world) - before, 8 + 150 + 150);
}

// News.

#[test]
fn who_is_there_is_told_at_once_and_the_mark_is_set_once() {
    let (mut world, alice) = alice();
    world.link(ALICE, 2);
    let second = world.connect(ALICE, 2);
    world.hears(ALICE, second);
    let group = group(1);
    let (before, alarm) = (world.usage(ALICE), world.object(ALICE).alarm);
    for place in 1..=20 {
        let entries = vec![entry(place, BOB, 1)];
        assert_eq!(world.told(ALICE, group, entries, true), Some(live(0)));
    }
    for socket in [alice, second] {
        assert_eq!(posted(&world.hears(ALICE, socket)), (1..=20).collect::<Vec<_>>());
    }
    let after = world.usage(ALICE);
    assert_eq!(after.rows_written - before.rows_written, 1, "for twenty calls");
    assert_eq!(after.requests - before.requests, 21);
    assert_eq!(after.spent - before.spent, 150, "which whoever wrote has paid for");
    world.hibernates(ALICE);
    let before = world.rows(ALICE);
    world.told(ALICE, group, vec![entry(21, BOB, 1)], true);
    assert_eq!(world.rows(ALICE), before, "nor after a sleep");
    assert_eq!(world.object(ALICE).alarm, alarm, "and nothing is set");
}

#[test]
fn the_device_that_made_an_entry_is_told_too_so_that_there_is_no_gap() {
    let (mut world, alice) = alice();
    let entries = vec![entry(1, BOB, 1), entry(2, ALICE, 1), entry(3, BOB, 1)];
    world.told(ALICE, group(1), entries.clone(), true);
    let told = ServerFrame::Posted(Posted { conversation: group(1), entries });
    assert_eq!(world.hears(ALICE, alice), [told]);
}

#[test]
fn long_news_is_cut_into_frames_that_fit() {
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let mut world = World::with(&[ALICE]);
        let alice = world.connect_as(ALICE, 1, encoding).unwrap();
        world.hears(ALICE, alice);
        let long = |place| {
            let message = entry(place, BOB, 1).message.unwrap();
            let body = Body(vec![0; limits::BODY_BYTES_MAX]);
            Entry { message: Some(EntryMessage { body, ..message }), ..entry(place, BOB, 1) }
        };
        let commit = Some(Body(vec![0; limits::HANDSHAKE_BYTES_MAX]));
        let commit = Entry { commit, message: None, ..entry(21, BOB, 1) };
        let short = (22..=600).map(|place| entry(place, BOB, 1));
        let entries: Vec<_> = (1..=20).map(long).chain([commit]).chain(short).collect();
        world.told(ALICE, group(1), entries, true);
        let heard = world.hears(ALICE, alice);
        assert_eq!(posted(&heard), (1..=600).collect::<Vec<_>>());
        // Three bodies in each of seven; the commit; 256 in each of three.
        assert_eq!(heard.len(), 11);
    }
}

#[test]
fn who_is_away_finds_it_in_one_row_and_forgets_it_by_a_look_in_vain() {
    let mut world = World::with(&[ALICE]);
    let (one, other) = (group(1), group(2));
    let rows = world.rows(ALICE);
    for place in 1..=20 {
        let answer = world.told(ALICE, one, vec![entry(place, BOB, 1)], true);
        assert_eq!(answer, Some(away()));
    }
    world.told(ALICE, other, vec![], true);
    assert_eq!(world.rows(ALICE) - rows, 2, "one for each conversation");
    assert_eq!(world.count(ALICE, "mark"), 2);
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    let heard = world.hears(ALICE, alice);
    assert!(matches!(heard[0], ServerFrame::Hello(_)));
    assert!(matches!(&heard[1], ServerFrame::News(_)), "right after the greeting");
    assert_eq!(news(&heard), [one, other]);

    let rows = world.rows(ALICE);
    world.says(ALICE, alice, &[look(1, one, Some(0))]);
    let entries = vec![entry(1, BOB, 1)];
    let log = Log { entries, ..empty_log(one, 20) };
    world.conversed(ALICE, one, Some(vec![Outcome::Log(Box::new(log))]));
    assert_eq!(world.rows(ALICE) - rows, 0, "there may be more");
    world.says(ALICE, alice, &[look(2, one, Some(20))]);
    world.conversed(ALICE, one, nothing_new(one, 20));
    assert_eq!(world.rows(ALICE) - rows, 1);
    let alice = world.connect(ALICE, 1);
    assert_eq!(news(&world.hears(ALICE, alice)), [other]);
    world.says(ALICE, alice, &[look(3, other, Some(5))]);
    world.conversed(ALICE, other, nothing_new(other, 5));
    assert_eq!(world.count(ALICE, "mark"), 0, "the row goes with the last bit");
    let alice = world.connect(ALICE, 1);
    assert_eq!(world.hears(ALICE, alice).len(), 2, "nothing is said of no news");
}

#[test]
fn a_look_is_in_vain_only_if_it_sees_the_whole_log_and_nothing_comes_meanwhile() {
    let group = group(1);
    let log = |entries, head| Outcome::Log(Box::new(Log { entries, ..empty_log(group, head) }));
    for (after, outcome, clears) in [
        (Some(5), log(vec![], 5), true),
        (Some(6), log(vec![], 5), true),
        (Some(4), log(vec![], 5), false),
        (Some(4), log(vec![entry(5, BOB, 1)], 5), false),
        (None, log(vec![], 5), false),
        (Some(5), refused_by(ErrorCode::NotMember), true),
        (None, refused_by(ErrorCode::NoConversation), true),
        (Some(5), refused_by(ErrorCode::Unavailable), false),
        (Some(5), Outcome::Done(5), false),
    ] {
        for meanwhile in [false, true] {
            let (mut world, alice) = alice();
            world.told(ALICE, group, vec![entry(5, BOB, 1)], true);
            world.says(ALICE, alice, &[look(1, group, after)]);
            if meanwhile {
                world.told(ALICE, group, vec![entry(6, BOB, 1)], true);
            }
            world.conversed(ALICE, group, Some(vec![outcome.clone()]));
            let marks = usize::from(!clears || meanwhile);
            assert_eq!(world.count(ALICE, "mark"), marks, "{after:?} {outcome:?} {meanwhile}");
            // A look that departs after the news sees them.
            world.says(ALICE, alice, &[look(2, group, Some(6))]);
            world.conversed(ALICE, group, nothing_new(group, 6));
            assert_eq!(world.count(ALICE, "mark"), 0);
        }
    }
}

#[test]
fn each_device_has_a_bit_of_its_own() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let group = group(1);
    let first = world.connect(ALICE, 1);
    world.hears(ALICE, first);
    assert_eq!(world.told(ALICE, group, vec![entry(1, BOB, 1)], true), Some(live(0)));
    world.says(ALICE, first, &[look(1, group, Some(1))]);
    world.conversed(ALICE, group, nothing_new(group, 1));
    world.restarts(ALICE);
    let first = world.connect(ALICE, 1);
    assert_eq!(news(&world.hears(ALICE, first)), []);
    let second = world.connect(ALICE, 2);
    assert_eq!(news(&world.hears(ALICE, second)), [group]);
    // One that is linked later has nothing of what was before.
    world.link(ALICE, 3);
    let third = world.connect(ALICE, 3);
    assert_eq!(news(&world.hears(ALICE, third)), []);
}

#[test]
fn marks_go_with_their_device_and_a_registration_inherits_them() {
    let mut world = World::with(&[ALICE]);
    world.link(ALICE, 2);
    let (one, other) = (group(1), group(2));
    for conversation in [one, other] {
        world.told(ALICE, conversation, vec![], false);
    }
    let first = world.connect(ALICE, 1);
    world.says(ALICE, first, &[look(1, one, Some(0))]);
    world.conversed(ALICE, one, nothing_new(one, 0));
    let (device, target) = (DeviceId(1), DeviceId(2));
    world.account(ALICE, AccountRequest::Remove { device, target });
    assert_eq!(world.count(ALICE, "mark"), 1, "nobody is to look into the first any more");
    world.link(ALICE, 3);
    let third = world.connect(ALICE, 3);
    assert_eq!(news(&world.hears(ALICE, third)), []);
    world.now += 24 * 3_600_000;
    world.register(ALICE, 4);
    let fourth = world.connect(ALICE, 4);
    assert_eq!(news(&world.hears(ALICE, fourth)), [other]);
    world.says(ALICE, fourth, &[look(1, other, Some(0))]);
    world.conversed(ALICE, other, nothing_new(other, 0));
    assert_eq!(world.count(ALICE, "mark"), 0);

    // Without any device, it is for the next.
    let device = DeviceId(4);
    world.account(ALICE, AccountRequest::Remove { device, target: device });
    assert_eq!(world.told(ALICE, one, vec![], true), Some(away()));
    world.now += 24 * 3_600_000;
    world.register(ALICE, 5);
    let fifth = world.connect(ALICE, 5);
    assert_eq!(news(&world.hears(ALICE, fifth)), [one]);
}

#[test]
fn news_without_entries_is_a_hint_to_look() {
    let (mut world, alice) = alice();
    assert_eq!(world.told(ALICE, group(1), vec![], true), Some(live(0)));
    assert_eq!(news(&world.hears(ALICE, alice)), [group(1)]);
    assert_eq!(world.count(ALICE, "mark"), 1);
}

#[test]
fn a_place_is_known_when_every_device_has_said_it_and_forgotten_in_sleep() {
    let (mut world, alice) = alice();
    world.link(ALICE, 2);
    let second = world.connect(ALICE, 2);
    let group = group(1);
    let told =
        |world: &mut World, place| world.told(ALICE, group, vec![entry(place, BOB, 1)], true);
    told(&mut world, 1);
    world.says(ALICE, alice, &[passed(group, 1)]);
    assert_eq!(told(&mut world, 2), Some(live(0)), "the other has not said");
    world.says(ALICE, second, &[passed(group, 2), passed(self::group(2), 9)]);
    assert_eq!(told(&mut world, 3), Some(live(1)));
    world.says(ALICE, alice, &[passed(group, 3)]);
    let rows = world.rows(ALICE);
    assert_eq!(told(&mut world, 4), Some(live(2)));
    assert_eq!(world.rows(ALICE) - rows, 0, "no place is written");
    world.hibernates(ALICE);
    assert_eq!(told(&mut world, 5), Some(live(0)));
    world.says(ALICE, alice, &[passed(group, 5)]);
    let (device, target) = (DeviceId(1), DeviceId(2));
    world.account(ALICE, AccountRequest::Remove { device, target });
    assert_eq!(told(&mut world, 6), Some(live(5)), "who is gone holds nothing up");
}

#[test]
fn places_of_many_conversations_are_forgotten_rather_than_kept() {
    let (mut world, alice) = alice();
    for name in 1..=2049 {
        world.says(ALICE, alice, &[passed(group(name), 7)]);
        world.wait(20);
    }
    assert_eq!(world.told(ALICE, group(1), vec![], false), Some(live(0)));
    assert_eq!(world.told(ALICE, group(2049), vec![], false), Some(live(7)));
}

#[test]
fn who_is_not_registered_takes_no_part() {
    let mut world = World::with(&[ALICE]);
    let gone = NewsAnswer { gone: true, ..away() };
    assert_eq!(world.told(NOBODY, group(1), vec![entry(1, BOB, 1)], true), Some(gone));
    assert_eq!(world.count(NOBODY, "sqlite_master"), 0, "nobody leaves anything");
    world.told(ALICE, group(1), vec![], true);
    assert_eq!(world.account(ALICE, AccountRequest::Delete(DeviceId(1))), AccountAnswer::Granted);
    assert_eq!(world.told(ALICE, group(1), vec![], true), Some(gone));
}

#[test]
fn a_conversation_with_somebody_blocked_finds_nobody_there() {
    let (mut world, alice) = alice();
    world.subscribes(ALICE, 1);
    set_person(&mut world, ALICE, BOB, blocked());
    let rows = world.rows(ALICE);
    let told = world.told(ALICE, direct(ALICE, BOB), vec![entry(1, BOB, 1)], true);
    assert_eq!(told, Some(away()));
    assert_eq!((world.hears(ALICE, alice), world.rows(ALICE) - rows), (vec![], 0));
    world.closes(ALICE, alice);
    world.told(ALICE, direct(ALICE, BOB), vec![entry(2, BOB, 1)], true);
    assert_eq!((world.pushes(), world.count(ALICE, "mark")), (vec![], 0));
    let told = world.told(ALICE, direct(ALICE, CAROL), vec![], false);
    assert_eq!((told, world.count(ALICE, "mark")), (Some(away()), 1));
    world.told(ALICE, group(1), vec![entry(1, BOB, 1)], false);
    assert_eq!(world.count(ALICE, "mark"), 2, "a group with them is another matter");
}

#[test]
fn no_more_than_1024_conversations_are_marked() {
    let mut world = World::with(&[ALICE]);
    for name in 0..limits::GROUPS_MAX as u128 {
        assert_eq!(world.told(ALICE, group(name), vec![], false), Some(away()));
    }
    let more = group(5000);
    assert_eq!(world.told(ALICE, more, vec![], false), Some(live(0)), "call again");
    assert_eq!(world.count(ALICE, "mark"), limits::GROUPS_MAX);
    assert_eq!(world.told(ALICE, group(7), vec![], false), Some(away()));
    world.restarts(ALICE);
    let alice = world.connect(ALICE, 1);
    assert_eq!(news(&world.hears(ALICE, alice)).len(), limits::GROUPS_MAX);
    world.says(ALICE, alice, &[look(1, group(7), Some(0))]);
    world.conversed(ALICE, group(7), nothing_new(group(7), 0));
    world.closes(ALICE, alice);
    assert_eq!(world.told(ALICE, more, vec![], false), Some(away()), "there is room again");
}

#[test]
fn a_mailbox_reads_its_marks_only_when_it_needs_them() {
    let (mut world, alice) = alice();
    world.told(ALICE, group(1), vec![], false);
    world.hibernates(ALICE);
    world.query(ALICE, "DROP TABLE mark");
    world.says(ALICE, alice, &[send(BOB, 7, 1, false), look(1, group(1), None)]);
    assert_eq!(sent(&world.hears(ALICE, alice)), ids(7, [1]));
}

// Pushes.

fn log_told(push: &Push) -> ConversationId {
    push::LogNotification::from_payload(&push.payload).unwrap().conversation
}

#[test]
fn a_burst_of_news_is_one_push_and_only_what_wakes_wakes() {
    let mut world = asleep();
    world.told(BOB, group(1), vec![entry(1, ALICE, 1)], false);
    assert_eq!(world.pushes(), [], "a commit wakes nobody");
    for place in 2..=20 {
        world.told(BOB, group(1), vec![entry(place, ALICE, 1)], true);
    }
    let push = world.push();
    assert_eq!(log_told(&push), group(1));
    assert!(matches!(
        push::Notification::from_payload(&push.payload),
        Err(push::PayloadError::Version(2))
    ));
    world.service_says(BOB, &push, PushOutcome::Accepted);
    world.wait(limits::PUSH_BURST);
    world.told(BOB, group(2), vec![entry(1, ALICE, 1)], true);
    assert_eq!(log_told(&world.push()), group(2), "where the newest is");
}

#[test]
fn a_message_says_more_than_a_mark() {
    let mut world = asleep();
    world.told(BOB, group(1), vec![], false);
    world.is_sent(BOB, 7, 1);
    assert_eq!(told(&world.push()).id, id(7, 1));
}

#[test]
fn of_several_devices_those_that_sleep_are_woken_for_news() {
    let mut world = asleep();
    world.link(BOB, 2);
    world.subscribes(BOB, 2);
    world.connect(BOB, 1);
    world.told(BOB, group(1), vec![entry(1, ALICE, 1)], true);
    assert_eq!(world.push().device, DeviceId(2));
}

#[test]
fn a_push_for_news_that_fails_is_tried_again_while_the_mark_is_there() {
    for looks in [false, true] {
        let mut world = asleep();
        world.told(BOB, group(1), vec![entry(1, ALICE, 1)], true);
        let push = world.push();
        world.service_says(BOB, &push, PushOutcome::Unavailable { retry_after: None });
        if looks {
            let bob = world.connect(BOB, 1);
            world.says(BOB, bob, &[look(1, group(1), Some(1))]);
            world.conversed(BOB, group(1), nothing_new(group(1), 1));
            world.closes(BOB, bob);
        }
        world.wait(30_000);
        assert_eq!(world.pushes().len(), usize::from(!looks));
    }
}

/// A mark stays while its device is connected: it does not mean that the device lacks anything.
#[test]
fn a_device_that_leaves_is_woken_if_it_has_not_said_that_it_has_the_news() {
    for (says, sleeps, woken) in
        [(false, false, true), (true, false, false), (false, true, true), (true, true, false)]
    {
        let mut world = asleep();
        let bob = world.connect(BOB, 1);
        world.told(BOB, group(1), vec![entry(1, ALICE, 1)], true);
        world.told(BOB, group(2), vec![entry(1, ALICE, 1)], true);
        if says {
            world.says(BOB, bob, &[passed(group(1), 1), passed(group(2), 1)]);
        }
        if sleeps {
            world.hibernates(BOB);
        }
        world.closes(BOB, bob);
        assert_eq!(world.pushes().len(), usize::from(woken), "{says} {sleeps}");
    }
    let mut world = asleep();
    let bob = world.connect(BOB, 1);
    world.told(BOB, group(1), vec![entry(1, BOB, 1)], true);
    let commit = Entry { message: None, commit: Some(Body(vec![1])), ..entry(2, ALICE, 1) };
    world.told(BOB, group(1), vec![commit], false);
    world.closes(BOB, bob);
    assert_eq!(world.pushes(), [], "its own, and what wakes nobody");
}

#[test]
fn who_is_suspended_hears_of_it_when_restored() {
    let mut world = asleep();
    world.account(BOB, AccountRequest::Suspend);
    assert_eq!(world.told(BOB, group(1), vec![entry(1, ALICE, 1)], true), Some(away()));
    assert_eq!(world.pushes(), []);
    world.account(BOB, AccountRequest::Restore);
    assert_eq!(log_told(&world.push()), group(1));
}

/// The mark is written in the step that puts the entry on sockets: whatever happens then, it is found.
#[test]
fn an_entry_that_was_lost_on_a_socket_is_found() {
    for blow in [Blow::Restarts, Blow::Hibernates] {
        let (mut world, alice) = alice();
        world.told(ALICE, group(1), vec![entry(1, BOB, 1)], true);
        // Whatever was on the socket is lost with it.
        match blow {
            Blow::Restarts => world.restarts(ALICE),
            Blow::Hibernates => world.hibernates(ALICE),
        }
        world.closes(ALICE, alice);
        let alice = world.connect(ALICE, 1);
        assert_eq!(news(&world.hears(ALICE, alice)), [group(1)], "{blow:?}");
    }
    let (mut world, alice) = alice();
    world.fails_in.set(Some(0));
    assert_eq!(world.told(ALICE, group(1), vec![entry(1, BOB, 1)], true), None);
    world.fails_in.set(None);
    assert_eq!(world.hears(ALICE, alice), [], "without a mark, nothing is told");
}
