//! Where R2 has a file. The name there begins with whose it is, so that the files of an account can be
//! deleted with it, and nothing has to be written down for that.
//!
//! The name is 64 bits of a keyed hash of the account's number and 64 random ones. The id that people are
//! told is that name enciphered: 128 bits in which nobody sees that two files are of one account, and of
//! which none can be guessed.

use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use estafette_protocol::{MediaId, PhoneNumber};
use hmac::Mac;

use super::{FILES, FRAGMENTS};
use crate::code::mac;

/// The names in the bucket, under the key of one deployment.
pub(crate) struct Places {
    cipher: Aes128,
    key: Vec<u8>,
}

impl Places {
    pub(crate) fn new(key: &[u8]) -> Self {
        let derived: [u8; 32] = mac(key, &[b"file ids"]).finalize().into_bytes().into();
        let (half, _) = derived.split_at(16);
        // It is as long as that.
        let cipher =
            Aes128::new_from_slice(half).unwrap_or_else(|_| Aes128::new(&Default::default()));
        Self { cipher, key: key.to_vec() }
    }

    /// The id of a new file of an account.
    pub(crate) fn media(&self, account: PhoneNumber, random: u64) -> MediaId {
        let mut block =
            (u128::from(self.owner(account)) << 64 | u128::from(random)).to_be_bytes().into();
        self.cipher.encrypt_block(&mut block);
        MediaId(u128::from_be_bytes(block.into()))
    }

    /// Under which name R2 has a file.
    pub(crate) fn file(&self, media: MediaId) -> String {
        format!("{FILES}{:032x}", self.name(media))
    }

    /// Under which name R2 has a fragment of a file that is not whole yet.
    pub(crate) fn fragment(&self, media: MediaId, name: u64) -> String {
        format!("{FRAGMENTS}{:032x}/{name:016x}", self.name(media))
    }

    pub(crate) fn fragments(&self, media: MediaId, names: &[u64]) -> Vec<String> {
        names.iter().map(|&name| self.fragment(media, name)).collect()
    }

    /// What the names of an account's files and fragments begin with.
    pub(crate) fn of(&self, account: PhoneNumber) -> [String; 2] {
        let owner = self.owner(account);
        [FILES, FRAGMENTS].map(|kind| format!("{kind}{owner:016x}"))
    }

    fn name(&self, media: MediaId) -> u128 {
        let mut block = media.0.to_be_bytes().into();
        self.cipher.decrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    }

    fn owner(&self, account: PhoneNumber) -> u64 {
        let number = account.to_string();
        let tag: [u8; 32] =
            mac(&self.key, &[b"owner of files ", number.as_bytes()]).finalize().into_bytes().into();
        tag.first_chunk().map_or(0, |tag| u64::from_be_bytes(*tag))
    }
}

#[cfg(test)]
mod tests {
    use estafette_protocol::{MediaId, PhoneNumber};

    use super::Places;

    fn alice() -> PhoneNumber {
        "+33612345678".parse().unwrap()
    }

    fn bob() -> PhoneNumber {
        "+33612345679".parse().unwrap()
    }

    /// Files live for 30 days, and lifecycle rules name these prefixes.
    #[test]
    fn names_in_r2_are_pinned() {
        let places = Places::new(b"key");
        let media = places.media(alice(), 0xab);
        assert_eq!(media.to_string(), "2e22969403b9bffc755ffe20419c4db5");
        assert_eq!(places.file(media), "media/23c6e0f941ce859e00000000000000ab");
        let fragment = "tail/23c6e0f941ce859e00000000000000ab/000000000000000c";
        assert_eq!(places.fragment(media, 12), fragment);
        assert_eq!(places.fragments(media, &[12]), [fragment]);
    }

    #[test]
    fn all_that_is_of_an_account_and_nothing_else_begins_alike() {
        let places = Places::new(b"key");
        let [files, fragments] = places.of(alice());
        for random in [0, 1, u64::MAX] {
            let (own, other) = (places.media(alice(), random), places.media(bob(), random));
            assert!(places.file(own).starts_with(&files));
            assert!(places.fragment(own, 1).starts_with(&fragments));
            assert!(!places.file(other).starts_with(&files));
            assert!(!places.fragment(other, 1).starts_with(&fragments));
        }
        assert!(!Places::new(b"kez").file(places.media(alice(), 1)).starts_with(&files));
    }

    #[test]
    fn ids_do_not_tell_whose_they_are() {
        let places = Places::new(b"key");
        let ids: Vec<u128> = (0..64).map(|random| places.media(alice(), random).0).collect();
        for (at, one) in ids.iter().enumerate() {
            for other in &ids[at + 1..] {
                let common = (one ^ other).count_zeros();
                assert!((32..96).contains(&common), "as many bits as between strangers");
            }
        }
        assert_ne!(places.media(alice(), 1), MediaId(1));
    }
}
