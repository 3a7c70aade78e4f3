//! What the account's mailbox is told of people.
//!
//! Invariant: it is told who is a contact only where something is shown to contacts, and forgets it
//! when nothing is any more. What it could not be told is told by the next command that asks it.

use std::collections::BTreeMap;

use estafette::{Account, Audience, Error, Known, Person, PhoneNumber, Privacy, Sharing, Store};
use futures_util::{StreamExt as _, stream};

use crate::failure::Failure;
use crate::output::Output;

/// People of whom it is told at a time.
const AT_ONCE: usize = 4;

/// What the mailbox was told, as it says.
pub(super) struct Mailbox<'a> {
    account: &'a Account,
    pub(super) people: BTreeMap<PhoneNumber, Person>,
}

impl<'a> Mailbox<'a> {
    /// Asks the server.
    pub(super) async fn look(account: &'a Account) -> Result<Self, Error> {
        let known = account.server.people(&account.token).await?.people;
        let people = known.into_iter().map(|Known { number, person }| (number, person)).collect();
        Ok(Self { account, people })
    }

    /// What is said of somebody.
    pub(super) fn person(&self, number: PhoneNumber) -> Person {
        self.people.get(&number).cloned().unwrap_or_default()
    }

    /// Who is blocked.
    pub(super) fn blocked(&self) -> impl Iterator<Item = PhoneNumber> {
        self.people.iter().filter(|(_, person)| person.blocked).map(|(number, _)| *number)
    }

    /// Tells it of people, and of each that it was told.
    pub(super) async fn tell(
        &mut self,
        people: Vec<(PhoneNumber, Person)>,
        mut told: impl FnMut(PhoneNumber, &Person) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let account = self.account;
        let news = people.into_iter().map(|(number, person)| {
            let known = self.person(number) == person;
            async move {
                if !known {
                    account.server.set_person(&account.token, number, &person).await?;
                }
                Ok::<_, Error>((number, person))
            }
        });
        let news: Vec<_> = news.collect();
        let mut answers = stream::iter(news).buffered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            let (number, person) = answer?;
            told(number, &person)?;
            self.people.insert(number, person);
        }
        Ok(())
    }

    /// Tells it who became a contact or is none any more, or has it forget all, as `privacy` wants it.
    pub(super) async fn tell_contacts(
        &mut self,
        privacy: &Privacy,
        store: &Store,
    ) -> Result<(), Failure> {
        match (store.sharing()?, needs_contacts(privacy)) {
            (Sharing::No, _) => {}
            (Sharing::Yes, true) => {
                let untold = store.untold()?.into_iter();
                let news = untold
                    .map(|(number, contact)| (number, Person { contact, ..self.person(number) }));
                let news = news.collect();
                self.tell(news, |number, person| Ok(store.told(number, person.contact)?)).await?;
            }
            // Another device of the account wants it to know them.
            (Sharing::TakeBack, true) => store.set_sharing(Sharing::No)?,
            (Sharing::Yes | Sharing::TakeBack, false) => {
                let contacts = self.people.iter().filter(|(_, person)| person.contact);
                let news = contacts
                    .map(|(number, person)| (*number, Person { contact: false, ..person.clone() }))
                    .collect();
                self.tell(news, |_, _| Ok(())).await?;
                store.set_sharing(Sharing::No)?;
            }
        }
        Ok(())
    }
}

/// Whether it must be known who is a contact.
pub(super) fn needs_contacts(privacy: &Privacy) -> bool {
    let Privacy { last_seen, online, read_marks, profile, number } = *privacy;
    [last_seen, online, read_marks, profile, number].contains(&Audience::Contacts)
}

/// Tells the mailbox what it is to know of the contacts, if anything. That it could not be told is no
/// failure of the command: the next one tells it.
pub(super) async fn keep_in_step(
    account: &Account,
    store: &Store,
    output: &Output,
) -> Result<(), Failure> {
    let due = match store.sharing()? {
        Sharing::No => false,
        Sharing::Yes => !store.untold()?.is_empty(),
        Sharing::TakeBack => true,
    };
    if !due {
        return Ok(());
    }
    let told = async {
        let privacy = account.server.privacy(&account.token).await?;
        Mailbox::look(account).await?.tell_contacts(&privacy, store).await
    };
    if let Err(failure) = told.await {
        output.remark(&format!(
            "{}.\nThe server does not know of this contact yet, and shows by what it knows. The next \
             `estafette contacts` or `estafette privacy` tells it.",
            failure.message
        ));
    }
    Ok(())
}
