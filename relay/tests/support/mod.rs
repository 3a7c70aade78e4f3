//! A few mailboxes that call each other at once, and devices that say what a test tells them to.
//! Faults happen where a test asks for them; the simulation has them at random.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::panic, clippy::indexing_slicing)]

mod conversation;
mod db;
mod frames;
pub mod people;
mod push;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

#[allow(unused_imports)]
pub use conversation::*;
pub use db::Db;
use estafette_protocol::*;
use estafette_relay::*;
pub use frames::*;
#[allow(unused_imports)]
pub use push::*;

pub const NOON: Millis = 1_800_000_000_000;
pub const ALICE: u64 = 33_600_000_001;
pub const BOB: u64 = 33_600_000_002;
pub const CAROL: u64 = 33_600_000_003;
/// Nobody is registered there.
pub const NOBODY: u64 = 33_600_000_009;

pub fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

pub fn id(stream: u64, number: u64) -> MessageId {
    MessageId { stream, number }
}

pub fn ids(stream: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<MessageId> {
    numbers.into_iter().map(|number| id(stream, number)).collect()
}

pub fn send(to: u64, stream: u64, message: u64, chained: bool) -> ClientFrame {
    let body = Body(format!("{stream}/{message}").into_bytes());
    ClientFrame::Send(Send { id: id(stream, message), to: number(to), body, chained, after: None })
}

/// Messages `numbers` of a stream, each after the one before it.
pub fn burst(to: u64, stream: u64, numbers: std::ops::RangeInclusive<u64>) -> Vec<ClientFrame> {
    numbers.map(|number| send(to, stream, number, number > 1)).collect()
}

pub fn receipt(to: u64, made: MessageId, ids: Vec<MessageId>, mark: Mark) -> ClientFrame {
    ClientFrame::Receipt(Receipt { id: made, to: number(to), ids, mark })
}

pub fn ack(ids: Vec<MessageId>) -> ClientFrame {
    ClientFrame::Ack(Ack { ids })
}

/// One account's object, and what its sockets have been given.
pub struct Object {
    pub db: Db,
    pub mailbox: Mailbox<Db>,
    pub timer: Option<Millis>,
    pub alarm: Option<Millis>,
    pub sockets: BTreeMap<SocketId, Socket>,
}

pub struct Socket {
    pub device: DeviceId,
    /// Ids are given out anew after a restart; this is not.
    pub serial: usize,
    pub encoding: Encoding,
    pub frames: Vec<ServerFrame>,
    pub batches: usize,
    pub attachment: Vec<u8>,
    pub closed: Option<u16>,
}

/// What becomes of a mailbox right before one of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// It leaves memory, its sockets stay.
    Hibernates,
    /// It leaves memory and loses its sockets.
    Restarts,
}

pub struct World {
    pub now: Millis,
    pub config: Config,
    pub objects: BTreeMap<u64, Object>,
    calls: VecDeque<(u64, PeerRequest)>,
    /// What was asked of conversations, by whom.
    pub asked: VecDeque<(u64, ConversationRequest)>,
    /// Those that answer.
    pub conversations: BTreeMap<ConversationId, Toy>,
    /// Calls to this account fail before they take effect.
    pub unreachable: Option<u64>,
    /// Calls to this account take effect, and are reported failed.
    pub mute: Option<u64>,
    /// The call of this number is reported failed, after or before it took effect.
    pub loses: Option<(usize, bool)>,
    /// Calls stay under way.
    pub calls_hang: bool,
    /// What was handed to push services, by whom. Their answers are the test's.
    pub pushes: Vec<(u64, Push)>,
    /// How many calls were made.
    pub called: usize,
    /// How many steps all mailboxes took.
    pub steps: usize,
    /// At which of them something befalls the mailbox.
    pub blow: Option<(usize, Blow)>,
    /// How many statements succeed before one fails.
    pub fails_in: Rc<Cell<Option<u64>>>,
    seed: u64,
}

impl World {
    pub fn new() -> Self {
        Self {
            now: NOON,
            // The limits of accounts that are no longer new: those that are have tests of their own.
            config: Config { new_account: 0, ..Config::default() },
            objects: BTreeMap::new(),
            calls: VecDeque::new(),
            asked: VecDeque::new(),
            conversations: BTreeMap::new(),
            unreachable: None,
            mute: None,
            loses: None,
            calls_hang: false,
            pushes: vec![],
            called: 0,
            steps: 0,
            blow: None,
            fails_in: Rc::default(),
            seed: 0,
        }
    }

    /// A world where these accounts have device 1.
    pub fn with(accounts: &[u64]) -> Self {
        let mut world = Self::new();
        for &account in accounts {
            world.register(account, 1);
        }
        world
    }

    pub fn object(&mut self, account: u64) -> &mut Object {
        if !self.objects.contains_key(&account) {
            let db = Db::new(self.fails_in.clone());
            let mailbox = self.wake(&db, None, Vec::new());
            let (timer, alarm, sockets) = (None, None, BTreeMap::new());
            self.objects.insert(account, Object { db, mailbox, timer, alarm, sockets });
        }
        self.objects.get_mut(&account).unwrap()
    }

    fn wake(&mut self, db: &Db, alarm: Option<Millis>, sockets: Vec<Vec<u8>>) -> Mailbox<Db> {
        self.seed += 1;
        let wake = Wake { now: self.now, seed: self.seed, alarm, sockets };
        // One failure is injected at a time, so the second attempt succeeds.
        let mut woken = Mailbox::wake(db.clone(), self.config, wake.clone());
        if woken.is_err() {
            woken = Mailbox::wake(db.clone(), self.config, wake);
        }
        woken.unwrap()
    }

    pub fn mailbox(&mut self, account: u64) -> &mut Mailbox<Db> {
        &mut self.object(account).mailbox
    }

    /// What is stored, as SQL sees it.
    pub fn query(&mut self, account: u64, statement: &str) -> Vec<Vec<Value>> {
        self.object(account).db.query(statement)
    }

    /// How many rows a table has.
    pub fn count(&mut self, account: u64, table: &str) -> usize {
        self.query(account, &format!("SELECT 1 FROM {table}")).len()
    }

    pub fn usage(&mut self, account: u64) -> http::Usage {
        let request = AccountRequest::Usage(DeviceId(1));
        match self.account(account, request) {
            AccountAnswer::Usage(usage) => usage,
            other => panic!("{other:?}"),
        }
    }

    pub fn rows(&mut self, account: u64) -> u64 {
        self.usage(account).rows_written
    }

    /// One step of a mailbox. `None`: its storage failed, so it went and came back.
    fn step<T>(
        &mut self,
        account: u64,
        work: impl FnOnce(&mut Mailbox<Db>, Millis) -> Result<T, StorageError>,
    ) -> Option<T> {
        let now = self.now;
        self.object(account);
        self.steps += 1;
        match self.blow {
            Some((at, Blow::Hibernates)) if at == self.steps => self.hibernates(account),
            Some((at, Blow::Restarts)) if at == self.steps => self.restarts(account),
            _ => {}
        }
        let object = self.object(account);
        let db = object.db.clone();
        match db.whole(|| work(&mut object.mailbox, now)) {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(db.was_made_to_fail(&error), "{error}");
                self.restarts(account);
                None
            }
        }
    }

    /// Asks something of the account, and says what it answered and what it wants done.
    pub fn account_effects(
        &mut self,
        account: u64,
        request: AccountRequest,
    ) -> (AccountAnswer, Vec<Effect>) {
        self.step(account, |mailbox, now| mailbox.on_account(now, request)).unwrap()
    }

    pub fn account(&mut self, account: u64, request: AccountRequest) -> AccountAnswer {
        let (answer, effects) = self.account_effects(account, request);
        self.perform(account, effects);
        self.settle();
        answer
    }

    pub fn code(&mut self, account: u64, hash: u8) -> AccountAnswer {
        self.account(account, AccountRequest::Code { hash: [hash; 32] })
    }

    pub fn proves(&mut self, account: u64, device: u64, hash: u8) -> AccountAnswer {
        self.proves_with(account, device, hash, None)
    }

    /// The same with a PIN.
    pub fn proves_with(
        &mut self,
        account: u64,
        device: u64,
        hash: u8,
        pin: Option<u8>,
    ) -> AccountAnswer {
        let request = AccountRequest::Register {
            number: number(account),
            hash: [hash; 32],
            device: DeviceId(device),
            name: "test".into(),
            identity_key: [1; 32],
            pin: pin.map(|pin| PinHash([pin; 32])),
        };
        self.account(account, request)
    }

    pub fn register(&mut self, account: u64, device: u64) {
        self.code(account, 7);
        assert_eq!(self.proves(account, device, 7), AccountAnswer::Granted);
        self.now += 3_600_000;
    }

    /// One more device, as linking will add it.
    pub fn link(&mut self, account: u64, device: u64) {
        let request = AccountRequest::Link {
            device: DeviceId(1),
            target: DeviceId(device),
            name: "linked".into(),
            identity_key: [0; 32],
        };
        assert_eq!(self.account(account, request), AccountAnswer::Granted);
    }

    pub fn connect(&mut self, account: u64, device: u64) -> SocketId {
        self.connect_as(account, device, Encoding::Cbor).unwrap()
    }

    pub fn connect_as(
        &mut self,
        account: u64,
        device: u64,
        encoding: Encoding,
    ) -> Result<SocketId, Refusal> {
        let connect = Connect { account: number(account), device: DeviceId(device), encoding };
        let opened = loop {
            let opened = self.step(account, |mailbox, now| mailbox.on_connect(now, connect));
            if let Some(opened) = opened {
                break opened;
            }
        };
        let (socket, effects) = opened?;
        let opened = Socket {
            device: connect.device,
            serial: self.steps,
            encoding,
            frames: vec![],
            batches: 0,
            attachment: vec![],
            closed: None,
        };
        self.object(account).sockets.insert(socket, opened);
        self.perform(account, effects);
        self.settle();
        Ok(socket)
    }

    pub fn says(&mut self, account: u64, socket: SocketId, frames: &[ClientFrame]) {
        let Some(open) = self.object(account).sockets.get(&socket) else { return };
        let message = open.encoding.encode(frames);
        self.says_raw(account, socket, &message);
    }

    pub fn says_raw(&mut self, account: u64, socket: SocketId, message: &WireMessage) {
        let effects = self.step(account, |mailbox, now| mailbox.on_message(now, socket, message));
        self.perform(account, effects.unwrap_or_default());
        self.settle();
    }

    pub fn closes(&mut self, account: u64, socket: SocketId) {
        self.object(account).sockets.remove(&socket);
        let effects = self.step(account, |mailbox, now| mailbox.on_close(now, socket));
        self.perform(account, effects.unwrap_or_default());
        self.settle();
    }

    /// Whether the socket is there and was not closed by the server.
    pub fn is_open(&mut self, account: u64, socket: SocketId) -> bool {
        self.object(account).sockets.get(&socket).is_some_and(|socket| socket.closed.is_none())
    }

    /// Tells a socket from every other that had its id.
    pub fn serial(&mut self, account: u64, socket: SocketId) -> Option<usize> {
        let socket = self.object(account).sockets.get(&socket);
        socket.filter(|socket| socket.closed.is_none()).map(|socket| socket.serial)
    }

    /// What the socket was given since the last time.
    pub fn hears(&mut self, account: u64, socket: SocketId) -> Vec<ServerFrame> {
        let socket = self.object(account).sockets.get_mut(&socket);
        socket.map(|socket| std::mem::take(&mut socket.frames)).unwrap_or_default()
    }

    /// The ids of the messages among them.
    pub fn receives(&mut self, account: u64, socket: SocketId) -> Vec<MessageId> {
        received(&self.hears(account, socket))
    }

    /// Lets time pass; timers and alarms go off.
    pub fn wait(&mut self, millis: Millis) {
        self.now += millis;
        let now = self.now;
        for account in self.objects.keys().copied().collect::<Vec<_>>() {
            if self.object(account).timer.is_some_and(|at| at <= now) {
                self.timer_fires(account);
            }
            if self.object(account).alarm.is_some_and(|at| at <= now) {
                self.alarm_fires(account);
            }
        }
        self.settle();
    }

    pub fn timer_fires(&mut self, account: u64) {
        self.object(account).timer = None;
        let effects = self.step(account, |mailbox, now| mailbox.on_timer(now));
        self.perform(account, effects.unwrap_or_default());
        self.settle();
    }

    pub fn alarm_fires(&mut self, account: u64) {
        let pending = self.object(account).alarm.take();
        let effects = self.step(account, |mailbox, now| mailbox.on_alarm(now));
        if effects.is_none() {
            // The platform repeats an alarm whose handler failed.
            self.object(account).alarm = pending;
            self.hibernates(account);
        }
        self.perform(account, effects.unwrap_or_default());
        self.settle();
    }

    /// A call of another mailbox, made up by the test.
    pub fn calls(&mut self, from: u64, to: u64, items: Vec<PeerItem>) -> Vec<Verdict> {
        let request = PeerRequest { from: number(from), to: number(to), items };
        let answer = self.step(to, |mailbox, now| mailbox.on_call(now, request));
        let (answer, effects) = answer.unwrap();
        self.perform(to, effects);
        self.settle();
        answer.verdicts
    }

    /// An answer to a call that hangs, made up by the test.
    pub fn answers(&mut self, account: u64, peer: u64, answer: Option<PeerAnswer>) {
        self.calls.retain(|(from, request)| (*from, request.to) != (account, number(peer)));
        let effects =
            self.step(account, |mailbox, now| mailbox.on_answer(now, number(peer), answer));
        self.perform(account, effects.unwrap());
    }

    /// The calls that hang are gone, and so is whoever waited for their answers.
    pub fn loses_calls(&mut self) {
        self.calls.clear();
    }

    /// The object leaves memory and comes back: hibernation, which keeps sockets.
    pub fn hibernates(&mut self, account: u64) {
        self.reload(account);
    }

    /// The same without sockets: a crash or a deploy.
    pub fn restarts(&mut self, account: u64) {
        self.object(account).sockets.clear();
        self.reload(account);
    }

    fn reload(&mut self, account: u64) {
        let object = self.object(account);
        object.timer = None;
        object.db.counts_rows_anew();
        let (db, alarm) = (object.db.clone(), object.alarm);
        // The platform gives back sockets that are closing, too.
        let sockets = object.sockets.values().map(|socket| socket.attachment.clone()).collect();
        let mailbox = self.wake(&db, alarm, sockets);
        self.object(account).mailbox = mailbox;
    }

    pub fn perform(&mut self, account: u64, effects: Vec<Effect>) {
        let (now, hold) = (self.now, self.config.hold);
        for effect in effects {
            let object = self.object(account);
            match effect {
                Effect::Send { socket, message } => {
                    let Some(socket) = object.sockets.get_mut(&socket) else { continue };
                    assert!(socket.closed.is_none(), "nothing is put on a closed socket");
                    assert!(message.len() <= limits::BATCH_BYTES_MAX);
                    let batch = socket.encoding.decode_server(&message).unwrap();
                    assert!(!batch.is_empty());
                    socket.batches += 1;
                    for decoded in batch {
                        match decoded {
                            Decoded::Frame(frame) => socket.frames.push(frame),
                            other => panic!("{other:?}"),
                        }
                    }
                }
                Effect::Remember { socket, attachment } => {
                    assert!(attachment.len() <= 64);
                    if let Some(socket) = object.sockets.get_mut(&socket) {
                        socket.attachment = attachment;
                    }
                }
                Effect::Close { socket, code, .. } => {
                    if let Some(socket) = object.sockets.get_mut(&socket) {
                        socket.closed = Some(code);
                    }
                }
                Effect::Call { request, .. } => self.calls.push_back((account, request)),
                Effect::Converse(request) => self.asked.push_back((account, request)),
                Effect::Push(push) => {
                    let mut sockets = object.sockets.values();
                    let connected = sockets
                        .any(|socket| socket.closed.is_none() && socket.device == push.device);
                    assert!(!connected, "a connected device is pushed to");
                    self.pushes.push((account, *push));
                }
                Effect::Timer(wait) => {
                    assert!(wait.is_none_or(|wait| wait <= hold));
                    object.timer = wait.map(|wait| now + wait);
                }
                Effect::Alarm(at) => {
                    let pending = object.alarm.replace(at);
                    assert!(pending.is_none_or(|pending| at < pending), "set only to be earlier");
                }
                Effect::Forget => {
                    self.objects.remove(&account);
                    return;
                }
            }
        }
    }

    /// Lets the calls that are under way arrive, and those that follow from them.
    pub fn settle(&mut self) {
        while !self.calls_hang {
            if self.converse() {
                continue;
            }
            let Some((from, request)) = self.calls.pop_front() else { return };
            self.called += 1;
            let to = request.to;
            let request = PeerRequest::decode(&request.encode()).unwrap();
            let mut answer = None;
            let called = self.called;
            let lost = self.loses.filter(|&(call, _)| call == called);
            if self.unreachable != Some(to.digits()) && !matches!(lost, Some((_, false))) {
                let taken = self.step(to.digits(), |mailbox, now| mailbox.on_call(now, request));
                if let Some((taken, effects)) = taken {
                    self.perform(to.digits(), effects);
                    answer = PeerAnswer::decode(&taken.encode());
                }
            }
            if self.mute == Some(to.digits()) || lost.is_some() {
                answer = None;
            }
            let effects = self.step(from, |mailbox, now| mailbox.on_answer(now, to, answer));
            self.perform(from, effects.unwrap_or_default());
        }
    }
}
