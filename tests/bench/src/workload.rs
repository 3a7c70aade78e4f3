//! What is measured, without a word about how: every target runs these same definitions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::media::Files;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How often a device of a pair sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as fewer than this many of its messages wait for their delivery receipt.
    Window(u32),
    /// The same, but the first ones are written one after the other, `APART` between them. Messages
    /// that were written together come, are answered and make room together, so a window that is
    /// filled at once stays one batch; people do not write eight messages at once.
    Apart(u32),
    /// So that all pairs together send this many messages a second, evenly spread, whatever has
    /// been answered.
    PerSecond(u32),
}

/// How long a sender waits between the messages that first fill its window.
pub(crate) const APART: Duration = Duration::from_millis(7);

/// What a recipient that comes back does with each message that waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Acknowledges it to its server; the sender hears nothing.
    Acknowledge,
    /// Acknowledges it, and the sender, who is online, is told that it was delivered.
    Receipt,
}

/// One benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Both ends connected. One side of each pair sends, the other answers every message with a
    /// delivery receipt and a displayed marker, and both reach the sender.
    Online {
        /// Pairs of connected users.
        pairs: u32,
        /// How often each sends.
        pace: Pace,
        /// Messages that each pair exchanges.
        messages_each: u32,
    },
    /// Messages to users that are not connected, who then come and get them.
    Away {
        /// Absent users, each with one connected sender.
        recipients: u32,
        /// Messages for each of them.
        messages_each: u32,
        /// Messages that a sender has under way until the server has said that they are safe.
        burst: u32,
        /// What the recipients do with each.
        answer: Answer,
    },
    /// Users that connect together, are all cut off, and resume together.
    Storm {
        /// Users.
        connections: u32,
        /// Connection attempts under way at any time.
        in_flight: u32,
    },
    /// Connected and silent.
    Idle {
        /// Users.
        connections: u32,
        /// How long they are silent before memory is read.
        hold: Duration,
    },
    /// Files that are sent and fetched again.
    Media(Files),
}

/// A workload's place in the standard set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// 50 pairs, one message at a time.
    OnlineWindow1,
    /// 50 pairs, eight messages at a time.
    OnlineWindow8,
    /// The same, not written together.
    OnlineApart8,
    /// 500 pairs, 500 messages a second.
    OnlinePaced,
    /// 100 messages for each of 100 absent users.
    Away100x100,
    /// The same, and the senders learn of the delivery.
    Away100x100Receipts,
    /// 10,000 messages for one absent user.
    Away1x10000,
    /// 2,000 users connect, and resume.
    Storm,
    /// 2,000 users are connected.
    Idle,
    /// 400 files of 64 KiB.
    Media64Kib,
    /// 16 files of 16 MiB.
    Media16Mib,
    /// One file of 1 GiB.
    Media1Gib,
}

impl Name {
    /// Every workload, in the order in which they are run.
    pub const ALL: [Self; 12] = [
        Self::OnlineWindow1,
        Self::OnlineWindow8,
        Self::OnlineApart8,
        Self::OnlinePaced,
        Self::Away100x100,
        Self::Away100x100Receipts,
        Self::Away1x10000,
        Self::Storm,
        Self::Idle,
        Self::Media64Kib,
        Self::Media16Mib,
        Self::Media1Gib,
    ];

    /// Whether it is about files, and not about messages.
    pub fn is_media(self) -> bool {
        matches!(self, Self::Media64Kib | Self::Media16Mib | Self::Media1Gib)
    }

    /// The name on the command line and in the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnlineWindow1 => "online-window-1",
            Self::OnlineWindow8 => "online-window-8",
            Self::OnlineApart8 => "online-window-8-apart",
            Self::OnlinePaced => "online-paced",
            Self::Away100x100 => "away-100x100",
            Self::Away100x100Receipts => "away-100x100-receipts",
            Self::Away1x10000 => "away-1x10000",
            Self::Storm => "storm",
            Self::Idle => "idle",
            Self::Media64Kib => "media-64-kib",
            Self::Media16Mib => "media-16-mib",
            Self::Media1Gib => "media-1-gib",
        }
    }

    /// The workload itself. `quick` keeps its shape (pairs, window, bursts) and runs it for a
    /// shorter time, or with a tenth of the users where users are all there is.
    pub fn workload(self, quick: bool) -> Workload {
        let pick = |full: u32, short: u32| if quick { short } else { full };
        let online = |pairs, pace, messages_each| Workload::Online { pairs, pace, messages_each };
        let away = |recipients, messages_each, answer| Workload::Away {
            recipients,
            messages_each,
            burst: 20,
            answer,
        };
        let files = |bytes, count, at_once| Workload::Media(Files { bytes, count, at_once });
        match self {
            Self::OnlineWindow1 => online(50, Pace::Window(1), pick(200, 40)),
            Self::OnlineWindow8 => online(50, Pace::Window(8), pick(400, 80)),
            Self::OnlineApart8 => online(50, Pace::Apart(8), pick(400, 80)),
            Self::OnlinePaced => online(500, Pace::PerSecond(500), pick(20, 5)),
            Self::Away100x100 => away(100, pick(100, 20), Answer::Acknowledge),
            Self::Away100x100Receipts => away(100, pick(100, 20), Answer::Receipt),
            Self::Away1x10000 => away(1, pick(10_000, 2_000), Answer::Acknowledge),
            Self::Storm => Workload::Storm { connections: pick(2_000, 200), in_flight: 200 },
            Self::Idle => Workload::Idle {
                connections: pick(2_000, 200),
                hold: Duration::from_secs(if quick { 3 } else { 20 }),
            },
            Self::Media64Kib => files(64 << 10, pick(400, 40), 8),
            Self::Media16Mib => files(16 << 20, pick(16, 4), 4),
            Self::Media1Gib => files(u64::from(pick(1 << 30, 1 << 27)), 1, 1),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("the workloads are {}", names.join(", "))
        })
    }
}

impl Workload {
    /// How many accounts it needs, numbered from 0.
    ///
    /// Pair `i` of `n` is the sender `i` and the recipient `n + i`; the same holds of an absent
    /// user and its sender.
    pub fn accounts(&self) -> u32 {
        match *self {
            Self::Online { pairs, .. } => 2 * pairs,
            Self::Away { recipients, .. } => 2 * recipients,
            Self::Storm { connections, .. } | Self::Idle { connections, .. } => connections,
            Self::Media(_) => 1,
        }
    }
}

/// When sender `number` of `count` sends, so that all together send `rate` messages a second.
pub(crate) fn ticks(rate: u32, number: u32, count: u32) -> Interval {
    let turn = Duration::from_secs(1) / rate;
    let mut ticks = interval_at(Instant::now() + turn * number, turn * count);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}
