//! Runs workloads, target by target in turn, and writes down what came out.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use crate::measure::{Figure, Measurement};
use crate::target::{Kind, Target};
use crate::texts::Texts;
use crate::workload::Name;

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
    /// Whether to print JSON instead of a table.
    pub json: bool,
}

/// A line of output.
#[derive(Serialize)]
struct Line<'a> {
    workload: &'static str,
    #[serde(flatten)]
    figure: &'a Figure,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
}

/// Runs the plan, printing the figures of a workload as soon as it is through.
pub async fn run(plan: &Plan, texts: &Arc<Texts>) -> anyhow::Result<()> {
    for &name in &plan.workloads {
        let mut runs: Vec<Vec<Measurement>> = vec![Vec::new(); plan.targets.len()];
        for round in 1..=plan.rounds {
            for (&kind, runs) in plan.targets.iter().zip(&mut runs) {
                eprintln!("{name} on {}, round {round} of {}", kind.as_str(), plan.rounds);
                let measured = once(name, kind, plan.quick, texts).await;
                runs.push(measured.with_context(|| format!("{name} on {}", kind.as_str()))?);
            }
        }
        for (kind, runs) in plan.targets.iter().zip(&runs) {
            for mut figure in Measurement::median(runs).figures {
                figure.name = format!("{}.{}", kind.as_str(), figure.name);
                print(name, &figure, None, plan.json)?;
            }
        }
    }
    Ok(())
}

/// Each run has a server of its own, so that none inherits another's memory or queues.
async fn once(
    name: Name,
    kind: Kind,
    quick: bool,
    texts: &Arc<Texts>,
) -> anyhow::Result<Measurement> {
    let workload = name.workload(quick);
    let target = Target::start(kind, &workload, Arc::clone(texts)).await?;
    let measured = target.run(&workload).await;
    target.stop().await?;
    measured
}

fn print(name: Name, figure: &Figure, limit: Option<f64>, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let line = Line { workload: name.as_str(), figure, limit };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    } else {
        let Figure { name: figure, value, unit } = figure;
        writeln!(out, "{:<24} {figure:<40} {value:>12.2} {unit}", name.as_str())?;
    }
    Ok(())
}
