//! The HTTP interface, as far as a benchmark needs it: registration, and what the account's work
//! has cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use data_encoding::BASE64;
use estafette_protocol::http::{
    CodeRequest, Link, LinkRequest, PushSubscription, RegisterRequest, Registered, Usage,
};
use estafette_testkit::SmsGateway;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Requests at a time. More than four new connections at once are more than the SMS gateway's server
/// (`tiny_http`) has threads for, and the fifth waits until another is closed.
const THREADS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
/// How many of a thing are done between two words about it.
const PROGRESS: usize = 500;

/// A client of the HTTP interface.
#[derive(Clone, Debug)]
pub(super) struct Api {
    agent: ureq::Agent,
    url: String,
}

impl Api {
    pub(super) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .max_idle_connections(THREADS)
            .max_idle_connections_per_host(THREADS)
            .build();
        Self { agent: config.into(), url: url.to_owned() }
    }

    /// Makes the account behind `number`, with one device.
    pub(super) fn register(
        &self,
        gateway: &SmsGateway,
        number: String,
    ) -> anyhow::Result<Registered> {
        let request = CodeRequest { number: number.clone() };
        let _: serde_json::Value = self.post("/v1/registration/code", &request)?;
        let code = gateway.code_for(&number)?;
        let (name, identity_key) = device();
        let request = RegisterRequest { number, code, name, identity_key, pin: None };
        self.post("/v1/registration", &request)
    }

    /// Makes another device of the account of this token.
    pub(super) fn link(&self, token: &str) -> anyhow::Result<Registered> {
        let Link { link, secret, .. } = self.post("/v1/links", &())?;
        let (name, identity_key) = device();
        let path = format!("/v1/links/{link}");
        let request = self.agent.post(format!("{}/v1/devices", self.url));
        let request = request.header("authorization", format!("Bearer {token}"));
        request
            .send_json(LinkRequest { link, name, identity_key, handover: None })
            .context("/v1/devices")?;
        self.get(&path, &secret)
    }

    /// What the account of this token has been billed today, this request included.
    pub(super) fn usage(&self, token: &str) -> anyhow::Result<Usage> {
        self.get("/v1/usage", token)
    }

    /// Pushes to the device of this token from now on.
    pub(super) fn subscribe(
        &self,
        token: &str,
        subscription: &PushSubscription,
    ) -> anyhow::Result<()> {
        let request = self.agent.put(format!("{}/v1/push", self.url));
        let request = request.header("authorization", format!("Bearer {token}"));
        request.send_json(subscription).context("/v1/push").map(drop)
    }

    fn get<T: DeserializeOwned>(&self, path: &str, token: &str) -> anyhow::Result<T> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let answer = request.header("authorization", format!("Bearer {token}")).call();
        Ok(answer.context(path.to_owned())?.body_mut().read_json()?)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let answer = self.agent.post(format!("{}{path}", self.url)).send_json(body);
        Ok(answer.context(path.to_owned())?.body_mut().read_json()?)
    }
}

/// What a device says of itself: its name, and a key that no one verifies: any 32 bytes will do.
fn device() -> (String, String) {
    ("bench".to_owned(), BASE64.encode(&[7; 32]))
}

/// Does `one` for each item on some threads. Results are in the items' order.
pub(super) async fn on_threads<T, R>(
    what: &'static str,
    items: Vec<T>,
    one: impl Fn(&T) -> anyhow::Result<R> + Send + Sync + 'static,
) -> anyhow::Result<Vec<R>>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let (items, one, next) = (Arc::new(items), Arc::new(one), Arc::new(AtomicUsize::new(0)));
    let work = move || {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (items, one) = (Arc::clone(&items), Arc::clone(&one));
                let next = Arc::clone(&next);
                thread::spawn(move || {
                    let mut done = Vec::new();
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(turn) else { return Ok(done) };
                        done.push((turn, one(item)?));
                        if (turn + 1).is_multiple_of(PROGRESS) {
                            eprintln!("  {what}: {} of {}", turn + 1, items.len());
                        }
                    }
                })
            })
            .collect();
        let mut done = Vec::new();
        for worker in workers {
            let of_worker: anyhow::Result<Vec<_>> =
                worker.join().map_err(|_| anyhow!("{what}: a thread panicked"))?;
            done.extend(of_worker.context(what)?);
        }
        done.sort_unstable_by_key(|(turn, _)| *turn);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    };
    tokio::task::spawn_blocking(work).await?
}
