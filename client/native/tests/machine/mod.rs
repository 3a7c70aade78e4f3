//! A machine on which somebody types commands: its files, and the server that it knows.

#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::process::{Output, Stdio};

use estafette_testkit::TempDir;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::fake::{self, Fake};

pub(crate) struct Machine {
    pub(crate) directory: TempDir,
    pub(crate) fake: Fake,
}

impl Machine {
    pub(crate) fn on(fake: Fake) -> Self {
        let directory = TempDir::new().unwrap();
        let profile = directory.path().join("default");
        fs::DirBuilder::new().mode(0o700).create(&profile).unwrap();
        // The keys that the fake knows Alice by.
        let secrets = fake::secrets();
        let account = secrets.account.to_bytes();
        for (name, secret) in [("identity.key", secrets.device), ("account.key", account)] {
            fs::write(profile.join(name), secret).unwrap();
            fs::set_permissions(profile.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { directory, fake }
    }

    /// Registers Alice's number, with a code that the server takes.
    pub(crate) async fn registers(self) -> Self {
        let mut machine = self;
        let done = machine.run(&["register", "+33612345678", "--code", "123456"]).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        machine.fake.until_closed().await;
        machine
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estafette"));
        command
            .args(arguments)
            .env_clear()
            .env("ESTAFETTE_DIR", self.directory.path())
            .env("ESTAFETTE_SERVER", &self.fake.address)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.feed(arguments, "").await
    }

    /// Runs a command with this on its standard input, to its end.
    pub(crate) async fn feed(&self, arguments: &[&str], input: &str) -> Output {
        let joins = arguments.iter().any(|argument| ["register", "link"].contains(argument));
        if joins {
            self.fake.greets_all(true);
        }
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let done = child.wait_with_output().await.unwrap();
        self.fake.greets_all(false);
        done
    }
}

pub(crate) fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn lines(output: &Output) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn error(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
