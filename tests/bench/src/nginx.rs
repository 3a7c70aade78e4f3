//! The peer for files: the nginx that the system has installed, with its WebDAV module's `PUT`.
//!
//! One worker process, no TLS, no access log, storage on tmpfs where there is one: what it does with a
//! file is write it down and send it, which is about the least that can be done. It ends, and removes
//! its directory, when its standard input closes: also when this program is killed.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::measure::Measurement;
use crate::media::{self, Host, Route};
use crate::process::{Process, end};
use crate::workload::Workload;

const START_TIME_MAX: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(10);

const INSTALL: &str = "nginx is not installed here. On Debian and Ubuntu: `sudo apt-get install \
    nginx-light`, then `sudo systemctl disable --now nginx`, as only its program is needed.";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    process: Process,
    port: u16,
    directory: TempDir,
}

/// Fails, with advice, when nginx is not installed.
pub fn check() -> anyhow::Result<()> {
    let version = std::process::Command::new("nginx").arg("-V").output().context(INSTALL)?;
    let built_with = String::from_utf8_lossy(&version.stderr);
    if !built_with.contains("http_dav_module") {
        bail!("this nginx was built without WebDAV. {INSTALL}");
    }
    Ok(())
}

impl Nginx {
    /// Starts one, and waits until it takes connections.
    pub async fn start() -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("estafette-bench-nginx-");
        let memory = Path::new("/dev/shm");
        let directory =
            if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }?;
        // nginx cannot say which port it was given, so one is picked for it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        std::fs::create_dir(directory.path().join("files"))?;
        std::fs::write(directory.path().join("nginx.conf"), configuration(directory.path(), port))?;
        let mut child = Command::new("sh")
            .args([
                "-c",
                "nginx -p \"$1\" -c \"$1/nginx.conf\" & echo $!; cat; kill $!; wait; rm -rf \"$1\"",
                "sh",
            ])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a shell")?;
        let output = child.stdout.take().context("no output")?;
        let pid = BufReader::new(output).lines().next_line().await?.context("no process id")?;
        let nginx = Self { child, process: Process::new(pid.parse()?), port, directory };
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                let log = nginx.directory.path().join("error.log");
                bail!("nginx did not start: {}", std::fs::read_to_string(log).unwrap_or_default());
            }
            sleep(STEP).await;
        }
        Ok(nginx)
    }

    /// Runs a workload of files.
    pub async fn run(&self, workload: &Workload) -> anyhow::Result<Measurement> {
        let Workload::Media(files) = *workload else {
            bail!("nginx has no messages: choose workloads of files (`--workload media-…`)");
        };
        let host = Host { process: self.process, port: self.port, route: Route::Dav };
        media::run(&host, files).await
    }

    /// Ends it.
    pub async fn stop(self) -> anyhow::Result<()> {
        end(self.child, self.directory).await
    }
}

fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/files;
        dav_methods PUT;
    }}
}}
"
    )
}
