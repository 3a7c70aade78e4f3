//! Copies: what one device of an account sends, and what it has read, its other devices are given too.
//!
//! Invariants:
//! - a copy is made only of what the recipient's mailbox has taken, in the order in which the device
//!   sent it;
//! - a device is told `sent` only when, besides, the copy is stored or every other device has
//!   acknowledged it. Until then it repeats what it sent, and the copy is made again if it was lost;
//! - a copy is on its way before any news of what it is a copy of.
//!
//! A mailbox that is full takes no copies: a device that is long away must not keep its owner from
//! sending.

use estafette_protocol::{
    Deliver, DeviceId, ErrorCode, MessageId, Millis, PhoneNumber, Receipted, Sent, ServerFrame,
};
use litemap::LiteMap;

use super::Mailbox;
use crate::entry::Place as EntryPlace;
use crate::lane::{Concern, LaneItem};
use crate::peer::{PeerItem, PeerMessage, PeerRequest, Verdict};
use crate::queue::Incoming;
use crate::sql::{Sql, StorageError};
use crate::stream::Place;

/// The copies that were made in this waking and whose device was not told `sent`; with when the recipient's
/// mailbox took what they are copies of, where only the copy is not safe yet. Of others, news tell their
/// device nothing: it asks again.
#[derive(Debug, Default)]
pub(crate) struct Copies(LiteMap<(DeviceId, MessageId), Option<Millis>>);

impl Copies {
    /// A device is gone. When it is back, it asks again.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.0.retain(|&(known, _), _| known != device);
    }
}

/// Copies that one step makes, by the device whose they are.
pub(crate) type Gathered = LiteMap<DeviceId, Vec<Incoming>>;

impl<S: Sql> Mailbox<S> {
    /// Makes the copy of an item that the peer's mailbox has taken, unless there is one. Returns what
    /// its device is to be told.
    pub(crate) fn gather(
        &mut self,
        at: Millis,
        peer: PhoneNumber,
        item: &PeerItem,
        verdict: Option<Verdict>,
        gathered: &mut Gathered,
    ) -> Option<Verdict> {
        let is_taken =
            matches!(verdict, Some(Verdict::Stored | Verdict::Held | Verdict::Delivered));
        let is_copied = is_taken && self.devices.len() > 1;
        let Some(own) = self.account.filter(|&own| is_copied && own != peer) else {
            return verdict;
        };
        let (device, id) = match item {
            PeerItem::Message(message) => (message.device, message.id),
            PeerItem::Receipt { id, device, .. } => (*device, *id),
            _ => return verdict,
        };
        let Some(slot) = self.device(device).map(|device| device.slot) else { return verdict };
        let twice = |known: &Vec<Incoming>| known.iter().any(|known| known.id == id);
        let waits = self.queue.copy(slot, id).is_some() || gathered.get(&device).is_some_and(twice);
        let is_made = match item {
            PeerItem::Message(message) if !waits => {
                let key = (own, device, id.stream);
                match self.streams.place(key, id.number, message.follows(), message.chained) {
                    Place::OutOfOrder => {
                        let code = ErrorCode::OutOfOrder;
                        return Some(Verdict::Refused { code, retry_after: None });
                    }
                    // Every device has it.
                    Place::Duplicate => true,
                    Place::Next | Place::Forgotten => {
                        self.streams.take(key, id.number);
                        false
                    }
                }
            }
            _ => waits,
        };
        self.copies.0.entry((device, id)).or_insert(None);
        if let Some(frame) = copy(own, peer, at, item).filter(|_| !is_made && !self.is_full(0)) {
            gathered.entry(device).or_default().push(Incoming {
                id,
                from: own,
                device: None,
                repeats: Some(device),
                except: Some(slot),
                must_store: false,
                frame,
            });
        }
        verdict
    }

    /// Puts copies on their way to the devices that need them.
    pub(crate) fn admit_copies(
        &mut self,
        now: Millis,
        gathered: Gathered,
    ) -> Result<(), StorageError> {
        for (device, copies) in gathered {
            let mut others = self.slots();
            if let Some(device) = self.device(device) {
                others.remove(device.slot);
            }
            let mut copies: Vec<_> = copies.into_iter().map(|copy| (0, copy)).collect();
            self.admit_all(now, &mut copies, others)?;
        }
        Ok(())
    }

    /// News of items whose call was not answered yet comes in another call: their copies come first.
    pub(crate) fn copy_before_news(
        &mut self,
        now: Millis,
        request: &PeerRequest,
    ) -> Result<(), StorageError> {
        if self.devices.len() < 2 {
            return Ok(());
        }
        let lane = self.lanes.get(&request.from).and_then(|lane| lane.under_way.as_ref());
        let Some(under_way) = lane else { return Ok(()) };
        let is_news_of = |concern: &Concern| {
            let Concern::Device { device, id } = concern else { return false };
            request.items.iter().any(|item| match item {
                PeerItem::Stored { device: of, ids, .. }
                | PeerItem::Delivered { device: of, ids, .. } => of == device && ids.contains(id),
                _ => false,
            })
        };
        let known: Vec<LaneItem> =
            under_way.iter().filter(|item| is_news_of(&item.concern)).cloned().collect();
        let mut gathered = Gathered::new();
        for LaneItem { item, .. } in known {
            self.gather(now, request.from, &item, Some(Verdict::Stored), &mut gathered);
        }
        self.admit_copies(now, gathered)
    }

    /// There is news that the other mailbox has these. Where their copies may not have been made, their
    /// device asks again.
    pub(crate) fn tell_news(
        &mut self,
        from: PhoneNumber,
        device: DeviceId,
        mut ids: Vec<MessageId>,
        at: Millis,
    ) {
        // A message to oneself has no copies.
        if self.devices.len() > 1 && self.account != Some(from) {
            ids.retain(|&id| self.copies.0.contains_key(&(device, id)));
        }
        self.tell_sent(device, ids, at);
    }

    /// The other mailbox has these, and their copies were made: their device is told, or waits for the
    /// copies to be safe.
    pub(crate) fn tell_sent(&mut self, device: DeviceId, mut ids: Vec<MessageId>, at: Millis) {
        if let Some(slot) = self.device(device).map(|device| device.slot) {
            ids.retain(|&id| {
                let held = matches!(self.queue.copy(slot, id), Some(EntryPlace::Held { .. }));
                if held {
                    self.copies.0.insert((device, id), Some(at));
                } else {
                    self.copies.0.remove(&(device, id));
                }
                !held
            });
        }
        if !ids.is_empty() {
            self.tell(device, &ServerFrame::Sent(Sent { ids, at }));
        }
    }

    /// The copies of these are stored, or with every device.
    pub(crate) fn copied(&mut self, copied: Vec<(DeviceId, MessageId)>) {
        let mut safe: LiteMap<_, Vec<MessageId>> = LiteMap::new();
        for (device, id) in copied {
            if let Some(&Some(at)) = self.copies.0.get(&(device, id)) {
                self.copies.0.remove(&(device, id));
                safe.entry((device, at)).or_default().push(id);
            }
        }
        for ((device, at), ids) in safe {
            self.tell(device, &ServerFrame::Sent(Sent { ids, at }));
        }
    }
}

/// The copy of an item that goes to a peer.
fn copy(own: PhoneNumber, peer: PhoneNumber, at: Millis, item: &PeerItem) -> Option<ServerFrame> {
    let to = Some(peer);
    match item {
        PeerItem::Message(message) => {
            let PeerMessage { id, device, body, after, .. } = message.clone();
            Some(ServerFrame::Deliver(Deliver { id, from: own, device, at, body, after, to }))
        }
        PeerItem::Receipt { id, ids, mark, .. } => {
            let (id, ids, mark) = (*id, ids.clone(), *mark);
            Some(ServerFrame::Receipt(Receipted { id, from: own, ids, mark, at, to }))
        }
        _ => None,
    }
}
