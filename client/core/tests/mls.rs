//! Groups, without an engine or a server: made, joined, changed, sealed and opened; and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use estafette_core::Store;
use estafette_core::mls::{
    Change, Leaf, Lists, Made, Mls, MlsError, OpenError, Suspicion, header, safety_number,
};
use estafette_protocol::{ConversationId, DeviceId, Member, MessageId, PhoneNumber, Role, Roster};

/// What every account lists.
#[derive(Default, Clone)]
struct Book(Rc<RefCell<BTreeMap<Leaf, [u8; 32]>>>);

impl Lists for Book {
    fn identity_key(&self, leaf: Leaf) -> Option<[u8; 32]> {
        self.0.borrow().get(&leaf).copied()
    }
}

struct Device {
    leaf: Leaf,
    seed: [u8; 32],
    store: Store,
    mls: Mls,
    book: Book,
    sent: u64,
}

fn number(last: u64) -> PhoneNumber {
    PhoneNumber::from_digits(33_600_000_000 + last).unwrap()
}

impl Device {
    fn new(account: u64, device: u64, book: &Book) -> Self {
        let leaf = Leaf { account: number(account), device: DeviceId(device) };
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&leaf.to_bytes());
        let unlisted = Self::unlisted(leaf, seed, book);
        book.0.borrow_mut().insert(leaf, unlisted.mls.identity_key());
        unlisted
    }

    fn unlisted(leaf: Leaf, seed: [u8; 32], book: &Book) -> Self {
        let (store, mls) = (Store::in_memory().unwrap(), Mls::new(leaf, &seed));
        Self { leaf, seed, store, mls, book: book.clone(), sent: 0 }
    }

    fn package(&mut self) -> (Leaf, Vec<u8>) {
        let mut packages = self.mls.key_packages(&self.store, 1, false).unwrap();
        (self.leaf, packages.pop().unwrap())
    }

    fn creates(
        &mut self,
        id: ConversationId,
        roster: Option<&Roster>,
        with: &[(Leaf, Vec<u8>)],
    ) -> Made {
        let made = self.mls.create(&self.store, id, roster, with, &self.book).unwrap();
        self.mls.confirm(&self.store, id).unwrap();
        made
    }

    fn joins(&mut self, id: ConversationId, welcome: &Made) {
        self.mls.join_welcome(&self.store, id, welcome.welcome.as_ref().unwrap()).unwrap();
    }

    fn seals(&mut self, id: ConversationId, text: &str) -> Vec<u8> {
        self.sent += 1;
        let message = MessageId { stream: self.leaf.device.0, number: self.sent };
        self.mls.seal(&self.store, id, message, text.as_bytes()).unwrap().1
    }

    fn opens(&mut self, id: ConversationId, sealed: &[u8]) -> Result<(Leaf, String), OpenError> {
        let opened = self.mls.open(&self.store, id, sealed)?;
        assert_eq!(opened.message.stream, opened.from.device.0);
        Ok((opened.from, String::from_utf8(opened.plaintext).unwrap()))
    }

    fn follows(&mut self, id: ConversationId, made: &Made, by: Leaf) -> Result<(), MlsError> {
        self.mls.receive_commit(&self.store, id, &made.commit, by, &self.book).map(drop)
    }

    fn commits(&mut self, id: ConversationId, change: Change) -> Made {
        self.mls.commit(&self.store, id, change, &self.book).unwrap()
    }

    fn confirms(&mut self, id: ConversationId) {
        self.mls.confirm(&self.store, id).unwrap();
    }

    fn roster(&mut self, id: ConversationId) -> Option<Roster> {
        self.mls.roster(&self.store, id).unwrap()
    }

    fn fingerprint(&mut self, id: ConversationId) -> Vec<u8> {
        self.mls.fingerprint(&self.store, id).unwrap().unwrap()
    }

    fn index_of(&mut self, id: ConversationId, leaf: Leaf) -> u32 {
        let occupants = self.mls.occupants(&self.store, id).unwrap();
        occupants.iter().find(|occupant| occupant.leaf == Some(leaf)).unwrap().index
    }

    /// The store is deleted. The key is elsewhere.
    fn loses_its_store(&mut self) {
        self.store = Store::in_memory().unwrap();
        self.mls = Mls::new(self.leaf, &self.seed);
    }

    /// The program is started again.
    fn restarts(&mut self) {
        self.mls = Mls::new(self.leaf, &self.seed);
    }
}

/// What people have read out to each other stays what it was.
const SAFETY: &str = "348156454941984080500421165846652214099763529818998372168254";

fn direct() -> ConversationId {
    ConversationId::direct(number(1), number(2))
}

/// Alice and Bob talk.
fn pair() -> (Device, Device) {
    let book = Book::default();
    let (mut alice, mut bob) = (Device::new(1, 10, &book), Device::new(2, 20, &book));
    let made = alice.creates(direct(), None, &[bob.package()]);
    bob.joins(direct(), &made);
    (alice, bob)
}

#[test]
fn two_people_talk() {
    let (mut alice, mut bob) = pair();
    let (id, leaf) = (direct(), alice.leaf);
    for text in ["hi", "are you there?"] {
        let sealed = alice.seals(id, text);
        assert_eq!(header(&sealed).unwrap().conversation, id);
        assert_eq!(header(&sealed).unwrap().epoch, 1);
        assert_eq!(bob.opens(id, &sealed).unwrap(), (leaf, text.to_owned()));
        assert_eq!(bob.opens(id, &sealed), Err(OpenError::Duplicate));
        assert_eq!(alice.opens(id, &sealed), Err(OpenError::Own));
        alice.restarts();
        bob.restarts();
        let answer = bob.seals(id, "yes");
        assert_eq!(alice.opens(id, &answer).unwrap().1, "yes");
    }
}

#[test]
fn a_last_resort_package_is_used_again_and_again() {
    let book = Book::default();
    let (mut alice, mut bob) = (Device::new(1, 10, &book), Device::new(2, 20, &book));
    let last = bob.mls.key_packages(&bob.store, 1, true).unwrap().pop().unwrap();
    for group in 1..=3 {
        let id = ConversationId::group(group);
        let both = roster(&[(1, Role::Owner), (2, Role::Member)]);
        let made = alice.creates(id, Some(&both), &[(bob.leaf, last.clone())]);
        bob.joins(id, &made);
        let sealed = alice.seals(id, "hi");
        assert_eq!(bob.opens(id, &sealed).unwrap().1, "hi");
    }
}

#[test]
fn a_safety_number_is_the_same_on_both_sides_and_pinned() {
    let (one, other) = ((number(1), [1; 32]), (number(2), [2; 32]));
    let digits = safety_number(one, other);
    assert_eq!(digits, safety_number(other, one));
    assert_eq!(digits, SAFETY);
    assert_ne!(digits, safety_number(one, (number(2), [3; 32])));
    assert_ne!(digits, safety_number(one, (number(3), [2; 32])));
}

#[test]
fn late_messages_open_in_any_order() {
    let (mut alice, mut bob) = pair();
    let sealed: Vec<_> = (0..60).map(|n| alice.seals(direct(), &n.to_string())).collect();
    for (n, sealed) in sealed.iter().enumerate().rev() {
        assert_eq!(bob.opens(direct(), sealed).unwrap().1, n.to_string());
    }
}

#[test]
fn a_device_is_added_and_removed() {
    let (mut alice, mut bob) = pair();
    let id = direct();
    let mut laptop = Device::new(2, 21, &bob.book.clone());
    let before = alice.seals(id, "before");
    let made = alice.commits(id, Change { add: vec![laptop.package()], ..Change::default() });
    alice.confirms(id);
    bob.follows(id, &made, alice.leaf).unwrap();
    laptop.joins(id, &made);
    assert_eq!(bob.opens(id, &before).unwrap().1, "before", "of an epoch that is over, and late");
    assert_eq!(laptop.opens(id, &before), Err(OpenError::PastEpoch));
    let sealed = alice.seals(id, "to all");
    assert_eq!(laptop.opens(id, &sealed).unwrap().1, "to all");
    assert_eq!(bob.opens(id, &sealed).unwrap().1, "to all");
    assert_eq!(alice.fingerprint(id), laptop.fingerprint(id));
    let index = bob.index_of(id, laptop.leaf);
    let made = bob.commits(id, Change { remove: vec![index], ..Change::default() });
    bob.confirms(id);
    alice.follows(id, &made, bob.leaf).unwrap();
    let sealed = alice.seals(id, "not to the laptop");
    assert_eq!(bob.opens(id, &sealed).unwrap().1, "not to the laptop");
    assert!(matches!(laptop.opens(id, &sealed), Err(OpenError::FutureEpoch)));
    let out =
        laptop.mls.receive_commit(&laptop.store, id, &made.commit, bob.leaf, &laptop.book.clone());
    assert!(out.unwrap().out);
}

#[test]
fn a_device_that_lost_its_store_joins_anew() {
    let (mut alice, mut bob) = pair();
    let id = direct();
    let made = alice.commits(id, Change::default());
    alice.confirms(id);
    bob.loses_its_store();
    let rejoin = bob.mls.join_external(&bob.store, id, &made.info).unwrap();
    assert_eq!(rejoin.epoch, 2);
    bob.confirms(id);
    alice.follows(id, &rejoin, bob.leaf).unwrap();
    assert_eq!(alice.mls.occupants(&alice.store, id).unwrap().len(), 2);
    assert_eq!(alice.fingerprint(id), bob.fingerprint(id));
    let sealed = alice.seals(id, "again");
    assert_eq!(bob.opens(id, &sealed).unwrap().1, "again");
    bob.restarts();
    let sealed = bob.seals(id, "and back");
    assert_eq!(alice.opens(id, &sealed).unwrap().1, "and back");
}

#[test]
fn of_two_commits_the_loser_follows_the_winner() {
    let (mut alice, mut bob) = pair();
    let id = direct();
    let (winner, _loser) =
        (alice.commits(id, Change::default()), bob.commits(id, Change::default()));
    alice.follows(id, &winner, alice.leaf).unwrap();
    bob.follows(id, &winner, alice.leaf).unwrap();
    assert_eq!(alice.fingerprint(id), bob.fingerprint(id));
    let again = bob.commits(id, Change::default());
    assert_eq!(again.epoch, 2);
    bob.confirms(id);
    assert_eq!(alice.follows(id, &winner, alice.leaf), Err(MlsError::PastEpoch));
    alice.follows(id, &again, bob.leaf).unwrap();
    assert_eq!(alice.fingerprint(id), bob.fingerprint(id));
}

#[test]
fn what_is_of_a_later_epoch_waits() {
    let (mut alice, mut bob) = pair();
    let id = direct();
    let made = alice.commits(id, Change::default());
    alice.confirms(id);
    let sealed = alice.seals(id, "later");
    assert_eq!(bob.opens(id, &sealed), Err(OpenError::FutureEpoch));
    bob.follows(id, &made, alice.leaf).unwrap();
    assert_eq!(bob.opens(id, &sealed).unwrap().1, "later");
}

#[test]
fn a_ghost_is_not_let_in() {
    let (mut alice, mut bob) = pair();
    let id = direct();
    let book = alice.book.clone();
    let leaf = Leaf { account: number(2), device: DeviceId(66) };
    let mut ghost = Device::unlisted(leaf, [66; 32], &book);
    // Bob's device would add it: Alice does not follow.
    let package = ghost.package();
    let credulous = Book::default();
    *credulous.0.borrow_mut() = book.0.borrow().clone();
    credulous.0.borrow_mut().insert(leaf, ghost.mls.identity_key());
    let change = Change { add: vec![package], ..Change::default() };
    let made = bob.mls.commit(&bob.store, id, change, &credulous).unwrap();
    assert_eq!(alice.follows(id, &made, bob.leaf), Err(MlsError::UnknownDevice(leaf)));
    // Under another key than the list says.
    book.0.borrow_mut().insert(leaf, [1; 32]);
    let refused = alice.follows(id, &made, bob.leaf);
    assert_eq!(refused, Err(MlsError::Suspicious(Suspicion::Ghost(leaf))));
    // The server lets it in by itself.
    let info = alice.commits(id, Change::default()).info;
    alice.confirms(id);
    let joined = ghost.mls.join_external(&ghost.store, id, &info).unwrap();
    let refused = alice.follows(id, &joined, leaf);
    assert_eq!(refused, Err(MlsError::Suspicious(Suspicion::Ghost(leaf))));
    let refused = alice.follows(id, &joined, bob.leaf);
    assert_eq!(refused, Err(MlsError::Suspicious(Suspicion::NotTheirs(bob.leaf))));
    assert_eq!(alice.mls.epoch(&alice.store, id).unwrap(), Some(2), "and stays where it is");
}

fn roster(members: &[(u64, Role)]) -> Roster {
    let members = members.iter().map(|&(last, role)| Member { account: number(last), role });
    Roster {
        members: members.collect(),
        writing: Role::Member,
        adding: Role::Admin,
        approval: false,
        invitation: None,
    }
}

#[test]
fn a_member_does_what_the_roster_lets_them() {
    let book = Book::default();
    let id = ConversationId::group(7);
    let mut devices: Vec<_> = (1..=4).map(|last| Device::new(last, last, &book)).collect();
    let packages: Vec<_> = devices[1..3].iter_mut().map(Device::package).collect();
    let first = roster(&[(1, Role::Owner), (2, Role::Admin), (3, Role::Member)]);
    let made = devices[0].creates(id, Some(&first), &packages);
    devices[1].joins(id, &made);
    devices[2].joins(id, &made);
    assert_eq!(devices[2].roster(id), Some(first));
    // A member adds somebody: nobody follows.
    let package = devices[3].package();
    let more = roster(&[(1, Role::Owner), (2, Role::Admin), (3, Role::Member), (4, Role::Member)]);
    let change =
        Change { add: vec![package.clone()], roster: Some(more.clone()), ..Change::default() };
    let by = devices[2].leaf;
    let made = devices[2].commits(id, change.clone());
    let refused = devices[0].follows(id, &made, by);
    assert_eq!(refused, Err(MlsError::Suspicious(Suspicion::Unauthorized(by))));
    // An admin does: everybody follows.
    let by = devices[1].leaf;
    let made = devices[1].commits(id, change);
    devices[1].confirms(id);
    devices[0].follows(id, &made, by).unwrap();
    devices[2].follows(id, &made, by).unwrap();
    devices[3].joins(id, &made);
    assert_eq!(devices[2].roster(id), Some(more));
    let sealed = devices[3].seals(id, "here I am");
    for device in &mut devices[..3] {
        assert_eq!(device.opens(id, &sealed).unwrap().1, "here I am");
    }
}
