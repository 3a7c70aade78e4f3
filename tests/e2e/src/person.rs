//! Somebody with one device, whose program comes and goes while the store stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use estafette::{
    Account, Client, Config, Event, Handle, Message, MessageId, Millis, PhoneNumber, Secrets,
    Status, Store, StoreKey,
};
use estafette_core::mls::Leaf;
use estafette_testkit::{account_secret, device_seed};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What one person has been shown, and told of what they sent.
#[derive(Debug, Default)]
pub struct Seen {
    /// Messages that came in, in the order in which they were shown.
    pub received: Vec<Message>,
    /// Outgoing messages that the server said are safe.
    pub sent: BTreeMap<MessageId, PhoneNumber>,
    /// Outgoing messages of which a device of the recipient is known to have them.
    pub delivered: BTreeSet<MessageId>,
    /// Outgoing messages that were given up.
    pub failed: BTreeSet<MessageId>,
    /// What was told of whether the peer of the open chat is there, and when they last were.
    pub presence: Vec<(bool, Option<Millis>)>,
}

/// One person with one device.
pub struct Person {
    /// Their device's registration.
    pub account: Account,
    store: PathBuf,
    seen: Arc<Mutex<Seen>>,
    changed: watch::Sender<()>,
    running: Option<(Handle, JoinHandle<()>)>,
}

const KEY: StoreKey = StoreKey { key: [3; 32], salt: [4; 16] };

/// What a device knows and the server does not: of each the same whenever it is asked.
pub fn secrets(account: &Account) -> Secrets {
    let leaf = Leaf { account: account.number, device: account.device };
    Secrets { device: device_seed(leaf), account: account_secret(account.number) }
}

impl Person {
    /// Somebody who is not connected yet, with a store in this file.
    pub fn new(account: Account, store: PathBuf) -> Self {
        let (changed, _) = watch::channel(());
        Self { account, store, seen: Arc::default(), changed, running: None }
    }

    /// Their number.
    pub fn number(&self) -> PhoneNumber {
        self.account.number
    }

    /// Starts their program, if it is not running.
    pub async fn come(&mut self) -> Result<()> {
        if self.running.is_none() {
            let store = Store::open(&self.store, &KEY)?;
            let (account, secrets) = (self.account.clone(), secrets(&self.account));
            let client =
                estafette::connect_with(account, &secrets, store, Config::default()).await?;
            let handle = client.handle();
            let watcher = tokio::spawn(watch_over(client, self.seen.clone(), self.changed.clone()));
            self.running = Some((handle, watcher));
        }
        Ok(())
    }

    /// Ends their program, if it is running. What was not sent is sent by the next one.
    pub async fn go(&mut self) -> Result<()> {
        if let Some((handle, watcher)) = self.running.take() {
            handle.close().await;
            watcher.await?;
        }
        Ok(())
    }

    /// Deletes their store, while their program is not running.
    pub fn forget(&mut self) -> Result<()> {
        Ok(std::fs::remove_file(&self.store)?)
    }

    /// Their running program.
    pub fn handle(&self) -> Result<&Handle> {
        Ok(&self.running.as_ref().context("this person's program is not running")?.0)
    }

    /// What they have seen up to now.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once what they have seen is as `wanted`.
    pub async fn until(&self, mut wanted: impl FnMut(&Seen) -> bool) {
        let mut changes = self.changed.subscribe();
        while !wanted(&self.seen()) {
            // The sender lives as long as this person.
            let _ = changes.changed().await;
        }
    }
}

async fn watch_over(mut client: Client, seen: Arc<Mutex<Seen>>, changed: watch::Sender<()>) {
    while let Some(event) = client.next().await {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Received(message) => seen.received.push(message),
            Event::Changed(message) => {
                let mut received = seen.received.iter_mut();
                let shown =
                    received.find(|shown| (shown.peer, shown.id) == (message.peer, message.id));
                match shown {
                    Some(shown) => *shown = message,
                    None => continue,
                }
            }
            Event::Vanished { peer, id } => {
                seen.received.retain(|shown| (shown.peer, shown.id) != (peer, id));
            }
            Event::Status { peer, id, status } => {
                seen.sent.insert(id, peer);
                if status >= Status::Delivered {
                    seen.delivered.insert(id);
                }
            }
            Event::Failed { id, .. } => drop(seen.failed.insert(id)),
            Event::Presence { available, last_seen, .. } => {
                seen.presence.push((available, last_seen));
            }
            _ => continue,
        }
        drop(seen);
        changed.send_replace(());
    }
}
