//! The picture of the README: what two people see, as the chat draws it, written as SVG. The test
//! fails when `docs/images/chat.svg` shows something else; with `UPDATE_GOLDEN=1` it writes the file.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

use super::{ALICE, BOB, MINUTE, MORNING, chat, receive, screen, write};
use crate::chat::model::Model;
use estafette::{Event, Status};

const WIDTH: u16 = 60;
const HEIGHT: u16 = 24;
/// A cell, in tenths of a unit of the drawing.
const CELL: (usize, usize) = (84, 180);
const MARGIN: usize = 260;
const TITLE: usize = 280;

fn tell(from: &mut Model, to: &mut Model, text: &str, minute: u64, status: Status) {
    let at = MORNING + minute * MINUTE;
    write(from, text, at, status);
    if matches!(status, Status::Delivered | Status::Read) {
        receive(to, text, at);
    }
}

/// What Alice and Bob see.
fn scene() -> (Buffer, Buffer) {
    let (mut alice, mut bob) = (chat(BOB, "Bob"), chat(ALICE, "Alice"));
    tell(&mut alice, &mut bob, "Good morning! Still up for the market?", 2, Status::Read);
    tell(&mut bob, &mut alice, "Of course ☀ I'll be there at ten.", 3, Status::Read);
    tell(&mut bob, &mut alice, "Shall I bring the big basket?", 3, Status::Read);
    tell(&mut alice, &mut bob, "Yes please.", 4, Status::Read);
    bob.focused = false;
    let more = "And could you take the blue cups along? Marie wants them for Sunday.";
    tell(&mut alice, &mut bob, more, 11, Status::Delivered);
    tell(&mut alice, &mut bob, "They are on the shelf.", 11, Status::Delivered);
    tell(&mut alice, &mut bob, "Getting on the tram, no network soon.", 12, Status::Sent);
    tell(&mut alice, &mut bob, "See you there!", 12, Status::Queued);
    let now = MORNING + 12 * MINUTE;
    let lost = Event::Disconnected { retry_at: Some(now + 4000) };
    alice.apply(lost, now - 3000);
    bob.editor.insert("Found them");
    (screen(&mut alice, WIDTH, HEIGHT, now), screen(&mut bob, WIDTH, HEIGHT, now))
}

#[test]
fn the_picture_shows_the_chat_as_it_is() {
    let (alice, bob) = scene();
    let picture = svg(&[("alice", &alice), ("bob", &bob)]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images/chat.svg");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &picture).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept == picture, "run the test with UPDATE_GOLDEN=1 and look at docs/images/chat.svg");
}

/// The screens side by side.
fn svg(screens: &[(&str, &Buffer)]) -> String {
    let pane = usize::from(WIDTH) * CELL.0;
    let width = screens.len() * (pane + MARGIN) + MARGIN;
    let height = usize::from(HEIGHT) * CELL.1 + TITLE + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-size=\"14\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"Two people chat in two terminals\">\n",
        units(width),
        units(height)
    );
    for (index, (name, buffer)) in screens.iter().enumerate() {
        let x = MARGIN + index * (pane + MARGIN);
        writeln!(
            out,
            "<g transform=\"translate({} {})\"><rect x=\"-8\" y=\"-6\" width=\"{}\" height=\"{}\" \
             rx=\"8\" fill=\"#12161c\"/><text x=\"{}\" y=\"13\" fill=\"#8a9099\" \
             text-anchor=\"middle\">estafette --profile {name} chat</text>",
            units(x),
            units(MARGIN),
            units(pane + 160),
            units(height - 2 * MARGIN + 120),
            units(pane / 2),
        )
        .unwrap();
        for (row, cells) in buffer.content().chunks(usize::from(WIDTH)).enumerate() {
            draw_row(&mut out, cells, TITLE + row * CELL.1);
        }
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

/// One row: runs of cells that look alike.
fn draw_row(out: &mut String, cells: &[Cell], y: usize) {
    let mut column = 0;
    while let Some(first) = cells.get(column) {
        let alike = |cell: &&Cell| cell.style() == first.style();
        let length = cells[column..].iter().take_while(alike).count();
        let run = &cells[column..column + length];
        let (x, width) = (column * CELL.0, length * CELL.0);
        column += length;
        if let Some(ground) = rgb(first.bg) {
            writeln!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{ground}\"/>",
                units(x),
                units(y),
                units(width),
                units(CELL.1),
            )
            .unwrap();
        }
        // The second cell of a wide character is drawn by the first.
        let mut text = String::new();
        let mut skip = 0;
        for cell in run {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            text.push_str(cell.symbol());
            skip = cell.symbol().width().saturating_sub(1);
        }
        if text.trim().is_empty() {
            continue;
        }
        let lead = text.len() - text.trim_start().len();
        let shown = text.trim().replace('&', "&amp;").replace('<', "&lt;");
        let weight =
            if first.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" fill=\"{}\"{weight} textLength=\"{}\" \
             lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{shown}</text>",
            units(x + lead * CELL.0),
            units(y + 135),
            rgb(first.fg).unwrap_or_else(|| "#d7dae0".into()),
            units(text.trim().width() * CELL.0),
        )
        .unwrap();
    }
}

/// Tenths, as a number with a decimal.
fn units(tenths: usize) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A colour of the 256, as terminals show it.
fn rgb(colour: Color) -> Option<String> {
    let Color::Indexed(index) = colour else { return None };
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    let (red, green, blue) = match index {
        16..=231 => {
            let cube = index - 16;
            (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        grey => [8 + 10 * (grey - 232); 3].into(),
    };
    Some(format!("#{red:02x}{green:02x}{blue:02x}"))
}
