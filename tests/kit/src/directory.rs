//! A directory for one test's files, in memory where the system offers that.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;

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
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let path = parent.join(format!("estafette-{}", HEXLOWER.encode(&bytes)));
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
