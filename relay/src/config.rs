//! What a deployment may set. The defaults are the limits of the protocol.

use estafette_protocol::{Millis, limits};

/// The limits of a mailbox. Charges are in billionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Sends of a device at once.
    pub send_burst: u32,
    /// Sends of a device a second, after the burst.
    pub sends_per_second: u32,
    /// Batches of a device at once: far over what an honest client needs.
    pub batch_burst: u32,
    /// Batches of a device a second, after the burst.
    pub batches_per_second: u32,
    /// Messages in the queue.
    pub queue_messages_max: u64,
    /// Bytes in the queue.
    pub queue_bytes_max: u64,
    /// How long an undelivered message is kept.
    pub message_life: Millis,
    /// How long a message is held in memory before it is committed.
    pub hold: Millis,
    /// How long until a push that failed is tried again; each further wait is four times as long.
    pub push_retry: Millis,
    /// What the account may be charged on one day. A row costs 1,000, an object request 150, so the
    /// default of two cents is 20,000 rows or 133,000 requests.
    pub daily_budget: u64,
    /// Numbers that may be looked up at first.
    pub lookups_first: u64,
    /// Numbers that may be looked up on one day after those.
    pub lookups_a_day: u64,
    /// Unfinished uploads.
    pub uploads_max: u64,
    /// Bytes that may be uploaded on one day.
    pub upload_bytes_a_day: u64,
    /// How long an account is new; 0: never.
    pub new_account: Millis,
}

/// A new account has one part in so many of some limits, rounded up.
const NEW_PART: u32 = 4;

impl Config {
    /// The limits of an account that was registered so long ago. While it is new, what it may send, cost,
    /// upload and look up is less, since most who abuse a service do it from a number that they have just proven.
    pub(crate) fn for_age(self, age: Millis) -> Self {
        if age >= self.new_account {
            return self;
        }
        let part = u64::from(NEW_PART);
        Self {
            send_burst: self.send_burst.div_ceil(NEW_PART),
            sends_per_second: self.sends_per_second.div_ceil(NEW_PART),
            daily_budget: self.daily_budget.div_ceil(part),
            upload_bytes_a_day: self.upload_bytes_a_day.div_ceil(part),
            lookups_first: self.lookups_first.div_ceil(part),
            lookups_a_day: self.lookups_a_day.div_ceil(part),
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_burst: limits::SEND_BURST,
            sends_per_second: limits::SENDS_PER_SECOND,
            batch_burst: 600,
            batches_per_second: 100,
            queue_messages_max: limits::QUEUE_MESSAGES_MAX,
            queue_bytes_max: limits::QUEUE_BYTES_MAX,
            message_life: limits::MESSAGE_LIFE,
            hold: limits::HOLD,
            push_retry: 30_000,
            daily_budget: 20_000_000,
            lookups_first: limits::LOOKUPS_FIRST,
            lookups_a_day: limits::LOOKUPS_A_DAY,
            uploads_max: limits::UPLOADS_MAX,
            upload_bytes_a_day: limits::UPLOAD_BYTES_A_DAY,
            new_account: limits::NEW_ACCOUNT,
        }
    }
}
