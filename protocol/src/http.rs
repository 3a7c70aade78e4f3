//! The JSON bodies of the HTTP interface. The OpenAPI document describes the same shapes; a test
//! compares the two with the running server.

mod operator;

use serde::{Deserialize, Serialize};

pub use self::operator::{
    AccountLimits, Audit, AuditAction, AuditEntry, Inspection, Motd, MotdRequest, ReportReason,
    ReportRequest, ReportedMessage, Suspension,
};
use crate::{DeviceId, ErrorCode, MessageId, Millis, PhoneNumber, limits};

/// `POST /v1/registration/code`: sends a one-time code to a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRequest {
    /// Where the code goes, in E.164 form. A text, so that a wrong one has an error of its own.
    pub number: String,
}

/// The answer to [`CodeRequest`]: the code is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeSent {
    /// How long to wait before another code may be asked for, in milliseconds.
    pub resend_after: Millis,
    /// When the code is no longer good.
    pub expires_at: Millis,
}

/// `POST /v1/registration`: proves the number and makes this device the account's primary one.
/// Earlier devices of the account are removed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// The account.
    pub number: String,
    /// The one-time code.
    pub code: String,
    /// What people call the device, at most [`crate::limits::DEVICE_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The device's Ed25519 public key: 32 bytes in base64.
    pub identity_key: String,
    /// What the device made of the account's registration PIN, if it has one: see [`NewPin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

/// Shows nothing: what it holds proves a number.
impl core::fmt::Debug for RegisterRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RegisterRequest").finish_non_exhaustive()
    }
}

/// The answer to [`RegisterRequest`], and to a renewal of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The account.
    pub account: PhoneNumber,
    /// The device, as the server named it.
    pub device: DeviceId,
    /// A JWT for `Authorization: Bearer` and for the socket.
    pub token: String,
    /// When the token is no longer good.
    pub expires_at: Millis,
}

/// `GET /v1/devices`: the account's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// At most [`crate::limits::DEVICES_MAX`].
    pub devices: Vec<Device>,
}

/// One device of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What people call it.
    pub name: String,
    /// When it was registered.
    pub registered_at: Millis,
    /// Whether a socket of it is open.
    pub connected: bool,
    /// Whether it is the one that asks.
    pub current: bool,
    /// Whether it is the account's primary device: the one that was registered, which may rename and
    /// remove the others.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub primary: bool,
    /// The day on which it last connected, as its midnight UTC. Absent where it has not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Millis>,
}

/// `PATCH /v1/devices/{id}`: gives a device another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceName {
    /// At most [`crate::limits::DEVICE_NAME_BYTES_MAX`] bytes.
    pub name: String,
}

/// The answer to `POST /v1/links`: a code by which a device of an account can make the one that asks
/// another device of the account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What the approving device is shown: 40 hexadecimal digits.
    pub link: String,
    /// What the new device alone knows, to collect its token: 64 hexadecimal digits.
    pub secret: String,
    /// When the code is no longer good.
    pub expires_at: Millis,
}

/// Shows nothing: the secret collects a token.
impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// `POST /v1/devices`: makes the device that shows a code another device of the account that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRequest {
    /// The code, as [`Link::link`] has it.
    pub link: String,
    /// What people call the new device, at most [`crate::limits::DEVICE_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The new device's Ed25519 public key: 32 bytes in base64.
    pub identity_key: String,
    /// What the approving device hands over to the new one, sealed for it: in base64, at most
    /// [`crate::limits::HANDOVER_BYTES_MAX`] bytes. The server cannot read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<String>,
}

/// `GET /v1/links/{link}`: what was approved, as in [`Registered`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// The account.
    pub account: PhoneNumber,
    /// The device, as the server named it.
    pub device: DeviceId,
    /// As in [`Registered`].
    pub token: String,
    /// As in [`Registered`].
    pub expires_at: Millis,
    /// As in [`LinkRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<String>,
}

/// The answer to [`LinkRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// The new device, as the server named it.
    pub device: DeviceId,
}

/// `PUT /v1/pin`: from now on, who registers the number again needs this PIN.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPin {
    /// What Argon2id makes of the PIN: 32 bytes in base64. `docs/protocol.md` says how.
    pub pin: String,
}

/// Shows nothing: the PIN can be found from it by trying.
impl core::fmt::Debug for NewPin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NewPin").finish_non_exhaustive()
    }
}

/// `GET /v1/pin`: whether the account has a registration PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Whether there is one.
    pub set: bool,
}

/// `POST /v1/account/move`: what the account says of who may see what, and of others, goes to the account
/// that a device registered at the new number; and the account that asks ends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRequest {
    /// The token of the new account's primary device.
    pub token: String,
}

/// Shows nothing: a token is a secret.
impl core::fmt::Debug for MoveRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MoveRequest").finish_non_exhaustive()
    }
}

/// Who may see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Whoever asks.
    #[default]
    Everyone,
    /// The account's contacts.
    Contacts,
    /// No one.
    Nobody,
}

/// What an audience is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// When the user was last there. Who hides it from somebody does not see theirs.
    LastSeen,
    /// Whether the user is there, and that they type. Likewise.
    Online,
    /// Which messages were read. Likewise.
    ReadMarks,
    /// Name, about and picture. Who hides it sees others' all the same.
    Profile,
    /// That the account is there, to whoever looks its number up. Likewise.
    Number,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 5] =
        [Self::LastSeen, Self::Online, Self::ReadMarks, Self::Profile, Self::Number];
}

/// `GET` and `PUT /v1/privacy`: who may see what of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// Who sees when the user was last there.
    #[serde(default)]
    pub last_seen: Audience,
    /// Who sees that the user is there, and types.
    #[serde(default)]
    pub online: Audience,
    /// Who sees which messages were read.
    #[serde(default)]
    pub read_marks: Audience,
    /// Who sees the profile. Left out where it is everyone.
    #[serde(default, skip_serializing_if = "Audience::is_everyone")]
    pub profile: Audience,
    /// Who finds the account by its number. Left out where it is nobody, as it is unless it is said.
    #[serde(default = "nobody", skip_serializing_if = "Audience::is_nobody")]
    pub number: Audience,
}

impl Audience {
    fn is_everyone(&self) -> bool {
        *self == Self::Everyone
    }

    fn is_nobody(&self) -> bool {
        *self == Self::Nobody
    }
}

fn nobody() -> Audience {
    Audience::Nobody
}

impl Default for Privacy {
    fn default() -> Self {
        let all = Audience::Everyone;
        Self { last_seen: all, online: all, read_marks: all, profile: all, number: nobody() }
    }
}

/// What an account says of its user: `GET` and `PUT /v1/profile` its own, `GET /v1/profiles/{number}`
/// somebody's. The default, which has the version 0, is none.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Grows by one with each change. The server counts: what is put is not looked at.
    #[serde(default)]
    pub version: u64,
    /// What the user is called, at most [`limits::PROFILE_NAME_BYTES_MAX`] bytes on one line.
    #[serde(default)]
    pub name: String,
    /// What the user says of themselves, at most [`limits::PROFILE_ABOUT_BYTES_MAX`] bytes.
    #[serde(default)]
    pub about: String,
    /// What opens the picture, opaque to the server, at most [`limits::PROFILE_PICTURE_BYTES_MAX`] bytes.
    /// Absent where there is no picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

impl Profile {
    /// Whether each text keeps to its limit and has no characters that it may not have.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] and [`ErrorCode::Malformed`].
    pub fn check(&self) -> Result<(), ErrorCode> {
        let picture = self.picture.as_ref().map_or(0, String::len);
        if self.name.len() > limits::PROFILE_NAME_BYTES_MAX
            || self.about.len() > limits::PROFILE_ABOUT_BYTES_MAX
            || picture > limits::PROFILE_PICTURE_BYTES_MAX
        {
            return Err(ErrorCode::TooLarge);
        }
        let line_only = |control: char| control.is_control() && control != '\n';
        if self.name.contains(char::is_control) || self.about.contains(line_only) {
            return Err(ErrorCode::Malformed);
        }
        Ok(())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.about.is_empty() && self.picture.is_none()
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Shows no words and no key.
impl core::fmt::Debug for Profile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Profile").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What an account says of another to its mailbox. `PUT /v1/people/{number}` sets it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Person {
    /// Whether it is a contact, in the sense of [`Audience::Contacts`].
    #[serde(default)]
    pub contact: bool,
    /// Whether nothing of it is to come through. It is not told.
    #[serde(default)]
    pub blocked: bool,
    /// For which attributes the audience means the opposite for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Attribute>,
}

/// `GET /v1/people`: every account of which something is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct People {
    /// By number; at most [`crate::limits::PEOPLE_MAX`].
    pub people: Vec<Known>,
}

/// One of [`People`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Who.
    pub number: PhoneNumber,
    /// What is said of them.
    pub person: Person,
}

/// `POST /v1/lookup`: which of these numbers have an account that lets itself be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupRequest {
    /// At most [`crate::limits::LOOKUP_NUMBERS_MAX`], in E.164 form. Texts, so that a wrong one has an
    /// error of its own.
    pub numbers: Vec<String>,
}

/// The answer to [`LookupRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Those that were found, each once, in the order in which they were asked for.
    pub registered: Vec<PhoneNumber>,
}

/// `GET /v1/account`: all that the server holds on an account, but for the bodies of what waits, which
/// come by the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The account.
    pub number: PhoneNumber,
    /// When its number was first proven.
    pub registered_at: Millis,
    /// When its user was last there. Absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Millis>,
    /// When it was suspended. Absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Millis>,
    /// Its devices.
    pub devices: Vec<ExportedDevice>,
    /// Who may see what.
    pub privacy: Privacy,
    /// What it says of others.
    pub people: Vec<Known>,
    /// Whether it has a registration PIN.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub pin: bool,
    /// Who watches its presence.
    pub watchers: Vec<PhoneNumber>,
    /// What waits for its devices: messages, receipts and copies.
    pub waiting: Vec<Waiting>,
    /// Uploads that are not finished, by the ids of their files.
    pub uploads: Vec<String>,
    /// What today's work has cost.
    pub usage: Usage,
    /// What it says of its user. Left out where that is nothing.
    #[serde(default, skip_serializing_if = "Profile::is_none")]
    pub profile: Profile,
    /// The length of its picture, in bytes. Left out where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub picture_bytes: u64,
}

/// A device, in [`Export`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedDevice {
    /// As the list of devices has it.
    pub device: Device,
    /// Its Ed25519 public key, in base64.
    pub identity_key: String,
    /// Where it is pushed to, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<String>,
}

/// One item that waits, in [`Export`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its id.
    pub id: MessageId,
    /// Who it is from.
    pub from: PhoneNumber,
    /// The device that sent it. Absent for a receipt or a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
}

/// `GET /v1/usage`: what the account's work has cost today, in billed units, since midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Requests to the account's object: upgrades, calls, alarms. Calls that it makes are counted
    /// by the object that is called.
    pub requests: u64,
    /// Rows that the object wrote.
    pub rows_written: u64,
    /// WebSocket messages that its devices sent.
    pub socket_messages: u64,
    /// What was charged to the account, in billionths of a dollar.
    pub spent: u64,
    /// What may be charged in a day, likewise.
    pub budget: u64,
    /// Operations that write to the store of files: one for a file that fits one request.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub media_writes: u64,
    /// Operations that read from it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub media_reads: u64,
    /// Bytes of the files whose upload was begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uploaded_bytes: u64,
    /// Pushes that its devices were sent. Left out where there were none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pushes: u64,
    /// Numbers that the account may look up until midnight. Left out where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lookups_left: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// `PUT /v1/push`: where to push to the device that asks. What a browser's `PushSubscription` becomes as
/// JSON; its `expirationTime` is not looked at, since the push service says when it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushSubscription {
    /// An address at a push service, at most [`crate::limits::PUSH_ENDPOINT_BYTES_MAX`] bytes.
    pub endpoint: String,
    /// What a push is sealed for.
    pub keys: PushKeys,
}

/// The keys of a subscription (RFC 8291, section 2), in base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushKeys {
    /// A public key on the curve P-256: 65 bytes.
    pub p256dh: String,
    /// The authentication secret: 16 bytes.
    pub auth: String,
}

/// Shows nothing: with them a push could be forged.
impl core::fmt::Debug for PushKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PushKeys").finish_non_exhaustive()
    }
}

/// `GET /v1/push`: what a device needs to subscribe, and its subscription if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The server's public key (RFC 8292), the `applicationServerKey`: 65 bytes in base64url.
    pub public_key: String,
    /// As it was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<PushSubscription>,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// The server's clock.
    pub now: Millis,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub error: ErrorCode,
    /// The same in a sentence, with what to do next. Not for programs.
    pub message: String,
    /// When to try again, in milliseconds from now. Also in the header `Retry-After`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Millis>,
}
