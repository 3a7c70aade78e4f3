//! The terminal: taken for the chat, and given back as it was, whatever happens.

use std::io::{self, Write, stdout};

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
    PushKeyboardEnhancementFlags,
};
use crossterm::{execute, terminal};
use ratatui::DefaultTerminal;

/// A terminal in full screen. Dropping it gives it back.
pub(crate) struct Screen {
    pub(crate) terminal: DefaultTerminal,
    /// Whether it can tell Shift-Enter from Enter.
    enhanced: bool,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn take() -> io::Result<Self> {
        // It also gives the terminal back when the program panics.
        let terminal = ratatui::try_init()?;
        let mut screen = Self { terminal, enhanced: false };
        execute!(stdout(), EnableBracketedPaste, EnableFocusChange)?;
        if matches!(terminal::supports_keyboard_enhancement(), Ok(true)) {
            let flags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES;
            execute!(stdout(), PushKeyboardEnhancementFlags(flags))?;
            screen.enhanced = true;
        }
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = stdout();
        // A terminal that is gone takes nothing back.
        if self.enhanced {
            let _ = execute!(out, PopKeyboardEnhancementFlags);
        }
        let _ = execute!(out, DisableFocusChange, DisableBracketedPaste, DisableMouseCapture);
        let _ = out.flush();
        ratatui::restore();
    }
}
