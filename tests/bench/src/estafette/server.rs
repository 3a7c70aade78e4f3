//! A private runtime with accounts: its own port, storage and secrets.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use estafette_protocol::PhoneNumber;
use estafette_protocol::http::{PushSubscription, Usage};
use estafette_testkit::{Options, Runtime, SmsGateway, random_secret};

use super::client::{Connection, Letters};
use super::http::{Api, on_threads};
use crate::media::{Host, Route};
use crate::process::{Process, raise_file_limit};
use crate::texts::Texts;

/// The number of the first account.
const FIRST_NUMBER: u64 = 33_600_000_000;

/// What a benchmark raises, so that it measures work and not waiting: no rate limit, no budget, and
/// room for a whole workload in one mailbox.
const RAISED: [(&str, u64); 8] = [
    ("SEND_BURST", 1_000_000),
    ("SENDS_PER_SECOND", 1_000_000),
    ("BATCH_BURST", 1_000_000),
    ("BATCHES_PER_SECOND", 1_000_000),
    ("QUEUE_MESSAGES_MAX", 1_000_000),
    ("DAILY_BUDGET_NANODOLLARS", 1 << 53),
    ("UPLOADS_MAX", 1000),
    ("UPLOAD_BYTES_A_DAY", 1 << 53),
];
const RAISED_BINDINGS: [&str; 3] = ["LIMIT_ADDRESS", "LIMIT_DEVICE", "LIMIT_MEDIA"];

/// One account with its one device.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) number: PhoneNumber,
    pub(super) token: String,
}

/// What a client needs to connect.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) port: u16,
    pub(super) accounts: Arc<Vec<Account>>,
}

/// A running server.
#[derive(Debug)]
pub struct Estafette {
    runtime: Runtime,
    api: Api,
    reach: Reach,
    texts: Arc<Texts>,
    /// Streams of messages that were named.
    streams: AtomicU64,
}

impl Estafette {
    /// Starts one, with that many accounts.
    pub async fn start(
        mut options: Options,
        accounts: u32,
        texts: Arc<Texts>,
    ) -> anyhow::Result<Self> {
        raise_file_limit()?;
        for (name, value) in RAISED {
            options = options.var(name, value);
        }
        for binding in RAISED_BINDINGS {
            options = options.rate_limit(binding, 1_000_000);
        }
        let start = move || {
            let gateway = SmsGateway::start(&random_secret()?)?;
            anyhow::Ok((Runtime::start(options.sms(&gateway))?, gateway))
        };
        let (runtime, gateway) = tokio::task::spawn_blocking(start).await??;
        let api = Api::new(runtime.url());
        let numbers = (0..accounts).map(|user| format!("+{}", FIRST_NUMBER + u64::from(user)));
        let register = api.clone();
        let accounts = on_threads("accounts", numbers.collect(), move |number| {
            let registered = register.register(&gateway, number.clone())?;
            Ok(Account { number: registered.account, token: registered.token })
        });
        let reach = Reach { port: runtime.port(), accounts: Arc::new(accounts.await?) };
        Ok(Self { runtime, api, reach, texts, streams: AtomicU64::new(0) })
    }

    /// The server process.
    pub(super) fn process(&self) -> anyhow::Result<Process> {
        Ok(Process::new(self.runtime.workerd_pid()?))
    }

    /// A new process on the same storage: without what registering the accounts has left in memory.
    pub(super) fn restart(&self) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| self.runtime.restart())
    }

    /// The server as one that takes files, for its first account.
    pub(super) fn host(&self) -> anyhow::Result<Host> {
        let route = Route::Tus(self.reach.account(0)?.token.clone());
        Ok(Host { process: self.process()?, port: self.runtime.port(), route })
    }

    /// What a client needs to connect.
    pub(super) fn reach(&self) -> Reach {
        self.reach.clone()
    }

    /// A new stream of messages to a user; `pair` chooses the texts.
    pub(super) fn letters(&self, to: u32, pair: u32) -> anyhow::Result<Letters> {
        let to = self.reach.account(to)?.number;
        Ok(Letters::new(to, pair, Arc::clone(&self.texts), self.new_stream()))
    }

    /// The name of a stream that no device has used.
    pub(super) fn new_stream(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    /// What each of these accounts has been billed today. Each is charged one request for it.
    pub(super) async fn usage(&self, users: Range<u32>) -> anyhow::Result<Vec<Usage>> {
        let (api, reach) = (self.api.clone(), self.reach());
        on_threads("usage", users.collect(), move |&user| api.usage(&reach.account(user)?.token))
            .await
    }

    /// Links another device of a user, and connects it.
    pub(super) async fn link(&self, user: u32) -> anyhow::Result<Connection> {
        let (api, reach) = (self.api.clone(), self.reach());
        let link = move || api.link(&reach.account(user)?.token);
        let linked = tokio::task::spawn_blocking(link).await??;
        Connection::online_as(self.reach.port, user, &linked.token).await
    }

    /// Pushes to a user's device from now on.
    pub(super) async fn subscribe(
        &self,
        user: u32,
        subscription: PushSubscription,
    ) -> anyhow::Result<()> {
        let (api, reach) = (self.api.clone(), self.reach());
        let subscribe = move || api.subscribe(&reach.account(user)?.token, &subscription);
        tokio::task::spawn_blocking(subscribe).await?
    }

    /// Ends it and removes its storage. What the Worker logged, all of it about faults, is printed;
    /// not what the script around the runtime said, which is that it was restarted.
    pub async fn stop(self) -> anyhow::Result<()> {
        let logged = self.runtime.logs();
        tokio::task::spawn_blocking(move || drop(self.runtime)).await?;
        for line in logged.iter().filter(|line| line.level != "runner") {
            eprintln!("  the Worker said: {}", line.message);
        }
        Ok(())
    }
}

impl Reach {
    pub(super) fn account(&self, user: u32) -> anyhow::Result<&Account> {
        self.accounts.get(user as usize).with_context(|| format!("there is no user {user}"))
    }
}
