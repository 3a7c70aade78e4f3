//! Pairs of users who are both connected.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Interval;

use super::client::{Connection, Event};
use super::connections;
use super::server::Ejabberd;
use super::stanza::{Letters, write_displayed, write_receipt};
use crate::measure::{Latencies, Measurement, Sent};
use crate::workload::{self, APART, Pace};

/// Messages of each pair before anything is measured, so that all code is loaded.
const WARM_UP: u32 = 10;

struct Pair {
    number: u32,
    sender: Connection,
    recipient: Connection,
}

pub(super) async fn run(
    server: &Ejabberd,
    pairs: u32,
    pace: Pace,
    messages_each: u32,
) -> anyhow::Result<Measurement> {
    let mut connected = VecDeque::from(connections::online(server, 0..2 * pairs).await?);
    let recipients = connected.split_off(pairs as usize);
    let pairs: Vec<_> = (0..)
        .zip(connected.into_iter().zip(recipients))
        .map(|(number, (sender, recipient))| Pair { number, sender, recipient })
        .collect();
    let (pairs, _) = exchange(server, pairs, Pace::Window(1), WARM_UP).await?;

    let before = server.process().settled_cpu().await?;
    let begin = Instant::now();
    let (pairs, mut latencies) = exchange(server, pairs, pace, messages_each).await?;
    let took = begin.elapsed();
    let cpu = server.process().settled_cpu().await?.saturating_sub(before);

    let mut measured = Measurement::default();
    let messages = latencies.count();
    measured.push_cpu("cpu_per_message", cpu, messages);
    measured.push_rate("throughput", messages, took);
    measured.push_latencies("latency", &mut latencies);
    for pair in pairs {
        connections::close(vec![pair.sender, pair.recipient]).await?;
    }
    Ok(measured)
}

/// Every pair exchanges that many messages. The latencies are from the sender's write to the
/// recipient's read.
async fn exchange(
    server: &Ejabberd,
    pairs: Vec<Pair>,
    pace: Pace,
    messages: u32,
) -> anyhow::Result<(Vec<Pair>, Latencies)> {
    let count = pairs.len() as u32;
    let mut tasks = JoinSet::new();
    for Pair { number, sender, recipient } in pairs {
        let letters = Letters::new(count + number, number, server.bodies());
        let sent = Arc::new(Sent::new(messages));
        let recipient = tokio::spawn(answer(recipient, messages, Arc::clone(&sent)));
        tasks.spawn(async move {
            let sender = match pace {
                Pace::Window(window) => send_window(sender, letters, window, 0, &sent).await,
                Pace::Apart(window) => send_window(sender, letters, window, window, &sent).await,
                Pace::PerSecond(rate) => {
                    let ticks = workload::ticks(rate, number, count);
                    send_paced(sender, letters, ticks, &sent).await
                }
            };
            let sender = sender.with_context(|| format!("sender {number}"))?;
            let (recipient, latencies) =
                recipient.await?.with_context(|| format!("recipient {number}"))?;
            anyhow::Ok((Pair { number, sender, recipient }, latencies))
        });
    }
    let mut done = Vec::new();
    let mut latencies = Latencies::default();
    while let Some(pair) = tasks.join_next().await {
        let (pair, of_pair) = pair??;
        done.push(pair);
        latencies.merge(of_pair);
    }
    Ok((done, latencies))
}

/// What a sender has been told.
#[derive(Default)]
struct Told {
    received: u32,
    displayed: u32,
}

impl Told {
    fn take(&mut self, connection: &mut Connection, out: &mut Vec<u8>) -> anyhow::Result<()> {
        while let Some(event) = connection.event(out)? {
            match event {
                Event::Received(_) => self.received += 1,
                Event::Displayed(_) => self.displayed += 1,
                other => anyhow::bail!("a sender got {other:?}"),
            }
        }
        Ok(())
    }

    fn all(&self, messages: u32) -> bool {
        self.received >= messages && self.displayed >= messages
    }
}

/// The first `apart` messages are not written together.
async fn send_window(
    mut connection: Connection,
    letters: Letters,
    window: u32,
    apart: u32,
    sent: &Sent,
) -> anyhow::Result<Connection> {
    let messages = sent.messages();
    let mut told = Told::default();
    let mut next = 0;
    let mut out = Vec::new();
    while !told.all(messages) {
        while next < messages && next - told.received < window {
            letters.write(next, &mut out);
            sent.mark(next);
            next += 1;
            if next <= apart {
                connection.write(&out).await?;
                out.clear();
                tokio::time::sleep(APART).await;
            }
        }
        connection.write(&out).await?;
        out.clear();
        connection.fill().await?;
        told.take(&mut connection, &mut out)?;
    }
    connection.write(&out).await?;
    Ok(connection)
}

async fn send_paced(
    mut connection: Connection,
    letters: Letters,
    mut ticks: Interval,
    sent: &Sent,
) -> anyhow::Result<Connection> {
    let messages = sent.messages();
    let mut told = Told::default();
    let mut next = 0;
    let mut out = Vec::new();
    while !told.all(messages) {
        tokio::select! {
            _ = ticks.tick(), if next < messages => {
                letters.write(next, &mut out);
                sent.mark(next);
                next += 1;
            }
            read = connection.fill() => {
                read?;
                told.take(&mut connection, &mut out)?;
            }
        }
        connection.write(&out).await?;
        out.clear();
    }
    Ok(connection)
}

/// Reads that many messages and answers each.
async fn answer(
    mut connection: Connection,
    messages: u32,
    sent: Arc<Sent>,
) -> anyhow::Result<(Connection, Latencies)> {
    let mut latencies = Latencies::default();
    let mut out = Vec::new();
    while latencies.count() < u64::from(messages) {
        connection.fill().await?;
        let mut answers = Vec::new();
        while let Some(event) = connection.event(&mut out)? {
            let Event::Message { from, number } = event else {
                anyhow::bail!("a recipient got {event:?}");
            };
            latencies.push(sent.since(number).context("a message that nobody sent")?);
            write_receipt(from, number, &mut answers);
            write_displayed(from, number, &mut answers);
        }
        connection.write(&answers).await?;
        connection.write(&out).await?;
        out.clear();
    }
    Ok((connection, latencies))
}
