//! The account moves to another number: whom it knows is told once, and the store goes along.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::{Client, ClientError, Config, Content, Identity, Moved, Store, StoreError};
use estafette_protocol::{DeviceId, PhoneNumber};
use harness::*;

const DAVE: u64 = 33_600_000_044;
const NEW: u64 = 33_600_000_099;

/// Alice, who wrote to Bob, named Carol, was written to by Dave, and blocked somebody.
fn known() -> Phone {
    let mut phone = Phone::connected();
    let (id, _) = phone.sends(BOB, "hi");
    phone.hears(vec![sent(&[id]), deliver(DAVE, 5, 1, "you won")]);
    let store = phone.client.store();
    store.set_contact(number(CAROL), "Carol").unwrap();
    store.set_contact(number(DAVE + 1), "Mallory").unwrap();
    store.set_contact(number(NEW), "my new phone").unwrap();
    store.set_blocked([number(DAVE + 1)]).unwrap();
    phone
}

fn tells(phone: &mut Phone, to: u64) -> (usize, Said) {
    let (count, effects) = phone.client.tell_moved(phone.now, number(to)).unwrap();
    (count, phone.read(effects))
}

/// Who is told of which number.
fn told(said: &Said) -> Vec<(PhoneNumber, PhoneNumber)> {
    let told = said.sends().into_iter().map(|send| match Content::read(&send.body.0).unwrap() {
        Content::Moved(Moved { to }) => (send.to, to),
        other => panic!("{other:?}"),
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    told
}

#[test]
fn whom_the_account_knows_is_told_and_nobody_else() {
    let mut phone = known();
    let (count, said) = tells(&mut phone, NEW);
    let mut expected = vec![(number(BOB), number(NEW)), (number(CAROL), number(NEW))];
    expected.sort_unstable();
    assert_eq!((count, told(&said)), (2, expected));
    assert_eq!(phone.client.pending().messages, 2);
    assert_eq!(phone.client.history(number(CAROL), 9).unwrap().len(), 1, "it stands in the chat");
}

#[test]
fn they_are_told_once_whatever_ends_the_program() {
    let mut phone = known();
    let mut effects_lost = phone.client.tell_moved(phone.now, number(NEW)).unwrap();
    effects_lost.1.clear();
    let mut phone = phone.crashes(2);
    assert_eq!(tells(&mut phone, NEW).0, 0);
    let said = phone.connects();
    assert_eq!(told(&said).len(), 2, "what was queued is sent");
    let ids: Vec<_> = said.sends().iter().map(|send| send.id).collect();
    phone.hears(vec![sent(&ids)]);
    assert!(phone.client.pending().is_empty());
    assert_eq!(tells(&mut phone, NEW).0, 0);
    // Of another number they have not been told.
    assert_eq!(tells(&mut phone, NEW + 1).0, 3);
}

#[test]
fn all_are_told_or_none() {
    let config = Config { outbox_max: 1, ..Config::default() };
    let mut phone = Phone::with(Store::in_memory().unwrap(), 1, START, config);
    for peer in [BOB, CAROL] {
        phone.client.set_contact(number(peer), "somebody").unwrap();
    }
    let refused = phone.client.tell_moved(phone.now, number(NEW)).unwrap_err();
    assert_eq!(refused, ClientError::OutboxFull(0));
    assert!(phone.client.pending().is_empty());
}

#[test]
fn the_store_goes_along_and_is_nobody_elses() {
    let mut phone = known();
    tells(&mut phone, NEW);
    let store = phone.client.into_store();
    store.move_to(number(NEW)).unwrap();
    // Twice, as after a crash.
    store.move_to(number(NEW)).unwrap();
    let store = Store::on(store.into_connection()).unwrap();
    let me = |account| Identity { account: number(account), device: DeviceId(9) };
    let old = Client::start(store, me(ALICE), &secrets(), entropy(3), START);
    assert_eq!(old.err(), Some(StoreError::OtherAccount));
}

#[test]
fn what_was_said_under_the_old_number_is_still_there() {
    let mut phone = known();
    tells(&mut phone, NEW);
    let store = phone.client.into_store();
    store.move_to(number(NEW)).unwrap();
    let me = Identity { account: number(NEW), device: DeviceId(9) };
    let mut client = Client::start(store, me, &secrets(), entropy(3), START).unwrap();
    let texts: Vec<_> = client.history(number(BOB), 9).unwrap();
    assert_eq!((texts.len(), &texts[0].body[..]), (2, &b"hi"[..]));
    assert!(!client.store().is_stranger(number(NEW)).unwrap(), "that is oneself");
    let (id, _) = client.send(START, number(BOB), b"from here".to_vec()).unwrap();
    assert_eq!(id.number, 3, "its stream goes on");
}
