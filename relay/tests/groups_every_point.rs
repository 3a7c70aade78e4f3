//! One story of a group, and one fault at every point of it, as in `every_point.rs`. Afterwards every entry of the
//! log is on every device, once and in order, no device is told of news any more, and the mailboxes have
//! nothing left of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;

use estafette_protocol::*;
use estafette_relay::SocketId;
use support::*;

/// An honest device: takes entries in order, looks where it is told of news or sees a gap, and repeats what it
/// was not told of.
struct Phone {
    account: u64,
    device: u64,
    socket: Option<(SocketId, usize)>,
    made: u64,
    unsettled: BTreeSet<u64>,
    log: Vec<MessageId>,
    /// It is to look, until it finds nothing.
    looks: bool,
}

impl Phone {
    fn new(account: u64, device: u64) -> Self {
        let (unsettled, log) = (BTreeSet::new(), Vec::new());
        Self { account, device, socket: None, made: 0, unsettled, log, looks: false }
    }

    fn open(&self, world: &mut World) -> Option<SocketId> {
        let (socket, serial) = self.socket?;
        (world.serial(self.account, socket) == Some(serial)).then_some(socket)
    }

    fn connects(&mut self, world: &mut World) {
        if self.open(world).is_none() {
            let socket = world.connect(self.account, self.device);
            self.socket = world.serial(self.account, socket).map(|serial| (socket, serial));
        }
    }

    fn closes(&mut self, world: &mut World) {
        if let Some(socket) = self.open(world) {
            world.closes(self.account, socket);
        }
    }

    fn says(&mut self, world: &mut World, frames: &[ClientFrame]) {
        if let Some(socket) = self.open(world) {
            world.says(self.account, socket, frames);
        }
    }

    fn posts(&mut self, world: &mut World) {
        self.made += 1;
        self.unsettled.insert(self.made);
        self.repeats(world);
    }

    fn repeats(&mut self, world: &mut World) {
        let stream = self.account + self.device;
        let unsettled = self.unsettled.iter().enumerate();
        let frames: Vec<_> = unsettled
            .map(|(place, &number)| post(group(1), id(stream, number), place > 0))
            .collect();
        if !frames.is_empty() {
            self.says(world, &frames);
        }
        self.hears(world);
    }

    /// The place up to which it has the log.
    fn place(&self) -> u64 {
        self.log.len() as u64
    }

    fn hears(&mut self, world: &mut World) {
        for _ in 0..50 {
            let Some(socket) = self.open(world) else { return };
            let before = self.place();
            let heard = world.hears(self.account, socket);
            for frame in heard {
                self.takes(frame);
            }
            let mut frames = Vec::new();
            if self.place() > before {
                frames.push(passed(group(1), self.place()));
            }
            if self.looks {
                frames.push(look(1, group(1), Some(self.place())));
            }
            if frames.is_empty() {
                return;
            }
            self.says(world, &frames);
        }
        panic!("it looks for ever");
    }

    fn takes(&mut self, frame: ServerFrame) {
        match frame {
            ServerFrame::Sent(told) => told.ids.iter().for_each(|id| {
                self.unsettled.remove(&id.number);
            }),
            ServerFrame::News(_) => self.looks = true,
            ServerFrame::Posted(posted) => self.appends(posted.entries),
            ServerFrame::Log(log) => {
                // Until it finds nothing.
                self.looks = !log.entries.is_empty();
                self.appends(log.entries);
            }
            // It looks again at its own time.
            ServerFrame::Denied(_) => self.looks = false,
            _ => {}
        }
    }

    fn appends(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match entry.place.checked_sub(self.place()) {
                Some(1) => self.log.push(entry.message.unwrap().id),
                None | Some(0) => {}
                // A gap.
                Some(_) => self.looks = true,
            }
        }
    }

    /// A look that finds nothing tells the mailbox that the device has it all.
    fn looks_in_vain(&mut self, world: &mut World) {
        self.connects(world);
        self.hears(world);
        self.says(world, &[look(1, group(1), Some(self.place()))]);
        self.hears(world);
    }
}

fn all(phones: &mut [Phone], mut work: impl FnMut(&mut Phone)) {
    phones.iter_mut().for_each(&mut work);
}

/// Alice writes, Bob has two devices of which one comes and goes, Carol comes late.
fn story(world: &mut World, phones: &mut [Phone]) {
    phones[0].connects(world);
    phones[1].connects(world);
    for _ in 0..3 {
        phones[0].posts(world);
    }
    phones[1].hears(world);
    phones[1].posts(world);
    phones[0].hears(world);
    // Bob's other device comes, and looks; the first goes.
    phones[2].connects(world);
    phones[2].hears(world);
    phones[1].closes(world);
    phones[0].posts(world);
    phones[2].hears(world);
    phones[2].closes(world);
    phones[0].posts(world);
    phones[0].closes(world);
    // Nobody is there but Carol, who was away all the time.
    phones[3].connects(world);
    phones[3].hears(world);
    phones[3].posts(world);
    phones[1].connects(world);
    phones[3].posts(world);
    phones[1].hears(world);
    phones[3].closes(world);
}

fn settles_down(world: &mut World, phones: &mut [Phone]) {
    for _ in 0..4 {
        all(phones, |phone| phone.connects(world));
        all(phones, |phone| phone.repeats(world));
        world.fan_out(group(1));
        all(phones, |phone| phone.hears(world));
    }
    for _ in 0..2 {
        all(phones, |phone| phone.looks_in_vain(world));
    }
}

fn plays(what: &str, prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::with(&[ALICE, BOB, CAROL]);
    world.link(BOB, 2);
    let told = [ALICE, BOB, CAROL].map(|member| (member, 0)).into();
    let toy = Toy { told, ..Toy::default() };
    world.conversations.insert(group(1), toy);
    let mut phones =
        [(ALICE, 1), (BOB, 1), (BOB, 2), (CAROL, 1)].map(|(account, n)| Phone::new(account, n));
    let alarms = [ALICE, BOB, CAROL].map(|account| world.object(account).alarm);
    (world.steps, world.called) = (0, 0);
    prepare(&mut world);
    story(&mut world, &mut phones);
    let (steps, called) = (world.steps, world.called);
    settles_down(&mut world, &mut phones);
    (world.steps, world.called) = (steps, called);

    let log = world.conversations[&group(1)].log.iter();
    let log: Vec<_> = log.map(|entry| entry.message.as_ref().unwrap().id).collect();
    assert_eq!(log.len(), 8, "{what}: each was taken once");
    for phone in &phones {
        assert_eq!(phone.unsettled, BTreeSet::new(), "{what}: all was told sent");
        assert_eq!(phone.log, log, "{what}: {} {} has all", phone.account, phone.device);
    }
    for (account, alarm) in [ALICE, BOB, CAROL].into_iter().zip(alarms) {
        assert_eq!(world.count(account, "mark"), 0, "{what}");
        assert_eq!(world.object(account).alarm, alarm, "{what}: nothing to wake for");
        let passed = world.conversations[&group(1)].passed[&account];
        assert!(passed <= 8, "{what}");
    }
    world
}

#[test]
fn without_faults() {
    let world = plays("no fault", |_| {});
    assert!(world.steps > 30 && world.called > 20, "{} {}", world.steps, world.called);
}

#[test]
fn a_mailbox_leaves_memory_before_every_step() {
    let steps = plays("no fault", |_| {}).steps;
    for blow in [Blow::Hibernates, Blow::Restarts] {
        for step in 1..=steps {
            let what = format!("{blow:?} before step {step}");
            plays(&what, |world| world.blow = Some((step, blow)));
        }
    }
}

#[test]
fn every_call_is_lost_before_or_after_it_took_effect() {
    let calls = plays("no fault", |_| {}).called;
    for (call, took_effect) in (1..=calls).flat_map(|call| [(call, false), (call, true)]) {
        let what = format!("call {call} lost, took effect: {took_effect}");
        plays(&what, |world| world.loses = Some((call, took_effect)));
    }
}

#[test]
fn every_statement_fails() {
    for statement in 0.. {
        let what = format!("statement {statement} fails");
        let world = plays(&what, |world| world.fails_in.set(Some(statement)));
        if world.fails_in.get().is_some() {
            assert!(statement > 15, "{statement}: the story has more");
            break;
        }
    }
}
