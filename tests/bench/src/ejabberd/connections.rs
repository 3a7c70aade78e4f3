//! Many connections at once: made, broken, resumed, left idle.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::client::{Connection, Session};
use super::server::Ejabberd;
use crate::connections::{IN_FLIGHT, WARM_UP, each};
use crate::measure::Measurement;

/// Brings users online; the connections are in their order.
pub(super) async fn online(
    server: &Ejabberd,
    users: Range<u32>,
) -> anyhow::Result<Vec<Connection>> {
    let reach = server.reach();
    let (connections, _) = each(users, IN_FLIGHT, |user| Connection::online(reach, user)).await?;
    Ok(connections)
}

/// Logs users out.
pub(super) async fn close(connections: Vec<Connection>) -> anyhow::Result<()> {
    each(connections, IN_FLIGHT, Connection::close).await?;
    Ok(())
}

pub(super) async fn storm(
    server: &Ejabberd,
    connections: u32,
    in_flight: u32,
) -> anyhow::Result<Measurement> {
    let reach = server.reach();
    let mut measured = Measurement::default();
    close(online(server, 0..WARM_UP.min(connections)).await?).await?;

    let before = server.process().settled_cpu().await?;
    let begin = Instant::now();
    let (online, mut latencies) =
        each(0..connections, in_flight, |user| Connection::online(reach, user)).await?;
    let took = begin.elapsed();
    let cpu = server.process().settled_cpu().await?.saturating_sub(before);
    measured.push_cpu("connect_cpu", cpu, latencies.count());
    measured.push_rate("connect_rate", latencies.count(), took);
    measured.push_latencies("connect", &mut latencies);
    if !reach.options.stream_management {
        close(online).await?;
        return Ok(measured);
    }

    let sessions: Vec<Session> =
        online.into_iter().map(Connection::cut).collect::<anyhow::Result<_>>()?;
    let before = server.process().settled_cpu().await?;
    let begin = Instant::now();
    let (resumed, mut latencies) =
        each(sessions, in_flight, |session| Connection::resume(reach, session)).await?;
    let took = begin.elapsed();
    let cpu = server.process().settled_cpu().await?.saturating_sub(before);
    measured.push_cpu("resume_cpu", cpu, latencies.count());
    measured.push_rate("resume_rate", latencies.count(), took);
    measured.push_latencies("resume", &mut latencies);
    close(resumed).await?;
    Ok(measured)
}

pub(super) async fn idle(
    server: &Ejabberd,
    connections: u32,
    hold: Duration,
) -> anyhow::Result<Measurement> {
    let process = server.process();
    close(online(server, 0..WARM_UP.min(connections)).await?).await?;
    process.settled_cpu().await?;
    let empty = process.resident_bytes()?;
    let online = online(server, 0..connections).await?;

    let before = process.settled_cpu().await?;
    let begin = Instant::now();
    tokio::time::sleep(hold).await;
    let cpu = process.cpu()?.saturating_sub(before);
    let held = begin.elapsed();
    let full = process.resident_bytes()?;

    let mut measured = Measurement::default();
    measured.push_memory(empty, full, connections);
    measured.push("idle_cpu", cpu.as_secs_f64() * 1e6 / held.as_secs_f64(), "µs/s");
    close(online).await?;
    Ok(measured)
}
