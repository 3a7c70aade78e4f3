//! That somebody has another number from now on.

use estafette_protocol::PhoneNumber;
use minicbor::encode::{Encoder, Error, Write};

use super::fields::Fields;
use super::{ContentError, TAG};

/// Its sender moved their account to another number. That is their word: nothing else ties the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The new number.
    pub to: PhoneNumber,
}

impl Moved {
    pub(super) const KIND: &'static str = "moved";

    /// The body of a message that says so.
    pub fn to_body(self) -> Vec<u8> {
        let mut encoder = Encoder::new(TAG.to_vec());
        // Nothing fails that is written to memory.
        let _ = self.write(&mut encoder);
        encoder.into_writer()
    }

    fn write<W: Write>(self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        encoder.map(2)?.str("kind")?.str(Self::KIND)?;
        encoder.str("to")?.u64(self.to.digits())?;
        Ok(())
    }

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ContentError> {
        let digits = fields.integer("to")?.ok_or(ContentError::Field("to"))?;
        let to = PhoneNumber::from_digits(digits).or(Err(ContentError::Field("to")))?;
        Ok(Self { to })
    }
}

/// Shows no number: a message may reach a log.
impl core::fmt::Debug for Moved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Moved")
    }
}
