//! The platform, as far as it is used: web standards and Durable Objects, under their own names.
//!
//! Whatever may throw is declared `catch`. A throw from anything else is a trap (see
//! `worker/js/shim.js`).

#![allow(missing_docs)]

use estafette_protocol::Millis;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    pub type Request;
    #[wasm_bindgen(method, getter)]
    pub fn method(this: &Request) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn url(this: &Request) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn headers(this: &Request) -> Headers;
    #[wasm_bindgen(method, getter)]
    pub fn body(this: &Request) -> Option<ReadableStream>;

    pub type Headers;
    #[wasm_bindgen(constructor)]
    pub fn new() -> Headers;
    #[wasm_bindgen(method)]
    pub fn get(this: &Headers, name: &str) -> Option<String>;
    #[wasm_bindgen(method)]
    pub fn set(this: &Headers, name: &str, value: &str);

    pub type ReadableStream;
    #[wasm_bindgen(method, js_name = getReader)]
    pub fn get_reader(this: &ReadableStream) -> Reader;
    #[wasm_bindgen(method)]
    pub fn cancel(this: &ReadableStream) -> Promise;

    pub type Reader;
    #[wasm_bindgen(method)]
    pub fn read(this: &Reader) -> Promise;
    #[wasm_bindgen(method)]
    pub fn cancel(this: &Reader) -> Promise;

    /// What a reader's promise gives.
    pub type Chunk;
    #[wasm_bindgen(method, getter)]
    pub fn done(this: &Chunk) -> bool;
    #[wasm_bindgen(method, getter)]
    pub fn value(this: &Chunk) -> Uint8Array;

    pub type Response;
    #[wasm_bindgen(constructor)]
    pub fn new(body: Option<&str>, init: &ResponseInit) -> Response;
    #[wasm_bindgen(method, getter)]
    pub fn status(this: &Response) -> u16;
    #[wasm_bindgen(method, getter, js_name = body)]
    pub fn response_body(this: &Response) -> Option<ReadableStream>;

    /// A dictionary: `{}`, then its members.
    #[wasm_bindgen(extends = Object)]
    pub type ResponseInit;
    #[wasm_bindgen(method, setter)]
    pub fn set_status(this: &ResponseInit, status: u16);
    #[wasm_bindgen(method, setter)]
    pub fn set_headers(this: &ResponseInit, headers: &Headers);
    #[wasm_bindgen(method, setter, js_name = webSocket)]
    pub fn set_web_socket(this: &ResponseInit, socket: &WebSocket);

    /// A dictionary.
    #[wasm_bindgen(extends = Object)]
    pub type RequestInit;
    #[wasm_bindgen(method, setter)]
    pub fn set_method(this: &RequestInit, method: &str);
    #[wasm_bindgen(method, setter)]
    pub fn set_body(this: &RequestInit, body: &str);
    #[wasm_bindgen(method, setter)]
    pub fn set_redirect(this: &RequestInit, mode: &str);
    #[wasm_bindgen(method, setter)]
    pub fn set_signal(this: &RequestInit, signal: &AbortSignal);
    #[wasm_bindgen(method, setter, js_name = headers)]
    pub fn set_request_headers(this: &RequestInit, headers: &Headers);

    pub type AbortSignal;
    #[wasm_bindgen(static_method_of = AbortSignal)]
    pub fn timeout(milliseconds: u32) -> AbortSignal;

    /// In the namespace, because this crate exports a `fetch` of its own.
    #[wasm_bindgen(js_namespace = globalThis, js_name = fetch)]
    pub fn fetch(url: &str, init: &RequestInit) -> Promise;

    #[wasm_bindgen(js_namespace = console)]
    pub fn error(line: &str);

    /// Variables, secrets and bindings.
    pub type Env;
    #[wasm_bindgen(method, getter, js_name = MAILBOX)]
    pub fn mailbox(this: &Env) -> Namespace;
    #[wasm_bindgen(method, getter, js_name = LIMIT_ADDRESS)]
    pub fn limit_address(this: &Env) -> RateLimit;
    #[wasm_bindgen(method, getter, js_name = LIMIT_DEVICE)]
    pub fn limit_device(this: &Env) -> RateLimit;

    pub type RateLimit;
    #[wasm_bindgen(method, catch)]
    pub fn limit(this: &RateLimit, options: &RateLimitOptions) -> Result<Promise, JsValue>;

    /// A dictionary.
    #[wasm_bindgen(extends = Object)]
    pub type RateLimitOptions;
    #[wasm_bindgen(method, setter)]
    pub fn set_key(this: &RateLimitOptions, key: &str);

    /// What a rate limit's promise gives.
    pub type RateLimitOutcome;
    #[wasm_bindgen(method, getter)]
    pub fn success(this: &RateLimitOutcome) -> bool;

    pub type Namespace;
    #[wasm_bindgen(method, js_name = getByName)]
    pub fn get_by_name(this: &Namespace, name: &str) -> Stub;

    /// A Durable Object elsewhere: the methods of the class `Mailbox` in the shim.
    pub type Stub;
    #[wasm_bindgen(method, catch, js_name = fetch)]
    pub fn fetch_stub(this: &Stub, url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn account(this: &Stub, request: Uint8Array) -> Result<Promise, JsValue>;

    /// What the platform says of a failed call.
    pub type CallError;
    #[wasm_bindgen(method, getter)]
    pub fn overloaded(this: &CallError) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    pub fn retryable(this: &CallError) -> Option<bool>;

    pub type ObjectState;
    #[wasm_bindgen(method, getter)]
    pub fn storage(this: &ObjectState) -> Storage;
    #[wasm_bindgen(method, js_name = acceptWebSocket)]
    pub fn accept_web_socket(this: &ObjectState, socket: &WebSocket, tags: &Array);
    #[wasm_bindgen(method, js_name = getWebSockets)]
    pub fn get_web_sockets(this: &ObjectState) -> Array;
    #[wasm_bindgen(method, js_name = getTags)]
    pub fn get_tags(this: &ObjectState, socket: &WebSocket) -> Array;
    #[wasm_bindgen(method, js_name = setWebSocketAutoResponse)]
    pub fn set_web_socket_auto_response(this: &ObjectState, pair: &AutoResponse);

    #[wasm_bindgen(js_name = WebSocketRequestResponsePair)]
    pub type AutoResponse;
    #[wasm_bindgen(constructor, js_class = "WebSocketRequestResponsePair")]
    pub fn new(request: &str, response: &str) -> AutoResponse;

    pub type WebSocketPair;
    #[wasm_bindgen(constructor)]
    pub fn new() -> WebSocketPair;

    pub type WebSocket;
    #[wasm_bindgen(method, catch)]
    pub fn send(this: &WebSocket, text: &str) -> Result<(), JsValue>;
    /// The platform sends later and copies nothing: never a view of wasm memory.
    #[wasm_bindgen(method, catch, js_name = send)]
    pub fn send_bytes(this: &WebSocket, bytes: Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn close(this: &WebSocket, code: u16, reason: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    pub fn buffered_amount(this: &WebSocket) -> f64;
    #[wasm_bindgen(method, js_name = serializeAttachment)]
    pub fn serialize_attachment(this: &WebSocket, value: &JsValue);
    #[wasm_bindgen(method, js_name = deserializeAttachment)]
    pub fn deserialize_attachment(this: &WebSocket) -> JsValue;

    #[derive(Clone)]
    pub type Storage;
    #[wasm_bindgen(method, getter)]
    pub fn sql(this: &Storage) -> SqlStorage;
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub fn transaction_sync(
        this: &Storage,
        body: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<(), JsValue>;

    pub type SqlStorage;
    #[wasm_bindgen(method, catch, variadic)]
    pub fn exec(
        this: &SqlStorage,
        statement: &str,
        parameters: &Array,
    ) -> Result<SqlCursor, JsValue>;

    pub type SqlCursor;
    #[wasm_bindgen(method, getter, js_name = rowsWritten)]
    pub fn rows_written(this: &SqlCursor) -> f64;
    #[wasm_bindgen(method)]
    pub fn raw(this: &SqlCursor) -> RawRows;

    pub type RawRows;
    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub fn to_array(this: &RawRows) -> Result<Array, JsValue>;

    /// What the shim does for an object.
    pub type Host;
    #[wasm_bindgen(method, js_name = setTimer)]
    pub fn set_timer(this: &Host, milliseconds: f64);
    #[wasm_bindgen(method, js_name = clearTimer)]
    pub fn clear_timer(this: &Host);
    #[wasm_bindgen(method, js_name = getAlarm)]
    pub fn get_alarm(this: &Host) -> Option<f64>;
    #[wasm_bindgen(method, js_name = setAlarm)]
    pub fn set_alarm(this: &Host, at: f64);
    #[wasm_bindgen(method)]
    pub fn forget(this: &Host);
    #[wasm_bindgen(method)]
    pub fn call(this: &Host, life: u32, peer: f64, request: Uint8Array);
}

/// The platform's clock, which stands still within an event.
pub(crate) fn now() -> Millis {
    js_sys::Date::now() as Millis
}

/// `{}`.
pub(crate) fn dictionary<T: JsCast>() -> T {
    Object::new().unchecked_into()
}

impl Env {
    /// The text of a variable or secret.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let value = Reflect::get(self.as_ref(), &JsValue::from_str(name)).ok()?;
        value.as_string().or_else(|| value.as_f64().map(|number| number.to_string()))
    }

    /// Whether a binding is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        Reflect::get(self.as_ref(), &JsValue::from_str(name)).is_ok_and(|value| value.is_object())
    }
}

impl WebSocketPair {
    /// The client's end and the server's.
    pub(crate) fn ends(&self) -> Option<(WebSocket, WebSocket)> {
        let end = |index| Reflect::get_u32(self.as_ref(), index).ok().map(JsCast::unchecked_into);
        Some((end(0)?, end(1)?))
    }
}

/// The `message` of a thrown value.
pub(crate) fn message(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message")).ok();
    message.and_then(|message| message.as_string()).unwrap_or_default()
}

/// The `name` of a thrown value.
pub(crate) fn name(error: &JsValue) -> String {
    let name = Reflect::get(error, &JsValue::from_str("name")).ok();
    name.and_then(|name| name.as_string()).unwrap_or_default()
}
