//! Finds the workspace and builds variants of the Worker.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The directory of the workspace that this crate was built in.
pub fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Builds the Worker with these cargo features, and returns the directory of the bundle.
///
/// # Errors
/// As [`build_bundle`].
pub fn build_worker(features: &[&str]) -> Result<PathBuf> {
    build_bundle("estafette-worker", features)
}

/// Builds a package around the Worker's shim, and returns the directory of the bundle.
///
/// # Errors
/// When the build fails; what it said is on standard error.
pub fn build_bundle(package: &str, features: &[&str]) -> Result<PathBuf> {
    let root = workspace_root();
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let name = [&[package], features].concat().join("-");
    let out = target.join("bundle").join(name).join("out");

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&root).args(["xtask", "build", "--package", package, "--out"]).arg(&out);
    for feature in features {
        command.args(["--feature", feature]);
    }
    let status = command.status().context("cannot start `cargo xtask build`")?;
    if !status.success() {
        bail!("`cargo xtask build` failed ({status})");
    }
    Ok(out)
}
