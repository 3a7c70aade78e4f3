//! A program of the operator's, on the loopback interface, to which the Worker posts: real HTTP, with
//! failures as a test wants them.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde::de::DeserializeOwned;
use tiny_http::{Header, Method, Request, Response, Server};

/// How long [`Inbox::wait_for`] waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest request that is read, in bytes: longer than a report can become.
const REQUEST_BYTES_MAX: u64 = 256 * 1024;

/// How it answers.
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

/// It listens until it is dropped.
pub(crate) struct Inbox<T> {
    server: Arc<Server>,
    shared: Arc<Shared<T>>,
    secret: String,
    thread: Option<JoinHandle<()>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    behaviour: Behaviour,
    messages: Vec<T>,
    refused: usize,
    hanging: Vec<Request>,
}

impl<T: DeserializeOwned + Clone + Send + 'static> Inbox<T> {
    /// Listens on a free port for requests that carry `secret`, and calls `on_message` with each message
    /// that it takes.
    pub(crate) fn start(secret: &str, on_message: impl Fn(&T) + Send + 'static) -> Result<Self> {
        let server = Server::http("127.0.0.1:0")
            .map_err(|error| anyhow!("a gateway cannot listen: {error}"))?;
        let server = Arc::new(server);
        let (behaviour, messages) = (Behaviour::default(), Vec::new());
        let state = State { behaviour, messages, refused: 0, hanging: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
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

    /// Waits for what `find` makes of the messages that were taken.
    pub(crate) fn wait_for<A>(&self, what: &str, find: impl Fn(&[T]) -> Option<A>) -> Result<A> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = find(&state.messages) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{what} did not come within {} s", PATIENCE.as_secs());
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn messages(&self) -> Vec<T> {
        self.shared.lock().messages.clone()
    }
}

impl<T> Inbox<T> {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.server.server_addr())
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        let mut state = self.shared.lock();
        state.behaviour = behaviour;
        state.hanging.clear();
    }

    pub(crate) fn refused(&self) -> usize {
        self.shared.lock().refused
    }

    pub(crate) fn hanging(&self) -> usize {
        self.shared.lock().hanging.len()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inbox").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.shared.lock().hanging.clear();
        self.server.unblock();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("a gateway panicked");
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: DeserializeOwned> Shared<T> {
    fn answer(&self, mut request: Request, authorization: &str, on_message: &dyn Fn(&T)) {
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
            eprintln!("a gateway could not answer: {error}");
        }
    }
}

/// The message of a request, or the status that it is refused with.
fn message_in<T: DeserializeOwned>(request: &mut Request, authorization: &str) -> Result<T, u16> {
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
