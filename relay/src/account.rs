//! The account behind a number: proven by a one-time code, used by devices.
//!
//! The front Worker makes the code, sends it, and hands over only its keyed hash; it signs the tokens
//! that are granted here. An answer to anyone but the account's own devices tells no more than whether
//! a code may be sent.

use estafette_protocol::http::{
    Device as DeviceInfo, Export, Inspection, People, Person, Pin, Privacy, Profile,
    PushSubscription, Usage,
};
use estafette_protocol::{Body, DeviceId, ErrorCode, MediaId, Millis, PhoneNumber, limits};
use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Refusal};
use crate::mailbox::{Mailbox, Moving, NewDevice, PinHash, suspended};
use crate::media::MediaWork;
use crate::peer::cbor;
use crate::schema;
use crate::sql::{Columns, Sql, StorageError};

/// Codes for one number in a day: more would only cost its owner patience and the operator money.
const CODES_A_DAY: u64 = 10;
const DAY: Millis = 24 * 60 * 60 * 1000;

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
        /// At most [`limits::LOOKUP_NUMBERS_MAX`].
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

/// The code that is on its way.
struct Code {
    hash: [u8; 32],
    expires_at: Millis,
    tries: u64,
    sent: u64,
    first_sent_at: Millis,
    last_sent_at: Millis,
}

impl<S: Sql> Mailbox<S> {
    /// The front Worker asks something of the account.
    pub fn on_account(
        &mut self,
        now: Millis,
        request: AccountRequest,
    ) -> Result<(AccountAnswer, Vec<Effect>), StorageError> {
        self.ledger.request(now, !is_visit(&request));
        self.lapse(now)?;
        let answer = match request {
            AccountRequest::Code { hash } => self.on_code(now, hash)?,
            AccountRequest::Register { number, hash, device, name, identity_key, pin } => {
                let proven = match self.check_code(now, hash)? {
                    Ok(()) if self.suspended_at.is_some() => Err(suspended()),
                    Ok(()) => self.check_pin(now, pin)?,
                    Err(refusal) => Err(refusal),
                };
                match proven {
                    Ok(()) => self.register(now, number, device, name, identity_key)?,
                    Err(refusal) => refusal.into(),
                }
            }
            AccountRequest::Link { device, .. }
            | AccountRequest::Rename { device, .. }
            | AccountRequest::Export(device)
            | AccountRequest::Delete(device)
            | AccountRequest::Devices(device)
            | AccountRequest::Remove { device, .. }
            | AccountRequest::Renew(device)
            | AccountRequest::Usage(device)
            | AccountRequest::Upload { device, .. }
            | AccountRequest::Media { device, .. }
            | AccountRequest::Privacy(device)
            | AccountRequest::SetPrivacy { device, .. }
            | AccountRequest::People(device)
            | AccountRequest::SetPerson { device, .. }
            | AccountRequest::Uploads(device)
            | AccountRequest::Profile(device)
            | AccountRequest::SetProfile { device, .. }
            | AccountRequest::SetPicture { device, .. }
            | AccountRequest::Visit(device)
            | AccountRequest::Pin(device)
            | AccountRequest::SetPin { device, .. }
            | AccountRequest::Moving(device)
            | AccountRequest::Arrive { device, .. }
            | AccountRequest::Leave(device)
            | AccountRequest::LookUp { device, .. }
            | AccountRequest::Subscription(device)
            | AccountRequest::Subscribe { device, .. }
            | AccountRequest::Unsubscribe(device)
            | AccountRequest::Report(device)
                if self.device(device).is_none() || self.is_barred(&request) =>
            {
                match self.device(device) {
                    Some(_) => suspended().into(),
                    None => Refusal::from(ErrorCode::DeviceRemoved).into(),
                }
            }
            AccountRequest::Devices(device) => AccountAnswer::Devices(self.list(device)),
            AccountRequest::Link { target: id, name, identity_key, .. } => {
                self.link(now, NewDevice { id, name, identity_key })?
            }
            AccountRequest::Rename { device, target, name } => self.rename(device, target, name)?,
            AccountRequest::Export(device) => self.export(now, device)?,
            AccountRequest::Delete(device) => self.delete(now, device)?,
            AccountRequest::Remove { device, target } => self.remove(now, device, target)?,
            AccountRequest::Renew(..) => AccountAnswer::Granted,
            AccountRequest::Usage(..) => AccountAnswer::Usage(self.usage(now)),
            AccountRequest::Upload { media, bytes, open_until, work, .. } => {
                self.on_upload(now, media, bytes, open_until, work)?
            }
            AccountRequest::Media { work, .. } => self.on_media(now, work),
            AccountRequest::Privacy(..) => AccountAnswer::Privacy(self.audiences()),
            AccountRequest::SetPrivacy { privacy, .. } => self.set_audiences(now, privacy)?,
            AccountRequest::People(..) => AccountAnswer::People(People { people: self.people()? }),
            AccountRequest::SetPerson { number, person, .. } => {
                self.set_person(now, number, &person)?
            }
            AccountRequest::Uploads(device) => self.uploads_of(device)?,
            AccountRequest::Profile(..) => AccountAnswer::Profile(self.kept_profile()?.0),
            AccountRequest::SetProfile { profile, .. } => self.set_profile(profile)?,
            AccountRequest::SetPicture { bytes, .. } => self.set_picture(bytes)?,
            AccountRequest::Visit(..) => self.on_visit(now)?,
            AccountRequest::ShownProfile(viewer) => {
                AccountAnswer::Profile(self.shown_profile(viewer)?)
            }
            AccountRequest::ShownPicture(viewer) => self.shown_picture(viewer)?,
            AccountRequest::Pin(..) => AccountAnswer::Pin(Pin { set: self.has_pin()? }),
            AccountRequest::SetPin { device, pin } => self.set_pin(now, device, pin)?,
            AccountRequest::Moving(device) => self.moving(device)?,
            AccountRequest::Arrive { device, moving } => self.arrive(now, device, &moving.0)?,
            AccountRequest::Leave(device) => self.leave(now, device)?,
            AccountRequest::LookUp { numbers, .. } => self.look_up(now, numbers)?,
            AccountRequest::Findable(by) => self.findable(by)?,
            AccountRequest::UploadEnded(media) => self.on_upload_ended(media)?,
            AccountRequest::Subscription(device) => self.subscription(device),
            AccountRequest::Subscribe { device, subscription } => {
                self.subscribe(device, subscription)?
            }
            AccountRequest::Unsubscribe(device) => self.unsubscribe(device)?,
            AccountRequest::Report(..) => match self.ledger.report(now) {
                Ok(()) => AccountAnswer::Granted,
                Err(wait) => {
                    let (code, retry_after) = (ErrorCode::RateLimited, Some(wait));
                    AccountAnswer::Refused { code, retry_after }
                }
            },
            AccountRequest::Inspect => self.inspect(now),
            AccountRequest::Suspend => self.suspend(now)?,
            AccountRequest::Restore => self.restore(now)?,
        };
        Ok((answer, self.finish(now)?))
    }

    fn on_code(&mut self, now: Millis, hash: [u8; 32]) -> Result<AccountAnswer, StorageError> {
        schema::prepare(&self.sql)?;
        let recent = self.code()?.filter(|code| now < code.first_sent_at + DAY);
        let (sent, first_sent_at) =
            recent.as_ref().map_or((0, now), |code| (code.sent, code.first_sent_at));
        if let Some(code) = recent {
            let wait = next_code_at(code.sent, code.first_sent_at, code.last_sent_at);
            if now < wait {
                let retry_after = Some(wait - now);
                return Ok(AccountAnswer::Refused { code: ErrorCode::RateLimited, retry_after });
            }
        }
        let (sent, expires_at) = (sent + 1, now + limits::CODE_LIFE);
        self.sql.run(
            "INSERT OR REPLACE INTO code
                (id, hash, expires_at, tries, sent, first_sent_at, last_sent_at)
             VALUES (1, ?, ?, 0, ?, ?, ?)",
            &[
                hash.to_vec().into(),
                expires_at.into(),
                sent.into(),
                first_sent_at.into(),
                now.into(),
            ],
        )?;
        if self.account.is_none() {
            self.want_alarm(first_sent_at + DAY);
        }
        let resend_after = next_code_at(sent, first_sent_at, now) - now;
        Ok(AccountAnswer::CodeTaken { resend_after, expires_at })
    }

    fn code(&self) -> Result<Option<Code>, StorageError> {
        let query = "SELECT hash, expires_at, tries, sent, first_sent_at, last_sent_at FROM code";
        let Some(row) = self.sql.run(query, &[])?.pop() else { return Ok(None) };
        let mut columns = Columns::of(row);
        Ok(Some(Code {
            hash: columns.array()?,
            expires_at: columns.integer()?,
            tries: columns.integer()?,
            sent: columns.integer()?,
            first_sent_at: columns.integer()?,
            last_sent_at: columns.integer()?,
        }))
    }

    fn check_code(
        &mut self,
        now: Millis,
        hash: [u8; 32],
    ) -> Result<Result<(), Refusal>, StorageError> {
        if !schema::upgrade(&self.sql)? {
            return Ok(Err(ErrorCode::CodeExpired.into()));
        }
        let Some(code) = self.code()?.filter(|code| now < code.expires_at) else {
            return Ok(Err(ErrorCode::CodeExpired.into()));
        };
        if code.tries >= u64::from(limits::CODE_TRIES_MAX) {
            return Ok(Err(ErrorCode::CodeExpired.into()));
        }
        if !is_same(&code.hash, &hash) {
            self.sql.run("UPDATE code SET tries = tries + 1", &[])?;
            return Ok(Err(ErrorCode::WrongCode.into()));
        }
        Ok(Ok(()))
    }

    /// The number is proven: this device replaces all others, and inherits what waits for them.
    fn register(
        &mut self,
        now: Millis,
        number: PhoneNumber,
        device: DeviceId,
        name: String,
        identity_key: [u8; 32],
    ) -> Result<AccountAnswer, StorageError> {
        if self.account.is_some() {
            self.tell_keys_changed(now)?;
        }
        self.commit_held(now)?;
        let earlier = std::mem::take(&mut self.devices);
        let cursor = earlier.iter().map(|device| device.cursor).max().unwrap_or(0);
        for device in &earlier {
            self.cut_off(device);
        }
        self.queue.inherit(0, cursor);
        self.queue.remove_done();
        let device = NewDevice { id: device, name, identity_key };
        self.sql.transaction(|| {
            // The count of codes stays for the day, the code itself is used up.
            self.sql.run("UPDATE code SET expires_at = 0", &[])?;
            self.sql.run("DELETE FROM device", &[])?;
            self.sql.run("DELETE FROM push", &[])?;
            self.sql.run(
                "INSERT INTO account (id, number, registered_at) VALUES (1, ?, ?)
                 ON CONFLICT (id) DO NOTHING",
                &[number.digits().into(), now.into()],
            )
        })?;
        if self.account.is_none() {
            self.registered_at = now;
        }
        self.account = Some(number);
        self.add_primary(now, cursor, device)?;
        self.record()?;
        Ok(AccountAnswer::Granted)
    }

    /// Deletes all that is stored, but for what somebody could delete an account for and register it anew:
    /// how many codes were sent today, and when; and that the number is suspended.
    pub(crate) fn forget_account(&mut self, now: Millis) -> Result<(), StorageError> {
        let code = self.code()?.filter(|code| now < code.first_sent_at + DAY);
        if code.is_none() && self.suspended_at.is_none() {
            self.forget();
            return Ok(());
        }
        // Whatever tables there are: those of later versions too.
        for table in schema::tables(&self.sql)? {
            let stays = match &*table {
                "schema" | "suspension" => true,
                "code" => code.is_some(),
                _ => false,
            };
            if !stays {
                self.sql.run(&format!("DELETE FROM {table}"), &[])?;
            }
        }
        if let Some(code) = code {
            self.sql.run("UPDATE code SET hash = zeroblob(32), expires_at = 0", &[])?;
            self.want_alarm(code.first_sent_at + DAY);
        }
        Ok(())
    }

    /// Nobody registered: what is left of a code goes, and the object with it.
    pub(crate) fn forget_code(&mut self, now: Millis) -> Result<(), StorageError> {
        if !schema::upgrade(&self.sql)? {
            return Ok(());
        }
        match self.code()? {
            Some(code) if now < code.first_sent_at + DAY => {
                self.want_alarm(code.first_sent_at + DAY);
            }
            // What is left is that the number is suspended.
            _ if self.suspended_at.is_some() => drop(self.sql.run("DELETE FROM code", &[])?),
            _ => self.forget(),
        }
        Ok(())
    }
}

/// Whether somebody else asks, who has paid for it.
fn is_visit(request: &AccountRequest) -> bool {
    matches!(
        request,
        AccountRequest::Findable(..)
            | AccountRequest::ShownProfile(..)
            | AccountRequest::ShownPicture(..)
    )
}

/// Whether two hashes are one. Every byte is looked at: time must not tell how much was right.
pub(crate) fn is_same(known: &[u8; 32], given: &[u8; 32]) -> bool {
    known.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// When another code may be asked for, after `sent` of them.
fn next_code_at(sent: u64, first_sent_at: Millis, last_sent_at: Millis) -> Millis {
    let [first, second, later] = limits::CODE_RESEND;
    match sent {
        CODES_A_DAY.. => first_sent_at + DAY,
        1 => last_sent_at + first,
        2 => last_sent_at + second,
        _ => last_sent_at + later,
    }
}
