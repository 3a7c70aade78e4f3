//! What devices say to each other, and people do not see: that one cannot open messages, and what those say.
//!
//! A device that joins a conversation, or has lost its store, cannot open what was sealed before. It names those
//! messages to the account that wrote them ([`Unreadable`]); the device that wrote one seals it again
//! ([`Again`]), and it appears in its place.

use estafette_protocol::{MessageId, PhoneNumber};
use minicbor::encode::{Encoder, Error, Write};

use super::TAG;
use super::fields::Fields;

/// The most messages that are named at once.
pub(crate) const UNREADABLE_MAX: usize = 100;

/// See the file's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    /// These cannot be opened.
    Unreadable(Unreadable),
    /// This is what one says.
    Again(Again),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Between devices of one account: in whose chat.
    pub(crate) chat: Option<PhoneNumber>,
    pub(crate) ids: Vec<MessageId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    /// As in [`Unreadable`].
    pub(crate) chat: Option<PhoneNumber>,
    pub(crate) id: MessageId,
    pub(crate) content: Vec<u8>,
}

const UNREADABLE: &str = "unreadable";
const AGAIN: &str = "again";

impl Repair {
    /// What a body says; `None`: it is for people.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let fields = Fields::read(body.strip_prefix(&TAG)?).ok()?;
        let chat = fields.integer("chat").ok()?;
        let chat = chat.and_then(|digits| PhoneNumber::from_digits(digits).ok());
        match fields.text("kind").ok()?? {
            UNREADABLE => {
                let (ids, _) = fields.bytes("ids").ok()??.as_chunks::<16>();
                let ids = ids.iter().take(UNREADABLE_MAX).map(|id| MessageId::from_bytes(*id));
                Some(Self::Unreadable(Unreadable { chat, ids: ids.collect() }))
            }
            AGAIN => {
                let id = MessageId::from_bytes(fields.array("id").ok()?);
                let content = fields.bytes("content").ok()??.to_vec();
                Some(Self::Again(Again { chat, id, content }))
            }
            _ => None,
        }
    }

    /// The body of a message that says so.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(TAG.to_vec());
        // Nothing fails that is written to memory.
        let _ = self.write(&mut encoder);
        encoder.into_writer()
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let (kind, chat, fields) = match self {
            Self::Unreadable(Unreadable { chat, .. }) => (UNREADABLE, chat, 2),
            Self::Again(Again { chat, .. }) => (AGAIN, chat, 3),
        };
        encoder.map(fields + u64::from(chat.is_some()))?.str("kind")?.str(kind)?;
        match self {
            Self::Unreadable(Unreadable { ids, .. }) => {
                let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_bytes()).collect();
                encoder.str("ids")?.bytes(&ids)?;
            }
            Self::Again(Again { id, content, .. }) => {
                encoder.str("id")?.bytes(&id.to_bytes())?.str("content")?.bytes(content)?;
            }
        }
        if let Some(chat) = chat {
            encoder.str("chat")?.u64(chat.digits())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Devices of several versions say it to each other.
    #[test]
    fn what_is_said_is_pinned() {
        let chat = PhoneNumber::from_digits(33_612_345_678).ok();
        let id = MessageId { stream: 1, number: 2 };
        let cases = [
            (
                Repair::Unreadable(Unreadable { chat: None, ids: vec![id] }),
                "d9d9f7a2646b696e646a756e7265616461626c65636964735000000000000000010000000000000002",
            ),
            (
                Repair::Again(Again { chat, id, content: b"hi".to_vec() }),
                "d9d9f7a4646b696e6465616761696e626964500000000000000001000000000000000267636f6e74656e7442\
                 686964636861741b00000007d373b14e",
            ),
        ];
        for (repair, pinned) in cases {
            assert_eq!(data_encoding::HEXLOWER.encode(&repair.to_body()), pinned);
            assert_eq!(Repair::read(&repair.to_body()), Some(repair));
        }
        assert_eq!(Repair::read(b"hi"), None);
    }
}
