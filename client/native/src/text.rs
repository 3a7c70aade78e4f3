//! Text for people: what peers wrote, times, marks.

use estafette::{Millis, Status};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// What a message says, safe to print: a terminal obeys control characters, and direction marks can
/// make a text look like another, so neither passes. Lines and tabs stay.
pub(crate) fn printable(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .replace("\r\n", "\n")
        .chars()
        .map(|character| match character {
            '\n' => '\n',
            '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            control if control.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

/// The same on one line of at most `max` characters.
pub(crate) fn one_line(body: &[u8], max: usize) -> String {
    let text = printable(body).replace('\n', " ");
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text,
    }
}

/// The mark beside a message of one's own.
pub(crate) fn mark(status: Status) -> &'static str {
    match status {
        Status::Queued => "○",
        Status::Sent => "✓",
        Status::Delivered | Status::Read | Status::Played => "✓✓",
        Status::Failed => "✗",
    }
}

/// A moment where the user is.
pub(crate) fn local(at: Millis, zone: &TimeZone) -> Zoned {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or_default().to_zoned(zone.clone())
}

/// The time of day.
pub(crate) fn time(at: &Zoned) -> String {
    at.strftime("%H:%M").to_string()
}

/// A day, as one says it today.
pub(crate) fn day(day: Date, today: Date) -> String {
    match (today - day).get_days() {
        0 => "Today".into(),
        1 => "Yesterday".into(),
        2..=6 => day.strftime("%A").to_string(),
        _ if day.year() == today.year() => day.strftime("%A %-d %B").to_string(),
        _ => day.strftime("%-d %B %Y").to_string(),
    }
}

/// A number of things: `1 message`, `2 messages`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
