//! An SMS gateway on the loopback interface: real HTTP, no phones.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;
use tiny_http::{Header, Method, Request, Response, Server};

/// How long [`SmsGateway::code_for`] waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest request that is read, in bytes.
const REQUEST_BYTES_MAX: u64 = 4096;

/// A message that the Worker asked to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sms {
    /// The number, in E.164 form.
    pub to: String,
    /// The text, which holds the code.
    pub text: String,
}

/// How the gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// Takes the message and says so.
    #[default]
    Deliver,
    /// Answers with this status and takes nothing.
    Fail(u16),
    /// Does not answer until it is told to behave otherwise.
    Hang,
    /// Answers with bytes that are no HTTP.
    Garbage,
}

/// The gateway. It ends when it is dropped.
pub struct SmsGateway {
    server: Arc<Server>,
    shared: Arc<Shared>,
    secret: String,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    messages: Vec<Sms>,
    taken: HashMap<String, usize>,
    refused: usize,
    hanging: Vec<Request>,
}

impl SmsGateway {
    /// Listens on a free port for requests that carry `secret`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(secret: &str) -> Result<Self> {
        Self::start_with(secret, |_| ())
    }

    /// As [`SmsGateway::start`], and calls `on_message` with each message that it takes.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_with(secret: &str, on_message: impl Fn(&Sms) + Send + 'static) -> Result<Self> {
        let server = Server::http("127.0.0.1:0")
            .map_err(|error| anyhow!("the SMS gateway cannot listen: {error}"))?;
        let server = Arc::new(server);
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let (server, shared) = (Arc::clone(&server), Arc::clone(&shared));
            let authorization = format!("Bearer {secret}");
            move || {
                for request in server.incoming_requests() {
                    shared.answer(request, &authorization, &on_message);
                }
            }
        });
        Ok(Self { server, shared, secret: secret.to_owned(), thread: Some(thread) })
    }

    /// Where the Worker is to post, its `SMS_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.server.server_addr())
    }

    /// What the Worker is to show, its `SMS_SECRET`.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Changes how it answers from now on. Requests that hang are let go, unanswered.
    pub fn behave(&self, behaviour: Behaviour) {
        let mut state = self.shared.lock();
        state.behaviour = behaviour;
        state.hanging.clear();
    }

    /// The code of the oldest message to `number` that was not asked for yet; waits for one.
    ///
    /// # Errors
    /// When none comes within 20 seconds, or it holds no six digits.
    pub fn code_for(&self, number: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        loop {
            let taken = state.taken.get(number).copied().unwrap_or_default();
            let found = state.messages.iter().filter(|message| message.to == number).nth(taken);
            if let Some(message) = found {
                let code = code_in(&message.text).map(str::to_owned);
                state.taken.insert(number.to_owned(), taken + 1);
                return code.ok_or_else(|| anyhow!("the message to {number} holds no code"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no message to {number} came within {} s", PATIENCE.as_secs());
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Every message that it took, oldest first.
    pub fn messages(&self) -> Vec<Sms> {
        self.shared.lock().messages.clone()
    }

    /// How many requests it refused for the wrong secret, method or content.
    pub fn refused(&self) -> usize {
        self.shared.lock().refused
    }

    /// How many requests hang.
    pub fn hanging(&self) -> usize {
        self.shared.lock().hanging.len()
    }
}

impl fmt::Debug for SmsGateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmsGateway").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Drop for SmsGateway {
    fn drop(&mut self) {
        self.shared.lock().hanging.clear();
        self.server.unblock();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the SMS gateway panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut request: Request, authorization: &str, on_message: &dyn Fn(&Sms)) {
        let behaviour = self.lock().behaviour;
        let outcome = match behaviour {
            Behaviour::Fail(status) => respond(request, status),
            Behaviour::Garbage => request.into_writer().write_all(b"\x00\xffno HTTP\r\n"),
            Behaviour::Hang => {
                self.lock().hanging.push(request);
                self.changed.notify_all();
                Ok(())
            }
            Behaviour::Deliver => match message_in(&mut request, authorization) {
                Ok(message) => {
                    on_message(&message);
                    self.lock().messages.push(message);
                    self.changed.notify_all();
                    respond(request, 202)
                }
                Err(status) => {
                    self.lock().refused += 1;
                    respond(request, status)
                }
            },
        };
        if let Err(error) = outcome {
            eprintln!("the SMS gateway could not answer: {error}");
        }
    }
}

/// The message of a request, or the status that it is refused with.
fn message_in(request: &mut Request, authorization: &str) -> Result<Sms, u16> {
    let shown = |header: &Header| {
        header.field.equiv("Authorization") && header.value.as_str() == authorization
    };
    if !request.headers().iter().any(shown) {
        return Err(401);
    }
    if *request.method() != Method::Post {
        return Err(405);
    }
    let mut body = Vec::new();
    let read = request.as_reader().take(REQUEST_BYTES_MAX).read_to_end(&mut body);
    match read.map(|_| serde_json::from_slice(&body)) {
        Ok(Ok(message)) => Ok(message),
        _ => Err(400),
    }
}

fn respond(request: Request, status: u16) -> std::io::Result<()> {
    request.respond(Response::empty(status))
}

/// The first six digits in a row that stand alone.
fn code_in(text: &str) -> Option<&str> {
    text.split(|character: char| !character.is_ascii_digit()).find(|digits| digits.len() == 6)
}

#[cfg(test)]
mod tests {
    use super::code_in;

    #[test]
    fn a_code_is_six_digits_that_stand_alone() {
        assert_eq!(code_in("Your code is 012345. It is good for 10 minutes."), Some("012345"));
        assert_eq!(code_in("call +33600000001"), None);
        assert_eq!(code_in(""), None);
    }
}
