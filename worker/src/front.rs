//! The front Worker: every request that comes from outside.
//!
//! Invariant: no object is woken for a request that is malformed, over its limit, or (but for
//! registration) without a token that was signed here and is still good.

mod admin;
mod link;
mod lookup;
mod moving;
mod people;
mod pin;
mod profile;
mod push;
mod reports;

use std::cell::OnceCell;
use std::rc::Rc;

use estafette_protocol::http::{CodeSent, Health, Registered};
use estafette_protocol::{DeviceId, ErrorCode, Millis, PhoneNumber};
use estafette_relay::{AccountReply, AccountRequest, Connect};
use futures_util::StreamExt;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use worker::js_sys::{Number, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen_futures::{self, JsFuture};
use worker::{ByteStream, Env, Headers, Request, Response, ResponseBuilder, Stub, web_sys};

use crate::code::Code;
use crate::connect;
use crate::gateway::GatewayError;
use crate::input::{self, BODY_BYTES_MAX, Registration};
use crate::js::{self, CallError, Mailbox};
use crate::log::{self, Event};
use crate::media::{self, Store};
use crate::problem::Failure;
use crate::route::{Route, is_admin, route};
use crate::setup::{Setup, SetupError, SetupFault};
use crate::sms;
use crate::token::Identity;

const MAILBOX: &str = "MAILBOX";
const LIMIT_ADDRESS: &str = "LIMIT_ADDRESS";
const LIMIT_DEVICE: &str = "LIMIT_DEVICE";
const LIMIT_MEDIA: &str = "LIMIT_MEDIA";
// As `build.rs` packs them: gzip.
const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"));
const ASYNCAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/asyncapi.json.gz"));
/// The period of the rate-limit bindings in `wrangler.toml`.
const LIMIT_PERIOD: Millis = 60_000;
/// How long to wait before asking an object again that did not answer.
pub(crate) const RETRY: Millis = 1000;

thread_local! {
    static SETUP: OnceCell<Result<Rc<Setup>, SetupError>> = const { OnceCell::new() };
}

/// The deployment's setup, read on first use. What is wrong with it is logged once.
pub(crate) fn setup(env: &Env) -> Result<Rc<Setup>, SetupError> {
    SETUP.with(|setup| {
        setup
            .get_or_init(|| {
                std::panic::set_hook(Box::new(|info| {
                    let at = info.location().map(ToString::to_string).unwrap_or_default();
                    log::write(&Event::Panic { at: &at });
                }));
                let read = bound(env).and_then(|()| Setup::read(|name| variable(env, name)));
                if let Err(error) = &read {
                    log::write(&Event::Setup(*error));
                }
                read.map(Rc::new)
            })
            .clone()
    })
}

fn bound(env: &Env) -> Result<(), SetupError> {
    let missing = |variable| SetupError { variable, fault: SetupFault::Missing };
    env.durable_object(MAILBOX).or(Err(missing(MAILBOX)))?;
    env.durable_object("UPLOAD").or(Err(missing("UPLOAD")))?;
    env.bucket("MEDIA").or(Err(missing("MEDIA")))?;
    for variable in [LIMIT_ADDRESS, LIMIT_DEVICE, LIMIT_MEDIA] {
        env.rate_limiter(variable).or(Err(missing(variable)))?;
    }
    Ok(())
}

/// The text of a variable or secret. `Env::var` finds no number, and numbers may be written as such.
fn variable(env: &Env, name: &str) -> Option<String> {
    let value = Reflect::get(env, &JsValue::from_str(name)).ok()?;
    match value.dyn_into::<Number>() {
        Ok(number) => number.to_string_with_radix(10).ok().map(String::from),
        Err(value) => value.as_string(),
    }
}

/// Answers one request.
#[wasm_bindgen]
pub async fn fetch(request: web_sys::Request, env: Env, store: Store) -> web_sys::Response {
    let now = js::now();
    let Ok(setup) = setup(&env) else { return problem(&ErrorCode::Internal.into()).into() };
    let front = Front { request: request.into(), env, store, setup, now };
    match front.respond().await {
        Ok(response) => response.into(),
        Err(failure) => problem(&failure).into(),
    }
}

/// A failure as an answer.
pub(crate) fn problem(failure: &Failure) -> Response {
    let headers: Vec<_> = failure.headers().collect();
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
    answer(failure.code.status(), &all).fixed(failure.body().into_bytes())
}

/// Status and headers, with those that every answer has. None lets another site's page read it.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)]) -> ResponseBuilder {
    let always = [("cache-control", "no-store"), ("x-content-type-options", "nosniff")];
    let all = Headers::new();
    for (name, value) in always.iter().chain(headers) {
        // Names and values are this program's own: none is refused.
        let _ = all.set(name, value);
    }
    ResponseBuilder::new().with_status(status).with_headers(all)
}

fn json(status: u16, body: &impl Serialize) -> Result<Response, Failure> {
    Ok(json_text(status, serde_json::to_vec(body).or(Err(ErrorCode::Internal))?))
}

fn json_text(status: u16, text: Vec<u8>) -> Response {
    answer(status, &[("content-type", "application/json")]).fixed(text)
}

/// One request on its way.
pub(crate) struct Front {
    pub(crate) request: Request,
    pub(crate) env: Env,
    pub(crate) store: Store,
    pub(crate) setup: Rc<Setup>,
    pub(crate) now: Millis,
}

impl Front {
    async fn respond(&self) -> Result<Response, Failure> {
        // `Request::method` takes what it does not know for GET.
        let request = self.request.inner();
        let url = request.url();
        if let Some(target) = media::target(&url) {
            return Ok(self.tus(target).await);
        }
        if is_admin(&url) && self.setup.admin.is_none() {
            return Err(ErrorCode::NotFound.into());
        }
        match route(&request.method(), &url)? {
            Route::Health => json(
                200,
                &Health {
                    status: "ok".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    now: self.now,
                },
            ),
            Route::OpenApi => self.document(OPENAPI),
            Route::AsyncApi => self.document(ASYNCAPI),
            Route::Code => self.send_code().await,
            Route::Register => self.register().await,
            Route::Renew => self.renew().await,
            Route::Devices => self.devices().await,
            Route::LinkDevice => self.approve_link().await,
            Route::RenameDevice(target) => self.rename(target).await,
            Route::RemoveDevice(target) => self.remove(target).await,
            Route::OfferLink => self.offer_link().await,
            Route::CollectLink(code) => self.collect_link(code).await,
            Route::Export => self.export().await,
            Route::DeleteAccount => self.delete_account().await,
            Route::MoveAccount => self.move_account().await,
            Route::Privacy => self.privacy().await,
            Route::SetPrivacy => self.set_privacy().await,
            Route::People => self.people().await,
            Route::SetPerson(number) => self.set_person(number).await,
            Route::Profile => self.profile().await,
            Route::SetProfile => self.set_profile().await,
            Route::ShownProfile(number) => self.shown_profile(number).await,
            Route::PutPicture => self.put_picture().await,
            Route::DropPicture => self.drop_picture().await,
            Route::Picture(number) => self.picture(number).await,
            Route::Pin => self.pin().await,
            Route::SetPin => self.set_pin().await,
            Route::RemovePin => self.remove_pin().await,
            Route::Lookup => self.lookup().await,
            Route::Usage => self.usage().await,
            Route::Media(id) => self.download(id).await,
            Route::Subscription => self.subscription().await,
            Route::Subscribe => self.subscribe().await,
            Route::Unsubscribe => self.unsubscribe().await,
            Route::Socket => self.socket().await,
            Route::Report => self.report().await,
            Route::Motd => self.motd().await,
            Route::Inspect(number) => self.inspect(number).await,
            Route::Suspend(number) => self.suspend(number).await,
            Route::Restore(number) => self.restore(number).await,
            Route::SetMotd => self.set_motd().await,
            Route::DeleteMotd => self.delete_motd().await,
            Route::Audit => self.read_audit(&url).await,
        }
    }

    /// A document, unpacked on its way out.
    fn document(&self, packed: &[u8]) -> Result<Response, Failure> {
        let answer = answer(200, &[("content-type", "application/json")]);
        if self.request.inner().method() == "HEAD" {
            return Ok(answer.empty());
        }
        Ok(answer.stream(js::unpacked(packed).or(Err(ErrorCode::Internal))?))
    }

    async fn send_code(&self) -> Result<Response, Failure> {
        let number = input::code_request(&self.body().await?)?;
        let gateway = self.setup.gateway.as_ref().ok_or_else(|| {
            log::write(&Event::Sms(GatewayError::NoGateway));
            ErrorCode::SmsUnavailable
        })?;
        self.limit_address().await?;
        let code = draw_code()?;
        let hash = code.hash(&self.setup.code_key, number);
        let answer = self.ask(number, &AccountRequest::Code { hash }).await?;
        let AccountReply::CodeTaken { resend_after, expires_at } = answer else {
            return Err(ErrorCode::Internal.into());
        };
        sms::send(gateway, number, &code).await.map_err(|error| {
            log::write(&Event::Sms(error));
            Failure::for_now(ErrorCode::SmsUnavailable, resend_after)
        })?;
        json(202, &CodeSent { resend_after, expires_at })
    }

    async fn register(&self) -> Result<Response, Failure> {
        let Registration { number, code, name, identity_key, pin } =
            input::registration(&self.body().await?)?;
        self.limit_address().await?;
        let key = &self.setup.code_key;
        let (hash, pin) = (code.hash(key, number), pin.map(|pin| pin.hash(key, number)));
        let device = DeviceId(getrandom::u64().or(Err(ErrorCode::Internal))?);
        let request = AccountRequest::Register { number, hash, device, name, identity_key, pin };
        let answer = self.ask(number, &request).await?;
        self.grant(201, answer, Identity { account: number, device })
    }

    async fn renew(&self) -> Result<Response, Failure> {
        let identity = self.authorise().await?;
        let request = AccountRequest::Renew(identity.device);
        let answer = self.ask(identity.account, &request).await?;
        self.grant(200, answer, identity)
    }

    fn grant(
        &self,
        status: u16,
        answer: AccountReply,
        identity: Identity,
    ) -> Result<Response, Failure> {
        let AccountReply::Granted = answer else { return Err(ErrorCode::Internal.into()) };
        let (token, expires_at) = self.setup.tokens.sign(identity, self.now);
        let Identity { account, device } = identity;
        json(status, &Registered { account, device, token, expires_at })
    }

    async fn devices(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::Devices(device)).await
    }

    async fn remove(&self, target: DeviceId) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.granted(account, &AccountRequest::Remove { device, target }).await
    }

    async fn usage(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        self.told(account, &AccountRequest::Usage(device)).await
    }

    async fn socket(&self) -> Result<Response, Failure> {
        let upgrade = self.header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        let protocols = self.header("sec-websocket-protocol").filter(|_| upgrade);
        let offer = protocols.as_deref().and_then(input::offer);
        let (encoding, token) = offer.ok_or(ErrorCode::UpgradeRequired)?;
        let Identity { account, device } = self.identify(token)?;
        self.limit_device(device).await?;
        let connect = Connect { account, device, encoding };
        answered(self.connect(&connect).await)
    }

    async fn connect(&self, connect: &Connect) -> worker::Result<Response> {
        let headers = Headers::new();
        headers.set("upgrade", "websocket")?;
        headers.set(connect::HEADER, &connect::write(connect))?;
        let init = web_sys::RequestInit::new();
        init.set_headers(headers.as_ref());
        let request = web_sys::Request::new_with_str_and_init("https://mailbox/", &init)?;
        self.mailbox(connect.account)?.fetch_with_request(request.into()).await
    }

    /// Who asks, by the token in the header or in `offered`.
    fn identify(&self, offered: Option<&str>) -> Result<Identity, Failure> {
        let header = self.header("authorization");
        let token = header.as_deref().and_then(input::bearer).or(offered);
        let token = token.ok_or(ErrorCode::TokenMissing)?;
        Ok(self.setup.tokens.verify(token, self.now)?)
    }

    async fn authorise(&self) -> Result<Identity, Failure> {
        let identity = self.identify(None)?;
        self.limit_device(identity.device).await?;
        Ok(identity)
    }

    /// As [`Front::authorise`], for files: their requests are many and cheap.
    pub(crate) async fn authorise_media(&self) -> Result<Identity, Failure> {
        let identity = self.identify(None)?;
        limit(&self.env, LIMIT_MEDIA, identity.device.to_string()).await?;
        Ok(identity)
    }

    async fn limit_address(&self) -> Result<(), Failure> {
        let address = self.header("cf-connecting-ip").unwrap_or_default();
        limit(&self.env, LIMIT_ADDRESS, input::address_key(&address)).await
    }

    async fn limit_device(&self, device: DeviceId) -> Result<(), Failure> {
        limit(&self.env, LIMIT_DEVICE, device.to_string()).await
    }

    fn mailbox(&self, number: PhoneNumber) -> worker::Result<Stub> {
        self.env.durable_object(MAILBOX)?.get_by_name(&number.to_string())
    }

    /// Asks the account's object, and does not wait for the answer.
    fn begin(&self, account: PhoneNumber, request: &AccountRequest) -> worker::Result<Promise> {
        let mailbox: Mailbox = self.mailbox(account)?.into_rpc();
        let request = Uint8Array::from(request.encode().as_slice());
        Ok(mailbox.account(request)?)
    }

    async fn call(
        &self,
        account: PhoneNumber,
        request: &AccountRequest,
    ) -> worker::Result<Vec<u8>> {
        let answer = JsFuture::from(self.begin(account, request)?).await?;
        Ok(answer.dyn_into::<Uint8Array>()?.to_vec())
    }

    /// Asks the account's object; a refusal is a failure.
    pub(crate) async fn ask(
        &self,
        account: PhoneNumber,
        request: &AccountRequest,
    ) -> Result<AccountReply, Failure> {
        let answer = answered(self.call(account, request).await)?;
        match AccountReply::decode(&answer) {
            Some(AccountReply::Refused { code, retry_after }) => {
                Err(Failure { code, retry_after, allow: None })
            }
            Some(answer) => Ok(answer),
            None => Err(ErrorCode::Internal.into()),
        }
    }

    /// Asks for something that has no answer but that it is done.
    pub(crate) async fn granted(
        &self,
        account: PhoneNumber,
        request: &AccountRequest,
    ) -> Result<Response, Failure> {
        match self.ask(account, request).await? {
            AccountReply::Granted => Ok(answer(204, &[]).empty()),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    /// Asks for data, which are passed on as they come.
    async fn told(
        &self,
        account: PhoneNumber,
        request: &AccountRequest,
    ) -> Result<Response, Failure> {
        match self.ask(account, request).await? {
            AccountReply::Data(data) => Ok(json_text(200, data.0)),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        // An error is an ill-formed name, of which there is none.
        self.request.headers().get(name).ok().flatten()
    }

    async fn body(&self) -> Result<Vec<u8>, Failure> {
        self.body_up_to(BODY_BYTES_MAX).await
    }

    /// The body, whose length is checked as announced and as it comes in.
    async fn body_up_to(&self, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let announced = self.header("content-length").and_then(|length| length.parse().ok());
        if announced.is_some_and(|length: u64| length > bytes_max as u64) {
            return Err(ErrorCode::TooLarge.into());
        }
        let mut body = Vec::new();
        let Some(stream) = self.request.inner().body() else { return Ok(body) };
        // What is left of it when this returns is not waited for.
        let mut stream = ByteStream::from(stream);
        while let Some(chunk) = stream.next().await {
            let bytes = chunk.or(Err(ErrorCode::Malformed))?;
            if body.len() + bytes.len() > bytes_max {
                return Err(ErrorCode::TooLarge.into());
            }
            body.extend(bytes);
        }
        Ok(body)
    }
}

fn draw_code() -> Result<Code, Failure> {
    loop {
        let bits = getrandom::u32().or(Err(ErrorCode::Internal))?;
        if let Some(code) = Code::from_random(bits) {
            return Ok(code);
        }
    }
}

/// A limit that does not answer stops nobody: it saves money, it does not guard anything.
async fn limit(env: &Env, binding: &str, key: String) -> Result<(), Failure> {
    let outcome = match env.rate_limiter(binding) {
        Ok(limiter) => limiter.limit(key).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(outcome) if !outcome.success => {
            Err(Failure::for_now(ErrorCode::RateLimited, LIMIT_PERIOD))
        }
        Ok(_) => Ok(()),
        Err(_) => {
            log::write(&Event::RateLimit);
            Ok(())
        }
    }
}

/// What an object answers. If it does not, nothing of the reason is told but whether to try again.
pub(crate) fn answered<T>(outcome: worker::Result<T>) -> Result<T, Failure> {
    outcome.map_err(|error| {
        let (mut overloaded, mut retryable) = (false, false);
        let error = JsValue::from(error);
        if error.is_object() {
            let error: &CallError = error.unchecked_ref();
            overloaded = error.overloaded().unwrap_or_default();
            retryable = error.retryable().unwrap_or_default();
        }
        log::write(&Event::Object { overloaded, retryable });
        Failure::for_now(ErrorCode::Unavailable, RETRY)
    })
}
