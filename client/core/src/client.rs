//! The engine of one device.

use estafette_protocol::{DeviceId, MessageId, Millis, PhoneNumber};

use crate::{Chat, Config, Contact, Effect, Input, Message, Store, StoreError};

/// Who this device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: PhoneNumber,
    /// The device, as the server named it.
    pub device: DeviceId,
}

/// Why a message was not taken. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The body is longer than [`estafette_protocol::limits::BODY_BYTES_MAX`].
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
/// When a method fails with a [`StoreError`], nothing of what it was about has changed, and nothing
/// of it was acknowledged. The connection is given up: the next input begins with
/// [`Effect::Disconnect`], and ticks go on to reconnect, so that a disk with room again heals it.
pub struct Client {
    store: Store,
    me: Identity,
    config: Config,
    entropy: Box<dyn FnMut() -> u64 + Send>,
}

impl Client {
    /// Starts a client on a store, with the default configuration. The first tick connects.
    pub fn start(
        store: Store,
        me: Identity,
        entropy: Box<dyn FnMut() -> u64 + Send>,
        now: Millis,
    ) -> Result<Self, StoreError> {
        Self::start_with(store, me, Config::default(), entropy, now)
    }

    /// The same with another configuration.
    pub fn start_with(
        store: Store,
        me: Identity,
        config: Config,
        entropy: Box<dyn FnMut() -> u64 + Send>,
        now: Millis,
    ) -> Result<Self, StoreError> {
        let _ = now;
        Ok(Self { store, me, config, entropy })
    }

    /// Something happened.
    pub fn on_input(&mut self, now: Millis, input: Input) -> Result<Vec<Effect>, StoreError> {
        let _ = (now, input, (self.entropy)(), self.config);
        Ok(Vec::new())
    }

    /// Sends a message. It is in the store when this returns, and sent until the server has it.
    pub fn send(
        &mut self,
        now: Millis,
        to: PhoneNumber,
        body: Vec<u8>,
    ) -> Result<(MessageId, Vec<Effect>), ClientError> {
        let _ = (now, to, body);
        Ok((MessageId { stream: 0, number: 1 }, Vec::new()))
    }

    /// Sends several messages in one transaction: all of them, or none.
    pub fn send_all(
        &mut self,
        now: Millis,
        to: PhoneNumber,
        bodies: Vec<Vec<u8>>,
    ) -> Result<(Vec<MessageId>, Vec<Effect>), ClientError> {
        let _ = (now, to, bodies);
        Ok((Vec::new(), Vec::new()))
    }

    /// The user has read what came from a peer, up to this incoming message. The peer is told.
    pub fn read(
        &mut self,
        now: Millis,
        peer: PhoneNumber,
        through: MessageId,
    ) -> Result<Vec<Effect>, StoreError> {
        let _ = (now, peer, through);
        Ok(Vec::new())
    }

    /// The user looks at this chat: what it holds is read, and what comes in is as it comes.
    pub fn open_chat(
        &mut self,
        now: Millis,
        peer: Option<PhoneNumber>,
    ) -> Result<Vec<Effect>, StoreError> {
        let _ = (now, peer);
        Ok(Vec::new())
    }

    /// Connects now, if there is no connection: after another socket took over, when the network is
    /// back, or in place of a wait. Does nothing once the device is signed out.
    pub fn connect(&mut self, now: Millis) -> Result<Vec<Effect>, StoreError> {
        let _ = now;
        Ok(Vec::new())
    }

    /// Says what waits to be said, and disconnects until [`Client::connect`].
    pub fn disconnect(&mut self, now: Millis) -> Result<Vec<Effect>, StoreError> {
        let _ = now;
        Ok(Vec::new())
    }

    /// When the next tick is due: what the last [`Effect::WakeAt`] said.
    pub fn wake_at(&self) -> Option<Millis> {
        None
    }

    /// Whether the server has greeted this device on the present connection.
    pub fn is_connected(&self) -> bool {
        false
    }

    /// What is still to be done.
    pub fn pending(&self) -> Pending {
        Pending::default()
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
