//! A private ejabberd: a directory, a port and a process that are this program's alone.
//!
//! It is started straight in the Erlang emulator, not by `ejabberdctl`, which insists on the
//! package's own user and node. The node has no name, so it neither listens for other nodes nor
//! starts `epmd`, and an ejabberd that the system runs is left alone. It ends, and removes its
//! directory, when its standard input closes: also when this program is killed.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Options;
use super::client::Reach;
use super::stanza::Bodies;
use crate::process::{Process, end, raise_file_limit};
use crate::texts::Texts;

const START_TIME_MAX: Duration = Duration::from_secs(120);

/// A line that says that everything is set up; ejabberd's own log shares the stream.
const READY: &str = "bench-ready";

const INSTALL: &str = "ejabberd is not installed here. On Debian and Ubuntu: `sudo apt-get install \
    ejabberd`, then `sudo systemctl disable --now ejabberd`, as only its programs are needed.";

/// A running ejabberd.
#[derive(Debug)]
pub struct Ejabberd {
    child: Child,
    process: Process,
    reach: Reach,
    bodies: Arc<Bodies>,
    directory: TempDir,
}

impl Ejabberd {
    /// Starts one, with the users `u0` to `u{accounts - 1}`, and waits until it takes connections.
    pub async fn start(accounts: u32, options: Options, texts: &Texts) -> anyhow::Result<Self> {
        let libraries = installed()?;
        raise_file_limit()?;
        let directory = directory()?;
        let port = free_port()?;
        std::fs::write(directory.path().join("ejabberd.yml"), configuration(port))?;
        let mut child = command(directory.path(), &libraries, accounts)
            .spawn()
            .context("cannot start the Erlang emulator, `erl`")?;
        let pid = child.id().context("ejabberd ended at once")?;
        let ready = timeout(START_TIME_MAX, wait_ready(&mut child)).await;
        if !matches!(ready, Ok(Ok(()))) {
            child.kill().await?;
            let log = directory.path().join("ejabberd.log");
            bail!("ejabberd did not start: {}", std::fs::read_to_string(log).unwrap_or_default());
        }
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"))?;
        ensure!(name.trim_end().starts_with("beam"), "process {pid} is {name}, not the emulator");
        Ok(Self {
            child,
            process: Process::new(pid),
            reach: Reach { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), options },
            bodies: Arc::new(Bodies::new(texts)),
            directory,
        })
    }

    /// The server process.
    pub(super) fn process(&self) -> Process {
        self.process
    }

    /// What a client needs to connect.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// What they send.
    pub(super) fn bodies(&self) -> Arc<Bodies> {
        Arc::clone(&self.bodies)
    }

    /// Ends it.
    pub async fn stop(self) -> anyhow::Result<()> {
        end(self.child, self.directory).await
    }
}

/// The directory that holds `ejabberd-VERSION/ebin`, which is where its dependencies are too.
/// Fails, with advice, when there is none.
pub(super) fn installed() -> anyhow::Result<PathBuf> {
    let mut places = vec![PathBuf::from("/usr/lib")];
    let multiarch = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    places.extend(multiarch.map(|entry| entry.path()));
    let found = places.into_iter().find(|place| {
        let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| path.join("ebin/ejabberd.app").exists())
    });
    found.context(INSTALL)
}

fn directory() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("estafette-bench-ejabberd-");
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    made.context("cannot make a directory for ejabberd")
}

/// ejabberd cannot say which port it was given, so one is picked for it.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Everything that would slow a flood down on purpose is off; a million stands for no limit where
/// ejabberd wants a number.
fn configuration(port: u16) -> String {
    format!(
        r#"
hosts:
  - localhost
loglevel: error
log_rotate_count: 0
acme:
  auto: false
listen:
  -
    port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    access: all
    shaper: none
    backlog: 4096
auth_method: internal
auth_password_format: plain
max_fsm_queue: 1000000
shaper_rules:
  max_user_offline_messages: infinity
modules:
  mod_offline:
    access_max_user_messages: max_user_offline_messages
  mod_stream_mgmt:
    max_ack_queue: 1000000
    resume_timeout: 300
"#
    )
}

fn command(directory: &Path, libraries: &Path, accounts: u32) -> Command {
    let mut script = String::new();
    let _ = write!(
        script,
        "[ok = ejabberd_auth:try_register(<<\"u\", (integer_to_binary(I))/binary>>, \
         <<\"localhost\">>, <<\"{}\">>) || I <- lists:seq(0, {accounts} - 1)], \
         io:format(\"~n{READY}~n\"), \
         spawn(fun() -> \
             eof = io:get_line(\"\"), \
             file:del_dir_r(os:getenv(\"HOME\")), \
             erlang:halt(0, [{{flush, false}}]) \
         end).",
        super::client::PASSWORD,
    );
    let mut command = Command::new("erl");
    command
        .args(["-noshell", "+P", "250000"])
        .args(["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"])
        .args(["-mnesia", "dir"])
        .arg(format!("{:?}", directory.join("spool")))
        .args(["-s", "ejabberd", "-eval"])
        .arg(script)
        .env("HOME", directory)
        .env("ERL_LIBS", libraries)
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .env("EJABBERD_CONFIG_PATH", directory.join("ejabberd.yml"))
        .env("EJABBERD_LOG_PATH", directory.join("ejabberd.log"))
        .env("CONTRIB_MODULES_PATH", directory.join("modules"))
        .env_remove("ERL_FLAGS")
        .env_remove("ERL_AFLAGS")
        .env_remove("ERL_ZFLAGS")
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}

async fn wait_ready(child: &mut Child) -> anyhow::Result<()> {
    let output = child.stdout.take().context("no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if line == READY {
            // The pipe must not fill up should ejabberd print more.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(());
        }
    }
    bail!("ejabberd ended")
}
