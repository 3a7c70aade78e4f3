//! What the server was asked, and has not answered.
//!
//! Invariants:
//! - a question that is not answered in time, or whose connection is lost, is forgotten: whoever asked looks at
//!   how things stand and asks again, or asks for something else;
//! - an answer is taken once.

use std::collections::BTreeMap;

use estafette_protocol::{ClientFrame, ConversationId, Millis, PhoneNumber};

use crate::clock::Timer;

/// How long to wait for an answer.
const ANSWER: Millis = 15_000;

/// What a question was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// How to get into a conversation.
    State(ConversationId),
    /// What has happened in it.
    Log(ConversationId),
    /// The commit that is pending in it.
    Commit(ConversationId),
    /// Key packages for it.
    Packages(ConversationId, PhoneNumber),
    /// Somebody's list of devices.
    List(PhoneNumber),
    /// Key packages of this device.
    Publish,
    /// An entry of this account's own list.
    Enlist,
}

impl Purpose {
    /// Which conversation waits for it.
    pub(super) fn conversation(self) -> Option<ConversationId> {
        match self {
            Self::State(id) | Self::Log(id) | Self::Commit(id) | Self::Packages(id, _) => Some(id),
            Self::List(_) | Self::Publish | Self::Enlist => None,
        }
    }
}

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Queries {
    last: u64,
    open: BTreeMap<u64, (Purpose, Timer)>,
    leaving: Vec<ClientFrame>,
}

impl Queries {
    /// Asks something with this step. `frame` is given the number of the query.
    pub(super) fn ask(
        &mut self,
        now: Millis,
        purpose: Purpose,
        frame: impl FnOnce(u64) -> ClientFrame,
    ) {
        self.last += 1;
        self.open.insert(self.last, (purpose, Timer::after(now, ANSWER)));
        self.leaving.push(frame(self.last));
    }

    /// Says something that is not answered.
    pub(super) fn say(&mut self, frame: ClientFrame) {
        self.leaving.push(frame);
    }

    /// The frames that leave now.
    pub(super) fn depart(&mut self) -> Vec<ClientFrame> {
        std::mem::take(&mut self.leaving)
    }

    /// What an answer is for; `None`: nobody waits for it any more.
    pub(super) fn answered(&mut self, query: u64) -> Option<Purpose> {
        self.open.remove(&query).map(|(purpose, _)| purpose)
    }

    /// Whether something is asked for this purpose.
    pub(super) fn is_open(&self, wanted: Purpose) -> bool {
        self.open.values().any(|(purpose, _)| *purpose == wanted)
    }

    /// Whether something is asked for this purpose, later than a query.
    pub(super) fn is_open_since(&self, wanted: Purpose, query: u64) -> bool {
        self.open.iter().any(|(open, (purpose, _))| *open > query && *purpose == wanted)
    }

    /// The number of the last query.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether something is asked for this conversation.
    pub(super) fn is_open_for(&self, id: ConversationId) -> bool {
        self.open.values().any(|(purpose, _)| purpose.conversation() == Some(id))
    }

    /// The server forgets what it was asked with the socket.
    pub(super) fn disconnected(&mut self) -> Vec<Purpose> {
        self.leaving.clear();
        std::mem::take(&mut self.open).into_values().map(|(purpose, _)| purpose).collect()
    }

    /// What was not answered in time.
    pub(super) fn overdue(&mut self, now: Millis) -> Vec<Purpose> {
        let due = self.open.iter().filter(|(_, (_, until))| until.is_due(now));
        let due: Vec<u64> = due.map(|(query, _)| *query).collect();
        due.into_iter().filter_map(|query| self.answered(query)).collect()
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        self.open.values().map(|(_, until)| until.at()).min()
    }
}
