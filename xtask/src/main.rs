//! Set-up, build, development server, tests, benchmarks and checks: `cargo xtask help`.

mod bench;
mod build;
mod check;
mod dev;
mod imports;
mod setup;
mod test;
mod unused;
mod vapid;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::setup::Workspace;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Every command does the set-up that it needs: rustup and Node 18 or newer are enough to begin with.

  dev [--port N] [--storage DIR]          run the server here, and an SMS gateway that prints codes
  test [unit|sim|e2e|conformance|browser|bill]... [-- ARGUMENT...]
                                          run these tests, or all
  check                                   formatting, lints, unused dependencies, docs
  bench [ARGUMENT...]                     run the benchmarks: `cargo xtask bench --help`
  vapid                                   print a fresh pair of keys for pushes
  build [--feature NAME]... [--out DIR] [--package NAME]
                                          build the Worker into worker/build; with features, or
                                          another package, into a directory of target/
";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, arguments)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    let workspace = Workspace::find()?;
    match command.as_str() {
        "build" => build::build(&workspace, &build_options(arguments)?).map(drop),
        "dev" => dev::dev(&workspace, &dev_options(arguments)?),
        "test" => test::test(&workspace, arguments),
        "check" => match arguments {
            [] => check::check(&workspace),
            [other, ..] => bail!("`check` has no option `{other}`"),
        },
        "vapid" => match arguments {
            [] => vapid::vapid(),
            [other, ..] => bail!("`vapid` has no option `{other}`"),
        },
        "bench" => bench::bench(&workspace, arguments),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command `{other}`: see `cargo xtask help`"),
    }
}

fn build_options(arguments: &[String]) -> Result<build::Options> {
    let mut options = build::Options::default();
    for (name, value) in named_values(arguments)? {
        match name {
            "--package" => value.clone_into(&mut options.package),
            "--feature" => options.features.push(value.to_owned()),
            "--out" => options.out = Some(PathBuf::from(value)),
            other => bail!("`build` has no option `{other}`: see `cargo xtask help`"),
        }
    }
    Ok(options)
}

fn dev_options(arguments: &[String]) -> Result<dev::DevOptions> {
    let mut options = dev::DevOptions::default();
    for (name, value) in named_values(arguments)? {
        match name {
            "--port" => {
                let port = value.parse().with_context(|| format!("{value} is no TCP port"))?;
                options.port = Some(port);
            }
            "--storage" => options.storage = Some(std::path::absolute(value)?),
            other => bail!("`dev` has no option `{other}`: see `cargo xtask help`"),
        }
    }
    Ok(options)
}

/// `--name value` and `--name=value`, in pairs.
fn named_values(arguments: &[String]) -> Result<Vec<(&str, &str)>> {
    let mut pairs = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        pairs.push(match argument.split_once('=') {
            Some(pair) => pair,
            None => {
                let value = rest.next().with_context(|| format!("`{argument}` needs a value"))?;
                (argument.as_str(), value.as_str())
            }
        });
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::named_values;

    #[test]
    fn options_take_values_either_way() {
        let given = ["--port=1", "--out", "a=b"].map(str::to_owned);
        assert_eq!(named_values(&given).unwrap(), [("--port", "1"), ("--out", "a=b")]);
        assert!(named_values(&["--port".to_owned()]).is_err());
    }
}
