//! `cargo xtask bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::{Parser, ValueEnum};
use estafette_bench::ejabberd;
use estafette_bench::report::{self, Plan};
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

    /// Another server to run the same workloads on
    #[arg(long, value_enum)]
    against: Option<Peer>,

    /// Only count what is billed
    #[arg(long, conflicts_with = "against")]
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Peer {
    Ejabberd,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let targets: Vec<_> = arguments
        .against
        .into_iter()
        .map(|Peer::Ejabberd| {
            Kind::Ejabberd(ejabberd::Options {
                stream_management: !arguments.without_stream_management,
            })
        })
        .collect();
    if arguments.bill || targets.is_empty() {
        bail!("Estafette itself cannot be measured yet; try --against ejabberd");
    }
    for target in &targets {
        target.check()?;
    }
    let texts = Arc::new(Texts::load(arguments.messages.as_deref())?);
    eprintln!("{} texts, from {}", texts.lines().len(), texts.origin());
    let mut workloads = arguments.workloads;
    if workloads.is_empty() {
        workloads.extend(Name::ALL);
    }
    let plan = Plan {
        workloads,
        targets,
        rounds: arguments.rounds,
        quick: arguments.quick,
        json: arguments.json,
    };
    report::run(&plan, &texts).await
}
