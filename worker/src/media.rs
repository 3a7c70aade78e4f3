//! Files: uploaded by tus 1.0, kept in R2, fetched with ranges.
//!
//! Invariant: no byte of a file passes through the module. Bodies are streams that `worker/js/media.js`
//! hands on; the module says where each stretch goes, and what counts is decided in `estafette_relay`.
//!
//! The picture of a profile is no such file: it has one name for each account, and stays
//! (`docs/decisions/0014-profiles-keep-one-picture.md`).
//!
//! A file that comes whole with the request that begins it is one operation of R2, and no upload object
//! knows of it. See `docs/decisions/0008-one-call-for-a-small-file.md`.

mod download;
mod headers;
mod name;
mod object;
mod patch;
mod picture;
mod place;
mod store;
mod sweep;
mod tus;

pub use object::UploadObject;
pub(crate) use place::Places;
pub use store::Store;
pub use sweep::sweep;
pub(crate) use tus::target;

const FILES: &str = "media/";
const FRAGMENTS: &str = "tail/";
