//! A server that lies: what it can make this device show, seal and believe.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use estafette_core::mls::{AccountSecret, Leaf, Suspicion};
use estafette_core::{Content, Event, Input, Unopened};
use estafette_protocol::{
    Body, ClientFrame, ConversationId, Deliver, DeviceId, KeysChanged, MessageId, News, ServerFrame,
};
use estafette_testkit::{People, account_secret};
use harness::*;

const GHOST: DeviceId = DeviceId(0x6057);

fn bob() -> Leaf {
    Leaf { account: number(BOB), device: TABLET }
}

fn chat() -> ConversationId {
    ConversationId::direct(number(ALICE), number(BOB))
}

/// Alice and Bob have talked.
fn talking() -> Phone {
    let mut phone = Phone::connected();
    phone.hears(vec![deliver(BOB, 5, 1, "hello")]);
    let (id, _) = phone.sends(BOB, "hi");
    phone.hears(vec![sent(&[id])]);
    phone
}

/// The server delivers these bytes, as it likes.
fn delivers(phone: &mut Phone, from: u64, device: DeviceId, id: MessageId, body: Body) -> Said {
    let (from, after, to) = (number(from), None, None);
    let deliver = Deliver { id, from, device, at: START, body, after, to };
    phone.input(Input::Message(phone.encoding.encode(&[ServerFrame::Deliver(deliver)])))
}

fn is_forged(said: &Said) -> bool {
    let shown = &said.received()[0];
    let damaged = matches!(shown.content(), Ok(Content::Unopened(Unopened::Damaged)));
    damaged && said.events.iter().any(|event| matches!(event, Event::Forged { .. }))
}

fn look(phone: &mut Phone) -> Said {
    let news = ServerFrame::News(News { conversations: vec![chat()] });
    phone.input(Input::Message(phone.encoding.encode(&[news, drained()])))
}

fn says_keys_changed(phone: &mut Phone) -> Said {
    let changed = ServerFrame::KeysChanged(KeysChanged { from: number(BOB), at: START });
    phone.input(Input::Message(phone.encoding.encode(&[changed])))
}

#[test]
fn a_message_is_of_whom_it_is_and_under_its_id() {
    let mut phone = talking();
    let sealed = people(|people| people.seal(bob(), number(ALICE), id(5, 2), b"genuine"));
    // Under another id, and so again where it was shown.
    assert!(is_forged(&delivers(&mut phone, BOB, TABLET, id(5, 3), sealed.clone())));
    // From another device of his, and of somebody else's.
    let other = people(|people| people.seal(bob(), number(ALICE), id(5, 4), b"genuine"));
    assert!(is_forged(&delivers(&mut phone, BOB, GHOST, id(5, 4), other)));
    let other = people(|people| people.seal(bob(), number(ALICE), id(5, 5), b"genuine"));
    let said = delivers(&mut phone, CAROL, TABLET, id(5, 5), other);
    assert!(!format!("{:?}", said.received()).contains("genuine"));
    // Changed by a bit, wherever.
    let whole = people(|people| people.seal(bob(), number(ALICE), id(5, 6), b"genuine"));
    for (n, at) in (0..whole.0.len()).step_by(17).enumerate() {
        let mut changed = whole.clone();
        changed.0[at] ^= 1;
        let said = delivers(&mut phone, BOB, TABLET, id(50 + n as u64, 6), changed);
        let words = said.received().iter().any(|message| message.body == b"genuine");
        assert!(!words, "bit {at}");
    }
    // Without being sealed at all.
    assert!(is_forged(&delivers(&mut phone, BOB, TABLET, id(5, 7), Body(b"genuine".to_vec()))));
    assert!(!phone.screen_says("genuine"));
}

#[test]
fn who_is_let_in_unlisted_is_found_out_and_reads_nothing() {
    let mut phone = talking();
    let ghost = Leaf { account: number(BOB), device: GHOST };
    people(|people| people.let_in(ghost, chat()));
    let mut said = look(&mut phone);
    said.events.extend(phone.wait(10 * SECOND).events);
    let found = |event: &Event| matches!(event, Event::Suspicious { suspicion: Suspicion::Ghost(leaf), .. } if *leaf == ghost);
    assert!(said.events.iter().any(found), "{:?}", said.events);
    // Bob's device has not followed either.
    people(|people| people.enters(bob(), chat()));
    look(&mut phone);
    let (id, said) = phone.sends(BOB, "for Bob alone");
    assert_eq!(said.sends().len(), 1, "{said:?}");
    let sealed = last_sealed(id);
    assert!(!people(|people| people.opens(ghost, chat(), &sealed)));
}

#[test]
fn a_key_package_of_somebody_else_is_not_taken() {
    let mut phone = Phone::connected();
    let mallory = Leaf { account: number(CAROL), device: GHOST };
    people(|people| people.swap_packages(bob(), mallory));
    let (_, said) = phone.sends(BOB, "for Bob");
    assert!(said.sends().is_empty(), "nothing is sealed for Mallory");
    assert_eq!(phone.client.pending().messages, 1);
}

#[test]
fn a_list_that_does_not_go_on_is_not_believed() {
    let mut phone = talking();
    let ghost = Leaf { account: number(BOB), device: GHOST };
    let real = account_secret(number(BOB));
    // Begun anew under the same key; with an entry that nobody signed; with none.
    let forked = People::list_of(ghost, &real);
    let before = people(|people| people.tell_list(number(BOB), forked.clone()));
    let mut unsigned = before.clone();
    unsigned.push(Body(vec![0; 200]));
    for list in [forked, unsigned, Vec::new()] {
        people(|people| people.tell_list(number(BOB), list));
        let said = says_keys_changed(&mut phone);
        let broken = |event: &Event| matches!(event, Event::ListBroken { .. });
        assert!(said.events.iter().any(broken), "{:?}", said.events);
        let changed = |event: &Event| matches!(event, Event::KeyChanged { .. });
        assert!(!said.events.iter().any(changed), "{:?}", said.events);
    }
    people(|people| people.tell_list(number(BOB), before));
    assert_eq!(phone.sends(BOB, "as before").1.sends().len(), 1);
}

#[test]
fn another_key_is_told_and_what_was_compared_counts_no_more() {
    let mut phone = talking();
    let (own, peer) = (number(ALICE), number(BOB));
    let before = phone.client.store().safety(own, peer).unwrap().unwrap();
    assert!(!before.verified);
    assert!(phone.client.store().verify(peer, true).unwrap());
    assert!(phone.client.store().safety(own, peer).unwrap().unwrap().verified);
    let another = People::list_of(bob(), &AccountSecret::new([9; 32]));
    people(|people| people.tell_list(peer, another));
    let said = says_keys_changed(&mut phone);
    assert!(said.events.contains(&Event::KeyChanged { account: peer }), "{:?}", said.events);
    let after = phone.client.store().safety(own, peer).unwrap().unwrap();
    assert!(!after.verified && after.number != before.number);
}

#[test]
fn what_is_of_an_epoch_that_never_was_is_given_up() {
    let mut phone = talking();
    let mut sealed = people(|people| people.seal(bob(), number(ALICE), id(5, 2), b"genuine"));
    // The epoch's number, in the header that anyone can read.
    let at = 2 + 2 + 1 + 16;
    sealed.0[at + 6] = 9;
    let mut said = delivers(&mut phone, BOB, TABLET, id(5, 2), sealed);
    said.events.extend(phone.wait(10 * SECOND).events);
    assert!(is_forged(&said), "{:?}", said.events);
    assert_eq!(phone.sends(BOB, "on we go").1.sends().len(), 1);
}

/// A server that says that there is more, and does not tell it, is asked again later.
#[test]
fn a_log_that_is_held_back_is_not_asked_for_in_haste() {
    let mut phone = talking();
    people(|people| people.holds_back(chat(), 3));
    let asked = |said: &Said| {
        let looks = said.asked.iter().filter(|frame| matches!(frame, ClientFrame::FetchLog(_)));
        looks.count()
    };
    let mut looks = asked(&look(&mut phone));
    looks += asked(&phone.wait(20 * SECOND));
    assert!((2..=8).contains(&looks), "{looks} in twenty seconds");
    people(|people| people.holds_back(chat(), 0));
    for _ in 0..5 {
        phone.input(Input::Pong);
        phone.wait(20 * SECOND);
    }
    assert_eq!(phone.sends(BOB, "on we go").1.sends().len(), 1);
}
