//! Who is there and who types: said while there is a connection, believed for as long as it is true.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::{Event, Input};
use estafette_protocol::limits::CHAT_STATE_LIFE;
use estafette_protocol::{Activity, ChatState, KeysChanged, Mark, Presence, ServerFrame};
use harness::*;

fn is_there(phone: &mut Phone, available: bool) -> Said {
    let effects = phone.client.set_available(phone.now, available).unwrap();
    phone.read(effects)
}

fn does(phone: &mut Phone, peer: u64, activity: Activity) -> Vec<ChatState> {
    let effects = phone.client.chat_state(phone.now, number(peer), activity).unwrap();
    phone.read(effects).chat_states()
}

fn presence(available: bool, watch: &[u64]) -> Presence {
    Presence { available, watch: watch.iter().map(|digits| number(*digits)).collect() }
}

#[test]
fn who_says_nothing_costs_nothing() {
    let mut phone = Phone::connected();
    assert!(is_there(&mut phone, false).batches.is_empty());
    assert!(phone.opens_chat(None).batches.is_empty());
    phone.input(Input::Closed { code: None });
    assert!(phone.connects().batches.is_empty());
    assert!(phone.wait(20 * SECOND).batches.is_empty());
}

#[test]
fn what_is_to_be_known_is_said_when_it_changes_and_on_each_connection() {
    let mut phone = Phone::new();
    assert!(is_there(&mut phone, true).batches.is_empty(), "there is no connection yet");
    let said = phone.connects();
    assert_eq!(said.presences(), [presence(true, &[])]);
    assert!(is_there(&mut phone, true).batches.is_empty(), "that is said");
    let said = phone.opens_chat(Some(BOB));
    assert_eq!(said.presences(), [presence(true, &[BOB])]);
    let said = phone.opens_chat(Some(CAROL));
    assert_eq!(said.presences(), [presence(true, &[CAROL])]);
    phone.input(Input::Closed { code: None });
    assert!(is_there(&mut phone, false).batches.is_empty());
    assert_eq!(phone.connects().presences(), [presence(false, &[CAROL])]);
    assert_eq!(phone.opens_chat(None).presences(), [presence(false, &[])]);
    // Which is what a new socket says anyway.
    phone.input(Input::Closed { code: None });
    assert!(phone.connects().presences().is_empty());
    assert!(phone.opens_chat(Some(ALICE)).presences().is_empty(), "nobody watches themselves");
}

#[test]
fn the_peer_of_the_open_chat_comes_and_goes() {
    let mut phone = Phone::connected();
    phone.opens_chat(Some(BOB));
    let told = |said: &Said| said.events.clone();
    let event = |available, last_seen| Event::Presence { peer: number(BOB), available, last_seen };
    assert_eq!(told(&phone.hears(vec![seen(BOB, true, None)])), [event(true, None)]);
    let gone = phone.hears(vec![seen(BOB, false, Some(START))]);
    assert_eq!(told(&gone), [event(false, Some(START))]);
    // An answer about a chat that is closed by now concerns nobody.
    phone.opens_chat(Some(CAROL));
    assert!(phone.hears(vec![seen(BOB, true, None)]).events.is_empty());
}

/// How often the presence is said in so long, on a connection that stays.
fn said_in(phone: &mut Phone, time: u64) -> usize {
    let steps = (0..time / SECOND).map(|_| {
        phone.input(Input::Pong);
        phone.wait(SECOND).presences().len()
    });
    steps.sum()
}

#[test]
fn who_is_not_answered_for_is_asked_for_again() {
    let mut phone = Phone::connected();
    phone.opens_chat(Some(BOB));
    assert_eq!(said_in(&mut phone, 7 * SECOND), 0);
    assert_eq!(said_in(&mut phone, 3 * SECOND), 1);
    assert_eq!(said_in(&mut phone, 13 * SECOND), 0);
    assert_eq!(said_in(&mut phone, 7 * SECOND), 1);
    let hour = said_in(&mut phone, HOUR);
    assert!((55..=80).contains(&hour), "about once a minute: {hour}");
    // Saying something else does not put it off, and an answer ends it.
    assert_eq!(is_there(&mut phone, true).presences(), [presence(true, &[BOB])]);
    phone.hears(vec![seen(BOB, false, None)]);
    assert_eq!(said_in(&mut phone, HOUR), 0);
    // The next chat begins anew, and so does the next connection.
    phone.opens_chat(Some(CAROL));
    assert_eq!(said_in(&mut phone, 10 * SECOND), 1);
    phone.hears(vec![seen(CAROL, false, None)]);
    phone.input(Input::Closed { code: None });
    assert_eq!(phone.connects().presences().len(), 1);
    assert_eq!(said_in(&mut phone, 10 * SECOND), 1);
    phone.opens_chat(None);
    assert_eq!(said_in(&mut phone, HOUR), 0);
}

#[test]
fn typing_is_said_at_once_or_never() {
    let mut phone = Phone::new();
    assert!(does(&mut phone, BOB, Activity::Composing).is_empty());
    assert!(phone.connects().chat_states().is_empty(), "it was not kept");
    let composing = ChatState { to: number(BOB), state: Activity::Composing };
    assert_eq!(does(&mut phone, BOB, Activity::Composing), [composing]);
    phone.pass(2999);
    assert!(does(&mut phone, BOB, Activity::Composing).is_empty());
    phone.pass(1);
    assert_eq!(does(&mut phone, BOB, Activity::Composing), [composing]);
    // Something else leaves at once.
    assert_eq!(does(&mut phone, BOB, Activity::Paused).len(), 1);
    assert_eq!(does(&mut phone, CAROL, Activity::Paused).len(), 1);
    assert_eq!(does(&mut phone, BOB, Activity::Composing), [composing]);
    assert!(does(&mut phone, ALICE, Activity::Composing).is_empty());
    phone.input(Input::Closed { code: None });
    phone.connects();
    assert_eq!(does(&mut phone, BOB, Activity::Composing), [composing], "nobody has heard it");
}

#[test]
fn an_acknowledgement_that_waits_goes_with_it() {
    let mut phone = Phone::connected();
    phone.hears(vec![receipt(id(9, 1), BOB, &[], Mark::Delivered)]);
    let effects = phone.client.chat_state(phone.now, number(BOB), Activity::Recording).unwrap();
    let said = phone.read(effects);
    assert_eq!((said.batches.len(), said.acks()), (1, vec![id(9, 1)]));
}

#[test]
fn what_a_peer_does_is_over_after_a_while() {
    let mut phone = Phone::connected();
    let bob = |activity| (number(BOB), activity);
    let said = phone.hears(vec![doing(BOB, Activity::Composing)]);
    assert_eq!(said.activities(), [bob(Activity::Composing)]);
    assert_eq!(phone.client.wake_at(), Some(phone.now + CHAT_STATE_LIFE));
    phone.wait(3 * SECOND);
    assert!(phone.hears(vec![doing(BOB, Activity::Composing)]).activities().is_empty());
    assert!(phone.wait(CHAT_STATE_LIFE - 1).activities().is_empty());
    assert_eq!(phone.wait(1).activities(), [bob(Activity::Paused)]);
    assert!(phone.wait(10 * SECOND).activities().is_empty());
    // Without a connection nobody would be heard to stop.
    phone.hears(vec![doing(BOB, Activity::Recording)]);
    let said = phone.input(Input::Closed { code: None });
    assert_eq!(said.activities(), [bob(Activity::Paused)]);
    phone.connects();
    let said = phone.hears(vec![doing(BOB, Activity::Recording)]);
    assert_eq!(said.activities(), [bob(Activity::Recording)]);
}

#[test]
fn what_a_peer_does_is_over_when_they_say_so_or_write() {
    let mut phone = Phone::connected();
    let bob = |activity| (number(BOB), activity);
    let said = phone.hears(vec![doing(BOB, Activity::Composing), doing(BOB, Activity::Recording)]);
    assert_eq!(said.activities(), [bob(Activity::Composing), bob(Activity::Recording)]);
    assert_eq!(
        phone.hears(vec![doing(BOB, Activity::Paused)]).activities(),
        [bob(Activity::Paused)]
    );
    assert!(phone.hears(vec![doing(BOB, Activity::Paused)]).activities().is_empty());
    phone.hears(vec![doing(BOB, Activity::Composing), doing(CAROL, Activity::Composing)]);
    let said = phone.hears(vec![deliver(BOB, 5, 1, "there")]);
    assert_eq!(said.activities(), [bob(Activity::Paused)], "Carol types on");
    // The same message again is not news.
    phone.hears(vec![doing(BOB, Activity::Composing)]);
    assert!(phone.hears(vec![deliver(BOB, 5, 1, "there")]).activities().is_empty());
}

#[test]
fn a_crowd_that_types_is_bounded() {
    let mut phone = Phone::connected();
    let crowd = (1..=400).map(|n| doing(BOB + 1000 + n, Activity::Composing));
    let crowd: Vec<_> = crowd.collect();
    let told = phone.hears(crowd[..200].to_vec()).activities().len()
        + phone.hears(crowd[200..].to_vec()).activities().len();
    assert_eq!(told, 256);
    assert_eq!(phone.wait(CHAT_STATE_LIFE).activities().len(), 256);
}

#[test]
fn that_somebody_has_new_keys_is_told_and_kept_nowhere() {
    let mut phone = Phone::connected();
    phone.opens_chat(Some(BOB));
    let changed = ServerFrame::KeysChanged(KeysChanged { from: number(BOB), at: START });
    let said = phone.hears(vec![changed]);
    assert_eq!(said.events, [Event::KeysChanged { peer: number(BOB), at: START }]);
    assert!(said.acks().is_empty());
    assert!(phone.screen(BOB).is_empty());
}
