//! The Worker in the real runtime, which can be killed and started again on the same storage.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow, bail};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::bundle::workspace_root;
use crate::directory::TempDir;
use crate::reports::ReportDesk;
use crate::runner::{LogLine, Running, lock};
use crate::sms::SmsGateway;

/// Ports that no system gives to outgoing connections: a client that keeps trying to connect while
/// the runtime is down can't be given the runtime's own port.
const PORTS: std::ops::Range<u16> = 16_000..32_000;

/// How to start the runtime.
#[derive(Debug, Clone)]
pub struct Options {
    bundle: PathBuf,
    storage: Option<PathBuf>,
    port: u16,
    vars: BTreeMap<String, Value>,
    rate_limits: BTreeMap<String, u32>,
    print_logs: bool,
    pushes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bundle: workspace_root().join("worker/build"),
            storage: None,
            port: 0,
            vars: BTreeMap::new(),
            rate_limits: BTreeMap::new(),
            print_logs: false,
            pushes: false,
        }
    }
}

impl Options {
    /// The Worker as `cargo xtask build` left it, on a free port, with storage and secrets of its
    /// own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the bundle in another directory.
    #[must_use]
    pub fn bundle(mut self, directory: impl Into<PathBuf>) -> Self {
        self.bundle = directory.into();
        self
    }

    /// Keeps the storage in a directory that stays.
    #[must_use]
    pub fn storage(mut self, directory: impl Into<PathBuf>) -> Self {
        self.storage = Some(directory.into());
        self
    }

    /// Listens on this TCP port; 0 is any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets a variable or secret of the Worker, over what `wrangler.toml` says.
    #[must_use]
    pub fn var(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    /// Sends one-time codes to this gateway.
    #[must_use]
    pub fn sms(self, gateway: &SmsGateway) -> Self {
        self.var("SMS_URL", gateway.url()).var("SMS_SECRET", gateway.secret())
    }

    /// Posts reports to this desk.
    #[must_use]
    pub fn reports(self, desk: &ReportDesk) -> Self {
        self.var("REPORT_URL", desk.url()).var("REPORT_SECRET", desk.secret())
    }

    /// Pushes to these services, with a key of its own unless one is set.
    #[must_use]
    pub fn push(mut self, hosts: &str) -> Self {
        self.pushes = true;
        self.var("PUSH_HOSTS", hosts).var("VAPID_SUBJECT", "mailto:tests@example.org")
    }

    /// Lets a rate-limit binding pass this many a period.
    #[must_use]
    pub fn rate_limit(mut self, binding: &str, limit: u32) -> Self {
        self.rate_limits.insert(binding.to_owned(), limit);
        self
    }

    /// Prints what the Worker logs, beside keeping it.
    #[must_use]
    pub fn print_logs(mut self) -> Self {
        self.print_logs = true;
        self
    }
}

/// The Worker, running. Shared by reference: one thread may kill it while others talk to it.
#[derive(Debug)]
pub struct Runtime {
    options: Mutex<Options>,
    port: u16,
    url: String,
    running: Mutex<Option<Running>>,
    logs: Arc<Mutex<Vec<LogLine>>>,
    storage: PathBuf,
    // Removed after the process has ended, since fields are dropped after `Drop::drop`.
    directory: TempDir,
}

impl Runtime {
    /// Starts the runtime and waits until it answers.
    ///
    /// # Errors
    /// When the Worker is not built, the port is taken, or the runtime does not start.
    pub fn start(mut options: Options) -> Result<Self> {
        let push = options.pushes.then_some("VAPID_KEY");
        let secrets = ["TOKEN_KEY", "CODE_KEY", "SMS_SECRET", "ADMIN_SECRET"];
        for name in secrets.into_iter().chain(push) {
            if !options.vars.contains_key(name) {
                options.vars.insert(name.to_owned(), random_secret()?.into());
            }
        }
        // Every account of a test or a benchmark is new, and nearly all are about the full limits. What is
        // about those of new accounts sets it empty, which is the default.
        options.vars.entry("NEW_ACCOUNT_MS".to_owned()).or_insert(0.into());
        let directory = TempDir::new()?;
        let storage = options.storage.clone().unwrap_or_else(|| directory.path().join("storage"));
        fs::create_dir_all(&storage)
            .with_context(|| format!("cannot make {}", storage.display()))?;
        let port = if options.port == 0 { free_port()? } else { options.port };
        let runtime = Self {
            options: Mutex::new(options),
            port,
            url: format!("http://127.0.0.1:{port}"),
            running: Mutex::new(None),
            logs: Arc::default(),
            storage,
            directory,
        };
        runtime.restart()?;
        Ok(runtime)
    }

    /// `http://127.0.0.1:PORT`, the same over every restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The TCP port, the same over every restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the Durable Objects are kept.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// A variable or secret that the Worker was started with.
    pub fn var(&self, name: &str) -> Option<Value> {
        lock(&self.options).vars.get(name).cloned()
    }

    /// The process id of workerd.
    ///
    /// # Errors
    /// When it was killed and not started again.
    pub fn workerd_pid(&self) -> Result<u32> {
        let running = lock(&self.running);
        Ok(running.as_ref().context("the runtime is not running")?.pid)
    }

    /// Whether the runtime runs: false after [`Runtime::kill`], and when it ended by itself.
    ///
    /// # Errors
    /// When the system doesn't say.
    pub fn is_running(&self) -> Result<bool> {
        match lock(&self.running).as_mut() {
            Some(running) => running.is_running(),
            None => Ok(false),
        }
    }

    /// Ends the runtime with SIGKILL, as a power cut would, and returns when it is gone. What it had
    /// not yet written is lost. Does nothing if it is not running.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&self) -> Result<()> {
        match lock(&self.running).take() {
            Some(running) => running.kill(),
            None => Ok(()),
        }
    }

    /// Starts the runtime on the same storage and port; kills it first if it is running.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub fn restart(&self) -> Result<()> {
        let mut running = lock(&self.running);
        if let Some(previous) = running.take() {
            previous.kill()?;
        }
        let options = lock(&self.options).clone();
        let input = self.runner_input(&options)?;
        let files = self.directory.path();
        *running = Some(Running::start(&input, files, &self.logs, options.print_logs)?);
        Ok(())
    }

    /// As [`Runtime::restart`], with another build of the Worker from now on: a deploy.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub fn restart_with(&self, bundle: impl Into<PathBuf>) -> Result<()> {
        lock(&self.options).bundle = bundle.into();
        self.restart()
    }

    /// Has the Worker's scheduled job run as if at this time, in milliseconds since 1970, and returns when
    /// it has.
    ///
    /// # Errors
    /// When the runtime does not run, or the job fails.
    pub fn run_schedule(&self, time: u64) -> Result<()> {
        lock(&self.running).as_mut().context("the runtime is not running")?.run_schedule(time)
    }

    /// What the Worker logged up to now, over every restart.
    pub fn logs(&self) -> Vec<LogLine> {
        lock(&self.logs).clone()
    }

    /// The processor time that workerd used since it was started, in microseconds, in steps of the
    /// kernel's clock tick (10 ms). Linux only.
    ///
    /// # Errors
    /// When it is not running, or on another system.
    pub fn cpu_micros(&self) -> Result<u64> {
        let path = format!("/proc/{}/stat", self.workerd_pid()?);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The second field is the program's name in parentheses, and may hold anything.
        let (_, fields) = text.rsplit_once(") ").context("no fields")?;
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>()
            .with_context(|| format!("cannot understand {path}"))?;
        Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
    }

    /// The memory of workerd, resident, in bytes. Linux only.
    ///
    /// # Errors
    /// When it is not running, or on another system.
    pub fn rss_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/statm", self.workerd_pid()?);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let pages: u64 = text
            .split(' ')
            .nth(1)
            .and_then(|field| field.parse().ok())
            .with_context(|| format!("cannot understand {path}"))?;
        Ok(pages * u64::try_from(rustix::param::page_size())?)
    }

    fn runner_input(&self, options: &Options) -> Result<Value> {
        let path = workspace_root().join("wrangler.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: toml::Table = toml::from_str(&text)?;
        let mut config = serde_json::to_value(table)?;
        let limits = config.get_mut("ratelimits").and_then(Value::as_array_mut);
        for binding in limits.into_iter().flatten() {
            let name = binding.get("name").and_then(Value::as_str).unwrap_or_default();
            if let (Some(limit), Some(simple)) =
                (options.rate_limits.get(name).copied(), binding.get_mut("simple"))
                && let Some(object) = simple.as_object_mut()
            {
                object.insert("limit".to_owned(), limit.into());
            }
        }
        if !options.bundle.join("index.js").is_file() {
            bail!("there is no Worker in {}: run `cargo xtask build`", options.bundle.display());
        }
        Ok(json!({
            "bundle": options.bundle,
            "config": config,
            "vars": options.vars,
            "storage": self.storage,
            "port": self.port,
        }))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take()
            && let Err(error) = running.stop()
        {
            eprintln!("cannot end the runtime: {error:#}");
        }
    }
}

/// 32 random bytes in base64url, as every secret of the Worker is. Of four thousand million, all but
/// one are also a private key on P-256.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
        let port = PORTS.start + u16::from_le_bytes(bytes) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free TCP port was found on the loopback interface")
}
