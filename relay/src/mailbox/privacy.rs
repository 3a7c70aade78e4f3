//! Who may see what of an account, and who is not heard at all.
//!
//! Rules:
//! - an attribute is shown to somebody if its audience has them, or the reverse if they are an exception
//!   to it; to the blocked, nothing is;
//! - who does not show an attribute to somebody does not see theirs, but for the profile (`profile.rs`);
//! - the blocked are answered as if nothing were wrong: what they send is taken and dropped, and they see
//!   what they would see of somebody who hides everything.

use estafette_protocol::http::{Attribute, Audience, Known, Person, Privacy as Audiences};
use estafette_protocol::{ErrorCode, Millis, PhoneNumber, limits};

use litemap::LiteMap;

use super::Mailbox;
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::peer::{PeerItem, Verdict};
use crate::sql::{Columns, Sql, StorageError};

/// People whose flags are remembered.
const REMEMBERED_MAX: usize = 1024;

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
    }
}

fn stored(audience: Audience) -> u64 {
    match audience {
        Audience::Everyone => 0,
        Audience::Contacts => 1,
        Audience::Nobody => 2,
    }
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
}

impl Privacy {
    pub(crate) fn new(audiences: u64, people: bool) -> Self {
        Self { audiences, people, remembered: LiteMap::new() }
    }

    /// As the column `account.privacy` has it.
    pub(crate) fn stored(&self) -> u64 {
        self.audiences
    }

    fn audience(&self, attribute: Attribute) -> Audience {
        match self.audiences >> (2 * place(attribute)) & 3 {
            0 => Audience::Everyone,
            1 => Audience::Contacts,
            // What a later version may mean by it shows nothing.
            _ => Audience::Nobody,
        }
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

    /// What is answered to an item that is not taken in, though its sender must not notice.
    pub(crate) fn turned_away(
        &mut self,
        from: PhoneNumber,
        item: &PeerItem,
    ) -> Result<Option<Verdict>, StorageError> {
        let flags = self.flags(from)?;
        let blocked = flags & BLOCKED != 0;
        let shows = |attribute| self.privacy.shows(attribute, flags);
        Ok(match item {
            PeerItem::Message(_) if blocked => Some(Verdict::Stored),
            PeerItem::KeysChanged { .. } if blocked => Some(Verdict::Delivered),
            PeerItem::Receipt { .. } if !shows(Attribute::ReadMarks) => Some(Verdict::Delivered),
            PeerItem::ChatState { .. } if !shows(Attribute::Online) => Some(Verdict::Delivered),
            _ => None,
        })
    }

    pub(crate) fn audiences(&self) -> Audiences {
        Audiences {
            last_seen: self.privacy.audience(Attribute::LastSeen),
            online: self.privacy.audience(Attribute::Online),
            read_marks: self.privacy.audience(Attribute::ReadMarks),
            profile: self.privacy.audience(Attribute::Profile),
        }
    }

    pub(crate) fn set_audiences(
        &mut self,
        now: Millis,
        audiences: Audiences,
    ) -> Result<AccountAnswer, StorageError> {
        let Audiences { last_seen, online, read_marks, profile } = audiences;
        let all = [
            (Attribute::LastSeen, last_seen),
            (Attribute::Online, online),
            (Attribute::ReadMarks, read_marks),
            (Attribute::Profile, profile),
        ];
        let stored = all.map(|(attribute, audience)| stored(audience) << (2 * place(attribute)));
        let audiences = stored.into_iter().fold(0, |all, one| all | one);
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
