//! Conversations: how this device gets into one, keeps up with it, and mends it.
//!
//! Nothing here is a script. [`Client::carry_on`] looks at how a conversation stands, and does the next thing that
//! it lacks; every answer, every loss and every new wish leads there again. So whatever goes wrong half-way, by
//! a crash or a race or a server that forgets, is met like a fresh start.
//!
//! Invariants:
//! - nothing is sealed while this device knows that it is behind, or that the group holds a leaf which its
//!   account does not list;
//! - of one conversation at most one question is open;
//! - a commit of this device is carried out only when the server says that it came first;
//! - a commit that this device refuses is never followed: it joins anew and removes what does not belong.

mod answers;

use std::collections::{BTreeMap, BTreeSet};

use estafette_protocol::{
    Body, ClientFrame, Commit, ConversationId, ErrorCode, FetchKeys, FetchLog, Millis, Package,
    PhoneNumber,
};

use super::Client;
use super::queries::Purpose;
use crate::clock::{Timer, doubled, take_due};
use crate::mls::{Change, Leaf, Lists as _, Made, MlsError, Occupant, Suspicion};
use crate::{Event, StoreError};

/// The first wait after something failed; twice as long each time.
const WAIT: Millis = 1000;
/// The longest such wait.
const WAIT_MAX: Millis = 5 * 60 * 1000;

/// What this device knows of a conversation beyond its store.
#[derive(Debug, Default)]
struct Standing {
    /// The server said that nobody has made it.
    absent: bool,
    /// There is more in the log than this device has carried out.
    behind: bool,
    /// It was asked for, and nothing has come since that may be newer.
    looking: bool,
    /// This device has carried out the whole log, as it was after what came last.
    whole: bool,
    /// Everything is as it should be: what is to be sent may be sealed.
    ready: bool,
    /// Key packages that were fetched for it, by whose they are.
    packages: BTreeMap<PhoneNumber, Vec<Package>>,
    /// Devices of which their accounts' lists say something else than the group, and the last query before
    /// that was noticed: the lists are asked for again.
    unknown: BTreeMap<Leaf, u64>,
    /// Welcomes of commits from this place on are for other devices.
    before: Option<u64>,
    /// A Welcome has led nowhere.
    unwelcome: bool,
    /// Devices that are not in it, and could not be added by this start of the client.
    unreachable: BTreeSet<Leaf>,
    /// Nothing is tried before.
    wait: Option<Timer>,
    failures: u32,
}

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    known: BTreeMap<ConversationId, Standing>,
    /// Those to look at with this step.
    due: BTreeSet<ConversationId>,
}

impl Conversations {
    /// Has the conversation looked at with this step.
    pub(super) fn look_at(&mut self, id: ConversationId) {
        self.due.insert(id);
    }

    /// There is more in the log.
    pub(super) fn is_behind(&mut self, id: ConversationId) {
        let standing = self.known.entry(id).or_default();
        (standing.behind, standing.ready) = (true, false);
        (standing.looking, standing.whole) = (false, false);
        self.due.insert(id);
    }

    pub(super) fn is_ready(&self, id: ConversationId) -> bool {
        self.known.get(&id).is_some_and(|standing| standing.ready)
    }

    /// Somebody's list of devices has changed: who talks with them looks again.
    pub(super) fn relist(&mut self, ids: impl IntoIterator<Item = ConversationId>) {
        for id in ids {
            if let Some(standing) = self.known.get_mut(&id) {
                standing.ready = false;
                standing.unreachable.clear();
            }
            self.due.insert(id);
        }
    }

    /// A list was not to be had: who waits for it tries again later.
    pub(super) fn wait_for_list(&mut self, now: Millis, of: PhoneNumber, at_least: Millis) {
        let ids: Vec<_> = self.known.keys().copied().collect();
        for id in ids {
            let waits =
                |standing: &Standing| standing.unknown.keys().any(|leaf| leaf.account == of);
            if self.known.get(&id).is_some_and(waits) {
                self.wait(now, id, at_least);
            } else {
                self.look_at(id);
            }
        }
    }

    /// What was asked is not answered any more.
    pub(super) fn disconnected(&mut self, open: &[Purpose]) {
        for standing in self.known.values_mut() {
            (standing.ready, standing.absent, standing.wait) = (false, false, None);
            standing.packages.clear();
        }
        for purpose in open {
            if let Purpose::Commit(id) = purpose {
                self.known.entry(*id).or_default().behind = true;
            }
        }
    }

    /// Everything is looked at again.
    pub(super) fn look_at_all(&mut self) {
        self.due.extend(self.known.keys());
    }

    pub(super) fn on_time(&mut self, now: Millis) {
        for (id, standing) in &mut self.known {
            if take_due(&mut standing.wait, now) {
                self.due.insert(*id);
            }
        }
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        self.known.values().filter_map(|standing| standing.wait.map(Timer::at)).min()
    }

    fn of(&mut self, id: ConversationId) -> &mut Standing {
        self.known.entry(id).or_default()
    }

    /// Tries again later.
    fn wait(&mut self, now: Millis, id: ConversationId, at_least: Millis) {
        let standing = self.of(id);
        let wait = doubled(WAIT, standing.failures, WAIT_MAX).max(at_least);
        standing.failures = standing.failures.saturating_add(1);
        standing.wait = Some(Timer::after(now, wait));
    }
}

impl Client {
    /// Does what this device's keys and the conversations that are due lack.
    pub(super) fn advance_sealing(&mut self, now: Millis) -> Result<(), StoreError> {
        for purpose in self.queries.overdue(now) {
            match purpose {
                // It may have been carried out: the log tells.
                Purpose::Commit(id) => self.conversations.is_behind(id),
                other => self.conversations.due.extend(other.conversation()),
            }
        }
        self.conversations.on_time(now);
        let lacks_keys = self.keys_lack(now);
        if !lacks_keys && (!self.is_connected() || self.conversations.due.is_empty()) {
            return Ok(());
        }
        self.store.begin()?;
        let done = if lacks_keys { self.advance_keys(now) } else { Ok(()) };
        let done = done.and_then(|()| {
            while let Some(id) = self.conversations.due.pop_first() {
                self.carry_on(now, id)?;
            }
            Ok(())
        });
        self.store.end(done)
    }

    /// The server has greeted this device: whatever has something to say or to open is looked at.
    pub(super) fn conversations_at_greeting(&mut self) -> Result<(), StoreError> {
        let me = self.me.account;
        let spoken = self.outbox.peers().map(|peer| ConversationId::direct(me, peer));
        self.conversations.due.extend(spoken);
        self.conversations.due.extend(self.store.sealed_conversations()?);
        self.conversations.look_at_all();
        Ok(())
    }

    /// Does the next thing that a conversation lacks.
    fn carry_on(&mut self, now: Millis, id: ConversationId) -> Result<(), StoreError> {
        let standing = self.conversations.of(id);
        standing.ready = false;
        let waits = standing.wait.is_some();
        let (behind, absent) = (standing.behind, standing.absent);
        let unknown = standing.unknown.clone();
        if waits || !self.keys_are_published() || self.queries.is_open_for(id) {
            return Ok(());
        }
        let accounts = self.accounts_of(id)?;
        let mut lacks = self.lacks_lists(now, &accounts)?;
        for (leaf, query) in unknown {
            if self.keyring.heard(leaf.account) <= query {
                self.ask_for_newer_list(now, leaf.account, query);
                lacks = true;
            }
        }
        if lacks {
            return Ok(());
        }
        let writes = self.peer_of(id).is_some_and(|peer| self.outbox.has(peer));
        if writes && self.lacks_fresh_lists(now, &accounts) {
            return Ok(());
        }
        let Some(place) = self.store.log_place(id)? else {
            return match absent {
                true => self.make(now, id, &accounts),
                false => self.ask_for_state(now, id),
            };
        };
        if behind && self.may_catch_up(id)? {
            self.conversations.of(id).looking = true;
            let (conversation, after) = (id, Some(place));
            self.queries.ask(now, Purpose::Log(id), |query| {
                ClientFrame::FetchLog(FetchLog { query, conversation, after, before: None })
            });
            return Ok(());
        }
        if behind || self.mend(now, id, &accounts)? {
            return Ok(());
        }
        let whole = self.conversations.of(id).whole;
        self.open_sealed(now, id, whole)?;
        if self.store.has_sealed(id)? {
            self.conversations.is_behind(id);
            return Ok(());
        }
        let standing = self.conversations.of(id);
        (standing.ready, standing.failures) = (true, 0);
        Ok(())
    }

    /// While messages of an earlier epoch may still be on their way, its end is not carried out: they are
    /// delivered in order, and the first of a later epoch asks for it.
    fn may_catch_up(&self, id: ConversationId) -> Result<bool, StoreError> {
        Ok(self.drained || id.parties().is_none() || self.store.has_sealed(id)?)
    }

    /// The accounts of a conversation.
    fn accounts_of(&mut self, id: ConversationId) -> Result<Vec<PhoneNumber>, StoreError> {
        Ok(match id.parties() {
            Some((one, other)) if one == other => vec![one],
            Some((one, other)) => vec![one, other],
            None => {
                let roster = self.mls.roster(&self.store, id)?;
                let members = roster.map(|roster| roster.members).unwrap_or_default();
                members.into_iter().map(|member| member.account).collect()
            }
        })
    }

    fn ask_for_state(&mut self, now: Millis, id: ConversationId) -> Result<(), StoreError> {
        // What an earlier attempt has left.
        self.mls.forget(&self.store, id)?;
        let before = self.conversations.of(id).before;
        self.queries.ask(now, Purpose::State(id), |query| {
            ClientFrame::FetchLog(FetchLog { query, conversation: id, after: None, before })
        });
        Ok(())
    }

    /// Makes a conversation that nobody has made, if there is something to say in it.
    fn make(
        &mut self,
        now: Millis,
        id: ConversationId,
        accounts: &[PhoneNumber],
    ) -> Result<(), StoreError> {
        let peer = self.peer_of(id);
        if peer.is_none_or(|peer| !self.outbox.has(peer)) {
            // What came in for a conversation that nobody has made can never be opened.
            return self.give_up_sealed(id);
        }
        let mut packages = Vec::new();
        for &account in accounts {
            let Some(found) = self.conversations.of(id).packages.get(&account) else {
                if account == self.me.account && !self.has_siblings() {
                    continue;
                }
                self.ask_for_packages(now, id, account);
                return Ok(());
            };
            packages.extend(found.iter().map(|package| {
                (Leaf { account, device: package.device }, package.package.0.clone())
            }));
        }
        self.conversations.of(id).packages.clear();
        if peer.is_some_and(|peer| {
            peer != self.me.account && !packages.iter().any(|(leaf, _)| leaf.account == peer)
        }) {
            // They have no device that can read: until they have.
            self.conversations.wait(now, id, 0);
            return Ok(());
        }
        match self.mls.create(&self.store, id, None, &packages, &self.keyring) {
            // Nobody could be added.
            Ok(made) if made.welcome.is_none() && peer != Some(self.me.account) => {
                self.mls.forget(&self.store, id)?;
                self.conversations.wait(now, id, 0);
            }
            Ok(made) => self.ask_to_commit(now, id, made),
            Err(error) => return self.failed(now, id, error),
        }
        Ok(())
    }

    fn ask_for_packages(&mut self, now: Millis, id: ConversationId, of: PhoneNumber) {
        let after = self.keyring.place(of).saturating_sub(1);
        self.queries.ask(now, Purpose::Packages(id, of), |query| {
            ClientFrame::FetchKeys(FetchKeys { query, of, after, packages: true })
        });
    }

    fn ask_to_commit(&mut self, now: Millis, id: ConversationId, made: Made) {
        let Made { epoch, commit, info, welcome, roster } = made;
        let (commit, info, welcome) = (Body(commit), Body(info), welcome.map(Body));
        self.queries.ask(now, Purpose::Commit(id), |query| {
            ClientFrame::Commit(Box::new(Commit {
                query,
                conversation: id,
                epoch,
                commit,
                info,
                welcome,
                roster,
            }))
        });
    }

    /// Removes from a conversation who does not belong there, and adds who does. Returns whether something is
    /// to be waited for.
    fn mend(
        &mut self,
        now: Millis,
        id: ConversationId,
        accounts: &[PhoneNumber],
    ) -> Result<bool, StoreError> {
        let (mut remove, mut unlisted, mut present) = (Vec::new(), Vec::new(), BTreeSet::new());
        for Occupant { index, leaf, key } in self.mls.occupants(&self.store, id)? {
            let genuine = leaf.filter(|leaf| {
                accounts.contains(&leaf.account) && self.keyring.identity_key(*leaf) == Some(key)
            });
            match (genuine, leaf) {
                (Some(leaf), _) => drop(present.insert(leaf)),
                (None, Some(leaf)) if accounts.contains(&leaf.account) => {
                    unlisted.push((index, leaf));
                }
                (None, _) => remove.push(index),
            }
        }
        for (index, leaf) in unlisted {
            // It may be newer than the list that was seen.
            if !self.list_says_so(now, id, leaf) {
                return Ok(true);
            }
            remove.push(index);
        }
        let listed = accounts.iter().flat_map(|account| self.keyring.leaves(*account));
        let missing: Vec<Leaf> = listed.filter(|leaf| !present.contains(leaf)).collect();
        let standing = self.conversations.of(id);
        let mut add = Vec::new();
        for leaf in missing {
            if standing.unreachable.contains(&leaf) {
                continue;
            }
            let Some(packages) = standing.packages.get(&leaf.account) else {
                self.ask_for_packages(now, id, leaf.account);
                return Ok(true);
            };
            match packages.iter().find(|package| package.device == leaf.device) {
                Some(package) => add.push((leaf, package.package.0.clone())),
                None => drop(standing.unreachable.insert(leaf)),
            }
        }
        standing.packages.clear();
        if add.is_empty() && remove.is_empty() {
            return Ok(false);
        }
        // What is in a package that cannot be added is tried once.
        standing.unreachable.extend(add.iter().map(|(leaf, _)| *leaf));
        let change = Change { add, remove, roster: None };
        match self.mls.commit(&self.store, id, change, &self.keyring) {
            Ok(made) => self.ask_to_commit(now, id, made),
            Err(error) => self.failed(now, id, error)?,
        }
        Ok(true)
    }

    /// Whether an account's list says the same of a device as it did when that was noticed: it is asked for
    /// again.
    fn list_says_so(&mut self, now: Millis, id: ConversationId, leaf: Leaf) -> bool {
        let (last, heard) = (self.queries.last(), self.keyring.heard(leaf.account));
        let unknown = &mut self.conversations.of(id).unknown;
        let noticed = *unknown.entry(leaf).or_insert(last);
        if heard > noticed {
            unknown.remove(&leaf);
            return true;
        }
        self.ask_for_newer_list(now, leaf.account, noticed);
        false
    }

    /// Something could not be done: for want of a list, which is asked for; or for another reason, and it is
    /// tried again later.
    fn failed(
        &mut self,
        now: Millis,
        id: ConversationId,
        error: MlsError,
    ) -> Result<(), StoreError> {
        match error {
            MlsError::Store(error) => return Err(error),
            MlsError::UnknownDevice(leaf) | MlsError::StillListed(leaf) => {
                if self.list_says_so(now, id, leaf) {
                    // Its account says the same.
                    let suspicion = match error {
                        MlsError::StillListed(_) => Suspicion::Removed(leaf),
                        _ => Suspicion::Ghost(leaf),
                    };
                    return self.rejoin(now, id, suspicion);
                }
            }
            MlsError::Suspicious(suspicion) => self.rejoin(now, id, suspicion)?,
            _ => {
                self.mls.abandon(&self.store, id)?;
                self.conversations.wait(now, id, 0);
            }
        }
        Ok(())
    }

    /// What came does not belong: this device follows no further, and joins anew.
    fn rejoin(
        &mut self,
        now: Millis,
        id: ConversationId,
        suspicion: Suspicion,
    ) -> Result<(), StoreError> {
        self.tell(Event::Suspicious { conversation: id, suspicion });
        self.leave_group(id)?;
        self.conversations.wait(now, id, 0);
        Ok(())
    }

    /// This device's state of the group is gone.
    fn leave_group(&mut self, id: ConversationId) -> Result<(), StoreError> {
        self.mls.forget(&self.store, id)?;
        self.store.forget_log(id)?;
        let standing = self.conversations.of(id);
        (standing.behind, standing.ready, standing.unwelcome) = (false, false, true);
        self.conversations.look_at(id);
        Ok(())
    }

    /// Something is to be sent to a peer.
    pub(super) fn has_to_say(&mut self, peer: PhoneNumber) {
        let id = self.conversation_with(peer);
        if !self.conversations.is_ready(id) {
            self.conversations.look_at(id);
        }
    }

    /// Somebody has no account: what is for them is given up.
    fn nobody_there(&mut self, of: PhoneNumber) -> Result<(), StoreError> {
        for queued in self.outbox.unsettled(of) {
            let failed = self.store.give_up(queued.peer, queued.id)?;
            self.outbox.give_up(queued.id);
            if failed {
                let (peer, id, code) = (queued.peer, queued.id, ErrorCode::Unregistered);
                self.tell(Event::Failed { peer, id, code });
            }
        }
        Ok(())
    }

    /// Who is at the other end of a conversation of two.
    pub(super) fn peer_of(&self, id: ConversationId) -> Option<PhoneNumber> {
        let (one, other) = id.parties()?;
        Some(if one == self.me.account { other } else { one })
    }

    /// The conversation with a peer.
    pub(super) fn conversation_with(&self, peer: PhoneNumber) -> ConversationId {
        ConversationId::direct(self.me.account, peer)
    }
}
