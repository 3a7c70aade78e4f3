//! The front Worker: every request that comes from outside.
//!
//! Invariant: no object is woken for a request that is malformed, over its limit, or (but for
//! registration) without a token that was signed here and is still good.

use std::cell::OnceCell;
use std::rc::Rc;

use estafette_protocol::http::{CodeSent, Devices, Health, Registered};
use estafette_protocol::{DeviceId, ErrorCode, Millis, PhoneNumber};
use estafette_relay::{AccountAnswer, AccountRequest, Connect};
use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::code::Code;
use crate::connect;
use crate::input::{self, BODY_BYTES_MAX, Registration};
use crate::js::{
    self, CallError, Chunk, Env, Headers, RateLimit, RateLimitOptions, RateLimitOutcome, Request,
    RequestInit, Response, ResponseInit, Stub,
};
use crate::log::{self, Event};
use crate::problem::Failure;
use crate::route::{Route, route};
use crate::setup::{Setup, SetupError, SetupFault};
use crate::sms::{self, SmsError};
use crate::token::Identity;

const OPENAPI: &str = include_str!("../api/openapi.json");
const ASYNCAPI: &str = include_str!("../api/asyncapi.json");
/// The period of the rate-limit bindings in `wrangler.toml`.
const LIMIT_PERIOD: Millis = 60_000;
/// How long to wait before asking an object again that did not answer.
const RETRY: Millis = 1000;

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
                let read = bound(env).and_then(|()| Setup::read(|name| env.variable(name)));
                if let Err(error) = &read {
                    log::write(&Event::Setup(*error));
                }
                read.map(Rc::new)
            })
            .clone()
    })
}

fn bound(env: &Env) -> Result<(), SetupError> {
    for variable in ["MAILBOX", "LIMIT_ADDRESS", "LIMIT_DEVICE"] {
        if !env.has(variable) {
            return Err(SetupError { variable, fault: SetupFault::Missing });
        }
    }
    Ok(())
}

/// Answers one request.
#[wasm_bindgen]
pub async fn fetch(request: Request, env: Env) -> Response {
    let now = js::now();
    let Ok(setup) = setup(&env) else { return problem(&ErrorCode::Internal.into()) };
    let front = Front { request, env, setup, now };
    match front.respond().await {
        Ok(response) => response,
        Err(failure) => problem(&failure),
    }
}

/// A failure as an answer.
pub(crate) fn problem(failure: &Failure) -> Response {
    let headers: Vec<_> = failure.headers().collect();
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
    Response::new(Some(&failure.body()), &answer(failure.code.status(), &all))
}

/// Status and headers, with those that every answer has. None lets another site's page read it.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)]) -> ResponseInit {
    let all = Headers::new();
    all.set("cache-control", "no-store");
    all.set("x-content-type-options", "nosniff");
    for (name, value) in headers {
        all.set(name, value);
    }
    let init: ResponseInit = js::dictionary();
    init.set_status(status);
    init.set_headers(&all);
    init
}

fn json_text(status: u16, body: &str) -> Response {
    Response::new(Some(body), &answer(status, &[("content-type", "application/json")]))
}

fn json(status: u16, body: &impl Serialize) -> Result<Response, Failure> {
    let text = serde_json::to_string(body).or(Err(ErrorCode::Internal))?;
    Ok(json_text(status, &text))
}

/// One request on its way.
struct Front {
    request: Request,
    env: Env,
    setup: Rc<Setup>,
    now: Millis,
}

impl Front {
    async fn respond(&self) -> Result<Response, Failure> {
        match route(&self.request.method(), &self.request.url())? {
            Route::Health => json(
                200,
                &Health {
                    status: "ok".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    now: self.now,
                },
            ),
            Route::OpenApi => Ok(json_text(200, OPENAPI)),
            Route::AsyncApi => Ok(json_text(200, ASYNCAPI)),
            Route::Code => self.send_code().await,
            Route::Register => self.register().await,
            Route::Renew => self.renew().await,
            Route::Devices => self.devices().await,
            Route::RemoveDevice(target) => self.remove(target).await,
            Route::Usage => self.usage().await,
            Route::Socket => self.socket().await,
        }
    }

    async fn send_code(&self) -> Result<Response, Failure> {
        let number = input::code_request(&self.body().await?)?;
        let gateway = self.setup.gateway.as_ref().ok_or_else(|| {
            log::write(&Event::Sms(SmsError::NoGateway));
            ErrorCode::SmsUnavailable
        })?;
        self.limit_address().await?;
        let code = draw_code()?;
        let hash = code.hash(&self.setup.code_key, number);
        let answer = self.ask(number, &AccountRequest::Code { hash }).await?;
        let AccountAnswer::CodeTaken { resend_after, expires_at } = answer else {
            return Err(ErrorCode::Internal.into());
        };
        sms::send(gateway, number, &code).await.map_err(|error| {
            log::write(&Event::Sms(error));
            Failure::for_now(ErrorCode::SmsUnavailable, resend_after)
        })?;
        json(202, &CodeSent { resend_after, expires_at })
    }

    async fn register(&self) -> Result<Response, Failure> {
        let Registration { number, code, name, identity_key } =
            input::registration(&self.body().await?)?;
        self.limit_address().await?;
        let hash = code.hash(&self.setup.code_key, number);
        let device = DeviceId(getrandom::u64().or(Err(ErrorCode::Internal))?);
        let request = AccountRequest::Register { number, hash, device, name, identity_key };
        let answer = self.ask(number, &request).await?;
        self.grant(201, answer, Identity { account: number, device })
    }

    async fn renew(&self) -> Result<Response, Failure> {
        let identity = self.authorise().await?;
        let request = AccountRequest::Renew { device: identity.device };
        let answer = self.ask(identity.account, &request).await?;
        self.grant(200, answer, identity)
    }

    fn grant(
        &self,
        status: u16,
        answer: AccountAnswer,
        identity: Identity,
    ) -> Result<Response, Failure> {
        let AccountAnswer::Granted = answer else { return Err(ErrorCode::Internal.into()) };
        let (token, expires_at) = self.setup.tokens.sign(identity, self.now);
        let Identity { account, device } = identity;
        json(status, &Registered { account, device, token, expires_at })
    }

    async fn devices(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        match self.ask(account, &AccountRequest::Devices { device }).await? {
            AccountAnswer::Devices(devices) => json(200, &Devices { devices }),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    async fn remove(&self, target: DeviceId) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        match self.ask(account, &AccountRequest::Remove { device, target }).await? {
            AccountAnswer::Granted => Ok(Response::new(None, &answer(204, &[]))),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    async fn usage(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        match self.ask(account, &AccountRequest::Usage { device }).await? {
            AccountAnswer::Usage(usage) => json(200, &usage),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    async fn socket(&self) -> Result<Response, Failure> {
        let upgrade = self.header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        let protocols = self.header("sec-websocket-protocol").filter(|_| upgrade);
        let offer = protocols.as_deref().and_then(input::offer);
        let (encoding, token) = offer.ok_or(ErrorCode::UpgradeRequired)?;
        let Identity { account, device } = self.identify(token)?;
        self.limit_device(device).await?;
        let headers = Headers::new();
        headers.set("upgrade", "websocket");
        headers.set(connect::HEADER, &connect::write(&Connect { account, device, encoding }));
        let init: RequestInit = js::dictionary();
        init.set_request_headers(&headers);
        let call = self.account(account).fetch_stub("https://mailbox/", &init);
        Ok(answered(call).await?.unchecked_into())
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

    async fn limit_address(&self) -> Result<(), Failure> {
        let address = self.header("cf-connecting-ip").unwrap_or_default();
        limit(&self.env.limit_address(), &input::address_key(&address)).await
    }

    async fn limit_device(&self, device: DeviceId) -> Result<(), Failure> {
        limit(&self.env.limit_device(), &device.to_string()).await
    }

    fn account(&self, number: PhoneNumber) -> Stub {
        self.env.mailbox().get_by_name(&number.to_string())
    }

    /// Asks the account's object; a refusal is a failure.
    async fn ask(
        &self,
        account: PhoneNumber,
        request: &AccountRequest,
    ) -> Result<AccountAnswer, Failure> {
        let bytes = Uint8Array::from(request.encode().as_slice());
        let answer = answered(self.account(account).account(bytes)).await?;
        let answer: Uint8Array = answer.dyn_into().or(Err(ErrorCode::Internal))?;
        match AccountAnswer::decode(&answer.to_vec()) {
            Some(AccountAnswer::Refused { code, retry_after }) => {
                Err(Failure { code, retry_after, allow: None })
            }
            Some(answer) => Ok(answer),
            None => Err(ErrorCode::Internal.into()),
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name)
    }

    /// The body, whose length is checked as announced and as it comes in.
    async fn body(&self) -> Result<Vec<u8>, Failure> {
        let announced = self.header("content-length").and_then(|length| length.parse().ok());
        if announced.is_some_and(|length: u64| length > BODY_BYTES_MAX as u64) {
            return Err(ErrorCode::TooLarge.into());
        }
        let mut body = Vec::new();
        let Some(stream) = self.request.body() else { return Ok(body) };
        let reader = stream.get_reader();
        loop {
            let chunk = JsFuture::from(reader.read()).await.or(Err(ErrorCode::Malformed))?;
            let chunk: Chunk = chunk.unchecked_into();
            if chunk.done() {
                return Ok(body);
            }
            let bytes = chunk.value();
            if body.len() + bytes.length() as usize > BODY_BYTES_MAX {
                // What is left of it is not waited for.
                let _ = reader.cancel();
                return Err(ErrorCode::TooLarge.into());
            }
            body.extend(bytes.to_vec());
        }
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
async fn limit(binding: &RateLimit, key: &str) -> Result<(), Failure> {
    let options: RateLimitOptions = js::dictionary();
    options.set_key(key);
    let outcome = match binding.limit(&options) {
        Ok(promise) => JsFuture::from(promise).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(outcome) if !outcome.unchecked_ref::<RateLimitOutcome>().success() => {
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
async fn answered(call: Result<js_sys::Promise, JsValue>) -> Result<JsValue, Failure> {
    let outcome = match call {
        Ok(promise) => JsFuture::from(promise).await,
        Err(error) => Err(error),
    };
    outcome.map_err(|error| {
        let (mut overloaded, mut retryable) = (false, false);
        if error.is_object() {
            let error: &CallError = error.unchecked_ref();
            overloaded = error.overloaded().unwrap_or_default();
            retryable = error.retryable().unwrap_or_default();
        }
        log::write(&Event::Object { overloaded, retryable });
        Failure::for_now(ErrorCode::Unavailable, RETRY)
    })
}
