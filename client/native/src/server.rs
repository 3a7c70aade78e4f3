//! The server's HTTP interface: what is not a conversation.
//!
//! Requests run on the runtime's blocking threads, at most [`AT_ONCE`] at a time however many
//! clients the process has, over one pool of connections.

mod profiles;

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use estafette_core::PinKey;
use estafette_protocol::http::{
    CodeRequest, CodeSent, Collected, DeviceName, Devices, Export, Health, Link, LinkRequest,
    Linked, Lookup, LookupRequest, Motd, MoveRequest, NewPin, People, Person, Pin, Privacy,
    RegisterRequest, Registered, ReportRequest, Usage,
};
use estafette_protocol::{DeviceId, Millis, PhoneNumber};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::http::request::Builder;
use tokio_tungstenite::tungstenite::http::{Method, Request, Uri};
use ureq::Agent;

use crate::Error;

/// How many requests are under way in this process at a time.
const AT_ONCE: usize = 8;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The status of a link that nobody approved yet.
const ACCEPTED: u16 = 202;
/// The status of a profile that is known.
const NOT_MODIFIED: u16 = 304;

static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);
static AGENT: OnceLock<Agent> = OnceLock::new();

/// A server, by its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Server {
    address: String,
}

/// What proves a number: the code that was sent to it, and the PIN of an account that has one.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// The code.
    pub code: &'a str,
    /// What was made of the PIN, if one was given.
    pub pin: Option<&'a PinKey>,
}

impl<'a> From<&'a str> for Proof<'a> {
    fn from(code: &'a str) -> Self {
        Self { code, pin: None }
    }
}

impl<'a> From<&'a String> for Proof<'a> {
    fn from(code: &'a String) -> Self {
        code.as_str().into()
    }
}

/// Shows nothing.
impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// A registered device: what it needs to talk to its server. The token is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Where it is registered.
    pub server: Server,
    /// The account.
    pub number: PhoneNumber,
    /// The device.
    pub device: DeviceId,
    /// What opens the door.
    pub token: String,
    /// When the token was given, by this machine's clock.
    pub renewed_at: Millis,
    /// When the token is no longer good, by the server's clock.
    pub expires_at: Millis,
}

/// Shows no token and no number.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Account {
    /// When to ask for a new token: after half of this one's life.
    pub(crate) fn renew_at(&self) -> Millis {
        self.renewed_at + self.expires_at.saturating_sub(self.renewed_at) / 2
    }
}

impl Server {
    /// A server at `https://HOST[:PORT]`. Plain `http://` is for this machine only, since it shows
    /// the token to whoever listens.
    ///
    /// # Errors
    /// [`Error::Address`] when it is neither.
    pub fn new(address: &str) -> Result<Self, Error> {
        let address = address.trim().trim_end_matches('/');
        let wrong = || Error::Address { address: address.to_owned() };
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let plain_path = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let fits = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_this_machine(uri.host().unwrap_or_default()),
            _ => false,
        };
        if !plain_path || !fits || uri.authority().is_some_and(|at| at.as_str().contains('@')) {
            return Err(wrong());
        }
        Ok(Self { address: address.to_owned() })
    }

    /// Its address, without a slash at the end.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of the socket.
    pub(crate) fn socket_address(&self) -> String {
        // `http` becomes `ws`, `https` becomes `wss`.
        format!("ws{}/v1/socket", self.address.trim_start_matches("http"))
    }

    /// Whether it is up, its version and its clock.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub async fn health(&self) -> Result<Health, Error> {
        self.call(Method::GET, "/v1/health".into(), None, None::<()>).await
    }

    /// Sends a one-time code to a number.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn request_code(&self, number: PhoneNumber) -> Result<CodeSent, Error> {
        let body = CodeRequest { number: number.to_string() };
        self.call(Method::POST, "/v1/registration/code".into(), None, Some(body)).await
    }

    /// Proves a number and makes this device the account's primary one; earlier
    /// devices are removed. [`Profile::register`](crate::Profile::register) also keeps what comes of
    /// it.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn register<'a>(
        &self,
        number: PhoneNumber,
        proof: impl Into<Proof<'a>>,
        name: &str,
        identity_key: &[u8; 32],
    ) -> Result<Account, Error> {
        let Proof { code, pin } = proof.into();
        let body = RegisterRequest {
            number: number.to_string(),
            code: code.to_owned(),
            name: name.to_owned(),
            identity_key: BASE64.encode(identity_key),
            pin: pin.map(|pin| BASE64.encode(pin.as_bytes())),
        };
        let path = "/v1/registration".into();
        let registered = self.call(Method::POST, path, None, Some(body)).await?;
        Ok(self.account(registered))
    }

    /// A code by which a device of an account can make the one that asks another device of it.
    /// [`Profile::link`](crate::Profile::link) also keeps what comes of it.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn link(&self) -> Result<Link, Error> {
        self.call(Method::POST, "/v1/links".into(), None, None::<()>).await
    }

    /// What came of a code: nothing while nobody approved it, then the device that it made, and what was
    /// handed over to it.
    ///
    /// # Errors
    /// When its time is over ([`ErrorCode::LinkExpired`](crate::ErrorCode::LinkExpired)), the server
    /// refuses otherwise or doesn't answer.
    pub async fn collect(&self, link: &Link) -> Result<Option<(Account, Option<Vec<u8>>)>, Error> {
        let path = format!("/v1/links/{}", link.link);
        let asked = self.bytes(Method::GET, path, Some(&link.secret), None::<()>).await?;
        let (status, bytes) = asked;
        if status == ACCEPTED {
            return Ok(None);
        }
        let unexpected = || self.unexpected(status);
        let collected = serde_json::from_slice(&bytes).or(Err(unexpected()))?;
        let Collected { account, device, token, expires_at, handover } = collected;
        let handover = handover.map(|text| BASE64.decode(text.as_bytes()).or(Err(unexpected())));
        let account = self.account(Registered { account, device, token, expires_at });
        Ok(Some((account, handover.transpose()?)))
    }

    /// Makes the device that shows a code another device of the account. What is handed over to it is sealed
    /// for it already.
    ///
    /// # Errors
    /// When the code is no longer good, the account has as many devices as it may, the server refuses
    /// otherwise or doesn't answer.
    pub async fn approve(
        &self,
        token: &str,
        link: &str,
        name: &str,
        identity_key: &[u8; 32],
        handover: Option<&[u8]>,
    ) -> Result<DeviceId, Error> {
        let body = LinkRequest {
            handover: handover.map(|sealed| BASE64.encode(sealed)),
            link: link.to_owned(),
            name: name.to_owned(),
            identity_key: BASE64.encode(identity_key),
        };
        let path = "/v1/devices".into();
        let linked: Linked = self.call(Method::POST, path, Some(token), Some(body)).await?;
        Ok(linked.device)
    }

    /// Gives a device another name. The primary device may rename each, the others themselves.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn rename_device(
        &self,
        token: &str,
        device: DeviceId,
        name: &str,
    ) -> Result<(), Error> {
        let path = format!("/v1/devices/{device}");
        let body = DeviceName { name: name.to_owned() };
        self.bytes(Method::PATCH, path, Some(token), Some(body)).await.map(drop)
    }

    /// The account's devices.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn devices(&self, token: &str) -> Result<Devices, Error> {
        self.call(Method::GET, "/v1/devices".into(), Some(token), None::<()>).await
    }

    /// Removes a device from the account: its token is no longer good. The primary device may remove
    /// each, the others themselves.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn remove_device(&self, token: &str, device: DeviceId) -> Result<(), Error> {
        let path = format!("/v1/devices/{device}");
        self.bytes(Method::DELETE, path, Some(token), None::<()>).await.map(drop)
    }

    /// Who may see what of the account.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn privacy(&self, token: &str) -> Result<Privacy, Error> {
        self.call(Method::GET, "/v1/privacy".into(), Some(token), None::<()>).await
    }

    /// Chooses who may see what of the account.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn set_privacy(&self, token: &str, privacy: &Privacy) -> Result<(), Error> {
        let path = "/v1/privacy".into();
        self.bytes(Method::PUT, path, Some(token), Some(privacy)).await.map(drop)
    }

    /// Everybody of whom the account's mailbox was told something.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn people(&self, token: &str) -> Result<People, Error> {
        self.call(Method::GET, "/v1/people".into(), Some(token), None::<()>).await
    }

    /// Tells the account's mailbox of somebody, instead of all that it was told of them before.
    ///
    /// # Errors
    /// When the server was told of as many as it keeps, refuses otherwise or doesn't answer.
    pub async fn set_person(
        &self,
        token: &str,
        number: PhoneNumber,
        person: &Person,
    ) -> Result<(), Error> {
        let path = format!("/v1/people/%2B{}", number.digits());
        self.bytes(Method::PUT, path, Some(token), Some(person)).await.map(drop)
    }

    /// Whether the account has a registration PIN.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn has_pin(&self, token: &str) -> Result<bool, Error> {
        let pin: Pin = self.call(Method::GET, "/v1/pin".into(), Some(token), None::<()>).await?;
        Ok(pin.set)
    }

    /// Sets the account's registration PIN. Its primary device may.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn set_pin(&self, token: &str, pin: &PinKey) -> Result<(), Error> {
        let body = NewPin { pin: BASE64.encode(pin.as_bytes()) };
        self.bytes(Method::PUT, "/v1/pin".into(), Some(token), Some(body)).await.map(drop)
    }

    /// Removes the account's registration PIN. Its primary device may.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn remove_pin(&self, token: &str) -> Result<(), Error> {
        self.bytes(Method::DELETE, "/v1/pin".into(), Some(token), None::<()>).await.map(drop)
    }

    /// Which of these numbers, at most [`LOOKUP_NUMBERS_MAX`](crate::limits::LOOKUP_NUMBERS_MAX), have
    /// an account that lets itself be found by this one, as they were asked for. The server keeps how
    /// many were asked for, and not which; [`Usage::lookups_left`] says how many more there are.
    ///
    /// # Errors
    /// When they are too many, for one time or for now
    /// ([`ErrorCode::LookupLimit`](crate::ErrorCode::LookupLimit)), the server refuses otherwise or
    /// doesn't answer.
    pub async fn lookup(
        &self,
        token: &str,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<PhoneNumber>, Error> {
        let numbers = numbers.iter().map(ToString::to_string).collect();
        let body = LookupRequest { numbers };
        let path = "/v1/lookup".into();
        let found: Lookup = self.call(Method::POST, path, Some(token), Some(body)).await?;
        Ok(found.registered)
    }

    /// All that the server holds on the account, but for bodies.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn export(&self, token: &str) -> Result<Export, Error> {
        self.call(Method::GET, "/v1/account".into(), Some(token), None::<()>).await
    }

    /// Deletes the account. Its primary device may.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn delete_account(&self, token: &str) -> Result<(), Error> {
        let path = "/v1/account".into();
        self.bytes(Method::DELETE, path, Some(token), None::<()>).await.map(drop)
    }

    /// Moves the account to another number, which the device registered before: `to` is its token there.
    /// Its primary device may. It may be asked again.
    ///
    /// # Errors
    /// When something waits for the device ([`ErrorCode::Waiting`](crate::ErrorCode::Waiting)), the server
    /// refuses otherwise or doesn't answer.
    pub async fn move_account(&self, token: &str, to: &str) -> Result<(), Error> {
        let body = MoveRequest { token: to.to_owned() };
        let path = "/v1/account/move".into();
        self.bytes(Method::POST, path, Some(token), Some(body)).await.map(drop)
    }

    /// Tells whoever runs the server of somebody.
    ///
    /// # Errors
    /// When the server takes no reports, or no more today, refuses otherwise or doesn't answer.
    pub async fn report(&self, token: &str, report: &ReportRequest) -> Result<(), Error> {
        let path = "/v1/reports".into();
        self.bytes(Method::POST, path, Some(token), Some(report)).await.map(drop)
    }

    /// The message of the day.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn motd(&self) -> Result<Motd, Error> {
        self.call(Method::GET, "/v1/motd".into(), None, None::<()>).await
    }

    /// What the account's work has cost today.
    ///
    /// # Errors
    /// When the server refuses or doesn't answer.
    pub async fn usage(&self, token: &str) -> Result<Usage, Error> {
        self.call(Method::GET, "/v1/usage".into(), Some(token), None::<()>).await
    }

    /// A new token for the old one.
    pub(crate) async fn renew(&self, token: &str) -> Result<Account, Error> {
        let path = "/v1/token".into();
        Ok(self.account(self.call(Method::POST, path, Some(token), None::<()>).await?))
    }

    fn account(&self, registered: Registered) -> Account {
        Account {
            server: self.clone(),
            number: registered.account,
            device: registered.device,
            token: registered.token,
            renewed_at: now(),
            expires_at: registered.expires_at,
        }
    }

    async fn call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        token: Option<&str>,
        body: Option<impl Serialize>,
    ) -> Result<A, Error> {
        let (status, bytes) = self.bytes(method, path, token, body).await?;
        serde_json::from_slice(&bytes).or(Err(self.unexpected(status)))
    }

    /// Performs a request and returns the status and bytes of a successful answer.
    async fn bytes(
        &self,
        method: Method,
        path: String,
        token: Option<&str>,
        body: Option<impl Serialize>,
    ) -> Result<(u16, Vec<u8>), Error> {
        let mut request = self.request(method, &path, token);
        // Nothing that is sent has a map whose keys are no texts, so nothing fails to be written.
        let body = body.and_then(|body| serde_json::to_vec(&body).ok());
        if body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        self.perform(request, body.unwrap_or_default()).await
    }

    fn request(&self, method: Method, path: &str, token: Option<&str>) -> Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.address));
        match token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Performs a request with a body of any kind. That nothing has changed is a success too.
    async fn perform(&self, request: Builder, body: Vec<u8>) -> Result<(u16, Vec<u8>), Error> {
        let wrong = || Error::Address { address: self.address.clone() };
        let request = request.body(body).map_err(|_| wrong())?;
        let permit = PERMITS.acquire().await.or(Err(Error::Ended))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            perform(request)
        });
        let (status, bytes) = done.await.or(Err(Error::Ended))?.map_err(|error| {
            let reason = plain_reason(&error);
            Error::Unreachable { server: self.address.clone(), reason }
        })?;
        if (200..300).contains(&status) || status == NOT_MODIFIED {
            return Ok((status, bytes));
        }
        Err(serde_json::from_slice(&bytes).map_or(self.unexpected(status), Error::Refused))
    }

    fn unexpected(&self, status: u16) -> Error {
        Error::Unexpected { server: self.address.clone(), status }
    }
}

impl TryFrom<String> for Server {
    type Error = Error;

    fn try_from(address: String) -> Result<Self, Error> {
        Self::new(&address)
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        server.address
    }
}

pub(crate) fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn perform(request: Request<Vec<u8>>) -> Result<(u16, Vec<u8>), ureq::Error> {
    let agent = AGENT.get_or_init(|| {
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("estafette/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    });
    let here = request.uri().host().is_some_and(is_this_machine);
    let mut request = agent.configure_request(request);
    if here {
        request = request.proxy(None);
    }
    let mut answer = agent.run(request.build())?;
    let status = answer.status().as_u16();
    let bytes = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok((status, bytes))
}

/// What the network said, in as few words as it allows.
pub(crate) fn plain_reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
            std::io::ErrorKind::TimedOut => "it took too long".into(),
            _ => error.to_string(),
        },
        ureq::Error::Timeout(_) => "it took too long".into(),
        ureq::Error::HostNotFound => "no such host".into(),
        other => other.to_string(),
    }
}

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
