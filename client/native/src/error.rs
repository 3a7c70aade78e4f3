//! What can go wrong, split by who can mend it. Every text is a sentence that says what to do next.

use std::io;
use std::path::PathBuf;

use estafette_core::media::MediaError;
use estafette_core::{ClientError, StoreError};
use estafette_protocol::http::Problem;
use estafette_protocol::{ErrorCode, PhoneNumber};

use crate::UrlError;

/// Why an operation of the native client failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server understood the request and refused it.
    #[error("{}", refusal(.0))]
    Refused(Problem),
    /// The server's address is of no use.
    #[error(
        "{address} is no server address: write https://HOST or, on this machine, \
             http://127.0.0.1:PORT"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// No answer came.
    #[error("{server} does not answer ({reason}): check the connection and the address")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// The answer is none that an Estafette server gives.
    #[error("what answers at {server} is no Estafette server (HTTP {status}): check the address")]
    Unexpected {
        /// The server's address.
        server: String,
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The profile's files.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The store of messages.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A message was not taken.
    #[error(transparent)]
    NotTaken(ClientError),
    /// A file that is to be sent, or that was received.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is to be sent is a directory or a device.
    #[error("{} is no file: send the files in it one by one, or an archive of them", .0.display())]
    NoFile(PathBuf),
    /// A file is not what it was when it was first read.
    #[error("{} changed while it was being sent: send it again", .0.display())]
    Changed(PathBuf),
    /// A stream can only be sent from a profile, which has room to keep it.
    #[error("what is read from a stream is kept in a profile until it is sent, and there is none")]
    NoSpool,
    /// A file that came in is not to be kept under this name.
    #[error("{} is there already: choose another name", .0.display())]
    Exists(PathBuf),
    /// Another program is at the same file.
    #[error("{} is being fetched by another program: let that one end first", .0.display())]
    Fetching(PathBuf),
    /// The file that came in is not the one that was sent.
    #[error(
        "the file was altered on its way or on the server, and none of that was kept: ask for it \
         to be sent again"
    )]
    Altered,
    /// The server does not have the file.
    #[error("the server no longer has the file, which it keeps for 30 days: ask for it again")]
    Gone,
    /// What is to be the picture of a profile is none, or too large.
    #[error("{} is no picture of at most 1 MiB: give a smaller one, as JPEG, PNG or WebP", .0.display())]
    NoPicture(PathBuf),
    /// The picture that came is not the one that the profile tells of.
    #[error(
        "the picture is another than the profile told of: it may just have changed, so ask again"
    )]
    OtherPicture,
    /// An address of a QR code is no good.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// No device of an account approved this one.
    #[error("nobody approved this device in time: begin again")]
    NotApproved,
    /// The device that approved this one gave no secret of the account, or not for this device.
    #[error(
        "the device that approved this one did not hand over the account's secret: update its program, and begin again"
    )]
    NotHandedOver,
    /// Others cannot write to this device yet.
    #[error(
        "the server was not reached in time: others can write to this device once it was connected"
    )]
    NotReached,
    /// The file is too large, or has another length than was said.
    #[error(transparent)]
    Media(MediaError),
    /// The client has ended: it was closed, or its last event said why.
    #[error("the client has ended: connect again")]
    Ended,
}

impl Error {
    /// The code, where the server refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(problem) => Some(problem.error),
            Self::NotApproved => Some(ErrorCode::LinkExpired),
            _ => None,
        }
    }
}

/// What is wrong with the files of a profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Nobody has registered here.
    #[error("no number is registered in {}: register one first", .0.display())]
    Empty(PathBuf),
    /// Another process has it.
    #[error("the profile in {} is in use{}: end that one first, or use another profile",
            directory.display(), by(*.process))]
    InUse {
        /// The profile's directory.
        directory: PathBuf,
        /// The process that has it, where that is known.
        process: Option<u32>,
    },
    /// Others can read a secret.
    #[error("other users can read {path}: if one may have, delete it and register again; \
             if not, run `chmod 600 {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// A file is not what was written.
    #[error("{} is damaged: {what_to_do}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        what_to_do: &'static str,
    },
    /// The profile belongs to another number.
    #[error("this profile belongs to {0}: use another profile for another number")]
    OtherNumber(PhoneNumber),
    /// The profile is a device that its account knows.
    #[error("this profile is a device of {0} already: use another profile")]
    Linked(PhoneNumber),
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no randomness to give.
    #[error("the system gives no random numbers, so no key can be made")]
    NoRandomness,
}

fn by(process: Option<u32>) -> String {
    process.map(|id| format!(" by process {id}")).unwrap_or_default()
}

fn refusal(problem: &Problem) -> String {
    let mut text = if problem.message.is_empty() {
        format!("the server refused: {}", problem.error.as_str())
    } else {
        problem.message.trim_end_matches('.').to_owned()
    };
    if let Some(wait) = problem.retry_after {
        let seconds = wait.div_ceil(1000);
        text += &match seconds {
            0..=119 => format!(" (in {seconds} s)"),
            120..=7199 => format!(" (in {} min)", seconds.div_ceil(60)),
            _ => format!(" (in {} h)", seconds.div_ceil(3600)),
        };
    }
    text
}
