//! Starts the real runtime, an SMS gateway, a desk for reports and a push service on the loopback interface, and ends them.
//!
//! Invariant: nothing that is started here outlives the value that started it, nor the process:
//! what is dropped is ended by its process id, and what is not dropped, because the process was
//! killed, ends by itself when its standard input closes.

mod bundle;
mod directory;
mod inbox;
mod people;
mod push;
mod reports;
mod runner;
mod runtime;
mod sms;

pub use bundle::{build_bundle, build_worker, workspace_root};
pub use directory::TempDir;
pub use inbox::Behaviour;
pub use people::{People, account_secret, device_key, device_seed};
pub use push::{PushService, Pushed, ServiceBehaviour};
pub use reports::{Report, ReportDesk, ReportedMessage};
pub use runner::LogLine;
pub use runtime::{Options, Runtime, random_secret};
pub use sms::{Sms, SmsGateway};
