//! The ways to the members' mailboxes. In memory only: after a restart nobody is known to have been told, and
//! the alarm that is pending then has everybody told to look.

use std::collections::VecDeque;

use estafette_protocol::{ConversationId, Entry, PhoneNumber};
use litemap::LiteMap;

use super::call::{NewsAnswer, NewsRequest};
use crate::outgoing::entry_bytes;

/// What is kept of the end of the log, to be told. Who is further behind is told to look.
const RECENT_MAX: usize = 256;
const RECENT_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Default)]
struct Lane {
    /// How far the mailbox was told, or it was told to look.
    told: u64,
    /// How far it is to be told.
    wanted: u64,
    /// How far the call goes that is under way.
    under_way: Option<u64>,
    /// The last call was not answered.
    failed: bool,
    /// Nobody is connected there, or no account is.
    away: bool,
    /// Up to where all its devices are, as far as is known.
    passed: u64,
}

impl Lane {
    fn is_ready(&self) -> bool {
        self.wanted > self.told && self.under_way.is_none() && !self.failed && !self.away
    }
}

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    members: LiteMap<PhoneNumber, Lane>,
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    head: u64,
}

impl Lanes {
    pub(super) fn new(head: u64) -> Self {
        Self { head, ..Self::default() }
    }

    /// The log has this entry now.
    pub(super) fn recent(&mut self, entry: Entry) {
        self.recent_bytes += entry_bytes(&entry);
        self.recent.push_back(entry);
        while self.recent.len() > RECENT_MAX || self.recent_bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= entry_bytes(&oldest);
        }
    }

    /// These are to be told of the log up to this place.
    pub(super) fn tell(&mut self, members: impl IntoIterator<Item = PhoneNumber>, place: u64) {
        let before = std::mem::replace(&mut self.head, place);
        for member in members {
            let new = || Lane { told: before.min(place - 1), ..Lane::default() };
            self.members.entry(member).or_insert_with(new).wanted = place;
        }
    }

    /// An account asks for something: somebody is there, and has the log up to now, or asks on.
    pub(super) fn back(&mut self, account: PhoneNumber) {
        let head = self.head;
        let lane = self.members.entry(account).or_default();
        if lane.away {
            (lane.away, lane.told) = (false, head);
        }
        if lane.wanted == 0 {
            // Known from now on, with nothing to be told.
            (lane.told, lane.wanted) = (head, head);
        }
    }

    /// A mailbox has answered, or has not.
    pub(super) fn answered(&mut self, member: PhoneNumber, answer: Option<NewsAnswer>) {
        let Some(lane) = self.members.get_mut(&member) else { return };
        let Some(under_way) = lane.under_way.take() else { return };
        match answer {
            Some(NewsAnswer { live, passed, gone }) => {
                lane.told = lane.told.max(under_way);
                lane.passed = lane.passed.max(passed);
                lane.away = gone || !live;
            }
            None => lane.failed = true,
        }
    }

    /// Who was not reached is called again; and these, if nothing is known of them.
    pub(super) fn retry(&mut self, members: Vec<PhoneNumber>) {
        for (_, lane) in self.members.iter_mut() {
            lane.failed = false;
        }
        for member in members {
            let head = self.head;
            let unknown = || Lane { wanted: head, ..Lane::default() };
            self.members.entry(member).or_insert_with(unknown);
        }
    }

    /// Up to where all devices of a member are, as far as is known.
    pub(super) fn passed(&self, member: PhoneNumber) -> u64 {
        self.members.get(&member).map_or(0, |lane| lane.passed)
    }

    /// The calls that leave now.
    pub(super) fn depart(&mut self, conversation: ConversationId) -> Vec<NewsRequest> {
        let mut calls = Vec::new();
        let first = self.recent.front().map_or(u64::MAX, |entry| entry.place);
        for (&to, lane) in self.members.iter_mut().filter(|(_, lane)| lane.is_ready()) {
            lane.under_way = Some(lane.wanted);
            let is_known = first <= lane.told + 1;
            let new = self
                .recent
                .iter()
                .filter(|entry| is_known && entry.place > lane.told && entry.place <= lane.wanted);
            let entries: Vec<_> = new.cloned().collect();
            let wake = !is_known || entries.iter().any(|entry| entry.message.is_some());
            calls.push(NewsRequest { conversation, to, entries, wake });
        }
        calls
    }

    /// Whether everybody was told, or need not be.
    pub(super) fn is_idle(&self) -> bool {
        let busy = |lane: &Lane| lane.under_way.is_some() || lane.failed || lane.is_ready();
        !self.members.values().any(busy)
    }
}
