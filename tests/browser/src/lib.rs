//! A real browser as a device that sleeps: headless, on this machine alone, with a push service that
//! plays its maker's, and a page that shows what comes.
//!
//! `js/drive.mjs` runs both. It is told what to do by lines on its standard input, and ends the browser
//! when that closes, so that no browser outlives its test.

use std::path::PathBuf;
use std::process::Command;
use std::{env, iter};

use anyhow::{Context, Result, bail};
use estafette_e2e::Talk;
use estafette_testkit::{TempDir, workspace_root};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Firefox, with a push service that speaks as Mozilla's autopush does.
    Firefox,
    /// Chromium, with one that speaks as Google's does: check-in, registration, MCS.
    Chromium,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Firefox => "firefox",
            Self::Chromium => "chromium",
        }
    }

    /// Its program, and those that it needs beside it.
    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Firefox => find("firefox-esr", &["firefox"]),
            Self::Chromium => {
                find("openssl", &[])?;
                find("chromium", &["chromium-browser", "google-chrome"])
            }
        }
    }
}

/// A program on the PATH, under its name on Debian or another.
fn find(name: &str, others: &[&str]) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places: Vec<_> = env::split_paths(&path).collect();
    let names = iter::once(&name).chain(others);
    let mut programs = names.flat_map(|name| places.iter().map(move |place| place.join(name)));
    programs
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed; on Debian: `apt-get install {name}`"))
}

/// A script of `js/`, to be run by the Node that npm installed, or else the system's.
pub fn script(name: &str) -> Command {
    let packaged = workspace_root().join("node_modules/.bin/node");
    let node = if packaged.exists() { packaged } else { PathBuf::from("node") };
    let mut command = Command::new(node);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg(format!("js/{name}.mjs"));
    command
}

/// What the service worker tells when something happened to it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// `push`, or `change` when the browser replaced the subscription.
    pub event: String,
    /// The notifications that are shown now.
    pub shown: Vec<Shown>,
    /// How many pages of the site are open.
    pub pages: u32,
    /// What went wrong.
    pub error: Option<String>,
    /// The subscription that took the place of the one before.
    pub subscription: Option<Value>,
}

/// A notification.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Shown {
    /// Who wrote.
    pub title: String,
    /// What they wrote.
    pub body: String,
}

/// What was posted to the push service, and what it said.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Post {
    /// 201 when it was taken; what the browser said of it when that could not read it.
    pub status: u16,
    /// Why it was not.
    pub error: Option<String>,
    /// Seconds for which the push service keeps it.
    pub ttl: Option<u64>,
    /// How urgent it is.
    pub urgency: Option<String>,
}

/// A browser and its push service.
#[derive(Debug)]
pub struct Browser {
    driver: Option<Talk>,
    // Removed after the browser has ended.
    _files: TempDir,
}

impl Browser {
    /// Starts a push service, and the browser.
    ///
    /// # Errors
    /// When the browser or Node is not installed, or does not start.
    pub fn open(kind: Kind) -> Result<Self> {
        let program = kind.program()?;
        let files = TempDir::new()?;
        let mut driver = script("drive");
        driver.arg(kind.name()).arg(program).arg(files.path());
        // Nothing of the person's own browser, and nothing left behind.
        driver.env("HOME", files.path()).env("TMPDIR", files.path());
        driver.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        let mut browser = Self { driver: Some(Talk::with(&mut driver)?), _files: files };
        browser.wake()?;
        Ok(browser)
    }

    /// Subscribes a page to pushes by this server, and closes the page. Returns what the page was given.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn subscribe(&mut self, key: &str) -> Result<Value> {
        self.ask(&json!({ "do": "subscribe", "key": key }))
    }

    /// Closes the browser; the push service goes on.
    ///
    /// # Errors
    /// When it does not close.
    pub fn sleep(&mut self) -> Result<()> {
        self.ask(&json!({ "do": "close" })).map(drop)
    }

    /// Starts it again, with what it had.
    ///
    /// # Errors
    /// When it does not start.
    pub fn wake(&mut self) -> Result<()> {
        self.ask(&json!({ "do": "open" })).map(drop)
    }

    /// What the service worker tells next.
    ///
    /// # Errors
    /// When it tells nothing.
    pub fn told(&mut self) -> Result<Told> {
        Ok(serde_json::from_value(self.ask(&json!({ "do": "told" }))?)?)
    }

    /// All that was posted to the push service, once it is this much.
    ///
    /// # Errors
    /// When it is less.
    pub fn posts(&mut self, count: usize) -> Result<Vec<Post>> {
        Ok(serde_json::from_value(self.ask(&json!({ "do": "posts", "count": count }))?)?)
    }

    /// Has the push service lose all subscriptions; only Mozilla's can say so.
    ///
    /// # Errors
    /// When it can't.
    pub fn forget(&mut self) -> Result<()> {
        self.ask(&json!({ "do": "forget" })).map(drop)
    }

    fn ask(&mut self, what: &Value) -> Result<Value> {
        let driver = self.driver.as_mut().context("the driver has ended")?;
        driver.say(&what.to_string())?;
        match serde_json::from_str(&driver.hear(|_| true)?)? {
            Answer::Ok(value) => Ok(value),
            Answer::Error(error) => bail!("{error}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Value),
    Error(String),
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.driver.take().map(Talk::end) {
            eprintln!("the driver of the browser: {error:#}");
        }
    }
}
