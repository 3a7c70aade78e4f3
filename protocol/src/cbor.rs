//! Where a CBOR item ends (RFC 8949), so that a batch falls into frames before any is read.
//!
//! Invariant: an item has an end only if it is well-formed and at most [`DEPTH_MAX`] deep. It is
//! told without recursion, and with memory for the open containers only. (`minicbor` has a `skip`,
//! which takes a break inside a container of definite length, keeps 16 bytes for each level, and
//! fails on text that is not UTF-8, so that one bad frame would spoil the batch.) Whether text is
//! UTF-8 is for those to say who read it.

/// How deep an item may be nested: as deep as `serde_json` reads.
const DEPTH_MAX: usize = 128;

/// A container whose end has not been seen.
enum Open {
    /// Of definite length: how many items are to come.
    Items(u64),
    /// An array of indefinite length.
    Array,
    /// A map of indefinite length, and whether a key waits for its value.
    Map { key: bool },
    /// A string of indefinite length: the major type of its chunks.
    Chunks(u8),
}

/// What the first bytes of an item say.
struct Head {
    major: u8,
    /// None: of indefinite length, or a break.
    argument: Option<u64>,
}

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// How many bytes the first CBOR item of `bytes` takes. `None` when there is none that is well-formed
/// and at most 128 deep.
pub fn item_length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let mut open: Vec<Open> = Vec::new();
    let mut tagged = false;
    loop {
        let Head { major, argument } = head(&mut rest)?;
        let is_break = major == SIMPLE && argument.is_none();
        if let Some(Open::Chunks(chunk)) = open.last() {
            let is_chunk = major == *chunk && argument.is_some();
            if !is_chunk && !is_break {
                return None;
            }
        }
        let opened = match (major, argument) {
            (TAG, _) => {
                tagged = true;
                continue;
            }
            _ if is_break && tagged => return None,
            _ if is_break => match open.pop()? {
                Open::Array | Open::Chunks(_) | Open::Map { key: false } => None,
                Open::Items(_) | Open::Map { key: true } => return None,
            },
            (BYTES | TEXT, Some(length)) => {
                rest = rest.get(usize::try_from(length).ok()?..)?;
                None
            }
            (BYTES | TEXT, None) => Some(Open::Chunks(major)),
            (ARRAY, None) => Some(Open::Array),
            (MAP, None) => Some(Open::Map { key: false }),
            (ARRAY | MAP, Some(0)) => None,
            (ARRAY, Some(items)) => Some(Open::Items(items)),
            (MAP, Some(entries)) => Some(Open::Items(entries.checked_mul(2)?)),
            _ => None,
        };
        tagged = false;
        if let Some(container) = opened {
            if open.len() == DEPTH_MAX {
                return None;
            }
            open.push(container);
        } else if completed(&mut open) {
            return Some(bytes.len() - rest.len());
        }
    }
}

/// Counts an item that has ended, with the containers that end with it; whether all have.
fn completed(open: &mut Vec<Open>) -> bool {
    loop {
        match open.last_mut() {
            None => return true,
            Some(Open::Items(1)) => {
                open.pop();
            }
            Some(Open::Items(items)) => {
                *items -= 1;
                return false;
            }
            Some(Open::Map { key }) => {
                *key = !*key;
                return false;
            }
            Some(Open::Array | Open::Chunks(_)) => return false,
        }
    }
}

fn head(rest: &mut &[u8]) -> Option<Head> {
    let (first, after) = rest.split_first()?;
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..=23 => 0,
        24..=27 => 1 << (info - 24),
        31 if matches!(major, BYTES..=MAP | SIMPLE) => {
            *rest = after;
            return Some(Head { major, argument: None });
        }
        _ => return None,
    };
    let (wide, after) = after.split_at_checked(width)?;
    *rest = after;
    let wide = wide.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    if major == SIMPLE && width == 1 && wide < 32 {
        return None;
    }
    Some(Head { major, argument: Some(if width == 0 { u64::from(info) } else { wide }) })
}
