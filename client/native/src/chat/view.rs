//! Draws the chat.

use estafette::{Activity, Message, Millis, Status};
use jiff::civil::Date;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::model::{Connection, Model, Presence};
use super::wrap::wrap;
use crate::text::{count, day, keys_changed, local, mark, says, time};

/// The widest a message gets, in columns.
const MESSAGE_COLUMNS_MAX: usize = 72;
/// The most rows that the text being written takes.
const EDITOR_ROWS_MAX: usize = 8;
/// What the keys do, in as many words as there is room for.
const HINTS: [&str; 2] = [
    "  Enter sends · Alt-Enter new line · PgUp/PgDn scroll · Ctrl-C leaves",
    "  Enter sends · Ctrl-C leaves",
];
/// What stands before the text being written.
const PROMPT: &str = "› ";

/// The colours, out of the 256 that every terminal has. Each text has its own background, so that
/// it can be read on a light terminal and on a dark one.
struct Palette {
    incoming: Style,
    outgoing: Style,
    faint: Style,
    time: Style,
    read: Style,
    failed: Style,
    divider: Style,
    banner: Style,
    notice: Style,
    connected: Style,
}

impl Palette {
    fn new(colour: bool) -> Self {
        let plain = Style::new();
        if !colour {
            return Self {
                incoming: plain,
                outgoing: plain,
                faint: plain.add_modifier(Modifier::DIM),
                time: plain.add_modifier(Modifier::DIM),
                read: plain.add_modifier(Modifier::BOLD),
                failed: plain.add_modifier(Modifier::BOLD),
                divider: plain.add_modifier(Modifier::BOLD),
                banner: plain.add_modifier(Modifier::REVERSED),
                notice: plain,
                connected: plain,
            };
        }
        let on = |text, ground| plain.fg(Color::Indexed(text)).bg(Color::Indexed(ground));
        let text = |text| plain.fg(Color::Indexed(text));
        Self {
            incoming: on(255, 236),
            outgoing: on(255, 23),
            faint: text(244),
            time: text(249),
            read: text(81).add_modifier(Modifier::BOLD),
            failed: text(210).add_modifier(Modifier::BOLD),
            divider: text(35),
            banner: on(16, 214),
            notice: text(172),
            connected: text(35),
        }
    }
}

/// Draws all of it, and notes in the model's scroll how much there is.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &mut Model, now: Millis) {
    let palette = Palette::new(model.colour);
    let area = frame.area();
    let width = usize::from(area.width);
    let (rows, cursor) = model.editor.rows(width.saturating_sub(PROMPT.width() + 1));
    let editor_rows = rows.len().min(EDITOR_ROWS_MAX).min(usize::from(area.height / 2).max(1));
    let banner = model.banner(now).map(|text| wrap(&text, width.saturating_sub(2)));
    let banner_rows = banner.as_ref().map_or(0, Vec::len);
    let [header, messages, said, rule, editor, hints] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(u16::try_from(banner_rows).unwrap_or(u16::MAX)),
        Constraint::Length(1),
        Constraint::Length(u16::try_from(editor_rows).unwrap_or(u16::MAX)),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_header(frame, model, &palette, header, now);
    draw_messages(frame, model, &palette, messages, now);
    if let Some(rows) = banner {
        let lines: Vec<_> = rows.iter().map(|row| Line::raw(format!(" {row}"))).collect();
        frame.render_widget(Paragraph::new(lines).style(palette.banner), said);
    }
    draw_rule(frame, model, &palette, rule);
    draw_editor(frame, &palette, editor, rows, cursor, model);
    let hint = match &model.notice {
        Some(notice) => Line::styled(format!("{}{notice}", " ".repeat(2)), palette.notice),
        None => {
            let hint = HINTS.iter().find(|hint| hint.width() <= width).copied();
            Line::styled(hint.unwrap_or_default(), palette.faint)
        }
    };
    frame.render_widget(hint, hints);
}

fn draw_header(frame: &mut Frame<'_>, model: &Model, palette: &Palette, area: Rect, now: Millis) {
    let (state, style) = match model.connection {
        Connection::Connected => ("● connected ", palette.connected),
        Connection::Away { .. } => ("◌ connecting ", palette.faint),
        Connection::SignedOut(_) => ("✗ signed out ", palette.failed),
    };
    let there = model.activity != Activity::Paused || model.presence == Some(Presence::There);
    let peer_style = if there { palette.connected } else { palette.faint };
    let title = model.title();
    let mut room = usize::from(area.width).saturating_sub(title.width() + 2);
    // What is worth more takes its room first.
    let mut fits = |text: &String| {
        let width = text.width() + 2;
        let fits = width <= room;
        room -= if fits { width } else { 0 };
        fits
    };
    let peer_state = model.peer_state(now).filter(&mut fits);
    let number = Some(model.peer.to_string()).filter(|number| *number != title).filter(&mut fits);
    let mut spans = vec![Span::styled(format!(" {title}"), Modifier::BOLD)];
    spans.extend(number.map(|number| Span::styled(format!("  {number}"), palette.faint)));
    spans.extend(peer_state.map(|state| Span::styled(format!("  {state}"), peer_style)));
    frame.render_widget(Line::from(spans), area);
    if room > state.width() {
        frame.render_widget(Line::styled(state, style), at_right(area, state.width()));
    }
}

fn draw_messages(
    frame: &mut Frame<'_>,
    model: &mut Model,
    palette: &Palette,
    area: Rect,
    now: Millis,
) {
    let rows = rows(model, palette, usize::from(area.width), now);
    let height = usize::from(area.height);
    let scroll = &mut model.scroll;
    // What comes below must not move what the user looks at.
    if scroll.below > 0 && rows.len() > scroll.rows && model.below > 0 {
        scroll.below += rows.len() - scroll.rows;
    }
    scroll.rows = rows.len();
    scroll.height = height;
    scroll.below = scroll.below.min(rows.len().saturating_sub(height));
    let end = rows.len() - scroll.below;
    let shown = end.min(height);
    let rows: Vec<_> = rows.into_iter().skip(end - shown).take(shown).collect();
    // The last message stands just above the text being written, as everywhere.
    let top = area.y + area.height.saturating_sub(u16::try_from(shown).unwrap_or(u16::MAX));
    let area = Rect { y: top, height: area.bottom().saturating_sub(top), ..area };
    frame.render_widget(Paragraph::new(rows), area);
}

fn draw_rule(frame: &mut Frame<'_>, model: &Model, palette: &Palette, area: Rect) {
    let rule = "─".repeat(usize::from(area.width));
    frame.render_widget(Line::styled(rule, palette.faint), area);
    if model.scroll.below > 0 {
        let text = match model.below {
            0 => " ↓ newer messages below ".into(),
            new => format!(" ↓ {} ", count(new, "new message")),
        };
        let [_, middle, _] = Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(u16::try_from(text.width()).unwrap_or(u16::MAX)),
            Constraint::Fill(1),
        ])
        .areas(area);
        frame.render_widget(Line::styled(text, palette.divider), middle);
    }
}

fn draw_editor(
    frame: &mut Frame<'_>,
    palette: &Palette,
    area: Rect,
    rows: Vec<String>,
    cursor: (usize, usize),
    model: &Model,
) {
    let height = usize::from(area.height);
    if height == 0 {
        return;
    }
    let first = (cursor.0 + 1).saturating_sub(height);
    let mut lines = Vec::with_capacity(height);
    for (index, row) in rows.into_iter().enumerate().skip(first).take(height) {
        let lead = if index == 0 { PROMPT } else { "  " };
        lines.push(Line::from(vec![Span::styled(lead, palette.divider), Span::raw(row)]));
    }
    if model.editor.text().is_empty() {
        lines = vec![Line::from(vec![
            Span::styled(PROMPT, palette.divider),
            Span::styled(format!("Write to {}", model.title()), palette.faint),
        ])];
    }
    frame.render_widget(Paragraph::new(lines), area);
    let column = u16::try_from(PROMPT.width() + cursor.1).unwrap_or(u16::MAX);
    let row = u16::try_from(cursor.0 - first).unwrap_or(u16::MAX);
    frame.set_cursor_position(Position::new(area.x + column, area.y + row));
}

/// The last columns of a row.
fn at_right(area: Rect, width: usize) -> Rect {
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    Rect { x: area.right() - width, width, ..area }
}

/// What the next message needs to know of the one above it.
struct Above {
    incoming: bool,
    day: Date,
    one_row: bool,
}

/// All messages, with days and the unread divider between them.
fn rows(model: &Model, palette: &Palette, width: usize, now: Millis) -> Vec<Line<'static>> {
    let today = local(now, &model.zone).date();
    let mut rows = Vec::new();
    let mut last: Option<Above> = None;
    let centred = |text: String, style| Line::styled(text, style).alignment(Alignment::Center);
    if model.messages.is_empty() {
        rows.push(centred("No messages here yet. Say hello.".into(), palette.faint));
        rows.push(Line::default());
    }
    let mut note = model.keys_changed.map(|place| (place, keys_changed(&model.title())));
    let noted = |note: String| -> Vec<_> {
        let said = wrap(&note, width.saturating_sub(4)).into_iter();
        std::iter::once(Line::default())
            .chain(said.map(|row| centred(row, palette.notice)))
            .collect()
    };
    for message in &model.messages {
        if let Some((_, note)) = note.take_if(|(place, _)| message.place > *place) {
            rows.extend(noted(note));
            last = None;
        }
        let at = local(message.at, &model.zone);
        let bubble = bubble(message, &time(&at), palette, width);
        let new_day = last.as_ref().is_none_or(|above| above.day != at.date());
        let divides = model.unread.filter(|unread| unread.place == message.place);
        // Short ones of one side stand together as a list.
        let one_row = bubble.len() == 1;
        let together = last
            .is_some_and(|above| above.incoming == message.incoming && above.one_row && one_row);
        if new_day || divides.is_some() || !together {
            rows.push(Line::default());
        }
        if new_day {
            rows.push(centred(day(at.date(), today), palette.faint));
            rows.push(Line::default());
        }
        if let Some(unread) = divides {
            let text = format!(" {} ", count(unread.count, "unread message"));
            let side = "─".repeat(width.saturating_sub(text.width() + 2) / 2);
            rows.push(centred(format!("{side}{text}{side}"), palette.divider));
            rows.push(Line::default());
        }
        last = Some(Above { incoming: message.incoming, day: at.date(), one_row });
        rows.extend(bubble);
    }
    if let Some((_, note)) = note {
        rows.extend(noted(note));
    }
    if let Some(stranger) = model.stranger.as_ref().filter(|_| !model.messages.is_empty()) {
        rows.push(Line::default());
        let said = wrap(stranger, width.saturating_sub(4)).into_iter();
        rows.extend(said.map(|row| centred(row, palette.notice)));
    }
    rows
}

/// One message: its text, the time and the mark, on its side.
fn bubble(message: &Message, time: &str, palette: &Palette, width: usize) -> Vec<Line<'static>> {
    let room = (width * 5 / 6).min(MESSAGE_COLUMNS_MAX).saturating_sub(4).max(8);
    let mut texts = wrap(says(&message.body).trim_end(), room);
    let ground = if message.incoming { palette.incoming } else { palette.outgoing };
    let mut tail = vec![Span::styled(time.to_owned(), ground.patch(palette.time))];
    if !message.incoming {
        let style = match message.status {
            Status::Read | Status::Played => palette.read,
            Status::Failed => palette.failed,
            _ => palette.time,
        };
        let text = match message.status {
            Status::Failed => format!(" {} not sent", mark(message.status)),
            // As wide as the widest, so that nothing moves but the mark.
            status => format!(" {:>2}", mark(status)),
        };
        tail.push(Span::styled(text, ground.patch(style)));
    }
    let tail_width: usize = tail.iter().map(Span::width).sum();
    let last = texts.last().map_or(0, |text| text.width());
    if last + 2 + tail_width > room {
        texts.push(String::new());
    }
    let last = texts.len() - 1;
    let size = |(index, text): (usize, &String)| {
        text.width() + if index == last { 2 + tail_width } else { 0 }
    };
    let columns = texts.iter().enumerate().map(size).max().unwrap_or(0);
    let indent = if message.incoming { 1 } else { width.saturating_sub(columns + 3) };
    let row = |(index, text): (usize, String)| {
        let tail = if index == last { tail.clone() } else { Vec::new() };
        let used = text.width() + if index == last { tail_width } else { 0 };
        let mut spans = vec![
            Span::raw(" ".repeat(indent)),
            Span::styled(format!(" {text}"), ground),
            Span::styled(" ".repeat(columns.saturating_sub(used)), ground),
        ];
        spans.extend(tail);
        spans.push(Span::styled(" ", ground));
        Line::from(spans)
    };
    texts.into_iter().enumerate().map(row).collect()
}
