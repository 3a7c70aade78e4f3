//! Shapes of serde's data model that the derived code would take and the contract does not: names
//! given by place or as a map, fields given as an array, lists that announce more than they hold.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{self, SeqAccess};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use crate::limits::MESSAGE_NUMBER_MAX;

/// Reads a text and nothing else, and looks it up. A text that is not found is not quoted.
pub(crate) fn name<'de, D, T>(
    deserializer: D,
    find: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    struct Visitor<T, F>(F, PhantomData<T>);
    impl<T, F: FnOnce(&str) -> Option<T>> de::Visitor<'_> for Visitor<T, F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).ok_or_else(|| E::custom("a name that is not known"))
        }
    }
    deserializer.deserialize_str(Visitor(find, PhantomData))
}

/// Reads a list without believing what it says of its length: nine bytes of CBOR may announce 2^64
/// items. For `#[serde(deserialize_with)]`.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Visitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Visitor(PhantomData))
}

/// Reads the number of a message, or 0 for none, where there is one. For
/// `#[serde(deserialize_with)]`.
pub(crate) fn after<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(deserializer)? {
        Some(number) if number > MESSAGE_NUMBER_MAX => {
            Err(de::Error::custom("a message number out of range"))
        }
        after => Ok(after),
    }
}

/// The fields of a frame: a map by name, never an array by place.
pub(crate) struct Fields<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(MapOnly(deserializer)).map(Fields)
    }
}

struct MapOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for MapOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}
