//! The host of one device: its store, clock and connection, and a record of all that it showed.

use std::collections::{BTreeMap, BTreeSet};

use estafette_core::mls::Leaf;
use estafette_core::{Client, Config, Identity, Message, Secrets, Status, Store};
use estafette_protocol::{MessageId, Millis, PhoneNumber};
use estafette_testkit::{account_secret, device_seed};

/// The key of an incoming message: an id counts only with who it is from.
pub(crate) type Key = (PhoneNumber, MessageId);

pub(crate) struct Device {
    pub(crate) me: Identity,
    client: Option<Client>,
    /// Its clock less the true one.
    pub(crate) skew: i64,
    /// Only the last wake-up counts.
    pub(crate) wake: u64,
    pub(crate) connection: Option<usize>,
    /// What this store has shown, to see that nothing is shown twice.
    pub(crate) shown: BTreeSet<Key>,
    /// What earlier stores held in the end, each in order.
    pub(crate) wiped: Vec<Vec<Message>>,
    /// Outgoing messages that were told to be safe, ever.
    pub(crate) told: BTreeMap<MessageId, PhoneNumber>,
    pub(crate) failed: BTreeSet<MessageId>,
    /// Everything that was ever sent from here, by body.
    pub(crate) bodies: BTreeMap<Vec<u8>, PhoneNumber>,
    /// What its siblings wrote, as this store was told.
    pub(crate) copied: BTreeSet<Key>,
    /// Outgoing messages that were told `sent`, ever, and not only to be delivered.
    pub(crate) safe: BTreeMap<MessageId, PhoneNumber>,
    /// It is no longer the account's.
    pub(crate) removed: bool,
    /// The chat that its user looks at.
    pub(crate) open: Option<PhoneNumber>,
    pub(crate) available: bool,
    /// Who is there, as it was told on this connection.
    pub(crate) seen: BTreeMap<PhoneNumber, bool>,
}

impl Device {
    pub(crate) fn new(me: Identity, seed: u64, now: Millis) -> Self {
        let mut device = Self {
            me,
            client: None,
            skew: 0,
            wake: 0,
            connection: None,
            shown: BTreeSet::new(),
            wiped: Vec::new(),
            told: BTreeMap::new(),
            failed: BTreeSet::new(),
            bodies: BTreeMap::new(),
            copied: BTreeSet::new(),
            safe: BTreeMap::new(),
            removed: false,
            open: None,
            available: false,
            seen: BTreeMap::new(),
        };
        device.start(Store::in_memory().unwrap(), seed, now);
        device
    }

    fn start(&mut self, store: Store, seed: u64, now: Millis) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let entropy = Box::new(move || rng.u64(..));
        let leaf = Leaf { account: self.me.account, device: self.me.device };
        let account = account_secret(self.me.account);
        let secrets = Secrets { device: device_seed(leaf), account };
        // Fewer than a device has by itself, so that they run out.
        let config = Config { key_packages: 6, ..Config::default() };
        let client = Client::start_with(store, self.me, &secrets, config, entropy, self.clock(now));
        self.client = Some(client.unwrap());
        (self.open, self.available) = (None, false);
        self.seen.clear();
    }

    pub(crate) fn clock(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.skew)
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        self.client.as_mut().unwrap()
    }

    pub(crate) fn reader(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// The program dies and starts again.
    pub(crate) fn restart(&mut self, seed: u64, now: Millis) {
        let store = self.client.take().unwrap().into_store();
        self.start(Store::on(store.into_connection()).unwrap(), seed, now);
    }

    /// The same, without its store.
    pub(crate) fn wipe(&mut self, seed: u64, now: Millis) {
        self.wiped.push(self.messages());
        self.shown.clear();
        self.copied.clear();
        self.start(Store::in_memory().unwrap(), seed, now);
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_quiet(&self) -> bool {
        let client = self.reader();
        let told =
            self.open.is_none_or(|peer| peer == self.me.account || self.seen.contains_key(&peer));
        self.removed || client.pending().is_empty() && client.is_connected() && told
    }

    /// Notes what the user is told of an outgoing message.
    pub(crate) fn note(&mut self, peer: PhoneNumber, id: MessageId, status: Status) {
        // What a sibling wrote is the sibling's to note.
        if self.copied.contains(&(peer, id)) {
            return;
        }
        if status == Status::Sent {
            self.safe.insert(id, peer);
        }
        match status {
            Status::Failed => drop(self.failed.insert(id)),
            Status::Sent | Status::Delivered => drop(self.told.insert(id, peer)),
            // That somebody has read a message does not say that it is safe.
            Status::Queued | Status::Read | Status::Played => {}
        }
    }

    /// Everything in the present store, chat by chat, each in the order that it is shown.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let client = self.reader();
        let chats = client.chats().unwrap();
        chats.iter().flat_map(|chat| client.history(chat.peer, 100_000).unwrap()).collect()
    }
}
