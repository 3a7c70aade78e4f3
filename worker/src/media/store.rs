//! What `worker/js/media.js` offers, and the object of an upload.
//!
//! Each promise resolves or rejects as it says there; nothing here throws but by rejecting, except where
//! `catch` says so.

#![allow(missing_docs)]

use estafette_protocol::ErrorCode;
use wasm_bindgen::prelude::*;
use worker::js_sys::{Array, Promise, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::ReadableStream;

use crate::front::RETRY;
use crate::log::{self, Event};
use crate::problem::Failure;

#[wasm_bindgen]
extern "C" {
    /// The bucket.
    pub type Store;
    #[wasm_bindgen(method)]
    fn put(
        this: &Store,
        key: &str,
        body: Option<ReadableStream>,
        metadata: Option<String>,
        algorithm: Option<String>,
        checksum: Option<String>,
    ) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn begin(this: &Store, key: &str, metadata: Option<String>) -> Promise;
    #[wasm_bindgen(method)]
    fn finish(
        this: &Store,
        key: &str,
        multipart: &str,
        numbers: Vec<u16>,
        etags: Vec<String>,
    ) -> Promise;
    #[wasm_bindgen(method)]
    fn abort(this: &Store, key: &str, multipart: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn remove(this: &Store, keys: Vec<String>) -> Promise;
    #[wasm_bindgen(method, js_name = note)]
    fn put_note(this: &Store, key: &str, note: &str) -> Promise;
    #[wasm_bindgen(method, js_name = write)]
    fn put_text(this: &Store, key: &str, text: &str) -> Promise;
    #[wasm_bindgen(method, js_name = read)]
    fn get_text(this: &Store, key: &str) -> Promise;
    #[wasm_bindgen(method, js_name = texts)]
    fn get_texts(this: &Store, prefix: &str, start: &str, limit: u32) -> Promise;
    #[wasm_bindgen(method)]
    fn head(this: &Store, key: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn get(this: &Store, key: &str, offset: f64, length: Option<f64>) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn sweep(
        this: &Store,
        prefix: &str,
        start: &str,
        before: f64,
        pages: u32,
    ) -> Promise;
    #[wasm_bindgen(method, catch)]
    pub(super) fn body(
        this: &Store,
        stream: Option<ReadableStream>,
        bytes: f64,
        algorithm: Option<String>,
        expected: Option<Uint8Array>,
    ) -> Result<Body, JsValue>;

    /// The body of a request.
    pub type Body;
    #[wasm_bindgen(method)]
    pub(super) fn part(
        this: &Body,
        key: &str,
        multipart: &str,
        number: u16,
        before: Vec<String>,
        offset: f64,
        bytes: f64,
        rescue: Option<String>,
    ) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn whole(
        this: &Body,
        key: &str,
        metadata: Option<String>,
        before: Vec<String>,
        offset: f64,
        bytes: f64,
        rescue: Option<String>,
    ) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn fragment(
        this: &Body,
        key: &str,
        before: Vec<String>,
        offset: f64,
        bytes: f64,
        rescue: Option<String>,
    ) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn genuine(this: &Body) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn cancel(this: &Body);

    /// What became of a stretch of a body.
    pub type Outcome;
    #[wasm_bindgen(method, getter)]
    pub(super) fn done(this: &Outcome) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn etag(this: &Outcome) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn taken(this: &Outcome) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn forged(this: &Outcome) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn rescued(this: &Outcome) -> Option<f64>;

    /// A file that is there.
    pub type File;
    #[wasm_bindgen(method, getter)]
    pub(super) fn size(this: &File) -> f64;
    #[wasm_bindgen(method, getter)]
    pub(super) fn uploaded(this: &File) -> f64;
    #[wasm_bindgen(method, getter)]
    pub(super) fn tag(this: &File) -> String;
    #[wasm_bindgen(method, getter)]
    pub(super) fn metadata(this: &File) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = body)]
    pub(super) fn content(this: &File) -> Option<ReadableStream>;

    /// The object of an upload elsewhere: a method of the class `Upload` in the shim.
    pub type Uploads;
    #[wasm_bindgen(method, catch)]
    pub(super) fn ask(this: &Uploads, request: Uint8Array) -> Result<Promise, JsValue>;
}

/// R2 failed at something. It was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreError {
    /// R2's number of the error; 0 or 1 where it has none.
    pub(super) number: u32,
}

/// R2: the bytes are not those of the checksum.
pub(super) const BAD_DIGEST: u32 = 10037;

impl Store {
    /// Stores a whole file.
    pub(super) async fn store(
        &self,
        key: &str,
        body: Option<ReadableStream>,
        metadata: Option<String>,
        checksum: Option<(&str, String)>,
    ) -> Result<(), StoreError> {
        let (algorithm, checksum) = checksum.map_or((None, None), |(algorithm, checksum)| {
            (Some(algorithm.to_owned()), Some(checksum))
        });
        outcome("put", self.put(key, body, metadata, algorithm, checksum)).await
    }

    /// Puts parts together.
    pub(super) async fn join(
        &self,
        key: &str,
        multipart: &str,
        numbers: Vec<u16>,
        etags: Vec<String>,
    ) -> Result<(), StoreError> {
        outcome("complete", self.finish(key, multipart, numbers, etags)).await
    }

    /// Drops parts that nobody needs. If that fails, R2 does it after some days.
    pub(super) async fn give_up(&self, key: &str, multipart: &str) {
        let _ = outcome("abort", self.abort(key, multipart)).await;
    }

    /// Deletes objects. If that fails, the hourly job does it.
    pub(super) async fn delete(&self, keys: Vec<String>) {
        if !keys.is_empty() {
            let _ = outcome("delete", self.remove(keys)).await;
        }
    }

    /// Notes a text under a key, unless there is one. Returns whether it did.
    pub(crate) async fn note(&self, key: &str, note: &str) -> Result<bool, Failure> {
        let done = answered("note", self.put_note(key, note)).await;
        Ok(done.map_err(|_| unavailable())?.as_bool().unwrap_or_default())
    }

    /// What was noted under a key.
    pub(crate) async fn noted(&self, key: &str) -> Result<Option<String>, Failure> {
        let file = self.look(key).await.map_err(|_| unavailable())?;
        Ok(file.and_then(|file| file.metadata()))
    }

    /// Keeps a text under a key.
    pub(crate) async fn write(&self, key: &str, text: &str) -> Result<(), Failure> {
        outcome("write", self.put_text(key, text)).await.map_err(|_| unavailable())
    }

    /// The text under a key.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<String>, Failure> {
        let text = answered("read", self.get_text(key)).await;
        Ok(text.map_err(|_| unavailable())?.as_string())
    }

    /// Deletes what is under a key, or says that it could not.
    pub(crate) async fn erase(&self, key: &str) -> Result<(), Failure> {
        outcome("delete", self.remove(vec![key.to_owned()])).await.map_err(|_| unavailable())
    }

    /// Of the keys with a prefix, the texts of those that come next after `start`; and the last of them,
    /// if there are more.
    pub(crate) async fn texts(
        &self,
        prefix: &str,
        start: &str,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), Failure> {
        let found = answered("texts", self.get_texts(prefix, start, limit as u32)).await;
        let found: Array = found.map_err(|_| unavailable())?.unchecked_into();
        let [keys, texts]: [Array; 2] = [0, 1].map(|at| found.get(at).unchecked_into());
        let last = keys.get(keys.length().saturating_sub(1)).as_string();
        // What was deleted meanwhile has a key and no text.
        let texts = texts.iter().filter_map(|text| text.as_string()).collect();
        Ok((texts, last.filter(|_| found.get(2).is_truthy())))
    }

    /// A file, without its bytes.
    pub(super) async fn look(&self, key: &str) -> Result<Option<File>, StoreError> {
        found(answered("head", self.head(key)).await?)
    }

    /// What follows on an offset of a file, all or of a length. `None` where there is none.
    pub(super) async fn fetch(
        &self,
        key: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<File>, StoreError> {
        let length = length.map(|length| length as f64);
        found(answered("get", self.get(key, offset as f64, length)).await?)
    }
}

/// How many operations it takes to fetch so many bytes; see `worker/js/media.js`.
pub(super) fn reads(bytes: u64) -> u32 {
    bytes.div_ceil(32 * 1024 * 1024).max(1) as u32
}

fn unavailable() -> Failure {
    Failure::for_now(ErrorCode::Unavailable, RETRY)
}

fn found(value: JsValue) -> Result<Option<File>, StoreError> {
    Ok((!value.is_undefined()).then(|| value.unchecked_into()))
}

/// What a promise resolves to; its error is logged.
pub(super) async fn answered(
    operation: &'static str,
    promise: Promise,
) -> Result<JsValue, StoreError> {
    JsFuture::from(promise).await.map_err(|_| failed(operation, 0))
}

async fn outcome(operation: &'static str, promise: Promise) -> Result<(), StoreError> {
    match answered(operation, promise).await?.as_f64() {
        Some(0.0) => Ok(()),
        // That is the client's mistake.
        Some(number) if number as u32 == BAD_DIGEST => Err(StoreError { number: BAD_DIGEST }),
        number => Err(failed(operation, number.unwrap_or_default() as u32)),
    }
}

fn failed(operation: &'static str, number: u32) -> StoreError {
    log::write(&Event::Store { operation, number });
    StoreError { number }
}
