//! What must hold when everybody has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use estafette_core::{Content, Message, Status};

use crate::device::{Device, Key};
use crate::world::World;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed that shows it again.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(seed: u64, what: String) -> Self {
        Self { seed, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Violation {}

pub(crate) fn check(world: &World) -> Result<(), Violation> {
    let fail = |what: String| Err(Violation::new(world.seed, what));
    let mut held = Vec::new();
    for device in &world.devices {
        let mut stores = device.wiped.clone();
        stores.push(device.messages());
        let mut earlier = BTreeSet::new();
        for store in &stores {
            shown_once_and_in_order(world, device, store, &earlier).or_else(fail)?;
            // One's own messages to oneself come back to a new store as incoming ones.
            let own = |message: &&Message| {
                let written_here = message.device == device.me.device;
                message.incoming || !written_here || message.peer == device.me.account
            };
            earlier.extend(store.iter().filter(own).map(|message| (message.peer, message.id)));
        }
        held.push(stores.concat());
    }
    for (sender, messages) in world.devices.iter().zip(&held) {
        came_from_somewhere(world, messages).or_else(fail)?;
        everything_is_readable(world, sender).or_else(fail)?;
        sent_is_there(world, sender, &held).or_else(fail)?;
        siblings_have_it(world, sender, &held).or_else(fail)?;
        marks_agree(world, sender).or_else(fail)?;
        presence_is_true(world, sender).or_else(fail)?;
    }
    Ok(())
}

/// What a device of an account sent and is settled is on its other devices, unless mailboxes are so small
/// that they take no copies at times.
fn siblings_have_it(world: &World, sender: &Device, held: &[Vec<Message>]) -> Result<(), String> {
    if world.small {
        return Ok(());
    }
    let mut settled = sender.safe.clone();
    let own = sender.messages().into_iter().filter(|message| {
        let is_own = !message.incoming && message.device == sender.me.device;
        is_own && !sender.removed && message.status != Status::Failed
    });
    settled.extend(own.map(|message| (message.id, message.peer)));
    settled.retain(|_, peer| *peer != sender.me.account);
    for (id, peer) in settled {
        for (sibling, messages) in world.devices.iter().zip(held) {
            let (me, own) = (sibling.me, sender.me);
            if me.account != own.account || me.device == own.device || sibling.removed {
                continue;
            }
            let is_copy = |message: &Message| {
                let key = (message.peer, message.device, message.id);
                !message.incoming && key == (peer, own.device, id)
            };
            if !messages.iter().any(is_copy) {
                return Err(format!("{id:?} of {:?} is not on {:?}", own.device, me.device));
            }
        }
    }
    Ok(())
}

/// Whoever looks at a chat was told last what is so.
fn presence_is_true(world: &World, device: &Device) -> Result<(), String> {
    let Some(peer) = device.open.filter(|&peer| peer != device.me.account && !device.removed)
    else {
        return Ok(());
    };
    let is_there = world
        .devices
        .iter()
        .any(|other| other.me.account == peer && !other.removed && other.available);
    match device.seen.get(&peer) {
        Some(&told) if told == is_there => Ok(()),
        told => Err(format!("{:?} was told {told:?}, and it is {is_there}", device.me.device)),
    }
}

fn incoming(messages: &[Message]) -> impl Iterator<Item = &Message> {
    messages.iter().filter(|message| message.incoming)
}

/// In one store a message is once, and those of a stream are in the order of their numbers. What a
/// deleted store had may come again at any time: the new one cannot know.
fn shown_once_and_in_order(
    world: &World,
    device: &Device,
    store: &[Message],
    earlier: &BTreeSet<Key>,
) -> Result<(), String> {
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    let mut last: BTreeMap<_, u64> = BTreeMap::new();
    let copies = store.iter().filter(|message| {
        let is_copy = !message.incoming && message.device != device.me.device;
        // What a full mailbox did not copy may be copied later, when it is repeated.
        is_copy && !world.small && !earlier.contains(&(message.peer, message.id))
    });
    let mut last_copy: BTreeMap<_, u64> = BTreeMap::new();
    for copy in copies {
        let before = last_copy.insert((copy.device, copy.id.stream), copy.id.number);
        if before.is_some_and(|before| before >= copy.id.number) {
            return Err(format!("the copy {:?} comes after {before:?}", copy.id));
        }
    }
    for message in incoming(store) {
        if !seen.insert((message.peer, message.id)) {
            return Err(format!("{:?} is twice on {:?}", message.id, device.me.device));
        }
        if earlier.contains(&(message.peer, message.id)) {
            continue;
        }
        let before = last.insert((message.device, message.id.stream), message.id.number);
        if before.is_some_and(|before| before >= message.id.number) {
            let (id, before) = (message.id, before);
            return Err(format!("{id:?} comes after {before:?} on {:?}", device.me.device));
        }
    }
    Ok(())
}

/// Nothing is received that was not written, to that account.
fn came_from_somewhere(world: &World, messages: &[Message]) -> Result<(), String> {
    for message in incoming(messages) {
        if matches!(message.content(), Ok(Content::Unopened(_))) {
            continue;
        }
        let written = world.devices.iter().any(|device| {
            device.me.device == message.device && device.bodies.contains_key(&message.body)
        });
        if !written {
            return Err(format!("{:?} was never written", message.id));
        }
    }
    Ok(())
}

/// What could not be opened was sealed again by the device that wrote it, if it still has it.
fn everything_is_readable(world: &World, device: &Device) -> Result<(), String> {
    for message in device.messages().iter().filter(|_| !device.removed) {
        let Ok(Content::Unopened(why)) = message.content() else { continue };
        let writer = world.devices.iter().find(|writer| writer.me.device == message.device);
        if writer.is_some_and(|writer| !writer.removed && writer.wiped.is_empty()) {
            let (id, reader) = (message.id, device.me.device);
            return Err(format!("{id:?} of {:?} is {why:?} on {reader:?}", message.device));
        }
    }
    Ok(())
}

/// What was told `sent` is on every device of the recipient, or was before its store was deleted;
/// and nothing that is not failed is still queued.
fn sent_is_there(world: &World, sender: &Device, held: &[Vec<Message>]) -> Result<(), String> {
    let mut told = sender.told.clone();
    let own = |message: &&Message| !message.incoming && message.device == sender.me.device;
    for message in sender.messages().iter().filter(own) {
        match message.status {
            Status::Queued if sender.removed => {}
            Status::Queued => return Err(format!("{:?} is still queued", message.id)),
            Status::Failed => {
                let registered = world.devices.iter().any(|other| other.me.account == message.peer);
                if registered {
                    return Err(format!("{:?} failed", message.id));
                }
            }
            _ => drop(told.insert(message.id, message.peer)),
        }
    }
    for (id, peer) in told {
        for (recipient, messages) in world.devices.iter().zip(held) {
            // A note to oneself is on the device that wrote it, as an outgoing message.
            let is_own = recipient.me == sender.me;
            if recipient.me.account != peer || is_own || recipient.removed {
                continue;
            }
            let there = incoming(messages)
                .any(|message| message.id == id && message.device == sender.me.device);
            if !there {
                let (from, to) = (sender.me.device, recipient.me.device);
                return Err(format!("{id:?} from {from:?} was told sent and is not on {to:?}"));
            }
        }
    }
    Ok(())
}

/// The sender knows what became of each message in its store.
fn marks_agree(world: &World, sender: &Device) -> Result<(), String> {
    let mut marks: BTreeMap<_, Status> = BTreeMap::new();
    // What somebody read on a device before it was removed may never have been told.
    for recipient in world.devices.iter().filter(|recipient| !recipient.removed) {
        for message in incoming(&recipient.messages()) {
            if message.device == sender.me.device {
                let mark = marks.entry(message.id).or_insert(Status::Delivered);
                *mark = (*mark).max(message.status);
            }
        }
    }
    let own = |message: &&Message| !message.incoming && message.device == sender.me.device;
    for message in sender.messages().iter().filter(own).filter(|_| !sender.removed) {
        let mut expected = marks.get(&message.id).copied().unwrap_or(Status::Queued);
        if message.peer == sender.me.account {
            // Nobody is told what they have read of their own.
            expected = expected.min(Status::Delivered);
        }
        if message.status < expected {
            let (id, status) = (message.id, message.status);
            return Err(format!("{id:?} is {expected:?} there and {status:?} here"));
        }
    }
    Ok(())
}
