//! This device's keys, as others are to find them; and the lists of the devices of others.
//!
//! Invariants:
//! - nothing is said in a conversation before this device is on its account's list and others can find keys of
//!   it: who answered could not reach it;
//! - a list that was seen is never replaced by one that does not go on from it, but when the account has
//!   another key, and then the user is told.

use std::collections::{BTreeMap, BTreeSet};

use estafette_protocol::{
    Body, ClientFrame, ConversationId, Enlist, ErrorCode, FetchKeys, Millis, PhoneNumber,
    PublishKeys,
};

use super::Client;
use super::queries::Purpose;
use crate::clock::{Timer, doubled, take_due};
use crate::mls::{DeviceList, Head, Leaf, ListError, Lists};
use crate::store::Setting;
use crate::{Event, Store, StoreError};

/// The first wait after something failed; twice as long each time.
const WAIT: Millis = 1000;
/// The longest such wait.
const WAIT_MAX: Millis = 5 * 60 * 1000;

/// The lists of devices that were seen.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    lists: BTreeMap<PhoneNumber, DeviceList>,
    /// Those that were asked for on this connection.
    fresh: BTreeSet<PhoneNumber>,
    /// How far lists go by what their accounts' devices say, and the last query before that was heard.
    expected: BTreeMap<PhoneNumber, (Head, u64)>,
    /// The last query of each account's list that was answered.
    heard: BTreeMap<PhoneNumber, u64>,
    /// Those of which the whole is to be seen: what the server told does not go on from what was.
    whole: BTreeSet<PhoneNumber>,
}

impl Lists for Keyring {
    fn identity_key(&self, leaf: Leaf) -> Option<[u8; 32]> {
        self.lists.get(&leaf.account)?.identity_key(leaf.device)
    }
}

impl Keyring {
    /// Brings a list into memory, as the store has it. Returns whether anything was seen of it.
    pub(super) fn load(&mut self, store: &Store, account: PhoneNumber) -> Result<bool, StoreError> {
        if let Some(list) = self.lists.get(&account) {
            return Ok(list.head().place > 0);
        }
        let mut list = DeviceList::new(account);
        for entry in store.list_entries(account)? {
            list.extend(&entry).or(Err(StoreError::Corrupt))?;
        }
        let seen = list.head().place > 0;
        self.lists.insert(account, list);
        Ok(seen)
    }

    pub(super) fn leaves(&self, account: PhoneNumber) -> impl Iterator<Item = Leaf> {
        self.lists.get(&account).into_iter().flat_map(DeviceList::leaves)
    }

    /// How far the list goes that was seen.
    pub(super) fn place(&self, account: PhoneNumber) -> u64 {
        self.head(account).place
    }

    pub(super) fn head(&self, account: PhoneNumber) -> Head {
        self.lists.get(&account).map(DeviceList::head).unwrap_or_default()
    }

    pub(super) fn key(&self, account: PhoneNumber) -> Option<[u8; 32]> {
        self.lists.get(&account)?.key()
    }

    /// What is in memory may be ahead of the store.
    pub(super) fn discard(&mut self) {
        self.lists.clear();
    }

    /// A query of an account's list was answered.
    pub(super) fn has_heard(&mut self, account: PhoneNumber, query: u64) {
        self.heard.insert(account, query);
    }

    /// The last query of an account's list that was answered.
    pub(super) fn heard(&self, account: PhoneNumber) -> u64 {
        self.heard.get(&account).copied().unwrap_or(0)
    }
}

/// How this device's own keys stand with the server.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// How many key packages are left there, as the greeting said; `None`: none were ever published.
    left: Option<u64>,
    /// What the store has kept opens them.
    published: bool,
    enlisted: bool,
    /// The entry that the server is asked to append.
    enlisting: Option<Vec<u8>>,
    wait: Option<Timer>,
    failures: u32,
}

impl Publishing {
    pub(super) fn next_time(&self) -> Option<Millis> {
        self.wait.map(Timer::at)
    }

    pub(super) fn disconnected(&mut self) {
        self.wait = None;
    }
}

impl Client {
    /// The server has greeted this device, and said how many of its key packages are left.
    pub(super) fn keys_at_greeting(&mut self, left: Option<u64>) -> Result<(), StoreError> {
        self.keyring.fresh.clear();
        // Looked at again, and with it what the other devices of the account have added.
        self.publishing.enlisted = false;
        let kept = self.store.setting(Setting::KeysPublished)?.is_some();
        let low = self.config.key_packages.div_ceil(5) as u64;
        let enough = left.is_some_and(|left| left >= low);
        self.publishing.left = left.filter(|_| kept);
        self.publishing.published = kept && enough;
        Ok(())
    }

    pub(super) fn keys_are_published(&self) -> bool {
        self.publishing.published && self.publishing.enlisted
    }

    pub(super) fn keys_lack(&mut self, now: Millis) -> bool {
        take_due(&mut self.publishing.wait, now);
        self.is_connected()
            && self.publishing.wait.is_none()
            && !self.keys_are_published()
            && ![Purpose::Publish, Purpose::Enlist, Purpose::List(self.me.account)]
                .into_iter()
                .any(|purpose| self.queries.is_open(purpose))
    }

    /// Does the next thing that this device's keys lack. Within a transaction.
    pub(super) fn advance_keys(&mut self, now: Millis) -> Result<(), StoreError> {
        let me = self.me.account;
        if !self.publishing.published {
            return self.publish(now);
        }
        let seen = self.keyring.load(&self.store, me)?;
        let own = Leaf { account: me, device: self.me.device };
        let key = self.account_key.public();
        let is_listed = self.keyring.identity_key(own) == Some(self.mls.identity_key());
        let is_fresh = self.keyring.fresh.contains(&me);
        if !is_fresh {
            self.ask_for_list(now, me);
        }
        if is_listed && self.keyring.key(me) == Some(key) {
            self.publishing.enlisted = true;
            self.tell(Event::Reachable);
            self.conversations.look_at_all();
            return Ok(());
        }
        if !is_fresh {
            return Ok(());
        }
        // The number was registered anew: so is its list.
        let anew = seen && self.keyring.key(me) != Some(key);
        let list = match self.keyring.lists.get(&me) {
            Some(list) if !anew => list.clone(),
            _ => DeviceList::new(me),
        };
        let at = self.clock.corrected(now);
        let identity = self.mls.identity_key();
        let entry = list.next(&self.account_key, own.device, Some(&identity), at);
        let place = list.head().place + 1;
        self.publishing.enlisting = Some(entry.clone());
        self.queries.ask(now, Purpose::Enlist, |query| {
            ClientFrame::Enlist(Enlist { query, place, entry: Body(entry), anew })
        });
        Ok(())
    }

    fn publish(&mut self, now: Millis) -> Result<(), StoreError> {
        let (anew, left) = match self.publishing.left {
            None => (true, 0),
            Some(left) => (false, left),
        };
        let wanted = self.config.key_packages.saturating_sub(left as usize);
        let made = self.mls.key_packages(&self.store, wanted, false);
        let last = if anew { self.mls.key_packages(&self.store, 1, true) } else { Ok(Vec::new()) };
        let (Ok(packages), Ok(last)) = (made, last) else {
            self.keys_wait(now, 0);
            return Ok(());
        };
        let packages = packages.into_iter().map(Body).collect();
        let last_resort = last.into_iter().next().map(Body);
        self.queries.ask(now, Purpose::Publish, |query| {
            ClientFrame::PublishKeys(PublishKeys { query, packages, last_resort, anew })
        });
        Ok(())
    }

    /// The server has taken what was published.
    pub(super) fn published(&mut self, purpose: Purpose) -> Result<(), StoreError> {
        self.publishing.failures = 0;
        match purpose {
            Purpose::Publish => {
                self.publishing.published = true;
                self.store.set(Setting::KeysPublished, 1)
            }
            Purpose::Enlist => match self.publishing.enlisting.take() {
                Some(entry) => self.take_own_entry(&entry),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn take_own_entry(&mut self, entry: &[u8]) -> Result<(), StoreError> {
        let me = self.me.account;
        self.keyring.load(&self.store, me)?;
        if self.keyring.key(me).is_some_and(|key| key != self.account_key.public()) {
            self.store.forget_list(me)?;
            self.keyring.lists.remove(&me);
        }
        let list = self.keyring.lists.entry(me).or_insert_with(|| DeviceList::new(me));
        if list.extend(entry).is_ok() {
            self.store.add_list_entry(me, list.head().place, entry)?;
        }
        Ok(())
    }

    pub(super) fn keys_denied(
        &mut self,
        now: Millis,
        (query, purpose): (u64, Purpose),
        code: ErrorCode,
        wait: Millis,
    ) {
        if purpose == Purpose::Enlist && code == ErrorCode::StaleList {
            self.keyring.fresh.remove(&self.me.account);
            return;
        }
        if let Purpose::List(of) = purpose {
            // Of nobody there is no list.
            self.keyring.fresh.insert(of);
            if code == ErrorCode::Unregistered {
                self.keyring.heard.insert(of, query);
                self.conversations.look_at_all();
                return;
            }
            self.conversations.wait_for_list(now, of, wait);
        }
        self.keys_wait(now, wait);
    }

    fn keys_wait(&mut self, now: Millis, at_least: Millis) {
        let wait = doubled(WAIT, self.publishing.failures, WAIT_MAX).max(at_least);
        self.publishing.failures = self.publishing.failures.saturating_add(1);
        self.publishing.wait = Some(Timer::after(now, wait));
    }

    /// The server says that an account's list may be another.
    pub(super) fn keys_may_have_changed(&mut self, now: Millis, of: PhoneNumber) {
        if self.keys_are_published() {
            self.ask_for_newer_list(now, of, self.queries.last());
        }
    }

    /// Asks for those lists that were not asked for on this connection: there may be new devices. Returns
    /// whether one is to be waited for.
    pub(super) fn lacks_fresh_lists(&mut self, now: Millis, accounts: &[PhoneNumber]) -> bool {
        let mut lacks = false;
        for &account in accounts {
            if !self.keyring.fresh.contains(&account) {
                lacks = true;
                self.ask_for_list(now, account);
            }
        }
        lacks
    }

    /// Asks for a list, unless that is under way.
    fn ask_for_list(&mut self, now: Millis, of: PhoneNumber) {
        self.ask_for_newer_list(now, of, 0);
    }

    /// Asks for a list, unless that was done after a query.
    pub(super) fn ask_for_newer_list(&mut self, now: Millis, of: PhoneNumber, query: u64) {
        if self.queries.is_open_since(Purpose::List(of), query) {
            return;
        }
        let whole = self.keyring.whole.contains(&of);
        let after = if whole { 0 } else { self.keyring.place(of).saturating_sub(1) };
        self.queries.ask(now, Purpose::List(of), |query| {
            ClientFrame::FetchKeys(FetchKeys { query, of, after, packages: false })
        });
    }

    /// Asks for those lists of which nothing was seen. Returns whether one is to be waited for.
    pub(super) fn lacks_lists(
        &mut self,
        now: Millis,
        accounts: &[PhoneNumber],
    ) -> Result<bool, StoreError> {
        let mut lacks = false;
        for &account in accounts {
            if self.keyring.load(&self.store, account)? || self.keyring.fresh.contains(&account) {
                continue;
            }
            lacks = true;
            self.ask_for_list(now, account);
        }
        Ok(lacks)
    }

    pub(super) fn has_siblings(&self) -> bool {
        self.keyring.leaves(self.me.account).any(|leaf| leaf.device != self.me.device)
    }

    /// The server tells entries of a list.
    pub(super) fn learn_list(
        &mut self,
        now: Millis,
        of: PhoneNumber,
        first: u64,
        entries: &[Body],
    ) -> Result<(), StoreError> {
        self.keyring.load(&self.store, of)?;
        self.keyring.fresh.insert(of);
        self.conversations.look_at_all();
        let known = self.keyring.lists.get(&of).cloned().unwrap_or_else(|| DeviceList::new(of));
        let place = known.head().place;
        // The last entry that is known was asked for too, to see that it is still there.
        let goes_on = match entries.split_first() {
            Some((last, new)) if first == place && known.ends_with(&last.0) => Some(new),
            _ if first == 1 && place == 0 => Some(entries),
            _ => None,
        };
        if let Some(new) = goes_on {
            let mut list = known.clone();
            if new.iter().try_for_each(|entry| list.extend(&entry.0)).is_ok() {
                return self.replace_list(of, list, place, new);
            }
        }
        if first != 1 {
            // It does not go on from what was seen. The whole of it tells why.
            if self.keyring.whole.insert(of) {
                self.ask_for_newer_list(now, of, self.queries.last());
            }
            return Ok(());
        }
        self.learn_whole_list(of, &known, entries)
    }

    /// The server tells the whole of a list that does not go on from what was seen.
    fn learn_whole_list(
        &mut self,
        of: PhoneNumber,
        known: &DeviceList,
        entries: &[Body],
    ) -> Result<(), StoreError> {
        self.keyring.whole.remove(&of);
        if of == self.me.account && entries.is_empty() {
            // The number was registered again, and its list is gone with the mailbox.
            self.store.forget_list(of)?;
            return self.replace_list(of, DeviceList::new(of), 0, entries);
        }
        let (mut list, place) = (DeviceList::new(of), known.head().place);
        let mut passed = place == 0;
        let genuine = entries.iter().try_for_each(|entry| {
            list.extend(&entry.0)?;
            passed |= list.head() == known.head();
            Ok::<_, ListError>(())
        });
        let other = list.key().is_some() && list.key() != known.key();
        match genuine {
            Ok(()) if passed => {
                let new = entries.get(place as usize..).unwrap_or_default();
                self.replace_list(of, list, place, new)
            }
            Ok(()) if other && of != self.me.account => {
                self.store.forget_list(of)?;
                self.store.set_verified_key(of, None)?;
                self.tell(Event::KeyChanged { account: of });
                self.replace_list(of, list, 0, entries)
            }
            _ => {
                self.tell(Event::ListBroken { account: of });
                Ok(())
            }
        }
    }

    /// Keeps a list that has grown by these entries, after this place.
    fn replace_list(
        &mut self,
        of: PhoneNumber,
        list: DeviceList,
        after: u64,
        entries: &[Body],
    ) -> Result<(), StoreError> {
        self.keyring.whole.remove(&of);
        for (place, entry) in (after + 1..).zip(entries) {
            self.store.add_list_entry(of, place, &entry.0)?;
        }
        self.keyring.lists.insert(of, list);
        if !entries.is_empty() {
            let with = self.conversations_with(of)?;
            self.conversations.relist(with);
        }
        Ok(())
    }

    fn conversations_with(&mut self, of: PhoneNumber) -> Result<Vec<ConversationId>, StoreError> {
        let mut ids = self.store.conversations()?;
        ids.retain(|id| {
            id.parties()
                .is_none_or(|(one, other)| one == of || other == of || of == self.me.account)
        });
        Ok(ids)
    }

    /// A message says how far its sender's list goes.
    pub(super) fn hears_of_list(&mut self, now: Millis, of: PhoneNumber, head: Head) {
        let known = self.keyring.head(of);
        let is_other = head.place == known.place && head.hash != known.hash;
        if head.place > known.place || is_other {
            let last = self.queries.last();
            self.keyring.expected.insert(of, (head, last));
            self.ask_for_newer_list(now, of, last);
        }
    }

    /// Whether the server tells of a list what the account's own devices say of it.
    pub(super) fn compare_list(&mut self, of: PhoneNumber, query: u64) {
        let asked = |(_, last): &(Head, u64)| *last < query;
        let Some((head, _)) = self.keyring.expected.get(&of).copied().filter(asked) else { return };
        let known = self.keyring.head(of);
        let fits = known.place > head.place || known == head;
        if !fits && self.queries.is_open(Purpose::List(of)) {
            return;
        }
        self.keyring.expected.remove(&of);
        if !fits {
            self.tell(Event::ListBroken { account: of });
        }
    }
}
