//! Key packages and the list of devices: published on the socket, fetched by anybody, read by nobody here.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use estafette_protocol::*;
use estafette_relay::{AccountAnswer, AccountRequest, PeerItem, SocketId};
use support::people::{blocked, set_person};
use support::*;

fn bodies(texts: &[&str]) -> Vec<Body> {
    texts.iter().map(|text| Body(text.as_bytes().to_vec())).collect()
}

/// Packages `texts`, and a last-resort one.
fn publish(texts: &[&str], last_resort: Option<&str>) -> PublishKeys {
    let last_resort = last_resort.map(|text| Body(text.as_bytes().to_vec()));
    PublishKeys { query: 1, packages: bodies(texts), last_resort, anew: false }
}

fn enlist(place: u64, text: &str, anew: bool) -> ClientFrame {
    let entry = Body(text.as_bytes().to_vec());
    ClientFrame::Enlist(Enlist { query: 2, place, entry, anew })
}

fn fetch(of: u64, after: u64, packages: bool) -> ClientFrame {
    ClientFrame::FetchKeys(FetchKeys { query: 3, of: number(of), after, packages })
}

impl World {
    /// Asks one thing and says what came of it.
    fn asks(
        &mut self,
        account: u64,
        socket: SocketId,
        frame: ClientFrame,
    ) -> Result<Option<u64>, ErrorCode> {
        self.hears(account, socket);
        self.says(account, socket, &[frame]);
        let heard = outcomes(&self.hears(account, socket));
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard[0].1
    }

    fn publishes(&mut self, account: u64, socket: SocketId, said: PublishKeys) {
        let outcome = self.asks(account, socket, ClientFrame::PublishKeys(said));
        assert_eq!(outcome, Ok(None));
    }

    /// What the account is told of another's keys.
    fn fetches(&mut self, account: u64, socket: SocketId, frame: ClientFrame) -> Keys {
        self.hears(account, socket);
        self.says(account, socket, &[frame]);
        match &self.hears(account, socket)[..] {
            [ServerFrame::Keys(keys)] => keys.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The packages among it, as texts.
    fn takes(&mut self, account: u64, socket: SocketId, of: u64) -> Vec<(u64, String)> {
        let keys = self.fetches(account, socket, fetch(of, 0, true));
        let packages = keys.packages.into_iter();
        packages.map(|one| (one.device.0, String::from_utf8(one.package.0).unwrap())).collect()
    }

    fn key_packages(&mut self, account: u64, device: u64) -> Option<u64> {
        let socket = self.connect(account, device);
        match &self.hears(account, socket)[0] {
            ServerFrame::Hello(hello) => hello.key_packages,
            other => panic!("{other:?}"),
        }
    }
}

fn world() -> (World, SocketId, SocketId) {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    (world, alice, bob)
}

#[test]
fn each_package_is_given_once_and_the_last_resort_stays() {
    let (mut world, alice, bob) = world();
    world.publishes(BOB, bob, publish(&["a", "b"], Some("last")));
    let given: Vec<_> = (0..4).flat_map(|_| world.takes(ALICE, alice, BOB)).collect();
    let given: Vec<_> = given.iter().map(|(device, text)| (*device, text.as_str())).collect();
    assert_eq!(given, [(1, "a"), (1, "b"), (1, "last"), (1, "last")]);
    world.publishes(BOB, bob, publish(&["c"], None));
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "c".into())]);
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "last".into())], "it was not replaced");
    world.publishes(BOB, bob, publish(&[], Some("newer")));
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "newer".into())]);
}

#[test]
fn a_device_is_told_how_many_are_left() {
    let (mut world, alice, _) = world();
    assert_eq!(world.key_packages(BOB, 1), None, "it never published any");
    let bob = world.connect(BOB, 1);
    world.publishes(BOB, bob, publish(&["a", "b"], Some("last")));
    assert_eq!(world.key_packages(BOB, 1), Some(2));
    for left in [1, 0, 0] {
        world.takes(ALICE, alice, BOB);
        world.restarts(BOB);
        assert_eq!(world.key_packages(BOB, 1), Some(left));
    }
}

#[test]
fn without_a_last_resort_a_device_has_none_to_give() {
    let (mut world, alice, bob) = world();
    assert_eq!(world.takes(ALICE, alice, BOB), []);
    world.publishes(BOB, bob, publish(&["a"], None));
    world.takes(ALICE, alice, BOB);
    assert_eq!(world.takes(ALICE, alice, BOB), []);
}

#[test]
fn what_is_published_again_is_not_there_twice_and_anew_drops_the_rest() {
    let (mut world, alice, bob) = world();
    world.publishes(BOB, bob, publish(&["a", "b", "a"], Some("last")));
    world.publishes(BOB, bob, publish(&["b", "c"], None));
    assert_eq!(world.key_packages(BOB, 1), Some(3));
    let bob = world.connect(BOB, 1);
    world.publishes(BOB, bob, PublishKeys { anew: true, ..publish(&["d"], None) });
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "d".into())]);
    assert_eq!(world.takes(ALICE, alice, BOB), [], "what opens the last-resort one is lost too");
}

#[test]
fn packages_have_their_limits() {
    let (mut world, _, bob) = world();
    let package = |byte, bytes| Body(vec![byte; bytes]);
    let many = |count: u8| (0..count).map(|byte| package(byte, 8)).collect::<Vec<_>>();
    let full = limits::KEY_PACKAGES_MAX as u8;
    let said = |packages| PublishKeys { packages, ..publish(&[], None) };
    let longest = limits::KEY_PACKAGE_BYTES_MAX;
    for (said, code) in [
        (said(vec![package(1, longest + 1)]), ErrorCode::TooLarge),
        (said(vec![package(1, 0)]), ErrorCode::Malformed),
        (said(many(full + 1)), ErrorCode::TooMany),
        (
            PublishKeys { last_resort: Some(package(1, longest + 1)), ..said(vec![]) },
            ErrorCode::TooLarge,
        ),
    ] {
        assert_eq!(world.asks(BOB, bob, ClientFrame::PublishKeys(said)), Err(code));
        assert_eq!(world.count(BOB, "keys"), 0, "nothing has changed");
    }
    world.publishes(BOB, bob, said(many(full)));
    let more = ClientFrame::PublishKeys(said(vec![package(200, 8)]));
    assert_eq!(world.asks(BOB, bob, more), Err(ErrorCode::TooMany), "with those that are left");
    let all = (0..full).map(|byte| package(byte, longest)).collect();
    world.publishes(BOB, bob, PublishKeys { anew: true, ..said(all) });
    assert_eq!(world.key_packages(BOB, 1), Some(100));
}

#[test]
fn each_device_gives_one_and_the_one_that_asks_of_its_own_account_none() {
    let (mut world, alice, first) = world();
    world.link(BOB, 2);
    let second = world.connect(BOB, 2);
    world.publishes(BOB, first, publish(&["a1", "a2"], None));
    world.publishes(BOB, second, publish(&["b1", "b2"], None));
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "a1".into()), (2, "b1".into())]);
    assert_eq!(world.takes(BOB, second, BOB), [(1, "a2".into())]);
    assert_eq!(world.takes(BOB, first, BOB), [(2, "b2".into())]);
    let none = world.fetches(ALICE, alice, fetch(BOB, 0, false));
    assert_eq!(none.packages, [], "nothing is taken unless it is asked for");
}

#[test]
fn packages_go_with_their_device_and_all_with_a_registration() {
    let (mut world, alice, bob) = world();
    world.link(BOB, 2);
    let second = world.connect(BOB, 2);
    world.publishes(BOB, bob, publish(&["a"], None));
    world.publishes(BOB, second, publish(&["b"], Some("last")));
    assert_eq!(world.asks(BOB, bob, enlist(1, "one", false)), Ok(None));
    let (device, target) = (DeviceId(1), DeviceId(2));
    world.account(BOB, AccountRequest::Remove { device, target });
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "a".into())]);
    assert_eq!(world.count(BOB, "keys"), 1);
    assert_eq!(world.count(BOB, "device_list"), 1, "its removal is an entry of its own");

    world.now += 24 * 3_600_000;
    world.register(BOB, 3);
    assert_eq!((world.count(BOB, "keys"), world.count(BOB, "device_list")), (0, 0));
    let keys = world.fetches(ALICE, alice, fetch(BOB, 1, true));
    assert_eq!((keys.first, keys.entries.len(), keys.packages.len()), (1, 0, 0));
    assert_eq!(world.key_packages(BOB, 3), None);
}

/// An earlier version of the server removes devices and knows nothing of their packages.
#[test]
fn packages_that_were_left_behind_are_nobodys() {
    let (mut world, alice, bob) = world();
    world.publishes(BOB, bob, publish(&["a"], None));
    world.query(BOB, "UPDATE device SET device = x'00000000000000aa'");
    world.restarts(BOB);
    assert_eq!(world.takes(ALICE, alice, BOB), []);
    assert_eq!(world.key_packages(BOB, 0xaa), None);
}

#[test]
fn a_list_grows_by_its_next_place_and_never_changes() {
    let (mut world, alice, bob) = world();
    for (place, text, outcome) in [
        (2, "two", Err(ErrorCode::StaleList)),
        (0, "none", Err(ErrorCode::Malformed)),
        (1, "", Err(ErrorCode::Malformed)),
        (1, "one", Ok(None)),
        (1, "one", Ok(None)),
        (1, "other", Err(ErrorCode::StaleList)),
        (3, "three", Err(ErrorCode::StaleList)),
        (2, "two", Ok(None)),
        (1, "one", Ok(None)),
        (3, "three", Ok(None)),
    ] {
        assert_eq!(world.asks(BOB, bob, enlist(place, text, false)), outcome, "{place} {text}");
    }
    let long = "x".repeat(limits::DEVICE_LIST_ENTRY_BYTES_MAX + 1);
    assert_eq!(world.asks(BOB, bob, enlist(4, &long, false)), Err(ErrorCode::TooLarge));
    for (after, first, entries) in [
        (0, 1, &["one", "two", "three"][..]),
        (2, 3, &["three"]),
        (3, 4, &[]),
        (9, 4, &[]),
        (u64::MAX, 4, &[]),
    ] {
        let keys = world.fetches(ALICE, alice, fetch(BOB, after, true));
        assert_eq!((keys.query, keys.first), (3, first));
        assert_eq!(keys.entries, bodies(entries), "after {after}");
    }
    world.restarts(BOB);
    assert_eq!(world.fetches(ALICE, alice, fetch(BOB, 2, false)).entries, bodies(&["three"]));
}

#[test]
fn a_list_begins_anew_by_the_primary_device_alone() {
    let (mut world, alice, bob) = world();
    world.link(BOB, 2);
    let second = world.connect(BOB, 2);
    for (place, text) in [(1, "one"), (2, "two")] {
        assert_eq!(world.asks(BOB, second, enlist(place, text, false)), Ok(None));
    }
    let anew = || enlist(1, "new", true);
    assert_eq!(world.asks(BOB, second, anew()), Err(ErrorCode::NotPrimary));
    assert_eq!(world.asks(BOB, bob, enlist(2, "new", true)), Err(ErrorCode::Malformed));
    assert_eq!(world.asks(BOB, bob, anew()), Ok(None));
    assert_eq!(world.asks(BOB, second, enlist(2, "newer", false)), Ok(None));
    assert_eq!(world.asks(BOB, bob, anew()), Ok(None), "said again, it drops nothing");
    let keys = world.fetches(ALICE, alice, fetch(BOB, 0, false));
    assert_eq!(keys.entries, bodies(&["new", "newer"]));
}

#[test]
fn a_list_has_1024_entries_and_no_more() {
    let (mut world, _, bob) = world();
    let entry = "x".repeat(limits::DEVICE_LIST_ENTRY_BYTES_MAX);
    for place in 1..=limits::DEVICE_LIST_MAX as u64 {
        world.wait(200);
        world.says(BOB, bob, &[enlist(place, &entry, false)]);
    }
    assert_eq!(world.asks(BOB, bob, enlist(1025, "x", false)), Err(ErrorCode::TooMany));
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let alice = world.connect_as(ALICE, 1, encoding).unwrap();
        let keys = world.fetches(ALICE, alice, fetch(BOB, 0, true));
        assert_eq!((keys.first, keys.entries.len()), (1, 1024), "one batch holds it");
    }
}

#[test]
fn who_is_not_registered_has_none_and_the_blocked_get_them_like_anybody() {
    let (mut world, alice, bob) = world();
    let outcome = world.asks(ALICE, alice, fetch(NOBODY, 0, true));
    assert_eq!(outcome, Err(ErrorCode::Unregistered));
    assert_eq!(world.count(NOBODY, "sqlite_master"), 0, "nobody leaves anything");
    world.publishes(BOB, bob, publish(&["a", "b"], None));
    let before = world.takes(ALICE, alice, BOB);
    set_person(&mut world, BOB, ALICE, blocked());
    let after = world.takes(ALICE, alice, BOB);
    assert_eq!((before.len(), after.len()), (1, 1));
}

#[test]
fn whoever_takes_a_package_pays_for_the_row() {
    let (mut world, alice, bob) = world();
    let rows = world.rows(BOB);
    world.publishes(BOB, bob, publish(&["a", "b"], Some("last")));
    assert_eq!(world.rows(BOB) - rows, 1, "all of a device's packages are a row");
    world.link(BOB, 2);
    let second = world.connect(BOB, 2);
    world.publishes(BOB, second, publish(&["c"], None));

    let (theirs, ours) = (world.usage(BOB), world.usage(ALICE));
    world.takes(ALICE, alice, BOB);
    let (they, we) = (world.usage(BOB), world.usage(ALICE));
    assert_eq!(they.rows_written - theirs.rows_written, 2, "one for each device");
    assert_eq!(they.spent - theirs.spent, 150, "that of asking for the usage");
    assert_eq!(we.rows_written - ours.rows_written, 0);
    assert_eq!(we.spent - ours.spent, 8 + 150 + 2 * 1000 + 150);
    let (theirs, ours) = (they, we);
    world.fetches(ALICE, alice, fetch(BOB, 0, false));
    let (they, we) = (world.usage(BOB), world.usage(ALICE));
    assert_eq!(they.rows_written, theirs.rows_written, "the list alone is read");
    assert_eq!(we.spent - ours.spent, 8 + 150 + 150);
}

#[test]
fn questions_have_a_rate_and_a_budget() {
    let (mut world, alice, _) = world();
    let at_once = 5 * limits::SEND_BURST as usize;
    let frames = vec![fetch(ALICE, 0, false); at_once + 1];
    for part in frames.chunks(limits::BATCH_FRAMES_MAX) {
        world.says(ALICE, alice, part);
    }
    let heard = world.hears(ALICE, alice);
    let given = heard.iter().filter(|frame| matches!(frame, ServerFrame::Keys(_))).count();
    assert_eq!(given, at_once);
    let Some(ServerFrame::Denied(denied)) = heard.last() else { panic!() };
    assert_eq!((denied.code, denied.retry_after), (ErrorCode::RateLimited, Some(200)));
    world.says(ALICE, alice, &[send(BOB, 1, 1, false)]);
    assert_eq!(refused(&world.hears(ALICE, alice)), [], "messages have a rate of their own");

    world.config.daily_budget = 1;
    world.restarts(BOB);
    let bob = world.connect_as(BOB, 1, Encoding::Cbor);
    assert_eq!(bob.unwrap_err().code, ErrorCode::BudgetExhausted);
}

#[test]
fn what_nobody_answers_is_asked_again() {
    let (mut world, alice, bob) = world();
    world.publishes(BOB, bob, publish(&["a", "b"], None));
    world.mute = Some(BOB);
    let outcome = world.asks(ALICE, alice, fetch(BOB, 0, true));
    assert_eq!(outcome, Err(ErrorCode::Unavailable));
    world.mute = None;
    assert_eq!(world.takes(ALICE, alice, BOB), [(1, "b".into())], "never the same twice");
}

/// Sixteen answers of half a mebibyte are as much as a call brings.
#[test]
fn sixteen_questions_go_in_one_call() {
    let (mut world, alice, _) = world();
    let before = world.called;
    world.says(ALICE, alice, &vec![fetch(BOB, 0, false); 40]);
    assert_eq!(world.called - before, 3);
    assert_eq!(world.hears(ALICE, alice).len() - 2, 40, "and the greeting");
}

#[test]
fn keys_are_deleted_with_the_account() {
    let (mut world, _, bob) = world();
    world.publishes(BOB, bob, publish(&["a"], None));
    assert_eq!(world.asks(BOB, bob, enlist(1, "one", false)), Ok(None));
    assert_eq!(world.account(BOB, AccountRequest::Delete(DeviceId(1))), AccountAnswer::Granted);
    for table in ["keys", "device_list"] {
        let left = world.query(BOB, "SELECT name FROM sqlite_master");
        let there = left.iter().any(|row| row[0] == estafette_relay::Value::Text(table.into()));
        assert!(!there || world.count(BOB, table) == 0, "{table}");
    }
}

#[test]
fn a_mailbox_that_asks_for_nothing_takes_nothing() {
    let (mut world, _, bob) = world();
    world.publishes(BOB, bob, publish(&["a"], None));
    world.calls(ALICE, BOB, vec![PeerItem::Keys { after: 0, packages: false }]);
    assert_eq!(world.key_packages(BOB, 1), Some(1));
}
