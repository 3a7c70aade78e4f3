//! The development server: the Worker in the real runtime, an SMS gateway that prints the codes, a desk
//! that prints reports, and a word on what to type next.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use estafette_testkit::{Options, Report, ReportDesk, Runtime, SmsGateway, random_secret};
use serde_json::{Map, Value};

use crate::build;
use crate::setup::{Workspace, label, run, step};

/// The port when none is chosen.
const PORT: u16 = 8787;
/// What the Worker signs and hashes with, what the gateway and the desk for reports ask for, and what an
/// admin shows. Pushes go to the services of the known browsers.
const SECRETS: &[&str] =
    &["TOKEN_KEY", "CODE_KEY", "SMS_SECRET", "VAPID_KEY", "REPORT_SECRET", "ADMIN_SECRET"];
/// Whom push services are told to turn to.
const CONTACT: &str = "mailto:nobody@example.org";

/// How to run it.
#[derive(Debug, Default)]
pub(crate) struct DevOptions {
    /// The TCP port, [`PORT`] if none is given.
    pub(crate) port: Option<u16>,
    /// Where the storage is kept, `.dev/storage` if no directory is given.
    pub(crate) storage: Option<PathBuf>,
}

/// Builds all, runs until Ctrl-C, and leaves nothing running.
pub(crate) fn dev(workspace: &Workspace, options: &DevOptions) -> Result<()> {
    let bundle = build::build(workspace, &build::Options::default())?;
    step("building the command line");
    run(workspace.cargo().args(["build", "--package", "estafette"]))?;

    let directory = workspace.root.join(".dev");
    let storage = options.storage.clone().unwrap_or_else(|| directory.join("storage"));
    let port = options.port.unwrap_or(PORT);
    let secrets = secrets(&directory)?;
    let secret = |name| secrets.get(name).and_then(Value::as_str).unwrap_or_default();

    let (interrupt, interrupted) = channel();
    ctrlc::set_handler(move || {
        // The second Ctrl-C finds nobody listening; the first is being obeyed.
        let _ = interrupt.send(());
    })
    .context("cannot listen for Ctrl-C")?;

    let gateway = SmsGateway::start_with(secret("SMS_SECRET"), |message| {
        let label = label("SMS", io::stdout().is_terminal());
        println!("{label} to {}: {}", message.to, message.text);
    })?;
    let desk = ReportDesk::start(secret("REPORT_SECRET"), print_report)?;
    let mut start = Options::new().bundle(bundle).storage(&storage).port(port).print_logs();
    for (name, value) in &secrets {
        start = start.var(name, value.clone());
    }
    // As in a deployment where it is not set: accounts are new for a day.
    start = start.var("VAPID_SUBJECT", CONTACT).var("NEW_ACCOUNT_MS", "").reports(&desk);
    let runtime = Runtime::start(start.sms(&gateway))
        .with_context(|| format!("if port {port} is taken, choose another with `--port`"))?;
    welcome(workspace, &runtime);

    loop {
        match interrupted.recv_timeout(Duration::from_millis(500)) {
            Err(RecvTimeoutError::Timeout) if runtime.is_running()? => (),
            Err(RecvTimeoutError::Timeout) => bail!("the runtime ended by itself"),
            _ => break,
        }
    }
    step("ending");
    Ok(())
}

fn print_report(report: &Report) {
    let label = label("REPORT", io::stdout().is_terminal());
    let Report { reporter, reported, reason, comment, messages, .. } = report;
    println!("{label} of {reported} by {reporter}, {reason}: {comment:?}");
    for message in messages {
        println!("{label}   {:?}", message.text);
    }
}

fn welcome(workspace: &Workspace, runtime: &Runtime) {
    let url = runtime.url();
    let shown =
        |path: &Path| path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string();
    let storage = shown(runtime.storage());
    let estafette = shown(&workspace.target().join("debug/estafette"));
    println!(
        "
Estafette runs on {url} and keeps its data in {storage}.
One-time codes and reports appear here. Ctrl-C ends it.
The admin's secret is ADMIN_SECRET in .dev/secrets.json; docs/operating.md says what to do with it.

In a second terminal:

  {estafette} --profile alice register +33600000001 --server {url}
  {estafette} --profile alice chat +33600000002

In a third:

  {estafette} --profile bob register +33600000002 --server {url}
  {estafette} --profile bob chat +33600000001
"
    );
}

/// The secrets of the last run, or new ones: tokens and codes stay good over a restart.
fn secrets(directory: &Path) -> Result<Map<String, Value>> {
    fs::create_dir_all(directory)?;
    let path = directory.join("secrets.json");
    let mut secrets = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no JSON object: delete it", path.display()))?,
        Err(_) => Map::new(),
    };
    let known = secrets.len();
    for name in SECRETS {
        if !secrets.contains_key(*name) {
            secrets.insert((*name).to_owned(), random_secret()?.into());
        }
    }
    if secrets.len() > known {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&serde_json::to_vec_pretty(&secrets)?)?;
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use estafette_testkit::TempDir;

    use super::secrets;

    #[test]
    fn secrets_are_made_once() {
        let directory = TempDir::new().unwrap();
        let first = secrets(directory.path()).unwrap();
        assert_eq!(first.len(), 6);
        assert_eq!(secrets(directory.path()).unwrap(), first);
    }
}
