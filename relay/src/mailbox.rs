//! The mailbox of one account: who is connected, what waits, and the ways to other mailboxes.
//!
//! Invariants that this file and its two entrances guard:
//! - *sent means safe*: a device is told `sent` only of what is stored, or acknowledged by every device
//!   of the recipient;
//! - an acknowledgement covers only what was put on a socket of the device that acknowledges;
//! - what a step tells anyone, it has committed before: effects come after the writes;
//! - nothing is armed while nothing is in flight.

mod copies;
mod devices;
mod groups;
mod keys;
mod lookup;
mod marks;
mod moving;
mod on_device;
mod on_peer;
mod on_push;
mod on_time;
mod ownership;
mod pin;
mod presence;
mod privacy;
mod profile;
mod suspension;

use copies::Copies;
pub(crate) use devices::NewDevice;
use estafette_protocol::{
    DeviceId, ErrorCode, Goaway, MessageId, Millis, PhoneNumber, ServerFrame,
};
use litemap::LiteMap;
use lookup::Lookups;
use marks::Marks;
pub use moving::Moving;
pub use pin::PinHash;
use presence::Presence;
use privacy::Privacy;
pub(crate) use suspension::suspended;

use crate::bucket::Bucket;
use crate::config::Config;
use crate::effect::{Effect, SocketId, Wake};
use crate::entry::Position;
use crate::lane::{Lane, LaneItem};
use crate::ledger::Ledger;
use crate::outgoing::Outgoing;
use crate::push::Pusher;
use crate::queue::{Queue, Reach};
use crate::schema;
use crate::session::{Attachment, Session};
use crate::sql::{Columns, Sql, StorageError};
use crate::stream::Streams;

/// One device of the account.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) slot: u8,
    pub(crate) id: DeviceId,
    pub(crate) name: String,
    pub(crate) registered_at: Millis,
    /// Everything at or before it was acknowledged, and its senders told.
    pub(crate) cursor: Position,
    /// Nothing at or before it is for this device.
    pub(crate) since: Position,
    /// The day on which it last connected, counted from 1970; 0: not yet, as far as is known.
    pub(crate) seen_on: u64,
    pub(crate) sends: Bucket,
    pub(crate) receipts: Bucket,
    /// What it says of its user.
    pub(crate) signals: Bucket,
    /// What it asks.
    pub(crate) queries: Bucket,
    /// Where to push to it, if it has subscribed.
    pub(crate) push: Option<Pusher>,
}

/// The state machine of one account; see the crate's documentation.
///
/// An `Err` of any method means that the database failed: undo what the step wrote, cut the sockets and
/// wake a new mailbox.
pub struct Mailbox<S> {
    pub(crate) sql: S,
    pub(crate) config: Config,
    /// The account's number, once it was proven.
    pub(crate) account: Option<PhoneNumber>,
    pub(crate) devices: Vec<Device>,
    pub(crate) sessions: LiteMap<SocketId, Session>,
    pub(crate) queue: Queue,
    pub(crate) streams: Streams,
    pub(crate) lanes: LiteMap<PhoneNumber, Lane>,
    pub(crate) conversations: groups::Lanes,
    pub(crate) marks: Marks,
    pub(crate) ledger: Ledger,
    pub(crate) outgoing: Outgoing,
    pub(crate) copies: Copies,
    pub(crate) presence: Presence,
    pub(crate) privacy: Privacy,
    /// When the account's number was first proven; 0 where there is none.
    pub(crate) registered_at: Millis,
    /// When it was suspended, if it is.
    pub(crate) suspended_at: Option<Millis>,
    pub(crate) lookups: Lookups,
    /// The day on which devices were last looked through for those that do not come any more.
    pub(crate) lapsed_on: u64,
    pub(crate) effects: Vec<Effect>,
    seed: u64,
    minted: u64,
    last_socket: u32,
    last_push: u32,
    /// The mailbox woke with something in it: what the last step before wanted to put on sockets, or
    /// to delete, may not have come to pass.
    resuming: bool,
    timer: Option<Millis>,
    /// All that is stored is to be deleted when the step ends.
    forgotten: bool,
    /// The alarm that is wanted, and the one that the shell has set.
    alarm: Option<Millis>,
    alarm_set: Option<Millis>,
}

impl<S: Sql> Mailbox<S> {
    /// Brings a mailbox into memory. Reads; writes only when the schema must be upgraded.
    pub fn wake(sql: S, config: Config, wake: Wake) -> Result<Self, StorageError> {
        let mut mailbox = Self {
            sql,
            config,
            account: None,
            devices: Vec::new(),
            sessions: LiteMap::new(),
            queue: Queue::default(),
            streams: Streams::default(),
            lanes: LiteMap::new(),
            conversations: LiteMap::new(),
            marks: Marks::default(),
            ledger: Ledger::default(),
            outgoing: Outgoing::default(),
            copies: Copies::default(),
            presence: Presence::default(),
            privacy: Privacy::default(),
            registered_at: 0,
            suspended_at: None,
            lookups: Lookups::default(),
            lapsed_on: 0,
            effects: Vec::new(),
            seed: wake.seed,
            minted: 0,
            last_socket: 0,
            last_push: 0,
            resuming: false,
            timer: None,
            forgotten: false,
            alarm: wake.alarm,
            alarm_set: wake.alarm,
        };
        if schema::upgrade(&mailbox.sql)? {
            mailbox.load(&wake.sockets)?;
        }
        Ok(mailbox)
    }

    fn load(&mut self, sockets: &[Vec<u8>]) -> Result<(), StorageError> {
        self.ledger = Ledger::load(&self.sql)?;
        self.load_suspension()?;
        let query = "SELECT number, registered_at, last_seen, privacy,
                EXISTS (SELECT 1 FROM person), looked_up, lookup_day, looked_up_today FROM account";
        if let Some(row) = self.sql.run(query, &[])?.pop() {
            let mut columns = Columns::of(row);
            let number = PhoneNumber::from_digits(columns.integer()?);
            self.account = Some(number.or(Err(StorageError::Row("the account's number")))?);
            self.registered_at = columns.integer()?;
            self.presence.last_seen = columns.integer()?;
            self.privacy = Privacy::new(columns.integer()?, columns.integer()? != 0);
            let (first, day, today) = (columns.integer()?, columns.integer()?, columns.integer()?);
            self.lookups = Lookups::new(first, day, today);
        }
        let query = "SELECT slot, device, name, registered_at, cursor, since, seen_on FROM device
             ORDER BY slot";
        for row in self.sql.run(query, &[])? {
            let mut columns = Columns::of(row);
            self.devices.push(Device {
                slot: columns.integer()? as u8,
                id: DeviceId::from_bytes(columns.array()?),
                name: columns.text()?,
                registered_at: columns.integer()?,
                cursor: columns.integer()?,
                since: columns.integer()?,
                seen_on: columns.integer()?,
                sends: Bucket::default(),
                receipts: Bucket::default(),
                signals: Bucket::default(),
                queries: Bucket::default(),
                push: None,
            });
        }
        self.load_subscriptions()?;
        let attachments: Vec<_> =
            sockets.iter().filter_map(|bytes| Attachment::decode(bytes)).collect();
        let beyond = attachments.iter().map(|attachment| attachment.sent_through).max();
        let reaches = self.devices.iter().map(|device| {
            let Device { slot, cursor, since, .. } = *device;
            Reach { slot, cursor, since }
        });
        let reaches: Vec<_> = reaches.collect();
        self.queue = Queue::load(&self.sql, &reaches, beyond.unwrap_or(0))?;
        for entry in self.queue.entries() {
            if let Some(device) = entry.device {
                self.streams.recall((entry.from, device, entry.id.stream), entry.id.number);
            }
        }
        for attachment in &attachments {
            self.last_socket = self.last_socket.max(attachment.socket);
            if attachment.closed {
                continue;
            }
            let Some(device) = self.device(attachment.device) else { continue };
            let mut session = Session::resume(attachment, device.slot);
            session.unacknowledged = self.queue.unacknowledged(session.slot, session.sent_through);
            self.sessions.insert(SocketId(attachment.socket), session);
        }
        self.presence.available = self.is_available();
        self.resuming = !self.queue.is_empty();
        Ok(())
    }

    /// Its database.
    pub fn sql(&self) -> &S {
        &self.sql
    }

    /// Gives the database back, as an eviction leaves it.
    pub fn into_sql(self) -> S {
        self.sql
    }

    /// How many messages and receipts are in the mailbox, held ones included.
    pub fn waiting(&self) -> u64 {
        self.queue.len()
    }

    pub(crate) fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    pub(crate) fn device_mut(&mut self, id: DeviceId) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.id == id)
    }

    pub(crate) fn socket_of(&self, device: DeviceId) -> Option<SocketId> {
        let mut sessions = self.sessions.iter();
        sessions.find(|(_, session)| session.device == device).map(|(&socket, _)| socket)
    }

    pub(crate) fn new_socket(&mut self) -> SocketId {
        self.last_socket = self.last_socket.wrapping_add(1);
        SocketId(self.last_socket)
    }

    /// A new id for a receipt that the mailbox makes itself.
    pub(crate) fn mint(&mut self) -> MessageId {
        self.minted += 1;
        MessageId { stream: self.seed, number: self.minted }
    }

    /// Puts a frame on the socket of a device, if it has one.
    pub(crate) fn tell(&mut self, device: DeviceId, frame: &ServerFrame) {
        if let Some(socket) = self.socket_of(device) {
            self.put(socket, frame);
        }
    }

    pub(crate) fn put(&mut self, socket: SocketId, frame: &ServerFrame) {
        if let Some(session) = self.sessions.get(&socket) {
            self.outgoing.push(socket, session.encoding, frame);
        }
    }

    pub(crate) fn post(&mut self, peer: PhoneNumber, item: LaneItem) {
        self.lanes.entry(peer).or_default().waiting.push(item);
    }

    pub(crate) fn remember(&mut self, socket: SocketId) {
        if let Some(session) = self.sessions.get(&socket) {
            let attachment = session.attachment(socket).encode();
            self.effects.push(Effect::Remember { socket, attachment });
        }
    }

    /// Says goodbye on a socket and closes it.
    pub(crate) fn dismiss(&mut self, socket: SocketId, code: ErrorCode) {
        let close = match code {
            ErrorCode::DeviceRemoved => 4001,
            ErrorCode::Replaced => 4002,
            _ => 4003,
        };
        let retry_after = (code == ErrorCode::Suspended).then_some(suspended().retry_after);
        let retry_after = retry_after.flatten();
        self.put(socket, &ServerFrame::Goaway(Goaway { code, retry_after }));
        self.outgoing.flush(socket, &mut self.effects);
        if let Some(session) = self.sessions.remove(&socket) {
            let attachment = Attachment { closed: true, ..session.attachment(socket) }.encode();
            self.effects.push(Effect::Remember { socket, attachment });
        }
        self.effects.push(Effect::Close { socket, code: close, reason: code.as_str() });
    }

    /// Works on the rows of the queue. Whoever sent what they hold pays for them.
    pub(crate) fn on_queue<T>(
        &mut self,
        work: impl FnOnce(&mut Queue, &S) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.others_pay(|mailbox| work(&mut mailbox.queue, &mailbox.sql))
    }

    /// Does something whose rows somebody else pays for.
    pub(crate) fn others_pay<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let before = self.sql.rows_written();
        let done = work(self)?;
        self.ledger.others_rows(self.sql.rows_written() - before);
        Ok(done)
    }

    /// Asks for the alarm at a time, unless one comes before.
    pub(crate) fn want_alarm(&mut self, at: Millis) {
        if self.alarm.is_none_or(|alarm| alarm > at) {
            self.alarm = Some(at);
        }
    }

    /// Ends a step: what is to be told goes out, calls depart, the timer is set, the bill counted.
    pub(crate) fn finish(&mut self, now: Millis) -> Result<Vec<Effect>, StorageError> {
        if std::mem::take(&mut self.resuming) {
            self.record()?;
            for socket in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.fill(socket)?;
            }
        }
        self.settle_presence(now)?;
        if let Some(from) = self.account {
            for (&to, lane) in &mut self.lanes {
                if let Some(request) = lane.depart(from, to) {
                    self.ledger.call();
                    self.effects.push(Effect::Call { peer: to, request });
                }
            }
            self.lanes.retain(|_, lane| !lane.is_idle());
            self.depart();
            let limits = self.limits(now);
            self.ledger.settle(&self.sql, now, &limits)?;
        }
        let due = self.queue.held_until();
        if due.is_none() != self.timer.is_none() {
            let wait = due.map(|due| due.saturating_sub(now).min(self.config.hold));
            self.effects.push(Effect::Timer(wait));
        }
        self.timer = due;
        if self.alarm != self.alarm_set {
            self.effects.extend(self.alarm.map(Effect::Alarm));
            self.alarm_set = self.alarm;
        }
        let mut effects = std::mem::take(&mut self.effects);
        self.outgoing.drain(&mut effects);
        if std::mem::take(&mut self.forgotten) {
            effects.push(Effect::Forget);
        }
        Ok(effects)
    }

    /// Has all that is stored deleted at the end of the step, and the alarm with it.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
        (self.alarm, self.alarm_set) = (None, None);
    }

    pub(crate) fn timer_fired(&mut self) {
        self.timer = None;
    }

    pub(crate) fn alarm_fired(&mut self) {
        (self.alarm, self.alarm_set) = (None, None);
    }
}
