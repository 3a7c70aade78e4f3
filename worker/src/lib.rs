//! The edge shell: it turns requests, sockets, alarms and calls into steps of a mailbox, and carries
//! out the effects.
//!
//! Its entrances are called by `worker/js/shim.js`: [`fetch`], the front Worker, which reads requests,
//! verifies tokens, sends one-time codes and hands on the bytes of files; [`MailboxObject`], the Durable
//! Object of one account; [`ConversationObject`], that of one conversation; [`UploadObject`], that of one file that
//! comes in pieces; and [`sweep`], the hourly job. What can be decided without the platform is decided in modules that never touch it
//! (`route`, `token`, `code`, `input`, `connect`, `link`, `setup`, `problem`, the parts of `push`), whose tests run
//! natively.
//!
//! The platform is bound by the crate `worker`, but for what it lacks (`js`). Its macros `event` and
//! `durable_object` are not used: they would put a second guard against traps beside the shim's, and
//! restart the instance behind its back. What it unwraps where the platform may throw is not used
//! either: a throw inside an object loses what all objects of the isolate have in memory.

mod admin;
mod code;
mod connect;
mod conversation;
mod front;
mod gateway;
mod input;
mod js;
mod link;
mod log;
mod media;
mod object;
mod problem;
mod push;
mod route;
mod setup;
mod sms;
mod sql;
mod token;

pub use conversation::ConversationObject;
pub use front::fetch;
pub use media::{Store, UploadObject, sweep};
pub use object::MailboxObject;
