//! Who may see what of an account, and who is not heard at all.
//!
//! Rules:
//! - an attribute is shown to somebody if its audience has them, or the reverse if they are an exception
//!   to it; to the blocked, nothing is;
//! - who does not show an attribute to somebody does not see theirs, but for the profile (`profile.rs`);
//! - the blocked are answered as if nothing were wrong, and as fast: what they send is taken and dropped, and
//!   they see what they would see of somebody who hides everything.

use estafette_protocol::http::{Attribute, Audience, Known, Person, Privacy as Audiences};
use estafette_protocol::{ErrorCode, Millis, PhoneNumber, limits};

use litemap::LiteMap;

use super::Mailbox;
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::peer::{PeerItem, PeerRequest, Verdict};
use crate::sql::{Columns, Sql, StorageError};

/// People whose flags are remembered.
const REMEMBERED_MAX: usize = 1024;
/// What is written for what is dropped, at most: as much as a page has.
const NOISE_BYTES_MAX: usize = 768 * 1024;

// The flags of a person, and above them a bit for each attribute to which they are an exception.
const CONTACT: u64 = 1;
const BLOCKED: u64 = 2;
const EXCEPTIONS: u32 = 8;

/// The attributes' places in the columns `privacy` (two bits each) and `flags` (one bit each). Stored: they
/// never change.
fn place(attribute: Attribute) -> u32 {
    match attribute {
        Attribute::LastSeen => 0,
        Attribute::Online => 1,
        Attribute::ReadMarks => 2,
        Attribute::Profile => 3,
        Attribute::Number => 4,
    }
}

/// What an attribute's two bits mean, by their value. 0 is what holds for an account that never said
/// otherwise; what a later version may mean by 3 shows nothing.
fn meanings(attribute: Attribute) -> [Audience; 4] {
    use Audience::{Contacts, Everyone, Nobody};
    match attribute {
        Attribute::Number => [Nobody, Contacts, Everyone, Nobody],
        _ => [Everyone, Contacts, Nobody, Nobody],
    }
}

fn stored(attribute: Attribute, audience: Audience) -> u64 {
    let value = meanings(attribute).iter().position(|&meaning| meaning == audience);
    (value.unwrap_or(3) as u64) << (2 * place(attribute))
}

fn flags(person: &Person) -> u64 {
    let exceptions = person.except.iter().map(|&attribute| 1 << (EXCEPTIONS + place(attribute)));
    let flag = |is: bool, flag| if is { flag } else { 0 };
    exceptions
        .fold(flag(person.contact, CONTACT) | flag(person.blocked, BLOCKED), |all, one| all | one)
}

fn person(flags: u64) -> Person {
    let excepted = |attribute: &Attribute| flags & (1 << (EXCEPTIONS + place(*attribute))) != 0;
    Person {
        contact: flags & CONTACT != 0,
        blocked: flags & BLOCKED != 0,
        except: Attribute::ALL.into_iter().filter(excepted).collect(),
    }
}

/// What is known of an account's privacy.
#[derive(Debug, Default)]
pub(crate) struct Privacy {
    audiences: u64,
    /// Whether anything is said of anybody: then it is looked up.
    people: bool,
    remembered: LiteMap<PhoneNumber, u64>,
    /// How much of what a call brings was dropped, in bytes.
    dropped: usize,
}

impl Privacy {
    pub(crate) fn new(audiences: u64, people: bool) -> Self {
        Self { audiences, people, ..Self::default() }
    }

    /// As the column `account.privacy` has it.
    pub(crate) fn stored(&self) -> u64 {
        self.audiences
    }

    fn audience(&self, attribute: Attribute) -> Audience {
        let value = self.audiences >> (2 * place(attribute)) & 3;
        meanings(attribute).get(value as usize).copied().unwrap_or(Audience::Nobody)
    }

    /// Whether an attribute is shown to somebody of whom this is said.
    fn shows(&self, attribute: Attribute, flags: u64) -> bool {
        let within = match self.audience(attribute) {
            Audience::Everyone => true,
            Audience::Contacts => flags & CONTACT != 0,
            Audience::Nobody => false,
        };
        let excepted = flags & (1 << (EXCEPTIONS + place(attribute))) != 0;
        flags & BLOCKED == 0 && within != excepted
    }
}

impl<S: Sql> Mailbox<S> {
    fn flags(&mut self, number: PhoneNumber) -> Result<u64, StorageError> {
        if !self.privacy.people {
            return Ok(0);
        }
        if let Some(&flags) = self.privacy.remembered.get(&number) {
            return Ok(flags);
        }
        let query = "SELECT flags FROM person WHERE number = ?";
        let row = self.sql.run(query, &[number.digits().into()])?.pop();
        let flags = row.map_or(Ok(0), |row| Columns::of(row).integer())?;
        if self.privacy.remembered.len() >= REMEMBERED_MAX {
            self.privacy.remembered.clear();
        }
        self.privacy.remembered.insert(number, flags);
        Ok(flags)
    }

    /// Whether the account shows an attribute to somebody.
    pub(crate) fn shows(
        &mut self,
        to: PhoneNumber,
        attribute: Attribute,
    ) -> Result<bool, StorageError> {
        let flags = self.flags(to)?;
        Ok(self.privacy.shows(attribute, flags))
    }

    /// Whether the account wants to hear nothing of somebody, and tell them nothing.
    pub(crate) fn is_blocked(&mut self, number: PhoneNumber) -> Result<bool, StorageError> {
        Ok(self.flags(number)? & BLOCKED != 0)
    }

    /// Whether an item is to be dropped, though its sender must not notice.
    pub(crate) fn turns_away(
        &mut self,
        from: PhoneNumber,
        item: &PeerItem,
    ) -> Result<bool, StorageError> {
        let flags = self.flags(from)?;
        let shows = |attribute| self.privacy.shows(attribute, flags);
        Ok(match item {
            PeerItem::Message(_) | PeerItem::KeysChanged { .. } => flags & BLOCKED != 0,
            PeerItem::Receipt { .. } => !shows(Attribute::ReadMarks),
            PeerItem::ChatState { .. } => !shows(Attribute::Online),
            _ => false,
        })
    }

    /// Drops a message or a receipt. It is answered as one that is stored.
    pub(crate) fn drop_item(&mut self, item: &PeerItem, admitted: usize) -> Verdict {
        if self.is_full(admitted) {
            return Verdict::Refused { code: ErrorCode::MailboxFull, retry_after: None };
        }
        self.privacy.dropped += PeerRequest::weight(item);
        Verdict::Stored
    }

    /// What was dropped has to take as long as what is stored: as many bytes are written, which say
    /// nothing, in the place of those before, unless the step writes a page in any case.
    pub(crate) fn write_for_dropped(&mut self, is_due: bool) -> Result<(), StorageError> {
        let bytes = std::mem::take(&mut self.privacy.dropped).min(NOISE_BYTES_MAX);
        if bytes == 0 || !is_due {
            return Ok(());
        }
        let statement = "INSERT INTO noise (id, bytes) VALUES (1, randomblob(?))
             ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes";
        self.on_queue(|_, sql| sql.run(statement, &[(bytes as u64).into()]).map(drop))
    }

    pub(crate) fn audiences(&self) -> Audiences {
        Audiences {
            last_seen: self.privacy.audience(Attribute::LastSeen),
            online: self.privacy.audience(Attribute::Online),
            read_marks: self.privacy.audience(Attribute::ReadMarks),
            profile: self.privacy.audience(Attribute::Profile),
            number: self.privacy.audience(Attribute::Number),
        }
    }

    pub(crate) fn set_audiences(
        &mut self,
        now: Millis,
        audiences: Audiences,
    ) -> Result<AccountAnswer, StorageError> {
        let Audiences { last_seen, online, read_marks, profile, number } = audiences;
        let audiences = stored(Attribute::LastSeen, last_seen)
            | stored(Attribute::Online, online)
            | stored(Attribute::ReadMarks, read_marks)
            | stored(Attribute::Profile, profile)
            | stored(Attribute::Number, number);
        if audiences != self.privacy.audiences {
            self.privacy.audiences = audiences;
            self.sql.run("UPDATE account SET privacy = ?", &[audiences.into()])?;
            self.privacy_changed(now, None)?;
        }
        Ok(AccountAnswer::Granted)
    }

    pub(crate) fn people(&self) -> Result<Vec<Known>, StorageError> {
        let rows = self.sql.run("SELECT number, flags FROM person ORDER BY number", &[])?;
        let people = rows.into_iter().map(|row| {
            let mut columns = Columns::of(row);
            let number = PhoneNumber::from_digits(columns.integer()?)
                .or(Err(StorageError::Row("the number of a person")))?;
            Ok(Known { number, person: person(columns.integer()?) })
        });
        people.collect()
    }

    pub(crate) fn set_person(
        &mut self,
        now: Millis,
        number: PhoneNumber,
        person: &Person,
    ) -> Result<AccountAnswer, StorageError> {
        let flags = flags(person);
        if self.flags(number)? == flags {
            return Ok(AccountAnswer::Granted);
        }
        if flags == 0 {
            self.sql.run("DELETE FROM person WHERE number = ?", &[number.digits().into()])?;
        } else {
            let query = "SELECT count(*) FROM person WHERE number <> ?";
            let known = self.sql.run(query, &[number.digits().into()])?.pop();
            let known = known.map_or(Ok(0), |row| Columns::of(row).integer())?;
            if known >= limits::PEOPLE_MAX as u64 {
                return Ok(Refusal::from(ErrorCode::TooManyPeople).into());
            }
            self.sql.run(
                "INSERT INTO person (number, flags) VALUES (?, ?)
                 ON CONFLICT (number) DO UPDATE SET flags = excluded.flags",
                &[number.digits().into(), flags.into()],
            )?;
            self.privacy.people = true;
        }
        self.privacy.remembered.insert(number, flags);
        self.privacy_changed(now, Some(number))?;
        Ok(AccountAnswer::Granted)
    }

    /// What of the presence somebody may be told, who shows so much of theirs.
    pub(crate) fn visible(
        &mut self,
        to: PhoneNumber,
        last_seen: bool,
        online: bool,
    ) -> Result<(bool, Option<Millis>), StorageError> {
        let online = online && self.shows(to, Attribute::Online)?;
        let last_seen = last_seen && self.shows(to, Attribute::LastSeen)?;
        let (there, at) = (self.presence.available, self.presence.last_seen);
        let available = there && online;
        Ok((available, Some(at).filter(|&at| last_seen && !available && at > 0)))
    }
}
