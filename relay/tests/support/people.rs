//! Two people who look at each other, and what they say of whom.

use estafette_protocol::http::{Person, Privacy};
use estafette_protocol::{ClientFrame, DeviceId, Presence};
use estafette_relay::{AccountAnswer, AccountRequest, SocketId};

use super::{ALICE, BOB, World, number};

pub fn says(available: bool, watch: &[u64]) -> ClientFrame {
    let watch = watch.iter().map(|&account| number(account)).collect();
    ClientFrame::Presence(Presence { available, watch })
}

pub fn world() -> (World, SocketId, SocketId) {
    let mut world = World::with(&[ALICE, BOB]);
    let (alice, bob) = (world.connect(ALICE, 1), world.connect(BOB, 1));
    world.hears(ALICE, alice);
    world.hears(BOB, bob);
    (world, alice, bob)
}

pub fn set_privacy(world: &mut World, account: u64, privacy: Privacy) {
    let request = AccountRequest::SetPrivacy { device: DeviceId(1), privacy };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

pub fn set_person(world: &mut World, account: u64, of: u64, person: Person) {
    let request = AccountRequest::SetPerson { device: DeviceId(1), number: number(of), person };
    assert_eq!(world.account(account, request), AccountAnswer::Granted);
}

pub fn blocked() -> Person {
    Person { blocked: true, ..Person::default() }
}
