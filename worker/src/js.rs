//! What the crate `worker` does not bind, or not so that a throw is an error.
//!
//! Whatever may throw is declared `catch`. A throw from anything else is a trap (see
//! `worker/js/shim.js`). Why each piece is here is told in
//! `docs/decisions/0006-what-the-worker-crate-does.md`; the short of it:
//! - `Transactions`: `worker` has no `transactionSync`;
//! - `Rows`: its cursors make two calls a row, and throw uncaught;
//! - `Mailbox`: a call between objects has the methods of the class in the shim;
//! - `CallError`: its errors keep the thrown value, not what the platform says of it;
//! - `Attachment`: its way is by value, and has an error where a trap is right: a socket whose
//!   attachment is lost would come out of hibernation with another's state;
//! - `Packed` and `Decompression`: `worker` does not enable them in `web_sys`;
//! - `Host`: the shim's own.

#![allow(missing_docs)]

use estafette_protocol::Millis;
use estafette_relay::{PushId, PushOutcome};
use wasm_bindgen::prelude::*;
use worker::js_sys::{Array, Date, Promise, Reflect, Uint8Array};
use worker::web_sys::{ReadableStream, Response};

#[wasm_bindgen]
extern "C" {
    /// A Durable Object elsewhere: a method of the class `Mailbox` in the shim.
    pub type Mailbox;
    #[wasm_bindgen(method, catch)]
    pub fn account(this: &Mailbox, request: Uint8Array) -> Result<Promise, JsValue>;

    /// What the platform says of a failed call.
    pub type CallError;
    #[wasm_bindgen(method, getter)]
    pub fn overloaded(this: &CallError) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    pub fn retryable(this: &CallError) -> Option<bool>;

    /// An object's storage.
    pub type Transactions;
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub fn transaction_sync(
        this: &Transactions,
        body: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<(), JsValue>;

    /// What a cursor's `raw()` gives.
    pub type Rows;
    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub fn to_array(this: &Rows) -> Result<Array, JsValue>;

    /// A socket.
    pub type Attachment;
    #[wasm_bindgen(method, js_name = serializeAttachment)]
    pub fn serialize(this: &Attachment, value: &JsValue);

    /// A body to be decompressed.
    pub type Packed;
    #[wasm_bindgen(method, catch, js_name = pipeThrough)]
    fn pipe_through(this: &Packed, through: &Decompression) -> Result<ReadableStream, JsValue>;

    /// The platform's decompression.
    #[wasm_bindgen(js_name = DecompressionStream)]
    pub type Decompression;
    #[wasm_bindgen(constructor, catch, js_class = "DecompressionStream")]
    fn new(format: &str) -> Result<Decompression, JsValue>;

    /// What the shim does for an object.
    #[derive(Clone)]
    pub type Host;
    #[wasm_bindgen(method)]
    pub fn pushed(this: &Host, returned: Returned);
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
    #[wasm_bindgen(method)]
    pub fn converse(this: &Host, life: u32, conversation: Uint8Array, request: Uint8Array);
    #[wasm_bindgen(method)]
    pub fn tell(this: &Host, life: u32, member: f64, request: Uint8Array);
}

/// What became of a push, on its way through the shim to the object that sent it.
#[wasm_bindgen]
pub struct Returned {
    /// The object's life in which it departed.
    pub(crate) life: u32,
    pub(crate) push: PushId,
    pub(crate) outcome: PushOutcome,
}

/// The platform's clock, which stands still within an event.
pub(crate) fn now() -> Millis {
    Date::now() as Millis
}

/// What was compressed as gzip, as a stream of what it was before.
pub(crate) fn unpacked(gzip: &[u8]) -> Result<ReadableStream, JsValue> {
    let bytes = Response::new_with_opt_buffer_source(Some(&Uint8Array::from(gzip)))?;
    let packed: Packed = JsValue::from(bytes.body()).unchecked_into();
    packed.pipe_through(&Decompression::new("gzip")?)
}

/// The `message` of a thrown value.
pub(crate) fn message(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message")).ok();
    message.and_then(|message| message.as_string()).unwrap_or_default()
}
