//! Estafette itself: the Worker as `cargo xtask build` left it, in the real runtime.
//!
//! - Accounts are made over the HTTP interface, with codes from an SMS gateway on the loopback
//!   interface. The limits that would slow a flood down on purpose are raised, in the open, by
//!   variables (`server.rs`); nothing else differs from a deployment.
//! - Storage is on tmpfs where there is one.
//! - A client speaks CBOR and answers all that it has read with one WebSocket message: one `ack` for
//!   all deliveries, and in the same batch one read receipt for them. What it owes for receipts
//!   rides along with what it sends next, or goes after 300 ms.
//! - A sender is always told that its message was delivered: there is no way to drain a mailbox
//!   without that, as there is on ejabberd. So the workloads whose recipients only acknowledge cost
//!   Estafette more than ejabberd, and `away-100x100-receipts` is the fair comparison.

mod away;
pub mod bill;
mod bill_media;
mod bill_people;
mod bill_push;
mod client;
mod connections;
mod http;
mod online;
mod server;

use std::time::Duration;

use anyhow::Context;

use crate::measure::Measurement;
use crate::media;
use crate::workload::Workload;

pub use server::Estafette;

/// A workload that has made no end by then is taken to hang.
const RUN_TIME_MAX: Duration = Duration::from_secs(600);

/// Runs a workload on a server that was started with accounts enough for it.
pub async fn run(workload: &Workload, server: &Estafette) -> anyhow::Result<Measurement> {
    let measured = async {
        match *workload {
            Workload::Online { pairs, pace, messages_each } => {
                online::run(server, pairs, pace, messages_each).await
            }
            Workload::Away { recipients, messages_each, burst, .. } => {
                away::run(server, recipients, messages_each, burst).await
            }
            Workload::Storm { connections, in_flight } => {
                connections::storm(server, connections, in_flight).await
            }
            Workload::Idle { connections, hold } => {
                connections::idle(server, connections, hold).await
            }
            Workload::Media(files) => media::run(&server.host()?, files).await,
        }
    };
    tokio::time::timeout(RUN_TIME_MAX, measured).await.context("the workload hangs")?
}
