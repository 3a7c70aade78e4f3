//! `estafette privacy`, `estafette block` and `estafette unblock`.

use std::collections::BTreeSet;

use estafette::{
    Account, Attribute, Audience, Contact, Person, PhoneNumber, Privacy, Profile, ProfileError,
    Sharing, Store,
};

use super::mailbox::{Mailbox, needs_contacts};
use crate::args::{self, Args, PrivacyCommand, PrivacySet};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::place;

/// This device, as far as another estafette leaves it to this one.
pub(super) struct Here {
    pub(super) account: Account,
    /// None while another estafette has it.
    profile: Option<(Store, Profile)>,
    contacts: Vec<Contact>,
}

impl Here {
    /// Works beside a chat too, where it knows no names.
    pub(super) fn open(args: &Args) -> Result<Self, Failure> {
        let directory = place::directory(args)?;
        let profile = match Profile::open(&directory) {
            Ok(profile) => Some((profile.open_store()?, profile)),
            Err(estafette::Error::Profile(ProfileError::InUse { .. })) => None,
            Err(error) => return Err(error.into()),
        };
        let account = Profile::account_in(&directory)?;
        let contacts = profile.as_ref().map_or(Ok(Vec::new()), |(store, _)| store.contacts())?;
        Ok(Self { account, profile, contacts })
    }

    pub(super) fn store(&self) -> Option<&Store> {
        self.profile.as_ref().map(|(store, _)| store)
    }

    /// Who is meant.
    pub(super) fn peer(&self, args: &Args, who: &str) -> Result<PhoneNumber, Failure> {
        let found = place::peer(who, &self.contacts);
        if found.is_err() && self.profile.is_none() {
            // The name is in the store: it says who has that.
            place::profile(args)?;
        }
        let found = found?;
        if found == self.account.number {
            return Err(Failure::usage("this is your own number: name somebody else"));
        }
        Ok(found)
    }

    pub(super) fn name(&self, number: PhoneNumber) -> String {
        place::name(number, &self.contacts).map_or_else(|| number.to_string(), str::to_owned)
    }

    /// Keeps what the mailbox says of the blocked.
    fn keep(&self, mailbox: &Mailbox<'_>) -> Result<(), Failure> {
        self.store().map_or(Ok(()), |store| Ok(store.set_blocked(mailbox.blocked())?))
    }
}

pub(crate) async fn run(
    args: &Args,
    asked: &args::Privacy,
    output: &Output,
) -> Result<(), Failure> {
    let here = Here::open(args)?;
    let account = &here.account;
    let mut privacy = account.server.privacy(&account.token).await?;
    let mut mailbox = Mailbox::look(account).await?;
    match (&asked.command, here.store()) {
        (None, Some(store)) => mailbox.tell_contacts(&privacy, store).await?,
        (None, None) => {}
        (Some(PrivacyCommand::Set(asked)), Some(store)) => {
            privacy = set(args, asked, &here, store, privacy, &mut mailbox, output).await?;
        }
        // What is told of the contacts is in the store: it says who has that.
        (Some(_), None) => drop(place::profile(args)?),
    }
    here.keep(&mailbox)?;
    show(&here, privacy, &mailbox, output)
}

/// Sets an audience and its exceptions. Returns what is set then.
async fn set(
    args: &Args,
    asked: &PrivacySet,
    here: &Here,
    store: &Store,
    before: Privacy,
    mailbox: &mut Mailbox<'_>,
    output: &Output,
) -> Result<Privacy, Failure> {
    let attribute = Attribute::from(asked.what);
    let mut privacy = before;
    let audience = audience_of(&mut privacy, attribute);
    let changes = asked.audience.is_some_and(|to| Audience::from(to) != *audience);
    if let Some(to) = asked.audience {
        *audience = to.into();
    }
    let peers = |who: &[String]| -> Result<BTreeSet<_>, Failure> {
        who.iter().map(|who| here.peer(args, who)).collect()
    };
    let (except, mut no_except) = (peers(&asked.except)?, peers(&asked.no_except)?);
    if changes {
        // They would turn into their opposite.
        let excepted = mailbox.people.iter().filter(|(_, person)| is_excepted(person, attribute));
        let stale: Vec<_> =
            excepted.map(|(number, _)| *number).filter(|number| !except.contains(number)).collect();
        if !stale.is_empty() {
            let names: Vec<_> = stale.iter().map(|number| here.name(*number)).collect();
            output.remark(&format!("No exception any more: {}.", names.join(", ")));
        }
        no_except.extend(stale);
    }
    if needs_contacts(&privacy) {
        if asked.audience == Some(args::To::Contacts) || store.sharing()? == Sharing::TakeBack {
            store.set_sharing(Sharing::Yes)?;
        }
        mailbox.tell_contacts(&privacy, store).await?;
    } else if needs_contacts(&before) || store.sharing()? != Sharing::No {
        // Before it is done, so that it is done even if this command ends here.
        store.set_sharing(Sharing::TakeBack)?;
    }
    let with = |number: PhoneNumber, is: bool| {
        let mut person = mailbox.person(number);
        person.except.retain(|excepted| *excepted != attribute);
        person.except.extend(is.then_some(attribute));
        person.except.sort_unstable();
        (number, person)
    };
    let gone = no_except.into_iter().map(|number| with(number, false));
    let news = gone.chain(except.into_iter().map(|number| with(number, true))).collect();
    mailbox.tell(news, |_, _| Ok(())).await?;
    if changes {
        here.account.server.set_privacy(&here.account.token, &privacy).await?;
    }
    mailbox.tell_contacts(&privacy, store).await?;
    Ok(privacy)
}

pub(crate) async fn block(
    args: &Args,
    who: &str,
    blocked: bool,
    output: &Output,
) -> Result<(), Failure> {
    let here = Here::open(args)?;
    let number = here.peer(args, who)?;
    let mut mailbox = Mailbox::look(&here.account).await?;
    let person = Person { blocked, ..mailbox.person(number) };
    let news = mailbox.person(number) != person;
    mailbox.tell(vec![(number, person.clone())], |_, _| Ok(())).await?;
    here.keep(&mailbox)?;
    let name = here.name(number);
    output.line(&line(&here, number, &person), || match (blocked, news) {
        (true, _) => format!(
            "{name} is blocked: nothing of them comes any more, and nothing of you is shown to them.\n\
             They are not told. {} ends it.",
            place::example(args, &format!("unblock {number}"))
        ),
        (false, true) => {
            format!("{name} is no longer blocked. What they sent meanwhile does not come.")
        }
        (false, false) => format!("{name} was not blocked."),
    })?;
    if here.profile.is_none() {
        output.remark(&format!(
            "Another estafette uses this profile, so this is not noted here. When it has ended, {} \
             notes it.",
            place::example(args, "privacy")
        ));
    }
    Ok(())
}

fn show(
    here: &Here,
    privacy: Privacy,
    mailbox: &Mailbox<'_>,
    output: &Output,
) -> Result<(), Failure> {
    let Privacy { last_seen, online, read_marks, profile, number } = privacy;
    let all = Line::Privacy { last_seen, online, read_marks, profile, number };
    output.line(&all, || table(here, privacy, mailbox))?;
    if output.is_json() {
        for (number, person) in &mailbox.people {
            output.line(&line(here, *number, person), String::new)?;
        }
    } else if let Some(store) = here.store()
        && needs_contacts(&privacy)
        && store.sharing()? == Sharing::No
    {
        output.remark(
            "\nAnother device of yours chose `contacts`: the server knows its contacts, and those of \
             this\ndevice once you choose it here too.",
        );
    }
    Ok(())
}

fn table(here: &Here, mut privacy: Privacy, mailbox: &Mailbox<'_>) -> String {
    let names = |people: &mut dyn Iterator<Item = PhoneNumber>| {
        let names: Vec<_> = people.map(|number| here.name(number)).collect();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    };
    let mut rows = Vec::new();
    for attribute in Attribute::ALL {
        let audience = *audience_of(&mut privacy, attribute);
        let within = |person: &Person| match audience {
            Audience::Everyone => true,
            Audience::Contacts => person.contact,
            Audience::Nobody => false,
        };
        // Nothing is shown to the blocked, exceptions or not.
        let excepted = |inside: bool| {
            let people = mailbox.people.iter().filter(move |(_, person)| {
                is_excepted(person, attribute) && !person.blocked && within(person) == inside
            });
            names(&mut people.map(|(number, _)| *number))
        };
        let (what, to) = (label(attribute), word(audience));
        let mut row = format!("{what:<12}{to}");
        row += &excepted(true).map(|who| format!("; hidden from {who}")).unwrap_or_default();
        row += &excepted(false).map(|who| format!("; shown to {who}")).unwrap_or_default();
        rows.push(row);
    }
    let blocked = names(&mut mailbox.blocked()).unwrap_or_else(|| "nobody".into());
    rows.push(format!("{:<12}{blocked}", "blocked"));
    rows.join("\n")
}

fn line<'a>(here: &'a Here, number: PhoneNumber, person: &'a Person) -> Line<'a> {
    Line::Person {
        number,
        name: place::name(number, &here.contacts),
        contact: person.contact,
        blocked: person.blocked,
        except: &person.except,
    }
}

fn is_excepted(person: &Person, attribute: Attribute) -> bool {
    person.except.contains(&attribute)
}

fn audience_of(privacy: &mut Privacy, attribute: Attribute) -> &mut Audience {
    match attribute {
        Attribute::LastSeen => &mut privacy.last_seen,
        Attribute::Online => &mut privacy.online,
        Attribute::ReadMarks => &mut privacy.read_marks,
        Attribute::Profile => &mut privacy.profile,
        Attribute::Number => &mut privacy.number,
    }
}

fn label(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::LastSeen => "last seen",
        Attribute::Online => "online",
        Attribute::ReadMarks => "read marks",
        Attribute::Profile => "profile",
        Attribute::Number => "number",
    }
}

fn word(audience: Audience) -> &'static str {
    match audience {
        Audience::Everyone => "everyone",
        Audience::Contacts => "contacts",
        Audience::Nobody => "nobody",
    }
}
