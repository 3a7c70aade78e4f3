//! What an account's answer is on its way to the front Worker.
//!
//! Data travel as the JSON that the client is sent: the front Worker passes them on and needs to know
//! none of their shapes, and a Worker that holds every shape in two encodings is a tenth larger.

use estafette_protocol::http::Devices;
use estafette_protocol::{Body, ErrorCode, Millis};
use serde::{Deserialize, Serialize};

use crate::account::AccountAnswer;
use crate::peer::cbor;

/// An [`AccountAnswer`] as the front Worker reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountReply {
    /// Send the code.
    CodeTaken {
        /// How long until another may be asked for.
        resend_after: Millis,
        /// When it is no longer good.
        expires_at: Millis,
    },
    /// Sign a token for the device; or: it is done; or: it may, and was charged.
    Granted,
    /// The data that were asked for: the JSON of one of the types in [`estafette_protocol::http`]; or what
    /// an account takes along, for another account's mailbox.
    Data(Body),
    /// Refused; nothing has changed but the count of tries.
    Refused {
        /// Why.
        code: ErrorCode,
        /// When to try again.
        retry_after: Option<Millis>,
    },
}

cbor!(pub AccountReply);

impl AccountAnswer {
    /// The bytes of its [`AccountReply`].
    pub fn encode(self) -> Vec<u8> {
        AccountReply::from(self).encode()
    }
}

impl From<AccountAnswer> for AccountReply {
    fn from(answer: AccountAnswer) -> Self {
        match answer {
            AccountAnswer::CodeTaken { resend_after, expires_at } => {
                Self::CodeTaken { resend_after, expires_at }
            }
            AccountAnswer::Granted => Self::Granted,
            AccountAnswer::Devices(devices) => data(&Devices { devices }),
            AccountAnswer::Usage(usage) => data(&usage),
            AccountAnswer::Export(export) => data(&export),
            AccountAnswer::Privacy(privacy) => data(&privacy),
            AccountAnswer::People(people) => data(&people),
            AccountAnswer::Uploads(uploads) => data(&uploads),
            AccountAnswer::Profile(profile) => data(&profile),
            AccountAnswer::Found(numbers) => data(&numbers),
            AccountAnswer::Subscription(subscription) => data(&subscription),
            AccountAnswer::Pin(pin) => data(&pin),
            AccountAnswer::Moving(moving) => Self::Data(Body(moving.encode())),
            AccountAnswer::Inspection(inspection) => data(&inspection),
            AccountAnswer::Refused { code, retry_after } => Self::Refused { code, retry_after },
        }
    }
}

fn data(data: &impl Serialize) -> AccountReply {
    // Encoding into memory cannot fail for types without maps of odd keys.
    AccountReply::Data(Body(serde_json::to_vec(data).unwrap_or_default()))
}
