//! Pairs of users who are both connected.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use estafette_protocol::{Ack, ClientFrame, Mark, MessageId, Receipt, ServerFrame};
use tokio::task::JoinSet;
use tokio::time::Interval;

use super::bill::Bill;
use super::client::{Connection, Letters};
use super::connections;
use super::server::Estafette;
use crate::measure::{Latencies, Measurement, Sent};
use crate::workload::{self, APART, Pace};

/// Messages of each pair before anything is measured, so that all code is loaded.
const WARM_UP: u32 = 10;

/// Two connected users and the stream of messages between them.
pub(super) struct Pair {
    number: u32,
    sender: Connection,
    recipient: Connection,
    letters: Letters,
    /// The last read receipt.
    receipts: MessageId,
}

/// One exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) pace: Pace,
    /// Messages of each pair.
    pub(super) messages: u32,
    /// Whether the recipients say that they have read them.
    pub(super) read: bool,
}

impl Exchange {
    /// A few messages, so that all code is loaded.
    pub(super) fn warm_up(read: bool) -> Self {
        Self { pace: Pace::Window(1), messages: WARM_UP, read }
    }
}

pub(super) async fn run(
    server: &Estafette,
    pairs: u32,
    pace: Pace,
    messages_each: u32,
) -> anyhow::Result<Measurement> {
    let users = 0..2 * pairs;
    let connected = connect(server, pairs).await?;
    let (connected, _) = exchange(connected, Exchange::warm_up(true)).await?;

    let used = server.usage(users.clone()).await?;
    let before = server.process()?.settled_cpu().await?;
    let begin = Instant::now();
    let (connected, mut latencies) =
        exchange(connected, Exchange { pace, messages: messages_each, read: true }).await?;
    let took = begin.elapsed();
    let cpu = server.process()?.settled_cpu().await?.saturating_sub(before);
    let bill = Bill::between(&used, &server.usage(users).await?);

    let mut measured = Measurement::default();
    let messages = latencies.count();
    measured.push_cpu("cpu_per_message", cpu, messages);
    measured.push_rate("throughput", messages, took);
    measured.push_latencies("latency", &mut latencies);
    if let Some(bill) = bill {
        bill.report(&mut measured, messages);
    }
    close(connected).await?;
    Ok(measured)
}

/// Brings the pairs online. Pair `i` of `n` is the sender `i` and the recipient `n + i`.
pub(super) async fn connect(server: &Estafette, pairs: u32) -> anyhow::Result<Vec<Pair>> {
    let mut senders = connections::online(server, 0..2 * pairs).await?;
    let recipients = senders.split_off(pairs as usize);
    let mut connected = Vec::new();
    for (number, (sender, recipient)) in (0..).zip(senders.into_iter().zip(recipients)) {
        let letters = server.letters(pairs + number, number)?;
        let receipts = MessageId { stream: server.new_stream(), number: 0 };
        connected.push(Pair { number, sender, recipient, letters, receipts });
    }
    Ok(connected)
}

pub(super) async fn close(pairs: Vec<Pair>) -> anyhow::Result<()> {
    let both = pairs.into_iter().flat_map(|pair| [pair.sender, pair.recipient]);
    connections::close(both.collect()).await
}

/// Every pair exchanges messages. The latencies are from the sender's write to the recipient's
/// read.
pub(super) async fn exchange(
    pairs: Vec<Pair>,
    exchange: Exchange,
) -> anyhow::Result<(Vec<Pair>, Latencies)> {
    let count = pairs.len() as u32;
    let mut tasks = JoinSet::new();
    for Pair { number, sender, recipient, letters, receipts } in pairs {
        let sent = Arc::new(Sent::new(exchange.messages));
        let first = letters.written() + 1;
        let recipient =
            tokio::spawn(answer(recipient, exchange, receipts, first, Arc::clone(&sent)));
        tasks.spawn(async move {
            let sender = Sender { connection: sender, letters, told: Told::default() };
            let sender = match exchange.pace {
                Pace::PerSecond(rate) => {
                    let ticks = workload::ticks(rate, number, count);
                    sender.send_paced(exchange, ticks, &sent).await
                }
                Pace::Window(window) => sender.send_window(exchange, window, 0, &sent).await,
                Pace::Apart(window) => sender.send_window(exchange, window, window, &sent).await,
            };
            let Sender { connection: sender, letters, .. } =
                sender.with_context(|| format!("sender {number}"))?;
            let (recipient, receipts, latencies) =
                recipient.await?.with_context(|| format!("recipient {number}"))?;
            anyhow::Ok((Pair { number, sender, recipient, letters, receipts }, latencies))
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

/// What a sender has been told in one exchange.
#[derive(Default)]
struct Told {
    delivered: u32,
    read: u32,
}

struct Sender {
    connection: Connection,
    letters: Letters,
    told: Told,
}

impl Sender {
    /// The first `apart` messages are not written together.
    async fn send_window(
        mut self,
        exchange: Exchange,
        window: u32,
        apart: u32,
        sent: &Sent,
    ) -> anyhow::Result<Self> {
        let mut next = 0;
        while !self.was_told_all(exchange) {
            while next < exchange.messages && next - self.told.delivered < window {
                self.write(next, sent);
                next += 1;
                if next <= apart {
                    self.connection.write().await?;
                    tokio::time::sleep(APART).await;
                }
            }
            self.connection.write().await?;
            let frames = self.connection.read_and_settle().await?;
            self.take(frames)?;
        }
        self.connection.settle().await?;
        Ok(self)
    }

    async fn send_paced(
        mut self,
        exchange: Exchange,
        mut ticks: Interval,
        sent: &Sent,
    ) -> anyhow::Result<Self> {
        let mut next = 0;
        while !self.was_told_all(exchange) {
            let due = self.connection.due();
            let settle = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick(), if next < exchange.messages => {
                    self.write(next, sent);
                    next += 1;
                    self.connection.write().await?;
                }
                () = settle => self.connection.settle().await?,
                frames = self.connection.read() => self.take(frames?)?,
            }
        }
        self.connection.settle().await?;
        Ok(self)
    }

    fn write(&mut self, number: u32, sent: &Sent) {
        let frame = self.letters.next(number);
        self.connection.push(frame);
        sent.mark(number);
    }

    fn take(&mut self, frames: Vec<ServerFrame>) -> anyhow::Result<()> {
        for frame in frames {
            match frame {
                ServerFrame::Sent(sent) => self.letters.settle(sent.ids.len()),
                ServerFrame::Receipt(receipt) => {
                    let count = receipt.ids.len() as u32;
                    match receipt.mark {
                        Mark::Delivered => self.told.delivered += count,
                        Mark::Read => self.told.read += count,
                        Mark::Played => bail!("nobody plays anything"),
                    }
                    self.connection.owe(receipt.id);
                }
                other => bail!("a sender got {other:?}"),
            }
        }
        Ok(())
    }

    fn was_told_all(&self, exchange: Exchange) -> bool {
        self.told.delivered >= exchange.messages
            && (self.told.read >= exchange.messages || !exchange.read)
            && self.letters.unsettled() == 0
    }
}

/// Reads the messages of an exchange and answers each.
async fn answer(
    mut connection: Connection,
    exchange: Exchange,
    mut receipts: MessageId,
    first: u64,
    sent: Arc<Sent>,
) -> anyhow::Result<(Connection, MessageId, Latencies)> {
    let mut latencies = Latencies::default();
    while latencies.count() < u64::from(exchange.messages) {
        let mut ids = Vec::new();
        let mut sender = None;
        for frame in connection.read().await? {
            match frame {
                ServerFrame::Deliver(deliver) => {
                    let number = deliver.id.number.checked_sub(first).context("an old message")?;
                    let since = sent.since(u32::try_from(number)?);
                    latencies.push(since.context("a message that nobody sent")?);
                    ids.push(deliver.id);
                    sender = Some(deliver.from);
                }
                ServerFrame::Sent(_) => {}
                other => bail!("a recipient got {other:?}"),
            }
        }
        let Some(to) = sender else { continue };
        connection.push(ClientFrame::Ack(Ack { ids: ids.clone() }));
        if exchange.read {
            receipts.number += 1;
            let receipt = Receipt { id: receipts, to, ids, mark: Mark::Read };
            connection.push(ClientFrame::Receipt(receipt));
        }
        connection.write().await?;
    }
    Ok((connection, receipts, latencies))
}
