//! Figures: what a run found, and how several runs become one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// One number with its unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured, such as `cpu_per_message`.
    #[serde(rename = "figure")]
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what, such as `µs`.
    pub unit: &'static str,
    /// What it may be at the most, where that is promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

impl Figure {
    /// Whether it is over its limit, to the two decimals that are printed.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.value >= limit + 0.005)
    }
}

/// What one run of one workload on one target found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// In the order in which they are printed.
    pub figures: Vec<Figure>,
}

impl Measurement {
    /// Adds a figure.
    pub fn push(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, limit: None });
    }

    /// Adds a figure that may be at most `limit`.
    pub fn push_limited(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        limit: f64,
    ) {
        self.figures.push(Figure { name: name.into(), value, unit, limit: Some(limit) });
    }

    /// The value of a figure.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Adds the server's CPU time for each of `count` operations, as `{name}` in µs.
    pub fn push_cpu(&mut self, name: &str, cpu: Duration, count: u64) {
        self.push(name, cpu.as_secs_f64() * 1e6 / count as f64, "µs");
    }

    /// Adds `{name}`, how many of `count` were done in a second.
    pub fn push_rate(&mut self, name: &str, count: u64, took: Duration) {
        self.push(name, count as f64 / took.as_secs_f64(), "/s");
    }

    /// Adds `{name}_p50` and `{name}_p99`, in milliseconds.
    pub fn push_latencies(&mut self, name: &str, latencies: &mut Latencies) {
        for percent in [50, 99] {
            if let Some(nanos) = latencies.percentile(percent) {
                self.push(format!("{name}_p{percent}"), nanos as f64 / 1e6, "ms");
            }
        }
    }

    /// Adds the server's memory, in bytes, without and with `connections` that are idle.
    pub fn push_memory(&mut self, empty: u64, full: u64, connections: u32) {
        let kibibytes = |bytes: u64| bytes as f64 / 1024.0;
        self.push("memory_empty", kibibytes(empty) / 1024.0, "MiB");
        self.push("memory_connected", kibibytes(full) / 1024.0, "MiB");
        let each = (kibibytes(full) - kibibytes(empty)) / f64::from(connections);
        self.push("memory_per_connection", each, "KiB");
    }

    /// The median of each figure over several runs of the same workload on the same target.
    pub fn median(runs: &[Self]) -> Self {
        let Some(first) = runs.first() else { return Self::default() };
        let figures = first.figures.iter().map(|figure| {
            let mut values: Vec<f64> = runs
                .iter()
                .flat_map(|run| run.figures.iter().find(|other| other.name == figure.name))
                .map(|figure| figure.value)
                .collect();
            values.sort_by(f64::total_cmp);
            let at = |index: usize| values.get(index).copied().unwrap_or(figure.value);
            let middle = (at(values.len() / 2) + at(values.len().saturating_sub(1) / 2)) / 2.0;
            Figure { value: middle, ..figure.clone() }
        });
        Self { figures: figures.collect() }
    }
}

/// Times that single operations took.
#[derive(Debug, Default)]
pub struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    /// Adds one, in nanoseconds.
    pub fn push(&mut self, nanos: u64) {
        self.nanos.push(nanos);
    }

    /// Adds those of another connection.
    pub fn merge(&mut self, other: Self) {
        self.nanos.extend(other.nanos);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.nanos.len() as u64
    }

    /// The smallest time, in nanoseconds, that `percent` of all do not exceed.
    pub fn percentile(&mut self, percent: usize) -> Option<u64> {
        self.nanos.sort_unstable();
        let rank = (self.nanos.len() * percent).div_ceil(100).max(1);
        self.nanos.get(rank - 1).copied()
    }
}

/// When each message of a pair was written.
#[derive(Debug)]
pub struct Sent {
    begin: Instant,
    /// Nanoseconds from the beginning, by the number of the message.
    nanos: Vec<AtomicU64>,
}

impl Sent {
    /// Takes the numbers from 0 to `messages - 1`.
    pub fn new(messages: u32) -> Self {
        let nanos = (0..messages).map(|_| AtomicU64::new(0)).collect();
        Self { begin: Instant::now(), nanos }
    }

    /// How many messages there are to be.
    pub fn messages(&self) -> u32 {
        self.nanos.len() as u32
    }

    /// Message `number` is written now.
    pub fn mark(&self, number: u32) {
        if let Some(at) = self.nanos.get(number as usize) {
            at.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Nanoseconds since message `number` was written; none if there is no such message.
    pub fn since(&self, number: u32) -> Option<u64> {
        let sent = self.nanos.get(number as usize)?.load(Ordering::Relaxed);
        Some(self.now().saturating_sub(sent))
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        for nanos in (1..=200).rev() {
            latencies.push(nanos);
        }
        assert_eq!(latencies.percentile(50), Some(100));
        assert_eq!(latencies.percentile(99), Some(198));
    }

    #[test]
    fn median_is_taken_figure_by_figure() {
        let run = |a, b| {
            let mut run = Measurement::default();
            run.push("a", a, "µs");
            run.push("b", b, "ms");
            run
        };
        let median = Measurement::median(&[run(3.0, 1.0), run(1.0, 2.0), run(2.0, 9.0)]);
        assert_eq!(median, run(2.0, 2.0));
        assert_eq!(Measurement::median(&[run(3.0, 1.0), run(1.0, 2.0)]), run(2.0, 1.5));
    }
}
