//! The JSON bodies for whoever runs the server: reports, the message of the day, administration.

use serde::{Deserialize, Serialize};

use super::Usage;
use crate::{MessageId, Millis, PhoneNumber};

/// `POST /v1/reports`: tells whoever runs the server of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// Of whom. A text, so that a wrong one has an error of its own.
    pub number: String,
    /// What they do.
    pub reason: ReportReason,
    /// What there is to say about it, at most [`crate::limits::REPORT_COMMENT_BYTES_MAX`] bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Messages of theirs, as the reporter has them; at most
    /// [`crate::limits::REPORT_MESSAGES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<ReportedMessage>,
}

/// What somebody is reported for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportReason {
    /// They write to those who do not want it.
    Spam,
    /// They threaten, harass or deceive.
    Abuse,
    /// Something else, of which the comment tells.
    Other,
}

/// A message in a [`ReportRequest`]. The server cannot tell whether it was sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedMessage {
    /// Its id.
    pub id: MessageId,
    /// When it came.
    pub at: Millis,
    /// What it says.
    pub text: String,
}

/// Shows no text.
impl core::fmt::Debug for ReportedMessage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ReportedMessage").field("id", &self.id).finish_non_exhaustive()
    }
}

/// `GET /v1/motd`: the message of the day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Motd {
    /// What it says; empty where there is none.
    pub text: String,
    /// When it was set. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
}

/// `PUT /v1/admin/motd`: sets the message of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MotdRequest {
    /// What it says, 1 to [`crate::limits::NOTICE_BYTES_MAX`] bytes.
    pub text: String,
}

/// `PUT /v1/admin/accounts/{number}/suspension`: suspends an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Why, for the audit log alone: at most [`crate::limits::NOTICE_BYTES_MAX`] bytes.
    pub reason: String,
}

/// `GET /v1/admin/accounts/{number}`: how an account stands. No names, no contacts, no bodies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspection {
    /// When its number was first proven. Absent where it was deleted while it was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Millis>,
    /// When it was suspended. Absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Millis>,
    /// How many devices it has.
    pub devices: u64,
    /// How many messages, receipts and copies wait in its mailbox.
    pub waiting: u64,
    /// The bytes of those that are stored.
    pub waiting_bytes: u64,
    /// What today's work has cost, and the budget that is in force.
    pub usage: Usage,
    /// The limits that are in force.
    pub limits: AccountLimits,
    /// Until when they are those of a new account. Absent where it is not new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_until: Option<Millis>,
}

/// The limits of an account that depend on its age, in [`Inspection`]; the daily budget is in its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountLimits {
    /// Sends of a device at once.
    pub send_burst: u64,
    /// Sends of a device a second, after the burst.
    pub sends_per_second: u64,
    /// Bytes that may be uploaded in a day.
    pub upload_bytes_a_day: u64,
}

/// `GET /v1/admin/audit`: what was done with the admin's secret, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// At most [`crate::limits::AUDIT_PAGE_MAX`].
    pub entries: Vec<AuditEntry>,
    /// After which entry to go on. Absent where these are the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An entry of the audit log, as it is also stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id, in the order of time: 15 digits, a hyphen, 16 hexadecimal digits.
    pub id: String,
    /// When.
    pub at: Millis,
    /// What.
    pub action: AuditAction,
    /// With which account, if with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<PhoneNumber>,
    /// Why, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The address of who did it.
    pub address: String,
}

/// What an admin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Looks at an account.
    Inspect,
    /// Suspends one.
    Suspend,
    /// Restores one.
    Restore,
    /// Sets the message of the day.
    SetMotd,
    /// Takes it away.
    DeleteMotd,
}
