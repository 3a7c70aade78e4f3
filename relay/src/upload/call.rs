//! What the front Worker and an upload's object say to each other. It outlives a deploy: kinds and fields
//! are only ever added, and golden tests pin the bytes.

use estafette_protocol::{MediaId, Millis};
use serde::{Deserialize, Serialize};

use crate::media::MediaWork;
use crate::peer::cbor;

/// What the front Worker asks of an upload. It has checked whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadRequest {
    /// Begin to be.
    Create {
        /// Which file.
        media: MediaId,
        /// Its length in bytes.
        length: u64,
        /// When the upload ends if it is not finished.
        expires_at: Millis,
        /// R2's name of the multipart upload. Absent for a file of at most one part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        multipart: Option<String>,
        /// What the client wants to be told again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<String>,
    },
    /// How far are you?
    Look,
    /// So many bytes are about to come, from this offset on.
    Begin {
        /// Where the client thinks the upload stands.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// These pieces are in R2.
    Commit {
        /// Where the upload stood before them.
        offset: u64,
        /// In order.
        pieces: Vec<Piece>,
    },
    /// R2 has put the parts together.
    Completed,
    /// End.
    Terminate,
}

/// The answer to an [`UploadRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadAnswer {
    /// There is no such upload: it never was, is finished, or has ended.
    Unknown,
    /// How far it is. To [`UploadRequest::Begin`] and [`UploadRequest::Commit`] this is a refusal: it stands
    /// elsewhere, or has all that it needs.
    Standing(Standing),
    /// The pieces count.
    Committed(Standing),
    /// Bring them.
    Begun {
        /// How.
        begun: Begun,
        /// What the client wants to be told again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<String>,
    },
    /// The file would become longer than it is.
    TooLong,
    /// The pieces don't follow on what is there. A fault of the program.
    Impossible,
    /// It knows, and is no more.
    Completed,
    /// It is no more. R2 is to drop these.
    Ended {
        /// The multipart upload, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        multipart: Option<String>,
        /// Fragments that nobody needs any more.
        garbage: Vec<u64>,
    },
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Bytes that are safe.
    pub offset: u64,
    /// Bytes in all.
    pub length: u64,
    /// When it ends if it is not finished.
    pub expires_at: Millis,
    /// What the client wants to be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// All parts are there: R2 must put them together before anybody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// Fragments that nobody needs any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub garbage: Vec<u64>,
}

/// What R2 needs to put a file together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// R2's name of the multipart upload.
    pub multipart: String,
    /// All of them, in order.
    pub parts: Vec<Part>,
}

/// A part that R2 has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number: parts are in the order of their numbers, which have gaps.
    pub number: u16,
    /// R2's.
    pub etag: String,
}

/// A small object with the beginning of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Random: the end of the object's name.
    pub name: u64,
    /// How long it is.
    pub bytes: u64,
}

/// How to bring what a request has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// R2's name of the multipart upload, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipart: Option<String>,
    /// What there is of the part under way, in order. The first step may put it before its bytes.
    pub fragments: Vec<Fragment>,
    /// What to do with the bytes, in order.
    pub steps: Vec<Step>,
    /// What all of it takes.
    pub work: MediaWork,
}

/// What becomes of the next bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The fragments, if this is the first step, and these bytes are all of the file.
    Whole {
        /// How many to read.
        bytes: u64,
    },
    /// The fragments, if this is the first step, and these bytes are a part.
    Part {
        /// Its number.
        number: u16,
        /// How many to read.
        bytes: u64,
    },
    /// These bytes are a fragment.
    Fragment {
        /// How many to read.
        bytes: u64,
    },
    /// The fragments and these bytes are one fragment in their place: there are many of them.
    Merge {
        /// How many to read.
        bytes: u64,
    },
}

/// Something that is in R2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// All of the file.
    Whole,
    /// A part.
    Part(Part),
    /// A fragment behind the others.
    Fragment(Fragment),
    /// A fragment in place of all others. Its length is that of the new bytes alone.
    Merged(Fragment),
}

cbor!(pub UploadRequest, UploadAnswer);
