//! Messages to users who are not connected, and what happens when they come.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{bail, ensure};
use tokio::task::JoinSet;

use super::client::{Connection, Event};
use super::connections;
use super::server::Ejabberd;
use super::stanza::{Letters, write_receipt};
use crate::measure::{Latencies, Measurement};
use crate::workload::Answer;

pub(super) async fn run(
    server: &Ejabberd,
    recipients: u32,
    messages_each: u32,
    burst: u32,
    answer: Answer,
) -> anyhow::Result<Measurement> {
    let mut measured = Measurement::default();
    let messages = u64::from(recipients) * u64::from(messages_each);
    let senders = connections::online(server, 0..recipients).await?;

    let before = server.process().settled_cpu().await?;
    let begin = Instant::now();
    let (senders, mut bursts) = store(server, senders, messages_each, burst).await?;
    let took = begin.elapsed();
    let stored = server.process().settled_cpu().await?;
    measured.push_cpu("store_cpu_per_message", stored.saturating_sub(before), messages);
    measured.push_rate("store_throughput", messages, took);
    measured.push_latencies("store_burst", &mut bursts);

    let begin = Instant::now();
    let (connections, mut drains) = drain(server, senders, messages_each, answer).await?;
    let took = begin.elapsed();
    let cpu = server.process().settled_cpu().await?.saturating_sub(stored);
    measured.push_cpu("drain_cpu_per_message", cpu, messages);
    measured.push_rate("drain_throughput", messages, took);
    measured.push_latencies("drain", &mut drains);
    connections::close(connections).await?;
    Ok(measured)
}

/// Every sender writes its messages, a burst at a time. The latencies are those of a burst, until
/// the server has said that it has handled it.
async fn store(
    server: &Ejabberd,
    senders: Vec<Connection>,
    messages: u32,
    burst: u32,
) -> anyhow::Result<(Vec<Connection>, Latencies)> {
    let recipients = senders.len() as u32;
    let mut tasks = JoinSet::new();
    for (number, mut sender) in (0..).zip(senders) {
        let letters = Letters::new(recipients + number, number, server.bodies());
        tasks.spawn(async move {
            let mut latencies = Latencies::default();
            let mut out = Vec::new();
            let mut next = 0;
            while next < messages {
                let end = messages.min(next + burst);
                for number in next..end {
                    letters.write(number, &mut out);
                }
                sender.count_sent(end - next);
                sender.write_barrier(&mut out);
                let begin = Instant::now();
                sender.write(&out).await?;
                out.clear();
                sender.wait_for(&Event::Barrier, &mut out).await?;
                latencies.push(begin.elapsed().as_nanos() as u64);
                next = end;
            }
            anyhow::Ok((number, sender, latencies))
        });
    }
    let mut done = Vec::new();
    let mut latencies = Latencies::default();
    while let Some(sender) = tasks.join_next().await {
        let (number, sender, of_sender) = sender??;
        done.push((number, sender));
        latencies.merge(of_sender);
    }
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok((done.into_iter().map(|(_, sender)| sender).collect(), latencies))
}

/// Every recipient comes online and gets its messages. The latencies are those of a recipient,
/// from its first packet until it has all; with receipts, until its sender knows.
async fn drain(
    server: &Ejabberd,
    senders: Vec<Connection>,
    messages: u32,
    answer: Answer,
) -> anyhow::Result<(Vec<Connection>, Latencies)> {
    let recipients = senders.len() as u32;
    let mut logging_in = JoinSet::new();
    let mut senders = VecDeque::from(senders);
    let begin = Instant::now();
    for number in recipients..2 * recipients {
        let Some(sender) = senders.pop_front() else { break };
        let reach = server.reach();
        logging_in.spawn(async move {
            let mut recipient = Connection::log_in(reach, number).await?;
            recipient.announce().await?;
            let told = tokio::spawn(hear_receipts(sender, messages, answer));
            let recipient = fetch(recipient, messages, answer).await?;
            let sender = told.await??;
            anyhow::Ok((sender, recipient, begin.elapsed().as_nanos() as u64))
        });
    }
    let mut done = Vec::new();
    let mut latencies = Latencies::default();
    while let Some(drained) = logging_in.join_next().await {
        let (sender, recipient, nanos) = drained??;
        done.extend([sender, recipient]);
        latencies.push(nanos);
    }
    Ok((done, latencies))
}

async fn fetch(
    mut connection: Connection,
    messages: u32,
    answer: Answer,
) -> anyhow::Result<Connection> {
    let mut next = 0;
    let mut out = Vec::new();
    let mut receipts = Vec::new();
    while next < messages {
        connection.fill().await?;
        while let Some(event) = connection.event(&mut out)? {
            match event {
                Event::Online => {}
                Event::Message { from, number } => {
                    ensure!(number == next, "message {number} came where {next} was due");
                    next += 1;
                    if answer == Answer::Receipt {
                        write_receipt(from, number, &mut receipts);
                    }
                }
                other => bail!("a recipient got {other:?}"),
            }
        }
        out.append(&mut receipts);
        connection.write(&out).await?;
        out.clear();
    }
    Ok(connection)
}

async fn hear_receipts(
    mut connection: Connection,
    messages: u32,
    answer: Answer,
) -> anyhow::Result<Connection> {
    let due = if answer == Answer::Receipt { messages } else { 0 };
    let mut heard = 0;
    let mut out = Vec::new();
    while heard < due {
        connection.fill().await?;
        while let Some(event) = connection.event(&mut out)? {
            ensure!(matches!(event, Event::Received(_)), "a sender got {event:?}");
            heard += 1;
        }
        connection.write(&out).await?;
        out.clear();
    }
    Ok(connection)
}
