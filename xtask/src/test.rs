//! The tests, in parts that can be run alone.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::build;
use crate::setup::{Workspace, run, step};

/// A part of the tests.
#[derive(Debug)]
struct Part {
    name: &'static str,
    packages: &'static [&'static str],
    needs: Needs,
}

/// What a part needs beyond cargo.
#[derive(Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Packages,
    Worker,
    WorkerAndPython,
}

const PARTS: &[Part] = &[
    Part {
        name: "unit",
        packages: &[
            "estafette-protocol",
            "estafette-relay",
            "estafette-worker",
            "estafette-core",
            "estafette",
            "estafette-testkit",
            "xtask",
        ],
        needs: Needs::Packages,
    },
    Part { name: "sim", packages: &["estafette-sim"], needs: Needs::Nothing },
    Part { name: "e2e", packages: &["estafette-e2e"], needs: Needs::Worker },
    Part {
        name: "conformance",
        packages: &["estafette-conformance"],
        needs: Needs::WorkerAndPython,
    },
    Part { name: "browser", packages: &["estafette-browser"], needs: Needs::Worker },
    Part { name: "bill", packages: &["estafette-bench"], needs: Needs::Worker },
];

/// Runs one part, or all; what follows `--` goes to the test programs.
pub(crate) fn test(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let split = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (names, rest) = arguments.split_at(split);
    for part in chosen(names)? {
        let start = Instant::now();
        step(&format!("testing: {}", part.name));
        match part.needs {
            Needs::Nothing => (),
            Needs::Packages => {
                let _lock = workspace.lock()?;
                workspace.packages()?;
            }
            Needs::Worker => drop(build::build(workspace, &build::Options::default())?),
            Needs::WorkerAndPython => {
                drop(build::build(workspace, &build::Options::default())?);
                let _lock = workspace.lock()?;
                workspace.python()?;
            }
        }
        let mut cargo = workspace.cargo();
        cargo.arg("test");
        for package in part.packages {
            cargo.args(["--package", package]);
        }
        run(cargo.args(rest))?;
        step(&format!("{} passed in {:.1} s", part.name, start.elapsed().as_secs_f32()));
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Part>> {
    if names.is_empty() {
        return Ok(PARTS.iter().collect());
    }
    let mut parts = Vec::new();
    for name in names {
        match PARTS.iter().find(|part| part.name == name) {
            Some(part) => parts.push(part),
            None => {
                let known: Vec<_> = PARTS.iter().map(|part| part.name).collect();
                bail!("there are no tests `{name}`: choose of {}", known.join(", "));
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::{PARTS, chosen};

    #[test]
    fn nothing_chosen_is_all() {
        assert_eq!(chosen(&[]).unwrap().len(), PARTS.len());
        assert_eq!(chosen(&["sim".to_owned()]).unwrap().len(), 1);
        assert!(chosen(&["simulation".to_owned()]).is_err());
    }
}
