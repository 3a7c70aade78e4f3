//! The process that runs the runtime, and the runtime's own below it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::Deserialize;
use serde_json::Value;

use crate::bundle::workspace_root;

/// How long the runtime may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line that the Worker or the runtime logged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// `log`, `info`, `warn`, `error`, `debug`, or `runner` for the script that starts the runtime.
    pub level: String,
    /// What was logged: for the Worker's own lines, JSON.
    pub message: String,
}

#[derive(Debug)]
pub(crate) struct Running {
    runner: Child,
    input: Option<ChildStdin>,
    readers: Vec<JoinHandle<()>>,
    said: Receiver<Said>,
    pub(crate) pid: u32,
}

/// What the script says for itself, beside what the Worker logs.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Ready { url: String, pid: u32 },
    Ran { ran: String },
}

impl Running {
    pub(crate) fn start(
        input: &Value,
        files: &Path,
        logs: &Arc<Mutex<Vec<LogLine>>>,
        print: bool,
    ) -> Result<Self> {
        let root = workspace_root();
        let packaged = root.join("node_modules/.bin/node");
        let node = if packaged.exists() { packaged } else { PathBuf::from("node") };
        let mut runner = Command::new(node)
            .arg(root.join("worker/js/run.mjs"))
            .current_dir(&root)
            .env("TMPDIR", files)
            // An interrupt from the terminal is for us: we end the runtime in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start Node: run `cargo xtask build`")?;
        let (sender, receiver) = channel();
        let keep = Keeper { logs: Arc::clone(logs), print };
        let mut readers = Vec::new();
        if let Some(output) = runner.stdout.take() {
            let keep = keep.clone();
            readers.push(thread::spawn(move || keep.read_lines(output, Some(&sender))));
        }
        if let Some(errors) = runner.stderr.take() {
            readers.push(thread::spawn(move || keep.read_lines(errors, None)));
        }
        let mut stdin = runner.stdin.take();
        if let Some(stdin) = &mut stdin {
            writeln!(stdin, "{input}").context("cannot tell the runtime what to run")?;
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok(Said::Ready { url, pid })
                if input.get("port") == Some(&Value::from(port_of(&url))) =>
            {
                Ok(Self { runner, input: stdin, readers, said: receiver, pid })
            }
            outcome => {
                drop(stdin);
                if matches!(outcome, Err(RecvTimeoutError::Timeout)) {
                    runner.kill()?;
                }
                let status = runner.wait()?;
                for reader in readers {
                    reader.join().map_err(|_| anyhow!("a reader panicked"))?;
                }
                let said: Vec<_> = lock(logs).iter().rev().take(20).cloned().collect();
                let said: Vec<_> = said.iter().rev().map(|line| line.message.as_str()).collect();
                bail!("the runtime did not start ({status}): {}", said.join("\n"))
            }
        }
    }

    /// Has the Worker's scheduled job run as if at a time, and waits until it has.
    pub(crate) fn run_schedule(&mut self, time: u64) -> Result<()> {
        let input = self.input.as_mut().context("the runtime is ending")?;
        writeln!(input, "{time}")?;
        match self.said.recv_timeout(PATIENCE) {
            Ok(Said::Ran { ran }) if ran == "ok" => Ok(()),
            Ok(Said::Ran { ran }) => bail!("the scheduled job ended with `{ran}`"),
            Ok(Said::Ready { .. }) => bail!("the runtime started twice"),
            Err(error) => bail!("the scheduled job did not end: {error}"),
        }
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.runner.try_wait()?.is_none())
    }

    /// Ends workerd; the runner notices and ends by itself.
    pub(crate) fn kill(self) -> Result<()> {
        self.kill_workerd();
        self.wait()
    }

    fn kill_workerd(&self) {
        if let Some(pid) = process_id(self.pid) {
            // It can have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn workerd_exists(&self) -> bool {
        process_id(self.pid).is_some_and(|pid| test_kill_process(pid).is_ok())
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.input.take());
        self.wait()
    }

    /// Waits until the runner has ended, and so workerd before it.
    fn wait(mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.runner.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.runner.kill()?;
            }
            thread::sleep(Duration::from_millis(2));
        };
        if status.code().is_none() {
            // The runner was killed, so it could not take workerd along.
            self.kill_workerd();
            while self.workerd_exists() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
        }
        for reader in self.readers {
            reader.join().map_err(|_| anyhow!("a reader panicked"))?;
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Keeper {
    logs: Arc<Mutex<Vec<LogLine>>>,
    print: bool,
}

impl Keeper {
    /// Keeps every line until the other end closes, but what the script says for itself.
    fn read_lines(&self, stream: impl Read, ready: Option<&Sender<Said>>) {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(sender) = ready
                && let Ok(message) = serde_json::from_str::<Said>(&line)
            {
                // Nobody listens any more if starting took too long.
                let _ = sender.send(message);
                continue;
            }
            let line = serde_json::from_str(&line)
                .unwrap_or_else(|_| LogLine { level: "runner".to_owned(), message: line });
            if self.print {
                eprintln!("{}", line.message);
            }
            lock(&self.logs).push(line);
        }
    }
}

fn process_id(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
}

/// A panic elsewhere must not keep the processes from being ended.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
