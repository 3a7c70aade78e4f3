//! Text for people: what peers wrote, times, marks.

use estafette::{Content, ContentError, Media, Millis, Status, Unopened};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// How much of a file's name is shown, in characters.
const NAME_CHARACTERS: usize = 60;

/// A text, safe to print: a terminal obeys control characters, and direction marks can
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

/// What the body of a message says, safe to print. Of a file, its name, its size and its caption.
pub(crate) fn says(body: &[u8]) -> String {
    match Content::read(body) {
        Ok(Content::Media(media)) => {
            let caption = media.about.caption.as_deref().map(str::as_bytes).map(printable);
            let caption = caption.map(|caption| format!(" {caption}")).unwrap_or_default();
            format!("[{}]{caption}", file(&media))
        }
        Ok(Content::Moved(moved)) => format!("[has a new number: {}]", moved.to),
        Ok(Content::Unopened(why)) => unopened(why).into(),
        Ok(Content::Text(_)) | Err(ContentError::NotText) => printable(body),
        _ => "[something that this version of estafette cannot show: update it]".into(),
    }
}

/// A file in a few words: its name, its size, how long it plays.
pub(crate) fn file(media: &Media) -> String {
    let name = file_name(media.about.name.as_deref());
    let size = bytes(media.size);
    match media.about.duration {
        Some(duration) => {
            let seconds = duration.div_ceil(1000);
            format!("{name}, {size}, {}:{:02}", seconds / 60, seconds % 60)
        }
        None => format!("{name}, {size}"),
    }
}

/// What a file is called, safe to print.
pub(crate) fn file_name(name: Option<&str>) -> String {
    name.map_or_else(|| "file".to_owned(), |name| one_line(name.as_bytes(), NAME_CHARACTERS))
}

/// A number of bytes, in the largest unit that has a digit before the point.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB"];
    let unit = (bytes.max(1).ilog10() / 3).min(3);
    let scale = 1000_u64.pow(unit);
    let unit = units.get(unit as usize).copied().unwrap_or_default();
    match scale {
        1 => format!("{bytes} {unit}"),
        scale => format!("{}.{} {unit}", bytes / scale, bytes % scale * 10 / scale),
    }
}

/// The same on one line of at most `max` characters.
pub(crate) fn one_line(body: &[u8], max: usize) -> String {
    let text = says(body).replace('\n', " ");
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

/// What is said when somebody's keys have changed.
pub(crate) fn keys_changed(who: &str) -> String {
    format!("The security keys of {who} have changed: they registered again.")
}

/// What is said where the server tells other devices of somebody than it did.
pub(crate) fn list_broken(who: &str) -> String {
    format!("The server now tells other devices of {who} than before. It is not believed.")
}

/// What is said where somebody did in a conversation what nobody honest does.
pub(crate) const SUSPICIOUS: &str =
    "Somebody tried to change who reads a conversation, and was not let to.";

/// Why a message cannot be shown.
pub(crate) fn unopened(why: Unopened) -> &'static str {
    match why {
        Unopened::Damaged => "[damaged, or not from whom the server says: not shown]",
        Unopened::NotForThisDevice => "[written before this device could read here]",
        Unopened::Own => "[written on this device, whose store was lost]",
        _ => "[cannot be opened]",
    }
}

/// A number of things: `1 message`, `2 messages`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
