//! What the server says, one transaction for each batch.
//!
//! Invariants:
//! - a message or receipt is acknowledged only after the transaction that keeps it is committed;
//! - a message is told of once, however often it comes;
//! - what could not be kept is not acknowledged: the server delivers it again on the next connection.

use std::collections::BTreeMap;

use estafette_protocol::{
    Body, Decoded, Deliver, DeviceId, ErrorCode, Fault, Mark, MessageId, Millis, PhoneNumber,
    Receipted, Refused, ServerFrame, WireMessage,
};

use super::Client;
use super::connection::is_signed_out;
use super::retry::Refusal;
use crate::clock::Timer;
use crate::content::Repair;
use crate::store::{Heard, Kept};
use crate::{Content, Effect, Event, Message, Status, StoreError};

/// Acknowledgements that do not wait for company: a quarter of what the server lets stand.
const ACKS_WAITING_MAX: usize = 64;
/// A shorter wait after a refusal is not worth telling the user.
const REFUSAL_TOLD: Millis = 1000;

/// What one batch changes in the place of the streams that come in: as the store has it, and as it
/// is to be.
pub(super) type Hearing = BTreeMap<(PhoneNumber, DeviceId, u64), (Option<Heard>, u64)>;

impl Client {
    /// The server said something.
    pub(super) fn on_message(
        &mut self,
        now: Millis,
        message: &WireMessage,
    ) -> Result<(), StoreError> {
        if !self.is_linked() {
            return Ok(());
        }
        self.heard_something(now);
        let batch = match self.config.encoding.decode_server(message) {
            Ok(batch) => batch,
            Err(error) => {
                self.tell(Event::Error(error.into()));
                self.give_up_connection(now);
                return Ok(());
            }
        };
        self.store.begin()?;
        let outcome = self.take_batch(now, batch);
        self.store.end(outcome)
    }

    fn take_batch(
        &mut self,
        now: Millis,
        batch: Vec<Decoded<ServerFrame>>,
    ) -> Result<(), StoreError> {
        let mut hearing = Hearing::new();
        for decoded in batch {
            // Said goodbye, or greeted as somebody else: what follows is for another connection.
            if !self.is_linked() {
                break;
            }
            match decoded {
                Decoded::Frame(frame) => self.on_frame(now, frame, &mut hearing)?,
                // A later version of the server says more.
                Decoded::Unknown => {}
                Decoded::Malformed(_) => self.tell(Event::Error(ErrorCode::Malformed)),
            }
        }
        self.heard(hearing)
    }

    /// Notes how far streams that come in were seen, and asks for what cannot be opened.
    pub(super) fn heard(&mut self, hearing: Hearing) -> Result<(), StoreError> {
        self.ask_again()?;
        let kept_at = self.clock.age_from();
        for ((peer, device, stream), (before, last)) in hearing {
            if before.is_none_or(|before| before.number < last) {
                self.store.set_heard(peer, device, stream, last, kept_at)?;
            }
        }
        Ok(())
    }

    fn on_frame(
        &mut self,
        now: Millis,
        frame: ServerFrame,
        hearing: &mut Hearing,
    ) -> Result<(), StoreError> {
        match frame {
            ServerFrame::Hello(hello) => self.on_hello(now, &hello)?,
            ServerFrame::Deliver(deliver) => self.on_deliver(now, deliver, hearing)?,
            ServerFrame::Receipt(receipt) => self.on_receipt(now, receipt)?,
            ServerFrame::Sent(sent) => {
                for id in sent.ids {
                    self.on_taken(now, id)?;
                }
            }
            ServerFrame::Refused(refused) => self.on_refused(now, refused)?,
            ServerFrame::Drained(_) => {
                self.drained = true;
                self.conversations.look_at_all();
            }
            ServerFrame::Presence(seen) => self.on_presence(seen),
            ServerFrame::ChatState(doing) => self.on_chat_state(now, doing),
            ServerFrame::KeysChanged(changed) => {
                self.keys_may_have_changed(now, changed.from);
                if changed.from == self.me.account {
                    return Ok(());
                }
                self.tell(Event::KeysChanged { peer: changed.from, at: changed.at });
            }
            ServerFrame::Done(done) => self.on_done(done.query, done.place)?,
            ServerFrame::Denied(denied) => self.on_denied(now, denied)?,
            ServerFrame::Keys(keys) => self.on_keys(now, keys)?,
            ServerFrame::Log(log) => self.on_log(now, *log)?,
            ServerFrame::Posted(posted) => self.on_posted(now, posted)?,
            ServerFrame::News(news) => self.on_news(&news),
            ServerFrame::Goaway(goaway) => self.on_goaway(now, goaway),
            ServerFrame::Error(error) => self.tell(Event::Error(error.code)),
        }
        Ok(())
    }

    /// A message, or a copy of what another device of this account wrote.
    fn on_deliver(
        &mut self,
        now: Millis,
        deliver: Deliver,
        hearing: &mut Hearing,
    ) -> Result<(), StoreError> {
        let (from, device, id) = (deliver.from, deliver.device, deliver.id);
        let copied_to = self.copied_to(from, deliver.to);
        let peer = copied_to.unwrap_or(from);
        let own = (from, device) == (self.me.account, self.me.device);
        let written_here = own && self.store.place_of(peer, false, id)?.is_some();
        let known = written_here || self.store.place_of(peer, copied_to.is_none(), id)?.is_some();
        let (before, _) = self.heard_of(&deliver, hearing)?;
        if known || before.is_some_and(|before| id.number <= before.pruned) {
            self.acks.push(id);
            self.ack_now();
            return Ok(());
        }
        self.take_sealed(now, deliver, hearing)
    }

    /// How far the stream of a delivery was seen: as the store has it, and in this batch.
    fn heard_of(
        &self,
        deliver: &Deliver,
        hearing: &Hearing,
    ) -> Result<(Option<Heard>, u64), StoreError> {
        let Deliver { from, device, id, .. } = *deliver;
        if let Some(heard) = hearing.get(&(from, device, id.stream)) {
            return Ok(*heard);
        }
        let before = self.store.heard(from, device, id.stream)?;
        Ok((before, before.map_or(0, |before| before.number)))
    }

    /// A message that was opened, or cannot be: it is kept, and told of.
    pub(super) fn show(
        &mut self,
        deliver: Deliver,
        content: Vec<u8>,
        hearing: &mut Hearing,
    ) -> Result<(), StoreError> {
        self.acks.push(deliver.id);
        self.ack_now();
        let (before, last) = self.heard_of(&deliver, hearing)?;
        let deliver = Deliver { body: Body(content), ..deliver };
        let (from, device, id) = (deliver.from, deliver.device, deliver.id);
        let copied_to = self.copied_to(from, deliver.to);
        let peer = copied_to.unwrap_or(from);
        let incoming = copied_to.is_none();
        let repair = Repair::read(&deliver.body.0);
        let hidden = repair.is_some();
        let read = incoming && (hidden || self.open_chat == Some(peer));
        let status = match (incoming, read) {
            (false, _) => Status::Sent,
            (true, false) => Status::Delivered,
            (true, true) => Status::Read,
        };
        let kept = Kept { peer, incoming, status, hidden, at: self.clock.age_from() };
        let Some(place) = self.store.receive(&deliver, kept)? else { return Ok(()) };
        let is_known = before.is_some() || last > 0;
        if incoming && is_known && deliver.after.unwrap_or_else(|| id.previous()) > last {
            self.tell(Event::Gap { peer, id, last });
        }
        hearing.insert((from, device, id.stream), (before, last.max(id.number)));
        if let Some(repair) = repair {
            return if incoming { self.on_repair(&deliver, repair) } else { Ok(()) };
        }
        if matches!(Content::read(&deliver.body.0), Ok(Content::Unopened(why)) if why.may_be_read())
        {
            self.is_unreadable(&deliver, peer);
        }
        if read {
            self.owe(peer, vec![id])?;
        }
        let (body, at) = (deliver.body.0, deliver.at);
        let message = Message { place, peer, device, id, incoming, body, at, status };
        if incoming {
            self.typing.has_written(peer);
            self.tell(Event::Received(message));
            return Ok(());
        }
        self.written_elsewhere(message)
    }

    /// Notes that a peer is to be told of messages that were read.
    pub(super) fn owe(&mut self, peer: PhoneNumber, ids: Vec<MessageId>) -> Result<(), StoreError> {
        if peer == self.me.account {
            return Ok(());
        }
        let owed = ids.into_iter().map(|id| self.store.owe(peer, id, Mark::Read));
        let owed = owed.collect::<Result<Vec<_>, _>>()?;
        self.receipts.add(owed);
        Ok(())
    }

    fn on_receipt(&mut self, now: Millis, receipt: Receipted) -> Result<(), StoreError> {
        let Receipted { id, from, ids, mark, to, .. } = receipt;
        self.acks.push(id);
        if self.acks.len() >= ACKS_WAITING_MAX {
            self.ack_now();
        } else if self.ack_timer.is_none() {
            self.ack_timer = Some(Timer::after(now, self.config.ack));
        }
        if let Some(peer) = to.filter(|_| from == self.me.account) {
            return self.read_elsewhere(peer, &ids, mark);
        }
        for id in ids {
            match self.outbox.peer_of(id) {
                // Only `sent` says that the message is safe: that one device of the peer's has it says
                // nothing of the others, nor of the copies for this account's own.
                Some(peer) if peer == from => self.advance(now, from, id, mark.into(), false)?,
                Some(_) => {}
                None => self.written_came_further(from, id, mark.into())?,
            }
        }
        Ok(())
    }

    /// The server has a message or a receipt of this device.
    fn on_taken(&mut self, now: Millis, id: MessageId) -> Result<(), StoreError> {
        if self.receipts.made(id) {
            return self.settle_receipt(now, id);
        }
        match self.outbox.peer_of(id) {
            Some(peer) => self.advance(now, peer, id, Status::Sent, true),
            None => Ok(()),
        }
    }

    fn settle_receipt(&mut self, now: Millis, id: MessageId) -> Result<(), StoreError> {
        let rows = self.receipts.settle(now, id, &self.config, &mut self.entropy);
        self.store.settle_receipts(&rows)
    }

    fn advance(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        id: MessageId,
        status: Status,
        settles: bool,
    ) -> Result<(), StoreError> {
        let queued = self.outbox.get(id).filter(|_| settles);
        if self.store.advance(peer, id, status, settles)? {
            self.tell(Event::Status { peer, id, status });
        } else if let Some(queued) = queued {
            self.store.settle(queued.place)?;
        }
        if !settles {
            return Ok(());
        }
        self.outbox.settle(now, id, &self.config, &mut self.entropy);
        Ok(())
    }

    fn on_refused(&mut self, now: Millis, refused: Refused) -> Result<(), StoreError> {
        let Refused { ids, code, retry_after } = refused;
        if is_signed_out(code) {
            self.effects.push(Effect::Disconnect);
            self.sign_out(code);
            return Ok(());
        }
        let for_now = matches!(code, ErrorCode::OutOfOrder | ErrorCode::Replaced)
            || code.fault() != Fault::Caller;
        let refusal = Refusal { code, retry_after };
        for id in ids {
            match (self.receipts.made(id), for_now) {
                (true, false) => self.settle_receipt(now, id)?,
                (true, true) => {
                    let entropy = &mut self.entropy;
                    self.receipts.refused(now, id, refusal, &self.config, entropy);
                }
                (false, false) => {
                    if let Some(queued) = self.outbox.get(id) {
                        let failed = self.store.give_up(queued.peer, id)?;
                        self.outbox.give_up(id);
                        if failed {
                            self.tell(Event::Failed { peer: queued.peer, id, code });
                        }
                    }
                }
                (false, true) => self.refused_for_now(now, id, refusal),
            }
        }
        Ok(())
    }

    fn refused_for_now(&mut self, now: Millis, id: MessageId, refusal: Refusal) {
        let rewound = self.outbox.rewind(now, id, refusal, &self.config, &mut self.entropy);
        let Some((peer, timer)) = rewound else { return };
        let retry_at = timer.at();
        if refusal.code != ErrorCode::OutOfOrder && retry_at.saturating_sub(now) >= REFUSAL_TOLD {
            self.tell(Event::Refused { peer, code: refusal.code, retry_at });
        }
    }
}
