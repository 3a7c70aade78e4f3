//! What a shell may set. The defaults suit a phone.

use estafette_protocol::{Encoding, Millis, limits};

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// The times and limits of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How batches are written. The shell asks for the subprotocol of the same encoding.
    pub encoding: Encoding,
    /// Messages under way at once: about the burst that the server allows a device.
    pub window: usize,
    /// Messages under way to one peer at once, so that one who does not answer leaves room for
    /// others.
    pub peer_window: usize,
    /// Messages that are not settled, after which no more are taken.
    pub outbox_max: usize,
    /// How long to wait for an answer to a message; twice as long each time, up to `answer_max`.
    pub answer: Millis,
    /// The longest wait for an answer.
    pub answer_max: Millis,
    /// How long to wait after a refusal that is not for good; twice as long each time.
    pub refusal: Millis,
    /// The longest such wait.
    pub refusal_max: Millis,
    /// The longest wait for a mailbox that is full.
    pub full_max: Millis,
    /// The shortest wait before the second attempt to connect; twice as long each time.
    pub reconnect: Millis,
    /// The longest wait between two attempts to connect.
    pub reconnect_max: Millis,
    /// How long opening a socket, and the server's greeting, may take.
    pub connect: Millis,
    /// After how long a silence to ping.
    pub quiet: Millis,
    /// How long to wait for a sign of life after a ping.
    pub pong: Millis,
    /// How long the acknowledgement of receipts alone may wait for company. The server commits
    /// what is not acknowledged within [`estafette_protocol::limits::HOLD`].
    pub ack: Millis,
    /// How long messages are kept.
    pub keep: Millis,
    /// After how long a message that the server did not take is given up.
    pub give_up: Millis,
    /// How many single-use key packages the server is to have of this device; more are made when a fifth is
    /// left. At most [`estafette_protocol::limits::KEY_PACKAGES_MAX`].
    pub key_packages: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            encoding: Encoding::Cbor,
            window: 64,
            peer_window: 48,
            outbox_max: 20_000,
            answer: 5 * SECOND,
            answer_max: MINUTE,
            refusal: 100,
            refusal_max: 5 * SECOND,
            full_max: 5 * MINUTE,
            reconnect: 500,
            reconnect_max: MINUTE,
            connect: 20 * SECOND,
            quiet: 25 * SECOND,
            pong: 10 * SECOND,
            ack: 300,
            keep: 7 * DAY,
            give_up: 30 * DAY,
            key_packages: limits::KEY_PACKAGES_MAX,
        }
    }
}
