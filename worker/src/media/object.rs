//! The Durable Object of one upload: hands its requests to the state machine. The shim's class `Upload`
//! carries out what follows.

use std::cell::Cell;
use std::rc::Rc;

use estafette_relay::{StorageError, Upload, UploadEffect, UploadRequest};
use wasm_bindgen::prelude::*;
use worker::js_sys::{Array, Uint8Array};
use worker::worker_sys::DurableObjectState;
use worker::{Env, State};

use crate::js;
use crate::log::{self, Event};
use crate::object::Fault;
use crate::setup::Setup;
use crate::sql::Database;

/// The object. The shim makes one for each Durable Object, and another after a trap.
#[wasm_bindgen]
pub struct UploadObject {
    state: State,
    setup: Rc<Setup>,
    upload: Option<Upload<Database>>,
}

#[wasm_bindgen]
impl UploadObject {
    /// Touches nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: &Env) -> Result<UploadObject, JsValue> {
        let setup = crate::front::setup(env).map_err(|_| Fault::Setup)?;
        Ok(Self { state: state.into(), setup, upload: None })
    }

    /// The front Worker asks something. Gives the answer; when to set the alarm, if at all; and whether to
    /// delete all that is stored.
    pub fn ask(&mut self, request: Vec<u8>) -> Result<Array, JsValue> {
        // What another version says, and this one cannot read, has an empty answer.
        let Some(request) = UploadRequest::decode(&request) else {
            return Ok(Array::of1(&Uint8Array::new_with_length(0)));
        };
        let now = js::now();
        let (answer, effects) = self.run(|upload| upload.on_request(now, request))?;
        let (mut alarm, mut forget) = (JsValue::UNDEFINED, false);
        for effect in effects {
            match effect {
                UploadEffect::Alarm(at) => alarm = JsValue::from_f64(at as f64),
                UploadEffect::Forget => forget = true,
                // Only the alarm says so.
                UploadEffect::Abandon { .. } => {}
            }
        }
        if forget {
            self.upload = None;
        }
        let answer = Uint8Array::from(answer.encode().as_slice());
        Ok(Array::of3(&answer, &alarm, &forget.into()))
    }

    /// The alarm went off. Gives R2's names: of the file, of its multipart upload, of its fragments; all
    /// that is stored is to be deleted.
    pub fn alarm(&mut self) -> Result<Array, JsValue> {
        let effects = self.run(|upload| Ok(upload.on_alarm()))?;
        self.upload = None;
        for effect in effects {
            if let UploadEffect::Abandon { media, multipart, fragments } = effect {
                let places = &self.setup.places;
                let names = places.fragments(media, &fragments);
                let fragments: Array = names.into_iter().map(JsValue::from).collect();
                return Ok(Array::of3(&places.file(media).into(), &multipart.into(), &fragments));
            }
        }
        Ok(Array::new())
    }
}

impl UploadObject {
    fn run<T>(
        &mut self,
        event: impl FnOnce(&mut Upload<Database>) -> Result<T, StorageError>,
    ) -> Result<T, Fault> {
        let outcome = self.awake().and_then(event);
        outcome.map_err(|error| {
            log::write(&Event::Storage(&error));
            Fault::Storage
        })
    }

    fn awake(&mut self) -> Result<&mut Upload<Database>, StorageError> {
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => {
                // Nobody asks this database what it was billed: each request is charged beforehand.
                let rows_written = Rc::new(Cell::new(0));
                Upload::wake(Database::new(self.state.storage(), rows_written))?
            }
        };
        Ok(self.upload.insert(upload))
    }
}
