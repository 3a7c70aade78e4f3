//! Does the same to many connections, some at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::measure::Latencies;

/// Attempts at a time where connecting is not what is measured.
pub(crate) const IN_FLIGHT: u32 = 32;

/// Connections before anything is measured, so that all code is loaded.
pub(crate) const WARM_UP: u32 = 20;

/// Does `one` for every item, at most `in_flight` at a time. Results are in the items' order; the
/// latencies are those of the items by themselves, without their wait for a turn.
pub(crate) async fn each<T, R, F>(
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
