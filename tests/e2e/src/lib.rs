//! The stage of the end-to-end tests: the real Worker in the real runtime, a real SMS gateway, and
//! people with real clients.

mod person;
mod texts;

pub use person::{Person, Seen};
pub use texts::texts;

use anyhow::Result;
use estafette::{Account, PhoneNumber, Server};
use estafette_testkit::{Options, Runtime, SmsGateway};

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
            .rate_limit("LIMIT_DEVICE", 100_000);
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
}

/// The number of the `index`th person.
pub fn number(index: usize) -> PhoneNumber {
    let digits = 33_600_000_001 + index as u64;
    PhoneNumber::from_digits(digits).unwrap_or_else(|_| unreachable!("in the range of numbers"))
}

/// How many messages and receipts wait for a device, as its mailbox says when it connects.
pub async fn waiting(account: &Account) -> Result<u64> {
    let store = estafette::Store::in_memory()?;
    let mut client =
        estafette::connect_with(account.clone(), store, estafette::Config::default()).await?;
    while let Some(event) = client.next().await {
        if let estafette::Event::Connected { waiting } = event {
            client.close().await;
            return Ok(waiting);
        }
    }
    anyhow::bail!("the client ended before it was connected")
}
