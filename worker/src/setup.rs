//! The variables and secrets of a deployment, read once and checked.

use core::fmt;
use core::str::FromStr;

use estafette_protocol::{Millis, limits};
use estafette_relay::Config;

use crate::gateway::Gateway;
use crate::media::Places;
use crate::push::PushSetup;
use crate::push::hosts::Hosts;
use crate::push::vapid::{Vapid, is_contact};
use crate::token::Keys;

/// The shortest secret, in bytes: as many as HMAC-SHA256 puts out (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// The largest whole number that the object's database keeps.
const NUMBER_MAX: u64 = 1 << 53;
const HOLD_MAX: Millis = 60_000;
const PUSH_RETRY_MAX: Millis = 60 * 60 * 1000;
/// Rates are kept in microseconds: a higher one would be none.
const RATE_MAX: u32 = 1_000_000;

/// What a deployment has set.
pub(crate) struct Setup {
    /// The limits of mailboxes.
    pub(crate) limits: Config,
    /// How long a file is kept.
    pub(crate) media_life: Millis,
    /// How long an unfinished upload is kept.
    pub(crate) upload_life: Millis,
    /// What tokens are signed with.
    pub(crate) tokens: Keys,
    /// What one-time codes are hashed with.
    pub(crate) code_key: Vec<u8>,
    /// Where files are.
    pub(crate) places: Places,
    /// Where one-time codes go; without it nobody can register.
    pub(crate) gateway: Option<Gateway>,
    /// What pushes are sent with; without it none are.
    pub(crate) push: Option<PushSetup>,
    /// Where reports go; without it none are taken.
    pub(crate) reports: Option<Gateway>,
    /// What an admin shows; without it there is no admin.
    pub(crate) admin: Option<Vec<u8>>,
}

/// A variable or secret is wrong. Nothing works until it is set right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetupError {
    /// Which one.
    pub(crate) variable: &'static str,
    /// How.
    pub(crate) fault: SetupFault,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetupFault {
    /// It is not set.
    Missing,
    /// A secret of fewer than 32 characters.
    TooShort,
    /// Not a whole number, or one that is out of range.
    NoSuchNumber,
    /// Not the private key of a pair for pushes.
    NoKey,
    /// Neither a `mailto:` nor an `https:` address.
    NoContact,
    /// Not a list of hosts.
    NoHosts,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            SetupFault::Missing => "is not set",
            SetupFault::TooShort => "is shorter than 32 characters",
            SetupFault::NoSuchNumber => "is not a whole number, or out of range",
            SetupFault::NoKey => "is not a private key as `cargo xtask vapid` makes them",
            SetupFault::NoContact => "is neither a mailto: nor an https: address",
            SetupFault::NoHosts => "is not a list of hosts such as push.example.org *.example.net",
        };
        write!(f, "{} {fault}", self.variable)
    }
}

impl Setup {
    /// Reads all; `variable` gives the text of one, `None` where it is not set.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SetupError> {
        let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
        let secret = |name: &'static str| match variable(name) {
            None => Ok(None),
            Some(text) if text.len() < SECRET_BYTES_MIN => {
                Err(SetupError { variable: name, fault: SetupFault::TooShort })
            }
            Some(text) => Ok(Some(text.into_bytes())),
        };
        let needed = |name: &'static str| {
            secret(name)?.ok_or(SetupError { variable: name, fault: SetupFault::Missing })
        };
        let gateway = |url, secret| {
            let missing = SetupError { variable: secret, fault: SetupFault::Missing };
            let gateway = variable(url)
                .map(|url| variable(secret).map(|secret| Gateway { url, secret }).ok_or(missing));
            gateway.transpose()
        };
        let life = |name, default| number(&variable, name, default, 1..=NUMBER_MAX / 256);
        let code_key = needed("CODE_KEY")?;
        Ok(Self {
            limits: mailbox_limits(&variable)?,
            media_life: life("MEDIA_LIFE_MS", limits::MEDIA_LIFE)?,
            upload_life: life("UPLOAD_LIFE_MS", limits::UPLOAD_LIFE)?,
            tokens: Keys { current: needed("TOKEN_KEY")?, previous: secret("TOKEN_KEY_PREVIOUS")? },
            places: Places::new(&code_key),
            code_key,
            gateway: gateway("SMS_URL", "SMS_SECRET")?,
            push: push(&variable)?,
            reports: gateway("REPORT_URL", "REPORT_SECRET")?,
            admin: secret("ADMIN_SECRET")?,
        })
    }
}

fn push(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<PushSetup>, SetupError> {
    let Some(key) = variable("VAPID_KEY") else { return Ok(None) };
    let wrong = |variable, fault| SetupError { variable, fault };
    let subject = variable("VAPID_SUBJECT").ok_or(wrong("VAPID_SUBJECT", SetupFault::Missing))?;
    if !is_contact(&subject) {
        return Err(wrong("VAPID_SUBJECT", SetupFault::NoContact));
    }
    let vapid = Vapid::read(&key, subject).ok_or(wrong("VAPID_KEY", SetupFault::NoKey))?;
    let hosts = Hosts::read(&variable("PUSH_HOSTS").unwrap_or_default());
    let hosts = hosts.ok_or(wrong("PUSH_HOSTS", SetupFault::NoHosts))?;
    Ok(Some(PushSetup { vapid, hosts }))
}

fn mailbox_limits(variable: &impl Fn(&str) -> Option<String>) -> Result<Config, SetupError> {
    let normal = Config::default();
    let whole = |name, default, range| number(variable, name, default, range);
    let rate = |name, default| number(variable, name, default, 1..=RATE_MAX);
    Ok(Config {
        send_burst: rate("SEND_BURST", normal.send_burst)?,
        sends_per_second: rate("SENDS_PER_SECOND", normal.sends_per_second)?,
        batch_burst: rate("BATCH_BURST", normal.batch_burst)?,
        batches_per_second: rate("BATCHES_PER_SECOND", normal.batches_per_second)?,
        queue_messages_max: whole("QUEUE_MESSAGES_MAX", normal.queue_messages_max, 1..=NUMBER_MAX)?,
        queue_bytes_max: whole("QUEUE_BYTES_MAX", normal.queue_bytes_max, 1..=NUMBER_MAX)?,
        message_life: whole("MESSAGE_LIFE_MS", normal.message_life, 1..=NUMBER_MAX / 256)?,
        hold: whole("HOLD_MS", normal.hold, 0..=HOLD_MAX)?,
        push_retry: whole("PUSH_RETRY_MS", normal.push_retry, 1..=PUSH_RETRY_MAX)?,
        daily_budget: whole("DAILY_BUDGET_NANODOLLARS", normal.daily_budget, 1..=NUMBER_MAX)?,
        lookups_first: whole("LOOKUPS_FIRST", normal.lookups_first, 0..=NUMBER_MAX)?,
        lookups_a_day: whole("LOOKUPS_A_DAY", normal.lookups_a_day, 0..=NUMBER_MAX)?,
        uploads_max: whole("UPLOADS_MAX", normal.uploads_max, 1..=1000)?,
        upload_bytes_a_day: whole("UPLOAD_BYTES_A_DAY", normal.upload_bytes_a_day, 1..=NUMBER_MAX)?,
        new_account: whole("NEW_ACCOUNT_MS", normal.new_account, 0..=NUMBER_MAX / 256)?,
    })
}

fn number<T: FromStr + PartialOrd>(
    variable: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: T,
    range: core::ops::RangeInclusive<T>,
) -> Result<T, SetupError> {
    let Some(text) = variable(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or(SetupError { variable: name, fault: SetupFault::NoSuchNumber })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(changes: &[(&str, &str)]) -> Result<Setup, SetupError> {
        Setup::read(|name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            let secret = ["TOKEN_KEY", "CODE_KEY"].contains(&name).then_some(SECRET);
            changed.map(|(_, value)| *value).or(secret).map(str::to_owned)
        })
    }

    fn fault(changes: &[(&str, &str)]) -> Option<(&'static str, SetupFault)> {
        read(changes).err().map(|error| (error.variable, error.fault))
    }

    #[test]
    fn two_secrets_are_enough() {
        let setup = read(&[("SMS_URL", "")]).ok().unwrap();
        assert_eq!(setup.limits, Config::default());
        assert!(setup.gateway.is_none());
        assert!(setup.tokens.previous.is_none());
        assert!(setup.push.is_none());
        assert!(setup.reports.is_none() && setup.admin.is_none());
    }

    #[test]
    fn reports_and_the_admin_are_there_when_they_are_set() {
        let reports = [("REPORT_URL", "http://x"), ("REPORT_SECRET", "y")];
        let setup = read(&reports).ok().unwrap().reports.unwrap();
        assert_eq!((setup.url.as_str(), setup.secret.as_str()), ("http://x", "y"));
        let setup = read(&[("ADMIN_SECRET", SECRET)]).ok().unwrap();
        assert_eq!(setup.admin.as_deref(), Some(SECRET.as_bytes()));
    }

    #[test]
    fn a_key_and_a_contact_are_enough_to_push() {
        let key = ("VAPID_KEY", "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let subject = ("VAPID_SUBJECT", "mailto:ops@example.org");
        assert!(read(&[key, subject]).is_ok_and(|setup| setup.push.is_some()));
        use SetupFault::{Missing, NoContact, NoHosts, NoKey};
        for (changes, variable, expected) in [
            (&[key][..], "VAPID_SUBJECT", Missing),
            (&[key, ("VAPID_SUBJECT", "ops@example.org")], "VAPID_SUBJECT", NoContact),
            (&[("VAPID_KEY", SECRET), subject], "VAPID_KEY", NoKey),
            (&[key, subject, ("PUSH_HOSTS", "*")], "PUSH_HOSTS", NoHosts),
        ] {
            assert_eq!(fault(changes), Some((variable, expected)));
        }
    }

    #[test]
    fn limits_can_be_set() {
        let zeros = [("SEND_BURST", "1000000"), ("HOLD_MS", "0"), ("NEW_ACCOUNT_MS", "0")];
        let limits = read(&zeros).ok().unwrap().limits;
        assert_eq!((limits.send_burst, limits.hold, limits.new_account), (1_000_000, 0, 0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        use SetupFault::{Missing, NoSuchNumber, TooShort};
        for (variable, value, expected) in [
            ("TOKEN_KEY", "", Missing),
            ("TOKEN_KEY", "short", TooShort),
            ("TOKEN_KEY_PREVIOUS", "short", TooShort),
            ("CODE_KEY", "", Missing),
            ("ADMIN_SECRET", "short", TooShort),
            ("NEW_ACCOUNT_MS", "a day", NoSuchNumber),
            ("SEND_BURST", "0", NoSuchNumber),
            ("SEND_BURST", "many", NoSuchNumber),
            ("SENDS_PER_SECOND", "-1", NoSuchNumber),
            ("QUEUE_BYTES_MAX", "1.5", NoSuchNumber),
            ("DAILY_BUDGET_NANODOLLARS", "99999999999999999999", NoSuchNumber),
            ("HOLD_MS", "60001", NoSuchNumber),
        ] {
            assert_eq!(fault(&[(variable, value)]), Some((variable, expected)), "{value}");
        }
        assert_eq!(fault(&[("SMS_URL", "http://x")]), Some(("SMS_SECRET", Missing)));
        assert_eq!(fault(&[("REPORT_URL", "http://x")]), Some(("REPORT_SECRET", Missing)));
    }
}
