//! The entrance for other mailboxes: they call, and they answer this one's calls.

use estafette_protocol::{
    Deliver, DeviceId, Doing, ErrorCode, Fault, Keys, Mark, MessageId, Millis, PhoneNumber,
    Receipted, Refused, ServerFrame, limits,
};
use litemap::LiteMap;

use super::Mailbox;
use super::copies::Gathered;
use crate::effect::{Effect, Refusal, SocketId};
use crate::entry::{Entry, Place as EntryPlace, Position, Slots};
use crate::lane::{Concern, LaneItem};
use crate::peer::{PeerAnswer, PeerItem, PeerMessage, PeerRequest, Verdict};
use crate::queue::{Incoming, Queue};
use crate::sql::{Sql, StorageError};
use crate::stream::Place;

/// How long a device waits before it asks again for what failed.
const RETRY: Millis = 1000;

fn refused(code: ErrorCode) -> Verdict {
    Verdict::Refused { code, retry_after: None }
}

/// Whether a mailbox need not be told again: it was, or nobody is there to be told.
fn is_final(verdict: Option<Verdict>) -> bool {
    match verdict {
        Some(Verdict::Refused { code, .. }) => code.fault() == Fault::Caller,
        Some(Verdict::Stored | Verdict::Held | Verdict::Delivered) => true,
        Some(Verdict::Seen { .. }) | None => false,
    }
}

/// A message or receipt of a call that was admitted, by its place among the verdicts.
pub(crate) type Admitted = Vec<(usize, Incoming)>;

impl<S: Sql> Mailbox<S> {
    /// Another mailbox calls. The answer goes back once the writes are committed.
    pub fn on_call(
        &mut self,
        now: Millis,
        request: PeerRequest,
    ) -> Result<(PeerAnswer, Vec<Effect>), StorageError> {
        self.ledger.request(now, false);
        if self.account != Some(request.to) {
            let verdict = refused(ErrorCode::Unregistered);
            let verdicts = vec![verdict; request.items.len()];
            return Ok((PeerAnswer { verdicts, at: now, keys: vec![] }, self.finish(now)?));
        }
        self.lapse(now)?;
        self.copy_before_news(now, &request)?;
        let mut verdicts = Vec::with_capacity(request.items.len());
        let mut admitted = Admitted::new();
        let mut keys = Vec::new();
        for item in request.items {
            let (index, from) = (verdicts.len(), request.from);
            let verdict = self.on_item(now, from, item, index, &mut admitted, &mut keys)?;
            verdicts.push(verdict);
        }
        // What is stored and not admitted waits already.
        let stored = verdicts.iter().filter(|&&verdict| verdict == Verdict::Stored).count();
        let repeated = stored > admitted.len();
        let verdict = self.admit_all(now, &mut admitted, self.slots())?;
        self.write_for_dropped(admitted.is_empty())?;
        if repeated {
            self.wake_forgotten(now)?;
        }
        for (index, _) in admitted {
            if let Some(place) = verdicts.get_mut(index) {
                *place = verdict;
            }
        }
        Ok((PeerAnswer { verdicts, at: now, keys }, self.finish(now)?))
    }

    fn on_item(
        &mut self,
        now: Millis,
        from: PhoneNumber,
        item: PeerItem,
        index: usize,
        admitted: &mut Admitted,
        keys: &mut Vec<Keys>,
    ) -> Result<Verdict, StorageError> {
        let is_dropped = self.turns_away(from, &item)?;
        Ok(match item {
            PeerItem::Message(message) => {
                self.on_peer_message(now, from, message, index, admitted, is_dropped)
            }
            PeerItem::ChatState { .. } | PeerItem::KeysChanged { .. } if is_dropped => {
                Verdict::Delivered
            }
            PeerItem::Receipt { .. } if is_dropped => self.drop_item(&item, admitted.len()),
            PeerItem::Keys { after, packages } => self.on_peer_keys(after, packages, keys)?,
            PeerItem::Watch { last_seen, online } => self.on_watch(from, last_seen, online)?,
            PeerItem::Presence { available, last_seen, at } => {
                self.on_peer_presence(from, available, last_seen, at)
            }
            PeerItem::KeysChanged { at } => self.on_peer_keys_changed(from, at),
            PeerItem::ChatState { state } => {
                self.tell_all(&ServerFrame::ChatState(Doing { from, state }));
                Verdict::Delivered
            }
            PeerItem::Stored { device, ids, at } => {
                self.ledger.stored_elsewhere();
                self.tell_news(from, device, ids, at);
                Verdict::Delivered
            }
            PeerItem::Delivered { device, ids, at, stored } => {
                let sent = ids.clone();
                let receipt =
                    Receipted { id: self.mint(), from, ids, mark: Mark::Delivered, at, to: None };
                let verdict = self.on_mark(receipt, None, stored, index, admitted);
                // A device that is told `sent` does not ask again: only together with the receipt.
                if verdict == Verdict::Stored && !stored {
                    self.tell_news(from, device, sent, at);
                }
                verdict
            }
            PeerItem::Receipt { id, device, ids, mark, at } => {
                let receipt = Receipted { id, from, ids, mark, at, to: None };
                self.on_mark(receipt, Some(device), false, index, admitted)
            }
        })
    }

    fn on_mark(
        &mut self,
        receipt: Receipted,
        repeats: Option<DeviceId>,
        must_store: bool,
        index: usize,
        admitted: &mut Admitted,
    ) -> Verdict {
        if self.is_full(admitted.len()) {
            return refused(ErrorCode::MailboxFull);
        }
        let (id, from) = (receipt.id, receipt.from);
        let frame = ServerFrame::Receipt(receipt);
        let (device, except) = (None, None);
        let incoming = Incoming { id, from, device, repeats, except, must_store, frame };
        admitted.push((index, incoming));
        Verdict::Stored
    }

    fn on_peer_message(
        &mut self,
        now: Millis,
        from: PhoneNumber,
        message: PeerMessage,
        index: usize,
        admitted: &mut Admitted,
        is_dropped: bool,
    ) -> Verdict {
        let (id, device) = (message.id, message.device);
        let key = (from, device, id.stream);
        match self.streams.place(key, id.number, message.follows(), message.chained) {
            Place::OutOfOrder => return refused(ErrorCode::OutOfOrder),
            // As of one that waits.
            Place::Duplicate if is_dropped => return Verdict::Stored,
            Place::Duplicate => {
                let waiting = self.still_waits(from, device, id, admitted);
                return waiting.unwrap_or(Verdict::Delivered);
            }
            Place::Forgotten => {
                if let Some(waiting) = self.still_waits(from, device, id, admitted) {
                    return waiting;
                }
            }
            Place::Next => {}
        }
        if self.is_full(admitted.len()) {
            return refused(ErrorCode::MailboxFull);
        }
        self.streams.take(key, id.number);
        if is_dropped {
            return self.drop_item(&PeerItem::Message(message), admitted.len());
        }
        let PeerMessage { body, after, .. } = message;
        let frame =
            ServerFrame::Deliver(Deliver { id, from, device, at: now, body, after, to: None });
        let (device, repeats, except, must_store) = (Some(device), None, None, false);
        let incoming = Incoming { id, from, device, repeats, except, must_store, frame };
        admitted.push((index, incoming));
        Verdict::Stored
    }

    /// What is to be said of a message that came before under this id, if it still waits.
    fn still_waits(
        &mut self,
        from: PhoneNumber,
        device: DeviceId,
        id: MessageId,
        admitted: &mut Admitted,
    ) -> Option<Verdict> {
        let twice = |(_, other): &(usize, Incoming)| {
            (other.from, other.device, other.id) == (from, Some(device), id)
        };
        if admitted.iter().any(twice) {
            return Some(Verdict::Held);
        }
        let positions: Vec<_> = self.queue.positions_of(id).collect();
        for position in positions {
            let Some(entry) = self.queue.entry_mut(position) else { continue };
            if (entry.from, entry.device) == (from, Some(device)) {
                return Some(match entry.place {
                    EntryPlace::Held { .. } => Verdict::Held,
                    EntryPlace::Page(_) => Verdict::Stored,
                });
            }
        }
        None
    }

    /// Whether nothing more may come in, after so much that is about to.
    pub(crate) fn is_full(&self, admitted: usize) -> bool {
        let messages = self.queue.len() + admitted as u64;
        messages >= self.config.queue_messages_max
            || self.queue.bytes() >= self.config.queue_bytes_max
    }

    /// Holds what came in for these devices when each is connected and up to date, stores it otherwise.
    pub(crate) fn admit_all(
        &mut self,
        now: Millis,
        admitted: &mut Admitted,
        devices: Slots,
    ) -> Result<Verdict, StorageError> {
        if admitted.is_empty() {
            return Ok(Verdict::Stored);
        }
        let must_store = admitted.iter().any(|(_, incoming)| incoming.must_store);
        if !must_store && self.can_hold(admitted.len(), devices) {
            for (_, incoming) in admitted.iter() {
                for (&socket, session) in &mut self.sessions {
                    if devices.contains(session.slot) {
                        self.outgoing.push(socket, session.encoding, &incoming.frame);
                        session.unacknowledged += 1;
                    }
                }
                self.queue.hold(incoming.clone(), devices, now + self.config.hold);
            }
            return Ok(Verdict::Held);
        }
        self.commit_held(now)?;
        let last = self.queue.last();
        let incoming: Vec<_> = admitted.iter().map(|(_, incoming)| incoming.clone()).collect();
        let expires_at = now + self.config.message_life;
        let store = |queue: &mut Queue, sql: &S| queue.store(sql, expires_at, &incoming, devices);
        // That its messages have arrived is news to the account that sent them, and copies are its own.
        let own = incoming
            .iter()
            .all(|one| one.device.is_none() && (one.repeats.is_none() || one.except.is_some()));
        let positions = match own {
            true => store(&mut self.queue, &self.sql)?,
            false => self.on_queue(store)?,
        };
        self.want_alarm(expires_at);
        self.send_stored(last, &positions, &incoming, devices)?;
        if incoming.iter().any(|one| one.device.is_some()) {
            self.wake_sleepers(now)?;
        }
        Ok(Verdict::Stored)
    }

    fn can_hold(&self, more: usize, devices: Slots) -> bool {
        let mut wanted = self.devices.iter().filter(|device| devices.contains(device.slot));
        !devices.is_empty()
            && wanted.all(|device| {
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
        devices: Slots,
    ) -> Result<(), StorageError> {
        let through = positions.last().copied().unwrap_or(last);
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        for socket in sockets {
            let Some(session) = self.sessions.get_mut(&socket) else { continue };
            let room = session.unacknowledged + incoming.len() <= limits::UNACKNOWLEDGED_MAX;
            let behind = self.queue.waits_after(session.slot, session.sent_through, last);
            if !devices.contains(session.slot) || !session.drained || !room || behind {
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
        let Some(before) = self.queue.before_held() else { return Ok(()) };
        let expires_at = now + self.config.message_life;
        let committed = self.on_queue(|queue, sql| queue.commit_held(sql, expires_at))?;
        self.want_alarm(expires_at);
        let through = self.queue.last();
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        for socket in sockets {
            let Some(session) = self.sessions.get_mut(&socket) else { continue };
            // What is held is on the sockets of the devices that it is for. Of what was stored before,
            // something may still wait for another device, whose copy this is.
            if !self.queue.waits_after(session.slot, session.sent_through, before) {
                session.sent_through = through;
                self.remember(socket);
            }
        }
        let all = self.slots();
        let mut news = News::default();
        for (position, repeats) in committed {
            let Some(entry) = self.queue.entry_mut(position) else { continue };
            let (peer, id) = (entry.from, entry.id);
            news.repeated(repeats, entry);
            let Some(device) = entry.device else { continue };
            news.safe.push((peer, device, id));
            if entry.waiting != all {
                entry.telling = true;
                news.delivered.push(Delivered { peer, device, stored: true, id, position });
            }
        }
        self.spread(now, news);
        Ok(())
    }

    pub(crate) fn slots(&self) -> Slots {
        let mut slots = Slots::default();
        for device in &self.devices {
            slots.insert(device.slot);
        }
        slots
    }

    /// Tells the mailboxes of those who sent them what became of messages and receipts: one item for
    /// each device and kind of news.
    pub(crate) fn spread(&mut self, now: Millis, news: News) {
        self.copied(news.copied);
        let mut safe: LiteMap<_, Vec<MessageId>> = LiteMap::new();
        for (peer, device, id) in news.safe {
            safe.entry((peer, device)).or_default().push(id);
        }
        for ((peer, device), ids) in safe {
            let item = PeerItem::Stored { device, ids, at: now };
            self.post(peer, LaneItem { item, concern: Concern::Nobody });
        }
        let mut delivered: LiteMap<_, (Vec<MessageId>, Vec<Position>)> = LiteMap::new();
        for Delivered { peer, device, stored, id, position } in news.delivered {
            let (ids, positions) = delivered.entry((peer, device, stored)).or_default();
            ids.push(id);
            positions.push(position);
        }
        for ((peer, device, stored), (ids, positions)) in delivered {
            let item = PeerItem::Delivered { device, ids, at: now, stored };
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
        let (verdicts, keys) = answer.map(|answer| (answer.verdicts, answer.keys)).unzip();
        let mut keys = keys.into_iter().flatten();
        let mut stored = false;
        let mut copies = Gathered::new();
        for (index, LaneItem { item, concern }) in items.into_iter().enumerate() {
            let verdict = verdicts.as_ref().and_then(|all: &Vec<Verdict>| all.get(index)).copied();
            match concern {
                Concern::Device { device, id } => {
                    stored |= verdict == Some(Verdict::Stored);
                    let verdict = self.gather(at, peer, &item, verdict, &mut copies);
                    replies.note(device, id, &item, verdict);
                }
                Concern::Told(positions) => self.on_told(now, peer, &item, &positions, verdict)?,
                Concern::Owed(id) if is_final(verdict) => {
                    self.sql.run("DELETE FROM owed WHERE id = ?", &[id.into()])?;
                }
                Concern::Query { device, query } => {
                    let is_found = verdict == Some(Verdict::Delivered);
                    let found = if is_found { keys.next() } else { None };
                    self.on_keys(device, query, verdict, found);
                }
                Concern::Watch => self.on_watched(peer, at, verdict),
                Concern::Watcher => self.on_watcher_told(peer, verdict)?,
                Concern::Owed(_) | Concern::Nobody => {}
            }
        }
        if stored {
            self.ledger.stored_elsewhere();
        }
        self.admit_copies(now, copies)?;
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
        let mut replies = replies;
        for (device, ids) in std::mem::take(&mut replies.sent) {
            self.tell_sent(device, ids, at);
        }
        let delivered = std::mem::take(&mut replies.delivered);
        self.tell_refused(replies);
        if delivered.is_empty() {
            return Ok(());
        }
        let id = self.mint();
        let receipt =
            Receipted { id, from: peer, ids: delivered, mark: Mark::Delivered, at, to: None };
        let frame = ServerFrame::Receipt(receipt);
        let (device, repeats, except, must_store) = (None, None, None, false);
        let incoming = Incoming { id, from: peer, device, repeats, except, must_store, frame };
        self.admit_all(now, &mut vec![(0, incoming)], self.slots()).map(drop)
    }

    pub(crate) fn tell_refused(&mut self, replies: Replies) {
        for ((device, code), (ids, retry_after)) in replies.refused {
            self.tell(device, &ServerFrame::Refused(Refused { ids, code, retry_after }));
        }
    }

    /// The sender's mailbox was told that a device has its messages; or it couldn't be, and is owed
    /// that.
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
        if stored && !is_final(verdict) {
            self.owe(now, peer, item)?;
        }
        Ok(())
    }

    /// Deletes what is done with, and records how far each device is in what is not.
    pub(crate) fn record(&mut self) -> Result<(), StorageError> {
        self.on_queue(|queue, sql| queue.delete_done(sql))?;
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

/// What a step has found out about what others sent.
#[derive(Default)]
pub(crate) struct News {
    /// Messages and receipts that their device need not repeat any more.
    pub(crate) safe: Vec<(PhoneNumber, DeviceId, MessageId)>,
    /// Messages that a device has.
    pub(crate) delivered: Vec<Delivered>,
    /// Copies that are stored, or with every device that needs them, by the device whose they are.
    pub(crate) copied: Vec<(DeviceId, MessageId)>,
}

impl News {
    /// What a device repeats need not be repeated any more.
    pub(crate) fn repeated(&mut self, repeats: Option<DeviceId>, entry: &Entry) {
        let Some(device) = repeats else { return };
        match entry.except {
            Some(_) => self.copied.push((device, entry.id)),
            None => self.safe.push((entry.from, device, entry.id)),
        }
    }
}

/// A message that a device has.
pub(crate) struct Delivered {
    pub(crate) peer: PhoneNumber,
    pub(crate) device: DeviceId,
    pub(crate) stored: bool,
    pub(crate) id: MessageId,
    pub(crate) position: Position,
}

/// What the devices that handed something over are to hear, gathered over one answer.
#[derive(Default)]
pub(crate) struct Replies {
    pub(crate) sent: LiteMap<DeviceId, Vec<MessageId>>,
    /// Messages that a device of the peer has already.
    delivered: Vec<MessageId>,
    refused: LiteMap<(DeviceId, ErrorCode), (Vec<MessageId>, Option<Millis>)>,
}

impl Replies {
    fn note(&mut self, device: DeviceId, id: MessageId, item: &PeerItem, verdict: Option<Verdict>) {
        let is_message = matches!(item, PeerItem::Message(_));
        let refusal = match verdict {
            // `stored` or `delivered` follows in a call; if not, the device asks again.
            Some(Verdict::Held) => return,
            Some(Verdict::Delivered) if is_message => {
                self.delivered.push(id);
                return self.sent(device, id);
            }
            Some(Verdict::Stored | Verdict::Delivered) => {
                return self.sent(device, id);
            }
            Some(Verdict::Refused { code, retry_after }) => Refusal { code, retry_after },
            // Not the answer to that.
            Some(Verdict::Seen { .. }) | None => {
                Refusal { code: ErrorCode::Unavailable, retry_after: Some(RETRY) }
            }
        };
        self.refuse(device, id, refusal);
    }

    pub(crate) fn sent(&mut self, device: DeviceId, id: MessageId) {
        self.sent.entry(device).or_default().push(id);
    }

    pub(crate) fn refuse(&mut self, device: DeviceId, id: MessageId, refusal: Refusal) {
        let (ids, retry_after) = self.refused.entry((device, refusal.code)).or_default();
        ids.push(id);
        *retry_after = refusal.retry_after.max(*retry_after);
    }
}
