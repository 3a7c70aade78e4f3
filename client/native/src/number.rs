//! Phone numbers as people type them.

use estafette_protocol::{NumberError, PhoneNumber};

/// Reads a number as people type it: with spaces, dashes, dots, slashes or brackets, with `00` for
/// the plus sign, and with the `(0)` that some write after the country code.
///
/// # Errors
/// When no country code is given or it is no number. A national number (`06 12…`) is not guessed.
pub fn read_number(text: &str) -> Result<PhoneNumber, NumberError> {
    let text = text.trim().replace("(0)", "");
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' => plain.push(character),
            '+' | '＋' if plain.is_empty() => plain.push('+'),
            '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2060}' => {}
            // Numbers copied from elsewhere may be wrapped in marks of direction.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202c}' => {}
            _ if character.is_whitespace() => {}
            _ => return Err(NumberError),
        }
    }
    match plain.strip_prefix("00") {
        Some(rest) => format!("+{rest}").parse(),
        None => plain.parse(),
    }
}
