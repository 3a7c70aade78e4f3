//! `estafette send`.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Read};
use std::pin::pin;

use estafette::{Client, ErrorCode, Event, MessageId, PhoneNumber, Status};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::send_files;
use crate::args::{self, Args};
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::place;
use crate::text::{count, mark};

/// Lines that are read ahead, and messages that are waited for at a time.
const AHEAD: usize = 256;
/// How long to say goodbye.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) async fn run(args: &Args, asked: &args::Send, output: &Output) -> Result<(), Failure> {
    let files = asked.resume || !asked.file.is_empty();
    let texts = if files {
        send_files::check(asked)?;
        None
    } else {
        Some(texts(asked)?)
    };
    let profile = place::profile(args)?;
    let client = estafette::connect(profile).await?;
    let contacts = client.contacts().await?;
    let to = place::peer(&asked.to, &contacts)?;
    if client.is_blocked(to).await? {
        client.close().await;
        return Err(place::blocked(args, to, &contacts));
    }
    let mut sending = Sending {
        to,
        wanted: asked.wait.into(),
        waiting: HashSet::new(),
        done: 0,
        connected: false,
        client,
        output,
    };
    let done = match texts {
        Some(texts) => sending.run(texts, asked).await,
        None => sending.run_files(asked).await,
    };
    if asked.wait != args::Wait::Queued {
        // What came in meanwhile is acknowledged, if that takes no time.
        let _ = timeout(GOODBYE, sending.client.flush()).await;
    }
    sending.client.close().await;
    done
}

/// Where the messages come from.
fn texts(asked: &args::Send) -> Result<mpsc::Receiver<String>, Failure> {
    let (send, texts) = mpsc::channel(AHEAD);
    if asked.lines {
        tokio::spawn(async move {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.is_empty() && send.send(line).await.is_err() {
                    break;
                }
            }
        });
        return Ok(texts);
    }
    let mut text = asked.text.join(" ");
    if text.is_empty() && !io::stdin().is_terminal() {
        io::stdin().lock().read_to_string(&mut text)?;
        let end = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(end);
    }
    if text.is_empty() {
        return Err(Failure::usage("there is nothing to send: type a text, or pipe one in"));
    }
    // The channel is empty, so there is room.
    let _ = send.try_send(text);
    Ok(texts)
}

struct Sending<'a> {
    to: PhoneNumber,
    wanted: Status,
    waiting: HashSet<MessageId>,
    done: u64,
    connected: bool,
    client: Client,
    output: &'a Output,
}

impl Sending<'_> {
    async fn run(
        &mut self,
        mut texts: mpsc::Receiver<String>,
        asked: &args::Send,
    ) -> Result<(), Failure> {
        let mut batch = Vec::new();
        let mut deadline: Option<Instant> = None;
        while deadline.is_none() || !self.waiting.is_empty() {
            let more = deadline.is_none() && self.waiting.len() < AHEAD;
            tokio::select! {
                read = texts.recv_many(&mut batch, AHEAD), if more => {
                    if read == 0 {
                        deadline = Some(Instant::now() + asked.timeout);
                    }
                    self.send(batch.drain(..).map(String::into_bytes).collect()).await?;
                }
                event = self.client.next() => match event {
                    Some(event) => self.hear(&event)?,
                    None => return Err(estafette::Error::Ended.into()),
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err(self.late());
                }
            }
        }
        self.conclude("message");
        Ok(())
    }

    /// Uploads files, then tells of them.
    async fn run_files(&mut self, asked: &args::Send) -> Result<(), Failure> {
        let client = self.client.handle();
        let mut uploading = pin!(send_files::upload(client, self.to, asked, self.output));
        let uploaded = loop {
            tokio::select! {
                uploaded = &mut uploading => break uploaded?,
                event = self.client.next() => match event {
                    Some(event) => self.hear(&event)?,
                    None => return Err(estafette::Error::Ended.into()),
                },
            }
        };
        for id in self.client.tell_of(uploaded).await? {
            self.wait_for(id)?;
        }
        let deadline = Instant::now() + asked.timeout;
        while !self.waiting.is_empty() {
            tokio::select! {
                event = self.client.next() => match event {
                    Some(event) => self.hear(&event)?,
                    None => return Err(estafette::Error::Ended.into()),
                },
                () = sleep_until(deadline) => return Err(self.late()),
            }
        }
        self.conclude("file");
        Ok(())
    }

    fn conclude(&self, things: &str) {
        if self.wanted != Status::Queued || self.done > 0 {
            let done = count(self.done, things);
            self.output.remark(&format!("{} {done} {}.", mark(self.wanted), self.wanted.as_str()));
        }
    }

    async fn send(&mut self, bodies: Vec<Vec<u8>>) -> Result<(), Failure> {
        if bodies.is_empty() {
            return Ok(());
        }
        for id in self.client.send_all(self.to, bodies).await? {
            self.wait_for(id)?;
        }
        Ok(())
    }

    /// A message is queued, and may have to come further.
    fn wait_for(&mut self, id: MessageId) -> Result<(), Failure> {
        if self.wanted == Status::Queued {
            self.say(id, Status::Queued)?;
            self.done += 1;
        } else {
            self.waiting.insert(id);
        }
        Ok(())
    }

    fn hear(&mut self, event: &Event) -> Result<(), Failure> {
        match *event {
            Event::Connected { .. } => self.connected = true,
            Event::Disconnected { .. } => self.connected = false,
            Event::Status { peer, id, status } if peer == self.to => {
                let there = status >= self.wanted && status != Status::Failed;
                if there && self.waiting.remove(&id) {
                    self.say(id, status)?;
                    self.done += 1;
                }
            }
            Event::Failed { peer, id, code } if peer == self.to && self.waiting.contains(&id) => {
                return Err(Failure::given_up(code));
            }
            Event::SignedOut(code) => return Err(Failure::signed_out(code)),
            Event::Error(ErrorCode::Suspended) => return Err(Failure::suspended()),
            _ => {}
        }
        Ok(())
    }

    fn say(&self, id: MessageId, status: Status) -> Result<(), Failure> {
        if self.output.is_json() {
            self.output.line(&Line::Status { peer: self.to, id, status }, String::new)?;
        }
        Ok(())
    }

    fn late(&self) -> Failure {
        let waiting = count(self.waiting.len() as u64, "message");
        if !self.connected {
            let message = format!(
                "the server does not answer: {waiting} will be sent the next time estafette runs"
            );
            return Failure::new(Exit::Unreachable, message);
        }
        let wanted = self.wanted.as_str();
        let message = format!(
            "the time was up before {waiting} came as far as {wanted}: wait longer with --timeout, \
             or look at it later with `estafette history`"
        );
        Failure::new(Exit::Timeout, message)
    }
}
