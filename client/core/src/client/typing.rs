//! What people do in a chat just now: they type, they record. Nothing of it is stored.
//!
//! Invariants:
//! - what is said of the user leaves in the step that says it, or never;
//! - what is told of a peer ends: when they say so, when they write, when the connection is lost, or
//!   [`limits::CHAT_STATE_LIFE`] after they last said it.

use std::collections::BTreeMap;

use estafette_protocol::{Activity, ChatState, Doing, Millis, PhoneNumber, limits};

use super::Client;
use super::connection::Link;
use crate::clock::Timer;
use crate::{Effect, Event, StoreError};

/// What was said is not said again so soon.
const REPEAT: Millis = 3000;
/// The most peers whose activity is known at a time. Of more, nothing is told.
const PEERS_MAX: usize = 256;

/// What is not believed any more: the end of the step tells it.
const OVER: Timer = Timer::after(0, 0);

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// What leaves with this step.
    leaving: Option<ChatState>,
    /// What was said last on this connection, and until when it is not repeated.
    said: Option<(ChatState, Timer)>,
    /// What peers do, and until when it is believed.
    peers: BTreeMap<PhoneNumber, (Activity, Timer)>,
}

impl Typing {
    pub(super) fn depart(&mut self) -> Option<ChatState> {
        self.leaving.take()
    }

    /// Nobody would be heard to stop.
    pub(super) fn disconnected(&mut self) {
        (self.leaving, self.said) = (None, None);
        for (_, until) in self.peers.values_mut() {
            *until = OVER;
        }
    }

    /// Who has written types no more. The step that keeps the message tells it.
    pub(super) fn has_written(&mut self, peer: PhoneNumber) {
        if let Some((_, until)) = self.peers.get_mut(&peer) {
            *until = OVER;
        }
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        self.peers.values().map(|(_, until)| until.at()).min()
    }
}

impl Client {
    /// Says what the user does in the chat with a peer, if there is a connection. It is over after
    /// [`limits::CHAT_STATE_LIFE`], so a program says it again every few seconds; what is said more
    /// often than every 3 seconds does not leave.
    pub fn chat_state(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        state: Activity,
    ) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) = self.step(now, |client| {
            let typing = &mut client.typing;
            let state = ChatState { to: peer, state };
            let repeats =
                typing.said.is_some_and(|(said, until)| said == state && !until.is_due(now));
            let heard = matches!(client.link, Link::Ready { .. }) && peer != client.me.account;
            if heard && !repeats {
                typing.said = Some((state, Timer::after(now, REPEAT)));
                typing.leaving = Some(state);
            }
            Ok(())
        })?;
        Ok(effects)
    }

    /// The server says what somebody does.
    pub(super) fn on_chat_state(&mut self, now: Millis, doing: Doing) {
        let Doing { from: peer, state: activity } = doing;
        let peers = &mut self.typing.peers;
        let before = peers.get(&peer).map(|(activity, _)| *activity);
        if activity == Activity::Paused {
            peers.remove(&peer);
        } else if before.is_some() || peers.len() < PEERS_MAX {
            peers.insert(peer, (activity, Timer::after(now, limits::CHAT_STATE_LIFE)));
        } else {
            return;
        }
        if before.unwrap_or(Activity::Paused) != activity {
            self.tell(Event::Activity { peer, activity });
        }
    }

    /// Ends what is no longer believed.
    pub(super) fn on_typing_time(&mut self, now: Millis) {
        let mut over = Vec::new();
        self.typing.peers.retain(|peer, (_, until)| {
            if until.is_due(now) {
                over.push(*peer);
            }
            !until.is_due(now)
        });
        for peer in over {
            self.tell(Event::Activity { peer, activity: Activity::Paused });
        }
    }
}
