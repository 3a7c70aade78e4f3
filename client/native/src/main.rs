//! The `estafette` command line: parses, runs one command, and says with its exit code how it went.

mod args;
mod chat;
mod command;
mod failure;
mod output;
mod place;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(command::run(args, &output));
            // A read of the terminal may still be under way, and nothing waits for it.
            runtime.shutdown_background();
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
