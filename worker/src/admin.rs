//! What an admin's request is made of: the secret, and the entries of the audit log.
//!
//! Invariant: nothing is done with the admin's secret before an entry that says so is in R2. The log is
//! the bucket's: one small object an entry, named by its time, so that the order of the names is that of
//! the entries.

use estafette_protocol::http::{AuditAction, AuditEntry};
use estafette_protocol::{Millis, PhoneNumber};
use hmac::Mac;

use crate::code::mac;

/// What the names of the entries begin with in the bucket.
pub(crate) const AUDIT: &str = "audit/";
/// Under which name the bucket has the message of the day.
pub(crate) const MOTD: &str = "motd";

/// Digits of a time: enough until the year 33658.
const TIME_DIGITS: usize = 15;
const RANDOM_DIGITS: usize = 16;

/// Whether this is the admin's secret.
pub(crate) fn is_secret(secret: &[u8], shown: &str) -> bool {
    let expected = mac(secret, &[b"admin", secret]).finalize().into_bytes();
    // Compares in constant time.
    mac(secret, &[b"admin", shown.as_bytes()]).verify_slice(&expected).is_ok()
}

/// A new entry.
pub(crate) fn entry(
    now: Millis,
    random: u64,
    action: AuditAction,
    number: Option<PhoneNumber>,
    reason: Option<String>,
    address: String,
) -> AuditEntry {
    let id = format!("{now:0TIME_DIGITS$}-{random:0RANDOM_DIGITS$x}");
    AuditEntry { id, at: now, action, number, reason, address }
}

/// Whether this is the id of an entry, as a page's `next` is.
pub(crate) fn is_entry(id: &str) -> bool {
    let digits = |text: &str, count, radix| {
        text.len() == count
            && text.chars().all(|digit| digit.is_digit(radix) && !digit.is_uppercase())
    };
    id.split_once('-').is_some_and(|(time, random)| {
        digits(time, TIME_DIGITS, 10) && digits(random, RANDOM_DIGITS, 16)
    })
}

/// A page of the log: entries as they are stored, and after which to go on, if there are more.
pub(crate) fn page(entries: &[String], next: Option<&str>) -> String {
    let next = next.map(|id| format!(",\"next\":\"{id}\"")).unwrap_or_default();
    format!("{{\"entries\":[{}]{next}}}", entries.join(","))
}

#[cfg(test)]
mod tests {
    use estafette_protocol::http::{Audit, AuditAction};

    use super::{entry, is_entry, is_secret, page};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn only_the_secret_is_the_secret() {
        assert!(is_secret(SECRET, "0123456789abcdef0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcdef",
            "0123456789abcdef0123456789abcdef ",
            "0123456789abcdef0123456789abcdeg",
        ] {
            assert!(!is_secret(SECRET, wrong), "{wrong}");
        }
    }

    /// Entries are kept for as long as the operator wants: what is in the bucket must be read, and come in
    /// order, by every later version.
    #[test]
    fn entries_and_their_names_are_pinned() {
        let number = "+33612345678".parse().ok();
        let reason = Some("spam: \"é\"".to_owned());
        let address = "192.0.2.1".to_owned();
        let now = 1_760_000_000_123;
        let suspend = entry(now, 255, AuditAction::Suspend, number, reason, address.clone());
        let stored = serde_json::to_string(&suspend).unwrap();
        let pinned = r#"{"id":"001760000000123-00000000000000ff","at":1760000000123,"action":"suspend","number":"+33612345678","reason":"spam: \"é\"","address":"192.0.2.1"}"#;
        assert_eq!(stored, pinned);
        let later = entry(now + 1, 0, AuditAction::SetMotd, None, None, address);
        assert!(later.id > suspend.id, "names are in the order of time");
        let pinned_later = r#"{"id":"001760000000124-0000000000000000","at":1760000000124,"action":"set_motd","address":"192.0.2.1"}"#;
        assert_eq!(serde_json::to_string(&later).unwrap(), pinned_later);

        let read: Audit =
            serde_json::from_str(&page(&[stored, pinned_later.to_owned()], Some(&later.id)))
                .unwrap();
        assert_eq!(read.next.as_ref(), Some(&later.id));
        assert_eq!(read.entries, [suspend, later]);
        assert_eq!(page(&[], None), r#"{"entries":[]}"#);
        for action in ["inspect", "suspend", "restore", "set_motd", "delete_motd"] {
            assert!(serde_json::from_str::<AuditAction>(&format!("\"{action}\"")).is_ok());
        }
    }

    #[test]
    fn what_is_no_id_is_no_place_in_the_log() {
        assert!(is_entry("001760000000123-00000000000000ff"));
        for wrong in [
            "",
            "-",
            "001760000000123",
            "001760000000123-00000000000000FF",
            "001760000000123-00000000000000f",
            "0017600000001230-0000000000000ff",
            "001760000000123-00000000000000ff/",
            "00176000000012x-00000000000000ff",
            "../media",
        ] {
            assert!(!is_entry(wrong), "{wrong}");
        }
    }
}
