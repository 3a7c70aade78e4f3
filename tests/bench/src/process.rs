//! What a server process costs, as the kernel tells it: CPU time and resident memory.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::timeout;

const STOP_TIME_MAX: Duration = Duration::from_secs(20);
const SETTLE_STEP: Duration = Duration::from_millis(100);
const SETTLE_TIME_MAX: Duration = Duration::from_secs(5);

/// Open files of one process: 2,000 connections, twice where it passes them on to itself, and room
/// for all else.
const FILES_MIN: u64 = 16_384;

/// Both this process and the server, which inherits the limit, hold one end of every connection.
pub fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= FILES_MIN) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= FILES_MIN),
        "a process may open too few files here (`ulimit -Hn`): {FILES_MIN} are needed"
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES_MIN), maximum: limit.maximum })?;
    Ok(())
}

/// Ends a server that goes when its standard input closes, and removes its directory.
pub(crate) async fn end(mut child: Child, directory: TempDir) -> anyhow::Result<()> {
    drop(child.stdin.take());
    if timeout(STOP_TIME_MAX, child.wait()).await.is_err() {
        child.kill().await?;
    }
    if directory.path().exists() {
        directory.close()?;
    }
    Ok(())
}

/// A process that is watched through `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// Watches `pid`.
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// User and system time of all its threads since it began, without its children. Exact to
    /// one clock tick, 10 ms as a rule.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = std::fs::read_to_string(path).context("the server process is gone")?;
        // The second field is the program's name in parentheses and may hold anything, so count
        // from its end: utime and stime are the 14th and 15th, thus the 12th and 13th after it.
        let after_name = stat.rsplit_once(')').context("no name in /proc/PID/stat")?.1;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let mut ticks = 0;
        for _ in 0..2 {
            ticks += fields.next().context("short /proc/PID/stat")?.parse::<u64>()?;
        }
        let ticks_a_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_micros(ticks * 1_000_000 / ticks_a_second))
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/statm", self.pid);
        let statm = std::fs::read_to_string(path).context("the server process is gone")?;
        let pages: u64 = statm.split(' ').nth(1).context("short /proc/PID/statm")?.parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(path).context("the server process is gone")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("no VmHWM in /proc/PID/status")?.trim().parse::<u64>()? * 1024)
    }

    /// Waits until the process has nothing left to do (300 ms with at most a tick each 100 ms, or
    /// five seconds at the most), so that work put off is counted, then reads its CPU time.
    pub async fn settled_cpu(&self) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let tick = Duration::from_micros(1_000_000 / rustix::param::clock_ticks_per_second());
        let mut before = self.cpu()?;
        let mut quiet = 0;
        while quiet < 3 && begin.elapsed() < SETTLE_TIME_MAX {
            tokio::time::sleep(SETTLE_STEP).await;
            let now = self.cpu()?;
            quiet = if now.saturating_sub(before) <= tick { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(before)
    }
}
