//! The `estafette` command line: parses, runs one command, and says with its exit code how it went.

mod args;
mod chat;
mod command;
mod failure;
mod output;
mod place;
mod qr;
mod secret;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::args::Args;
use crate::output::Output;

/// How long to wait for threads that are about to end, for instance one that closes the store. One that
/// reads the terminal does not end by itself, and is left behind.
const GOODBYE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(command::run(args, &output));
            runtime.shutdown_timeout(GOODBYE);
            done
        }
        Err(error) => Err(failure::Failure::from(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}
