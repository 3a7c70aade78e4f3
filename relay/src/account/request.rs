//! What the front Worker asks of an account, and what it is answered.
//!
//! Two versions of the server may be on either end, so kinds and fields are only ever added, and golden
//! tests pin the bytes.

use estafette_protocol::http::{
    Device as DeviceInfo, Export, Inspection, People, Person, Pin, Privacy, Profile,
    PushSubscription, Usage,
};
use estafette_protocol::{Body, DeviceId, ErrorCode, MediaId, Millis, PhoneNumber};
use serde::{Deserialize, Serialize};

use crate::effect::Refusal;
use crate::mailbox::{Moving, PinHash};
use crate::media::MediaWork;
use crate::peer::cbor;

/// What the front Worker asks of an account. A [`DeviceId`] alone, or under the name of `device`, is the device
/// in the token, which asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRequest {
    /// May a code be sent? If so, this is its keyed hash.
    Code {
        /// HMAC-SHA256 of number and code.
        #[serde(with = "array")]
        hash: [u8; 32],
    },
    /// Make this device the account's only one, if the code is right.
    Register {
        /// The account.
        number: PhoneNumber,
        /// The keyed hash of what was typed.
        #[serde(with = "array")]
        hash: [u8; 32],
        /// Drawn at random by the front Worker.
        device: DeviceId,
        /// What people call it.
        name: String,
        /// Its Ed25519 public key.
        #[serde(with = "array")]
        identity_key: [u8; 32],
        /// The keyed hash of the PIN that was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin: Option<PinHash>,
    },
    /// Make this device one more of the account's.
    Link {
        /// The device in the token, which approves.
        device: DeviceId,
        /// The new device, drawn at random by the front Worker.
        target: DeviceId,
        /// What people call it.
        name: String,
        /// Its Ed25519 public key.
        #[serde(with = "array")]
        identity_key: [u8; 32],
    },
    /// Give a device another name.
    Rename {
        /// The device in the token.
        device: DeviceId,
        /// The device to rename; it may be the same.
        target: DeviceId,
        /// What people call it from now on.
        name: String,
    },
    /// Tell all that is held.
    Export(DeviceId),
    /// Delete the account.
    Delete(DeviceId),
    /// List the devices.
    Devices(DeviceId),
    /// Remove a device.
    Remove {
        /// The device in the token.
        device: DeviceId,
        /// The device to remove; it may be the same.
        target: DeviceId,
    },
    /// May this device have a new token?
    Renew(DeviceId),
    /// What today's work has cost.
    Usage(DeviceId),
    /// May this device upload a file? If so, its bytes and the work are charged.
    Upload {
        /// The device in the token.
        device: DeviceId,
        /// Which file.
        media: MediaId,
        /// Its length.
        bytes: u64,
        /// When an upload that does not come whole with this request ends by itself. It has a place
        /// among the account's unfinished uploads until then, or until it is said to have ended.
        open_until: Option<Millis>,
        /// What it takes to begin it.
        work: MediaWork,
    },
    /// May this be done for the device's files? If so, it is charged.
    Media {
        /// The device in the token.
        device: DeviceId,
        /// What.
        work: MediaWork,
    },
    /// Who may see what?
    Privacy(DeviceId),
    /// These may.
    SetPrivacy {
        /// The device in the token.
        device: DeviceId,
        /// All of it.
        privacy: Privacy,
    },
    /// Of whom is something said?
    People(DeviceId),
    /// Say this of somebody.
    SetPerson {
        /// The device in the token.
        device: DeviceId,
        /// Of whom.
        number: PhoneNumber,
        /// All of it.
        person: Person,
    },
    /// Which uploads are unfinished? They end with the account, so the primary device alone may ask.
    Uploads(DeviceId),
    /// What does it say of its user?
    Profile(DeviceId),
    /// Say this of the user.
    SetProfile {
        /// The device in the token.
        device: DeviceId,
        /// All of it, but for the version. The front Worker has checked it.
        profile: Profile,
    },
    /// There is a picture now, or no more.
    SetPicture {
        /// The device in the token.
        device: DeviceId,
        /// Its length; 0: there is none.
        bytes: u64,
    },
    /// May this device ask for somebody's profile? If so, that is charged.
    Visit(DeviceId),
    /// What of the profile is shown to somebody? Their own mailbox was asked before.
    ShownProfile(PhoneNumber),
    /// Is there a picture that is shown to somebody? Likewise.
    ShownPicture(PhoneNumber),
    /// Which of these numbers have an account?
    LookUp {
        /// The device in the token.
        device: DeviceId,
        /// At most [`estafette_protocol::limits::LOOKUP_NUMBERS_MAX`].
        numbers: Vec<PhoneNumber>,
    },
    /// Does the account let itself be found? Of none at all, the answer is no.
    Findable(PhoneNumber),
    /// An unfinished upload is finished, or was given up.
    UploadEnded(MediaId),
    /// Is there a PIN?
    Pin(DeviceId),
    /// This is the PIN from now on, or there is none.
    SetPin {
        /// The device in the token.
        device: DeviceId,
        /// Its keyed hash.
        pin: Option<PinHash>,
    },
    /// What goes along when the account moves to another number?
    Moving(DeviceId),
    /// That comes along from the number that the account had.
    Arrive {
        /// The device in the token.
        device: DeviceId,
        /// What the other mailbox answered: a [`Moving`].
        moving: Body,
    },
    /// The account has moved: delete it here.
    Leave(DeviceId),
    /// Where is the device pushed to?
    Subscription(DeviceId),
    /// Push to the device.
    Subscribe {
        /// The device in the token.
        device: DeviceId,
        /// Where, and what to seal for. The front Worker has checked it.
        subscription: PushSubscription,
    },
    /// Push to the device no more.
    Unsubscribe(DeviceId),
    /// May this device report somebody? If so, it is counted.
    Report(DeviceId),
    /// An admin asks how the account stands.
    Inspect,
    /// An admin suspends it.
    Suspend,
    /// An admin restores it.
    Restore,
}

impl AccountRequest {
    /// The device in the token, which asks; `None` where the front Worker asks by itself.
    pub(super) fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Link { device, .. }
            | Self::Rename { device, .. }
            | Self::Export(device)
            | Self::Delete(device)
            | Self::Devices(device)
            | Self::Remove { device, .. }
            | Self::Renew(device)
            | Self::Usage(device)
            | Self::Upload { device, .. }
            | Self::Media { device, .. }
            | Self::Privacy(device)
            | Self::SetPrivacy { device, .. }
            | Self::People(device)
            | Self::SetPerson { device, .. }
            | Self::Uploads(device)
            | Self::Profile(device)
            | Self::SetProfile { device, .. }
            | Self::SetPicture { device, .. }
            | Self::Visit(device)
            | Self::Pin(device)
            | Self::SetPin { device, .. }
            | Self::Moving(device)
            | Self::Arrive { device, .. }
            | Self::Leave(device)
            | Self::LookUp { device, .. }
            | Self::Subscription(device)
            | Self::Subscribe { device, .. }
            | Self::Unsubscribe(device)
            | Self::Report(device) => Some(*device),
            Self::Code { .. }
            | Self::Register { .. }
            | Self::UploadEnded(..)
            | Self::Findable(..)
            | Self::ShownProfile(..)
            | Self::ShownPicture(..)
            | Self::Inspect
            | Self::Suspend
            | Self::Restore => None,
        }
    }
}

/// The answer to an [`AccountRequest`]; on its way it is an [`AccountReply`](crate::AccountReply).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountAnswer {
    /// Send the code.
    CodeTaken {
        /// How long until another may be asked for.
        resend_after: Millis,
        /// When it is no longer good.
        expires_at: Millis,
    },
    /// Sign a token for the device; or: it is done; or: it may, and was charged.
    Granted,
    /// The devices.
    Devices(Vec<DeviceInfo>),
    /// Today's work.
    Usage(Usage),
    /// All that is held.
    Export(Box<Export>),
    /// Who may see what.
    Privacy(Privacy),
    /// Of whom something is said.
    People(People),
    /// Unfinished uploads.
    Uploads(Vec<MediaId>),
    /// What is said of the user, as far as whoever asks may see it.
    Profile(Profile),
    /// Whether there is a PIN.
    Pin(Pin),
    /// What goes along.
    Moving(Moving),
    /// Those of the numbers that are to be asked whether they let themselves be found.
    Found(Vec<PhoneNumber>),
    /// Where the device is pushed to, if it is.
    Subscription(Option<PushSubscription>),
    /// How the account stands.
    Inspection(Box<Inspection>),
    /// Refused; nothing has changed but the count of tries.
    Refused {
        /// Why.
        code: ErrorCode,
        /// When to try again.
        retry_after: Option<Millis>,
    },
}

cbor!(pub AccountRequest);

/// 32 bytes as serde has an array, a list of numbers, but in a loop: what it derives is unrolled.
pub(crate) mod array {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        bytes.as_slice().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let bytes = Vec::deserialize(from)?;
        <[u8; 32]>::try_from(bytes).map_err(|bytes| Error::invalid_length(bytes.len(), &"32 bytes"))
    }
}

impl From<Refusal> for AccountAnswer {
    fn from(Refusal { code, retry_after }: Refusal) -> Self {
        Self::Refused { code, retry_after }
    }
}
