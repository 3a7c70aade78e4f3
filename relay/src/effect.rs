//! What a mailbox asks its shell to do, and what it is told when it wakes.

use estafette_protocol::{DeviceId, Encoding, ErrorCode, Millis, PhoneNumber, WireMessage};

use crate::{ConversationRequest, PeerRequest, Push};

/// One open socket, for as long as it is open. Hibernation keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// What the shell is to do, in the order given, after the writes of the step are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put a message on a socket.
    Send {
        /// Which socket.
        socket: SocketId,
        /// What to put on it.
        message: WireMessage,
    },
    /// Attach these bytes to a socket, to be given back on waking ([`Wake::sockets`]).
    Remember {
        /// Which socket.
        socket: SocketId,
        /// At most 160 bytes.
        attachment: Vec<u8>,
    },
    /// Close a socket.
    Close {
        /// Which socket.
        socket: SocketId,
        /// The WebSocket close code.
        code: u16,
        /// The error code's text.
        reason: &'static str,
    },
    /// Call another mailbox, and bring its answer, or that there was none, to
    /// [`crate::Mailbox::on_answer`]. At most one such call per peer is under way.
    Call {
        /// Whose mailbox.
        peer: PhoneNumber,
        /// What to say.
        request: PeerRequest,
    },
    /// Call a conversation, and bring its answer, or that there was none, to
    /// [`crate::Mailbox::on_conversed`]. At most one such call per conversation is under way.
    Converse(ConversationRequest),
    /// Hand this to a push service, and bring what became of it to [`crate::Mailbox::on_pushed`]. At
    /// most one is under way for each device. Nothing may wait for it.
    Push(Box<Push>),
    /// Call [`crate::Mailbox::on_timer`] after so many milliseconds, in place of any earlier timer;
    /// `None`: never. In memory only.
    Timer(Option<Millis>),
    /// Set the object's alarm to this time, in place of any earlier one, in the same commit as the
    /// writes of the step.
    Alarm(Millis),
    /// Delete all that is stored, and the alarm. Nothing follows.
    Forget,
}

/// The request was refused and changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: ErrorCode,
    /// When to try again.
    pub retry_after: Option<Millis>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: None }
    }
}

/// A device asks for a socket. The front Worker has verified its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    /// The account in the token.
    pub account: PhoneNumber,
    /// The device in the token.
    pub device: DeviceId,
    /// The encoding that was agreed on.
    pub encoding: Encoding,
}

/// What a mailbox is given when it comes into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// The time.
    pub now: Millis,
    /// A random number, new on each waking: the stream of the receipts that this mailbox makes.
    pub seed: u64,
    /// The alarm that is pending.
    pub alarm: Option<Millis>,
    /// The attachments of the sockets that are open.
    pub sockets: Vec<Vec<u8>>,
}
