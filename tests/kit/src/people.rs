//! People for a client to talk with, in memory: what the server keeps of keys and conversations, and devices
//! that seal and open, without an engine of their own. A test says what they write, in plain words.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use estafette_core::Store;
use estafette_core::mls::{AccountSecret, DeviceList, Leaf, Lists, Made, Mls, envelope, header};
use estafette_protocol::{
    Body, ClientFrame, Commit, ConversationId, Denied, DeviceId, Done, Enlist, Entry, ErrorCode,
    FetchKeys, FetchLog, GroupState, Keys, Log, MessageId, Millis, Package, PhoneNumber,
    PublishKeys, Send, ServerFrame, Welcome,
};

/// Key packages that each device gives.
const PACKAGES: usize = 4;
/// The device of whoever was not named before.
const DEVICE: DeviceId = DeviceId(0xb0b);

#[derive(Default)]
struct Packages {
    left: Vec<Body>,
    last_resort: Option<Body>,
}

#[derive(Default)]
struct Conversation {
    epoch: u64,
    info: Body,
    welcomes: Vec<Welcome>,
    log: Vec<Entry>,
}

struct Device {
    mls: Mls,
    store: Store,
    /// How far it has carried out logs.
    places: BTreeMap<ConversationId, u64>,
}

/// See the file's documentation.
#[derive(Default)]
pub struct People {
    packages: BTreeMap<Leaf, Packages>,
    entries: BTreeMap<PhoneNumber, Vec<Body>>,
    conversations: BTreeMap<ConversationId, Conversation>,
    devices: BTreeMap<Leaf, Device>,
    sealed: BTreeMap<(Leaf, PhoneNumber, MessageId), Body>,
    nobody: BTreeSet<PhoneNumber>,
    /// Entries that a log is said to have beyond those that are told.
    held_back: BTreeMap<ConversationId, u64>,
}

struct Listed<'a>(&'a BTreeMap<PhoneNumber, Vec<Body>>);

impl Listed<'_> {
    fn list(&self, account: PhoneNumber) -> DeviceList {
        let mut list = DeviceList::new(account);
        for entry in self.0.get(&account).into_iter().flatten() {
            list.extend(&entry.0).expect("an entry of a list");
        }
        list
    }
}

impl Lists for Listed<'_> {
    fn identity_key(&self, leaf: Leaf) -> Option<[u8; 32]> {
        self.list(leaf.account).identity_key(leaf.device)
    }
}

/// The secret of an account.
pub fn account_secret(account: PhoneNumber) -> AccountSecret {
    let mut secret = [0xac; 32];
    secret[..8].copy_from_slice(&account.digits().to_be_bytes());
    AccountSecret::new(secret)
}

/// The seed of a device's identity key.
pub fn device_seed(leaf: Leaf) -> [u8; 32] {
    let mut seed = [0xde; 32];
    seed[..16].copy_from_slice(&leaf.to_bytes());
    seed
}

/// Its identity key.
pub fn device_key(leaf: Leaf) -> [u8; 32] {
    Mls::new(leaf, &device_seed(leaf)).identity_key()
}

impl People {
    /// An account that is not registered.
    pub fn nobody(&mut self, account: PhoneNumber) {
        self.nobody.insert(account);
    }

    /// A device, which lists itself and gives keys; once.
    pub fn add(&mut self, leaf: Leaf) {
        if self.devices.contains_key(&leaf) {
            return;
        }
        let store = Store::in_memory().expect("a store");
        let mut mls = Mls::new(leaf, &device_seed(leaf));
        let left = mls.key_packages(&store, PACKAGES, false).expect("key packages");
        let last = mls.key_packages(&store, 1, true).expect("key packages").pop();
        let packages =
            Packages { left: left.into_iter().map(Body).collect(), last_resort: last.map(Body) };
        self.packages.insert(leaf, packages);
        let list = Listed(&self.entries).list(leaf.account);
        if list.identity_key(leaf.device).is_none() {
            let key = account_secret(leaf.account).account_key();
            let entry = list.next(&key, leaf.device, Some(&mls.identity_key()), 0);
            self.entries.entry(leaf.account).or_default().push(Body(entry));
        }
        self.devices.insert(leaf, Device { mls, store, places: BTreeMap::new() });
    }

    /// Answers what a device asks the server; `None`: the frame asks nothing about keys or conversations.
    /// Inside: `None`, where nothing is answered.
    pub fn answer(&mut self, from: Leaf, frame: &ClientFrame) -> Option<Option<ServerFrame>> {
        let answer = match frame {
            ClientFrame::PublishKeys(said) => self.publish(from, said),
            ClientFrame::Enlist(said) => self.enlist(from, said),
            ClientFrame::FetchKeys(said) => self.fetch_keys(from, *said),
            ClientFrame::Commit(said) => self.commit(from, said.as_ref().clone()),
            ClientFrame::FetchLog(said) => self.fetch_log(*said),
            ClientFrame::Passed(_) => return Some(None),
            _ => return None,
        };
        Some(Some(answer))
    }

    /// How many of a device's key packages are left, if it ever gave any.
    pub fn key_packages(&self, leaf: Leaf) -> Option<u64> {
        self.packages.get(&leaf).map(|packages| packages.left.len() as u64)
    }

    /// Whether others can write to a device: it has listed itself, and has given keys.
    pub fn is_reachable(&self, leaf: Leaf) -> bool {
        let listed = Listed(&self.entries).identity_key(leaf).is_some();
        listed && self.packages.contains_key(&leaf)
    }

    fn publish(&mut self, from: Leaf, said: &PublishKeys) -> ServerFrame {
        let packages = self.packages.entry(from).or_default();
        if said.anew {
            *packages = Packages::default();
        }
        packages.left.extend(said.packages.iter().cloned());
        if said.last_resort.is_some() {
            packages.last_resort.clone_from(&said.last_resort);
        }
        ServerFrame::Done(Done { query: said.query, place: None })
    }

    fn enlist(&mut self, from: Leaf, said: &Enlist) -> ServerFrame {
        let entries = self.entries.entry(from.account).or_default();
        if said.anew {
            entries.clear();
        }
        if said.place != entries.len() as u64 + 1 {
            return denied(said.query, ErrorCode::StaleList);
        }
        entries.push(said.entry.clone());
        ServerFrame::Done(Done { query: said.query, place: None })
    }

    fn fetch_keys(&mut self, from: Leaf, said: FetchKeys) -> ServerFrame {
        let FetchKeys { query, of, after, packages } = said;
        if self.nobody.contains(&of) {
            return denied(query, ErrorCode::Unregistered);
        }
        if !self.packages.keys().any(|leaf| leaf.account == of) && of != from.account {
            self.add(Leaf { account: of, device: DEVICE });
        }
        let entries = self.entries.entry(of).or_default();
        let after = after.min(entries.len() as u64);
        let entries: Vec<_> = entries.iter().skip(after as usize).cloned().collect();
        let mut given = Vec::new();
        if packages {
            let theirs = self.packages.iter_mut().filter(|(leaf, _)| leaf.account == of);
            for (leaf, packages) in theirs.filter(|(leaf, _)| **leaf != from) {
                let package = match packages.left.pop() {
                    Some(package) => Some(package),
                    None => packages.last_resort.clone(),
                };
                let device = leaf.device;
                given.extend(package.map(|package| Package { device, package }));
            }
        }
        ServerFrame::Keys(Keys { query, first: after + 1, entries, packages: given })
    }

    fn commit(&mut self, from: Leaf, said: Commit) -> ServerFrame {
        let Commit { query, conversation: id, epoch, commit, info, welcome, .. } = said;
        let conversation = self.conversations.entry(id).or_default();
        if conversation.epoch != epoch {
            return denied(query, ErrorCode::StaleEpoch);
        }
        (conversation.epoch, conversation.info) = (epoch + 1, info);
        let place = conversation.log.len() as u64 + 1;
        conversation.log.push(Entry {
            place,
            from: from.account,
            device: from.device,
            at: 0,
            epoch,
            message: None,
            commit: (epoch > 0).then_some(commit),
            account: None,
        });
        conversation.welcomes.extend(welcome.map(|welcome| Welcome { welcome, place }));
        ServerFrame::Done(Done { query, place: Some(place) })
    }

    fn fetch_log(&self, said: FetchLog) -> ServerFrame {
        let FetchLog { query, conversation: id, after, before } = said;
        let Some(conversation) = self.conversations.get(&id) else {
            return denied(query, ErrorCode::NoConversation);
        };
        let held_back = self.held_back.get(&id).copied().unwrap_or(0);
        let head = conversation.log.len() as u64 + held_back;
        let (entries, state) = match after {
            Some(after) => (conversation.log.iter().skip(after as usize).cloned().collect(), None),
            None => {
                let earlier =
                    |welcome: &&Welcome| before.is_none_or(|before| welcome.place < before);
                let welcome = conversation.welcomes.iter().rev().find(earlier).cloned();
                let info = conversation.info.clone();
                (Vec::new(), Some(GroupState { welcome, info, place: head }))
            }
        };
        let epoch = conversation.epoch;
        let roster = None;
        let log = Log { query, conversation: id, entries, head, epoch, roster, state };
        ServerFrame::Log(Box::new(log))
    }

    /// A device joins a conversation, or makes it, if it is not there.
    pub fn enters(&mut self, by: Leaf, conversation: ConversationId) {
        self.add(by);
        self.catch_up(by, conversation);
    }

    /// A device seals something for an account, in their conversation. The same id again: the same bytes.
    pub fn seal(&mut self, by: Leaf, to: PhoneNumber, id: MessageId, content: &[u8]) -> Body {
        if let Some(sealed) = self.sealed.get(&(by, to, id)) {
            return sealed.clone();
        }
        let conversation = ConversationId::direct(by.account, to);
        self.enters(by, conversation);
        let head = Listed(&self.entries).list(by.account).head();
        let device = self.devices.get_mut(&by).expect("a device");
        let plaintext = envelope::seal(head, content);
        let sealed = device.mls.seal(&device.store, conversation, id, &plaintext);
        let sealed = Body(sealed.expect("a sealed message").1);
        self.sealed.insert((by, to, id), sealed.clone());
        sealed
    }

    /// What a message says that a device of `from` sent: a device of its recipient opens it.
    pub fn open(&mut self, from: PhoneNumber, send: &Send) -> Vec<u8> {
        let id = ConversationId::direct(from, send.to);
        let reads = |leaf: &&Leaf| leaf.account == send.to;
        let Some(by) = self.devices.keys().find(reads).copied() else { return Vec::new() };
        self.catch_up(by, id);
        let device = self.devices.get_mut(&by).expect("a device");
        let opened = device.mls.open(&device.store, id, &send.body.0);
        let opened = opened.unwrap_or_else(|error| {
            panic!("{error:?}: {:?} {:?}", header(&send.body.0), device.places.get(&id))
        });
        assert_eq!(opened.message, send.id, "sealed under its id");
        envelope::unseal(&opened.plaintext).expect("an envelope").1
    }

    /// A device joins a conversation, or makes it, and carries out what is in its log.
    fn catch_up(&mut self, by: Leaf, id: ConversationId) {
        if !self.conversations.contains_key(&id) {
            return self.make(by, id);
        }
        let (entries, conversations) = (&self.entries, &self.conversations);
        let device = self.devices.get_mut(&by).expect("a device");
        let conversation = &conversations[&id];
        if !device.places.contains_key(&id) {
            let joined = conversation.welcomes.iter().rev().find(|welcome| {
                device.mls.join_welcome(&device.store, id, &welcome.welcome.0).is_ok()
            });
            let Some(welcome) = joined else { return self.join(by, id) };
            device.places.insert(id, welcome.place);
        }
        let place = device.places[&id];
        for entry in conversation.log.iter().filter(|entry| entry.place > place) {
            let from = Leaf { account: entry.from, device: entry.device };
            let commit = entry.commit.as_ref().expect("a commit");
            let lists = Listed(entries);
            let followed = device.mls.receive_commit(&device.store, id, &commit.0, from, &lists);
            if followed.is_err() {
                // It does not belong: as an engine does, the device joins anew.
                device.mls.forget(&device.store, id).expect("a store");
                return self.join(by, id);
            }
            device.places.insert(id, entry.place);
        }
    }

    fn make(&mut self, by: Leaf, id: ConversationId) {
        let (one, other) = id.parties().expect("a conversation of two");
        let mut packages = Vec::new();
        for of in BTreeSet::from([one, other]) {
            let asked = FetchKeys { query: 0, of, after: 0, packages: true };
            let ServerFrame::Keys(keys) = self.fetch_keys(by, asked) else { continue };
            packages.extend(
                keys.packages
                    .into_iter()
                    .map(|Package { device, package }| (Leaf { account: of, device }, package.0)),
            );
        }
        let device = self.devices.get_mut(&by).expect("a device");
        let lists = Listed(&self.entries);
        let made = device.mls.create(&device.store, id, None, &packages, &lists);
        self.carries_out(by, id, made.expect("a conversation"));
    }

    fn join(&mut self, by: Leaf, id: ConversationId) {
        let device = self.devices.get_mut(&by).expect("a device");
        let info = &self.conversations[&id].info.0;
        let made = device.mls.join_external(&device.store, id, info).expect("a way in");
        self.carries_out(by, id, made);
    }

    fn carries_out(&mut self, by: Leaf, id: ConversationId, made: Made) {
        let Made { epoch, commit, info, welcome, roster } = made;
        let (commit, info, welcome) = (Body(commit), Body(info), welcome.map(Body));
        let conversation = id;
        let said = Commit { query: 0, conversation, epoch, commit, info, welcome, roster };
        let answer = self.commit(by, said);
        let ServerFrame::Done(Done { place: Some(place), .. }) = answer else {
            panic!("not carried out: {answer:?}");
        };
        let device = self.devices.get_mut(&by).expect("a device");
        device.mls.confirm(&device.store, id).expect("a commit of its own");
        device.places.insert(id, place);
    }
}

/// What a server that lies may do.
impl People {
    /// Lets a device into a conversation that its account does not list.
    pub fn let_in(&mut self, ghost: Leaf, conversation: ConversationId) {
        let (mls, store) =
            (Mls::new(ghost, &device_seed(ghost)), Store::in_memory().expect("a store"));
        self.devices.insert(ghost, Device { mls, store, places: BTreeMap::new() });
        self.join(ghost, conversation);
    }

    /// Whether a device can open a message, after it has followed the log as far as it can.
    pub fn opens(&mut self, by: Leaf, conversation: ConversationId, sealed: &Body) -> bool {
        let device = self.devices.get_mut(&by).expect("a device");
        let (lists, place) = (Listed(&self.entries), device.places[&conversation]);
        let log = self.conversations[&conversation].log.iter();
        for entry in log.filter(|entry| entry.place > place) {
            let from = Leaf { account: entry.from, device: entry.device };
            let Some(commit) = &entry.commit else { continue };
            let followed =
                device.mls.receive_commit(&device.store, conversation, &commit.0, from, &lists);
            if followed.is_err() {
                break;
            }
        }
        device.mls.open(&device.store, conversation, &sealed.0).is_ok()
    }

    /// Gives key packages of one device in the place of another's.
    pub fn swap_packages(&mut self, of: Leaf, by: Leaf) {
        self.add(of);
        self.add(by);
        let swapped = self.packages.remove(&by).expect("key packages");
        self.packages.insert(of, swapped);
    }

    /// Tells another list of an account's devices from now on, and returns the one before.
    pub fn tell_list(&mut self, of: PhoneNumber, entries: Vec<Body>) -> Vec<Body> {
        self.entries.insert(of, entries).unwrap_or_default()
    }

    /// Says that a log has so many entries more than it tells.
    pub fn holds_back(&mut self, conversation: ConversationId, entries: u64) {
        self.held_back.insert(conversation, entries);
    }

    /// Makes a list of one device, signed by an account that has this secret.
    pub fn list_of(leaf: Leaf, secret: &AccountSecret) -> Vec<Body> {
        let list = DeviceList::new(leaf.account);
        let entry = list.next(&secret.account_key(), leaf.device, Some(&device_key(leaf)), 0);
        vec![Body(entry)]
    }
}

fn denied(query: u64, code: ErrorCode) -> ServerFrame {
    ServerFrame::Denied(Denied { query, code, retry_after: None::<Millis> })
}
