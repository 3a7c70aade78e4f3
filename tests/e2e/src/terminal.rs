//! A program on a terminal: what is typed goes in, and what it draws is read off the screen.

use std::fmt;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use vt100::{Color, Parser};

use crate::desk::{PATIENCE, Running};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A command on a terminal.
pub struct Terminal {
    child: Running,
    keyboard: Arc<Pty>,
    seen: Arc<(Mutex<Parser>, Condvar)>,
}

/// A row of a screen.
#[derive(Debug)]
pub struct Row {
    /// What it says.
    pub text: String,
    /// The colour of each character that is not blank, among the terminal's 256.
    pub colours: Vec<Option<u8>>,
}

impl Terminal {
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&'static str, PathBuf)],
    ) -> Result<Self> {
        let (keyboard, device) = open()?;
        keyboard.resize(Size::new(ROWS, COLUMNS))?;
        let keyboard = Arc::new(keyboard);
        let command = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR");
        let child = Running(command.spawn(device)?);
        let (rows, columns) = NonZero::new(ROWS).zip(NonZero::new(COLUMNS)).context("no size")?;
        let seen = Arc::new((Mutex::new(Parser::new(rows, columns, 0)), Condvar::new()));
        let (output, shown) = (Arc::clone(&keyboard), Arc::clone(&seen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when the program has ended.
            while let Ok(length @ 1..) = output.as_ref().read(&mut bytes) {
                let mut parser = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
                parser.process(bytes.get(..length).unwrap_or_default());
                drop(parser);
                shown.1.notify_all();
            }
        });
        Ok(Self { child, keyboard, seen })
    }

    /// Types, keys as a terminal sends them.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keyboard.as_ref().write_all(keys.as_bytes())?)
    }

    /// Returns once the rows of the screen are as `wanted`.
    ///
    /// # Errors
    /// When they do not become so.
    pub fn until(&self, wanted: impl Fn(&[Row]) -> bool) -> Result<()> {
        self.wait(|parser| wanted(&rows(parser)))
    }

    /// Waits for the end of the program, which is to leave the terminal as it was.
    ///
    /// # Errors
    /// When it does not end, or leaves it otherwise.
    pub fn end(mut self) -> Result<ExitStatus> {
        let status = self.child.end()?;
        self.wait(|parser| {
            let screen = parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
        })?;
        Ok(status)
    }

    fn wait(&self, wanted: impl Fn(&Parser) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut parser = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(&parser) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the screen shows\n{}", parser.screen().contents());
            }
            let waited = self.seen.1.wait_timeout(parser, left);
            parser = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Terminal").finish_non_exhaustive()
    }
}

fn rows(parser: &Parser) -> Vec<Row> {
    let screen = parser.screen();
    let colours = |row| {
        let cells = (0..COLUMNS).filter_map(|column| screen.cell(row, column));
        let inked = cells.filter(|cell| !cell.contents().trim().is_empty());
        let colour = |colour| match colour {
            Color::Idx(index) => Some(index),
            _ => None,
        };
        inked.map(|cell| colour(cell.fgcolor())).collect()
    };
    let texts = (0..ROWS).zip(screen.rows(0, COLUMNS));
    texts.map(|(row, text)| Row { text, colours: colours(row) }).collect()
}
