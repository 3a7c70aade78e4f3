//! Lists of devices: what goes on from what, and who may say so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use estafette_core::mls::{AccountKey, AccountSecret, DeviceList, Leaf, ListError};
use estafette_protocol::{DeviceId, PhoneNumber};

const PHONE: DeviceId = DeviceId(1);
const LAPTOP: DeviceId = DeviceId(2);

fn account(last: u64) -> PhoneNumber {
    PhoneNumber::from_digits(33_600_000_000 + last).unwrap()
}

fn key(byte: u8) -> AccountKey {
    AccountSecret::new([byte; 32]).account_key()
}

/// A list with these entries, and the entry that makes it.
fn list_of(count: u64) -> (DeviceList, Vec<Vec<u8>>) {
    let (mut list, mut entries) = (DeviceList::new(account(1)), Vec::new());
    for device in 1..=count {
        entries.push(list.next(&key(1), DeviceId(device), Some(&[device as u8; 32]), 7));
        list.extend(entries.last().unwrap()).unwrap();
    }
    (list, entries)
}

#[test]
fn devices_come_and_go() {
    let (mut list, _) = list_of(2);
    let leaves: Vec<Leaf> = list.leaves().collect();
    assert_eq!(leaves.len(), 2);
    assert_eq!(list.identity_key(LAPTOP), Some([2; 32]));
    let removed = list.next(&key(1), LAPTOP, None, 8);
    list.extend(&removed).unwrap();
    assert_eq!((list.head().place, list.identity_key(LAPTOP)), (3, None));
    assert_eq!(list.devices().collect::<Vec<_>>(), [PHONE]);
    assert!(list.ends_with(&removed));
    assert_eq!(list.key(), Some(key(1).public()));
}

#[test]
fn an_entry_belongs_to_its_place_its_account_and_its_key() {
    let (list, entries) = list_of(2);
    let good = list.next(&key(1), DeviceId(3), Some(&[3; 32]), 9);
    let refused = |list: &DeviceList, entry: &[u8]| {
        let mut list = list.clone();
        let before = list.head();
        let error = list.extend(entry).unwrap_err();
        assert_eq!(list.head(), before, "the list is as it was");
        error
    };
    // Once more, out of place, and from a list that went another way.
    assert_eq!(refused(&list, &entries[1]), ListError::Broken);
    let (shorter, _) = list_of(1);
    assert_eq!(refused(&shorter, &good), ListError::Broken);
    let mut other_way = list_of(1).0;
    let other = other_way.next(&key(1), DeviceId(9), Some(&[9; 32]), 7);
    other_way.extend(&other).unwrap();
    assert_eq!(other_way.head().place, list.head().place);
    assert_eq!(refused(&other_way, &good), ListError::Broken);
    // Signed by another account, or for one.
    let foreign = list.next(&key(2), DeviceId(3), Some(&[3; 32]), 9);
    assert_eq!(refused(&list, &foreign), ListError::OtherKey);
    let mut of_another = DeviceList::new(account(2));
    assert_eq!(of_another.extend(&entries[0]), Err(ListError::Broken));
    // Changed in any byte, cut off or drawn out.
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        refused(&list, &changed);
        refused(&list, &good[..at]);
    }
    refused(&list, &[&good[..], &[0]].concat());
    let mut list = list;
    list.extend(&good).unwrap();
}

/// Lists in the field are read by every later version.
#[test]
fn an_entry_is_pinned() {
    let entry = data_encoding::HEXLOWER.decode(PINNED.as_bytes()).unwrap();
    assert_eq!(list_of(1).1[0], entry);
    let mut list = DeviceList::new(account(1));
    list.extend(&entry).unwrap();
    assert_eq!(list.identity_key(PHONE), Some([1; 32]));
}

const PINNED: &str = concat!(
    "a665706c61636501666265666f726540636b657958209e6cc468d1b95fc7397766fea71c74efd46f1dfb",
    "6a186857a96d1abafea0ea62666465766963654800000000000000016c6964656e746974795f6b657958",
    "2001010101010101010101010101010101010101010101010101010101010101016261740726ef806e61",
    "44d46fb0a06cc67db7b6b125a28c2f6f649b2cbd0bf53692d883c01b967d9a4f690849b32c19cd000e46",
    "ccde66ababc8742dfc0c2da24ccab6460e",
);
