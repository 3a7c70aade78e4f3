//! The connection: opened, kept alive, lost, tried again, or given up for good.
//!
//! Invariants:
//! - nothing is transmitted before the server's greeting, nor after the connection was lost;
//! - while there is a link other than [`Link::Off`], a timer leads to the next step.

use estafette_protocol::{ErrorCode, Fault, Goaway, Hello, Millis};

use super::Client;
use super::retry::RETRY_AFTER_MAX;
use crate::clock::{Timer, doubled, take_due};
use crate::{Effect, Event, Input, StoreError};

/// The close codes of the server that say more than "try again".
const CLOSE_DEVICE_REMOVED: u16 = 4001;
const CLOSE_REPLACED: u16 = 4002;
/// The least wait after an error that the next connection is likely to meet again.
const FAULT_WAIT: Millis = 5000;
/// The least wait after another socket took over.
const REPLACED_WAIT: Millis = 30_000;
/// How soon a second take-over is another program's.
const REPLACED_AGAIN: Millis = 10 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Until the user asks for a connection.
    Off,
    /// Until it is time to try again.
    Waiting(Timer),
    /// A socket was asked for, or is open and not yet greeted; for so long at most.
    Connecting(Timer),
    /// The server has greeted this device. The timer ends the silence that is borne before a ping,
    /// or after it.
    Ready { silence: Timer, pinged: bool },
}

impl Client {
    /// Takes in what is not a message.
    pub(super) fn on_socket(&mut self, now: Millis, input: Input) {
        match (input, self.link) {
            (Input::Opened, Link::Connecting(_)) => {
                self.link = Link::Connecting(Timer::after(now, self.config.connect));
            }
            (Input::Pong, _) => self.heard_something(now),
            (Input::Rejected { code, retry_after }, Link::Connecting(_)) => {
                self.turned_away(now, code, retry_after);
            }
            (Input::Closed { code }, Link::Connecting(_) | Link::Ready { .. }) => match code {
                Some(CLOSE_DEVICE_REMOVED) => self.turned_away(now, ErrorCode::DeviceRemoved, None),
                Some(CLOSE_REPLACED) => self.turned_away(now, ErrorCode::Replaced, None),
                _ => self.lost(now, 0),
            },
            _ => {}
        }
    }

    /// The server greets this device.
    pub(super) fn on_hello(&mut self, now: Millis, hello: &Hello) -> Result<(), StoreError> {
        if (hello.account, hello.device) != (self.me.account, self.me.device) {
            // The token is another device's.
            self.effects.push(Effect::Disconnect);
            self.turned_away(now, ErrorCode::TokenInvalid, None);
            return Ok(());
        }
        self.clock.compare(now, hello.now);
        self.attempts = 0;
        self.link = Link::Ready { silence: Timer::after(now, self.config.quiet), pinged: false };
        // It reads the whole store: not on each connection of a bad network.
        self.housekeeping.get_or_insert(Timer::after(now, 0));
        self.tell(Event::Connected { waiting: hello.waiting });
        (self.drained, self.drained_told) = (false, false);
        self.keys_at_greeting(hello.key_packages)?;
        self.conversations_at_greeting()
    }

    pub(super) fn on_goaway(&mut self, now: Millis, goaway: Goaway) {
        self.effects.push(Effect::Disconnect);
        self.turned_away(now, goaway.code, goaway.retry_after);
    }

    /// The server does not want this connection. The socket is closed, or told to be.
    fn turned_away(&mut self, now: Millis, code: ErrorCode, retry_after: Option<Millis>) {
        match code {
            _ if is_signed_out(code) => self.sign_out(code),
            ErrorCode::Replaced => self.replaced(now),
            _ => {
                self.tell(Event::Error(code));
                let unasked = if code.fault() == Fault::Server { 0 } else { FAULT_WAIT };
                self.lost(now, retry_after.unwrap_or(unasked).min(RETRY_AFTER_MAX));
            }
        }
    }

    /// Another socket of this device took over. Once, it may be one of this client's own that was
    /// given up and arrived late; a second time soon after, it is another program.
    fn replaced(&mut self, now: Millis) {
        if take_due(&mut self.replaced, now) || self.replaced.is_none() {
            self.replaced = Some(Timer::after(now, REPLACED_AGAIN));
            return self.lost(now, REPLACED_WAIT);
        }
        self.unlink(Link::Off);
        self.tell(Event::Error(ErrorCode::Replaced));
        self.tell(Event::Disconnected { retry_at: None });
    }

    /// This device may not connect any more.
    pub(super) fn sign_out(&mut self, code: ErrorCode) {
        self.unlink(Link::Off);
        self.signed_out = true;
        self.tell(Event::SignedOut(code));
        self.tell(Event::Disconnected { retry_at: None });
    }

    /// What the server said makes no sense, or could not be kept: only a new connection helps.
    pub(super) fn give_up_connection(&mut self, now: Millis) {
        self.effects.push(Effect::Disconnect);
        self.lost(now, FAULT_WAIT);
    }

    /// There is no connection any more; the next is tried after a while, at the earliest after
    /// `at_least`.
    pub(super) fn lost(&mut self, now: Millis, at_least: Millis) {
        let longest = doubled(self.config.reconnect, self.attempts, self.config.reconnect_max);
        self.attempts = self.attempts.saturating_add(1);
        let again = Timer::after(now, self.entropy.up_to(longest).saturating_add(at_least));
        self.unlink(Link::Waiting(again));
        self.tell(Event::Disconnected { retry_at: Some(again.at()) });
    }

    /// Whether there is a socket, or about to be one.
    pub(super) fn is_linked(&self) -> bool {
        matches!(self.link, Link::Connecting(_) | Link::Ready { .. })
    }

    pub(super) fn unlink(&mut self, link: Link) {
        self.link = link;
        self.acks.clear();
        self.ack_timer = None;
        self.outbox.disconnected();
        self.receipts.disconnected();
        self.availability.disconnected();
        self.typing.disconnected();
        self.publishing.disconnected();
        let open = self.queries.disconnected();
        self.conversations.disconnected(&open);
    }

    pub(super) fn open(&mut self, now: Millis) {
        self.link = Link::Connecting(Timer::after(now, self.config.connect));
        self.effects.push(Effect::Connect);
    }

    /// The server has shown a sign of life.
    pub(super) fn heard_something(&mut self, now: Millis) {
        if let Link::Ready { silence, pinged } = &mut self.link {
            (*silence, *pinged) = (Timer::after(now, self.config.quiet), false);
        }
    }

    /// Ends the waits of the connection that are due.
    pub(super) fn on_link_time(&mut self, now: Millis) {
        match self.link {
            Link::Waiting(again) if again.is_due(now) => self.open(now),
            Link::Connecting(limit) if limit.is_due(now) => {
                self.effects.push(Effect::Disconnect);
                self.lost(now, 0);
            }
            Link::Ready { silence, pinged } if silence.is_due(now) => {
                if pinged {
                    self.effects.push(Effect::Disconnect);
                    self.lost(now, 0);
                } else {
                    let silence = Timer::after(now, self.config.pong);
                    self.link = Link::Ready { silence, pinged: true };
                    self.effects.push(Effect::Ping);
                }
            }
            _ => {}
        }
    }

    pub(super) fn link_time(&self) -> Option<Millis> {
        match self.link {
            Link::Off => None,
            Link::Waiting(timer) | Link::Connecting(timer) => Some(timer.at()),
            Link::Ready { silence, .. } => Some(silence.at()),
        }
    }

    /// Connects now, if there is no connection: after another socket took over, when the network is
    /// back, or in place of a wait. Does nothing once the device is signed out.
    pub fn connect(&mut self, now: Millis) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) = self.step(now, |client| {
            if !client.signed_out && matches!(client.link, Link::Off | Link::Waiting(_)) {
                client.open(now);
            }
            Ok::<_, StoreError>(())
        })?;
        Ok(effects)
    }

    /// Says what waits to be said, and disconnects until [`Client::connect`].
    pub fn disconnect(&mut self, now: Millis) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) = self.step(now, |client| {
            client.ack_now();
            client.flush(now)?;
            if client.link == Link::Off {
                return Ok(());
            }
            if client.is_linked() {
                client.effects.push(Effect::Disconnect);
            }
            client.unlink(Link::Off);
            client.tell(Event::Disconnected { retry_at: None });
            Ok::<_, StoreError>(())
        })?;
        Ok(effects)
    }

    /// Whether the server has greeted this device on the present connection.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Ready { .. })
    }
}

/// Whether the code says that this device may not do anything any more.
pub(super) fn is_signed_out(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DeviceRemoved
            | ErrorCode::TokenMissing
            | ErrorCode::TokenInvalid
            | ErrorCode::TokenExpired
    )
}
