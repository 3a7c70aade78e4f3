//! A client, and a server that says what the test tells it to.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use estafette_core::mls::Leaf;
use estafette_core::{Client, Config, Effect, Event, Identity, Input, Message, Status, Store};
use estafette_core::{Secrets, StoreError, StoreKey};
use estafette_protocol::{
    Ack, Activity, Body, ChatState, ClientFrame, ConversationId, Decoded, Deliver, DeviceId, Doing,
    Drained, Encoding, ErrorCode, Goaway, Hello, Mark, MessageId, Millis, News, PhoneNumber,
    Presence, Receipt, Receipted, Refused, Seen, Send, Sent, ServerFrame,
};
use estafette_testkit::{People, account_secret, device_seed};

pub const ALICE: u64 = 33_600_000_001;
pub const BOB: u64 = 33_600_000_002;
pub const CAROL: u64 = 33_600_000_003;
/// Alice's device, on which the client runs.
pub const PHONE: DeviceId = DeviceId(0xa11ce);
/// Another device of Alice.
pub const LAPTOP: DeviceId = DeviceId(0xa11cf);
/// Bob's device.
pub const TABLET: DeviceId = DeviceId(0xb0b);
/// Any day of 2025.
pub const START: Millis = 1_750_000_000_000;
pub const SECOND: Millis = 1000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
pub const DAY: Millis = 24 * HOUR;

/// Alice's device, as others see it.
pub const ME: fn() -> Leaf = || Leaf { account: number(ALICE), device: PHONE };

thread_local! {
    /// Those whom Alice talks with, one world a test.
    static PEOPLE: RefCell<People> = RefCell::default();
    /// What Alice's device has sealed last, by its ids.
    static SEALED: RefCell<BTreeMap<MessageId, Body>> = RefCell::default();
}

/// Whom Alice talks with, and what the server has of their keys.
pub fn people<T>(look: impl FnOnce(&mut People) -> T) -> T {
    PEOPLE.with_borrow_mut(look)
}

pub fn secrets() -> Secrets {
    Secrets { device: device_seed(ME()), account: account_secret(number(ALICE)) }
}

pub fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

pub fn id(stream: u64, number: u64) -> MessageId {
    MessageId { stream, number }
}

pub fn alice() -> Identity {
    Identity { account: number(ALICE), device: PHONE }
}

/// A generator with a seed: SplitMix64.
pub fn entropy(seed: u64) -> Box<dyn FnMut() -> u64 + std::marker::Send> {
    let mut state = seed;
    Box::new(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// What a step of the client led to.
#[derive(Debug, Default)]
pub struct Said {
    /// What it transmitted, batch by batch.
    pub batches: Vec<Vec<ClientFrame>>,
    /// What it asked about keys and conversations.
    pub asked: Vec<ClientFrame>,
    pub events: Vec<Event>,
    pub wake_at: Option<Millis>,
    /// The names of the other effects.
    pub acts: Vec<&'static str>,
    /// The lengths of what it transmitted, in bytes.
    pub sizes: Vec<usize>,
}

impl Said {
    pub fn frames(&self) -> impl Iterator<Item = &ClientFrame> {
        self.batches.iter().flatten()
    }

    pub fn sends(&self) -> Vec<Send> {
        let sends = self.frames().filter_map(|frame| match frame {
            ClientFrame::Send(send) => Some(send.clone()),
            _ => None,
        });
        sends.collect()
    }

    /// For each message: its number, whether it is chained, what it follows.
    pub fn chain(&self) -> Vec<(u64, bool, Option<u64>)> {
        let sends = self.sends();
        sends.iter().map(|send| (send.id.number, send.chained, send.after)).collect()
    }

    pub fn acks(&self) -> Vec<MessageId> {
        let acks = self.frames().filter_map(|frame| match frame {
            ClientFrame::Ack(Ack { ids }) => Some(ids.clone()),
            _ => None,
        });
        acks.flatten().collect()
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        let receipts = self.frames().filter_map(|frame| match frame {
            ClientFrame::Receipt(receipt) => Some(receipt.clone()),
            _ => None,
        });
        receipts.collect()
    }

    pub fn received(&self) -> Vec<Message> {
        let received = self.events.iter().filter_map(|event| match event {
            Event::Received(message) => Some(message.clone()),
            _ => None,
        });
        received.collect()
    }

    pub fn presences(&self) -> Vec<Presence> {
        let presences = self.frames().filter_map(|frame| match frame {
            ClientFrame::Presence(presence) => Some(presence.clone()),
            _ => None,
        });
        presences.collect()
    }

    pub fn chat_states(&self) -> Vec<ChatState> {
        let states = self.frames().filter_map(|frame| match frame {
            ClientFrame::ChatState(state) => Some(*state),
            _ => None,
        });
        states.collect()
    }

    pub fn activities(&self) -> Vec<(PhoneNumber, Activity)> {
        let activities = self.events.iter().filter_map(|event| match event {
            Event::Activity { peer, activity } => Some((*peer, *activity)),
            _ => None,
        });
        activities.collect()
    }

    pub fn written(&self) -> Vec<Message> {
        let written = self.events.iter().filter_map(|event| match event {
            Event::Written(message) => Some(message.clone()),
            _ => None,
        });
        written.collect()
    }

    pub fn statuses(&self) -> Vec<(u64, Status)> {
        let statuses = self.events.iter().filter_map(|event| match event {
            Event::Status { id, status, .. } => Some((id.number, *status)),
            _ => None,
        });
        statuses.collect()
    }

    pub fn does(&self, act: &str) -> bool {
        self.acts.contains(&act)
    }
}

pub struct Phone {
    pub client: Client,
    pub encoding: Encoding,
    /// The device's clock.
    pub now: Millis,
    /// The server's clock less the device's.
    pub offset: i64,
    /// The client waits for a socket.
    pub connecting: bool,
    introduced: Vec<ConversationId>,
}

impl Phone {
    pub fn on(store: Store, seed: u64) -> Self {
        Self::with(store, seed, START, Config::default())
    }

    pub fn with(store: Store, seed: u64, now: Millis, config: Config) -> Self {
        let client =
            Client::start_with(store, alice(), &secrets(), config, entropy(seed), now).unwrap();
        Self {
            client,
            encoding: config.encoding,
            now,
            offset: 0,
            connecting: false,
            introduced: Vec::new(),
        }
    }

    pub fn new() -> Self {
        Self::on(Store::in_memory().unwrap(), 1)
    }

    /// A phone that the server has greeted.
    pub fn connected() -> Self {
        let mut phone = Self::new();
        phone.connects();
        phone
    }

    /// What the effects say, with what is sealed opened. What the client asks about keys and conversations is
    /// answered at once.
    pub fn read(&mut self, effects: Vec<Effect>) -> Said {
        let (mut said, mut answers) = (Said::default(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Connect => {
                    self.connecting = true;
                    said.acts.push("connect");
                }
                Effect::Ping => said.acts.push("ping"),
                Effect::Disconnect => {
                    self.connecting = false;
                    said.acts.push("disconnect");
                }
                Effect::WakeAt(at) => said.wake_at = Some(at),
                Effect::Event(event) => said.events.push(event),
                Effect::Transmit(message) => {
                    said.sizes.push(message.len());
                    let batch = self.encoding.decode_client(&message).unwrap();
                    let frames = batch.into_iter().map(|decoded| match decoded {
                        Decoded::Frame(frame) => frame,
                        other => panic!("not a frame: {other:?}"),
                    });
                    let mut frames: Vec<_> = frames.collect();
                    frames.retain_mut(|frame| {
                        people(|people| match people.answer(ME(), frame) {
                            Some(answer) => {
                                answers.extend(answer);
                                said.asked.push(frame.clone());
                                false
                            }
                            None => {
                                if let ClientFrame::Send(send) = frame {
                                    let sealed = send.body.clone();
                                    SEALED.with_borrow_mut(|all| all.insert(send.id, sealed));
                                    send.body = Body(people.open(number(ALICE), send));
                                }
                                true
                            }
                        })
                    });
                    if !frames.is_empty() {
                        said.batches.push(frames);
                    }
                }
            }
        }
        if !answers.is_empty() {
            let more = self.input(Input::Message(self.encoding.encode(&answers)));
            said.batches.extend(more.batches);
            said.asked.extend(more.asked);
            said.events.extend(more.events);
            said.acts.extend(more.acts);
            said.sizes.extend(more.sizes);
            said.wake_at = more.wake_at.or(said.wake_at);
        }
        said
    }

    pub fn input(&mut self, input: Input) -> Said {
        let effects = self.client.on_input(self.now, input).unwrap();
        self.read(effects)
    }

    pub fn tick(&mut self) -> Said {
        self.input(Input::Tick)
    }

    /// Lets time pass, without a tick.
    pub fn pass(&mut self, time: Millis) -> &mut Self {
        self.now += time;
        self
    }

    /// Ticks when the client asks for it, until so much time has passed.
    pub fn wait(&mut self, time: Millis) -> Said {
        let end = self.now + time;
        let mut all = Said::default();
        let mut ticks = 0;
        while let Some(at) = self.client.wake_at().filter(|at| *at <= end) {
            ticks += 1;
            assert!(ticks < 10_000, "the client spins");
            self.now = self.now.max(at);
            let said = self.tick();
            all.batches.extend(said.batches);
            all.asked.extend(said.asked);
            all.events.extend(said.events);
            all.acts.extend(said.acts);
        }
        self.now = end;
        all
    }

    /// The server says this, and what it delivers was sealed by whom it names.
    pub fn hears(&mut self, frames: Vec<ServerFrame>) -> Said {
        self.is_introduced(&frames);
        let frames = sealed(frames);
        self.input(Input::Message(self.encoding.encode(&frames)))
    }

    /// The client is told of the conversations in which something is delivered, before.
    fn is_introduced(&mut self, frames: &[ServerFrame]) {
        for frame in frames {
            let ServerFrame::Deliver(deliver) = frame else { continue };
            let peer = deliver.to.unwrap_or(deliver.from);
            let id = ConversationId::direct(number(ALICE), peer);
            if !self.client.is_connected() || self.introduced.contains(&id) {
                continue;
            }
            let by = Leaf { account: deliver.from, device: deliver.device };
            if by != ME() {
                people(|people| people.enters(by, id));
            }
            self.introduced.push(id);
            let news = ServerFrame::News(News { conversations: vec![id] });
            self.input(Input::Message(self.encoding.encode(&[news, drained()])));
        }
    }

    pub fn fails_to_hear(&mut self, frames: Vec<ServerFrame>) -> StoreError {
        self.is_introduced(&frames);
        let frames = sealed(frames);
        let input = Input::Message(self.encoding.encode(&frames));
        self.client.on_input(self.now, input).unwrap_err()
    }

    pub fn hello(&self) -> ServerFrame {
        let now = self.now.saturating_add_signed(self.offset);
        ServerFrame::Hello(Hello {
            account: number(ALICE),
            device: PHONE,
            now,
            waiting: 0,
            key_packages: people(|people| people.key_packages(ME())),
        })
    }

    /// Opens a socket, waiting as long as the client wants to, and is greeted.
    pub fn connects(&mut self) -> Said {
        self.tick();
        while !self.connecting {
            self.now = self.client.wake_at().unwrap();
            self.tick();
        }
        self.connecting = false;
        self.input(Input::Opened);
        self.hears(vec![self.hello()])
    }

    pub fn sends(&mut self, to: u64, body: &str) -> (MessageId, Said) {
        let (id, effects) = self.client.send(self.now, number(to), body.into()).unwrap();
        (id, self.read(effects))
    }

    /// Whether a message on the screen of any chat says so.
    pub fn screen_says(&self, words: &str) -> bool {
        let chats = self.client.chats().unwrap();
        let shown = chats.iter().flat_map(|chat| self.client.history(chat.peer, 1000).unwrap());
        shown.into_iter().any(|message| message.body == words.as_bytes())
    }

    pub fn opens_chat(&mut self, peer: Option<u64>) -> Said {
        let effects = self.client.open_chat(self.now, peer.map(number)).unwrap();
        self.read(effects)
    }

    pub fn status(&self, peer: u64, id: MessageId) -> Status {
        let history = self.client.history(number(peer), 1000).unwrap();
        history.iter().find(|message| message.id == id && !message.incoming).unwrap().status
    }

    /// What is on the screen of a chat.
    pub fn screen(&self, peer: u64) -> Vec<String> {
        let history = self.client.history(number(peer), 100_000).unwrap();
        history.into_iter().map(|message| String::from_utf8(message.body).unwrap()).collect()
    }

    /// The program is killed and started again, on what its store holds.
    pub fn crashes(self, seed: u64) -> Self {
        let store = Store::on(self.client.into_store().into_connection()).unwrap();
        let mut phone = Self::with(store, seed, self.now, Config::default());
        phone.offset = self.offset;
        phone.introduced = self.introduced;
        phone
    }
}

fn sealed(mut frames: Vec<ServerFrame>) -> Vec<ServerFrame> {
    for frame in &mut frames {
        if let ServerFrame::Deliver(deliver) = frame {
            let by = Leaf { account: deliver.from, device: deliver.device };
            let to = deliver.to.unwrap_or(number(ALICE));
            deliver.body = if by == ME() {
                SEALED.with_borrow(|sealed| sealed[&deliver.id].clone())
            } else {
                people(|people| people.seal(by, to, deliver.id, &deliver.body.0))
            };
        }
    }
    frames
}

/// What Alice's device sealed last under an id.
pub fn last_sealed(id: MessageId) -> Body {
    SEALED.with_borrow(|sealed| sealed[&id].clone())
}

pub fn sent(ids: &[MessageId]) -> ServerFrame {
    ServerFrame::Sent(Sent { ids: ids.to_vec(), at: START })
}

pub fn refused(ids: &[MessageId], code: ErrorCode, retry_after: Option<Millis>) -> ServerFrame {
    ServerFrame::Refused(Refused { ids: ids.to_vec(), code, retry_after })
}

pub fn deliver(from: u64, stream: u64, message: u64, body: &str) -> ServerFrame {
    ServerFrame::Deliver(Deliver {
        id: id(stream, message),
        from: number(from),
        device: TABLET,
        at: START,
        body: Body(body.into()),
        after: None,
        to: None,
    })
}

/// A copy of what Alice's laptop sent.
pub fn copy(to: u64, stream: u64, message: u64, body: &str) -> ServerFrame {
    ServerFrame::Deliver(Deliver {
        id: id(stream, message),
        from: number(ALICE),
        device: LAPTOP,
        at: START,
        body: Body(body.into()),
        after: None,
        to: Some(number(to)),
    })
}

/// Alice's laptop has told `to` that these were read.
pub fn read_on_laptop(of: MessageId, to: u64, ids: &[MessageId], mark: Mark) -> ServerFrame {
    let (from, to) = (number(ALICE), Some(number(to)));
    ServerFrame::Receipt(Receipted { id: of, from, ids: ids.to_vec(), mark, at: START, to })
}

pub fn seen(from: u64, available: bool, last_seen: Option<Millis>) -> ServerFrame {
    ServerFrame::Presence(Seen { from: number(from), available, last_seen })
}

pub fn doing(from: u64, state: Activity) -> ServerFrame {
    ServerFrame::ChatState(Doing { from: number(from), state })
}

pub fn receipt(of: MessageId, from: u64, ids: &[MessageId], mark: Mark) -> ServerFrame {
    let ids = ids.to_vec();
    ServerFrame::Receipt(Receipted { id: of, from: number(from), ids, mark, at: START, to: None })
}

pub fn goaway(code: ErrorCode, retry_after: Option<Millis>) -> ServerFrame {
    ServerFrame::Goaway(Goaway { code, retry_after })
}

pub fn drained() -> ServerFrame {
    ServerFrame::Drained(Drained {})
}

pub fn key(byte: u8) -> StoreKey {
    StoreKey { key: [byte; 32], salt: [7; 16] }
}

/// A directory for one test, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("store")
    }

    pub fn open(&self) -> Store {
        Store::open(&self.file(), &key(1)).unwrap()
    }

    /// Everything in the directory, one file after the other.
    pub fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(&self.0).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
