//! Messages to users who are not connected, and what happens when they come.

use std::time::Instant;

use anyhow::{bail, ensure};
use estafette_protocol::{Ack, ClientFrame, Mark, ServerFrame};
use tokio::task::JoinSet;

use super::bill::Bill;
use super::client::Connection;
use super::connections;
use super::server::Estafette;
use crate::measure::{Latencies, Measurement};

pub(super) async fn run(
    server: &Estafette,
    recipients: u32,
    messages_each: u32,
    burst: u32,
) -> anyhow::Result<Measurement> {
    let mut measured = Measurement::default();
    let users = 0..2 * recipients;
    let messages = u64::from(recipients) * u64::from(messages_each);
    let senders = connections::online(server, 0..recipients).await?;

    let used = server.usage(users.clone()).await?;
    let before = server.process()?.settled_cpu().await?;
    let begin = Instant::now();
    let (senders, mut bursts) = store(server, senders, messages_each, burst).await?;
    let took = begin.elapsed();
    let stored = server.process()?.settled_cpu().await?;
    measured.push_cpu("store_cpu_per_message", stored.saturating_sub(before), messages);
    measured.push_rate("store_throughput", messages, took);
    measured.push_latencies("store_burst", &mut bursts);

    let begin = Instant::now();
    let (connections, mut drains) = drain(server, senders, messages_each).await?;
    let took = begin.elapsed();
    let cpu = server.process()?.settled_cpu().await?.saturating_sub(stored);
    measured.push_cpu("drain_cpu_per_message", cpu, messages);
    measured.push_rate("drain_throughput", messages, took);
    measured.push_latencies("drain", &mut drains);
    if let Some(bill) = Bill::between(&used, &server.usage(users).await?) {
        bill.report(&mut measured, messages);
    }
    connections::close(connections).await?;
    Ok(measured)
}

/// Every sender writes its messages, a burst at a time. The latencies are those of a burst, until
/// the server has said that all of it is safe.
pub(super) async fn store(
    server: &Estafette,
    senders: Vec<Connection>,
    messages: u32,
    burst: u32,
) -> anyhow::Result<(Vec<Connection>, Latencies)> {
    let recipients = senders.len() as u32;
    let mut tasks = JoinSet::new();
    for (number, mut sender) in (0..).zip(senders) {
        let mut letters = server.letters(recipients + number, number)?;
        tasks.spawn(async move {
            let mut latencies = Latencies::default();
            let mut next = 0;
            while next < messages {
                let end = messages.min(next + burst);
                for number in next..end {
                    sender.push(letters.next(number));
                }
                let begin = Instant::now();
                sender.write().await?;
                while letters.unsettled() > 0 {
                    for frame in sender.read().await? {
                        let ServerFrame::Sent(sent) = frame else {
                            bail!("a sender got {frame:?}")
                        };
                        letters.settle(sent.ids.len());
                    }
                }
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
/// from its first packet until it has all and its sender knows.
pub(super) async fn drain(
    server: &Estafette,
    senders: Vec<Connection>,
    messages: u32,
) -> anyhow::Result<(Vec<Connection>, Latencies)> {
    let recipients = senders.len() as u32;
    let mut draining = JoinSet::new();
    let begin = Instant::now();
    for (number, sender) in (recipients..).zip(senders) {
        let reach = server.reach();
        draining.spawn(async move {
            let told = tokio::spawn(hear_receipts(sender, messages));
            let recipient = fetch(Connection::open(reach, number).await?, messages).await?;
            let sender = told.await??;
            anyhow::Ok((sender, recipient, begin.elapsed().as_nanos() as u64))
        });
    }
    let mut done = Vec::new();
    let mut latencies = Latencies::default();
    while let Some(drained) = draining.join_next().await {
        let (sender, recipient, nanos) = drained??;
        done.extend([sender, recipient]);
        latencies.push(nanos);
    }
    Ok((done, latencies))
}

async fn fetch(mut connection: Connection, messages: u32) -> anyhow::Result<Connection> {
    let mut count = 0;
    let mut drained = false;
    while count < messages || !drained {
        let mut ids = Vec::new();
        for frame in connection.read().await? {
            match frame {
                ServerFrame::Hello(hello) => {
                    ensure!(hello.waiting == u64::from(messages), "{hello:?}");
                }
                ServerFrame::Deliver(deliver) => {
                    count += 1;
                    let number = deliver.id.number;
                    ensure!(number == u64::from(count), "{number} came where {count} was due");
                    ids.push(deliver.id);
                }
                ServerFrame::Drained(_) => drained = true,
                other => bail!("a recipient got {other:?}"),
            }
        }
        if !ids.is_empty() {
            connection.push(ClientFrame::Ack(Ack { ids }));
        }
        connection.write().await?;
    }
    Ok(connection)
}

async fn hear_receipts(mut connection: Connection, messages: u32) -> anyhow::Result<Connection> {
    let mut heard = 0;
    while heard < messages as usize {
        for frame in connection.read_and_settle().await? {
            match frame {
                ServerFrame::Receipt(receipt) if receipt.mark == Mark::Delivered => {
                    heard += receipt.ids.len();
                    connection.owe(receipt.id);
                }
                // The recipient's mailbox has told it before.
                ServerFrame::Sent(_) => {}
                other => bail!("a sender got {other:?}"),
            }
        }
    }
    connection.settle().await?;
    Ok(connection)
}
