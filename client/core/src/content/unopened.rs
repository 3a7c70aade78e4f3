//! What is shown in the place of a message that cannot be opened.

use minicbor::encode::{Encoder, Error, Write};

use super::fields::Fields;
use super::{ContentError, TAG};

/// A message that this device cannot open. It is kept in the place of what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unopened {
    /// It is damaged, or was not sealed by whom the server names.
    Damaged,
    /// It was sealed before this device joined, or too long ago.
    NotForThisDevice,
    /// This device sealed it itself, and has lost what it said.
    Own,
}

impl Unopened {
    pub(super) const KIND: &'static str = "unopened";
    const ALL: [Self; 3] = [Self::Damaged, Self::NotForThisDevice, Self::Own];

    /// Whether somebody may still know what it says.
    pub(crate) fn may_be_read(self) -> bool {
        matches!(self, Self::NotForThisDevice | Self::Own)
    }

    /// Its name, for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::NotForThisDevice => "not_for_this_device",
            Self::Own => "own",
        }
    }

    pub(crate) fn to_body(self) -> Vec<u8> {
        let mut encoder = Encoder::new(TAG.to_vec());
        // Nothing fails that is written to memory.
        let _ = self.write(&mut encoder);
        encoder.into_writer()
    }

    fn write<W: Write>(self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        encoder.map(2)?.str("kind")?.str(Self::KIND)?.str("why")?.str(self.as_str())?.ok()
    }

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ContentError> {
        let why = fields.text("why")?;
        let known = Self::ALL.into_iter().find(|known| Some(known.as_str()) == why);
        known.ok_or(ContentError::Field("why"))
    }
}
