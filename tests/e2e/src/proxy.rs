//! A bad network between a client and the server: it passes on so many bytes, then nothing, until it
//! is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::desk::PATIENCE;

/// Bytes that went each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// To the server.
    pub up: u64,
    /// From the server.
    pub down: u64,
}

#[derive(Default)]
struct State {
    passed: Passed,
    /// How many may pass; `None`: all.
    room: Option<Passed>,
    held: bool,
    connections: Vec<TcpStream>,
    /// How often all connections were cut.
    cuts: u64,
}

/// See the file's documentation. It ends with the test.
#[derive(Clone)]
pub struct Proxy {
    url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    /// Listens on a free port, for the server at this address.
    ///
    /// # Errors
    /// When the system has no port, or the address is no `http://HOST:PORT`.
    pub fn before(server: &str) -> Result<Self> {
        let server = server.strip_prefix("http://").context("not http")?;
        let server: SocketAddr = server.parse().context("no address and port")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let proxy = Self { url, state: Arc::default() };
        let shared = proxy.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // The server may be down.
                let Ok(far) = TcpStream::connect(server) else { continue };
                // One that cannot be watched is cut.
                let _ = shared.connect(&near, &far);
            }
        });
        Ok(proxy)
    }

    /// Its address, in place of the server's.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets no more than so many bytes pass from now on.
    pub fn allow(&self, room: Passed) {
        let mut state = self.lock();
        let Passed { up, down } = state.passed;
        state.room =
            Some(Passed { up: up.saturating_add(room.up), down: down.saturating_add(room.down) });
        state.held = false;
    }

    /// Waits until something does not pass.
    ///
    /// # Errors
    /// When everything does.
    pub fn holds(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while !state.held {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the proxy had nothing to hold back");
            let waited = self.state.1.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Cuts every connection and lets everything pass from now on.
    pub fn cut(&self) {
        let mut state = self.lock();
        state.room = None;
        state.held = false;
        state.cuts += 1;
        for connection in state.connections.drain(..) {
            // It may be closed.
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.state.1.notify_all();
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        self.lock().passed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, near: &TcpStream, far: &TcpStream) -> std::io::Result<()> {
        let ends = [(near.try_clone()?, far.try_clone()?), (far.try_clone()?, near.try_clone()?)];
        let mut state = self.lock();
        state.connections.extend([near.try_clone()?, far.try_clone()?]);
        let cuts = state.cuts;
        drop(state);
        for (up, (from, to)) in [true, false].into_iter().zip(ends) {
            let proxy = self.clone();
            thread::spawn(move || {
                proxy.pump(&from, &to, up, cuts);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, up: bool, cuts: u64) {
        let mut bytes = [0; 16 * 1024];
        loop {
            let read = match from.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            if !self.admit(read as u64, up, cuts) {
                return;
            }
            let Some(bytes) = bytes.get(..read) else { return };
            if to.write_all(bytes).is_err() {
                return;
            }
        }
    }

    /// Waits until so many bytes may pass. What was held back when connections were cut does not.
    fn admit(&self, bytes: u64, up: bool, cuts: u64) -> bool {
        let mut state = self.lock();
        while state.cuts == cuts {
            let room = state.room.map_or(u64::MAX, |room| if up { room.up } else { room.down });
            let passed = if up { &mut state.passed.up } else { &mut state.passed.down };
            if *passed + bytes <= room {
                *passed += bytes;
                return true;
            }
            state.held = true;
            self.state.1.notify_all();
            state = self.state.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }
}
