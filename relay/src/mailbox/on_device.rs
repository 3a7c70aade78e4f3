//! The entrance for devices: a socket opens, says something, closes.

use estafette_protocol::http::Attribute;
use estafette_protocol::{
    Ack, ClientFrame, Decoded, DeviceId, Drained, ErrorCode, ErrorFrame, Hello, Mark, MessageId,
    Millis, News as LogNews, PhoneNumber, Receipt, Refused, Send, ServerFrame, WireMessage, limits,
};

use super::Mailbox;
use super::copies::Gathered;
use super::on_peer::{Delivered, News};
use super::suspended;
use crate::config::Config;
use crate::effect::{Connect, Effect, Refusal, SocketId};
use crate::entry::{Place, Position};
use crate::lane::{Concern, LANE_ITEMS_MAX, LaneItem};
use crate::peer::{PeerItem, PeerMessage, Verdict};
use crate::session::Session;
use crate::sql::{Sql, StorageError};

/// Stored frames in one WebSocket message: half of what may be unacknowledged, so that the next are
/// on their way while a device commits.
const DRAIN_FRAMES: usize = limits::UNACKNOWLEDGED_MAX / 2;

type Opened = Result<(SocketId, Vec<Effect>), Refusal>;

impl<S: Sql> Mailbox<S> {
    /// A device asks for a socket. On success the shell accepts it under the id given, and then
    /// carries out the effects.
    pub fn on_connect(&mut self, now: Millis, connect: Connect) -> Result<Opened, StorageError> {
        self.ledger.request(now, true);
        self.lapse(now)?;
        let known = self.account == Some(connect.account);
        let Some(slot) = self.device(connect.device).map(|device| device.slot).filter(|_| known)
        else {
            return Ok(Err(ErrorCode::DeviceRemoved.into()));
        };
        if self.suspended_at.is_some() {
            return Ok(Err(suspended()));
        }
        if let Err(wait) = self.ledger.check(now, self.limits(now).daily_budget) {
            let code = ErrorCode::BudgetExhausted;
            return Ok(Err(Refusal { code, retry_after: Some(wait) }));
        }
        if let Some(earlier) = self.socket_of(connect.device) {
            self.commit_held(now)?;
            self.dismiss(earlier, ErrorCode::Replaced);
        }
        if let Some(pusher) =
            self.device_mut(connect.device).and_then(|device| device.push.as_mut())
        {
            pusher.is_awake();
        }
        self.touch(now, connect.device)?;
        let socket = self.new_socket();
        let session = Session {
            device: connect.device,
            slot,
            encoding: connect.encoding,
            sent_through: 0,
            unacknowledged: 0,
            drained: false,
            batches: Default::default(),
            available: false,
            watched: Vec::new(),
            behind: false,
            posted: Default::default(),
        };
        self.sessions.insert(socket, session);
        let waiting = self.queue.waiting_for(slot);
        let (account, device) = (connect.account, connect.device);
        let key_packages = self.keys_left(slot, device)?;
        let hello = Hello { account, device, now, waiting, key_packages };
        self.put(socket, &ServerFrame::Hello(hello));
        let conversations = self.marked_for(slot)?;
        if !conversations.is_empty() {
            self.put(socket, &ServerFrame::News(LogNews { conversations }));
        }
        self.remember(socket);
        self.fill(socket)?;
        Ok(Ok((socket, self.finish(now)?)))
    }

    /// A device says something.
    pub fn on_message(
        &mut self,
        now: Millis,
        socket: SocketId,
        message: &WireMessage,
    ) -> Result<Vec<Effect>, StorageError> {
        self.ledger.socket_message(now);
        let Some(session) = self.sessions.get_mut(&socket) else { return self.finish(now) };
        let (device, encoding) = (session.device, session.encoding);
        let (burst, rate) = (self.config.batch_burst, self.config.batches_per_second);
        if session.batches.take(now, burst, rate).is_err() {
            self.commit_held(now)?;
            self.dismiss(socket, ErrorCode::RateLimited);
            return self.finish(now);
        }
        self.touch(now, device)?;
        match encoding.decode_client(message) {
            Err(error) => {
                let error = ErrorFrame { code: error.into(), index: None };
                self.put(socket, &ServerFrame::Error(error));
            }
            Ok(batch) => {
                for (index, decoded) in batch.into_iter().enumerate() {
                    self.on_decoded(now, socket, device, index, decoded)?;
                }
            }
        }
        self.finish(now)
    }

    /// A socket is closed, by either side.
    pub fn on_close(&mut self, now: Millis, socket: SocketId) -> Result<Vec<Effect>, StorageError> {
        if let Some(session) = self.sessions.remove(&socket) {
            self.touch(now, session.device)?;
            self.commit_held(now)?;
            self.copies.forget(session.device);
            self.wake_one(now, session.device, session.behind)?;
        }
        self.finish(now)
    }

    fn on_decoded(
        &mut self,
        now: Millis,
        socket: SocketId,
        device: DeviceId,
        index: usize,
        decoded: Decoded<ClientFrame>,
    ) -> Result<(), StorageError> {
        let fault = |code| ServerFrame::Error(ErrorFrame { code, index: Some(index as u64) });
        match decoded {
            Decoded::Frame(ClientFrame::Send(send)) => self.on_send(now, device, send),
            Decoded::Frame(ClientFrame::Receipt(receipt)) => {
                self.on_receipt(now, device, receipt)?;
            }
            Decoded::Frame(ClientFrame::Ack(ack)) if ack.ids.len() > limits::IDS_MAX => {
                self.put(socket, &fault(ErrorCode::TooMany));
            }
            Decoded::Frame(ClientFrame::Ack(ack)) => self.on_ack(now, socket, ack)?,
            Decoded::Frame(ClientFrame::Presence(presence)) => {
                if let Err(code) = self.on_presence(now, socket, device, presence)? {
                    self.put(socket, &fault(code));
                }
            }
            Decoded::Frame(ClientFrame::ChatState(state)) => {
                if let Err(code) = self.on_chat_state(now, device, state)? {
                    self.put(socket, &fault(code));
                }
            }
            Decoded::Frame(ClientFrame::Post(post)) => self.on_post(now, device, post),
            Decoded::Frame(ClientFrame::Passed(said)) => self.on_passed(socket, device, said),
            Decoded::Frame(ClientFrame::PublishKeys(said)) => {
                self.on_publish_keys(now, device, said)?;
            }
            Decoded::Frame(ClientFrame::Enlist(said)) => self.on_enlist(now, device, said)?,
            Decoded::Frame(ClientFrame::FetchKeys(said)) => {
                self.on_fetch_keys(now, device, said)?
            }
            Decoded::Frame(ClientFrame::Commit(said)) => self.on_commit(now, device, *said),
            Decoded::Frame(ClientFrame::FetchLog(said)) => self.on_fetch_log(now, device, said),
            Decoded::Frame(ClientFrame::Leave(said)) => self.on_leave(now, device, said),
            Decoded::Frame(ClientFrame::Knock(said)) => self.on_knock(now, device, said),
            Decoded::Malformed(Some(id)) => self.refuse(device, id, ErrorCode::Malformed.into()),
            Decoded::Malformed(None) => self.put(socket, &fault(ErrorCode::Malformed)),
            Decoded::Unknown => self.put(socket, &fault(ErrorCode::UnknownFrame)),
        }
        Ok(())
    }

    fn on_send(&mut self, now: Millis, device: DeviceId, send: Send) {
        if let Err(refusal) = self.admit_send(now, device, &send) {
            return self.refuse(device, send.id, refusal);
        }
        let Send { id, to, body, chained, after } = send;
        let item = PeerItem::Message(PeerMessage { id, device, body, chained, after });
        self.post(to, LaneItem { item, concern: Concern::Device { device, id } });
    }

    fn admit_send(&mut self, now: Millis, device: DeviceId, send: &Send) -> Result<(), Refusal> {
        if send.body.0.len() > limits::BODY_BYTES_MAX {
            return Err(ErrorCode::TooLarge.into());
        }
        if send.id.number == 0 || send.follows() >= send.id.number {
            return Err(ErrorCode::Malformed.into());
        }
        self.admit(now, device, send.to, |device| &mut device.sends)
    }

    fn on_receipt(
        &mut self,
        now: Millis,
        device: DeviceId,
        receipt: Receipt,
    ) -> Result<(), StorageError> {
        let id = receipt.id;
        if let Err(refusal) = self.admit_receipt(now, device, &receipt) {
            self.refuse(device, id, refusal);
            return Ok(());
        }
        let Receipt { to, ids, mark, .. } = receipt;
        let item = PeerItem::Receipt { id, device, ids, mark, at: now };
        if self.shows(to, Attribute::ReadMarks)? {
            self.post(to, LaneItem { item, concern: Concern::Device { device, id } });
            return Ok(());
        }
        // It is for the account's other devices alone.
        let mut copies = Gathered::new();
        self.gather(now, to, &item, Some(Verdict::Stored), &mut copies);
        self.admit_copies(now, copies)?;
        self.tell_sent(device, vec![id], now);
        Ok(())
    }

    fn admit_receipt(
        &mut self,
        now: Millis,
        device: DeviceId,
        receipt: &Receipt,
    ) -> Result<(), Refusal> {
        if receipt.ids.len() > limits::IDS_MAX {
            return Err(ErrorCode::TooMany.into());
        }
        // Only the server knows what was delivered; and nobody tells oneself what one has read.
        let to_oneself = self.account == Some(receipt.to);
        if receipt.mark == Mark::Delivered || receipt.ids.is_empty() || to_oneself {
            return Err(ErrorCode::Malformed.into());
        }
        self.admit(now, device, receipt.to, |device| &mut device.receipts)
    }

    /// What every hand-over must pass: the device's rate, the account's budget, room on the way.
    fn admit(
        &mut self,
        now: Millis,
        device: DeviceId,
        to: PhoneNumber,
        bucket: impl Fn(&mut super::Device) -> &mut crate::bucket::Bucket,
    ) -> Result<(), Refusal> {
        self.admit_rate(now, device, bucket)?;
        self.has_room(to)
    }

    fn admit_rate(
        &mut self,
        now: Millis,
        device: DeviceId,
        bucket: impl Fn(&mut super::Device) -> &mut crate::bucket::Bucket,
    ) -> Result<(), Refusal> {
        let Config { send_burst: burst, sends_per_second: rate, daily_budget, .. } =
            self.limits(now);
        let Some(known) = self.device_mut(device) else {
            return Err(ErrorCode::DeviceRemoved.into());
        };
        let refusal = |code| move |wait| Refusal { code, retry_after: Some(wait) };
        bucket(known).take(now, burst, rate).map_err(refusal(ErrorCode::RateLimited))?;
        self.ledger.check(now, daily_budget).map_err(refusal(ErrorCode::BudgetExhausted))
    }

    /// A message for a conversation counts as one for an account.
    pub(crate) fn admit_post(&mut self, now: Millis, device: DeviceId) -> Result<(), Refusal> {
        self.admit_rate(now, device, |device| &mut device.sends)
    }

    /// Whether something more may wait for another account.
    pub(crate) fn has_room(&self, to: PhoneNumber) -> Result<(), Refusal> {
        match self.lanes.get(&to) {
            Some(lane) if lane.waiting.len() >= LANE_ITEMS_MAX => {
                Err(Refusal { code: ErrorCode::Unavailable, retry_after: Some(1000) })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn refuse(&mut self, device: DeviceId, id: MessageId, refusal: Refusal) {
        let Refusal { code, retry_after } = refusal;
        self.tell(device, &ServerFrame::Refused(Refused { ids: vec![id], code, retry_after }));
    }

    fn on_ack(&mut self, now: Millis, socket: SocketId, ack: Ack) -> Result<(), StorageError> {
        let Some(session) = self.sessions.get(&socket) else { return Ok(()) };
        let (slot, through) = (session.slot, session.sent_through);
        let mut acknowledged = 0;
        let mut news = News::default();
        for id in ack.ids {
            let positions: Vec<Position> = self.queue.positions_of(id).collect();
            for position in positions {
                let Some(entry) = self.queue.entry_mut(position) else { continue };
                let (held, repeats) = match entry.place {
                    Place::Held { repeats, .. } => (true, repeats),
                    Place::Page(_) => (false, None),
                };
                if !entry.waiting.contains(slot) || !(held || position <= through) {
                    continue;
                }
                entry.waiting.remove(slot);
                acknowledged += 1;
                let complete = entry.waiting.is_empty();
                // What is held is safe only once every device has it.
                if !entry.telling && (complete || !held) {
                    entry.telling = true;
                    news.delivered.extend(entry.device.map(|device| Delivered {
                        peer: entry.from,
                        device,
                        stored: !held,
                        id,
                        position,
                    }));
                }
                if complete {
                    news.repeated(repeats, entry);
                    if held || entry.is_done() {
                        self.queue.remove(position);
                    }
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.unacknowledged = session.unacknowledged.saturating_sub(acknowledged);
        }
        self.spread(now, news);
        self.record()?;
        self.fill(socket)
    }

    /// Puts on a socket what is stored for its device, as far as its window allows.
    pub(crate) fn fill(&mut self, socket: SocketId) -> Result<(), StorageError> {
        let Some(session) = self.sessions.get_mut(&socket) else { return Ok(()) };
        let before = (session.sent_through, session.drained);
        loop {
            let window = limits::UNACKNOWLEDGED_MAX.saturating_sub(session.unacknowledged);
            // A piece smaller than that would cut pages up for nothing.
            if window < DRAIN_FRAMES {
                break;
            }
            let (slot, after) = (session.slot, session.sent_through);
            let Some(chunk) = self.queue.next_chunk(&self.sql, slot, after, DRAIN_FRAMES)? else {
                if !session.drained {
                    session.drained = true;
                    let drained = ServerFrame::Drained(Drained {});
                    self.outgoing.push(socket, session.encoding, &drained);
                }
                break;
            };
            session.sent_through = chunk.through;
            session.unacknowledged += chunk.count;
            let (count, frames) = (chunk.count, &chunk.frames);
            self.outgoing.push_stored(socket, session.encoding, count, frames)?;
        }
        if before != (session.sent_through, session.drained) {
            self.remember(socket);
        }
        Ok(())
    }
}
