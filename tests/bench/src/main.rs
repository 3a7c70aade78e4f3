//! `cargo xtask bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use estafette_bench::ejabberd;
use estafette_bench::estafette::bill;
use estafette_bench::report::{self, Plan, Report};
use estafette_bench::target::Kind;
use estafette_bench::texts::Texts;
use estafette_bench::workload::Name;

/// Measures what a message costs the server.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// A workload to run; may be repeated [default: all of them]
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<Name>,

    /// Another server to run the same workloads on: `ejabberd`, `nginx` (files alone), or the
    /// directory of another build of the Worker
    #[arg(long, value_name = "SERVER")]
    against: Option<PathBuf>,

    /// Only count what is billed; fails when a message costs more than it may
    #[arg(long, conflicts_with_all = ["against", "workloads", "rounds", "quick"])]
    bill: bool,

    /// Short runs: the shape of every workload, not its length
    #[arg(long)]
    quick: bool,

    /// How often each workload runs; medians are reported
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Print one JSON object for each figure
    #[arg(long)]
    json: bool,

    /// A file of message texts, one a line [default: a known corpus if it is there, else made up]
    #[arg(long, value_name = "FILE")]
    messages: Option<PathBuf>,

    /// Run ejabberd's clients without stream management (XEP-0198)
    #[arg(long, requires = "against")]
    without_stream_management: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: a figure is over its limit");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every figure is within its limit.
async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let mut targets = vec![Kind::Estafette];
    if let Some(other) = arguments.against {
        let stream_management = !arguments.without_stream_management;
        targets.push(match other.to_str() {
            Some("nginx") => Kind::Nginx,
            Some("ejabberd") => Kind::Ejabberd(ejabberd::Options { stream_management }),
            // The runtime may be started elsewhere than here.
            _ => Kind::Build(std::path::absolute(other)?),
        });
    }
    for target in &targets {
        target.check()?;
    }
    let texts = Arc::new(Texts::load(arguments.messages.as_deref())?);
    eprintln!("{} texts, from {}", texts.lines().len(), texts.origin());
    let mut report = Report::new(arguments.json);
    if arguments.bill {
        for (path, measured) in bill::run(&texts).await? {
            report.print(path, &measured)?;
        }
        return Ok(report.is_within_limits());
    }
    let mut workloads = arguments.workloads;
    if workloads.is_empty() {
        workloads.extend(
            Name::ALL.into_iter().filter(|&name| targets.iter().all(|kind| kind.has(name))),
        );
    }
    let plan = Plan { workloads, targets, rounds: arguments.rounds, quick: arguments.quick };
    report::run(&plan, &texts, &mut report).await?;
    Ok(report.is_within_limits())
}
