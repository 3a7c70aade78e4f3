//! The decisions of the server: one [`Mailbox`] for each account, one [`Upload`] for each file that
//! comes in pieces.
//!
//! A mailbox is a synchronous state machine over one SQL database. It has two entrances, what a
//! device says ([`Mailbox::on_message`]) and what another mailbox asks ([`Mailbox::on_call`]), and
//! one exit: the [`Effect`]s that the shell carries out, in order. Time, randomness and the answers
//! to calls come in as arguments. Nothing awaits between a read and the write that depends on it.
//!
//! # Architecture invariant
//!
//! Built for wasm, this crate imports nothing: no clock, no randomness, no I/O. `cargo xtask check`
//! proves it.

mod account;
mod bucket;
mod config;
mod conversation;
mod effect;
mod entry;
mod lane;
mod ledger;
mod mailbox;
mod media;
mod outgoing;
mod peer;
mod push;
mod queue;
mod reply;
mod schema;
mod session;
pub mod sql;
mod stream;
mod upload;

pub use account::{AccountAnswer, AccountRequest};
pub use config::Config;
pub use conversation::call::{
    Ask, ConversationAnswer, ConversationItem, ConversationRequest, NewsAnswer, NewsRequest,
    Outcome,
};
pub use conversation::{Conversation, ConversationEffect};
pub use effect::{Connect, Effect, Refusal, SocketId, Wake};
pub use mailbox::{Mailbox, Moving, PinHash};
pub use media::MediaWork;
pub use peer::{PeerAnswer, PeerItem, PeerMessage, PeerRequest, Verdict};
pub use push::{Push, PushId, PushOutcome};
pub use reply::AccountReply;
pub use sql::{Sql, StorageError, Value};
pub use upload::{
    Begun, Finish, Fragment, Part, Piece, Standing, Step, Upload, UploadAnswer, UploadEffect,
    UploadRequest, work_of_beginning,
};
