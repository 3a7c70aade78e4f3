//! The `estafette` program, run as scripts run it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use estafette::PhoneNumber;
use estafette_testkit::{TempDir, workspace_root};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Stage, Terminal, number};

/// What a thing that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A machine with the program and some profiles.
#[derive(Debug)]
pub struct Desk {
    program: PathBuf,
    profiles: TempDir,
}

impl Desk {
    /// Builds the program, if it is not built.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn set_up() -> Result<Self> {
        static PROGRAM: OnceLock<Result<PathBuf>> = OnceLock::new();
        match PROGRAM.get_or_init(build) {
            Ok(program) => Ok(Self { program: program.clone(), profiles: TempDir::new()? }),
            Err(error) => bail!("{error:#}"),
        }
    }

    /// A server, and the profiles `alice` and `bob` with their numbers.
    ///
    /// # Errors
    /// When they cannot be set up.
    pub fn of_two() -> Result<(Stage, Self, [String; 2])> {
        let stage = Stage::start(|options| options)?;
        let desk = Self::set_up()?;
        let numbers = [number(0), number(1)];
        for (profile, number) in ["alice", "bob"].into_iter().zip(numbers) {
            desk.register(&stage, profile, number)?;
        }
        Ok((stage, desk, numbers.map(|number| number.to_string())))
    }

    /// Registers a number as a profile, as a script does: the code is given in a second run.
    ///
    /// # Errors
    /// When it is refused.
    pub fn register(&self, stage: &Stage, profile: &str, number: PhoneNumber) -> Result<()> {
        let number = number.to_string();
        let register = ["register", &number, "--server", stage.runtime.url()];
        let asked = self.run(profile, &register, "")?;
        ensure!(asked.status.code() == Some(3), "{asked:?}");
        let code = stage.gateway.code_for(&number)?;
        let given = self.run(profile, &[&register[..], &["--code", &code]].concat(), "")?;
        ensure!(given.status.success(), "{given:?}");
        Ok(())
    }

    /// Where a profile's files are.
    pub fn profile(&self, name: &str) -> PathBuf {
        self.profiles.path().join(name)
    }

    /// Has a profile speak to the server by another way.
    ///
    /// # Errors
    /// When its files are not as they are.
    pub fn reach_by(&self, profile: &str, url: &str) -> Result<()> {
        let path = self.profile(profile).join("account.json");
        let mut account: Value = serde_json::from_slice(&fs::read(&path)?)?;
        *account.get_mut("server").context("no server")? = url.into();
        Ok(fs::write(&path, serde_json::to_vec(&account)?)?)
    }

    /// Runs a command with this on its standard input, to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, profile: &str, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = self.command(profile, arguments).spawn()?;
        if let Some(mut pipe) = child.stdin.take() {
            // A command that reads nothing may have ended already.
            let _ = pipe.write_all(input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }

    /// Starts a command that is written to and read from while it runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, profile: &str, arguments: &[&str]) -> Result<Talk> {
        Talk::with(&mut self.command(profile, arguments))
    }

    /// Starts a command on a terminal of its own.
    ///
    /// # Errors
    /// When the system has none, or the command cannot be started.
    pub fn on_terminal(&self, profile: &str, arguments: &[&str]) -> Result<Terminal> {
        Terminal::start(&self.program, arguments, &self.environment(profile))
    }

    fn environment(&self, profile: &str) -> [(&'static str, PathBuf); 2] {
        let directory: &Path = self.profiles.path();
        [("ESTAFETTE_PROFILE", profile.into()), ("ESTAFETTE_DIR", directory.to_owned())]
    }

    fn command(&self, profile: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(self.environment(profile))
            .env_remove("ESTAFETTE_SERVER")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Builds the program and says where it is.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(workspace_root())
        .args(["build", "--package", "estafette", "--message-format", "json", "--quiet"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(built.status.success(), "the command line cannot be built");
    let messages = str::from_utf8(&built.stdout)?.lines();
    messages
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message.pointer("/target/name") == Some(&"estafette".into()))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .context("cargo does not say where the command line is")
}

/// Ends with the test, whatever comes.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "the program does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command with pipes.
#[derive(Debug)]
pub struct Talk {
    child: Running,
    lines: Receiver<String>,
}

impl Talk {
    /// Starts a program that is written to and read from while it runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn with(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let (sender, lines) = channel();
        let output = child.stdout.take().context("no standard output")?;
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Nobody listens any more when the test has ended.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Ok(Self { child: Running(child), lines })
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When it does not read.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.child.0.stdin.as_mut().context("the input was closed")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// The next line of its standard output that is as `wanted`. The others are dropped.
    ///
    /// # Errors
    /// When none comes.
    pub fn hear(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).context("nothing is printed")?;
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    /// Closes its standard input.
    pub fn say_no_more(&mut self) {
        drop(self.child.0.stdin.take());
    }

    /// Kills it, as a crash or a power cut does.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(mut self) -> Result<()> {
        ensure!(self.child.0.try_wait()?.is_none(), "the program has ended");
        self.child.0.kill()?;
        self.child.end().map(drop)
    }

    /// Presses Ctrl-C, and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn interrupt(mut self) -> Result<ExitStatus> {
        let process = i32::try_from(self.child.0.id()).ok().and_then(Pid::from_raw);
        kill_process(process.context("no process")?, Signal::INT)?;
        self.child.end()
    }

    /// Closes its input and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<ExitStatus> {
        drop(self.child.0.stdin.take());
        self.child.end()
    }
}
