//! The Durable Object of one conversation: wakes it, hands it events, carries out the effects.
//!
//! The invariants are those of a mailbox's object (`object.rs`): a step awaits nothing, one that fails aborts the
//! object, and an answer reaches the life that asked.

use std::cell::Cell;
use std::rc::Rc;

use estafette_protocol::{Millis, PhoneNumber};
use estafette_relay::{
    Conversation, ConversationEffect, ConversationRequest, NewsAnswer, StorageError,
};
use wasm_bindgen::prelude::*;
use worker::State;
use worker::js_sys::Uint8Array;
use worker::worker_sys::DurableObjectState;

use crate::js::{self, Host};
use crate::log::{self, Event};
use crate::object::Fault;
use crate::sql::Database;

/// The object. The shim makes one for each Durable Object, and another after a trap.
#[wasm_bindgen]
pub struct ConversationObject {
    state: State,
    host: Host,
    conversation: Option<Conversation<Database>>,
    /// Counts wakings.
    life: u32,
    rows_written: Rc<Cell<u64>>,
}

#[wasm_bindgen]
impl ConversationObject {
    /// Touches nothing yet: the conversation wakes with the first event.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, host: Host) -> ConversationObject {
        let (state, rows_written) = (state.into(), Rc::default());
        Self { state, host, conversation: None, life: 0, rows_written }
    }

    /// A mailbox calls. The answer to what another version says, and this one cannot read, is empty.
    pub fn converse(&mut self, request: Vec<u8>) -> Result<Vec<u8>, JsValue> {
        let Some(request) = ConversationRequest::decode(&request) else { return Ok(Vec::new()) };
        Ok(self.step(|conversation, now| conversation.on_request(now, request))?.encode())
    }

    /// A call that this object made has ended: its answer, or none.
    pub fn told(&mut self, life: u32, member: f64, answer: Option<Vec<u8>>) -> Result<(), JsValue> {
        let member = PhoneNumber::from_digits(member as u64).or(Err(Fault::Call))?;
        if self.conversation.is_none() || self.life != life {
            return Ok(());
        }
        let answer = answer.and_then(|bytes| NewsAnswer::decode(&bytes));
        let told = |conversation: &mut Conversation<_>, now| {
            Ok(((), conversation.on_told(now, member, answer)?))
        };
        Ok(self.step(told)?)
    }

    /// The alarm went off.
    pub fn alarm(&mut self) -> Result<(), JsValue> {
        Ok(self.step(|conversation, now| Ok(((), conversation.on_alarm(now)?)))?)
    }
}

impl ConversationObject {
    fn step<T>(
        &mut self,
        event: impl FnOnce(
            &mut Conversation<Database>,
            Millis,
        ) -> Result<(T, Vec<ConversationEffect>), StorageError>,
    ) -> Result<T, Fault> {
        let now = js::now();
        let outcome = self.awake().and_then(|conversation| event(conversation, now));
        let (value, effects) = outcome.map_err(|error| {
            log::write(&Event::Storage(&error));
            Fault::Storage
        })?;
        for effect in effects {
            self.perform(effect);
        }
        Ok(value)
    }

    fn awake(&mut self) -> Result<&mut Conversation<Database>, StorageError> {
        let conversation = match self.conversation.take() {
            Some(conversation) => conversation,
            None => {
                let alarm = self.host.get_alarm().map(|at| at as Millis);
                self.life = self.life.wrapping_add(1);
                let database = Database::new(self.state.storage(), Rc::clone(&self.rows_written));
                Conversation::wake(database, alarm)?
            }
        };
        Ok(self.conversation.insert(conversation))
    }

    fn perform(&mut self, effect: ConversationEffect) {
        match effect {
            ConversationEffect::Tell(request) => {
                let bytes = Uint8Array::from(request.encode().as_slice());
                self.host.tell(self.life, request.to.digits() as f64, bytes);
            }
            ConversationEffect::Alarm(at) => self.host.set_alarm(at as f64),
            ConversationEffect::Forget => {
                self.host.forget();
                self.conversation = None;
            }
        }
    }
}
