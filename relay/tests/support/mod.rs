//! A few mailboxes that call each other at once and without faults, and devices that say what a test
//! tells them to. The simulation has the faults.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};

use estafette_protocol::*;
use estafette_relay::sql::Native;
use estafette_relay::*;

pub const NOON: Millis = 1_800_000_000_000;
pub const ALICE: u64 = 33_600_000_001;
pub const BOB: u64 = 33_600_000_002;

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

pub fn ack(ids: Vec<MessageId>) -> ClientFrame {
    ClientFrame::Ack(Ack { ids })
}

/// One account's object, and what its sockets have been given.
pub struct Object {
    pub mailbox: Option<Mailbox<Native>>,
    pub timer: Option<Millis>,
    pub alarm: Option<Millis>,
    pub sockets: BTreeMap<SocketId, Socket>,
}

pub struct Socket {
    pub encoding: Encoding,
    pub frames: Vec<ServerFrame>,
    pub batches: usize,
    pub attachment: Vec<u8>,
    pub closed: Option<u16>,
}

pub struct World {
    pub now: Millis,
    pub config: Config,
    pub objects: BTreeMap<u64, Object>,
    calls: VecDeque<(u64, PeerRequest)>,
    /// Calls to this account fail before they take effect.
    pub unreachable: Option<u64>,
    /// How many calls were made.
    pub called: usize,
    seed: u64,
}

impl World {
    pub fn new() -> Self {
        let config = Config::default();
        let (objects, calls) = (BTreeMap::new(), VecDeque::new());
        Self { now: NOON, config, objects, calls, unreachable: None, called: 0, seed: 0 }
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
        self.objects.entry(account).or_insert_with(|| Object {
            mailbox: None,
            timer: None,
            alarm: None,
            sockets: BTreeMap::new(),
        });
        let (now, config) = (self.now, self.config);
        self.seed += 1;
        let seed = self.seed;
        let object = self.objects.get_mut(&account).unwrap();
        if object.mailbox.is_none() {
            let wake = Wake { now, seed, alarm: None, sockets: Vec::new() };
            object.mailbox = Mailbox::wake(Native::in_memory().unwrap(), config, wake).ok();
        }
        object
    }

    pub fn mailbox(&mut self, account: u64) -> &mut Mailbox<Native> {
        self.object(account).mailbox.as_mut().unwrap()
    }

    pub fn rows(&mut self, account: u64) -> u64 {
        let now = self.now;
        let device = DeviceId(1);
        let request = AccountRequest::Usage { device };
        match self.mailbox(account).on_account(now, request).unwrap().0 {
            AccountAnswer::Usage(usage) => usage.rows_written,
            other => panic!("{other:?}"),
        }
    }

    pub fn account(&mut self, account: u64, request: AccountRequest) -> AccountAnswer {
        let now = self.now;
        let (answer, effects) = self.mailbox(account).on_account(now, request).unwrap();
        self.perform(account, effects);
        answer
    }

    pub fn register(&mut self, account: u64, device: u64) {
        let hash = [7; 32];
        self.account(account, AccountRequest::Code { hash });
        let answer = self.account(
            account,
            AccountRequest::Register {
                number: number(account),
                hash,
                device: DeviceId(device),
                name: "test".into(),
                identity_key: [1; 32],
            },
        );
        assert_eq!(answer, AccountAnswer::Granted);
        self.now += 3_600_000;
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
        let now = self.now;
        let connect = Connect { account: number(account), device: DeviceId(device), encoding };
        let (socket, effects) = self.mailbox(account).on_connect(now, connect).unwrap()?;
        let opened =
            Socket { encoding, frames: vec![], batches: 0, attachment: vec![], closed: None };
        self.object(account).sockets.insert(socket, opened);
        self.perform(account, effects);
        self.settle();
        Ok(socket)
    }

    pub fn says(&mut self, account: u64, socket: SocketId, frames: &[ClientFrame]) {
        let encoding = self.object(account).sockets[&socket].encoding;
        self.says_raw(account, socket, &encoding.encode(frames));
    }

    pub fn says_raw(&mut self, account: u64, socket: SocketId, message: &WireMessage) {
        let now = self.now;
        let effects = self.mailbox(account).on_message(now, socket, message).unwrap();
        self.perform(account, effects);
        self.settle();
    }

    pub fn closes(&mut self, account: u64, socket: SocketId) {
        let now = self.now;
        let effects = self.mailbox(account).on_close(now, socket).unwrap();
        self.object(account).sockets.remove(&socket);
        self.perform(account, effects);
        self.settle();
    }

    /// What the socket was given since the last time.
    pub fn hears(&mut self, account: u64, socket: SocketId) -> Vec<ServerFrame> {
        std::mem::take(&mut self.object(account).sockets.get_mut(&socket).unwrap().frames)
    }

    /// The ids of the messages among them.
    pub fn receives(&mut self, account: u64, socket: SocketId) -> Vec<MessageId> {
        let frames = self.hears(account, socket);
        frames
            .into_iter()
            .filter_map(|frame| match frame {
                ServerFrame::Deliver(deliver) => Some(deliver.id),
                _ => None,
            })
            .collect()
    }

    /// Lets time pass; timers and alarms go off.
    pub fn wait(&mut self, millis: Millis) {
        self.now += millis;
        let now = self.now;
        for account in self.objects.keys().copied().collect::<Vec<_>>() {
            if self.object(account).timer.is_some_and(|at| at <= now) {
                self.object(account).timer = None;
                let effects = self.mailbox(account).on_timer(now).unwrap();
                self.perform(account, effects);
            }
            if self.object(account).alarm.is_some_and(|at| at <= now) {
                self.object(account).alarm = None;
                let effects = self.mailbox(account).on_alarm(now).unwrap();
                self.perform(account, effects);
            }
        }
        self.settle();
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
        let (now, config) = (self.now, self.config);
        self.seed += 1;
        let seed = self.seed;
        let object = self.object(account);
        object.timer = None;
        let sql = object.mailbox.take().unwrap().into_sql();
        let sockets = object.sockets.values().map(|socket| socket.attachment.clone()).collect();
        let wake = Wake { now, seed, alarm: object.alarm, sockets };
        let sql = Native::new(sql.into_connection());
        object.mailbox = Some(Mailbox::wake(sql, config, wake).unwrap());
    }

    fn perform(&mut self, account: u64, effects: Vec<Effect>) {
        let now = self.now;
        for effect in effects {
            let object = self.object(account);
            match effect {
                Effect::Send { socket, message } => {
                    let Some(socket) = object.sockets.get_mut(&socket) else { continue };
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
                Effect::Timer(wait) => object.timer = wait.map(|wait| now + wait),
                Effect::Alarm(at) => object.alarm = Some(at),
                Effect::Forget => {
                    self.objects.remove(&account);
                    return;
                }
            }
        }
    }

    fn settle(&mut self) {
        while let Some((from, request)) = self.calls.pop_front() {
            self.called += 1;
            let (now, to) = (self.now, request.to.digits());
            let request = PeerRequest::decode(&request.encode()).unwrap();
            let answer = if self.unreachable == Some(to) {
                None
            } else {
                let (answer, effects) = self.mailbox(to).on_call(now, request).unwrap();
                self.perform(to, effects);
                PeerAnswer::decode(&answer.encode())
            };
            let effects = self.mailbox(from).on_answer(now, number(to), answer).unwrap();
            self.perform(from, effects);
        }
    }
}

/// The ids that a device was told are safe.
pub fn sent(frames: &[ServerFrame]) -> Vec<MessageId> {
    let sent = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Sent(sent) => Some(sent.ids.clone()),
        _ => None,
    });
    sent.flatten().collect()
}

/// The ids that a device was told are delivered.
pub fn delivered(frames: &[ServerFrame]) -> Vec<MessageId> {
    let marked = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Receipt(receipt) if receipt.mark == Mark::Delivered => {
            Some(receipt.ids.clone())
        }
        _ => None,
    });
    marked.flatten().collect()
}

/// The ids of the receipts themselves, to acknowledge them.
pub fn receipt_ids(frames: &[ServerFrame]) -> Vec<MessageId> {
    let receipts = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Receipt(receipt) => Some(receipt.id),
        _ => None,
    });
    receipts.collect()
}

/// What was refused, and why.
pub fn refused(frames: &[ServerFrame]) -> Vec<(MessageId, ErrorCode)> {
    let refused = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Refused(refused) => {
            Some(refused.ids.iter().map(|&id| (id, refused.code)).collect::<Vec<_>>())
        }
        _ => None,
    });
    refused.flatten().collect()
}
