//! The map of a content, read within bounds.

use std::collections::BTreeMap;

use estafette_protocol::item_length;
use minicbor::data::Type;
use minicbor::decode::Decoder;

use super::ContentError;

/// The most fields: more than any kind has.
const FIELDS_MAX: usize = 64;

/// The fields of a content by their names; the values are still CBOR.
pub(super) struct Fields<'a>(BTreeMap<&'a str, &'a [u8]>);

impl<'a> Fields<'a> {
    pub(super) fn read(map: &'a [u8]) -> Result<Self, ContentError> {
        // Well-formed and not too deep, so that what follows only has to look at the map's own head.
        if item_length(map) != Some(map.len()) {
            return Err(ContentError::Malformed);
        }
        Self::entries(map).ok_or(ContentError::Malformed)
    }

    fn entries(map: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(map);
        let length = decoder.map().ok()?;
        let mut fields = BTreeMap::new();
        while length.is_none_or(|length| (fields.len() as u64) < length) {
            if length.is_none() && decoder.datatype().ok()? == Type::Break {
                break;
            }
            let name = decoder.str().ok()?;
            let rest = map.get(decoder.position()..)?;
            let (value, _) = rest.split_at_checked(item_length(rest)?)?;
            decoder.set_position(decoder.position() + value.len());
            if fields.len() == FIELDS_MAX || fields.insert(name, value).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// A field that may be absent or null.
    fn value<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
    ) -> Result<Option<T>, ContentError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let mut decoder = Decoder::new(value);
        if matches!(decoder.datatype(), Ok(Type::Null)) {
            return Ok(None);
        }
        read(&mut decoder).map(Some).or(Err(ContentError::Field(name)))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<&'a str>, ContentError> {
        self.value(name, Decoder::str)
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<Option<&'a [u8]>, ContentError> {
        self.value(name, Decoder::bytes)
    }

    pub(super) fn integer(&self, name: &'static str) -> Result<Option<u64>, ContentError> {
        self.value(name, Decoder::u64)
    }

    /// Bytes of one length that must be there.
    pub(super) fn array<const N: usize>(
        &self,
        name: &'static str,
    ) -> Result<[u8; N], ContentError> {
        let bytes = self.bytes(name)?.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(ContentError::Field(name))
    }
}
