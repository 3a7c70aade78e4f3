//! Why a command failed: a sentence for people, an exit code for scripts.

use std::io;

use estafette::{Error, ErrorCode, ProfileError, StoreError};

/// How a command ended, for scripts. `--help` lists them; numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    NotRegistered,
    Unreachable,
    Timeout,
    Refused,
    Interrupted,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRegistered => 3,
            Self::Unreachable => 4,
            Self::Timeout => 5,
            Self::Refused => 6,
            Self::Interrupted => 7,
        }
    }
}

/// What is said where the server lets nobody of the account in.
pub(crate) const SUSPENDED: &str = "this account is suspended: turn to whoever runs the server; \
                                    `estafette account export` and `delete` still work";

/// What is said of a failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// The server's code, where it refused.
    pub(crate) code: Option<ErrorCode>,
    /// A sentence that says what to do next.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, code: None, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The server signed this device out.
    pub(crate) fn signed_out(code: ErrorCode) -> Self {
        let message = match code {
            ErrorCode::DeviceRemoved => {
                "this device was removed from the account: `estafette link` or, where the number \
                 has no other device, `estafette register` makes it a new one"
            }
            ErrorCode::TokenExpired => {
                "this device was away for too long: `estafette link` or, where the number has no \
                 other device, `estafette register` lets it in again"
            }
            _ => {
                "the server does not know this device: `estafette link` or, where the number has \
                 no other device, `estafette register` makes it a new one"
            }
        };
        Self { exit: Exit::NotRegistered, code: Some(code), message: message.into() }
    }

    /// The account is suspended.
    pub(crate) fn suspended() -> Self {
        Self { exit: Exit::Refused, code: Some(ErrorCode::Suspended), message: SUSPENDED.into() }
    }

    /// A file did not get all the way.
    pub(crate) fn of_transfer(error: Error) -> Self {
        let interrupted = matches!(error, Error::Unreachable { .. } | Error::Unexpected { .. });
        let failure = Self::from(error);
        if !interrupted {
            return failure;
        }
        let message = format!("{}; the same command goes on from there", failure.message);
        Self { message, ..failure }
    }

    /// A message was given up.
    pub(crate) fn given_up(code: ErrorCode) -> Self {
        Self { exit: Exit::Refused, code: Some(code), message: why_not_sent(code).into() }
    }
}

/// Why a message was not taken, and what to do about it.
pub(crate) fn why_not_sent(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unregistered => "nobody is registered at that number: check it, or invite them",
        ErrorCode::InvalidNumber => "the server knows no such number: check it",
        ErrorCode::MailboxFull => "their mailbox is full: they must connect before more is taken",
        ErrorCode::TooLarge => "the message is too long: send it in parts",
        ErrorCode::BudgetExhausted => {
            "the account's work of the day is used up: at midnight UTC \
                                       it goes on"
        }
        ErrorCode::RateLimited => "too much at once: it goes on by itself",
        ErrorCode::Unavailable => "the server could not take it for 30 days: send it again",
        _ => "the server did not take the message: send it again",
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Address { .. }
            | Error::Url(_)
            | Error::NoFile(_)
            | Error::NoPicture(_)
            | Error::Exists(_) => Exit::Usage,
            Error::Profile(ProfileError::Empty(_)) => {
                let message = "no number is registered here: begin with \
                               `estafette register NUMBER` or, where the number has a device \
                               already, `estafette link`, or choose another --profile";
                return Self::new(Exit::NotRegistered, message);
            }
            Error::Unreachable { .. } | Error::Unexpected { .. } => Exit::Unreachable,
            Error::Gone => Exit::Refused,
            Error::NotApproved => Exit::Timeout,
            Error::NotHandedOver => Exit::Failed,
            Error::NotReached => Exit::Unreachable,
            Error::Refused(problem) => match problem.error {
                code @ (ErrorCode::TokenExpired
                | ErrorCode::TokenInvalid
                | ErrorCode::DeviceRemoved) => return Self::signed_out(code),
                ErrorCode::Suspended => return Self::suspended(),
                _ => Exit::Refused,
            },
            _ => Exit::Failed,
        };
        Self { exit, code: error.code(), message: error.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failed, format!("the system refused: {error}"))
    }
}
