//! The account behind a number: proven by a one-time code, used by devices.
//!
//! The front Worker makes the code, sends it, and hands over only its keyed hash; it signs the tokens
//! that are granted here. An answer to anyone but the account's own devices tells no more than whether
//! a code may be sent.

mod request;

use estafette_protocol::http::{People, Pin};
use estafette_protocol::{DeviceId, ErrorCode, Millis, PhoneNumber, limits};

pub(crate) use self::request::array;
pub use self::request::{AccountAnswer, AccountRequest};
use crate::effect::{Effect, Refusal};
use crate::mailbox::{Mailbox, NewDevice, PinHash, suspended};
use crate::schema;
use crate::sql::{Columns, Sql, StorageError};

/// Codes for one number in a day: more would only cost its owner patience and the operator money.
const CODES_A_DAY: u64 = 10;
const DAY: Millis = 24 * 60 * 60 * 1000;

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
        let answer = match self.admits(&request) {
            Ok(()) => self.answer(now, request)?,
            Err(refusal) => refusal.into(),
        };
        Ok((answer, self.finish(now)?))
    }

    /// Whoever asks in the name of a device must be one, of an account that is not suspended.
    fn admits(&self, request: &AccountRequest) -> Result<(), Refusal> {
        match request.device() {
            Some(device) if self.device(device).is_none() => Err(ErrorCode::DeviceRemoved.into()),
            Some(_) if self.is_barred(request) => Err(suspended()),
            _ => Ok(()),
        }
    }

    fn answer(
        &mut self,
        now: Millis,
        request: AccountRequest,
    ) -> Result<AccountAnswer, StorageError> {
        Ok(match request {
            AccountRequest::Code { hash } => self.on_code(now, hash)?,
            AccountRequest::Register { number, hash, device, name, identity_key, pin } => {
                match self.proves(now, hash, pin)? {
                    Ok(()) => self.register(now, number, device, name, identity_key)?,
                    Err(refusal) => refusal.into(),
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
            AccountRequest::Report(..) => self.on_report(now),
            AccountRequest::Inspect => self.inspect(now),
            AccountRequest::Suspend => self.suspend(now)?,
            AccountRequest::Restore => self.restore(now)?,
        })
    }

    /// Whether code and PIN are right, and the number may be registered.
    fn proves(
        &mut self,
        now: Millis,
        hash: [u8; 32],
        pin: Option<PinHash>,
    ) -> Result<Result<(), Refusal>, StorageError> {
        match self.check_code(now, hash)? {
            Ok(()) if self.suspended_at.is_some() => Ok(Err(suspended())),
            Ok(()) => self.check_pin(now, pin),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn on_report(&mut self, now: Millis) -> AccountAnswer {
        match self.ledger.report(now) {
            Ok(()) => AccountAnswer::Granted,
            Err(wait) => Refusal { code: ErrorCode::RateLimited, retry_after: Some(wait) }.into(),
        }
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
            self.sql.run("DELETE FROM keys", &[])?;
            self.sql.run("DELETE FROM device_list", &[])?;
            // As what waits is inherited, so is what is to be looked into.
            self.sql.run("UPDATE mark SET slots = 1 WHERE slots <> 1", &[])?;
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
