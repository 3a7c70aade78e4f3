//! CBOR items of any well-formed shape, written without the libraries under test (RFC 8949,
//! section 3): of definite and indefinite length, tagged, with text that is not UTF-8.

use proptest::collection::vec;
use proptest::prelude::*;

/// An item.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Unsigned(u64),
    Negative(u64),
    Bytes(Vec<u8>),
    /// Not always UTF-8.
    Text(Vec<u8>),
    Array(Vec<Item>),
    Map(Vec<(Item, Item)>),
    ArrayIndefinite(Vec<Item>),
    MapIndefinite(Vec<(Item, Item)>),
    /// Major type 2 or 3, in chunks.
    Chunks(u8, Vec<Vec<u8>>),
    Tag(u64, Box<Item>),
    /// Below 24 or above 31.
    Simple(u8),
    Float(f64),
    /// An unsigned integer in eight bytes, whatever it is.
    Wide(u64),
}

impl Item {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(value) => head(out, 0, *value),
            Self::Negative(value) => head(out, 1, *value),
            Self::Bytes(bytes) => string(out, 2, bytes),
            Self::Text(bytes) => string(out, 3, bytes),
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                head(out, 5, entries.len() as u64);
                entries.iter().flat_map(|(key, value)| [key, value]).for_each(|i| i.write(out));
            }
            Self::ArrayIndefinite(items) => {
                out.push(0x9f);
                items.iter().for_each(|item| item.write(out));
                out.push(0xff);
            }
            Self::MapIndefinite(entries) => {
                out.push(0xbf);
                entries.iter().flat_map(|(key, value)| [key, value]).for_each(|i| i.write(out));
                out.push(0xff);
            }
            Self::Chunks(major, chunks) => {
                out.push(major << 5 | 31);
                chunks.iter().for_each(|chunk| string(out, *major, chunk));
                out.push(0xff);
            }
            Self::Tag(tag, item) => {
                head(out, 6, *tag);
                item.write(out);
            }
            Self::Simple(value) => head(out, 7, u64::from(*value)),
            Self::Float(value) => {
                out.push(0xfb);
                out.extend(value.to_be_bytes());
            }
            Self::Wide(value) => {
                out.push(0x1b);
                out.extend(value.to_be_bytes());
            }
        }
    }
}

fn string(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    head(out, major, bytes.len() as u64);
    out.extend(bytes);
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..24 => out.push(major | argument as u8),
        24..=0xff => out.extend([major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

/// Items whose texts are UTF-8.
pub(crate) fn items() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Item::Unsigned),
        any::<u64>().prop_map(Item::Negative),
        any::<u64>().prop_map(Item::Wide),
        vec(any::<u8>(), 0..40).prop_map(Item::Bytes),
        ".*".prop_map(|text| Item::text(&text)),
        vec(vec(any::<u8>(), 0..4), 0..4).prop_map(|chunks| Item::Chunks(2, chunks)),
        vec("[a-é]*".prop_map(String::into_bytes), 0..4).prop_map(|c| Item::Chunks(3, c)),
        prop_oneof![0..24u8, 32..=255u8].prop_map(Item::Simple),
        any::<f64>().prop_map(Item::Float),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let entries = vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Item::Array),
            vec(inner.clone(), 0..4).prop_map(Item::ArrayIndefinite),
            entries.clone().prop_map(Item::Map),
            entries.prop_map(Item::MapIndefinite),
            (any::<u64>(), inner).prop_map(|(tag, item)| Item::Tag(tag, Box::new(item))),
        ]
    })
}
