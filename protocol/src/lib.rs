//! The wire contract: what devices and the server say to each other, byte for byte.
//!
//! A WebSocket message is a *batch*, an array of *frames* in order, in one of two encodings of the
//! same types ([`Encoding`]). HTTP carries what is not a conversation ([`http`]). What is decided
//! about a frame is not here: the server's decisions are in `relay`, the client's in `client/core`.
//!
//! Everything here outlives a deploy: names and shapes only ever grow, and golden tests pin them.

mod body;
mod cbor;
mod codec;
mod conversation;
mod error;
mod frame;
pub mod http;
mod id;
pub mod limits;
mod number;
pub mod push;
mod shape;
mod writer;

pub use body::Body;
pub use cbor::item_length;
pub use codec::{Batch, BatchError, Decoded, Encoding, WireMessage};
pub use conversation::{
    Commit, Denied, Done, Enlist, Entry, EntryMessage, FetchKeys, FetchLog, GroupState, Keys,
    Knock, Leave, Log, Member, News, Package, Passed, Post, Posted, PublishKeys, Role, Roster,
    Turn, Welcome,
};
pub use error::{ErrorCode, Fault};
pub use frame::{
    Ack, Activity, ChatState, ClientFrame, Deliver, Doing, Drained, ErrorFrame, Goaway, Hello,
    KeysChanged, Mark, Presence, Receipt, Receipted, Refused, Seen, Send, Sent, ServerFrame,
    StoredFrame,
};
pub use id::{ConversationId, DeviceId, IdError, MediaId, MessageId};
pub use number::{NumberError, PhoneNumber};
pub use writer::{BatchWriter, frame_to_cbor, frames_from_cbor};

/// Milliseconds since the Unix epoch. The server's clock unless a name says otherwise.
pub type Millis = u64;
