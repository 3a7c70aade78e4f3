//! Runs programs that were not written here against Estafette: decoders, validators, WebSocket clients
//! and a push service from npm, each called by a small script in `js/`, and a reader of pushes from
//! PyPI, called by one in `py/`.
//!
//! A script says what it found on standard output, and fails by its exit status.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The script `js/NAME.mjs`, to be run by the Node that npm installed, or else the system's.
pub fn script(name: &str) -> Command {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packaged = package.join("../../node_modules/.bin/node");
    let node = if packaged.exists() { packaged } else { PathBuf::from("node") };
    let mut command = Command::new(node);
    command.current_dir(package).arg(format!("js/{name}.mjs"));
    command
}

/// The script `py/NAME.py`, to be run by the Python of the environment that `cargo xtask test
/// conformance` makes.
pub fn python(name: &str) -> Command {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| package.join("../../target"), PathBuf::from);
    let mut command = Command::new(target.join("python/bin/python"));
    command.current_dir(package).arg(format!("py/{name}.py"));
    command
}

/// Runs a script to its end and returns what it said.
///
/// # Errors
/// When it cannot be started or fails; what it complained of is on standard error.
pub fn run(name: &str) -> Result<String> {
    let output = script(name)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start Node: run `cargo xtask test conformance`, which installs it")?;
    if !output.status.success() {
        bail!(
            "js/{name}.mjs failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
    }
    String::from_utf8(output.stdout).context("what it said is not UTF-8")
}
