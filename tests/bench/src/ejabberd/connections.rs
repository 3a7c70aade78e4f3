//! Many connections at once: made, broken, resumed, left idle.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Connection, Session};
use super::server::Ejabberd;
use crate::measure::{Latencies, Measurement};

/// Attempts at a time where connecting is not what is measured.
const IN_FLIGHT: u32 = 32;

/// Connections before anything is measured, so that all code is loaded.
const WARM_UP: u32 = 20;

/// Does `one` for every item, at most `in_flight` at a time. Results are in the items' order; the
/// latencies are those of the items by themselves, without their wait for a turn.
async fn each<T, R, F>(
    items: impl IntoIterator<Item = T>,
    in_flight: u32,
    one: impl Fn(T) -> F,
) -> anyhow::Result<(Vec<R>, Latencies)>
where
    R: Send + 'static,
    F: Future<Output = anyhow::Result<R>> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(in_flight as usize));
    let mut tasks = JoinSet::new();
    for (number, item) in items.into_iter().enumerate() {
        let turns = Arc::clone(&turns);
        let work = one(item);
        tasks.spawn(async move {
            let _turn = turns.acquire().await?;
            let begin = Instant::now();
            let result = work.await.with_context(|| format!("connection {number}"))?;
            anyhow::Ok((number, result, begin.elapsed().as_nanos() as u64))
        });
    }
    let mut done = Vec::new();
    let mut latencies = Latencies::default();
    while let Some(task) = tasks.join_next().await {
        let (number, result, nanos) = task??;
        done.push((number, result));
        latencies.push(nanos);
    }
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok((done.into_iter().map(|(_, result)| result).collect(), latencies))
}

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
    let kibibytes = |bytes: u64| bytes as f64 / 1024.0;
    measured.push("memory_empty", kibibytes(empty) / 1024.0, "MiB");
    measured.push("memory_connected", kibibytes(full) / 1024.0, "MiB");
    let each = (kibibytes(full) - kibibytes(empty)) / f64::from(connections);
    measured.push("memory_per_connection", each, "KiB");
    let cpu_per_second = cpu.as_secs_f64() * 1e6 / held.as_secs_f64();
    measured.push("idle_cpu", cpu_per_second, "µs/s");
    close(online).await?;
    Ok(measured)
}
