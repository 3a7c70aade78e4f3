//! Runs workloads, target by target in turn, and writes down what came out.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use crate::measure::{Figure, Measurement};
use crate::target::{Kind, Target};
use crate::texts::Texts;
use crate::workload::Name;

/// What a CPU figure of a workload may be at the most, as a multiple of the other target's in the
/// same run.
type RatioLimits = [(Name, &'static str, f64)];

/// The limits where the other target is ejabberd.
const RATIO_LIMITS: &RatioLimits = &[
    (Name::OnlineWindow8, "cpu_per_message", 2.0),
    (Name::Away100x100Receipts, "store_cpu_per_message", 0.5),
    (Name::Away100x100Receipts, "drain_cpu_per_message", 0.5),
];

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Workloads, in order.
    pub workloads: Vec<Name>,
    /// The servers: each workload runs on all of them before the next round of it, so that what
    /// else the machine does falls on all alike.
    pub targets: Vec<Kind>,
    /// How often each is repeated. The medians are reported.
    pub rounds: u32,
    /// Whether to take the short form of each workload.
    pub quick: bool,
}

/// The output, as it is written.
#[derive(Debug)]
pub struct Report {
    json: bool,
    is_within_limits: bool,
    /// The workload of the last line.
    last: &'static str,
}

/// A line of output.
#[derive(Serialize)]
struct Line<'a> {
    workload: &'static str,
    #[serde(flatten)]
    figure: &'a Figure,
}

impl Report {
    /// A table, or one JSON object for each figure.
    pub fn new(json: bool) -> Self {
        Self { json, is_within_limits: true, last: "" }
    }

    /// Whether no figure was over its limit.
    pub fn is_within_limits(&self) -> bool {
        self.is_within_limits
    }

    /// Writes the figures of a workload.
    pub fn print(&mut self, workload: &'static str, measured: &Measurement) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for figure in &measured.figures {
            self.is_within_limits &= !figure.is_over();
            if self.json {
                writeln!(out, "{}", serde_json::to_string(&Line { workload, figure })?)?;
                continue;
            }
            if self.last != workload {
                self.last = workload;
                writeln!(out, "\n{workload}")?;
            }
            let Figure { name, value, unit, limit } = figure;
            let verdict = if figure.is_over() { "  OVER THE LIMIT" } else { "" };
            let limit = limit.map(|limit| format!("(at most {limit}){verdict}"));
            let line =
                format!("  {name:<40} {value:>12.2} {unit:<8} {}", limit.unwrap_or_default());
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Runs the plan, printing the figures of a workload as soon as it is through.
pub async fn run(plan: &Plan, texts: &Arc<Texts>, report: &mut Report) -> anyhow::Result<()> {
    for &name in &plan.workloads {
        let mut runs: Vec<Vec<Measurement>> = vec![Vec::new(); plan.targets.len()];
        for round in 1..=plan.rounds {
            for (kind, runs) in plan.targets.iter().zip(&mut runs) {
                eprintln!("{name} on {}, round {round} of {}", kind.as_str(), plan.rounds);
                let measured = once(name, kind, plan.quick, texts).await;
                runs.push(measured.with_context(|| format!("{name} on {}", kind.as_str()))?);
            }
        }
        for (kind, runs) in plan.targets.iter().zip(&runs) {
            let mut measured = Measurement::median(runs);
            for figure in &mut measured.figures {
                figure.name = format!("{}.{}", kind.as_str(), figure.name);
            }
            report.print(name.as_str(), &measured)?;
        }
        if let ([ours, theirs], [_, other]) = (runs.as_slice(), plan.targets.as_slice()) {
            let limits = if matches!(other, Kind::Ejabberd(_)) { RATIO_LIMITS } else { &[] };
            let pairs = ours.iter().zip(theirs);
            let ratios: Vec<_> =
                pairs.map(|(ours, theirs)| ratios(name, limits, ours, theirs)).collect();
            report.print(name.as_str(), &Measurement::median(&ratios))?;
        }
    }
    Ok(())
}

/// The CPU figures of one round as multiples of the other target's.
fn ratios(
    name: Name,
    limits: &RatioLimits,
    ours: &Measurement,
    theirs: &Measurement,
) -> Measurement {
    let mut ratios = Measurement::default();
    for Figure { name: figure, value, .. } in &ours.figures {
        let theirs = theirs.value(figure).filter(|value| *value > 0.0);
        let Some(theirs) = theirs.filter(|_| figure.contains("cpu")) else { continue };
        let known = limits.iter().find(|(of, limited, _)| *of == name && limited == figure);
        let (ratio, value) = (format!("ratio_{figure}"), value / theirs);
        match known {
            Some(&(_, _, limit)) => ratios.push_limited(ratio, value, "×", limit),
            None => ratios.push(ratio, value, "×"),
        }
    }
    ratios
}

/// Each run has a server of its own, so that none inherits another's memory or queues.
async fn once(
    name: Name,
    kind: &Kind,
    quick: bool,
    texts: &Arc<Texts>,
) -> anyhow::Result<Measurement> {
    let workload = name.workload(quick);
    let target = Target::start(kind, &workload, Arc::clone(texts)).await?;
    let measured = target.run(&workload).await;
    target.stop().await?;
    measured
}

#[cfg(test)]
mod tests {
    use super::{RATIO_LIMITS, ratios};
    use crate::measure::Measurement;
    use crate::workload::Name;

    #[test]
    fn cpu_figures_are_compared_and_some_limited() {
        let measured = |store, throughput| {
            let mut measured = Measurement::default();
            measured.push("store_cpu_per_message", store, "µs");
            measured.push("store_throughput", throughput, "/s");
            measured
        };
        let (ours, theirs) = (measured(300.0, 1.0), measured(400.0, 2.0));
        let fair = ratios(Name::Away100x100Receipts, RATIO_LIMITS, &ours, &theirs);
        assert_eq!(fair.figures.len(), 1);
        assert_eq!(fair.value("ratio_store_cpu_per_message"), Some(0.75));
        assert!(fair.figures.iter().all(|figure| figure.is_over()));
        let other = ratios(Name::Away100x100, RATIO_LIMITS, &ours, &theirs);
        assert!(other.figures.iter().all(|figure| figure.limit.is_none()));
    }
}
