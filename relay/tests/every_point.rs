//! One story, and one fault at every point of it: a mailbox that leaves memory before each step, a
//! call that is lost each time, a statement that fails, each in turn. Afterwards every message was
//! shown on every device, once and in order, its sender knows that it was delivered and read, and every
//! queue is empty.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;

use estafette_protocol::*;
use estafette_relay::SocketId;
use support::*;

/// An honest device, no more than it takes: repeats what it was not told of, shows each id once,
/// acknowledges what it has.
struct Phone {
    account: u64,
    device: u64,
    stream: u64,
    socket: Option<(SocketId, usize)>,
    made: u64,
    unsettled: BTreeSet<u64>,
    shown: Vec<MessageId>,
    unread: Vec<MessageId>,
    to_acknowledge: Vec<MessageId>,
    /// What it was told of the messages that it sent.
    marks: BTreeSet<(Mark, MessageId)>,
}

impl Phone {
    fn new(account: u64, device: u64) -> Self {
        Self {
            account,
            device,
            stream: account + device,
            socket: None,
            made: 0,
            unsettled: BTreeSet::new(),
            shown: Vec::new(),
            unread: Vec::new(),
            to_acknowledge: Vec::new(),
            marks: BTreeSet::new(),
        }
    }

    fn connects(&mut self, world: &mut World) {
        if self.open(world).is_none() {
            self.to_acknowledge.clear();
            let socket = world.connect(self.account, self.device);
            self.socket = world.serial(self.account, socket).map(|serial| (socket, serial));
        }
    }

    /// Its socket, unless that was cut.
    fn open(&self, world: &mut World) -> Option<SocketId> {
        let (socket, serial) = self.socket?;
        (world.serial(self.account, socket) == Some(serial)).then_some(socket)
    }

    fn closes(&mut self, world: &mut World) {
        if let Some(socket) = self.open(world) {
            world.closes(self.account, socket);
        }
    }

    fn says(&mut self, world: &mut World, frames: &[ClientFrame]) {
        match self.open(world) {
            Some(socket) if !frames.is_empty() => world.says(self.account, socket, frames),
            _ => {}
        }
    }

    fn sends(&mut self, world: &mut World, to: u64) {
        self.made += 1;
        let frame = send(to, self.stream, self.made, !self.unsettled.is_empty());
        self.unsettled.insert(self.made);
        self.says(world, &[frame]);
    }

    /// Sends again what it was not told of, from the first.
    fn repeats(&mut self, world: &mut World, to: u64) {
        let unsettled = self.unsettled.iter().enumerate();
        let frames: Vec<_> =
            unsettled.map(|(place, &number)| send(to, self.stream, number, place > 0)).collect();
        self.says(world, &frames);
    }

    fn hears(&mut self, world: &mut World) {
        let Some(socket) = self.open(world) else { return };
        for frame in world.hears(self.account, socket) {
            match frame {
                ServerFrame::Sent(told) => {
                    let own = told.ids.iter().filter(|id| id.stream == self.stream);
                    own.for_each(|id| {
                        self.unsettled.remove(&id.number);
                    });
                    self.unread.retain(|id| !told.ids.contains(&read_id(self.device, *id)));
                }
                ServerFrame::Deliver(deliver) => {
                    self.to_acknowledge.push(deliver.id);
                    if !self.shown.contains(&deliver.id) {
                        self.shown.push(deliver.id);
                        self.unread.push(deliver.id);
                    }
                }
                ServerFrame::Receipt(receipt) => {
                    self.to_acknowledge.push(receipt.id);
                    self.marks.extend(receipt.ids.iter().map(|&id| (receipt.mark, id)));
                }
                _ => {}
            }
        }
    }

    fn acknowledges(&mut self, world: &mut World, most: usize) {
        self.hears(world);
        let most = most.min(self.to_acknowledge.len());
        let ids = self.to_acknowledge.drain(..most).collect::<Vec<_>>();
        if !ids.is_empty() {
            self.says(world, &[ack(ids)]);
        }
    }

    fn reads(&mut self, world: &mut World, from: u64) {
        let unread = self.unread.iter();
        let receipts: Vec<_> = unread
            .map(|&id| receipt(from, read_id(self.device, id), vec![id], Mark::Read))
            .collect();
        self.says(world, &receipts);
        self.hears(world);
    }
}

fn read_id(device: u64, id: MessageId) -> MessageId {
    MessageId { stream: 77 + device, number: id.number }
}

/// ALICE writes to BOB, who comes and goes, with one device or two. Returns how many messages.
fn story(world: &mut World, alice: &mut Phone, bobs: &mut [Phone]) -> u64 {
    alice.connects(world);
    for _ in 0..3 {
        alice.sends(world, BOB);
    }
    alice.hears(world);
    // Bob comes, and has a part of it.
    for bob in bobs.iter_mut() {
        bob.connects(world);
        bob.acknowledges(world, 2);
    }
    alice.acknowledges(world, 10);
    alice.sends(world, BOB);
    for bob in bobs.iter_mut() {
        bob.acknowledges(world, 10);
        bob.reads(world, ALICE);
    }
    alice.acknowledges(world, 10);
    // Everybody is there: held, and one of two times out.
    alice.sends(world, BOB);
    for bob in bobs.iter_mut() {
        bob.acknowledges(world, 10);
    }
    alice.sends(world, BOB);
    world.wait(1000);
    alice.hears(world);
    alice.closes(world);
    // She is away while he acknowledges and reads, and cannot be reached for a while.
    world.unreachable = Some(ALICE);
    for bob in bobs.iter_mut() {
        bob.acknowledges(world, 10);
    }
    world.unreachable = None;
    for bob in bobs.iter_mut() {
        bob.reads(world, ALICE);
    }
    world.wait(10_000);
    // Held, and Bob goes.
    alice.connects(world);
    alice.acknowledges(world, 10);
    alice.sends(world, BOB);
    alice.sends(world, BOB);
    for bob in bobs.iter_mut() {
        bob.acknowledges(world, 1);
        bob.closes(world);
    }
    alice.hears(world);
    alice.made
}

/// Everybody comes back and says what is left to say.
fn settles_down(world: &mut World, alice: &mut Phone, bobs: &mut [Phone]) {
    for _ in 0..6 {
        alice.connects(world);
        alice.acknowledges(world, 100);
        alice.repeats(world, BOB);
        for bob in bobs.iter_mut() {
            bob.connects(world);
            bob.acknowledges(world, 100);
            bob.reads(world, ALICE);
            bob.acknowledges(world, 100);
        }
        alice.acknowledges(world, 100);
        world.wait(15_000);
    }
}

/// Plays the story in a world that was prepared; returns it for a look at what was used up.
fn plays(devices: u64, what: &str, prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::with(&[ALICE, BOB]);
    let mut bobs = vec![Phone::new(BOB, 1)];
    for device in 2..=devices {
        world.link(BOB, device);
        bobs.push(Phone::new(BOB, device));
    }
    let mut alice = Phone::new(ALICE, 1);
    (world.steps, world.called) = (0, 0);
    prepare(&mut world);
    let last = story(&mut world, &mut alice, &mut bobs);
    let (steps, called) = (world.steps, world.called);
    settles_down(&mut world, &mut alice, &mut bobs);
    (world.steps, world.called) = (steps, called);

    let all = ids(alice.stream, 1..=last);
    assert_eq!(alice.unsettled, BTreeSet::new(), "{what}: all was told sent");
    for bob in &bobs {
        assert_eq!(bob.shown, all, "{what}: device {} shows all, in order", bob.device);
    }
    for id in all {
        for mark in [Mark::Delivered, Mark::Read] {
            assert!(alice.marks.contains(&(mark, id)), "{what}: {mark:?} {id}");
        }
    }
    for account in [ALICE, BOB] {
        assert_eq!(world.mailbox(account).waiting(), 0, "{what}");
        assert_eq!(world.count(account, "page"), 0, "{what}");
        assert_eq!(world.count(account, "owed"), 0, "{what}");
        assert_eq!(world.object(account).timer, None, "{what}");
    }
    world
}

#[test]
fn without_faults() {
    for devices in [1, 2] {
        let world = plays(devices, "no fault", |_| {});
        assert!(world.steps > 40 && world.called > 15, "{} {}", world.steps, world.called);
    }
}

#[test]
fn a_mailbox_leaves_memory_before_every_step() {
    for devices in [1, 2] {
        let steps = plays(devices, "no fault", |_| {}).steps;
        for blow in [Blow::Hibernates, Blow::Restarts] {
            for step in 1..=steps {
                let what = format!("{devices} devices, {blow:?} before step {step}");
                plays(devices, &what, |world| world.blow = Some((step, blow)));
            }
        }
    }
}

#[test]
fn every_call_is_lost_before_or_after_it_took_effect() {
    for devices in [1, 2] {
        let calls = plays(devices, "no fault", |_| {}).called;
        for (call, took_effect) in (1..=calls).flat_map(|call| [(call, false), (call, true)]) {
            let what = format!("{devices} devices, call {call} lost, took effect: {took_effect}");
            plays(devices, &what, |world| world.loses = Some((call, took_effect)));
        }
    }
}

#[test]
fn every_statement_fails() {
    for devices in [1, 2] {
        for statement in 0.. {
            let what = format!("{devices} devices, statement {statement} fails");
            let world = plays(devices, &what, |world| world.fails_in.set(Some(statement)));
            if world.fails_in.get().is_some() {
                assert!(statement > 20, "{statement}: the story has more");
                break;
            }
        }
    }
}
