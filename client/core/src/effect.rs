//! What happens to a client, and what it asks its shell to do.

use estafette_protocol::{
    Activity, ConversationId, ErrorCode, MessageId, Millis, PhoneNumber, WireMessage,
};

use crate::mls::Suspicion;
use crate::{Message, Status, StoreError};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The socket that [`Effect::Connect`] asked for is open.
    Opened,
    /// The server refused to open the socket, with this error.
    Rejected {
        /// The error of the answer's body.
        code: ErrorCode,
        /// When to try again.
        retry_after: Option<Millis>,
    },
    /// The server said something on the socket.
    Message(WireMessage),
    /// The server answered a ping.
    Pong,
    /// The socket is closed, or could not be opened.
    Closed {
        /// The WebSocket close code, where there was one.
        code: Option<u16>,
    },
    /// The time that [`Effect::WakeAt`] named has come. At other times it does no harm.
    Tick,
}

/// What the shell is to do, in the order given. The store has committed what it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a socket, and say [`Input::Opened`], or [`Input::Rejected`] or [`Input::Closed`] if
    /// that fails. There is no other socket at the time.
    Connect,
    /// Put a message on the socket.
    Transmit(WireMessage),
    /// Ask the server for a sign of life, to be told as [`Input::Pong`].
    Ping,
    /// Close the socket, or stop opening it. Nothing more is to be told of it, not even that it is
    /// closed.
    Disconnect,
    /// Say [`Input::Tick`] at this time of the device's clock, in place of any time named before.
    /// Wait for the difference to now, so that a clock that is set meanwhile changes nothing.
    WakeAt(Millis),
    /// Tell the user.
    Event(Event),
}

/// What a user may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server greeted this device.
    Connected {
        /// How many messages and receipts wait for it.
        waiting: u64,
    },
    /// All that waited has come.
    Drained,
    /// Others can write to this device: it is on its account's list, and they find keys of it. Told once for
    /// each connection.
    Reachable,
    /// There is no connection.
    Disconnected {
        /// When the next one is tried; `None`: not until [`crate::Client::connect`].
        retry_at: Option<Millis>,
    },
    /// A message came in, for the first time.
    Received(Message),
    /// A message that could not be opened is readable now.
    Changed(Message),
    /// A message that could not be opened turned out to be nothing for people: it is not shown any more.
    Vanished {
        /// In whose chat.
        peer: PhoneNumber,
        /// Which message.
        id: MessageId,
    },
    /// Another device of this account wrote a message, which goes to its peer.
    Written(Message),
    /// The user has read messages of a peer on another device. The peer knows.
    ReadElsewhere {
        /// Who sent them.
        peer: PhoneNumber,
        /// Which ones: those that were unread here.
        ids: Vec<MessageId>,
    },
    /// An outgoing message has come further.
    Status {
        /// Whom it goes to.
        peer: PhoneNumber,
        /// Which message.
        id: MessageId,
        /// How far it is.
        status: Status,
    },
    /// An outgoing message was given up: it is not sent again, and the peer does not get it.
    Failed {
        /// Whom it was for.
        peer: PhoneNumber,
        /// Which message.
        id: MessageId,
        /// What the server said of it last; `unavailable` if it never said anything.
        code: ErrorCode,
    },
    /// Messages of a peer's device before this one never came. It is shown all the same.
    Gap {
        /// Who sent it.
        peer: PhoneNumber,
        /// The message after the gap.
        id: MessageId,
        /// The last number of the stream that came.
        last: u64,
    },
    /// Whether the peer of the open chat is there. It stands until the connection is lost.
    Presence {
        /// Who.
        peer: PhoneNumber,
        /// Whether they are there.
        available: bool,
        /// When they last were, unless they are or hide it.
        last_seen: Option<Millis>,
    },
    /// The peer of the open chat registered their number again: their devices, and the keys of those,
    /// are others now. Told at once or never.
    KeysChanged {
        /// Who.
        peer: PhoneNumber,
        /// When, by the server's clock.
        at: Millis,
    },
    /// An account has another key than it had: it was registered anew, or somebody is in between. What its
    /// user has compared does not hold any more.
    KeyChanged {
        /// Whose.
        account: PhoneNumber,
    },
    /// What the server tells of an account's devices does not go on from what it told before. It is not
    /// believed.
    ListBroken {
        /// Whose.
        account: PhoneNumber,
    },
    /// Somebody, the server or a member, did in a conversation what nobody honest does. It was not followed.
    Suspicious {
        /// In which.
        conversation: ConversationId,
        /// What.
        suspicion: Suspicion,
    },
    /// A message was not sealed by whom the server names, or is damaged. Its words are not shown.
    Forged {
        /// Who is said to have sent it.
        from: PhoneNumber,
        /// Under which id.
        id: MessageId,
    },
    /// What a peer does in their chat with this account has changed.
    Activity {
        /// Who.
        peer: PhoneNumber,
        /// What they do now. [`Activity::Paused`]: nothing any more.
        activity: Activity,
    },
    /// The server did not take messages for this peer yet. They are sent again.
    Refused {
        /// Whom they are for.
        peer: PhoneNumber,
        /// Why.
        code: ErrorCode,
        /// When they are sent again.
        retry_at: Millis,
    },
    /// This device may not connect any more: register again.
    SignedOut(ErrorCode),
    /// The store failed at something that no input or command was about: reading what is to be
    /// sent, or forgetting what is old. It is tried again.
    StoreFailed(StoreError),
    /// The server, or this client in what the server said, found an error that concerns no message.
    Error(ErrorCode),
}
