//! The message of the day: what whoever runs the server wants its users to know.
//!
//! The file `motd` in the profile holds when the server is to be asked again, and when the message that
//! was shown last was set: each is shown once, and the server is asked once a day.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use estafette::{Millis, Motd, Server};
use tokio::time::timeout;

use crate::output::{Line, Output};
use crate::text::printable;

/// How long to wait for it: nobody wants to wait for it at all.
const PATIENCE: Duration = Duration::from_secs(2);
const DAY: Millis = 24 * 60 * 60 * 1000;
/// When to ask again where there was no answer.
const HOUR: Millis = 60 * 60 * 1000;

/// The message of the day, where it is new. That it cannot be had is nothing to speak of.
pub(crate) async fn news(directory: &Path, server: &Server) -> Option<Motd> {
    let now = now();
    let mut known = Known::in_profile(directory);
    // A clock that was set back must not silence it for long.
    if known.ask_at > now && known.ask_at - now <= DAY {
        return None;
    }
    let answer = timeout(PATIENCE, server.motd()).await;
    let Ok(Ok(motd)) = answer else {
        let _ = known.keep(now + HOUR, known.shown);
        return None;
    };
    let since = motd.since.unwrap_or(0);
    let is_new = since != known.shown && !motd.text.is_empty();
    // One that cannot be noted is shown again.
    let _ = known.keep(now + DAY, since);
    is_new.then_some(motd)
}

/// Shows it, where there is one.
pub(crate) fn show(motd: Option<&Motd>, output: &Output) -> io::Result<()> {
    let Some(motd) = motd else { return Ok(()) };
    if output.is_json() {
        let (text, since) = (motd.text.as_str(), motd.since.unwrap_or(0));
        return output.line(&Line::Motd { text, since }, String::new);
    }
    output.remark(&said(motd));
    Ok(())
}

/// What people read.
pub(crate) fn said(motd: &Motd) -> String {
    format!("The server says: {}", printable(motd.text.as_bytes()))
}

struct Known {
    path: PathBuf,
    ask_at: Millis,
    shown: Millis,
}

impl Known {
    fn in_profile(directory: &Path) -> Self {
        let path = directory.join("motd");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
        let (ask_at, shown) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { path, ask_at, shown }
    }

    fn keep(&mut self, ask_at: Millis, shown: Millis) -> io::Result<()> {
        fs::write(&self.path, format!("{ask_at} {shown}\n"))
    }
}

fn now() -> Millis {
    Millis::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
