//! `estafette status`.

use std::time::{Duration, Instant};

use estafette::{Account, Client, Error, ErrorCode, Event, Pending, Profile, Usage};
use serde::Serialize;
use tokio::time::timeout;

use super::motd;
use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::place;
use crate::text::count;

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How things are. What could not be learnt is null.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    profile: String,
    number: String,
    device: String,
    server: String,
    /// The server's version, when it answers.
    version: Option<String>,
    /// Server's clock less this machine's, in milliseconds.
    clock_ahead: Option<i64>,
    token_expires_at: u64,
    /// Milliseconds that it took to connect; null where it failed or another process is connected.
    connected_in: Option<u64>,
    /// Whether another process has this profile.
    in_use: bool,
    messages_pending: Option<usize>,
    receipts_pending: Option<usize>,
    chats: Option<usize>,
    unread: Option<u64>,
    contacts: Option<usize>,
    store_bytes: Option<u64>,
    usage: Option<Usage>,
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let directory = place::directory(args)?;
    let account = Profile::account_in(&directory)?;
    let mut overview = Overview::of(args, &account);
    let asked = Instant::now();
    let health = account.server.health().await;
    let mut failure = None;
    match health {
        Ok(health) => {
            overview.version = Some(health.version);
            // Half of the way there and back is the best guess of when the server looked.
            let half = i64::try_from(asked.elapsed().as_millis() / 2).unwrap_or(0);
            let here = jiff::Timestamp::now().as_millisecond();
            overview.clock_ahead = i64::try_from(health.now).ok().map(|now| now + half - here);
            match account.server.usage(&account.token).await {
                Ok(usage) => overview.usage = Some(usage),
                Err(error) => failure = Some(error.into()),
            }
        }
        Err(error) => failure = Some(Failure::from(error)),
    }
    match Profile::open(&directory) {
        Ok(profile) => {
            let reachable = failure.is_none();
            let looked = overview.look_inside(profile, reachable).await;
            failure = failure.or(looked.err());
        }
        Err(Error::Profile(estafette::ProfileError::InUse { .. })) => overview.in_use = true,
        Err(error) => return Err(error.into()),
    }
    output.line(&Line::Overview(&overview), || overview.text(output))?;
    if overview.version.is_some() {
        let motd = motd::news(&directory, &account.server).await;
        motd::show(motd.as_ref(), output)?;
    }
    failure.map_or(Ok(()), Err)
}

impl Overview {
    fn of(args: &Args, account: &Account) -> Self {
        Self {
            profile: args.profile.clone(),
            number: account.number.to_string(),
            device: account.device.to_string(),
            server: account.server.address().to_owned(),
            version: None,
            clock_ahead: None,
            token_expires_at: account.expires_at,
            connected_in: None,
            in_use: false,
            messages_pending: None,
            receipts_pending: None,
            chats: None,
            unread: None,
            contacts: None,
            store_bytes: None,
            usage: None,
        }
    }

    async fn look_inside(&mut self, profile: Profile, reachable: bool) -> Result<(), Failure> {
        let path = profile.store_path();
        let mut client = estafette::connect(profile).await?;
        let begun = Instant::now();
        let connected = async |client: &mut Client| {
            while let Some(event) = client.next().await {
                match event {
                    Event::Connected { .. } => return Ok(()),
                    Event::SignedOut(code) => return Err(Failure::signed_out(code)),
                    Event::Error(ErrorCode::Suspended) => return Err(Failure::suspended()),
                    _ => {}
                }
            }
            Err(Error::Ended.into())
        };
        let connected = if reachable {
            timeout(PATIENCE, connected(&mut client)).await.unwrap_or_else(|_| {
                let message = "the socket does not open: try again in a while";
                Err(Failure::new(Exit::Unreachable, message))
            })
        } else {
            // The failure to reach it is known.
            Ok(())
        };
        if reachable && connected.is_ok() {
            self.connected_in = u64::try_from(begun.elapsed().as_millis()).ok();
        }
        let Pending { messages, receipts, .. } = client.pending().await?;
        self.messages_pending = Some(messages);
        self.receipts_pending = Some(receipts);
        let chats = client.chats().await?;
        self.unread = Some(chats.iter().map(|chat| chat.unread).sum());
        self.chats = Some(chats.len());
        self.contacts = Some(client.contacts().await?.len());
        client.close().await;
        self.store_bytes = std::fs::metadata(path).ok().map(|file| file.len());
        connected
    }

    fn text(&self, output: &Output) -> String {
        let mut text = format!("{:<12}{} (device {})", "number", self.number, self.device);
        let mut row = |name: &str, value: String| text += &format!("\n{name:<12}{value}");
        row("profile", self.profile.clone());
        let version = match &self.version {
            Some(version) => format!("answers, version {version}"),
            None => "does not answer".into(),
        };
        row("server", format!("{} {version}", self.server));
        if let Some(ahead) = self.clock_ahead.filter(|ahead| ahead.abs() > 60_000) {
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            row("clock", format!("{} s {way} the server's: set it", ahead.abs() / 1000));
        }
        row(
            "connection",
            match (self.connected_in, self.in_use) {
                (Some(time), _) => format!("works, opened in {time} ms"),
                (None, true) => "held by another estafette that uses this profile".into(),
                (None, false) => "none".into(),
            },
        );
        row("token", format!("good until {}", output.when(self.token_expires_at)));
        if let Some(usage) = &self.usage {
            let share = usage.spent as f64 * 100.0 / usage.budget.max(1) as f64;
            row(
                "today",
                format!(
                    "{share:.1} % of the budget: {}, {}, {}",
                    count(usage.requests, "request"),
                    count(usage.rows_written, "row"),
                    count(usage.socket_messages, "socket message"),
                ),
            );
        }
        if let (Some(messages), Some(receipts)) = (self.messages_pending, self.receipts_pending) {
            row(
                "queue",
                match (messages, receipts) {
                    (0, 0) => "nothing waits".into(),
                    _ => format!(
                        "{} and {} wait",
                        count(messages as u64, "message"),
                        count(receipts as u64, "receipt")
                    ),
                },
            );
        }
        if let (Some(chats), Some(contacts)) = (self.chats, self.contacts) {
            let bytes = self.store_bytes.unwrap_or(0).div_ceil(1024);
            row(
                "store",
                format!(
                    "{bytes} KiB: {}, {}, {} unread",
                    count(chats as u64, "chat"),
                    count(contacts as u64, "contact"),
                    self.unread.unwrap_or(0),
                ),
            );
        }
        text
    }
}
