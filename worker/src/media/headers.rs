//! The headers of tus 1.0 and of ranges, read strictly.

use base16ct::lower;
use base64ct::{Base64, Encoding};
use estafette_protocol::{ErrorCode, limits};

/// The version that is spoken here.
pub(crate) const VERSION: &str = "1.0.0";
/// What of the specification is there beyond its core.
pub(crate) const EXTENSIONS: &str = "creation,creation-with-upload,expiration,checksum,termination";
/// Checksums that can be asked for.
pub(crate) const ALGORITHMS: &str = "sha1,sha256";
/// The type of a file's bytes on their way in.
pub(crate) const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// A whole number: digits and nothing else, in the range of JavaScript's.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number <= 1 << 53)
}

/// What `Upload-Checksum` announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) digest: Vec<u8>,
}

/// How it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
}

impl Algorithm {
    /// As `crypto.DigestStream` calls it.
    pub(crate) fn of_streams(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
        }
    }

    /// As R2's `put` calls it.
    pub(crate) fn of_store(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

impl Checksum {
    /// Reads the header.
    pub(crate) fn read(text: &str) -> Result<Self, ErrorCode> {
        let (name, digest) = text.split_once(' ').ok_or(ErrorCode::Malformed)?;
        let (algorithm, bytes) = match name {
            "sha1" => (Algorithm::Sha1, 20),
            "sha256" => (Algorithm::Sha256, 32),
            _ => return Err(ErrorCode::Malformed),
        };
        let digest = Base64::decode_vec(digest).ok().filter(|digest| digest.len() == bytes);
        Ok(Self { algorithm, digest: digest.ok_or(ErrorCode::Malformed)? })
    }

    /// As R2's `put` takes it.
    pub(crate) fn hex(&self) -> String {
        lower::encode_string(&self.digest)
    }
}

/// Whether an `Upload-Metadata` is one: pairs of a key and a value in base64, with commas between.
pub(crate) fn check_metadata(text: &str) -> Result<(), ErrorCode> {
    if text.len() > limits::UPLOAD_METADATA_BYTES_MAX {
        return Err(ErrorCode::TooLarge);
    }
    let mut keys = Vec::new();
    for pair in text.split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let good = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || !good || keys.contains(&key) || Base64::decode_vec(value).is_err() {
            return Err(ErrorCode::Malformed);
        }
        keys.push(key);
    }
    Ok(())
}

/// Whether `If-None-Match` names an entity tag (RFC 9110, section 13.1.2).
pub(crate) fn is_known(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// One range of bytes (RFC 9110, section 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// From here on, to there, inclusive, or to the end.
    From(u64, Option<u64>),
    /// The last so many.
    Last(u64),
}

/// Reads `Range`. `None` for several ranges and for what is none: all of the file is the answer then.
pub(crate) fn range(text: &str) -> Option<Range> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (first, last) {
        ("", last) => Some(Range::Last(whole(last)?)),
        (first, "") => Some(Range::From(whole(first)?, None)),
        (first, last) => {
            let (first, last) = (whole(first)?, whole(last)?);
            (first <= last).then_some(Range::From(first, Some(last)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        assert_eq!(whole("0"), Some(0));
        assert_eq!(whole("9007199254740992"), Some(1 << 53));
        for wrong in ["", "-1", "+1", " 1", "1.0", "1e3", "0x10", "9007199254740993", "١"] {
            assert_eq!(whole(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_checksum_has_the_length_of_its_algorithm() {
        let good = Checksum::read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        assert_eq!(good.hex(), "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed");
        let sha256 = format!("sha256 {}", Base64::encode_string(&[7; 32]));
        assert_eq!(Checksum::read(&sha256).unwrap().algorithm, Algorithm::Sha256);
        for wrong in [
            "",
            "sha1",
            "sha1 ",
            "sha1 AAAA",
            "sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "md5 1B2M2Y8AsgTpgAmY7PhCfg==",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert_eq!(Checksum::read(wrong), Err(ErrorCode::Malformed), "{wrong}");
        }
    }

    #[test]
    fn metadata_are_pairs() {
        for good in ["filename d29ybGQ=,is_confidential", "a ,b", "a YQ==, b YQ=="] {
            assert_eq!(check_metadata(good), Ok(()), "{good}");
        }
        for wrong in ["", ",", "a YQ", "a YQ==,a YQ==", "é YQ==", "a YQ==,", "a b c"] {
            assert_eq!(check_metadata(wrong), Err(ErrorCode::Malformed), "{wrong}");
        }
        let long = "a".repeat(limits::UPLOAD_METADATA_BYTES_MAX + 1);
        assert_eq!(check_metadata(&long), Err(ErrorCode::TooLarge));
    }

    #[test]
    fn a_tag_is_known_by_itself_in_a_list_or_by_a_star() {
        for list in ["\"7\"", "\"6\", \"7\"", "W/\"7\"", "*"] {
            assert!(is_known(list, "\"7\""), "{list}");
        }
        for list in ["", "7", "\"77\"", "\"6\""] {
            assert!(!is_known(list, "\"7\""), "{list}");
        }
    }

    #[test]
    fn a_range_is_single() {
        assert_eq!(range("bytes=0-0"), Some(Range::From(0, Some(0))));
        assert_eq!(range("bytes=5-"), Some(Range::From(5, None)));
        assert_eq!(range("bytes=-5"), Some(Range::Last(5)));
        for wrong in
            ["", "bytes=", "bytes=-", "bytes=2-1", "bytes=0-1,3-4", "lines=1-2", "bytes=a-"]
        {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
