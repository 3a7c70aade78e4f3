//! Connections between devices and objects: in order and without loss as TCP is, until they break.

use estafette_protocol::{ConversationId, DeviceId, ErrorCode, Millis, PhoneNumber, WireMessage};
use estafette_relay::{PeerAnswer, PeerRequest, PushId, PushOutcome, SocketId};

use crate::talk::Talking;

pub(crate) struct Connection {
    pub(crate) device: usize,
    pub(crate) object: usize,
    /// Its socket at the object, once it is accepted.
    pub(crate) socket: Option<SocketId>,
    pub(crate) open_at_device: bool,
    pub(crate) open_at_object: bool,
    pub(crate) up: Direction,
    pub(crate) down: Direction,
}

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Direction {
    /// Nothing comes through any more.
    pub(crate) hole: bool,
    /// When the last frame arrives: no later one overtakes it.
    pub(crate) last: Millis,
}

/// What the scheduler has in its queue.
pub(crate) enum Event {
    /// A device's wake-up.
    Tick { device: usize, wake: u64 },
    /// The upgrade arrives at the object.
    Upgrade { connection: usize },
    /// The device hears that its socket is open.
    Opened { connection: usize },
    /// The device hears that it is not to be had.
    Rejected { connection: usize, code: ErrorCode, retry_after: Option<Millis> },
    /// A message arrives at the object.
    Up { connection: usize, message: WireMessage },
    /// A message arrives at the device.
    Down { connection: usize, message: WireMessage },
    /// The automatic answer to a ping arrives at the device.
    Pong { connection: usize },
    /// The object hears that the socket is closed.
    ClosedAtObject { connection: usize },
    /// The device hears that the socket is closed.
    ClosedAtDevice { connection: usize, code: Option<u16> },
    /// A call arrives.
    Call(Box<Call>),
    /// Its answer, or that there is none, arrives.
    Answer { from: usize, generation: u64, to: usize, answer: Option<Vec<u8>> },
    /// A mailbox's call arrives at a conversation.
    Converse(Box<Talking>),
    /// Its answer, or that there is none, arrives.
    Conversed { object: usize, generation: u64, id: ConversationId, answer: Option<Vec<u8>> },
    /// A conversation's call arrives at a mailbox.
    Tell(Box<Talking>),
    /// Its answer, or that there is none, arrives.
    Told { id: ConversationId, generation: u64, member: PhoneNumber, answer: Option<Vec<u8>> },
    /// A conversation's alarm.
    TalkAlarm { id: ConversationId, alarm: u64 },
    /// A push service answers an object.
    Pushed { object: usize, generation: u64, push: PushId, device: DeviceId, outcome: PushOutcome },
    /// A device says where to push to it.
    Subscribe { device: usize },
    /// An object's timer.
    Timer { object: usize, timer: u64 },
    /// An object's alarm.
    Alarm { object: usize, alarm: u64 },
    /// A user writes.
    Write { device: usize },
    /// A user reads what has come.
    Read { device: usize },
    /// A user comes or goes, and looks at a chat.
    Look { device: usize },
    /// Something happens from outside.
    Outage,
}

pub(crate) struct Call {
    pub(crate) from: usize,
    pub(crate) generation: u64,
    pub(crate) to: usize,
    pub(crate) bytes: Vec<u8>,
    /// Whether its answer comes back.
    pub(crate) answered: bool,
}

impl Call {
    pub(crate) fn request(&self) -> PeerRequest {
        PeerRequest::decode(&self.bytes).expect("a call is readable")
    }
}

pub(crate) fn read_answer(bytes: &[u8]) -> PeerAnswer {
    PeerAnswer::decode(bytes).expect("an answer is readable")
}
