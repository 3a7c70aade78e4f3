//! The task of one client: it owns the core and the socket, carries out the core's effects in
//! order, and tells the core what happened. It decides nothing.
//!
//! Invariant: a program that stops taking its events loses none and costs nothing: after
//! [`EVENTS_MAX`] the task no longer reads the socket, so that the core gives the connection up
//! until events are taken again. What waits does so in the mailbox.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use estafette_core::{Client as Core, Effect, Event, Input, StoreError};
use estafette_protocol::{Encoding, Millis};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::server::now;
use crate::socket::{self, Socket};
use crate::{Account, Error, Profile};

/// How many events wait for the program.
pub(crate) const EVENTS_MAX: usize = 1024;
/// How many commands wait for the task.
pub(crate) const COMMANDS_MAX: usize = 64;
/// How long to wait before asking for a new token again, when the server didn't give one.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How long to wait for a store that failed, where the core names no time.
const STORE_PAUSE: Millis = 1000;

/// What is done on the core, and what comes of it.
pub(crate) type Work = Box<dyn FnOnce(&mut Core, Millis) -> Result<Vec<Effect>, StoreError> + Send>;

/// What the program asks of the task.
pub(crate) enum Command {
    /// Do something on the core.
    Work(Work),
    /// Say when nothing is pending.
    Flush(oneshot::Sender<()>),
    /// Disconnect, end, and say so.
    Close(oneshot::Sender<()>),
}

/// What a driver waits for.
enum Happened {
    Commanded(Option<Command>),
    /// The program has taken events and can be told of more.
    Room,
    /// The program takes no events any more.
    Deaf,
    Told(Input),
    Woken,
    Renewed(Result<Account, Error>),
}

type Happening<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Link {
    None,
    Opening(Happening<Result<Box<Socket>, Input>>),
    Open(Box<Socket>),
}

/// See the file's documentation.
pub(crate) struct Driver {
    core: Core,
    encoding: Encoding,
    account: watch::Sender<Account>,
    profile: Option<Profile>,
    renewal: Happening<Result<Account, Error>>,
    link: Link,
    wake: Option<Instant>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Driver {
    pub(crate) fn new(
        core: Core,
        encoding: Encoding,
        account: watch::Sender<Account>,
        profile: Option<Profile>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let renewal = renewal(account.borrow().clone(), Duration::ZERO);
        Self {
            core,
            encoding,
            renewal,
            account,
            profile,
            link: Link::None,
            wake: Some(Instant::now()),
            commands,
            events,
            backlog: VecDeque::new(),
            flushes: Vec::new(),
        }
    }

    /// Runs until it is told to close, or nobody can command it any more.
    pub(crate) async fn run(mut self) {
        loop {
            let done = self.core.pending().is_empty();
            for flushed in self.flushes.extract_if(.., |flush| done || flush.is_closed()) {
                // Whoever stopped waiting needs no answer.
                let _ = flushed.send(());
            }
            match self.wait().await {
                Happened::Commanded(Some(Command::Work(work))) => {
                    let done = work(&mut self.core, now());
                    self.perform(done);
                }
                Happened::Commanded(Some(Command::Flush(flush))) => self.flushes.push(flush),
                Happened::Commanded(Some(Command::Close(closed))) => {
                    self.end().await;
                    // Whoever stopped waiting needs no answer.
                    let _ = closed.send(());
                    return;
                }
                Happened::Commanded(None) => return self.end().await,
                Happened::Room => {
                    for event in std::mem::take(&mut self.backlog) {
                        self.say(event);
                    }
                }
                Happened::Deaf => self.backlog.clear(),
                Happened::Told(input) => self.tell(input),
                Happened::Woken => {
                    self.wake = None;
                    self.tell(Input::Tick);
                }
                Happened::Renewed(account) => self.renewed(account),
            }
        }
    }

    /// Waits for the next thing to happen. Whatever it is, nothing else is lost.
    async fn wait(&mut self) -> Happened {
        let reading = self.backlog.is_empty() || !self.flushes.is_empty();
        tokio::select! {
            command = self.commands.recv() => Happened::Commanded(command),
            room = self.events.reserve(), if !self.backlog.is_empty() => match room {
                Ok(_) => Happened::Room,
                Err(_) => Happened::Deaf,
            },
            input = self.link.next(reading) => Happened::Told(input),
            () = reach(self.wake) => Happened::Woken,
            account = &mut self.renewal => Happened::Renewed(account),
        }
    }

    fn tell(&mut self, input: Input) {
        if matches!(input, Input::Closed { .. }) {
            self.disconnect();
        }
        let done = self.core.on_input(now(), input);
        self.perform(done);
    }

    fn perform(&mut self, done: Result<Vec<Effect>, StoreError>) {
        let effects = match done {
            Ok(effects) => effects,
            Err(error) => {
                self.disconnect();
                self.wake_at(self.core.wake_at().unwrap_or(now() + STORE_PAUSE));
                return self.say(Event::StoreFailed(error));
            }
        };
        for effect in effects {
            match effect {
                Effect::Connect => {
                    let Account { server, token, .. } = self.account.borrow().clone();
                    let opening = socket::open(server.socket_address(), token, self.encoding);
                    self.link = Link::Opening(Box::pin(opening));
                }
                Effect::Transmit(message) => {
                    if let Link::Open(socket) = &mut self.link {
                        socket.transmit(message);
                    }
                }
                Effect::Ping => {
                    if let Link::Open(socket) = &mut self.link {
                        socket.ping();
                    }
                }
                Effect::Disconnect => self.disconnect(),
                Effect::WakeAt(at) => self.wake_at(at),
                Effect::Event(event) => self.say(event),
            }
        }
    }

    /// Says what is to be said, disconnects, and waits for the socket to be closed.
    async fn end(mut self) {
        let effects = self.core.disconnect(now()).unwrap_or_default();
        if let Link::Open(mut socket) = self.link {
            for effect in effects {
                if let Effect::Transmit(message) = effect {
                    socket.transmit(message);
                }
            }
            socket.close().await;
        }
    }

    /// Lets go of the socket, which then closes by itself.
    fn disconnect(&mut self) {
        if let Link::Open(socket) = std::mem::replace(&mut self.link, Link::None) {
            tokio::spawn(socket.close());
        }
    }

    fn wake_at(&mut self, at: Millis) {
        self.wake = Some(Instant::now() + Duration::from_millis(at.saturating_sub(now())));
    }

    fn say(&mut self, event: Event) {
        let event = if self.backlog.is_empty() {
            match self.events.try_send(event) {
                Err(mpsc::error::TrySendError::Full(event)) => event,
                // Sent, or nobody listens.
                _ => return,
            }
        } else {
            event
        };
        self.backlog.push_back(event);
    }

    fn renewed(&mut self, account: Result<Account, Error>) {
        let pause = match account {
            Ok(account) => {
                // If the file can't be written, the old token is still good, and the next start
                // asks again.
                let kept = self.profile.as_mut().map(|profile| profile.keep(account.clone()));
                self.account.send_replace(account);
                if kept.is_some_and(|kept| kept.is_err()) { RENEWAL_PAUSE } else { Duration::ZERO }
            }
            // Where the token is no longer good, the socket says so.
            Err(_) => RENEWAL_PAUSE,
        };
        self.renewal = renewal(self.account.borrow().clone(), pause);
    }
}

impl Link {
    /// Waits for what happens on the link.
    async fn next(&mut self, reading: bool) -> Input {
        match self {
            Self::Open(socket) => socket.next(reading).await,
            Self::Opening(opening) if reading => match opening.await {
                Ok(socket) => {
                    *self = Self::Open(socket);
                    Input::Opened
                }
                Err(input) => {
                    *self = Self::None;
                    input
                }
            },
            Self::Opening(_) | Self::None => pending().await,
        }
    }
}

/// Waits for the time at which a token is renewed, and renews it.
fn renewal(account: Account, pause: Duration) -> Happening<Result<Account, Error>> {
    let wait = Duration::from_millis(account.renew_at().saturating_sub(now()));
    Box::pin(async move {
        sleep(wait.max(pause)).await;
        account.server.renew(&account.token).await
    })
}

async fn reach(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
