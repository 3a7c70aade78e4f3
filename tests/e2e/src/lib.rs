//! The stage of the end-to-end tests: the real Worker in the real runtime, a real SMS gateway, and
//! people with real clients.

mod desk;
mod http;
mod person;
mod proxy;
mod push;
mod terminal;
mod texts;
mod tus;
mod wire;

pub use desk::{Desk, Talk};
pub use http::{Answer, Request};
pub use person::{Person, Seen, secrets};
pub use proxy::{Passed, Proxy};
pub use push::{Subscriber, put};
pub use terminal::{Row, Terminal};
pub use texts::texts;
pub use tus::{Tus, TusUpload, bytes};
pub use wire::{Stream, Wire};

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use estafette::{Account, PhoneNumber, Server};
use estafette_testkit::{Options, Runtime, SmsGateway};

/// A database without a table: one page.
const EMPTY_BYTES: u64 = 4096;
const SMS_SECRET: &str = "a secret of the gateway, for tests alone";

/// A running server.
pub struct Stage {
    /// The runtime, to be killed and started again.
    pub runtime: Runtime,
    /// The gateway that codes go out by.
    pub gateway: SmsGateway,
    server: Server,
}

impl Stage {
    /// Starts a server. `change` may set variables, limits or another build.
    pub fn start(change: impl FnOnce(Options) -> Options) -> Result<Self> {
        let gateway = SmsGateway::start(SMS_SECRET)?;
        let options = Options::new()
            .sms(&gateway)
            .rate_limit("LIMIT_ADDRESS", 100_000)
            .rate_limit("LIMIT_DEVICE", 100_000)
            .rate_limit("LIMIT_MEDIA", 100_000);
        let runtime = Runtime::start(change(options))?;
        let server = Server::new(runtime.url())?;
        Ok(Self { runtime, gateway, server })
    }

    /// Its address.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Registers a number, as its only device.
    pub async fn register(&self, number: PhoneNumber) -> Result<Account> {
        self.server.request_code(number).await?;
        let code = self.gateway.code_for(&number.to_string())?;
        Ok(self.server.register(number, &code, "test", &[7; 32]).await?)
    }

    /// A further code for a number, without the wait for it: the server is restarted, and finds that the
    /// code before was sent long ago.
    pub async fn another_code(&self, number: PhoneNumber) -> Result<String> {
        self.runtime.kill()?;
        for path in databases(&self.runtime)? {
            let database = rusqlite::Connection::open(path)?;
            let query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'code')";
            if database.query_row(query, [], |row| row.get(0))? {
                database.execute("UPDATE code SET last_sent_at = 0", [])?;
            }
        }
        self.runtime.restart()?;
        self.server.request_code(number).await?;
        self.gateway.code_for(&number.to_string())
    }

    /// How many objects were ever woken: the runtime makes a file for each.
    pub fn woken(&self) -> Result<usize> {
        Ok(databases(&self.runtime)?.len())
    }

    /// How many objects keep anything.
    pub fn kept(&self) -> Result<usize> {
        let mut kept = 0;
        for path in databases(&self.runtime)? {
            // With what was not yet moved there from its log.
            let log = fs::metadata(path.with_extension("sqlite-wal"));
            let bytes = fs::metadata(&path)?.len() + log.map_or(0, |log| log.len());
            kept += usize::from(bytes > EMPTY_BYTES);
        }
        Ok(kept)
    }

    /// How often the account's object was called today, this call not included.
    pub async fn calls(&self, account: &Account) -> Result<u64> {
        Ok(self.server.usage(&account.token).await?.requests - 1)
    }
}

/// The file of each object's database.
fn databases(runtime: &Runtime) -> Result<Vec<PathBuf>> {
    let mut databases = Vec::new();
    let mut directories = vec![runtime.storage().join("do")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sqlite")
                // The runtime's own, one a class.
                && path.file_stem().is_some_and(|name| name != "metadata")
            {
                databases.push(path);
            }
        }
    }
    Ok(databases)
}

/// The number of the `index`th person.
pub fn number(index: usize) -> PhoneNumber {
    let digits = 33_600_000_001 + index as u64;
    PhoneNumber::from_digits(digits).unwrap_or_else(|_| unreachable!("in the range of numbers"))
}

/// How many messages and receipts wait for a device, as its mailbox says when it connects.
pub async fn waiting(account: &Account) -> Result<u64> {
    let (store, config) = (estafette::Store::in_memory()?, estafette::Config::default());
    let mut client =
        estafette::connect_with(account.clone(), &secrets(account), store, config).await?;
    while let Some(event) = client.next().await {
        if let estafette::Event::Connected { waiting } = event {
            client.close().await;
            return Ok(waiting);
        }
    }
    anyhow::bail!("the client ended before it was connected")
}
