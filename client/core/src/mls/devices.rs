//! An account's list of devices: a chain of entries, each signed by the account's key.
//!
//! Invariants:
//! - a list only grows: an entry that does not follow from the one before is refused, and with it whatever the
//!   server puts in place of a list that was seen;
//! - who is not on the list has no business in a conversation, whatever the server says.
//!
//! An entry is a CBOR map, in this order: `place`, from 1; `before`, the SHA-256 of the entry before, empty in
//! the first; `key`, the account's public key; `device`; `identity_key`, absent where the device is removed; `at`,
//! in milliseconds. After it come 64 bytes: the Ed25519 signature of [`CONTEXT`], the digits of the number in 8
//! bytes, and the map.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use estafette_protocol::{DeviceId, Millis, PhoneNumber};
use hkdf::Hkdf;
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256, Sha512};

use super::Leaf;

const CONTEXT: &[u8] = b"estafette device list v1";
const SIGNATURE_BYTES: usize = 64;

/// The secret of an account: all its devices hold it, the server never does. Words show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountSecret([u8; 32]);

/// Shows nothing.
impl core::fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccountSecret")
    }
}

impl AccountSecret {
    /// Of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The key that signs the list of devices.
    pub fn account_key(&self) -> AccountKey {
        AccountKey(SigningKey::from_bytes(&self.derive(b"estafette account key v1")))
    }

    /// The key of the account's history.
    pub fn history_key(&self) -> [u8; 32] {
        self.derive(b"estafette history v1")
    }

    fn derive(&self, info: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        // Fails for more than 255 hashes' worth of bytes only.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(info, &mut key);
        key
    }
}

/// The key that signs an account's list of devices.
pub struct AccountKey(SigningKey);

/// Shows nothing.
impl core::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccountKey")
    }
}

impl AccountKey {
    /// Its public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

/// How far a list goes, as it is said in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The place of the last entry; 0: there is none.
    pub place: u64,
    /// The first bytes of the last entry's SHA-256.
    pub hash: [u8; 16],
}

/// Why entries are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// They can't be read, or do not follow from what is there.
    #[error("the list of devices is not what it was, or makes no sense")]
    Broken,
    /// They are signed by another account key.
    #[error("the account has another key")]
    OtherKey,
}

/// The list of devices of one account, as far as it was seen and is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    account: PhoneNumber,
    key: Option<[u8; 32]>,
    place: u64,
    hash: [u8; 32],
    devices: BTreeMap<DeviceId, [u8; 32]>,
}

struct ListEntry {
    place: u64,
    before: Vec<u8>,
    key: [u8; 32],
    device: DeviceId,
    identity_key: Option<[u8; 32]>,
}

impl DeviceList {
    /// One of which nothing was seen.
    pub fn new(account: PhoneNumber) -> Self {
        Self { account, key: None, place: 0, hash: [0; 32], devices: BTreeMap::new() }
    }

    /// The account's public key.
    pub fn key(&self) -> Option<[u8; 32]> {
        self.key
    }

    /// The identity key of a device that is on the list.
    pub fn identity_key(&self, device: DeviceId) -> Option<[u8; 32]> {
        self.devices.get(&device).copied()
    }

    /// The devices on the list.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.devices.keys().copied()
    }

    /// The same, as leaves.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf> {
        self.devices.keys().map(|device| Leaf { account: self.account, device: *device })
    }

    /// How far it goes.
    pub fn head(&self) -> Head {
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(self.hash) {
            *to = from;
        }
        if self.place == 0 { Head::default() } else { Head { place: self.place, hash } }
    }

    /// Whether this is its last entry.
    pub fn ends_with(&self, entry: &[u8]) -> bool {
        self.place > 0 && self.hash.as_slice() == Sha256::digest(entry).as_slice()
    }

    /// Takes in one more entry.
    ///
    /// # Errors
    /// See [`ListError`]; the list is as it was.
    pub fn extend(&mut self, entry: &[u8]) -> Result<(), ListError> {
        let read = self.read(entry).ok_or(ListError::Broken)?;
        if self.key.is_some_and(|key| key != read.key) {
            return Err(ListError::OtherKey);
        }
        let before: &[u8] = if self.place == 0 { &[] } else { &self.hash };
        if read.place != self.place + 1 || read.before != before {
            return Err(ListError::Broken);
        }
        match read.identity_key {
            Some(key) => drop(self.devices.insert(read.device, key)),
            None => drop(self.devices.remove(&read.device)),
        }
        (self.key, self.place) = (Some(read.key), read.place);
        self.hash = Sha256::digest(entry).into();
        Ok(())
    }

    /// The entry that adds a device (with its identity key) or removes it.
    pub fn next(
        &self,
        key: &AccountKey,
        device: DeviceId,
        identity_key: Option<&[u8; 32]>,
        at: Millis,
    ) -> Vec<u8> {
        let before: &[u8] = if self.place == 0 { &[] } else { &self.hash };
        let mut entry = Vec::new();
        let mut encoder = Encoder::new(&mut entry);
        let fields = if identity_key.is_some() { 6 } else { 5 };
        // Writing to memory does not fail.
        let _ = (|| -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
            encoder.map(fields)?.str("place")?.u64(self.place + 1)?.str("before")?.bytes(before)?;
            encoder.str("key")?.bytes(&key.public())?.str("device")?.bytes(&device.to_bytes())?;
            if let Some(identity_key) = identity_key {
                encoder.str("identity_key")?.bytes(identity_key)?;
            }
            encoder.str("at")?.u64(at)?.ok()
        })();
        let signature = key.0.sign(&self.signed(&entry));
        entry.extend(signature.to_bytes());
        entry
    }

    fn signed(&self, map: &[u8]) -> Vec<u8> {
        [CONTEXT, &self.account.digits().to_be_bytes(), map].concat()
    }

    fn read(&self, entry: &[u8]) -> Option<ListEntry> {
        let (map, signature) = entry.split_at_checked(entry.len().checked_sub(SIGNATURE_BYTES)?)?;
        let mut decoder = Decoder::new(map);
        let fields = decoder.map().ok()??;
        let place = field(&mut decoder, "place", Decoder::u64)?;
        let before = field(&mut decoder, "before", Decoder::bytes)?.to_vec();
        let key = field(&mut decoder, "key", Decoder::bytes)?.try_into().ok()?;
        let device = field(&mut decoder, "device", Decoder::bytes)?.try_into().ok()?;
        let identity_key = match fields {
            6 => Some(field(&mut decoder, "identity_key", Decoder::bytes)?.try_into().ok()?),
            _ => None,
        };
        field(&mut decoder, "at", Decoder::u64)?;
        let is_whole = matches!(fields, 5 | 6) && decoder.position() == map.len();
        let signature = Signature::from_bytes(signature.try_into().ok()?);
        let verifying = VerifyingKey::from_bytes(&key).ok()?;
        verifying.verify_strict(&self.signed(map), &signature).ok()?;
        let device = DeviceId::from_bytes(device);
        is_whole.then_some(ListEntry { place, before, key, device, identity_key })
    }
}

fn field<'a, T>(
    decoder: &mut Decoder<'a>,
    name: &str,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Option<T> {
    (decoder.str().ok()? == name).then(|| read(decoder).ok()).flatten()
}

/// What two people compare to know that nobody is between them: 60 digits, the same on both sides.
///
/// Each account's half is 30 digits of its key and number, hashed 5,200 times (SHA-512), which makes a second
/// key with the same digits dear to find; the lower half comes first.
pub fn safety_number(one: (PhoneNumber, [u8; 32]), other: (PhoneNumber, [u8; 32])) -> String {
    let mut halves = [half(one), half(other)];
    halves.sort();
    halves.concat()
}

const ROUNDS: usize = 5200;

fn half((number, key): (PhoneNumber, [u8; 32])) -> String {
    let start = [b"estafette safety number v1".as_slice(), &key, &number.digits().to_be_bytes()];
    let mut hash: [u8; 64] = Sha512::digest(start.concat()).into();
    for _ in 1..ROUNDS {
        hash = Sha512::new().chain_update(hash).chain_update(key).finalize().into();
    }
    let chunks = hash.chunks_exact(5).take(6);
    let numbers =
        chunks.map(|chunk| chunk.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
    numbers.map(|number| format!("{:05}", number % 100_000)).collect()
}
