//! QR codes on a terminal: two rows of modules to a row of text.

use std::io::{self, IsTerminal};

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Black on white, whatever the terminal's colours are: cameras want dark on light.
const INK: &str = "\x1b[38;5;16;48;5;231m";
const PLAIN: &str = "\x1b[0m";

/// Modules of the empty frame, on each side.
const FRAME: usize = 4;

/// A code, and beneath it what it says.
pub(crate) fn with_text(text: &str) -> String {
    with(text, text)
}

/// A code, and beneath it the same for people.
pub(crate) fn with(text: &str, beneath: &str) -> String {
    let people = io::stdout().is_terminal();
    let ink = people && std::env::var_os("NO_COLOR").is_none();
    let columns = match crossterm::terminal::size() {
        Ok((columns, _)) if people => usize::from(columns),
        _ => usize::MAX,
    };
    match drawn(text, ink) {
        Some((code, width)) if width <= columns => format!("{code}\n\n{beneath}"),
        Some(_) => format!("(The terminal is too narrow for the code.)\n\n{beneath}"),
        None => beneath.to_owned(),
    }
}

/// A text as a code, with ink or, where there is none, for a terminal that writes light on dark. Also
/// the columns that it takes.
fn drawn(text: &str, ink: bool) -> Option<(String, usize)> {
    // The lowest level: a screen does not tear, and the fewer modules the larger they are.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width() + 2 * FRAME;
    let (dark, light) =
        if ink { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    let rows = code.render().dark_color(dark).light_color(light).build();
    if !ink {
        return Some((rows, width));
    }
    let rows: Vec<_> = rows.lines().map(|row| format!("{INK}{row}{PLAIN}")).collect();
    Some((rows.join("\n"), width))
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn a_code_is_a_square_of_half_blocks_in_a_frame() {
        // Version 2: 25 modules.
        let (code, width) = drawn("estafette://chat/+33612345678", false).unwrap();
        let rows: Vec<_> = code.lines().collect();
        assert_eq!((width, rows.len()), (33, 17));
        assert!(rows.iter().all(|row| row.chars().count() == width));
        // The frame is light, which is drawn; the corner of the finder is dark, which is not.
        assert!(rows[0].chars().all(|module| module == '█'));
        assert!(rows[2].starts_with("████ "), "{code}");
        let (inked, _) = drawn("estafette://chat/+33612345678", true).unwrap();
        let inked: Vec<_> = inked.lines().collect();
        assert!(inked[2].starts_with("\x1b[38;5;16;48;5;231m    █▀▀▀▀▀█"), "{inked:?}");
        assert!(inked[2].ends_with("\x1b[0m"));
        assert!(drawn(&"x".repeat(5000), true).is_none());
    }
}
