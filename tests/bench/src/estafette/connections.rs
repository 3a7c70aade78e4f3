//! Many connections at once: made, broken, made again, left idle.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::client::Connection;
use super::server::Estafette;
use crate::connections::{IN_FLIGHT, WARM_UP, each};
use crate::measure::Measurement;

/// After this long without an event every object has left memory; its socket stays.
const HIBERNATION: Duration = Duration::from_secs(12);

/// Brings users online; the connections are in their order.
pub(super) async fn online(
    server: &Estafette,
    users: Range<u32>,
) -> anyhow::Result<Vec<Connection>> {
    let reach = server.reach();
    let (connections, _) =
        each(users, IN_FLIGHT, |user| Connection::online(reach.clone(), user)).await?;
    Ok(connections)
}

/// Closes connections.
pub(super) async fn close(connections: Vec<Connection>) -> anyhow::Result<()> {
    each(connections, IN_FLIGHT, Connection::close).await?;
    Ok(())
}

pub(super) async fn storm(
    server: &Estafette,
    connections: u32,
    in_flight: u32,
) -> anyhow::Result<Measurement> {
    let mut measured = Measurement::default();
    close(online(server, 0..WARM_UP.min(connections)).await?).await?;

    let online = connect(server, &mut measured, "connect", 0..connections, in_flight).await?;
    let users: Vec<_> = online.into_iter().map(Connection::cut).collect();
    let resumed = connect(server, &mut measured, "resume", users, in_flight).await?;
    close(resumed).await?;
    Ok(measured)
}

/// Each connects until it has all that waits for it, which is nothing.
async fn connect(
    server: &Estafette,
    measured: &mut Measurement,
    name: &str,
    users: impl IntoIterator<Item = u32>,
    in_flight: u32,
) -> anyhow::Result<Vec<Connection>> {
    let reach = server.reach();
    let before = server.process()?.settled_cpu().await?;
    let begin = Instant::now();
    let (online, mut latencies) =
        each(users, in_flight, |user| Connection::online(reach.clone(), user)).await?;
    let took = begin.elapsed();
    let cpu = server.process()?.settled_cpu().await?.saturating_sub(before);
    measured.push_cpu(&format!("{name}_cpu"), cpu, latencies.count());
    measured.push_rate(&format!("{name}_rate"), latencies.count(), took);
    measured.push_latencies(name, &mut latencies);
    Ok(online)
}

pub(super) async fn idle(
    server: &Estafette,
    connections: u32,
    hold: Duration,
) -> anyhow::Result<Measurement> {
    server.restart()?;
    let process = server.process()?;
    close(online(server, 0..WARM_UP.min(connections)).await?).await?;
    process.settled_cpu().await?;
    let empty = process.resident_bytes()?;
    let online = online(server, 0..connections).await?;

    let before = process.settled_cpu().await?;
    tokio::time::sleep(HIBERNATION).await;
    let hibernated = process.settled_cpu().await?;
    let begin = Instant::now();
    tokio::time::sleep(hold).await;
    let cpu = process.cpu()?.saturating_sub(hibernated);
    let held = begin.elapsed();
    let full = process.resident_bytes()?;

    let mut measured = Measurement::default();
    measured.push_memory(empty, full, connections);
    let hibernation = hibernated.saturating_sub(before);
    measured.push_cpu("hibernation_cpu", hibernation, u64::from(connections));
    measured.push("idle_cpu", cpu.as_secs_f64() * 1e6 / held.as_secs_f64(), "µs/s");
    close(online).await?;
    Ok(measured)
}
