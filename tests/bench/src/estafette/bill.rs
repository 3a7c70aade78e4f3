//! The bill: what Cloudflare charges for a message, counted by the code that spends it.
//!
//! Each mailbox counts what its work costs and tells its own account (`GET /v1/usage`); the sum over
//! all accounts, before and after, is the bill of what was done between. The reading itself costs
//! each account one request, which is taken off.
//!
//! Not in it, because nobody can count it here: the time that objects are active, and the front
//! Worker's own request for each connection ($0.30 a million).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use estafette_protocol::http::Usage;
use estafette_testkit::{Options, PushService};

use super::away;
use super::client::Connection;
use super::connections;
use super::online::{self, Exchange};
use super::server::Estafette;
use super::{bill_media, bill_people, bill_push};
use crate::measure::Measurement;
use crate::texts::Texts;
use crate::workload::Pace;

/// Dollars for a million requests to an object, rows written, and inbound WebSocket messages.
const DOLLARS_A_MILLION: [f64; 3] = [0.15, 1.0, 0.0075];

/// Pairs of users on each path.
const PAIRS: u32 = 10;
/// So many that the acknowledgement that ends a conversation, which has nothing to ride along with,
/// disappears in the second decimal.
const MESSAGES: u32 = 500;
/// The same of messages that are sent one by one.
const MESSAGES_ALONE: u32 = 10;
/// Messages for each absent user.
const STORED: u32 = 100;
const BURST: u32 = 20;
/// Longer than any stall of a busy machine: a held message that is committed because the machine
/// stood still would be counted as a row.
const HOLD_MILLIS: u64 = 30_000;
/// The runtime forgets an object after ten seconds without an event, and what it counted with it.
const WAKEFUL: Duration = Duration::from_secs(7);
const SILENT: Duration = Duration::from_secs(15);
const PING: Duration = Duration::from_secs(2);

/// Billed units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill {
    pub(super) requests: u64,
    pub(super) rows_written: u64,
    socket_messages: u64,
}

/// What each of something may cost, in the units of [`Bill`].
pub(super) type Limits = [f64; 3];

impl Bill {
    /// What some accounts were charged between two readings, without the second. None when an object
    /// has forgotten what it counted, because it was evicted meanwhile.
    pub(super) fn between(before: &[Usage], after: &[Usage]) -> Option<Self> {
        let mut sum = Self::default();
        for (before, after) in before.iter().zip(after) {
            sum.requests += after.requests.checked_sub(before.requests + 1)?;
            sum.rows_written += after.rows_written.checked_sub(before.rows_written)?;
            sum.socket_messages += after.socket_messages.checked_sub(before.socket_messages)?;
        }
        Some(sum)
    }

    /// Adds what each of `count` messages has cost.
    pub(super) fn report(self, measured: &mut Measurement, count: u64) {
        for (name, value, unit) in self.each("message", count) {
            measured.push(name, value, unit);
        }
    }

    /// Adds what each of `count` has cost, with what it may cost, and what a million make in dollars.
    pub(super) fn hold(self, measured: &mut Measurement, what: &str, count: u64, limits: Limits) {
        let mut dollars = 0.0;
        let figures = self.each(what, count).into_iter().zip(limits).zip(DOLLARS_A_MILLION);
        for (((name, value, unit), limit), price) in figures {
            measured.push_limited(name, value, unit, limit);
            dollars += value * price;
        }
        measured.push(format!("price_per_million_{what}s"), dollars, "$");
    }

    fn each(self, what: &str, count: u64) -> [(String, f64, &'static str); 3] {
        [
            ("requests", self.requests, "requests"),
            ("rows_written", self.rows_written, "rows"),
            ("socket_messages", self.socket_messages, "messages"),
        ]
        .map(|(name, units, unit)| {
            (format!("{name}_per_{what}"), units as f64 / count as f64, unit)
        })
    }
}

/// What one message may cost that is answered before the next is sent: the design's own limits, and
/// exactly what it takes. A call there and a call back; the message and its acknowledgement.
const WINDOW_1: Limits = [2.0, 0.0, 2.0];
/// A message every half second, with a read receipt: nothing rides along with anything. A call there,
/// a call back with both marks, and one that says that the read mark has come; the message, the
/// answer, and the acknowledgement of the marks.
const ALONE: Limits = [3.0, 0.0, 3.0];
/// Eight messages at a time, with read receipts: twice what it takes when each eight stay together.
/// The design allows 1.2 requests and 2 socket messages.
const WINDOW_8: Limits = [0.5, 0.0, 0.5];
/// Bursts of twenty to an absent user, who fetches a hundred: less than twice what it takes. The
/// design allows 1.2 requests, 1.2 rows and 1.1 socket messages.
const AWAY: Limits = [0.12, 0.18, 0.12];

/// Counts every path. The names are those of paths, in place of workloads.
pub async fn run(texts: &Arc<Texts>) -> anyhow::Result<Vec<(&'static str, Measurement)>> {
    let service = PushService::start()?;
    let options = Options::new().var("HOLD_MS", HOLD_MILLIS).push(&service.host());
    let server = Estafette::start(options, 2 * PAIRS, Arc::clone(texts)).await?;
    let window = |window, read| Exchange { pace: Pace::Window(window), messages: MESSAGES, read };
    let alone = Exchange { pace: Pace::PerSecond(2 * PAIRS), messages: MESSAGES_ALONE, read: true };
    let paths = async {
        let mut paths = vec![
            ("bill-online-window-1", online(&server, window(1, false), WINDOW_1).await?),
            ("bill-online-window-8", online(&server, window(8, true), WINDOW_8).await?),
            ("bill-online-alone", online(&server, alone, ALONE).await?),
            ("bill-away", away(&server).await?),
            ("bill-silent", silent(&server, everybody(&server).await?).await?),
            ("bill-chat-open", silent(&server, bill_people::chats(&server, PAIRS).await?).await?),
        ];
        paths.extend(bill_push::run(&server, &service).await?);
        paths.extend(bill_media::run(&server).await?);
        // The last, because the devices stay linked, and what is sent waits for those that are away.
        paths.push(("bill-linked", bill_people::linked(&server).await?));
        anyhow::Ok(paths)
    };
    let paths = paths.await;
    server.stop().await?;
    paths
}

/// Both ends are connected.
async fn online(
    server: &Estafette,
    exchange: Exchange,
    limits: Limits,
) -> anyhow::Result<Measurement> {
    let pairs = online::connect(server, PAIRS).await?;
    let (pairs, _) = online::exchange(pairs, Exchange::warm_up(exchange.read)).await?;
    let before = server.usage(0..2 * PAIRS).await?;
    let (pairs, _) = online::exchange(pairs, exchange).await?;
    let bill = counted(server, &before, 0..2 * PAIRS).await?;
    online::close(pairs).await?;
    let mut measured = Measurement::default();
    bill.hold(&mut measured, "message", u64::from(PAIRS * exchange.messages), limits);
    Ok(measured)
}

/// The recipient is away, and comes back to fetch what waits.
async fn away(server: &Estafette) -> anyhow::Result<Measurement> {
    let senders = connections::online(server, 0..PAIRS).await?;
    let before = server.usage(0..2 * PAIRS).await?;
    let (senders, _) = away::store(server, senders, STORED, BURST).await?;
    let (connections, _) = away::drain(server, senders, STORED).await?;
    let bill = counted(server, &before, 0..2 * PAIRS).await?;
    connections::close(connections).await?;
    let mut measured = Measurement::default();
    bill.hold(&mut measured, "message", u64::from(PAIRS * STORED), AWAY);
    Ok(measured)
}

async fn everybody(server: &Estafette) -> anyhow::Result<Vec<Connection>> {
    connections::online(server, 0..2 * PAIRS).await
}

/// Devices are connected and say nothing but that they are there. Half of them are looked at while
/// their objects still have what they counted; the others after that, when an object that was let
/// alone has gone.
async fn silent(server: &Estafette, connections: Vec<Connection>) -> anyhow::Result<Measurement> {
    let (early, late) = (0..PAIRS, PAIRS..2 * PAIRS);
    let before = server.usage(0..2 * PAIRS).await?;
    let (early_before, late_before) =
        before.split_at_checked(PAIRS as usize).context("a reading is missing")?;
    let connections = ping(connections, WAKEFUL).await?;
    let mut bill = counted(server, early_before, early).await?;
    let connections = ping(connections, SILENT - WAKEFUL).await?;

    let mut awake = 0;
    for (before, after) in late_before.iter().zip(server.usage(late).await?) {
        let fresh = after.requests <= before.requests;
        awake += u64::from(!fresh);
        let before = if fresh { Usage::default() } else { *before };
        let forgot = "an object counts backwards";
        let since = Bill::between(&[before], &[after]).context(forgot)?;
        bill.requests += since.requests;
        bill.rows_written += since.rows_written;
        bill.socket_messages += since.socket_messages;
    }
    connections::close(connections).await?;
    let mut measured = Measurement::default();
    bill.hold(&mut measured, "device", u64::from(2 * PAIRS), [0.0; 3]);
    measured.push_limited("objects_kept_awake", awake as f64, "objects", 0.0);
    Ok(measured)
}

async fn ping(connections: Vec<Connection>, during: Duration) -> anyhow::Result<Vec<Connection>> {
    let each = connections.into_iter().map(|mut connection| async move {
        let end = tokio::time::Instant::now() + during;
        while tokio::time::Instant::now() < end {
            connection.ping().await?;
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + PING)).await;
        }
        anyhow::Ok(connection)
    });
    futures_util::future::try_join_all(each).await
}

/// The bill of some users since a reading.
pub(super) async fn counted(
    server: &Estafette,
    before: &[Usage],
    users: Range<u32>,
) -> anyhow::Result<Bill> {
    let after = server.usage(users).await?;
    ensure!(after.len() == before.len(), "a reading is missing");
    Bill::between(before, &after).context("an object was evicted before it told what it counted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(requests: u64, rows_written: u64, socket_messages: u64) -> Usage {
        Usage { requests, rows_written, socket_messages, ..Usage::default() }
    }

    #[test]
    fn the_reading_itself_is_taken_off() {
        let (before, after) = ([usage(3, 1, 0), usage(9, 0, 4)], [usage(4, 1, 0), usage(15, 2, 9)]);
        let expected = Bill { requests: 5, rows_written: 2, socket_messages: 5 };
        assert_eq!(Bill::between(&before, &after), Some(expected));
        assert_eq!(Bill::between(&after, &before), None);
    }

    #[test]
    fn a_bill_over_its_limit_is_told_from_one_that_is_not() {
        let bill = Bill { requests: 2_000, rows_written: 4, socket_messages: 2_005 };
        let mut measured = Measurement::default();
        bill.hold(&mut measured, "message", 1_000, [2.0, 0.0, 2.0]);
        let over: Vec<_> = measured.figures.iter().map(|figure| figure.is_over()).collect();
        assert_eq!(over, [false, false, true, false]);
        let price = measured.value("price_per_million_messages");
        assert!(price.is_some_and(|price| (price - 0.319_037_5).abs() < 1e-9), "{price:?}");
    }
}
