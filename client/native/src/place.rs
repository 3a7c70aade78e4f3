//! Where the profile is, and who is meant by what was typed.

use std::path::PathBuf;

use estafette::{
    ChatUrl, Contact, Content, Message, Moved, NumberError, PhoneNumber, Profile, Store,
    StoreError, read_number,
};

use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::text::one_line;

/// How much of a name is shown, in characters.
const NAME_CHARACTERS: usize = 100;

/// The directory of the profile that the arguments name.
pub(crate) fn directory(args: &Args) -> Result<PathBuf, Failure> {
    let base = args.dir.clone().or_else(Profile::default_directory).ok_or_else(|| {
        Failure::usage("there is no home directory to keep a profile in: give one with --dir")
    })?;
    Ok(base.join(&args.profile))
}

/// A command to try, as it is to be typed for this profile.
pub(crate) fn example(args: &Args, command: &str) -> String {
    match args.profile.as_str() {
        "default" => format!("`estafette {command}`"),
        profile => format!("`estafette --profile {profile} {command}`"),
    }
}

/// What to do about somebody whom nobody knows here.
pub(crate) fn stranger(args: &Args, number: PhoneNumber) -> String {
    let block = example(args, &format!("block {number}"));
    format!(
        "{number} is not in your contacts, and you never wrote to them: answer, or run {block}."
    )
}

/// What to do about somebody who says that they have another number; `None` where a message says
/// something else.
pub(crate) fn moved(args: &Args, message: &Message, contacts: &[Contact]) -> Option<String> {
    let Ok(Content::Moved(Moved { to })) = message.content() else { return None };
    let from = message.peer;
    let who = name(from, contacts).map_or_else(|| from.to_string(), str::to_owned);
    let chat = example(args, &format!("chat {to}"));
    let add = example(args, &format!("contacts add {to} NAME"));
    message.incoming.then(|| {
        format!("{who} has a new number: {to}. {chat} writes to them there, {add} names them.")
    })
}

/// Why nothing is sent to somebody.
pub(crate) fn blocked(args: &Args, number: PhoneNumber, contacts: &[Contact]) -> Failure {
    let who = name(number, contacts).map_or_else(|| number.to_string(), str::to_owned);
    let unblock = example(args, &format!("unblock {number}"));
    let message = format!("{who} is blocked: {unblock} lets you write to each other again");
    Failure::new(Exit::Failed, message)
}

/// Opens the profile, which this process then holds.
pub(crate) fn profile(args: &Args) -> Result<Profile, Failure> {
    let opened = Profile::open(directory(args)?);
    opened.map_err(|error| match error {
        estafette::Error::Profile(estafette::ProfileError::InUse { process, .. }) => {
            let process = process.map(|id| format!(" (process {id})")).unwrap_or_default();
            let message = format!(
                "another estafette{process} uses this profile: end it first, or choose another \
                 --profile"
            );
            Failure::new(Exit::Failed, message)
        }
        other => other.into(),
    })
}

/// Reads a number that was typed, or the link that its owner shares.
pub(crate) fn number(text: &str) -> Result<PhoneNumber, Failure> {
    typed(text).map_err(|_| {
        Failure::usage(format!(
            "{text:?} is no phone number: type a plus sign, the country code and the number, as in \
             +33 6 12 34 56 78"
        ))
    })
}

fn typed(text: &str) -> Result<PhoneNumber, NumberError> {
    text.parse().map_or_else(|_| read_number(text), |ChatUrl(number)| Ok(number))
}

/// Reads a number, a link, or the name of a contact.
pub(crate) fn peer(text: &str, contacts: &[Contact]) -> Result<PhoneNumber, Failure> {
    if let Ok(number) = typed(text) {
        return Ok(number);
    }
    let wanted = text.trim().to_lowercase();
    let named = |contact: &&Contact| contact.name.to_lowercase() == wanted;
    let mut found = contacts.iter().filter(named);
    match (found.next(), found.next()) {
        (Some(contact), None) => Ok(contact.number),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("two contacts are called {text}: type the number")))
        }
        (None, _) if text.chars().any(char::is_alphabetic) => Err(Failure::usage(format!(
            "{text:?} is neither a phone number nor a contact: type the number with its country \
             code, or `estafette contacts add NUMBER {text}` first"
        ))),
        (None, _) => number(text),
    }
}

/// What people are called for show: contacts by their name, others by the name that they gave themselves,
/// after a tilde. Nobody is found by the latter: anybody may call themselves anything.
pub(crate) fn names(store: &Store) -> Result<Vec<Contact>, StoreError> {
    Ok(printable(store.names()?))
}

/// Names that may come from others, safe to print.
pub(crate) fn printable(names: Vec<Contact>) -> Vec<Contact> {
    let shown = |Contact { number, name }| Contact {
        number,
        name: one_line(name.as_bytes(), NAME_CHARACTERS),
    };
    names.into_iter().map(shown).collect()
}

/// What somebody is called: the contact's name, or the number.
pub(crate) fn name(number: PhoneNumber, contacts: &[Contact]) -> Option<&str> {
    let contact = contacts.iter().find(|contact| contact.number == number);
    contact.map(|contact| contact.name.as_str())
}
