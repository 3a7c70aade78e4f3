//! What is inside a sealed message: the content, beside it how far its sender's list of devices goes, and
//! padding.
//!
//! A byte says the version, 1. Then, big-endian: the place of the last entry of the list (8 bytes), the first 16
//! bytes of its SHA-256, the length of the content (4 bytes), the content, and zeros up to a size that many
//! messages have.

use super::Head;

/// The longest content of a message, in bytes.
pub const CONTENT_BYTES_MAX: usize = 63 * 1024;
/// The longest that is sealed: what MLS adds fits a body beside it.
const PLAINTEXT_BYTES_MAX: usize = 64 * 1024 - 512;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 16 + 4;

/// The size that something of this length is padded to: of up to 256 bytes a multiple of 64, and so on with a
/// quarter of the next power of four. Padding adds at most a third, from 256 bytes.
fn bucket(length: usize) -> usize {
    let step = match length {
        ..=256 => 64,
        257..=1024 => 256,
        1025..=4096 => 1024,
        _ => 4096,
    };
    length.next_multiple_of(step).min(PLAINTEXT_BYTES_MAX)
}

/// What is sealed of a content of at most [`CONTENT_BYTES_MAX`].
pub fn seal(head: Head, content: &[u8]) -> Vec<u8> {
    let mut plaintext = Vec::with_capacity(bucket(HEAD_BYTES + content.len()));
    plaintext.push(VERSION);
    plaintext.extend(head.place.to_be_bytes());
    plaintext.extend(head.hash);
    plaintext.extend((content.len() as u32).to_be_bytes());
    plaintext.extend(content);
    plaintext.resize(bucket(plaintext.len()), 0);
    plaintext
}

/// The reverse of [`seal`]; `None`: it was not made by that.
pub fn unseal(plaintext: &[u8]) -> Option<(Head, Vec<u8>)> {
    let rest = plaintext.strip_prefix(&[VERSION])?;
    let (place, rest) = rest.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (content, padding) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let head = Head { place: u64::from_be_bytes(*place), hash: *hash };
    padding.iter().all(|byte| *byte == 0).then(|| (head, content.to_vec()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_pinned() {
        let head = Head { place: 2, hash: [7; 16] };
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 2];
        expected.extend([7; 16]);
        expected.extend([0, 0, 0, 2]);
        expected.extend(b"hi");
        expected.resize(64, 0);
        assert_eq!(seal(head, b"hi"), expected);
        assert_eq!(unseal(&expected).unwrap(), (head, b"hi".to_vec()));
    }

    #[test]
    fn few_sizes_are_seen() {
        let sizes: std::collections::BTreeSet<_> =
            (0..=CONTENT_BYTES_MAX).map(|length| bucket(HEAD_BYTES + length)).collect();
        assert_eq!(sizes.len(), 25);
        for length in [0, 35, 36, 227, 228, 995, 996, 4067, 4068, CONTENT_BYTES_MAX] {
            let sealed = seal(Head::default(), &vec![9; length]);
            assert!(sealed.len() <= PLAINTEXT_BYTES_MAX);
            assert_eq!(unseal(&sealed).unwrap().1.len(), length);
        }
    }

    #[test]
    fn what_is_not_so_sealed_is_refused() {
        let sealed = seal(Head::default(), b"hi");
        for length in 0..30 {
            assert_eq!(unseal(&sealed[..length]), None);
        }
        let mut padded = sealed.clone();
        *padded.last_mut().unwrap() = 1;
        assert_eq!(unseal(&padded), None);
        let mut other = sealed;
        other[0] = 2;
        assert_eq!(unseal(&other), None);
    }
}
