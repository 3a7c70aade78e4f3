//! `estafette report`: tells whoever runs the server of somebody.
//!
//! Invariant: what is sent is shown before, and a message leaves only because `--messages` asked for it.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use estafette::limits::{REPORT_COMMENT_BYTES_MAX, REPORT_MESSAGES_MAX};
use estafette::{Message, PhoneNumber, ReportRequest, ReportedMessage};

use super::privacy::{self, Here};
use crate::args::{Args, Report};
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::place;
use crate::text::{count, printable, says};

/// More messages than a chat of seven days holds.
const MESSAGES_MAX: usize = 1_000_000;
/// What is sent of one message: ten of them, and what JSON adds, fit a report.
const TEXT_BYTES_MAX: usize = 3000;
/// More than the longest answer has.
const LINE_BYTES_MAX: u64 = 64;

pub(crate) async fn run(args: &Args, asked: &Report, output: &Output) -> Result<(), Failure> {
    if asked.comment.len() > REPORT_COMMENT_BYTES_MAX {
        let message = format!("say it in at most {REPORT_COMMENT_BYTES_MAX} bytes");
        return Err(Failure::usage(message));
    }
    if asked.messages > REPORT_MESSAGES_MAX {
        return Err(Failure::usage(format!("at most {REPORT_MESSAGES_MAX} messages are sent")));
    }
    let here = Here::open(args)?;
    let number = here.peer(args, &asked.who)?;
    let messages = last_messages(args, &here, number, asked.messages)?;
    let report = ReportRequest {
        number: number.to_string(),
        reason: asked.reason.into(),
        comment: asked.comment.clone(),
        messages,
    };
    if !asked.yes {
        confirm(&describe(&here, number, &report), output)?;
    }
    let account = here.account.clone();
    account.server.report(&account.token, &report).await?;
    let attached = report.messages.len();
    output.line(&Line::Reported { number, reason: report.reason, messages: attached }, || {
        format!("{number} is reported to whoever runs {}.", account.server.address())
    })?;
    // The profile is free for the next.
    drop(here);
    if asked.block {
        privacy::block(args, &number.to_string(), true, output).await?;
    } else {
        let block = place::example(args, &format!("block {number}"));
        output.remark(&format!("They are not told, and can still write to you: {block} ends it."));
    }
    Ok(())
}

/// The last messages that somebody sent, as this device has them.
fn last_messages(
    args: &Args,
    here: &Here,
    number: PhoneNumber,
    wanted: usize,
) -> Result<Vec<ReportedMessage>, Failure> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let Some(store) = here.store() else {
        // Another estafette has the store: it says which.
        place::profile(args)?;
        return Ok(Vec::new());
    };
    let mut incoming: Vec<Message> = store.history(number, MESSAGES_MAX)?;
    incoming.retain(|message| message.incoming);
    let last = incoming.split_off(incoming.len().saturating_sub(wanted));
    Ok(last.into_iter().map(reported).collect())
}

fn reported(message: Message) -> ReportedMessage {
    let mut text = says(&message.body);
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    ReportedMessage { id: message.id, at: message.at, text }
}

/// What is about to be sent.
fn describe(here: &Here, number: PhoneNumber, report: &ReportRequest) -> String {
    let reason = reason(report);
    let name = here.name(number);
    let who = if name == number.to_string() { name } else { format!("{name} ({number})") };
    let mut text = format!(
        "This goes to whoever runs {}, with your number:\n\n{who} is reported for {reason}.\n",
        here.account.server.address()
    );
    if !report.comment.is_empty() {
        text += &format!("You say: {}\n", printable(report.comment.as_bytes()));
    }
    let messages = count(report.messages.len() as u64, "message");
    let end = if report.messages.is_empty() { "." } else { ":" };
    text += &format!("With {messages} that they sent{end}\n");
    for message in &report.messages {
        text += &format!("  {}\n", message.text.replace('\n', "\n  "));
    }
    text
}

fn reason(report: &ReportRequest) -> &'static str {
    match report.reason {
        estafette::ReportReason::Spam => "spam",
        estafette::ReportReason::Abuse => "abuse",
        estafette::ReportReason::Other => "something else",
    }
}

/// Has the user say that it may be sent.
fn confirm(shown: &str, output: &Output) -> Result<(), Failure> {
    if !output.is_json() {
        println!("{shown}");
        if io::stdin().is_terminal() {
            print!("Send this report? [y/N] ");
        }
        io::stdout().flush()?;
    }
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was sent: answer y, or give --yes")),
    }
}
