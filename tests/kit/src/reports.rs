//! The desk at which reports arrive, on the loopback interface: real HTTP, and somebody who reads them.

use anyhow::Result;
use serde::Deserialize;

use crate::inbox::{Behaviour, Inbox};

/// A report, as the Worker posts it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// When it was made, in milliseconds since 1970.
    pub at: u64,
    /// Who made it.
    pub reporter: String,
    /// Of whom.
    pub reported: String,
    /// What for: `spam`, `abuse` or `other`.
    pub reason: String,
    /// What there is to say about it.
    pub comment: String,
    /// What they wrote, as the reporter says.
    pub messages: Vec<ReportedMessage>,
}

/// A message in a report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReportedMessage {
    /// Its id.
    pub id: String,
    /// When it came.
    pub at: u64,
    /// What it says.
    pub text: String,
}

/// The desk. It ends when it is dropped.
#[derive(Debug)]
pub struct ReportDesk(Inbox<Report>);

impl ReportDesk {
    /// Listens on a free port for requests that carry `secret`, and calls `on_report` with each report
    /// that it takes.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(secret: &str, on_report: impl Fn(&Report) + Send + 'static) -> Result<Self> {
        Inbox::start(secret, on_report).map(Self)
    }

    /// Where the Worker is to post, its `REPORT_URL`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// What the Worker is to show, its `REPORT_SECRET`.
    pub fn secret(&self) -> &str {
        self.0.secret()
    }

    /// Changes how it answers from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.0.behave(behaviour);
    }

    /// Every report that it took, oldest first.
    pub fn reports(&self) -> Vec<Report> {
        self.0.messages()
    }
}
