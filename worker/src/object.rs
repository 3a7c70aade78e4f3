//! The Durable Object of one account: wakes its mailbox, hands it events, carries out the effects.
//!
//! Invariants:
//! - every event is one synchronous step; nothing here awaits, so no event sees another's half;
//! - an event that ends in an error has no effect: the shim aborts the object, and the platform undoes
//!   what it wrote;
//! - an answer reaches the mailbox that made the call and no later one: each waking has a number (a
//!   *life*), and what belongs to another is dropped;
//! - a socket's id is its tag, for as long as it is open; what the mailbox knows of it is its
//!   attachment. A socket that the mailbox has closed has none, and is not woken again.

use std::cell::Cell;
use std::rc::Rc;

use estafette_protocol::{ConversationId, Encoding, ErrorCode, Millis, PhoneNumber, WireMessage};
use estafette_relay::{
    AccountRequest, ConversationAnswer, Effect, Mailbox, NewsRequest, PeerAnswer, PeerRequest,
    Push, SocketId, StorageError, Wake,
};
use litemap::LiteMap;
use wasm_bindgen::prelude::*;
use worker::js_sys::{self, Uint8Array};
use worker::wasm_bindgen_futures::spawn_local;
use worker::web_sys::{self, WebSocket};
use worker::worker_sys::{DurableObjectState, ext::WebSocketExt};
use worker::{Env, State, WebSocketPair, WebSocketRequestResponsePair};

use crate::connect;
use crate::front::{answer, problem};
use crate::js::{self, Attachment, Host, Returned};
use crate::log::{self, Event};
use crate::problem::Failure;
use crate::push;
use crate::setup::Setup;
use crate::sql::{Database, failed};

/// What may lie unsent on one socket. A device may leave 256 bodies of 64 KiB unacknowledged, 22 MiB
/// as JSON; one that does not read even that is cut off.
const UNSENT_BYTES_MAX: u32 = 24 * 1024 * 1024;
/// WebSocket close code: try again later.
const TRY_LATER: u16 = 1013;

/// The object. The shim makes one for each Durable Object, and another after a trap.
#[wasm_bindgen]
pub struct MailboxObject {
    state: State,
    host: Host,
    setup: Rc<Setup>,
    mailbox: Option<Mailbox<Database>>,
    /// Counts wakings.
    life: u32,
    sockets: LiteMap<SocketId, WebSocket>,
    /// Sockets that were cut off, of which the mailbox is still to be told.
    cut_off: Vec<SocketId>,
    rows_written: Rc<Cell<u64>>,
}

/// Why an event failed, which aborts the object. Its caller hears no more than that it failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the deployment is set up wrongly")]
    Setup,
    #[error("the object's database failed")]
    Storage,
    #[error("the call cannot be read")]
    Call,
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        js_sys::Error::new(&fault.to_string()).into()
    }
}

type Step<T> = Result<(T, Vec<Effect>), StorageError>;

#[wasm_bindgen]
impl MailboxObject {
    /// Touches nothing yet: the mailbox wakes with the first event.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: &Env, host: Host) -> Result<MailboxObject, JsValue> {
        let setup = crate::front::setup(env).map_err(|_| Fault::Setup)?;
        Ok(Self {
            state: state.into(),
            host,
            setup,
            mailbox: None,
            life: 0,
            sockets: LiteMap::new(),
            cut_off: Vec::new(),
            rows_written: Rc::default(),
        })
    }

    /// The front Worker forwards a device that asks for a socket.
    pub fn fetch(&mut self, request: &web_sys::Request) -> Result<web_sys::Response, JsValue> {
        let header = request.headers().get(connect::HEADER)?;
        let connect = header.as_deref().and_then(connect::read).ok_or(Fault::Call)?;
        match self.run(|mailbox, now| mailbox.on_connect(now, connect))? {
            Err(refusal) => Ok(problem(&Failure::from(refusal)).into()),
            Ok((socket, effects)) => {
                let client = self.accept(socket)?;
                self.perform_all(effects)?;
                Ok(switching(client, connect.encoding).into())
            }
        }
    }

    /// Another mailbox calls. The answer to what another version says, and this one cannot read, is
    /// empty.
    pub fn peer(&mut self, request: Vec<u8>) -> Result<Vec<u8>, JsValue> {
        let Some(request) = PeerRequest::decode(&request) else { return Ok(Vec::new()) };
        Ok(self.step(|mailbox, now| mailbox.on_call(now, request))?.encode())
    }

    /// The front Worker asks something of the account, likewise.
    pub fn account(&mut self, request: Vec<u8>) -> Result<Vec<u8>, JsValue> {
        let Some(request) = AccountRequest::decode(&request) else { return Ok(Vec::new()) };
        Ok(self.step(|mailbox, now| mailbox.on_account(now, request))?.encode())
    }

    /// A conversation tells what is new, likewise.
    pub fn news(&mut self, request: Vec<u8>) -> Result<Vec<u8>, JsValue> {
        let Some(request) = NewsRequest::decode(&request) else { return Ok(Vec::new()) };
        Ok(self.step(|mailbox, now| mailbox.on_news(now, request))?.encode())
    }

    /// A text message came in on a socket.
    pub fn text(&mut self, socket: u32, message: String) -> Result<(), JsValue> {
        self.message(SocketId(socket), &WireMessage::Text(message))
    }

    /// A binary message came in on a socket.
    pub fn binary(&mut self, socket: u32, message: Vec<u8>) -> Result<(), JsValue> {
        self.message(SocketId(socket), &WireMessage::Binary(message))
    }

    /// A socket is closed, by either side.
    pub fn closed(&mut self, socket: u32) -> Result<(), JsValue> {
        let socket = SocketId(socket);
        let closed = self.step(|mailbox, now| Ok(((), mailbox.on_close(now, socket)?)));
        self.sockets.remove(&socket);
        Ok(closed?)
    }

    /// A call that this object made has ended: its answer, or none.
    pub fn answer(&mut self, life: u32, peer: f64, answer: Option<Vec<u8>>) -> Result<(), JsValue> {
        let peer = PhoneNumber::from_digits(peer as u64).or(Err(Fault::Call))?;
        if self.mailbox.is_none() || self.life != life {
            return Ok(());
        }
        let answer = answer.and_then(|bytes| PeerAnswer::decode(&bytes));
        Ok(self.step(|mailbox, now| Ok(((), mailbox.on_answer(now, peer, answer)?)))?)
    }

    /// The same of a call to a conversation.
    pub fn conversed(
        &mut self,
        life: u32,
        conversation: Vec<u8>,
        answer: Option<Vec<u8>>,
    ) -> Result<(), JsValue> {
        let conversation = conversation.try_into().or(Err(Fault::Call))?;
        let conversation = ConversationId::from_bytes(conversation);
        if self.mailbox.is_none() || self.life != life {
            return Ok(());
        }
        let answer = answer.and_then(|bytes| ConversationAnswer::decode(&bytes));
        let conversed = |mailbox: &mut Mailbox<_>, now| {
            Ok(((), mailbox.on_conversed(now, conversation, answer)?))
        };
        Ok(self.step(conversed)?)
    }

    /// A push that this object sent has come through, or has not.
    pub fn pushed(&mut self, returned: Returned) -> Result<(), JsValue> {
        let Returned { life, push, outcome } = returned;
        if self.mailbox.is_none() || self.life != life {
            return Ok(());
        }
        Ok(self.step(|mailbox, now| Ok(((), mailbox.on_pushed(now, push, outcome)?)))?)
    }

    /// The timer is over.
    pub fn timer(&mut self) -> Result<(), JsValue> {
        // What the timer was for went with the mailbox that asked for it.
        if self.mailbox.is_none() {
            return Ok(());
        }
        Ok(self.step(|mailbox, now| Ok(((), mailbox.on_timer(now)?)))?)
    }

    /// The alarm went off.
    pub fn alarm(&mut self) -> Result<(), JsValue> {
        Ok(self.step(|mailbox, now| Ok(((), mailbox.on_alarm(now)?)))?)
    }
}

impl MailboxObject {
    fn message(&mut self, socket: SocketId, message: &WireMessage) -> Result<(), JsValue> {
        Ok(self.step(|mailbox, now| Ok(((), mailbox.on_message(now, socket, message)?)))?)
    }

    /// Hands the mailbox an event, and carries out what follows from it.
    fn step<T>(
        &mut self,
        event: impl FnOnce(&mut Mailbox<Database>, Millis) -> Step<T>,
    ) -> Result<T, Fault> {
        let (value, effects) = self.run(event)?;
        self.perform_all(effects)?;
        Ok(value)
    }

    fn run<T>(
        &mut self,
        event: impl FnOnce(&mut Mailbox<Database>, Millis) -> Result<T, StorageError>,
    ) -> Result<T, Fault> {
        let now = js::now();
        let outcome = self.awake(now).and_then(|mailbox| event(mailbox, now));
        outcome.map_err(|error| {
            log::write(&Event::Storage(&error));
            Fault::Storage
        })
    }

    fn awake(&mut self, now: Millis) -> Result<&mut Mailbox<Database>, StorageError> {
        let mailbox = match self.mailbox.take() {
            Some(mailbox) => mailbox,
            None => {
                let sockets = self.recall_sockets().map_err(failed)?;
                let alarm = self.host.get_alarm().map(|at| at as Millis);
                let seed = getrandom::u64().or(Err(StorageError::Row("no randomness")))?;
                self.life = self.life.wrapping_add(1);
                let database = Database::new(self.state.storage(), Rc::clone(&self.rows_written));
                Mailbox::wake(database, self.setup.limits, Wake { now, seed, alarm, sockets })?
            }
        };
        Ok(self.mailbox.insert(mailbox))
    }

    /// Finds the sockets that are open, and returns their attachments.
    fn recall_sockets(&mut self) -> Result<Vec<Vec<u8>>, JsValue> {
        self.sockets.clear();
        let mut attachments = Vec::new();
        let state = self.state.as_raw();
        for socket in state.get_websockets()? {
            let id = state.get_tags(&socket)?.first().and_then(|tag| tag.parse().ok());
            let attachment = socket.deserialize_attachment()?;
            if let (Some(id), Some(bytes)) = (id, attachment.dyn_ref::<Uint8Array>()) {
                attachments.push(bytes.to_vec());
                self.sockets.insert(SocketId(id), socket);
            }
        }
        Ok(attachments)
    }

    /// Opens the server's end of a socket and returns the client's.
    fn accept(&mut self, id: SocketId) -> Result<worker::WebSocket, JsValue> {
        let WebSocketPair { client, server } = WebSocketPair::new()?;
        let server: &WebSocket = server.as_ref();
        // By the raw state: what the crate makes of it panics where the platform throws.
        let state = self.state.as_raw();
        let ping = WebSocketRequestResponsePair::new("ping", "pong")?;
        state.set_websocket_auto_response(&ping)?;
        state.accept_websocket_with_tags(server, vec![JsValue::from_str(&id.0.to_string())])?;
        self.sockets.insert(id, server.clone());
        Ok(client)
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> Result<(), Fault> {
        for effect in effects {
            self.perform(effect);
        }
        while let Some(socket) = self.cut_off.pop() {
            self.step(|mailbox, now| Ok(((), mailbox.on_close(now, socket)?)))?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { socket, message } => self.send(socket, &message),
            Effect::Remember { socket, attachment } => {
                if let Some(socket) = self.sockets.get(&socket) {
                    let bytes = Uint8Array::from(attachment.as_slice());
                    socket.unchecked_ref::<Attachment>().serialize(&bytes);
                }
            }
            Effect::Close { socket, code, reason } => self.close(socket, code, reason),
            Effect::Call { peer, request } => {
                let bytes = Uint8Array::from(request.encode().as_slice());
                self.host.call(self.life, peer.digits() as f64, bytes);
            }
            Effect::Converse(request) => {
                let conversation = Uint8Array::from(&request.conversation.to_bytes()[..]);
                let bytes = Uint8Array::from(request.encode().as_slice());
                self.host.converse(self.life, conversation, bytes);
            }
            Effect::Push(push) => self.push(*push),
            Effect::Timer(Some(wait)) => self.host.set_timer(wait as f64),
            Effect::Timer(None) => self.host.clear_timer(),
            Effect::Alarm(at) => {
                // Billed as a row.
                self.rows_written.set(self.rows_written.get() + 1);
                self.host.set_alarm(at as f64);
            }
            Effect::Forget => {
                self.host.forget();
                self.mailbox = None;
            }
        }
    }

    /// Hands a push over after this event has ended, so that nothing waits for it.
    fn push(&self, push: Push) {
        let (host, setup, life) = (self.host.clone(), Rc::clone(&self.setup), self.life);
        spawn_local(async move {
            let outcome = push::send(setup.push.as_ref(), &push).await;
            host.pushed(Returned { life, push: push.id, outcome });
        });
    }

    fn send(&mut self, id: SocketId, message: &WireMessage) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let sent = match message {
            WireMessage::Text(text) => socket.send_with_str(text),
            // The platform sends later and copies nothing: never a view of wasm memory.
            WireMessage::Binary(bytes) => {
                socket.send_with_js_u8_array(&Uint8Array::from(bytes.as_slice()))
            }
        };
        // A socket that cannot be sent to is closing; its close event follows.
        if sent.is_ok() && socket.buffered_amount() > UNSENT_BYTES_MAX {
            self.close(id, TRY_LATER, ErrorCode::RateLimited.as_str());
            self.cut_off.push(id);
        }
    }

    fn close(&mut self, id: SocketId, code: u16, reason: &str) {
        if let Some(socket) = self.sockets.remove(&id) {
            socket.unchecked_ref::<Attachment>().serialize(&JsValue::NULL);
            // One that is closing already needs no more.
            let _ = socket.close_with_code_and_reason(code, reason);
        }
    }
}

/// The answer that hands a device its end of the socket.
fn switching(client: worker::WebSocket, encoding: Encoding) -> worker::Response {
    let protocol = ("sec-websocket-protocol", encoding.subprotocol());
    answer(101, &[protocol]).with_websocket(client).empty()
}
