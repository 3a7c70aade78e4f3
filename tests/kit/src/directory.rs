//! A directory for one test's files, in memory where the system offers that.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{env, fs, process};

use anyhow::{Context, Result, anyhow};
use data_encoding::HEXLOWER;
use rustix::process::{Pid, test_kill_process};

/// What the names begin with; the id of the process that made the directory follows.
const PREFIX: &str = "estafette-test-";

/// A directory that is removed with all it holds when this value is dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes an empty directory, on `/dev/shm` if there is one: a write there costs no disk's sync.
    ///
    /// # Errors
    /// When the system gives no randomness or no directory can be made.
    pub fn new() -> Result<Self> {
        static SWEPT: Once = Once::new();
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        SWEPT.call_once(|| sweep(&parent));
        let name = format!("{PREFIX}{}-{}", process::id(), HEXLOWER.encode(&bytes));
        let path = parent.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes what processes left that were killed, since it would stay in memory.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok())
            .and_then(Pid::from_raw);
        if maker.is_some_and(|maker| test_kill_process(maker).is_err()) {
            // Another process may be sweeping too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, id};

    use super::{PREFIX, TempDir, sweep};

    #[test]
    fn what_a_dead_process_left_is_removed() {
        let parent = TempDir::new().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = parent.path().join(format!("{PREFIX}{}-00", child.id()));
        let live = parent.path().join(format!("{PREFIX}{}-00", id()));
        let other = parent.path().join("something");
        for path in [&dead, &live, &other] {
            fs::create_dir(path).unwrap();
        }
        sweep(parent.path());
        assert!(!dead.exists() && live.exists() && other.exists());
    }
}
