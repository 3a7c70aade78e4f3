//! A profile: the directory that holds one device.
//!
//! | File | What it holds | If it is lost |
//! |---|---|---|
//! | `account.json` | server, number, device, token | register or link again |
//! | `identity.key` | the device's Ed25519 secret | register or link again |
//! | `account.key` | what all devices of the account know, and the server does not | link again, or register |
//! | `store.key` | key and salt of the store | the store is lost with it |
//! | `store.db` | messages and contacts, encrypted | what waits on the server comes |
//! | `moving.json` | the account at the number that this one moves to, while it does | the move begins again |
//! | `spool/` | files from pipes on their way out, encrypted with keys of the store | they are not sent |
//! | `lock` | the process that has the profile | it is made again |
//!
//! Invariant: one process at a time has a profile, from [`Profile::open`], [`Profile::register`]
//! or [`Profile::link`] until the value is dropped, and no other user of the machine can read what it holds.

use std::fs::File;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use estafette_core::mls::AccountSecret;
use estafette_core::{Secrets, Store, StoreKey};
use estafette_protocol::PhoneNumber;
use serde::{Deserialize, Serialize};

use crate::files::{io, lock, private_directory, read_private, write_private};
use crate::{Account, Error, LinkUrl, Linking, ProfileError, Proof, Server};

const ACCOUNT: &str = "account.json";
const IDENTITY: &str = "identity.key";
const ACCOUNT_KEY: &str = "account.key";
const STORE_KEY: &str = "store.key";
const STORE: &str = "store.db";
const SPOOL: &str = "spool";
const MOVING: &str = "moving.json";

/// The account at the number that a profile moves to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moving {
    /// It, as this device registered it.
    pub account: Account,
    /// Whether the server was asked to move: whether it did is not known then.
    pub asked: bool,
}

/// A registered device and its files, held by this process.
#[derive(Debug)]
pub struct Profile {
    directory: PathBuf,
    account: Account,
    _lock: File,
}

impl Profile {
    /// The directory that holds profiles unless the user chooses another: `estafette` in the
    /// platform's directory for data. `None` where the user has no home.
    pub fn default_directory() -> Option<PathBuf> {
        use etcetera::BaseStrategy as _;
        let base = etcetera::choose_base_strategy().ok()?;
        Some(base.data_dir().join("estafette"))
    }

    /// Opens the profile in a directory.
    ///
    /// # Errors
    /// When nobody registered there, another process has it, or a file is damaged or can be read by
    /// others.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        if !directory.join(ACCOUNT).exists() {
            return Err(ProfileError::Empty(directory).into());
        }
        let lock = lock(&directory)?;
        let account = Self::account_in(&directory)?;
        Ok(Self { directory, account, _lock: lock })
    }

    /// The account of the profile in a directory, whoever has the profile.
    ///
    /// # Errors
    /// When nobody registered there, or the file is damaged or can be read by others.
    pub fn account_in(directory: &Path) -> Result<Account, Error> {
        let path = directory.join(ACCOUNT);
        let Some(bytes) = read_private(&path)? else {
            return Err(ProfileError::Empty(directory.to_owned()).into());
        };
        let damaged =
            |_| ProfileError::Damaged { path, what_to_do: "delete it and register again" };
        Ok(serde_json::from_slice(&bytes).map_err(damaged)?)
    }

    /// Proves a number with the code that [`Server::request_code`] sent, and the account's PIN where it has
    /// one, and makes the profile, or
    /// renews the one that the number has there.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer, the profile belongs to another number, another
    /// process has it, or the files can't be written.
    pub async fn register<'a>(
        directory: impl Into<PathBuf>,
        server: &Server,
        number: PhoneNumber,
        proof: impl Into<Proof<'a>>,
        name: &str,
    ) -> Result<Self, Error> {
        let directory = directory.into();
        Self::check_free_for(&directory, number)?;
        private_directory(&directory)?;
        let lock = lock(&directory)?;
        let identity = SigningKey::from_bytes(&secret(
            &directory.join(IDENTITY),
            "delete it and register again",
        )?);
        store_key(&directory)?;
        let identity_key = identity.verifying_key().to_bytes();
        let account = server.register(number, proof, name, &identity_key).await?;
        Ok(Self::of(directory, lock, account)?)
    }

    /// Makes the profile another device of an account, once a device of that account has approved
    /// what [`Linking::url`] says.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer, the profile is a device already, another process
    /// has it, the name is no good, or the files can't be written.
    pub async fn link(
        directory: impl Into<PathBuf>,
        server: &Server,
        name: &str,
    ) -> Result<Linking, Error> {
        let directory = directory.into();
        let before = match Self::account_in(&directory) {
            Ok(account) => {
                Self::check_signed_out(&account).await?;
                Some(account.number)
            }
            Err(Error::Profile(ProfileError::Empty(_) | ProfileError::Damaged { .. })) => None,
            Err(error) => return Err(error),
        };
        private_directory(&directory)?;
        let lock = lock(&directory)?;
        let identity = SigningKey::from_bytes(&secret(
            &directory.join(IDENTITY),
            "delete it and link the device again",
        )?);
        store_key(&directory)?;
        let offer = server.link().await?;
        let url = LinkUrl::new(&offer.link, identity.verifying_key().to_bytes(), name)?;
        let seed = identity.to_bytes();
        Ok(Linking::new((directory, lock), seed, before, server.clone(), offer, url))
    }

    /// Whether the server no longer lets a device in. Only then may its profile be another one.
    async fn check_signed_out(account: &Account) -> Result<(), Error> {
        match account.server.devices(&account.token).await {
            Ok(_) => Err(ProfileError::Linked(account.number).into()),
            Err(Error::Refused(problem)) if problem.error.status() == 401 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A profile whose account is new, in a directory that this process holds.
    pub(crate) fn of(
        directory: PathBuf,
        lock: File,
        account: Account,
    ) -> Result<Self, ProfileError> {
        let mut profile = Self { directory, account: account.clone(), _lock: lock };
        profile.keep(account)?;
        Ok(profile)
    }

    /// Whether a number can be registered in a directory, asked before a code is sent for nothing.
    ///
    /// # Errors
    /// When the profile there belongs to another number.
    pub fn check_free_for(directory: &Path, number: PhoneNumber) -> Result<(), Error> {
        match Self::account_in(directory) {
            Ok(account) if account.number != number => {
                Err(ProfileError::OtherNumber(account.number).into())
            }
            // A damaged file is what registering again mends.
            Ok(_) | Err(Error::Profile(ProfileError::Empty(_) | ProfileError::Damaged { .. })) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Where the account is on its way to, if it is.
    ///
    /// # Errors
    /// When the file is damaged or can be read by others.
    pub fn moving(&self) -> Result<Option<Moving>, Error> {
        let path = self.directory.join(MOVING);
        let Some(bytes) = read_private(&path)? else { return Ok(None) };
        let what_to_do = "delete it and begin again";
        let damaged = |_| ProfileError::Damaged { path, what_to_do };
        Ok(Some(serde_json::from_slice(&bytes).map_err(damaged)?))
    }

    /// Proves the number to which the account is to move, and keeps what comes of it beside the account.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer, or the files can't be written.
    pub async fn register_beside(
        &self,
        number: PhoneNumber,
        proof: impl Into<Proof<'_>>,
        name: &str,
    ) -> Result<Account, Error> {
        let identity = SigningKey::from_bytes(&secret(
            &self.directory.join(IDENTITY),
            "delete it and register again",
        )?);
        let identity_key = identity.verifying_key().to_bytes();
        let server = &self.account.server;
        let account = server.register(number, proof, name, &identity_key).await?;
        Self::keep_moving(&self.directory, &Moving { account: account.clone(), asked: false })?;
        Ok(account)
    }

    /// Keeps how far the account of the profile in a directory is on its way. A client may have the profile.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn keep_moving(directory: &Path, moving: &Moving) -> Result<(), Error> {
        let path = directory.join(MOVING);
        let json =
            serde_json::to_vec_pretty(moving).map_err(|error| io("write", &path)(error.into()))?;
        Ok(write_private(&path, &json)?)
    }

    /// The account is at its new number, and so are the messages and contacts that this device has. Each
    /// part may have been done before.
    ///
    /// # Errors
    /// When the store or the files can't be written.
    pub fn arrive(&mut self, account: Account) -> Result<(), Error> {
        self.open_store()?.move_to(account.number)?;
        self.keep(account)?;
        let path = self.directory.join(MOVING);
        Ok(std::fs::remove_file(&path).map_err(io("delete", &path))?)
    }

    /// The device that it holds.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What this device knows and the server does not.
    ///
    /// # Errors
    /// When a file is damaged, can be read by others, or can't be made.
    pub fn secrets(&self) -> Result<Secrets, Error> {
        Self::secrets_in(&self.directory)
    }

    /// The same, of the profile in a directory, whoever has the profile.
    ///
    /// # Errors
    /// As [`Profile::secrets`].
    pub fn secrets_in(directory: &Path) -> Result<Secrets, Error> {
        let what_to_do = "delete it and register again";
        let device = secret(&directory.join(IDENTITY), what_to_do)?;
        let account = secret(&directory.join(ACCOUNT_KEY), what_to_do)?;
        Ok(Secrets { device, account: AccountSecret::new(account) })
    }

    /// The file of the messages, which may be deleted while no process has the profile.
    pub fn store_path(&self) -> PathBuf {
        self.directory.join(STORE)
    }

    /// The directory of files on their way out that can be read only once.
    pub(crate) fn spool(&self) -> PathBuf {
        self.directory.join(SPOOL)
    }

    /// Opens the store, without connecting.
    ///
    /// # Errors
    /// When the key is damaged or the store can't be read.
    pub fn open_store(&self) -> Result<Store, Error> {
        let key = store_key(&self.directory)?;
        Ok(Store::open(&self.store_path(), &key)?)
    }

    /// Keeps the secret of the account that this device was linked to.
    pub(crate) fn keep_secret(
        directory: &Path,
        secret: &AccountSecret,
    ) -> Result<(), ProfileError> {
        write_private(&directory.join(ACCOUNT_KEY), &secret.to_bytes())
    }

    /// Keeps an account's new token.
    pub(crate) fn keep(&mut self, account: Account) -> Result<(), ProfileError> {
        let path = self.directory.join(ACCOUNT);
        let json = serde_json::to_vec_pretty(&account)
            .map_err(|error| io("write", &path)(error.into()))?;
        write_private(&path, &json)?;
        self.account = account;
        Ok(())
    }
}

/// The store's key, made where there is none: 32 bytes of key, then 16 of salt.
fn store_key(directory: &Path) -> Result<StoreKey, ProfileError> {
    let what_to_do = "delete it and store.db; what waits on the server will come";
    let bytes: [u8; 48] = secret(&directory.join(STORE_KEY), what_to_do)?;
    let (mut key, mut salt) = ([0; 32], [0; 16]);
    let (first, second) = bytes.split_at(key.len());
    key.copy_from_slice(first);
    salt.copy_from_slice(second);
    Ok(StoreKey { key, salt })
}

/// A secret of `N` random bytes, made where there is none.
fn secret<const N: usize>(path: &Path, what_to_do: &'static str) -> Result<[u8; N], ProfileError> {
    if let Some(bytes) = read_private(path)? {
        let damaged = |_| ProfileError::Damaged { path: path.to_owned(), what_to_do };
        return bytes.try_into().map_err(damaged);
    }
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ProfileError::NoRandomness)?;
    write_private(path, &bytes)?;
    Ok(bytes)
}
