//! Whether the user is there, and whether the peer of the open chat is.
//!
//! Invariants:
//! - what was said on a connection is all that the server knows: a frame leaves when that differs from
//!   what is to be known, and one that would say what every new socket says anyway does not leave;
//! - while the open chat's peer has not been answered for, a timer leads to asking again.

use estafette_protocol::{Millis, PhoneNumber, Presence, Seen};

use super::Client;
use crate::clock::{Timer, doubled, take_due};
use crate::{Effect, Event, StoreError};

/// How long to wait for an answer; twice as long each time.
const ANSWER: Millis = 10_000;
/// The longest wait for one.
const ANSWER_MAX: Millis = 60_000;

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Availability {
    available: bool,
    /// What was said on this connection. A new socket is of somebody who is not there and watches
    /// nobody.
    said: Presence,
    /// The peer whose presence the server has told on this connection, since the watch began.
    answered: Option<PhoneNumber>,
    /// When to ask again.
    again: Option<Timer>,
    silences: u32,
}

impl Availability {
    /// The server forgets what was said with the socket.
    pub(super) fn disconnected(&mut self) {
        *self = Self { available: self.available, ..Self::default() };
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        self.again.map(Timer::at)
    }
}

impl Client {
    /// Says whether the user is there. It is said to the server on each connection, and to those who
    /// look at their chat with this account. At the start, the user is not.
    pub fn set_available(
        &mut self,
        now: Millis,
        available: bool,
    ) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) = self.step(now, |client| {
            client.availability.available = available;
            Ok(())
        })?;
        Ok(effects)
    }

    /// The frame that is to leave now, if any. There is a connection.
    pub(super) fn say_presence(&mut self, now: Millis) -> Option<Presence> {
        let peer = self.open_chat.filter(|peer| *peer != self.me.account);
        let state = &mut self.availability;
        let wanted = Presence { available: state.available, watch: peer.into_iter().collect() };
        let silent = take_due(&mut state.again, now);
        if wanted.watch != state.said.watch {
            (state.answered, state.silences) = (None, 0);
        } else if silent {
            state.silences = state.silences.saturating_add(1);
        } else if wanted == state.said {
            return None;
        }
        let waits = peer.is_some() && state.answered != peer;
        state.again = waits.then(|| {
            let wait = doubled(ANSWER, state.silences, ANSWER_MAX);
            Timer::after(now, self.entropy.jittered(wait))
        });
        state.said = wanted.clone();
        Some(wanted)
    }

    /// The server says whether somebody is there.
    pub(super) fn on_presence(&mut self, seen: Seen) {
        let Seen { from: peer, available, last_seen } = seen;
        if !self.is_connected() || self.open_chat != Some(peer) {
            return;
        }
        let state = &mut self.availability;
        (state.answered, state.again, state.silences) = (Some(peer), None, 0);
        self.tell(Event::Presence { peer, available, last_seen });
    }
}
