//! The benchmarks: builds the Worker and hands over to their program.

use anyhow::Result;

use crate::build;
use crate::setup::{Workspace, run};

/// Builds the Worker, then runs the benchmarks with `arguments`.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    build::build(workspace, &build::Options::default())?;
    let mut cargo = workspace.cargo();
    run(cargo.args(["run", "--quiet", "--package", "estafette-bench", "--"]).args(arguments))
}
