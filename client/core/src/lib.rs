//! The decisions of the client, one [`Client`] for each device.
//!
//! A client is a synchronous state machine over one encrypted database ([`Store`]). What happens to
//! it comes in through [`Client::on_input`] and the commands of its user ([`Client::send`],
//! [`Client::read`]); what is to be done comes out as [`Effect`]s, which the shell carries out in
//! order. Time and randomness are arguments.
//!
//! # Architecture invariant
//!
//! No sockets, no clock, no randomness, no threads: the only I/O is SQLite's. Natively and in the
//! browser it is the same code.

mod client;
mod clock;
mod config;
mod content;
mod effect;
pub mod media;
mod message;
pub mod mls;
mod pin;
mod store;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use getrandom_02 as _;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use sqlite_wasm_rs as _;

pub use client::{Client, ClientError, Identity, Pending, Secrets};
pub use config::Config;
pub use content::{
    About, CAPTION_BYTES_MAX, Content, ContentError, Media, Moved, NAME_BYTES_MAX, Picture,
    Unopened,
};
pub use effect::{Effect, Event, Input};
pub use message::{Chat, Contact, Message, Status};
pub use pin::{PinError, PinKey};
pub use store::{
    KnownProfile, Outgoing, OutgoingFile, Safety, Sharing, Store, StoreError, StoreKey,
};
