//! End-to-end encryption: MLS (RFC 9420) through OpenMLS, over the store.
//!
//! Invariants:
//! - whatever changes state is called within a transaction of the store; after one that was undone, what is in
//!   memory is dropped ([`Mls::discard`]);
//! - a commit is followed only if each leaf that it brings is a device that its account lists, under the key
//!   that the list names, and if the roster lets its sender do what it does;
//! - a message that was opened says who sealed it, and under which id: neither is the server's word.
//!
//! # Architecture invariant
//!
//! Randomness of keys and nonces is OpenMLS's own, from the system: the one exception to the rule that this
//! crate draws none (`docs/decisions/0019-mls-in-the-client.md`).

mod check;
mod devices;
pub mod envelope;
mod group;
mod handover;
mod settings;
mod storage;

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use estafette_protocol::{ConversationId, DeviceId, MessageId, PhoneNumber, Roster};
use openmls::prelude::{Ciphersuite, CredentialWithKey, GroupId, MlsGroup, OpenMlsProvider};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;

pub use self::check::Suspicion;
pub use self::devices::{AccountKey, AccountSecret, DeviceList, Head, ListError, safety_number};
pub use self::handover::HANDOVER_BYTES;
use self::storage::Storage;
use crate::{Store, StoreError};

/// The ciphersuite of every conversation.
const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
/// Groups whose state stays in memory. That of 256 members takes about 300 KB.
const GROUPS_MAX: usize = 16;

/// A device in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf {
    /// Whose.
    pub account: PhoneNumber,
    /// Which.
    pub device: DeviceId,
}

impl Leaf {
    /// What stands in its credential: the digits of the number and the device's id, each in 8 bytes,
    /// big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        let both = u128::from(self.account.digits()) << 64 | u128::from(self.device.0);
        both.to_be_bytes()
    }

    /// The reverse of [`Leaf::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        let account = PhoneNumber::from_digits((both >> 64) as u64).ok()?;
        Some(Self { account, device: DeviceId(both as u64) })
    }
}

/// Who stands in a leaf of a group, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupant {
    /// Which leaf.
    pub index: u32,
    /// Who they say they are; `None`: it cannot be read.
    pub leaf: Option<Leaf>,
    /// Their signature key.
    pub key: [u8; 32],
}

/// The devices that accounts list.
pub trait Lists {
    /// The identity key that the account lists for this device.
    fn identity_key(&self, leaf: Leaf) -> Option<[u8; 32]>;
}

/// What a commit is to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Whom it adds, with a key package of theirs.
    pub add: Vec<(Leaf, Vec<u8>)>,
    /// Which leaves it removes.
    pub remove: Vec<u32>,
    /// The roster after it, where that changes.
    pub roster: Option<Roster>,
}

/// What goes to the server to make a commit, or a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The epoch that it ends; 0 where it makes the conversation.
    pub epoch: u64,
    /// The commit; empty where it makes the conversation.
    pub commit: Vec<u8>,
    /// The GroupInfo of the next epoch.
    pub info: Vec<u8>,
    /// For those whom it adds.
    pub welcome: Option<Vec<u8>>,
    /// The roster, where that changes.
    pub roster: Option<Roster>,
}

/// What a commit that was followed has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// Who came.
    pub added: Vec<Leaf>,
    /// Who went.
    pub removed: Vec<Leaf>,
    /// Whether this device was removed: the group is of no use any more.
    pub out: bool,
}

/// A message that was opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The device that sealed it.
    pub from: Leaf,
    /// The id that it was sealed under.
    pub message: MessageId,
    /// What it says.
    pub plaintext: Vec<u8>,
}

/// Shows no words.
impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut shown = f.debug_struct("Opened");
        shown.field("from", &self.from).field("message", &self.message).finish_non_exhaustive()
    }
}

/// Why something with a group failed. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MlsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This device is not in the group.
    #[error("this device is not in the conversation")]
    NoGroup,
    /// Somebody is in it whom their account does not list, as far as is known here.
    #[error("a device is not on its account's list")]
    UnknownDevice(Leaf),
    /// Somebody removes a device that its account lists, as far as is known here.
    #[error("a device is removed that is on its account's list")]
    StillListed(Leaf),
    /// It is not what an honest member would do.
    #[error("not what an honest member would do: {0:?}")]
    Suspicious(Suspicion),
    /// It is of an epoch that this device has not reached.
    #[error("of an epoch that is still to come")]
    FutureEpoch,
    /// It is of an epoch that is over.
    #[error("of an epoch that is over")]
    PastEpoch,
    /// OpenMLS does not take it, in words that are for a log.
    #[error("not a valid message: {0}")]
    Invalid(String),
}

/// Why a message cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This device is not in the group.
    #[error("this device is not in the conversation")]
    NoGroup,
    /// It was sealed in an epoch that this device has not reached.
    #[error("sealed in an epoch that is still to come")]
    FutureEpoch,
    /// It was sealed too long ago, or before this device came.
    #[error("sealed in an epoch that this device has no key of")]
    PastEpoch,
    /// It was opened before.
    #[error("opened before")]
    Duplicate,
    /// This device sealed it.
    #[error("sealed by this device")]
    Own,
    /// It is not of whom it says, or is damaged.
    #[error("not genuine")]
    Forged,
}

/// What anyone can read of a sealed message or a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Of which epoch.
    pub epoch: u64,
}

/// Reads the header of a PublicMessage or PrivateMessage (RFC 9420, section 6): version, wire format, group id
/// with its length, epoch.
pub fn header(message: &[u8]) -> Option<Header> {
    const MLS10: [u8; 2] = [0, 1];
    const ID_LENGTH: u8 = 16;
    let rest = message.strip_prefix(&MLS10)?;
    let rest = rest.strip_prefix(&[0, 1]).or_else(|| rest.strip_prefix(&[0, 2]))?;
    let rest = rest.strip_prefix(&[ID_LENGTH])?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (epoch, _) = rest.split_first_chunk::<8>()?;
    let conversation = ConversationId::from_bytes(*id);
    Some(Header { conversation, epoch: u64::from_be_bytes(*epoch) })
}

/// The key of a device: its identity key, which signs its leaves.
struct DeviceKey(SigningKey);

impl Signer for DeviceKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).to_bytes().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The crypto and the store, as OpenMLS wants them.
struct Provider<'a> {
    crypto: &'a RustCrypto,
    storage: Storage<'a>,
}

impl<'a> OpenMlsProvider for Provider<'a> {
    type CryptoProvider = RustCrypto;
    type RandProvider = RustCrypto;
    type StorageProvider = Storage<'a>;

    fn storage(&self) -> &Storage<'a> {
        &self.storage
    }

    fn crypto(&self) -> &RustCrypto {
        self.crypto
    }

    fn rand(&self) -> &RustCrypto {
        self.crypto
    }
}

/// The MLS state of one device; see the file's documentation.
pub struct Mls {
    me: Leaf,
    key: DeviceKey,
    crypto: RustCrypto,
    /// Groups in memory, each with when it was used last.
    groups: BTreeMap<ConversationId, (u64, MlsGroup)>,
    uses: u64,
}

/// Shows no key.
impl core::fmt::Debug for Mls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mls").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

fn group_id(id: ConversationId) -> GroupId {
    GroupId::from_slice(&id.to_bytes())
}

impl Mls {
    /// The state of a device, whose identity key has this seed.
    pub fn new(me: Leaf, seed: &[u8; 32]) -> Self {
        Self {
            me,
            key: DeviceKey(SigningKey::from_bytes(seed)),
            crypto: RustCrypto::default(),
            groups: BTreeMap::new(),
            uses: 0,
        }
    }

    /// This device's public identity key.
    pub fn identity_key(&self) -> [u8; 32] {
        self.key.0.verifying_key().to_bytes()
    }

    /// A transaction was undone: what is in memory may be ahead of the store.
    pub fn discard(&mut self) {
        self.groups.clear();
    }

    fn provider<'a>(&'a self, store: &'a Store) -> Provider<'a> {
        Provider { crypto: &self.crypto, storage: Storage(store) }
    }

    fn credential(&self) -> CredentialWithKey {
        use openmls::prelude::{BasicCredential, SignaturePublicKey};
        CredentialWithKey {
            credential: BasicCredential::new(self.me.to_bytes().to_vec()).into(),
            signature_key: SignaturePublicKey::from(self.identity_key().as_slice()),
        }
    }

    /// Takes a group out of memory, or of the store. [`Mls::put_back`] after, if it is as the store has it.
    fn take(&mut self, store: &Store, id: ConversationId) -> Result<Option<MlsGroup>, StoreError> {
        if let Some((_, group)) = self.groups.remove(&id) {
            return Ok(Some(group));
        }
        MlsGroup::load(&Storage(store), &group_id(id))
    }

    fn put_back(&mut self, id: ConversationId, group: MlsGroup) {
        self.uses += 1;
        self.groups.insert(id, (self.uses, group));
        if self.groups.len() > GROUPS_MAX {
            let oldest = self.groups.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.groups.remove(&oldest);
            }
        }
    }

    /// Looks at a group.
    fn look<T>(
        &mut self,
        store: &Store,
        id: ConversationId,
        look: impl FnOnce(&MlsGroup) -> T,
    ) -> Result<Option<T>, StoreError> {
        let Some(group) = self.take(store, id)? else { return Ok(None) };
        let seen = look(&group);
        self.put_back(id, group);
        Ok(Some(seen))
    }

    /// Works on a group. Where that fails, the group is dropped from memory: the caller undoes what was
    /// written, or nothing was.
    fn work<T, E: From<StoreError>>(
        &mut self,
        store: &Store,
        id: ConversationId,
        none: E,
        work: impl FnOnce(&Self, &Provider<'_>, &mut MlsGroup) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(mut group) = self.take(store, id)? else { return Err(none) };
        let done = work(self, &self.provider(store), &mut group)?;
        self.put_back(id, group);
        Ok(done)
    }
}
