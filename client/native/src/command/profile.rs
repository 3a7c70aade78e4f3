//! `estafette profile`.

use std::path::Path;

use estafette::{Account, KnownProfile, PhoneNumber, Picture, Profile, UserProfile};

use super::privacy::Here;
use crate::args::{self, Args, ProfileCommand, ProfileSet};
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output, PictureLine};
use crate::place;
use crate::text::{bytes, printable};

pub(crate) async fn run(
    args: &Args,
    asked: &args::UserProfile,
    output: &Output,
) -> Result<(), Failure> {
    match &asked.command {
        None => {
            // Nothing of the device changes, so that it works beside a chat.
            let account = Profile::account_in(&place::directory(args)?)?;
            own(&account, output).await
        }
        Some(ProfileCommand::Set(asked)) => {
            let account = Profile::account_in(&place::directory(args)?)?;
            set(&account, asked).await?;
            own(&account, output).await
        }
        Some(ProfileCommand::Show { who, picture }) => {
            somebody(args, who, picture.as_deref(), output).await
        }
    }
}

async fn own(account: &Account, output: &Output) -> Result<(), Failure> {
    let profile = account.server.profile(&account.token).await?;
    show(account.number, &profile, output)
}

/// Changes what is named. The picture is put before the profile tells of it.
async fn set(account: &Account, asked: &ProfileSet) -> Result<(), Failure> {
    let mut profile = account.server.profile(&account.token).await?;
    let texts = [(&asked.name, &mut profile.name), (&asked.about, &mut profile.about)];
    for (said, text) in texts {
        if let Some(said) = said {
            said.trim().clone_into(text);
        }
    }
    if profile.check().is_err() {
        return Err(Failure::usage(
            "that is too long, or has characters that nobody can see: give a name of at most 100 \
             bytes on one line, and a text of at most 512",
        ));
    }
    if let Some(path) = &asked.picture {
        profile.picture = Some(account.put_picture(path).await?);
    }
    if asked.no_picture {
        account.server.drop_picture(&account.token).await?;
        profile.picture = None;
    }
    Ok(account.server.set_profile(&account.token, &profile).await?)
}

async fn somebody(
    args: &Args,
    who: &str,
    to: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let here = Here::open(args)?;
    let number = here.peer(args, who)?;
    let account = &here.account;
    let shown = account.server.profile_of(&account.token, number, None).await?;
    let profile = shown.unwrap_or_default();
    if let Some(store) = here.store() {
        let fetched_at = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        store.set_profile(number, &KnownProfile { profile: profile.clone(), fetched_at })?;
    }
    show(number, &profile, output)?;
    let Some(path) = to else { return Ok(()) };
    let picture = read_picture(&profile).ok_or_else(|| {
        Failure::new(Exit::Failed, "they have no picture, or do not show it to you")
    })?;
    account.fetch_picture(number, &picture, path).await?;
    let path = path.to_string_lossy();
    output.line(&Line::Picture { number, path: &path }, || path.clone().into_owned())?;
    Ok(())
}

/// What opens the picture, where there is one that this version can read.
fn read_picture(profile: &UserProfile) -> Option<Picture> {
    profile.picture.as_deref().and_then(|text| Picture::read(text).ok())
}

fn show(number: PhoneNumber, profile: &UserProfile, output: &Output) -> Result<(), Failure> {
    let picture = read_picture(profile)
        .map(|Picture { size, media_type, .. }| PictureLine { size, media_type });
    let says_of_picture = match (&profile.picture, &picture) {
        (None, _) => "none".to_owned(),
        (Some(_), None) => "one that this version of estafette cannot show: update it".to_owned(),
        (Some(_), Some(PictureLine { size, media_type })) => {
            let kind = media_type.as_deref().unwrap_or("of some kind");
            format!("{kind}, {}", bytes(*size))
        }
    };
    let UserProfile { version, name, about, .. } = profile;
    let line = Line::Profile { number, version: *version, name, about, picture };
    output.line(&line, || {
        if profile.is_empty() {
            return format!("{number} says nothing of themselves, or shows it to others.");
        }
        let indent = format!("\n{}", " ".repeat(12));
        let text = |text: &str| printable(text.as_bytes()).replace('\n', &indent);
        let rows = [
            ("number", number.to_string()),
            ("name", text(name)),
            ("about", text(about)),
            ("picture", says_of_picture),
        ];
        let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
        let rows: Vec<_> = rows.map(|(what, value)| format!("{what:<12}{value}")).collect();
        rows.join("\n")
    })?;
    Ok(())
}
