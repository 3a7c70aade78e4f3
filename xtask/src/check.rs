//! What must hold of every commit, beside the tests. Nothing here is advisory.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::setup::{WASM, Workspace, run, run_quietly, step};
use crate::{imports, unused};

type Check = fn(&Workspace) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("lock files", lock_files),
    ("format", format),
    ("unused dependencies", unused::check),
    ("clippy", clippy),
    ("imports of relay", imports::check),
    ("client core for wasm", core_for_wasm),
    ("documentation", documentation),
];

/// Runs every check, and fails when one does not hold.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    workspace.wasm_target()?;
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let start = Instant::now();
        step(&format!("checking: {name}"));
        match check(workspace) {
            Ok(()) => step(&format!("{name}: holds ({:.1} s)", start.elapsed().as_secs_f32())),
            Err(error) => {
                step(&format!("{name}: FAILS: {error:#}"));
                failed.push(*name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("these checks fail: {}", failed.join(", "));
    }
    Ok(())
}

fn lock_files(workspace: &Workspace) -> Result<()> {
    let lock = fs::read_to_string(workspace.root.join("package-lock.json"))?;
    if lock.contains("\"resolved\"") {
        bail!(
            "package-lock.json holds download addresses: \
             make it with `npm install --omit-lockfile-registry-resolved`"
        );
    }
    run_quietly(workspace.cargo().args(["metadata", "--locked", "--format-version", "1"]))
        .context("Cargo.lock is out of date: run any cargo command and commit it")
}

fn format(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo()
        .args(["clippy", "--workspace", "--exclude", "estafette-worker", "--all-targets"])
        .args(["--", "-D", "warnings"]))?;
    run(workspace
        .cargo()
        .args(["clippy", "--package", "estafette-worker", "--target", WASM])
        .args(["--", "-D", "warnings"]))
}

fn core_for_wasm(workspace: &Workspace) -> Result<()> {
    let clang = workspace.command("clang").arg("--version").stdout(Stdio::null()).status();
    if !clang.is_ok_and(|status| status.success()) {
        bail!(
            "the client core's SQLite is compiled to wasm by clang, which is not installed: \
             run `apt-get install clang` (Debian) or `brew install llvm` (macOS)"
        );
    }
    run(workspace.cargo().args(["build", "--package", "estafette-core", "--target", WASM]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let native: &[&str] = &["--workspace", "--exclude", "estafette-worker"];
    for arguments in [native, &["--package", "estafette-worker", "--target", WASM]] {
        run(workspace
            .cargo()
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--no-deps"])
            .args(arguments))?;
    }
    Ok(())
}
