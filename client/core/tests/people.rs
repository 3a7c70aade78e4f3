//! What the store knows of people: who is blocked, who is a stranger, and what of the contacts the
//! mailbox is still to be told.
#![allow(clippy::unwrap_used)]

mod harness;

use estafette_core::{Sharing, Store};
use harness::*;

/// A store, and a way to lose the process.
fn reopened(store: Store) -> Store {
    Store::on(store.into_connection()).unwrap()
}

#[test]
fn the_blocked_are_known_without_the_server() {
    let mut phone = Phone::connected();
    let blocked = |phone: &Phone| {
        [BOB, CAROL].map(|digits| phone.client.store().is_blocked(number(digits)).unwrap())
    };
    assert_eq!(blocked(&phone), [false, false]);
    phone.client.store().set_blocked([number(BOB), number(BOB)]).unwrap();
    phone = phone.crashes(2);
    assert_eq!(blocked(&phone), [true, false]);
    phone.client.store().set_blocked([number(CAROL)]).unwrap();
    assert_eq!(blocked(&phone), [false, true]);
    phone.client.store().set_blocked([]).unwrap();
    assert_eq!(blocked(&phone.crashes(3)), [false, false]);
}

#[test]
fn a_stranger_is_one_also_before_the_first_message() {
    let mut phone = Phone::connected();
    let stranger =
        |phone: &Phone, digits| phone.client.store().is_stranger(number(digits)).unwrap();
    assert!(stranger(&phone, BOB) && !stranger(&phone, ALICE));
    phone.hears(vec![deliver(BOB, 5, 1, "you won")]);
    assert!(stranger(&phone, BOB));
    phone.client.set_contact(number(BOB), "Bob").unwrap();
    assert!(!stranger(&phone, BOB));
    phone.client.set_contact(number(BOB), "").unwrap();
    assert!(stranger(&phone, BOB));
    phone.sends(BOB, "who is this?");
    assert!(!stranger(&phone, BOB) && stranger(&phone, CAROL));
}

#[test]
fn contacts_that_are_not_shared_are_told_to_nobody() {
    let store = Store::in_memory().unwrap();
    store.set_contact(number(BOB), "Bob").unwrap();
    store.set_contact(number(CAROL), "Carol").unwrap();
    store.set_contact(number(CAROL), "").unwrap();
    assert_eq!((store.sharing().unwrap(), store.untold().unwrap()), (Sharing::No, vec![]));
}

#[test]
fn shared_contacts_are_told_once_each_whatever_happens() {
    let mut store = Store::in_memory().unwrap();
    store.set_contact(number(BOB), "Bob").unwrap();
    store.set_sharing(Sharing::Yes).unwrap();
    assert_eq!(store.untold().unwrap(), [(number(BOB), true)]);
    store.told(number(BOB), true).unwrap();
    assert_eq!(store.untold().unwrap(), []);

    // Another name is nobody's business.
    store.set_contact(number(BOB), "Robert").unwrap();
    store.set_contact(number(CAROL), "").unwrap();
    assert_eq!(store.untold().unwrap(), []);

    store.set_contact(number(CAROL), "Carol").unwrap();
    store.set_contact(number(BOB), "").unwrap();
    store = reopened(store);
    let mut untold = vec![(number(BOB), false), (number(CAROL), true)];
    untold.sort_unstable();
    assert_eq!(store.untold().unwrap(), untold);
    // An answer to what is no longer so settles nothing.
    store.told(number(BOB), true).unwrap();
    store.told(number(CAROL), true).unwrap();
    assert_eq!(store.untold().unwrap(), [(number(BOB), false)]);

    store.set_sharing(Sharing::TakeBack).unwrap();
    store = reopened(store);
    assert_eq!((store.sharing().unwrap(), store.untold().unwrap()), (Sharing::TakeBack, vec![]));
    store.set_contact(number(BOB), "Bob").unwrap();
    assert_eq!(store.untold().unwrap(), []);
    store.set_sharing(Sharing::Yes).unwrap();
    assert_eq!(store.untold().unwrap().len(), 2);
}

/// What breaks if these numbers change: a mailbox that keeps an address book, or never gets it.
#[test]
fn what_is_stored_keeps_its_meaning() {
    for (stored, sharing) in [(0, Sharing::No), (1, Sharing::Yes), (2, Sharing::TakeBack)] {
        let connection = Store::in_memory().unwrap().into_connection();
        let row = format!(
            "INSERT INTO setting (name, value) VALUES ('sharing', {stored});
             INSERT INTO blocked (number) VALUES ({BOB});
             INSERT INTO untold (number) VALUES ({CAROL});"
        );
        connection.execute_batch(&row).unwrap();
        let store = Store::on(connection).unwrap();
        assert_eq!(store.sharing(), Ok(sharing));
        assert_eq!(store.is_blocked(number(BOB)), Ok(true));
        assert_eq!(store.untold().unwrap(), [(number(CAROL), false)]);
    }
}
