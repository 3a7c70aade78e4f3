//! Set-up, build, development server, tests, benchmarks and checks: `cargo xtask help`.

mod build;
mod setup;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::setup::Workspace;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Every command does the set-up that it needs.

  build [--feature NAME]... [--out DIR]   build the Worker into worker/build, or into DIR
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<()> {
    let mut arguments = arguments.into_iter();
    let command = arguments.next().unwrap_or_else(|| "help".to_owned());
    let workspace = Workspace::find()?;
    match command.as_str() {
        "build" => {
            let options = build_options(arguments)?;
            build::build(&workspace, &options).map(drop)
        }
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command `{other}`: see `cargo xtask help`"),
    }
}

fn build_options(mut arguments: impl Iterator<Item = String>) -> Result<build::Options> {
    let mut options = build::Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--feature" => options.features.push(value()?),
            "--out" => options.out = Some(PathBuf::from(value()?)),
            other => bail!("`build` has no option `{other}`: see `cargo xtask help`"),
        }
    }
    Ok(options)
}
