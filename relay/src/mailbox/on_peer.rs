//! The entrance for other mailboxes: they call, and they answer this one's calls.

use std::collections::BTreeMap;

use estafette_protocol::{
    Deliver, DeviceId, ErrorCode, Mark, MessageId, Millis, PhoneNumber, Receipted, Refused, Sent,
    ServerFrame, limits,
};

use super::Mailbox;
use crate::effect::{Effect, Refusal, SocketId};
use crate::entry::{Place as EntryPlace, Position, Slots};
use crate::lane::{Concern, LaneItem};
use crate::peer::{PeerAnswer, PeerItem, PeerMessage, PeerRequest, Verdict};
use crate::queue::Incoming;
use crate::sql::{Sql, StorageError};
use crate::stream::Place;

/// How long a device waits before it asks again for what failed.
const RETRY: Millis = 1000;

fn refused(code: ErrorCode) -> Verdict {
    Verdict::Refused { code, retry_after: None }
}

/// A message or receipt of a call that was admitted, by its place among the verdicts.
type Admitted = Vec<(usize, Incoming)>;

impl<S: Sql> Mailbox<S> {
    /// Another mailbox calls. The answer goes back once the writes are committed.
    pub fn on_call(
        &mut self,
        now: Millis,
        request: PeerRequest,
    ) -> Result<(PeerAnswer, Vec<Effect>), StorageError> {
        self.ledger.request(false);
        if self.account != Some(request.to) {
            let verdict = refused(ErrorCode::Unregistered);
            let verdicts = vec![verdict; request.items.len()];
            return Ok((PeerAnswer { verdicts, at: now }, self.finish(now)?));
        }
        let mut verdicts = Vec::with_capacity(request.items.len());
        let mut admitted = Admitted::new();
        for item in request.items {
            let verdict = self.on_item(now, request.from, item, verdicts.len(), &mut admitted);
            verdicts.push(verdict);
        }
        let verdict = self.admit_all(now, &mut admitted)?;
        for (index, _) in admitted {
            if let Some(place) = verdicts.get_mut(index) {
                *place = verdict;
            }
        }
        Ok((PeerAnswer { verdicts, at: now }, self.finish(now)?))
    }

    fn on_item(
        &mut self,
        now: Millis,
        from: PhoneNumber,
        item: PeerItem,
        index: usize,
        admitted: &mut Admitted,
    ) -> Verdict {
        match item {
            PeerItem::Message(message) => self.on_peer_message(now, from, message, index, admitted),
            PeerItem::Stored { device, ids, at } => {
                self.tell(device, &ServerFrame::Sent(Sent { ids, at }));
                Verdict::Delivered
            }
            PeerItem::Delivered { device, ids, at } => {
                self.tell(device, &ServerFrame::Sent(Sent { ids: ids.clone(), at }));
                let id = self.mint();
                self.on_mark(
                    from,
                    Receipted { id, from, ids, mark: Mark::Delivered, at },
                    index,
                    admitted,
                )
            }
            PeerItem::Receipt { id, ids, mark, at } => {
                self.on_mark(from, Receipted { id, from, ids, mark, at }, index, admitted)
            }
        }
    }

    fn on_mark(
        &mut self,
        from: PhoneNumber,
        receipt: Receipted,
        index: usize,
        admitted: &mut Admitted,
    ) -> Verdict {
        if self.is_full(admitted) {
            return refused(ErrorCode::MailboxFull);
        }
        let id = receipt.id;
        let frame = ServerFrame::Receipt(receipt);
        admitted.push((index, Incoming { id, from, device: None, frame }));
        Verdict::Stored
    }

    fn on_peer_message(
        &mut self,
        now: Millis,
        from: PhoneNumber,
        message: PeerMessage,
        index: usize,
        admitted: &mut Admitted,
    ) -> Verdict {
        let (id, device) = (message.id, message.device);
        let key = (from, device, id.stream);
        match self.streams.place(key, id.number, message.follows(), message.chained) {
            Place::OutOfOrder => return refused(ErrorCode::OutOfOrder),
            Place::Duplicate => return self.duplicate(from, device, id, admitted),
            Place::Next => {}
        }
        if self.is_full(admitted) {
            return refused(ErrorCode::MailboxFull);
        }
        self.streams.take(key, id.number);
        let PeerMessage { body, after, .. } = message;
        let frame = ServerFrame::Deliver(Deliver { id, from, device, at: now, body, after });
        admitted.push((index, Incoming { id, from, device: Some(device), frame }));
        Verdict::Stored
    }

    /// What became of the message that came before under this id.
    fn duplicate(
        &mut self,
        from: PhoneNumber,
        device: DeviceId,
        id: MessageId,
        admitted: &mut Admitted,
    ) -> Verdict {
        let twice = |(_, other): &(usize, Incoming)| {
            (other.from, other.device, other.id) == (from, Some(device), id)
        };
        if admitted.iter().any(twice) {
            return Verdict::Held;
        }
        let positions: Vec<_> = self.queue.positions_of(id).collect();
        for position in positions {
            let Some(entry) = self.queue.entry_mut(position) else { continue };
            if (entry.from, entry.device) == (from, Some(device)) {
                return match entry.place {
                    EntryPlace::Held { .. } => Verdict::Held,
                    EntryPlace::Page(_) => Verdict::Stored,
                };
            }
        }
        Verdict::Delivered
    }

    fn is_full(&self, admitted: &Admitted) -> bool {
        let messages = self.queue.len() + admitted.len() as u64;
        messages >= self.config.queue_messages_max
            || self.queue.bytes() >= self.config.queue_bytes_max
    }

    /// Holds what came in when every device is connected and up to date, stores it otherwise.
    fn admit_all(&mut self, now: Millis, admitted: &mut Admitted) -> Result<Verdict, StorageError> {
        if admitted.is_empty() {
            return Ok(Verdict::Stored);
        }
        let mut devices = Slots::default();
        for device in &self.devices {
            devices.insert(device.slot);
        }
        if self.can_hold(admitted.len()) {
            for (_, incoming) in admitted.iter() {
                for (&socket, session) in &mut self.sessions {
                    self.outgoing.push(socket, session.encoding, &incoming.frame);
                    session.unacknowledged += 1;
                }
                self.queue.hold(incoming.clone(), devices, now + self.config.hold);
            }
            return Ok(Verdict::Held);
        }
        self.commit_held(now)?;
        let last = self.queue.last();
        let incoming: Vec<_> = admitted.iter().map(|(_, incoming)| incoming.clone()).collect();
        let expires_at = now + self.config.message_life;
        let positions = self.queue.store(&self.sql, expires_at, &incoming, devices)?;
        self.want_alarm(expires_at);
        self.send_stored(last, &positions, &incoming)?;
        Ok(Verdict::Stored)
    }

    fn can_hold(&self, more: usize) -> bool {
        !self.devices.is_empty()
            && self.devices.iter().all(|device| {
                let mut sessions = self.sessions.values();
                sessions.find(|session| session.device == device.id).is_some_and(|session| {
                    session.drained
                        && session.unacknowledged + more <= limits::UNACKNOWLEDGED_MAX
                        && !self.queue.has_stored_for(device.slot)
                })
            })
    }

    /// Puts what was just stored on the sockets that are up to date, without reading it back.
    fn send_stored(
        &mut self,
        last: Position,
        positions: &[Position],
        incoming: &[Incoming],
    ) -> Result<(), StorageError> {
        let through = positions.last().copied().unwrap_or(last);
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        for socket in sockets {
            let Some(session) = self.sessions.get_mut(&socket) else { continue };
            let room = session.unacknowledged + incoming.len() <= limits::UNACKNOWLEDGED_MAX;
            let behind = self.queue.waits_after(session.slot, session.sent_through, last);
            if !session.drained || !room || behind {
                continue;
            }
            for Incoming { frame, .. } in incoming {
                self.outgoing.push(socket, session.encoding, frame);
            }
            session.sent_through = through;
            session.unacknowledged += incoming.len();
            self.remember(socket);
        }
        Ok(())
    }

    /// Commits everything that is held, and tells the senders.
    pub(crate) fn commit_held(&mut self, now: Millis) -> Result<(), StorageError> {
        if self.queue.held_until().is_none() {
            return Ok(());
        }
        let expires_at = now + self.config.message_life;
        let positions = self.queue.commit_held(&self.sql, expires_at)?;
        self.want_alarm(expires_at);
        let through = self.queue.last();
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        for socket in sockets {
            if let Some(session) = self.sessions.get_mut(&socket) {
                session.sent_through = through;
            }
            self.remember(socket);
        }
        let mut all = Slots::default();
        for device in &self.devices {
            all.insert(device.slot);
        }
        let mut stored: BTreeMap<(PhoneNumber, DeviceId), Vec<MessageId>> = BTreeMap::new();
        let mut delivered = Vec::new();
        for position in positions {
            let Some(entry) = self.queue.entry_mut(position) else { continue };
            let Some(device) = entry.device else { continue };
            if entry.waiting == all {
                stored.entry((entry.from, device)).or_default().push(entry.id);
            } else {
                entry.telling = true;
                delivered.push((entry.from, device, entry.id, position));
            }
        }
        for ((peer, device), ids) in stored {
            let item = PeerItem::Stored { device, ids, at: now };
            self.post(peer, LaneItem { item, concern: Concern::Nobody });
        }
        self.tell_delivered(now, delivered);
        Ok(())
    }

    /// Tells senders that a device has their messages, one item for each sending device.
    pub(crate) fn tell_delivered(
        &mut self,
        now: Millis,
        told: Vec<(PhoneNumber, DeviceId, MessageId, Position)>,
    ) {
        let mut senders: BTreeMap<_, (Vec<MessageId>, Vec<Position>)> = BTreeMap::new();
        for (peer, device, id, position) in told {
            let (ids, positions) = senders.entry((peer, device)).or_default();
            ids.push(id);
            positions.push(position);
        }
        for ((peer, device), (ids, positions)) in senders {
            let item = PeerItem::Delivered { device, ids, at: now };
            self.post(peer, LaneItem { item, concern: Concern::Told(positions) });
        }
    }

    /// Another mailbox answered this one's call, or (`None`) did not.
    pub fn on_answer(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        answer: Option<PeerAnswer>,
    ) -> Result<Vec<Effect>, StorageError> {
        let under_way = self.lanes.get_mut(&peer).and_then(|lane| lane.under_way.take());
        let Some(items) = under_way else { return self.finish(now) };
        let answer = answer.filter(|answer| answer.verdicts.len() == items.len());
        let at = answer.as_ref().map_or(now, |answer| answer.at);
        let mut replies = Replies::default();
        let verdicts = answer.map(|answer| answer.verdicts);
        if verdicts.iter().flatten().any(|verdict| *verdict == Verdict::Stored) {
            self.ledger.row_elsewhere();
        }
        for (index, LaneItem { item, concern }) in items.into_iter().enumerate() {
            let verdict = verdicts.as_ref().and_then(|verdicts| verdicts.get(index)).copied();
            match concern {
                Concern::Device { device, id } => replies.note(device, id, &item, verdict),
                Concern::Told(positions) => self.on_told(now, peer, &item, &positions, verdict)?,
                Concern::Owed(id) if verdict.is_some() => {
                    self.sql.run("DELETE FROM owed WHERE id = ?", &[id.into()])?;
                }
                Concern::Owed(_) | Concern::Nobody => {}
            }
        }
        self.reply(now, at, peer, replies)?;
        self.record()?;
        self.finish(now)
    }

    fn reply(
        &mut self,
        now: Millis,
        at: Millis,
        peer: PhoneNumber,
        replies: Replies,
    ) -> Result<(), StorageError> {
        let Replies { sent, delivered, refused } = replies;
        for (device, ids) in sent {
            self.tell(device, &ServerFrame::Sent(Sent { ids, at }));
        }
        for ((device, code), (ids, retry_after)) in refused {
            self.tell(device, &ServerFrame::Refused(Refused { ids, code, retry_after }));
        }
        if delivered.is_empty() {
            return Ok(());
        }
        let id = self.mint();
        let receipt = Receipted { id, from: peer, ids: delivered, mark: Mark::Delivered, at };
        let frame = ServerFrame::Receipt(receipt);
        let mut admitted = vec![(0, Incoming { id, from: peer, device: None, frame })];
        self.admit_all(now, &mut admitted).map(drop)
    }

    /// The sender's mailbox was told that a device has its messages; or it wasn't, and is owed that.
    fn on_told(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        item: &PeerItem,
        positions: &[Position],
        verdict: Option<Verdict>,
    ) -> Result<(), StorageError> {
        let mut stored = false;
        for &position in positions {
            let Some(entry) = self.queue.entry_mut(position) else { continue };
            stored = true;
            entry.told = true;
            if entry.is_done() {
                self.queue.remove(position);
            }
        }
        // What was only held, its sender asks for again.
        if stored && verdict.is_none() {
            self.owe(now, peer, item)?;
        }
        Ok(())
    }

    /// Deletes what is done with, and records how far each device is in what is not.
    pub(crate) fn record(&mut self) -> Result<(), StorageError> {
        self.queue.delete_done(&self.sql)?;
        let telling = self.lanes.values().any(|lane| {
            let under_way = lane.under_way.iter().flatten();
            under_way.chain(&lane.waiting).any(|item| matches!(item.concern, Concern::Told(_)))
        });
        if telling {
            return Ok(());
        }
        for device in &mut self.devices {
            let Some(cursor) = self.queue.cursor(device.slot) else { continue };
            if cursor > device.cursor {
                device.cursor = cursor;
                let statement = "UPDATE device SET cursor = ? WHERE slot = ?";
                let slot = u64::from(device.slot);
                self.sql.run(statement, &[cursor.into(), slot.into()])?;
            }
        }
        Ok(())
    }
}

/// What the devices that handed something over are to hear, gathered over one answer.
#[derive(Default)]
struct Replies {
    sent: BTreeMap<DeviceId, Vec<MessageId>>,
    /// Messages that a device of the peer has already.
    delivered: Vec<MessageId>,
    refused: BTreeMap<(DeviceId, ErrorCode), (Vec<MessageId>, Option<Millis>)>,
}

impl Replies {
    fn note(&mut self, device: DeviceId, id: MessageId, item: &PeerItem, verdict: Option<Verdict>) {
        let is_message = matches!(item, PeerItem::Message(_));
        let refusal = match verdict {
            Some(Verdict::Held) if is_message => return,
            Some(Verdict::Delivered) if is_message => {
                self.delivered.push(id);
                return self.sent.entry(device).or_default().push(id);
            }
            Some(Verdict::Stored | Verdict::Held | Verdict::Delivered) => {
                return self.sent.entry(device).or_default().push(id);
            }
            Some(Verdict::Refused { code, retry_after }) => Refusal { code, retry_after },
            None => Refusal { code: ErrorCode::Unavailable, retry_after: Some(RETRY) },
        };
        let (ids, retry_after) = self.refused.entry((device, refusal.code)).or_default();
        ids.push(id);
        *retry_after = refusal.retry_after.max(*retry_after);
    }
}
