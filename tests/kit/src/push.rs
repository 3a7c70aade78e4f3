//! A push service on the loopback interface (RFC 8030): real HTTP, no browsers. It takes what it is
//! posted, or behaves as badly as it is told to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tiny_http::{Header, Request, Response, Server};

/// How long [`PushService::wait`] waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest request that is read, in bytes; a push has 4,096 at most.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// A request that was made to the service, whatever it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The method.
    pub method: String,
    /// The path of the endpoint.
    pub path: String,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The sealed payload.
    pub body: Vec<u8>,
    /// When it came.
    pub at: Instant,
}

/// How the service answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServiceBehaviour {
    /// Takes the push and says so.
    #[default]
    Take,
    /// Answers with this status and these headers.
    Answer(u16, Vec<(&'static str, String)>),
    /// Does not answer until it is told to behave otherwise.
    Hang,
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Takes the push, and never ends telling of it.
    Endless,
}

/// The service. It ends when it is dropped, and then nobody listens at its address.
pub struct PushService {
    server: Arc<Server>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    behaviour: ServiceBehaviour,
    pushed: Vec<Pushed>,
    hanging: Vec<Request>,
    ended: bool,
}

impl PushService {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When none can be had.
    pub fn start() -> Result<Self> {
        Self::start_on(0)
    }

    /// Listens on this port, where an earlier service did.
    ///
    /// # Errors
    /// When it is taken.
    pub fn start_on(port: u16) -> Result<Self> {
        let server = Server::http(("127.0.0.1", port))
            .map_err(|error| anyhow!("the push service cannot listen: {error}"))?;
        let server = Arc::new(server);
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let (server, shared) = (Arc::clone(&server), Arc::clone(&shared));
            move || {
                for request in server.incoming_requests() {
                    shared.take(request);
                }
            }
        });
        Ok(Self { server, shared, thread: Some(thread) })
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.server.server_addr().to_ip().map_or(0, |address| address.port())
    }

    /// What lets the Worker push to it: an entry of `PUSH_HOSTS`.
    pub fn host(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// An endpoint, told from others by its name.
    pub fn endpoint(&self, name: &str) -> String {
        format!("{}/push/{name}", self.host())
    }

    /// Changes how it answers from now on. Requests that hang are let go, unanswered.
    pub fn behave(&self, behaviour: ServiceBehaviour) {
        let mut state = self.shared.lock();
        state.behaviour = behaviour;
        state.hanging.clear();
    }

    /// Every request up to now, oldest first.
    pub fn pushed(&self) -> Vec<Pushed> {
        self.shared.lock().pushed.clone()
    }

    /// The same, once there are as many; waits for them.
    ///
    /// # Errors
    /// When they do not come within 30 seconds.
    pub fn wait(&self, count: usize) -> Result<Vec<Pushed>> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.pushed.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} pushes came, not {count}", state.pushed.len());
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state.pushed.clone())
    }
}

impl fmt::Debug for PushService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PushService").field("host", &self.host()).finish_non_exhaustive()
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.hanging.clear();
        drop(state);
        self.server.unblock();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the push service panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, mut request: Request) {
        let pushed = match read(&mut request) {
            Ok(pushed) => pushed,
            Err(error) => return eprintln!("the push service could not read: {error:#}"),
        };
        let mut state = self.lock();
        let behaviour = state.behaviour.clone();
        state.pushed.push(pushed);
        self.changed.notify_all();
        if behaviour == ServiceBehaviour::Hang {
            return state.hanging.push(request);
        }
        drop(state);
        // Whoever asks may be gone before the answer: that is its affair.
        let _ = match behaviour {
            ServiceBehaviour::Take => request.respond(Response::empty(201)),
            ServiceBehaviour::Answer(status, headers) => {
                let mut response = Response::empty(status);
                for (name, value) in headers {
                    if let Ok(header) = Header::from_bytes(name, value) {
                        response.add_header(header);
                    }
                }
                request.respond(response)
            }
            ServiceBehaviour::Garbage => request.into_writer().write_all(b"\x00\xffno HTTP\r\n"),
            ServiceBehaviour::Endless => {
                let shared = Arc::clone(self);
                thread::spawn(move || shared.tell_for_ever(request.into_writer()));
                Ok(())
            }
            ServiceBehaviour::Hang => Ok(()),
        };
    }

    /// Ends when nobody listens any more, or with the service.
    fn tell_for_ever(&self, mut writer: Box<dyn Write + Send>) {
        let head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
        let mut alive = writer.write_all(head);
        while alive.is_ok() && !self.lock().ended {
            alive = writer.write_all(&chunk).and_then(|()| writer.flush());
        }
    }
}

fn read(request: &mut Request) -> Result<Pushed> {
    let headers = request.headers().iter().map(|header| {
        (header.field.as_str().as_str().to_ascii_lowercase(), header.value.as_str().to_owned())
    });
    let headers = headers.collect();
    let (method, path) = (request.method().to_string(), request.url().to_owned());
    let mut body = Vec::new();
    request.as_reader().take(REQUEST_BYTES_MAX).read_to_end(&mut body).context("no whole body")?;
    Ok(Pushed { method, path, headers, body, at: Instant::now() })
}
