//! The closed set of error codes, shared by the socket and HTTP. `docs/errors.md` has a section for
//! each; a test compares the two.

use serde::{Deserialize, Deserializer, Serialize};

use crate::shape;

/// Whose fault an error is, and so who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong: the same request fails again.
    Caller,
    /// The request is fine but passes a limit: it can succeed later.
    Limit,
    /// The server failed: the same request can succeed at once.
    Server,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $fault:ident;)*) => {
        /// What went wrong. On the wire it is the snake-case text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The text on the wire, and the label in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }
        }

        impl<'de> Deserialize<'de> for ErrorCode {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                shape::name(deserializer, |text| match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                })
            }
        }
    };
}

codes! {
    /// The bytes are not what the contract says: truncated, of the wrong type, too deep.
    Malformed = "malformed", 400, Caller;
    /// A frame of a kind that this server does not know.
    UnknownFrame = "unknown_frame", 400, Caller;
    /// A body or batch is over its limit in bytes.
    TooLarge = "too_large", 413, Caller;
    /// A batch has more frames, or a frame more ids, than it may.
    TooMany = "too_many", 413, Caller;
    /// A phone number is not in E.164 form.
    InvalidNumber = "invalid_number", 400, Caller;
    /// No such path.
    NotFound = "not_found", 404, Caller;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, Caller;
    /// The upload's time is over, or it was ended: start anew.
    Gone = "gone", 410, Caller;
    /// The body's length must be announced.
    LengthRequired = "length_required", 411, Caller;
    /// Another version of tus than 1.0.0, or none.
    UnsupportedVersion = "unsupported_version", 412, Caller;
    /// The bytes of a file come as `application/offset+octet-stream`.
    UnsupportedMediaType = "unsupported_media_type", 415, Caller;
    /// The range lies outside of the file.
    UnsatisfiableRange = "unsatisfiable_range", 416, Caller;
    /// Not the offset at which the upload stands: ask where that is.
    WrongOffset = "wrong_offset", 409, Caller;
    /// The bytes that came are not those of the checksum. They were dropped.
    ChecksumMismatch = "checksum_mismatch", 460, Caller;
    /// The socket path was asked for without an upgrade, or without a known subprotocol.
    UpgradeRequired = "upgrade_required", 426, Caller;
    /// There is no token.
    TokenMissing = "token_missing", 401, Caller;
    /// The token was not signed by this server, or is no token.
    TokenInvalid = "token_invalid", 401, Caller;
    /// The token's time is over: register again.
    TokenExpired = "token_expired", 401, Caller;
    /// The token's device no longer belongs to the account.
    DeviceRemoved = "device_removed", 401, Caller;
    /// The account is suspended by whoever runs the server.
    Suspended = "suspended", 403, Caller;
    /// Not the code that was sent.
    WrongCode = "wrong_code", 403, Caller;
    /// There is no code to compare with: too old, used, tried too often, or never asked for.
    CodeExpired = "code_expired", 403, Caller;
    /// The account has a registration PIN, and none came with the code.
    PinRequired = "pin_required", 403, Caller;
    /// Not the account's PIN; or it came before `retry_after` was over, and was not looked at.
    WrongPin = "wrong_pin", 403, Caller;
    /// The code that links a device is no good any more, was used, or was never given out.
    LinkExpired = "link_expired", 403, Caller;
    /// Only the account's primary device may do that to another.
    NotPrimary = "not_primary", 403, Caller;
    /// Something waits for the device, which is to fetch it before its account moves.
    Waiting = "waiting", 409, Caller;
    /// The account says something of as many others as it may.
    TooManyPeople = "too_many_people", 409, Caller;
    /// The account has as many devices as it may.
    TooManyDevices = "too_many_devices", 409, Caller;
    /// Nobody is registered at that number.
    Unregistered = "unregistered", 404, Caller;
    /// An earlier message of the stream was not taken: send again from the first that is unsettled.
    OutOfOrder = "out_of_order", 409, Caller;
    /// The conversation has moved on to another epoch: fetch its log, and make it anew.
    StaleEpoch = "stale_epoch", 409, Caller;
    /// The list of devices has another entry in that place: fetch it.
    StaleList = "stale_list", 409, Caller;
    /// Nobody has made that conversation yet.
    NoConversation = "no_conversation", 404, Caller;
    /// There is no such group, or this account is not in it.
    NotMember = "not_member", 403, Caller;
    /// The group does not let this account do that.
    NotAllowed = "not_allowed", 403, Caller;
    /// The endpoint of a push subscription is at no service that this server sends to.
    UnknownPushService = "unknown_push_service", 403, Caller;
    /// Too often. `retry_after` says when to try again.
    RateLimited = "rate_limited", 429, Limit;
    /// The account's work of the day is used up, until midnight UTC.
    BudgetExhausted = "budget_exhausted", 429, Limit;
    /// The account has uploaded as many bytes today as it may.
    QuotaExhausted = "quota_exhausted", 429, Limit;
    /// The account has looked up as many numbers as it may for now.
    LookupLimit = "lookup_limit", 429, Limit;
    /// The account has as many unfinished uploads as it may.
    TooManyUploads = "too_many_uploads", 429, Limit;
    /// The conversation's log has no room.
    LogFull = "log_full", 429, Limit;
    /// The recipient's mailbox has no room.
    MailboxFull = "mailbox_full", 429, Limit;
    /// Another socket of the same device took over.
    Replaced = "replaced", 409, Caller;
    /// The SMS gateway did not take the code.
    SmsUnavailable = "sms_unavailable", 502, Server;
    /// This server sends no pushes.
    PushUnavailable = "push_unavailable", 501, Server;
    /// The server takes no reports, or nobody took this one.
    ReportsUnavailable = "reports_unavailable", 503, Server;
    /// A part of the server did not answer. Nothing is lost: try again.
    Unavailable = "unavailable", 503, Server;
    /// A fault of the server.
    Internal = "internal", 500, Server;
}
