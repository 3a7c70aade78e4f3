//! Files: uploaded by tus 1.0, kept in R2, fetched with ranges.
//!
//! Invariant: no byte of a file passes through the module. Bodies are streams that `worker/js/media.js`
//! hands on; the module says where each stretch goes, and what counts is decided in `estafette_relay`.
//!
//! A file that comes whole with the request that begins it is one operation of R2, and no upload object
//! knows of it. See `docs/decisions/0008-one-call-for-a-small-file.md`.

mod download;
mod headers;
mod name;
mod object;
mod patch;
mod store;
mod sweep;
mod tus;

use estafette_protocol::MediaId;

pub use object::UploadObject;
pub use store::Store;
pub use sweep::sweep;
pub(crate) use tus::target;

/// Under which name R2 has a file.
fn file_key(media: MediaId) -> String {
    format!("{FILES}{media}")
}

/// Under which name R2 has a fragment of a file that is not whole yet.
fn fragment_key(media: MediaId, name: u64) -> String {
    format!("{FRAGMENTS}{media}/{name:016x}")
}

const FILES: &str = "media/";
const FRAGMENTS: &str = "tail/";

#[cfg(test)]
mod tests {
    use estafette_protocol::MediaId;

    use super::{file_key, fragment_key};

    /// Files live for 30 days, and lifecycle rules name these prefixes.
    #[test]
    fn names_in_r2_are_pinned() {
        let media = MediaId(0xab);
        assert_eq!(file_key(media), "media/000000000000000000000000000000ab");
        let key = "tail/000000000000000000000000000000ab/000000000000000c";
        assert_eq!(fragment_key(media, 12), key);
    }
}
