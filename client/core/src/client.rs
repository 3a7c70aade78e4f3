//! The engine of one device: what its user and its socket do to it, and one exit, [`Effect`]s.
//!
//! Invariants that this file and its parts guard:
//! - what is in memory about messages and receipts is in the store too, and can be read again;
//! - what a step tells anyone, it has committed before;
//! - every step ends with what is due and what may leave ([`Client::step`]), and names the next time
//!   to wake, which is in the future of what it has done.

mod connection;
mod conversations;
mod departure;
mod files;
mod inbox;
mod keys;
mod moving;
mod outbox;
mod presence;
mod queries;
mod receipts;
mod repair;
mod retry;
mod sealing;
mod siblings;
mod time;
mod typing;

use std::collections::BTreeMap;

use estafette_protocol::{DeviceId, MessageId, Millis, PhoneNumber};

use crate::clock::{Clock, Entropy, Timer, UNDATED};
use crate::mls::envelope::CONTENT_BYTES_MAX;
use crate::mls::{AccountKey, AccountSecret, Leaf, Mls};
use crate::store::Setting;
use crate::{Chat, Config, Contact, ContentError, Effect, Input, Message, Store, StoreError};
use connection::Link;
use conversations::Conversations;
use keys::{Keyring, Publishing};
use outbox::Outbox;
use presence::Availability;
use queries::Queries;
use receipts::Receipts;
use typing::Typing;

/// Who this device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: PhoneNumber,
    /// The device, as the server named it.
    pub device: DeviceId,
}

/// What a device knows and the server does not. It is kept apart from the store, which may be deleted.
#[derive(Clone)]
pub struct Secrets {
    /// The seed of the device's identity key.
    pub device: [u8; 32],
    /// What all devices of the account know.
    pub account: AccountSecret,
}

/// Shows nothing.
impl core::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secrets")
    }
}

/// Why a message was not taken. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The body is longer than [`CONTENT_BYTES_MAX`].
    #[error("the message is too long: {bytes} bytes, and at most {max} are sent")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// [`Config::outbox_max`] messages are not settled.
    #[error("too many messages wait to be sent ({0}): try again when some have gone")]
    OutboxFull(usize),
    /// [`Client::FILES_MAX`] files are on their way.
    #[error("too many files wait to be sent ({0}): send or drop some of them first")]
    TooManyFiles(usize),
    /// What is said of a file cannot be sent.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The upload is not here any more: its message was sent, or it was dropped.
    #[error("the file was sent already, or dropped")]
    NoSuchUpload,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a client still has to do. Empty: the program may end without anything to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// Messages that are not settled: neither taken by the server nor given up.
    pub messages: usize,
    /// Read receipts that the server has not taken.
    pub receipts: usize,
    /// Acknowledgements that wait for company.
    pub acks: usize,
}

impl Pending {
    /// Whether nothing is to be done.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The state machine of one device; see the crate's documentation.
///
/// When a method fails with a [`StoreError`], what it was about has not happened, and nothing was
/// acknowledged. The connection is given up: the shell closes its socket, and the next input begins
/// with [`Effect::Disconnect`] all the same. Ticks at [`Client::wake_at`] go on to reconnect, so that
/// a disk with room again heals it.
pub struct Client {
    store: Store,
    me: Identity,
    config: Config,
    entropy: Entropy,
    clock: Clock,
    link: Link,
    /// Attempts to connect since the server's last greeting.
    attempts: u32,
    signed_out: bool,
    /// Another socket of this device took over, not long ago.
    replaced: Option<Timer>,
    outbox: Outbox,
    receipts: Receipts,
    /// What is in the store and was not acknowledged on this connection.
    acks: Vec<MessageId>,
    /// When the acknowledgements leave at the latest.
    ack_timer: Option<Timer>,
    /// When to forget what is old.
    housekeeping: Option<Timer>,
    /// The chat that the user looks at.
    open_chat: Option<PhoneNumber>,
    availability: Availability,
    typing: Typing,
    mls: Mls,
    account_key: AccountKey,
    keyring: Keyring,
    publishing: Publishing,
    queries: Queries,
    conversations: Conversations,
    /// All that waited on this connection has come; and whether the user was told so.
    drained: bool,
    drained_told: bool,
    /// Messages of this step that cannot be opened: by who wrote them, and in whose chat copies are.
    unreadable: BTreeMap<(PhoneNumber, Option<PhoneNumber>), Vec<MessageId>>,
    /// The store failed, and what is in memory may differ from it.
    stale: bool,
    /// The time that the last [`Effect::WakeAt`] named.
    told: Option<Millis>,
    effects: Vec<Effect>,
}

impl Client {
    /// Starts a client on a store, with the default configuration. Its first step connects: give
    /// it a tick.
    pub fn start(
        store: Store,
        me: Identity,
        secrets: &Secrets,
        entropy: Box<dyn FnMut() -> u64 + Send>,
        now: Millis,
    ) -> Result<Self, StoreError> {
        Self::start_with(store, me, secrets, Config::default(), entropy, now)
    }

    /// The same with another configuration.
    pub fn start_with(
        store: Store,
        me: Identity,
        secrets: &Secrets,
        config: Config,
        entropy: Box<dyn FnMut() -> u64 + Send>,
        now: Millis,
    ) -> Result<Self, StoreError> {
        let mut entropy = Entropy(entropy);
        let account = me.account.digits().cast_signed();
        match store.setting(Setting::Account)? {
            None => store.set(Setting::Account, account)?,
            Some(owner) if owner == account => {}
            Some(_) => return Err(StoreError::OtherAccount),
        }
        let offset = store.setting(Setting::ClockOffset)?.unwrap_or(0);
        let outbox = Outbox::load(&store, &config)?;
        let receipts = Receipts::load(&store, entropy.draw())?;
        Ok(Self {
            store,
            me,
            config,
            entropy,
            clock: Clock::new(now, offset),
            link: Link::Waiting(Timer::after(now, 0)),
            attempts: 0,
            signed_out: false,
            replaced: None,
            outbox,
            receipts,
            acks: Vec::new(),
            ack_timer: None,
            housekeeping: None,
            open_chat: None,
            availability: Availability::default(),
            typing: Typing::default(),
            mls: Mls::new(Leaf { account: me.account, device: me.device }, &secrets.device),
            account_key: secrets.account.account_key(),
            keyring: Keyring::default(),
            publishing: Publishing::default(),
            queries: Queries::default(),
            conversations: Conversations::default(),
            drained: false,
            drained_told: false,
            unreadable: BTreeMap::new(),
            stale: false,
            told: None,
            effects: Vec::new(),
        })
    }

    /// Something happened.
    pub fn on_input(&mut self, now: Millis, input: Input) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) = self.step(now, |client| match input {
            Input::Message(message) => client.on_message(now, &message),
            Input::Tick => {
                client.told = None;
                Ok(())
            }
            other => {
                client.on_socket(now, other);
                Ok(())
            }
        })?;
        Ok(effects)
    }

    /// Sends a message. It is in the store when this returns, and sent until the server has it.
    pub fn send(
        &mut self,
        now: Millis,
        to: PhoneNumber,
        body: Vec<u8>,
    ) -> Result<(MessageId, Vec<Effect>), ClientError> {
        let (ids, effects) = self.send_all(now, to, vec![body])?;
        let id = ids.first().copied().ok_or(StoreError::Corrupt)?;
        Ok((id, effects))
    }

    /// Sends several messages in one transaction: all of them, or none.
    pub fn send_all(
        &mut self,
        now: Millis,
        to: PhoneNumber,
        bodies: Vec<Vec<u8>>,
    ) -> Result<(Vec<MessageId>, Vec<Effect>), ClientError> {
        let max = CONTENT_BYTES_MAX;
        if let Some(bytes) = bodies.iter().map(Vec::len).find(|bytes| *bytes > max) {
            return Err(ClientError::TooLarge { bytes, max });
        }
        if self.outbox.len() + bodies.len() > self.config.outbox_max {
            return Err(ClientError::OutboxFull(self.outbox.len()));
        }
        Ok(self.step(now, |client| client.enqueue(now, to, &bodies, |_| Ok(())))?)
    }

    /// Queues messages, in one transaction with something else.
    fn enqueue(
        &mut self,
        now: Millis,
        to: PhoneNumber,
        bodies: &[Vec<u8>],
        also: impl FnOnce(&Store) -> Result<(), StoreError>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let times = (self.clock.corrected(now), self.clock.age_from());
        let Self { store, me, entropy, .. } = self;
        let queued = store.transaction(|| {
            also(store)?;
            store.enqueue((to, false), me.device, bodies, times, || entropy.draw())
        })?;
        let ids = queued.iter().map(|queued| queued.id).collect();
        self.outbox.add(queued);
        self.has_to_say(to);
        Ok(ids)
    }

    /// The user has read what came from a peer, up to this incoming message. The peer is told.
    pub fn read(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        through: MessageId,
    ) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) =
            self.step(now, |client| match client.store.place_of(peer, true, through)? {
                Some(place) => client.mark_read(peer, place),
                None => Ok(()),
            })?;
        Ok(effects)
    }

    /// The user looks at this chat: what it holds is read, and what comes in is as it comes. Whether
    /// the peer is there is told as [`crate::Event::Presence`].
    pub fn open_chat(
        &mut self,
        now: Millis,
        peer: Option<PhoneNumber>,
    ) -> Result<Vec<Effect>, StoreError> {
        let ((), effects) = self.step(now, |client| {
            client.open_chat = peer;
            peer.map_or(Ok(()), |peer| client.mark_read(peer, UNDATED))
        })?;
        Ok(effects)
    }

    fn mark_read(&mut self, peer: PhoneNumber, through: u64) -> Result<(), StoreError> {
        self.store.begin()?;
        let ids = self.store.read_through(peer, through);
        let outcome = ids.and_then(|ids| self.owe(peer, ids));
        self.store.end(outcome)
    }

    /// When the next tick is due: what the last [`Effect::WakeAt`] said, or would say.
    pub fn wake_at(&self) -> Option<Millis> {
        let mut times = vec![self.link_time()];
        if !self.stale {
            times.push(self.typing.next_time());
        }
        if self.is_connected() {
            let timers = [self.ack_timer, self.housekeeping].map(|timer| timer.map(Timer::at));
            times.extend([self.outbox.next_time(), self.receipts.next_time()]);
            times.push(self.availability.next_time());
            times.extend([self.queries.next_time(), self.publishing.next_time()]);
            times.push(self.conversations.next_time());
            times.extend(timers);
        }
        times.into_iter().flatten().min()
    }

    /// What is still to be done.
    pub fn pending(&self) -> Pending {
        Pending {
            messages: self.outbox.len(),
            receipts: self.receipts.len(),
            acks: self.acks.len(),
        }
    }

    /// Who this device is.
    pub fn identity(&self) -> Identity {
        self.me
    }

    /// The last messages of a chat, at most `limit`, the oldest first.
    pub fn history(&self, peer: PhoneNumber, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.store.history(peer, limit)
    }

    /// Every chat, the one with the latest message first.
    pub fn chats(&self) -> Result<Vec<Chat>, StoreError> {
        self.store.chats()
    }

    /// Everybody who has a name, by name.
    pub fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        self.store.contacts()
    }

    /// Gives somebody a name; an empty one takes it away.
    pub fn set_contact(&self, number: PhoneNumber, name: &str) -> Result<(), StoreError> {
        self.store.set_contact(number, name)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Gives the store back, as a crash leaves it.
    pub fn into_store(self) -> Store {
        self.store
    }
}
