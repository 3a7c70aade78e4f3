//! `estafette send --file`.
//!
//! All files are uploaded first and told of together: a command that was interrupted has told of
//! none, so that the same command sends each once.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::pin::pin;

use estafette::{Error, FileToSend, Handle, PhoneNumber, Unfinished, Uploaded};
use futures_util::{Stream, StreamExt as _, stream};

use super::progress::Board;
use crate::args;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Files that are uploaded at a time.
const AT_ONCE: usize = 2;
/// The path that means standard input.
const STDIN: &str = "-";

/// What is to be uploaded.
enum Job {
    New { file: FileToSend, name: Option<String> },
    Again(Unfinished),
}

/// Looks at what was typed, before anything is done.
pub(crate) fn check(asked: &args::Send) -> Result<(), Failure> {
    let pipes = asked.file.iter().filter(|path| is_stdin(path)).count();
    if pipes > 1 {
        return Err(Failure::usage("standard input is one file: give - once"));
    }
    if pipes == 1 && io::stdin().is_terminal() {
        return Err(Failure::usage("there is nothing on standard input: pipe a file in"));
    }
    if asked.name.is_some() && asked.file.len() > 1 {
        return Err(Failure::usage("--name is for one file: send the others by themselves"));
    }
    for path in asked.file.iter().filter(|path| !is_stdin(path)) {
        let metadata = path
            .metadata()
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        if !metadata.is_file() {
            return Err(Error::NoFile(path.clone()).into());
        }
    }
    Ok(())
}

/// Uploads what is asked for. Returns what is to be told, in order.
pub(crate) async fn upload(
    client: Handle,
    to: PhoneNumber,
    asked: &args::Send,
    output: &Output,
) -> Result<Vec<Uploaded>, Failure> {
    let jobs = jobs(&client, to, asked).await?;
    let board = Board::new(output);
    let uploads = jobs.into_iter().map(|job| {
        let client = client.clone();
        let report = board.add(match &job {
            Job::New { name, .. } => name.as_deref(),
            Job::Again(unfinished) => unfinished.about().name.as_deref(),
        });
        async move {
            match job {
                Job::New { file, .. } => client.upload(to, file, report).await,
                Job::Again(unfinished) => client.resume(unfinished, report).await,
            }
        }
    });
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        uploaded = all(stream::iter(uploads).buffered(AT_ONCE)) => uploaded,
        stopped = interrupted => {
            stopped?;
            Err(Failure::new(Exit::Interrupted, how_to_go_on(asked)))
        }
    }
}

async fn all(
    uploads: impl Stream<Item = Result<Uploaded, Error>>,
) -> Result<Vec<Uploaded>, Failure> {
    let mut uploads = pin!(uploads);
    let mut uploaded = Vec::new();
    while let Some(next) = uploads.next().await {
        uploaded.push(next.map_err(Failure::of_transfer)?);
    }
    Ok(uploaded)
}

async fn jobs(client: &Handle, to: PhoneNumber, asked: &args::Send) -> Result<Vec<Job>, Failure> {
    if asked.resume {
        let unfinished = client.unfinished(to).await?;
        if unfinished.is_empty() {
            return Err(Failure::new(Exit::Failed, "no file waits to be sent to them"));
        }
        return Ok(unfinished.into_iter().map(Job::Again).collect());
    }
    let mut caption = Some(asked.text.join(" ")).filter(|text| !text.is_empty());
    let jobs = asked.file.iter().map(|path| {
        let mut file = if is_stdin(path) {
            FileToSend::from_reader(io::stdin())
        } else {
            FileToSend::at(path)
        };
        file.name.clone_from(&asked.name);
        file.caption = caption.take();
        let own = path.file_name().filter(|_| !is_stdin(path));
        let own = own.map(|name| name.to_string_lossy().into_owned());
        Job::New { file, name: asked.name.clone().or(own) }
    });
    Ok(jobs.collect())
}

fn how_to_go_on(asked: &args::Send) -> String {
    let again = if asked.file.iter().any(|path: &PathBuf| is_stdin(path)) {
        "`estafette send TO --resume` goes on with what was read"
    } else {
        "the same command goes on from there"
    };
    format!("interrupted; nothing was sent yet, and {again}")
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}
