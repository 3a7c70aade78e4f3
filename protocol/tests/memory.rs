//! Decoding takes memory for what a message holds, never for what it announces. Counted by an
//! allocator, so in a program of its own with one test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(unsafe_code)] // An allocator cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use estafette_protocol::{Encoding, WireMessage};

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; a realloc is the default one, an
// alloc and a dealloc, so both blocks are counted while they live side by side.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(in_use, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What decoding a message takes at its peak, the message itself not counted.
fn peak(encoding: Encoding, message: &WireMessage) -> usize {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    drop(encoding.decode_client(message));
    drop(encoding.decode_server(message));
    PEAK.load(Relaxed) - before
}

/// The most is for an error of serde, which quotes a text of the wrong type with escapes while it
/// grows by doubling. A message of a few bytes costs no more than the list of a batch.
fn allowed(length: usize) -> usize {
    8 * length + 64 * 1024
}

fn repeated(head: &[u8], item: &[u8], times: usize, tail: &[u8]) -> Vec<u8> {
    [head, &item.repeat(times), tail].concat()
}

#[test]
fn memory_is_bounded_by_the_message() {
    const MANY: usize = 1_000_000;
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff";
    let ack = b"\xa1\x63ack\xa1\x63ids";
    let watch = b"\xa1\x68presence\xa1\x65watch";
    let mut binary: Vec<Vec<u8>> = vec![
        [&b"\x9b"[..], huge].concat(),
        [&b"\x81"[..], ack, b"\x9b", huge].concat(),
        [&b"\x81"[..], ack, b"\x9a\x00\x01\x00\x00"].concat(),
        [&b"\x81"[..], watch, b"\x9b", huge].concat(),
        repeated(
            &[&b"\x81"[..], watch, b"\x9f"].concat(),
            b"\x1a\x00\x0f\x42\x40",
            200_000,
            b"\xff",
        ),
        [&b"\x81\x5b"[..], huge].concat(),
        [&b"\x81\xbb"[..], huge].concat(),
        repeated(b"\x99\x01\x00", &[&ack[..], b"\x9b", huge].concat(), 256, b""),
        repeated(b"", b"\x9f", MANY, b""),
        repeated(b"\x81", b"\x82\x00\x9f", MANY / 3, b""),
        repeated(b"\x81", b"\xbf\x00", MANY / 2, b""),
        repeated(b"\x81", b"\xc1", MANY, b"\x00"),
        repeated(
            &[&b"\x81"[..], ack, b"\x9f"].concat(),
            &[b"\x50", &[1; 16][..]].concat(),
            60_000,
            b"\xff",
        ),
        repeated(b"\x99\x01\x00", b"\xf6", 256, b""),
    ];
    // A kind that is not known, of a million characters that debug output would escape.
    binary.push(repeated(b"\x81\xa1\x7a\x00\x0f\x42\x40", b"\x01", MANY, b"\xf6"));
    // The same as a name that must be known.
    let mark = b"\x81\xa1\x67receipt\xa1\x64mark\x7a\x00\x0f\x42\x40";
    binary.push(repeated(mark, b"\x01", MANY, b""));
    let state = b"\x81\xa1\x6achat_state\xa1\x65state\x7a\x00\x0f\x42\x40";
    binary.push(repeated(state, b"\x01", MANY, b""));

    let id = r#""a1b2c3d4e5f607180000000000000007","#;
    let mut texts = vec![
        "[".repeat(MANY),
        format!("[{}", r#"{"a":"#.repeat(MANY / 5)),
        format!(r#"[{{"ack":{{"ids":{}"#, "[".repeat(MANY)),
        format!(r#"[{{"ack":{{"ids":[{}{}]}}}}]"#, id.repeat(25_000), &id[..34]),
        format!("[{}7]", "7,".repeat(MANY / 2)),
        format!(r#"[{{"receipt":{{"mark":"{}"}}}}]"#, r"\u0001".repeat(MANY / 6)),
        format!(r#"[{{"send":{{"chained":"{}"}}}}]"#, "\u{feff}".repeat(MANY / 3)),
        format!(r#"[{{"{}":7}}]"#, r"\n".repeat(MANY / 2)),
    ];
    texts.push(format!(r#"[{{"send":{{"body":"{}"}}}}]"#, "aGk=".repeat(MANY / 4)));

    let binary = binary.into_iter().map(|bytes| (Encoding::Cbor, WireMessage::Binary(bytes)));
    let texts = texts.into_iter().map(|text| (Encoding::Json, WireMessage::Text(text)));
    for (index, (encoding, message)) in binary.chain(texts).enumerate() {
        let peak = peak(encoding, &message);
        let length = message.len();
        assert!(peak <= allowed(length), "{encoding:?} {index}: {length} bytes take {peak}");
    }
}
