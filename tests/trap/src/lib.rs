//! A Worker that fails in every way that a wasm module can, to test `worker/js/shim.js`.
//!
//! It exports what the real Worker exports. The path of a request says what goes wrong:
//! `tests/kit/tests/shim.rs` has the list.

use std::hint::black_box;

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// A request.
    pub type Request;
    #[wasm_bindgen(method, getter)]
    fn url(this: &Request) -> String;

    /// The bindings.
    pub type Env;
    #[wasm_bindgen(method, getter, js_name = MAILBOX)]
    fn mailboxes(this: &Env) -> Namespace;

    type Namespace;
    #[wasm_bindgen(method, js_name = getByName)]
    fn get(this: &Namespace, name: &str) -> Stub;

    type Stub;
    #[wasm_bindgen(method)]
    fn fetch(this: &Stub, request: &Request) -> Promise;
    #[wasm_bindgen(method)]
    fn peer(this: &Stub, bytes: Uint8Array) -> Promise;

    type Response;
    #[wasm_bindgen(constructor)]
    fn new(body: JsValue, options: JsValue) -> Response;

    /// The object's state.
    pub type State;
    #[wasm_bindgen(method, js_name = acceptWebSocket)]
    fn accept(this: &State, socket: &Socket, tags: Array);
    #[wasm_bindgen(method, js_name = getWebSockets)]
    fn sockets(this: &State) -> Array;
    #[wasm_bindgen(method, getter)]
    fn storage(this: &State) -> Storage;

    type Storage;
    #[wasm_bindgen(method, getter)]
    fn sql(this: &Storage) -> Sql;

    type Sql;
    #[wasm_bindgen(method)]
    fn exec(this: &Sql, statement: &str) -> Cursor;

    type Cursor;
    #[wasm_bindgen(method, js_name = toArray)]
    fn rows(this: &Cursor) -> Array;

    /// A socket.
    pub type Socket;
    #[wasm_bindgen(method)]
    fn send(this: &Socket, text: &str);

    #[wasm_bindgen(js_name = WebSocketPair)]
    type Pair;
    #[wasm_bindgen(constructor, js_class = "WebSocketPair")]
    fn new() -> Pair;
    #[wasm_bindgen(method, getter, js_name = "0")]
    fn client(this: &Pair) -> Socket;
    #[wasm_bindgen(method, getter, js_name = "1")]
    fn server(this: &Pair) -> Socket;

    type Options;
    #[wasm_bindgen(method, setter, js_name = status)]
    fn set_status(this: &Options, status: u16);
    #[wasm_bindgen(method, setter, js_name = webSocket)]
    fn set_socket(this: &Options, socket: &Socket);

    /// What the shim lends.
    pub type Host;
    #[wasm_bindgen(method, js_name = setTimer)]
    fn set_timer(this: &Host, milliseconds: f64);
    #[wasm_bindgen(method, js_name = clearTimer)]
    fn clear_timer(this: &Host);
    #[wasm_bindgen(method, js_name = setAlarm)]
    fn set_alarm(this: &Host, at: f64);
    #[wasm_bindgen(method, js_name = getAlarm)]
    fn alarm(this: &Host) -> Option<f64>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: u32);

    #[wasm_bindgen(js_name = thisFunctionDoesNotExist)]
    fn missing();
}

fn text(text: &str) -> JsValue {
    Response::new(text.into(), JsValue::UNDEFINED).into()
}

async fn sleep(milliseconds: u32) -> Result<(), JsValue> {
    let promise = Promise::new(&mut |resolve, _| set_timeout(&resolve, milliseconds));
    JsFuture::from(promise).await.map(drop)
}

#[expect(clippy::panic, reason = "that is what this crate is for")]
fn fail(path: &str) {
    match path {
        "panic" => panic!("asked to"),
        "throw" => missing(),
        "overflow" => {
            black_box(overflow(u64::MAX, [0; 64]));
        }
        _ => (),
    }
}

fn overflow(depth: u64, mut frame: [u64; 64]) -> u64 {
    if depth == 0 {
        return 0;
    }
    frame.fill(black_box(depth));
    overflow(depth - 1, black_box(frame)) + frame.iter().sum::<u64>()
}

/// The front: `/front-PATH` fails here, `/NAME/PATH` goes to the object of that name.
#[wasm_bindgen]
pub async fn fetch(request: Request, env: Env) -> Result<JsValue, JsValue> {
    let url = request.url();
    let mut path = url.splitn(5, '/').skip(3);
    let name = path.next().unwrap_or_default();
    match name.strip_prefix("front-") {
        None => JsFuture::from(env.mailboxes().get(name).fetch(&request)).await,
        Some("later-panic") => {
            sleep(10).await?;
            fail("panic");
            Ok(text("not reached"))
        }
        Some("wait") => {
            sleep(60_000).await?;
            Ok(text("not reached"))
        }
        Some("peer-panic") => {
            let call = env.mailboxes().get("peer").peer(Uint8Array::from(&b"panic"[..]));
            JsFuture::from(call).await?;
            Ok(text("not reached"))
        }
        Some(path) => {
            fail(path);
            Ok(text("not reached"))
        }
    }
}

/// Nothing to do.
#[wasm_bindgen]
pub async fn sweep() {}

/// Here because the shim names it.
#[wasm_bindgen]
pub struct ConversationObject;

/// The same.
#[wasm_bindgen]
pub struct UploadObject;

/// An object that counts its requests in memory, so that a fresh one starts at 1.
#[wasm_bindgen]
pub struct MailboxObject {
    state: State,
    host: Host,
    count: u32,
}

#[wasm_bindgen]
impl MailboxObject {
    /// As the shim calls it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: State, _env: &Env, host: Host) -> MailboxObject {
        MailboxObject { state, host, count: 0 }
    }

    /// Fails as the path says, or tells how much it remembers.
    pub fn fetch(&mut self, request: &Request) -> JsValue {
        let url = request.url();
        match url.rsplit('/').next().unwrap_or_default() {
            "socket" => return self.socket(),
            "ring" => self.host.set_timer(10.0),
            "ring-never" => {
                self.host.set_timer(10.0);
                self.host.clear_timer();
            }
            "written" => return text(&self.written()),
            other => match other.strip_prefix("write") {
                Some(then) => {
                    self.write();
                    fail(then.trim_start_matches('-'));
                }
                None => fail(other),
            },
        }
        self.count += 1;
        text(&format!("count {} sockets {}", self.count, self.state.sockets().length()))
    }

    fn socket(&self) -> JsValue {
        let (pair, options) = (Pair::new(), js_sys::Object::new());
        self.state.accept(&pair.server(), Array::of1(&"1".into()));
        let options: Options = options.unchecked_into();
        options.set_status(101);
        options.set_socket(&pair.client());
        Response::new(JsValue::NULL, options.into()).into()
    }

    /// Fails as the bytes say.
    pub fn peer(&self, bytes: Vec<u8>) -> Vec<u8> {
        fail(&String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Gives back the bytes.
    pub fn account(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    /// Fails as the text says, or sends it to every socket.
    pub fn text(&self, _socket: u32, message: &str) {
        fail(message);
        self.tell(message);
    }

    /// Nothing to do.
    pub fn binary(&self, _socket: u32, _message: Vec<u8>) {}

    /// Nothing to do.
    pub fn closed(&self, _socket: u32) {}

    /// Nothing to do.
    pub fn alarm(&self) {}

    /// Tells every socket.
    pub fn timer(&self) {
        self.tell("ring");
    }

    fn write(&self) {
        self.rows();
        self.state.storage().sql().exec("INSERT INTO written VALUES (1)");
        self.host.set_alarm(4e12);
    }

    fn rows(&self) -> u32 {
        let sql = self.state.storage().sql();
        sql.exec("CREATE TABLE IF NOT EXISTS written (one INTEGER)");
        sql.exec("SELECT * FROM written").rows().length()
    }

    fn written(&self) -> String {
        format!("{} rows, alarm: {}", self.rows(), self.host.alarm().is_some())
    }

    fn tell(&self, message: &str) {
        for socket in self.state.sockets().iter() {
            socket.unchecked_into::<Socket>().send(message);
        }
    }
}
