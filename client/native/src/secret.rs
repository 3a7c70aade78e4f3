//! A secret that is typed: it is not shown, not even how long it is.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _, stderr};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use crossterm::terminal;

/// More than any secret has.
const LINE_BYTES_MAX: u64 = 256;

/// Whether it is typed on a terminal, by somebody who can be asked again.
pub(crate) fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// Asks for it on the terminal, or reads a line of standard input. Empty where none is given.
pub(crate) fn ask(prompt: &str) -> io::Result<String> {
    if !is_typed() {
        let mut line = String::new();
        io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line)?;
        return Ok(line.trim().to_owned());
    }
    write!(stderr(), "{prompt}: ")?;
    stderr().flush()?;
    let typed = {
        let _hidden = Hidden::begin()?;
        typed()
    };
    writeln!(stderr())?;
    typed
}

/// While it lives, the terminal does not show what is typed.
struct Hidden;

impl Hidden {
    fn begin() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone takes nothing back.
        let _ = terminal::disable_raw_mode();
    }
}

fn typed() -> io::Result<String> {
    let mut text = String::new();
    loop {
        let Event::Key(key) = read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Ok(text),
            KeyCode::Char('c' | 'd') if control => return Ok(String::new()),
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char(character) if !control => text.push(character),
            KeyCode::Backspace => drop(text.pop()),
            _ => {}
        }
    }
}
