//! The registration PIN. It never leaves the device: the server is told what Argon2id (RFC 9106) makes of
//! it, and keeps a keyed hash of that.
//!
//! The salt is made of the number, so that a device that has nothing yet makes the same of the same PIN.

use core::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use estafette_protocol::{PhoneNumber, limits};
use sha2::{Digest, Sha256};

/// What the salt is made of, beside the number.
const LABEL: &str = "estafette registration pin";
/// In KiB: 64 MiB.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// What the server is told of a PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct PinKey([u8; 32]);

/// Why nothing is made of a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It has other characters than digits, or too few or too many of them.
    #[error("a PIN is {} to {} digits", limits::PIN_DIGITS.start(), limits::PIN_DIGITS.end())]
    Form,
    /// There is no room for the work.
    #[error("there is no memory to work on the PIN: 64 MiB are needed")]
    Memory,
}

impl PinKey {
    /// What becomes of a PIN for a number. It takes long on purpose: some tenths of a second, and 64 MiB.
    ///
    /// # Errors
    /// When it is no PIN, or there is no room.
    pub fn derive(number: PhoneNumber, pin: &str) -> Result<Self, PinError> {
        let digits = pin.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || !limits::PIN_DIGITS.contains(&pin.len()) {
            return Err(PinError::Form);
        }
        let salt = Sha256::new().chain_update(LABEL).chain_update(number.to_string()).finalize();
        let mut key = [0; 32];
        let params =
            Params::new(MEMORY, PASSES, LANES, Some(key.len())).or(Err(PinError::Memory))?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(pin.as_bytes(), &salt, &mut key)
            .or(Err(PinError::Memory))?;
        Ok(Self(key))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Shows nothing: the PIN can be found from it by trying.
impl fmt::Debug for PinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinKey")
    }
}
