//! `/v1/lookup`: which of these numbers have an account that lets itself be found.
//!
//! The asker's mailbox says who may be asked; each of those is asked, all at once, and says yes or no.
//! Nothing is kept here.

use estafette_protocol::http::Lookup;
use estafette_protocol::{ErrorCode, PhoneNumber};
use estafette_relay::{AccountReply, AccountRequest};
use wasm_bindgen::JsCast;
use worker::Response;
use worker::js_sys::{Array, Promise, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;

use super::{Front, RETRY, answered, json};
use crate::input::{self, LOOKUP_BYTES_MAX};
use crate::problem::Failure;
use crate::token::Identity;

impl Front {
    pub(super) async fn lookup(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let numbers = input::lookup(&self.body_up_to(LOOKUP_BYTES_MAX).await?)?;
        let request = AccountRequest::LookUp { device, numbers };
        let AccountReply::Data(data) = self.ask(account, &request).await? else {
            return Err(ErrorCode::Internal.into());
        };
        let text = str::from_utf8(&data.0).or(Err(ErrorCode::Internal))?;
        let numbers: Vec<PhoneNumber> = serde_json::from_str(text).or(Err(ErrorCode::Internal))?;
        let answers = answered(self.ask_all(&numbers, account).await)?;
        let mut registered = Vec::new();
        for (&number, answer) in numbers.iter().zip(answers.iter()) {
            let answer = answer.dyn_into::<Uint8Array>().or(Err(ErrorCode::Internal))?.to_vec();
            match AccountReply::decode(&answer) {
                Some(AccountReply::Granted) => registered.push(number),
                Some(AccountReply::Refused { code: ErrorCode::NotFound, .. }) => {}
                // Another version answers, while a deploy is under way.
                _ => return Err(Failure::for_now(ErrorCode::Unavailable, RETRY)),
            }
        }
        json(200, &Lookup { registered })
    }

    /// Asks each of these accounts whether it lets itself be found. If one does not answer, none has.
    async fn ask_all(&self, numbers: &[PhoneNumber], by: PhoneNumber) -> worker::Result<Array> {
        let request = AccountRequest::Findable(by);
        let calls = Array::new();
        for &number in numbers {
            let call = self.begin(number, &request)?;
            calls.push(call.as_ref());
        }
        Ok(JsFuture::from(Promise::all(&calls)).await?.unchecked_into())
    }
}
