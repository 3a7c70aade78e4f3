//! The peer: the ejabberd that the system has installed, driven over plain XMPP.
//!
//! Wherever a choice had to be made, it is the one that costs ejabberd less, or the one that gives
//! its users what Estafette's have:
//!
//! - Only the modules that the workloads need are loaded; shapers and limits are off; there is no
//!   TLS (Estafette's is ended by the edge); passwords are kept plain and compared, not derived.
//! - The emulator's busy waiting is off: the CPU that it burns while it waits is not work.
//! - Storage is on tmpfs where there is one. ejabberd's own is written without fsync anyway.
//! - Stream management is on, with resumption: without it ejabberd loses what was on the way to a
//!   device whose connection breaks, and nobody is told. Clients answer its requests for
//!   acknowledgement once for all that they have read, and make none of their own but after a
//!   burst to absent users, where it says what is safe.
//! - A delivery receipt (XEP-0184) and a displayed marker (XEP-0333) are two stanzas in one write,
//!   together with those of all other messages that came in one read.

mod away;
mod client;
mod connections;
mod online;
mod server;
mod stanza;

use std::time::Duration;

use anyhow::{Context, bail};

use crate::measure::Measurement;
use crate::workload::Workload;

pub use server::Ejabberd;

/// A workload that has made no end by then is taken to hang.
const RUN_TIME_MAX: Duration = Duration::from_secs(600);

/// How its clients behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether they enable stream management (XEP-0198) and resumption.
    pub stream_management: bool,
}

/// Fails, with advice, when ejabberd is not installed.
pub fn check() -> anyhow::Result<()> {
    server::installed().map(|_| ())
}

/// Runs a workload on a server that was started with accounts enough for it.
pub async fn run(workload: &Workload, server: &Ejabberd) -> anyhow::Result<Measurement> {
    let measured = async {
        match *workload {
            Workload::Online { pairs, pace, messages_each } => {
                online::run(server, pairs, pace, messages_each).await
            }
            Workload::Away { recipients, messages_each, burst, answer } => {
                away::run(server, recipients, messages_each, burst, answer).await
            }
            Workload::Storm { connections, in_flight } => {
                connections::storm(server, connections, in_flight).await
            }
            Workload::Idle { connections, hold } => {
                connections::idle(server, connections, hold).await
            }
            Workload::Media(_) => bail!("ejabberd is not measured with files"),
        }
    };
    tokio::time::timeout(RUN_TIME_MAX, measured).await.context("the workload hangs")?
}
