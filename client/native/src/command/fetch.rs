//! `estafette fetch`.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use estafette::{
    Client, Contact, Content, Destination, Error, Event, Media, MessageId, PhoneNumber,
};
use tokio::time::timeout;

use super::progress::Board;
use crate::args::{self, Args};
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::place;
use crate::text::file_name;

/// How long to wait for what came meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// More messages than a chat of seven days holds.
const MESSAGES_MAX: usize = 1_000_000;
/// Fewer digits of an id say too little.
const ID_DIGITS_MIN: usize = 4;
/// The digits of an id that a list shows.
const ID_DIGITS_SHOWN: usize = 8;

/// A message that tells of a file.
struct Found {
    message: estafette::Message,
    media: Media,
}

pub(crate) async fn run(args: &Args, asked: &args::Fetch, output: &Output) -> Result<(), Failure> {
    let out = asked.to.as_deref() == Some(Path::new("-"));
    if out && output.is_json() {
        return Err(Failure::usage("--json and --to - both want standard output: choose one"));
    }
    let profile = place::profile(args)?;
    let mut client = estafette::connect(profile).await?;
    let contacts = client.contacts().await?;
    let peer = place::peer(&asked.with, &contacts)?;
    let names = place::printable(client.names().await?);
    let done = fetch(&mut client, peer, &names, asked, output).await;
    // What came in meanwhile is acknowledged, if that takes no time.
    let _ = timeout(GOODBYE, client.flush()).await;
    client.close().await;
    done
}

async fn fetch(
    client: &mut Client,
    peer: PhoneNumber,
    contacts: &[Contact],
    asked: &args::Fetch,
    output: &Output,
) -> Result<(), Failure> {
    catch_up(client, output).await?;
    let files = files(client, peer).await?;
    if asked.list {
        return list(&files, contacts, client.is_stranger(peer).await?, output);
    }
    let chosen = choose(files, asked)?;
    let to = asked.to.clone().unwrap_or_else(|| PathBuf::from("."));
    if chosen.len() > 1 && !to.is_dir() {
        return Err(Failure::usage(format!(
            "{} is no directory: give one for several files",
            to.display()
        )));
    }
    for Found { message, media } in chosen {
        let board = Board::new(output);
        let report = board.add(media.about.name.as_deref());
        let destination = match to.as_os_str().to_str() {
            Some("-") => Destination::Writer(Box::new(io::stdout())),
            _ if to.is_dir() => Destination::Directory(to.clone()),
            _ => Destination::File(to.clone()),
        };
        let handle = client.handle();
        let path = meanwhile(client, handle.fetch_file(&media, destination, report)).await?;
        // The bar goes before the path is printed.
        drop(board);
        if let Some(path) = path {
            fetched(peer, message.id, &path, output)?;
        }
    }
    Ok(())
}

fn fetched(peer: PhoneNumber, id: MessageId, path: &Path, output: &Output) -> io::Result<()> {
    let shown = path.strip_prefix(".").unwrap_or(path).to_string_lossy();
    output.line(&Line::Fetched { peer, id, path: &shown }, || shown.clone().into_owned())
}

/// Takes what waits on the server, so that the latest file can be fetched.
async fn catch_up(client: &mut Client, output: &Output) -> Result<(), Failure> {
    let drained = async {
        while let Some(event) = client.next().await {
            match event {
                Event::Drained => return Ok(true),
                Event::Disconnected { .. } => return Ok(false),
                Event::SignedOut(code) => return Err(Failure::signed_out(code)),
                _ => {}
            }
        }
        Err(Error::Ended.into())
    };
    if !timeout(PATIENCE, drained).await.unwrap_or(Ok(false))? {
        output.remark("There is no connection; a file that came just now is not known here yet.");
    }
    Ok(())
}

/// Waits for a transfer, and takes the client's events, so that it stays connected.
async fn meanwhile<T>(
    client: &mut Client,
    transfer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let mut transfer = pin!(transfer);
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            done = &mut transfer => return done.map_err(Failure::of_transfer),
            event = client.next() => match event {
                Some(Event::SignedOut(code)) => return Err(Failure::signed_out(code)),
                Some(_) => {}
                None => return Err(Error::Ended.into()),
            },
            stopped = &mut interrupted => {
                stopped?;
                let message = "interrupted: the same command goes on from there";
                return Err(Failure::new(Exit::Interrupted, message));
            }
        }
    }
}

/// The files of a chat, the oldest first.
async fn files(client: &Client, peer: PhoneNumber) -> Result<Vec<Found>, Failure> {
    let messages = client.history(peer, MESSAGES_MAX).await?.into_iter();
    let files = messages.filter_map(|message| match message.content() {
        Ok(Content::Media(media)) => {
            let media = *media;
            Some(Found { message, media })
        }
        _ => None,
    });
    Ok(files.collect())
}

fn list(
    files: &[Found],
    contacts: &[Contact],
    stranger: bool,
    output: &Output,
) -> Result<(), Failure> {
    for Found { message, media } in files {
        let id = media.id.to_string();
        let id = id.get(..ID_DIGITS_SHOWN).unwrap_or_default();
        output.message_after(id, message, contacts, stranger)?;
    }
    if files.is_empty() {
        output.remark("No file of this chat is kept here.");
    }
    Ok(())
}

/// The files that are asked for.
fn choose(mut files: Vec<Found>, asked: &args::Fetch) -> Result<Vec<Found>, Failure> {
    if asked.all {
        return Ok(files);
    }
    if asked.file.is_empty() {
        let last = files.into_iter().rfind(|file| file.message.incoming);
        let none = "no file of theirs is kept here: `estafette fetch WITH --list` shows all";
        return Ok(vec![last.ok_or_else(|| Failure::new(Exit::Failed, none))?]);
    }
    let mut chosen = Vec::new();
    for wanted in &asked.file {
        // The last one, where several have the name.
        let named = |found: &Found| file_name(found.media.about.name.as_deref()) == *wanted;
        let by_id = |found: &Found| {
            wanted.len() >= ID_DIGITS_MIN && found.media.id.to_string().starts_with(wanted.as_str())
        };
        let place = files.iter().rposition(named).or_else(|| files.iter().rposition(by_id));
        let place = place.ok_or_else(|| {
            let message = format!(
                "no file is called {wanted:?} or has such an id: `estafette fetch WITH --list` \
                 shows all"
            );
            Failure::new(Exit::Failed, message)
        })?;
        chosen.push(files.remove(place));
    }
    Ok(chosen)
}
