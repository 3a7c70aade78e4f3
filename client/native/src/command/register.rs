//! `estafette register`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use estafette::{
    Account, Error, ErrorCode, Millis, PhoneNumber, PinKey, Problem, Profile, Proof, Server,
};
use tokio::time::sleep;

use crate::args::{Args, Register};
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::text::count;
use crate::{place, secret};

/// The server when none is named: where `cargo xtask dev` listens.
const SERVER: &str = "http://127.0.0.1:8787";
/// How often the code may be typed; the server allows a few more.
const TRIES: u32 = 3;
/// For how long to wait for the next try at a PIN: the code is still good then.
const PIN_WAIT_MAX: Millis = 2 * 60 * 1000;
const DAY: Millis = 24 * 60 * 60 * 1000;

pub(crate) async fn run(args: &Args, asked: &Register, output: &Output) -> Result<(), Failure> {
    let number = place::number(&asked.number)?;
    let directory = place::directory(args)?;
    Profile::check_free_for(&directory, number)?;
    let server = server(asked.server.as_deref(), &directory)?;
    let registration = Registration {
        place: Place::Directory(directory.clone()),
        server,
        number,
        name: &asked.name,
        again: place::example(args, &format!("register {number} --code CODE")),
        output,
    };
    let account = registration.run(asked.code.as_deref()).await?;
    let line = Line::Registered {
        number,
        device: account.device,
        server: account.server.address(),
        expires_at: account.expires_at,
    };
    let chat = place::example(args, "chat NUMBER");
    output.line(&line, || format!("{number} is registered. Now try {chat}."))?;
    publish(Profile::open(directory)?, output).await;
    Ok(())
}

/// Lets others write to the new device. Where that does not succeed, its next connection does it.
pub(super) async fn publish(profile: Profile, output: &Output) {
    if let Err(error) = estafette::publish_keys(profile).await {
        output.remark(&format!("Nobody can write to this device yet: {error}."));
    }
}

/// Where what comes of a registration is kept.
pub(super) enum Place<'a> {
    /// In a profile of its own.
    Directory(PathBuf),
    /// Beside the account that moves.
    Beside(&'a Profile),
}

/// A number on its way to be proven.
pub(super) struct Registration<'a> {
    pub(super) place: Place<'a>,
    pub(super) server: Server,
    pub(super) number: PhoneNumber,
    pub(super) name: &'a str,
    /// What to run when the code has arrived.
    pub(super) again: String,
    pub(super) output: &'a Output,
}

impl Registration<'_> {
    /// Has a code sent and typed, if none is given, and registers.
    pub(super) async fn run(&self, code: Option<&str>) -> Result<Account, Failure> {
        if let Some(code) = code {
            return self.with_code(code).await;
        }
        send_code(&self.server, self.number, self.output).await?;
        let mut tries = 1;
        loop {
            match self.with_code(&self.typed_code()?).await {
                Err(failure)
                    if failure.code == Some(ErrorCode::WrongCode)
                        && tries < TRIES
                        && io::stdin().is_terminal() =>
                {
                    let says = "That is not the code. Look again, and type its six digits.";
                    self.output.remark(says);
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Registers, and asks for the PIN where the account has one.
    async fn with_code(&self, code: &str) -> Result<Account, Failure> {
        let mut pin = None;
        loop {
            let problem = match self.put(Proof { code, pin: pin.as_ref() }).await {
                Ok(account) => return Ok(account),
                Err(Error::Refused(problem)) => problem,
                Err(error) => return Err(error.into()),
            };
            match problem.error {
                ErrorCode::PinRequired if pin.is_none() => self.output.remark(&required(&problem)),
                ErrorCode::WrongPin if secret::is_typed() => self.wait(problem).await?,
                _ => return Err(Error::Refused(problem).into()),
            }
            pin = Some(self.typed_pin()?);
        }
    }

    async fn put(&self, proof: Proof<'_>) -> Result<Account, Error> {
        match &self.place {
            Place::Directory(directory) => {
                let (server, number) = (&self.server, self.number);
                let profile = Profile::register(directory, server, number, proof, self.name);
                Ok(profile.await?.account().clone())
            }
            Place::Beside(profile) => profile.register_beside(self.number, proof, self.name).await,
        }
    }

    /// Reads the code from standard input. The runtime has other threads, so waiting here is harmless.
    fn typed_code(&self) -> Result<String, Failure> {
        if io::stdin().is_terminal() && !self.output.is_json() {
            print!("Code: ");
            io::stdout().flush()?;
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let code: String = line.chars().filter(char::is_ascii_digit).collect();
        if code.is_empty() {
            let message = format!("no code was given: when it arrives, run {}", self.again);
            return Err(Failure::new(Exit::NotRegistered, message));
        }
        Ok(code)
    }

    /// Waits until the PIN may be tried again, if that is soon.
    async fn wait(&self, problem: Problem) -> Result<(), Failure> {
        match problem.retry_after.unwrap_or(0) {
            0 => self.output.remark("That is not the PIN."),
            wait if wait <= PIN_WAIT_MAX => {
                let seconds = count(wait.div_ceil(1000), "second");
                self.output
                    .remark(&format!("That is not the PIN. The next can be tried in {seconds}."));
                sleep(Duration::from_millis(wait)).await;
            }
            _ => return Err(Error::Refused(problem).into()),
        }
        Ok(())
    }

    fn typed_pin(&self) -> Result<PinKey, Failure> {
        loop {
            let typed = secret::ask("PIN")?;
            if typed.is_empty() {
                let message = "no PIN was given: register again when you have it";
                let code = Some(ErrorCode::PinRequired);
                return Err(Failure { code, ..Failure::new(Exit::Refused, message) });
            }
            match PinKey::derive(self.number, &typed) {
                Err(error) if secret::is_typed() => self.output.remark(&format!("{error}.")),
                made => return made.map_err(super::pin::wrong),
            }
        }
    }
}

/// What is said where the account has a PIN.
fn required(problem: &Problem) -> String {
    let lost = match problem.retry_after {
        Some(wait) => format!(
            "If it is lost, the number opens in {}, unless a device of it connects before.",
            count(wait.div_ceil(DAY), "day")
        ),
        None => {
            "If it is lost, the number opens once no device of it was there for seven days.".into()
        }
    };
    format!("The number has a registration PIN. {lost}")
}

/// The server that was named, the profile's, or the one of a developer.
pub(super) fn server(named: Option<&str>, directory: &Path) -> Result<Server, Failure> {
    Ok(match (named, Profile::account_in(directory)) {
        (Some(address), _) => Server::new(address)?,
        (None, Ok(account)) => account.server,
        (None, Err(_)) => Server::new(SERVER)?,
    })
}

async fn send_code(server: &Server, number: PhoneNumber, output: &Output) -> Result<(), Failure> {
    let sent = server.request_code(number).await?;
    let (resend_after, expires_at) = (sent.resend_after, sent.expires_at);
    let line = Line::CodeSent { number, resend_after, expires_at };
    output.line(&line, || format!("A code of six digits is on its way to {number}."))?;
    Ok(())
}
