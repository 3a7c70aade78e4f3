//! How far files are: bars on a terminal, lines where there is none, objects for programs.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use estafette::{Progress, Report, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::{Line, Output};
use crate::text::{bytes, file_name};

/// How often programs are told.
const PROGRAMS: Duration = Duration::from_secs(1);
/// How often people are told where there is no terminal.
const PEOPLE: Duration = Duration::from_secs(10);
const BAR: &str =
    "{prefix}  {wide_bar:.cyan/blue}  {decimal_bytes} of {decimal_total_bytes}  {msg}";
const COUNTER: &str = "{prefix}  {spinner}  {decimal_bytes}  {msg}";

/// Where the files of one command are shown.
pub(crate) struct Board {
    bars: Option<MultiProgress>,
    output: Output,
}

impl Board {
    pub(crate) fn new(output: &Output) -> Self {
        let terminal = io::stderr().is_terminal() && !output.is_json();
        Self { bars: terminal.then(MultiProgress::new), output: output.clone() }
    }

    /// Shows a file from now on.
    pub(crate) fn add(&self, name: Option<&str>) -> Report {
        let name = file_name(name);
        let shown = match &self.bars {
            Some(bars) => {
                let bar = bars.add(ProgressBar::no_length());
                bar.set_prefix(name);
                Shown::Bar(bar)
            }
            None => Shown::Lines { name, output: self.output.clone(), said: None },
        };
        let file = Mutex::new(File { shown, pace: None });
        Arc::new(move |progress| {
            file.lock().unwrap_or_else(PoisonError::into_inner).says(&progress);
        })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            // A terminal that is gone needs no tidying.
            let _ = bars.clear();
        }
    }
}

struct File {
    shown: Shown,
    pace: Option<Pace>,
}

enum Shown {
    Bar(ProgressBar),
    Lines { name: String, output: Output, said: Option<(Stage, Instant)> },
}

/// Since when bytes move, and how many had before.
struct Pace {
    since: Instant,
    from: u64,
}

impl Pace {
    /// Bytes a second; none before there is something to tell.
    fn speed(&self, done: u64) -> Option<u64> {
        let milliseconds = u64::try_from(self.since.elapsed().as_millis()).ok()?;
        let moved = done.saturating_sub(self.from);
        (milliseconds >= 200).then(|| moved.saturating_mul(1000) / milliseconds)
    }
}

impl File {
    fn says(&mut self, progress: &Progress) {
        let Progress { stage, done, total } = *progress;
        if stage != Stage::Moving {
            self.pace = None;
        }
        let moving = stage == Stage::Moving;
        let pace = moving
            .then(|| self.pace.get_or_insert_with(|| Pace { since: Instant::now(), from: done }));
        let speed = pace.and_then(|pace| pace.speed(done));
        let left = speed
            .filter(|speed| *speed > 0)
            .zip(total)
            .map(|(speed, total)| total.saturating_sub(done).div_ceil(speed));
        match &mut self.shown {
            Shown::Bar(bar) => draw(bar, progress, speed, left),
            Shown::Lines { name, output, said } => {
                let every = if output.is_json() { PROGRAMS } else { PEOPLE };
                let begun = said.is_none_or(|(before, _)| of(before) != of(stage));
                let ended = moving && total == Some(done);
                let due = said.is_none_or(|(_, at)| at.elapsed() >= every);
                if begun || ended || due {
                    *said = Some((stage, Instant::now()));
                    tell(output, name, progress, speed, left);
                }
            }
        }
    }
}

/// The name of a stage, for programs.
fn of(stage: Stage) -> &'static str {
    match stage {
        Stage::Reading => "reading",
        Stage::Moving => "moving",
        Stage::Waiting(_) => "waiting",
    }
}

fn draw(bar: &ProgressBar, progress: &Progress, speed: Option<u64>, left: Option<u64>) {
    let Progress { stage, done, total } = *progress;
    let template = if total.is_some() { BAR } else { COUNTER };
    if bar.length() != total || bar.position() == 0 {
        // The templates are right: a test draws them.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
    }
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
    bar.set_message(words(stage, speed, left));
}

fn words(stage: Stage, speed: Option<u64>, left: Option<u64>) -> String {
    let speed = speed.map(|speed| format!("{}/s", bytes(speed)));
    let left = left.map(|left| format!("{} left", time(left)));
    match stage {
        Stage::Reading => "reading".into(),
        Stage::Waiting(wait) => format!("no answer, trying again in {} s", wait.div_ceil(1000)),
        Stage::Moving => speed.into_iter().chain(left).collect::<Vec<_>>().join("  "),
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

fn tell(output: &Output, name: &str, progress: &Progress, speed: Option<u64>, left: Option<u64>) {
    let Progress { stage, done, total } = *progress;
    if output.is_json() {
        let line = Line::Progress {
            file: name,
            of: of(stage),
            done,
            total,
            bytes_per_second: speed,
            seconds_left: left,
        };
        // A reader that is gone is noticed by the command.
        let _ = output.line(&line, String::new);
        return;
    }
    let words = words(stage, speed, left);
    let so_far = match total {
        Some(total) => format!("{} of {}", bytes(done), bytes(total)),
        None => bytes(done),
    };
    output.remark(format!("{name}: {so_far}  {words}").trim_end());
}
