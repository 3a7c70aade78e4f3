//! What the server answers and tells about conversations.

use estafette_protocol::{
    ClientFrame, ConversationId, Denied, Entry, ErrorCode, GroupState, Keys, Log, Millis, News,
    Passed, Posted,
};

use crate::StoreError;
use crate::client::Client;
use crate::client::queries::Purpose;
use crate::mls::{Leaf, MlsError};

impl Client {
    /// The server tells how to get into a conversation.
    fn on_state(
        &mut self,
        now: Millis,
        id: ConversationId,
        state: GroupState,
        head: u64,
    ) -> Result<(), StoreError> {
        let unwelcome = self.conversations.of(id).unwelcome;
        if let Some(welcome) = state.welcome.filter(|_| !unwelcome) {
            match self.mls.join_welcome(&self.store, id, &welcome.welcome.0) {
                Ok(()) => {
                    self.store.set_log_place(id, welcome.place)?;
                    self.conversations.of(id).behind = welcome.place < head;
                    return Ok(());
                }
                Err(MlsError::Store(error)) => return Err(error),
                // It was for another device, or for what this one has lost. An earlier one may open.
                Err(_) => {
                    self.conversations.of(id).before = Some(welcome.place);
                    return Ok(());
                }
            }
        }
        match self.mls.join_external(&self.store, id, &state.info.0) {
            Ok(made) => self.ask_to_commit(now, id, made),
            Err(error) => self.failed(now, id, error)?,
        }
        Ok(())
    }

    /// The server tells what has happened in a conversation.
    pub(in crate::client) fn on_log(&mut self, now: Millis, log: Log) -> Result<(), StoreError> {
        let id = log.conversation;
        match self.queries.answered(log.query) {
            Some(Purpose::State(asked)) if asked == id => {
                self.conversations.look_at(id);
                match log.state {
                    Some(state) => self.on_state(now, id, state, log.head),
                    None => Ok(()),
                }
            }
            Some(Purpose::Log(asked)) if asked == id => {
                self.conversations.look_at(id);
                let before = self.store.log_place(id)?;
                let place = self.carry_out(now, id, log.entries)?;
                if place < log.head {
                    // A server that keeps the rest to itself is not asked in haste.
                    let mut unknown = self.conversations.of(id).unknown.iter();
                    let waits =
                        unknown.any(|(leaf, query)| self.keyring.heard(leaf.account) <= *query);
                    if before == Some(place) && !waits {
                        self.conversations.wait(now, id, 0);
                    }
                    return Ok(());
                }
                // The whole log is here, and no commit of this device in it that it still waits for.
                self.mls.abandon(&self.store, id)?;
                let standing = self.conversations.of(id);
                (standing.behind, standing.whole) = (!standing.looking, standing.looking);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Carries out entries of a log. Returns how far it has come.
    pub(in crate::client) fn carry_out(
        &mut self,
        now: Millis,
        id: ConversationId,
        entries: Vec<Entry>,
    ) -> Result<u64, StoreError> {
        let Some(mut place) = self.store.log_place(id)? else { return Ok(0) };
        let before = place;
        for account in self.accounts_of(id)? {
            self.keyring.load(&self.store, account)?;
        }
        for entry in entries {
            if entry.place <= place {
                continue;
            }
            if entry.place > place + 1 {
                // What was between is gone.
                self.leave_group(id)?;
                return Ok(0);
            }
            if let Some(commit) = &entry.commit {
                if self.waits_for_earlier(now, id)? {
                    break;
                }
                let (from, device) = (entry.from, entry.device);
                match self.follow(id, Leaf { account: from, device }, &commit.0) {
                    Ok(()) => {}
                    // It cannot be followed, now or later: what comes after it is reached by joining anew.
                    Err(MlsError::Invalid(_) | MlsError::FutureEpoch) => {
                        self.leave_group(id)?;
                        return Ok(0);
                    }
                    // The commit that this device joined with.
                    Err(MlsError::PastEpoch) => {}
                    Err(error) => {
                        self.failed(now, id, error)?;
                        break;
                    }
                }
                if self.store.log_place(id)?.is_none() {
                    return Ok(0);
                }
            }
            place = entry.place;
        }
        if place > before && self.store.log_place(id)?.is_some() {
            self.store.set_log_place(id, place)?;
            self.queries.say(ClientFrame::Passed(Passed { conversation: id, place }));
        }
        Ok(place)
    }

    /// Whether something that waits to be opened is of the present epoch.
    fn waits_for_earlier(&mut self, now: Millis, id: ConversationId) -> Result<bool, StoreError> {
        self.open_sealed(now, id, false)?;
        let Some(next) = self.store.next_sealed(id)? else { return Ok(false) };
        let header = crate::mls::header(&next.deliver.body.0);
        let epoch = self.mls.epoch(&self.store, id)?;
        Ok(header.zip(epoch).is_some_and(|(header, epoch)| header.epoch <= epoch))
    }

    fn follow(&mut self, id: ConversationId, from: Leaf, commit: &[u8]) -> Result<(), MlsError> {
        let done = self.mls.receive_commit(&self.store, id, commit, from, &self.keyring)?;
        if done.out {
            self.leave_group(id)?;
        }
        Ok(())
    }

    /// The server has carried out what was asked.
    pub(in crate::client) fn on_done(
        &mut self,
        query: u64,
        place: Option<u64>,
    ) -> Result<(), StoreError> {
        match self.queries.answered(query) {
            Some(Purpose::Commit(id)) => {
                self.conversations.look_at(id);
                let place = place.unwrap_or(0);
                // An entry that came in between was carried out, or is to be.
                let follows = self.store.log_place(id)?.is_none_or(|before| before + 1 == place);
                if !follows {
                    self.conversations.is_behind(id);
                    return Ok(());
                }
                match self.mls.confirm(&self.store, id) {
                    Ok(()) => self.store.set_log_place(id, place),
                    Err(MlsError::Store(error)) => Err(error),
                    Err(_) => self.leave_group(id),
                }
            }
            Some(purpose) => self.published(purpose),
            None => Ok(()),
        }
    }

    /// The server has not carried out what was asked.
    pub(in crate::client) fn on_denied(
        &mut self,
        now: Millis,
        denied: Denied,
    ) -> Result<(), StoreError> {
        let Denied { query, code, retry_after } = denied;
        let Some(purpose) = self.queries.answered(query) else { return Ok(()) };
        let wait = retry_after.unwrap_or(0);
        if let Some(id) = purpose.conversation() {
            self.conversations.look_at(id);
            return self.denied(now, id, purpose, code, wait);
        }
        self.keys_denied(now, (query, purpose), code, wait);
        Ok(())
    }

    fn denied(
        &mut self,
        now: Millis,
        id: ConversationId,
        purpose: Purpose,
        code: ErrorCode,
        wait: Millis,
    ) -> Result<(), StoreError> {
        match (purpose, code) {
            (Purpose::State(_) | Purpose::Log(_), ErrorCode::NoConversation) => {
                self.leave_group(id)?;
                self.conversations.of(id).absent = true;
            }
            (Purpose::Commit(_), ErrorCode::StaleEpoch) => {
                // The winner is in the log; following it drops what this device has pending.
                if self.store.log_place(id)?.is_some() {
                    self.conversations.is_behind(id);
                } else {
                    self.conversations.of(id).absent = false;
                }
            }
            (Purpose::Packages(_, of), ErrorCode::Unregistered) => {
                self.nobody_there(of)?;
            }
            _ => {
                if matches!(purpose, Purpose::Commit(_)) {
                    self.mls.abandon(&self.store, id)?;
                }
                self.conversations.wait(now, id, wait);
            }
        }
        Ok(())
    }

    /// Entries were just made in a conversation.
    pub(in crate::client) fn on_posted(
        &mut self,
        now: Millis,
        posted: Posted,
    ) -> Result<(), StoreError> {
        let Posted { conversation: id, entries } = posted;
        self.conversations.look_at(id);
        let place = self.store.log_place(id)?;
        let first = entries.first().map(|entry| entry.place);
        let last = entries.last().map(|entry| entry.place);
        let follows = place.zip(first).is_some_and(|(place, first)| first <= place + 1);
        // Where this device waits for an answer about the log, that tells of these too.
        if follows && !self.queries.is_open_for(id) && self.may_catch_up(id)? {
            let place = self.carry_out(now, id, entries)?;
            if last.is_some_and(|last| last <= place) {
                return Ok(());
            }
        }
        self.conversations.is_behind(id);
        Ok(())
    }

    /// These conversations may hold what this device has not seen.
    pub(in crate::client) fn on_news(&mut self, news: &News) {
        for id in &news.conversations {
            self.conversations.is_behind(*id);
        }
    }

    /// The server tells an account's devices, and maybe key packages of them.
    pub(in crate::client) fn on_keys(&mut self, now: Millis, keys: Keys) -> Result<(), StoreError> {
        let Some(purpose) = self.queries.answered(keys.query) else { return Ok(()) };
        match purpose {
            Purpose::Packages(id, of) => {
                self.conversations.look_at(id);
                self.keyring.has_heard(of, keys.query);
                self.learn_list(now, of, keys.first, &keys.entries)?;
                self.compare_list(of, keys.query);
                self.conversations.of(id).packages.insert(of, keys.packages);
            }
            Purpose::List(of) => {
                self.keyring.has_heard(of, keys.query);
                self.learn_list(now, of, keys.first, &keys.entries)?;
                self.compare_list(of, keys.query);
            }
            _ => {}
        }
        Ok(())
    }
}
