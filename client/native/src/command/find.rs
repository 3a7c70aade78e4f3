//! `estafette contacts find`: the only command that sends the server numbers to look them up.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use estafette::limits::LOOKUP_NUMBERS_MAX;
use estafette::{Account, Attribute, Audience, Contact, PhoneNumber, Profile, read_book};

use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::place;

pub(super) async fn run(
    args: &Args,
    numbers: &[String],
    file: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let mut asked = match file {
        Some(path) => read(path, output)?,
        None => numbers.iter().map(|number| place::number(number)).collect::<Result<_, _>>()?,
    };
    let mut once = BTreeSet::new();
    asked.retain(|number| once.insert(*number));
    let directory = place::directory(args)?;
    let account = Profile::account_in(&directory)?;
    // Beside a chat, names are not known.
    let contacts = match Profile::open(&directory) {
        Ok(profile) => profile.open_store()?.contacts()?,
        Err(_) => Vec::new(),
    };
    let audience = account.server.privacy(&account.token).await?.number;
    may_find(args, &account, audience).await?;
    let usage = account.server.usage(&account.token).await?;
    // Where nothing is left, the server says until when.
    let left = usize::try_from(usage.lookups_left).unwrap_or(usize::MAX).max(1);
    let later = asked.split_off(asked.len().min(left));
    let found = look_up(&account, &asked, &contacts, output).await?;
    output.remark(&format!("{found} of {} found.", asked.len()));
    if !later.is_empty() {
        output.remark(&format!(
            "Not looked up, because the server answers so many in a day: {}. Tomorrow it goes on.",
            later.len()
        ));
    }
    if audience == Audience::Contacts {
        output.remark("Only your contacts may find you, so that only they were looked for.");
    }
    Ok(())
}

/// Who hides from everybody finds nobody: then nothing is sent, and nothing spent.
async fn may_find(args: &Args, account: &Account, audience: Audience) -> Result<(), Failure> {
    if audience != Audience::Nobody {
        return Ok(());
    }
    let people = account.server.people(&account.token).await?.people;
    if people.iter().any(|known| known.person.except.contains(&Attribute::Number)) {
        return Ok(());
    }
    let message = format!(
        "nobody finds you by your number, so you find nobody either: {} changes both",
        place::example(args, "privacy set number everyone")
    );
    Err(Failure::new(Exit::Failed, message))
}

/// Prints who was found, piece by piece. Returns how many that were.
async fn look_up(
    account: &Account,
    numbers: &[PhoneNumber],
    contacts: &[Contact],
    output: &Output,
) -> Result<usize, Failure> {
    let mut found = 0;
    for piece in numbers.chunks(LOOKUP_NUMBERS_MAX) {
        for number in account.server.lookup(&account.token, piece).await? {
            found += 1;
            let name = place::name(number, contacts);
            output.line(&Line::Found { number, name }, || {
                let padded = format!("{:<16}  {}", number.to_string(), name.unwrap_or_default());
                padded.trim_end().to_owned()
            })?;
        }
    }
    Ok(found)
}

fn read(path: &Path, output: &Output) -> Result<Vec<PhoneNumber>, Failure> {
    let read = match path.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        }
        _ => fs::read(path),
    };
    let bytes = read.map_err(|error| {
        Failure::usage(format!("{} cannot be read ({error}): check the path", path.display()))
    })?;
    let book = read_book(&String::from_utf8_lossy(&bytes));
    if book.numbers.is_empty() {
        return Err(Failure::usage(
            "there is no number in it with a plus sign and a country code: write one a line, or give \
             a vCard file",
        ));
    }
    if book.left_out > 0 {
        output.remark(&format!(
            "Left out, because they have no plus sign and country code: {}.",
            book.left_out
        ));
    }
    Ok(book.numbers)
}
