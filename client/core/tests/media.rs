//! Files, sealed and opened: what comes back, and what is always refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ops::Range;

use data_encoding::HEXLOWER;
use estafette_core::media::{
    CHUNK_BYTES, Digester, Layout, MediaError, MediaKey, Opener, SIZE_MAX, Sealer, StreamSealer,
    TAG_BYTES, safe_file_name,
};
use estafette_protocol::limits::MEDIA_BYTES_MAX;
use proptest::prelude::*;
use serde_json::Value;

const CHUNK: usize = CHUNK_BYTES as usize;
const SEALED: usize = (CHUNK_BYTES + TAG_BYTES) as usize;

fn key(byte: u8) -> MediaKey {
    MediaKey([byte; 32])
}

fn plain(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place % 251) as u8).collect()
}

fn layout(size: usize) -> Layout {
    Layout::of_size(size as u64).unwrap()
}

fn seal(key: &MediaKey, bytes: &[u8]) -> Vec<u8> {
    let mut sealer = Sealer::new(key, layout(bytes.len()));
    let mut sealed = Vec::new();
    sealer.seal(bytes, &mut sealed).unwrap();
    sealer.finish(&mut sealed).unwrap();
    sealed
}

/// Opens a whole file of that size. What came out before a failure is part of it.
fn open(key: &MediaKey, size: usize, sealed: &[u8]) -> Result<Vec<u8>, (MediaError, Vec<u8>)> {
    let mut opener = Opener::new(key, layout(size));
    let mut bytes = Vec::new();
    let opened = opener.open(sealed, &mut bytes).and_then(|()| opener.finish());
    match opened {
        Ok(()) => Ok(bytes),
        Err(error) => Err((error, bytes)),
    }
}

/// Sizes around the ends of chunks, of up to four of them.
fn size() -> impl Strategy<Value = usize> {
    let edge = (0..4usize, -2..3isize)
        .prop_map(|(chunks, off)| (chunks * CHUNK).saturating_add_signed(off));
    prop_oneof![edge, 0..3 * CHUNK + 7]
}

/// What breaks if a byte changes: every file that is out there. The vectors were made by another
/// implementation (OpenSSL's, through Python's `cryptography`).
#[test]
fn the_format_is_pinned() {
    let golden: Value = serde_json::from_str(include_str!("golden/media.json")).unwrap();
    let hex = |value: &Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let key = MediaKey(hex(&golden["key"]).try_into().unwrap());
    let files = golden["files"].as_array().unwrap();
    assert_eq!(files.len(), 8);
    for file in files {
        let size = usize::try_from(file["size"].as_u64().unwrap()).unwrap();
        let sealed = seal(&key, &plain(size));
        assert_eq!(file["sealed_size"], sealed.len() as u64);
        if file.get("sealed").is_some() {
            assert_eq!(hex(&file["sealed"]), sealed);
        }
        let mut digester = Digester::default();
        digester.update(&sealed);
        assert_eq!(hex(&file["digest"]), digester.finish(), "{size} bytes");
        assert_eq!(open(&key, size, &sealed).unwrap(), plain(size));
    }
}

#[test]
fn lengths_go_both_ways_and_have_a_limit() {
    assert_eq!((CHUNK_BYTES, TAG_BYTES, SIZE_MAX), (65_536, 16, 2_146_959_472));
    let longest = Layout::of_size(SIZE_MAX).unwrap();
    assert_eq!((longest.sealed(), longest.chunks()), (MEDIA_BYTES_MAX, 32_761));
    for bytes in [SIZE_MAX + 1, u64::MAX] {
        assert_eq!(Layout::of_size(bytes), Err(MediaError::TooLarge { bytes }));
    }
    // No file has such a length once sealed: less than a tag, or an empty chunk after a full one.
    for sealed in [0, 1, 15, SEALED as u64 + 1, SEALED as u64 + 16, 5 * SEALED as u64 + 16] {
        assert_eq!(Layout::of_sealed(sealed), Err(MediaError::WrongLength), "{sealed}");
    }
    assert!(Layout::of_sealed(MEDIA_BYTES_MAX + 1).is_err());
    assert!(Layout::of_sealed(u64::MAX).is_err());
}

proptest! {
    #[test]
    fn every_length_comes_back(size in prop_oneof![0..=SIZE_MAX, 0..300_000u64]) {
        let layout = Layout::of_size(size).unwrap();
        prop_assert_eq!(Layout::of_sealed(layout.sealed()), Ok(layout));
    }

    #[test]
    fn every_sealed_length_is_of_one_file_or_none(sealed in 0..300_000u64) {
        if let Ok(layout) = Layout::of_sealed(sealed) {
            prop_assert_eq!(layout.sealed(), sealed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_comes_back_however_it_is_cut_up(size in size(), pieces in any::<[u16; 4]>()) {
        let bytes = plain(size);
        let piece = |turn: usize| usize::from(pieces[turn % 4]) + 1;
        let mut sealer = Sealer::new(&key(1), layout(size));
        let (mut sealed, mut rest, mut turn) = (Vec::new(), &bytes[..], 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece(turn).min(rest.len()));
            sealer.seal(now, &mut sealed).unwrap();
            (rest, turn) = (later, turn + 1);
        }
        sealer.finish(&mut sealed).unwrap();
        prop_assert_eq!(sealed.len() as u64, layout(size).sealed());
        prop_assert_eq!(&sealed, &seal(&key(1), &bytes));

        let mut opener = Opener::new(&key(1), layout(size));
        let (mut opened, mut rest) = (Vec::new(), &sealed[..]);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece(turn).min(rest.len()));
            prop_assert_eq!(opener.takes(), (sealed.len() - rest.len()) as u64..sealed.len() as u64);
            opener.open(now, &mut opened).unwrap();
            (rest, turn) = (later, turn + 1);
        }
        opener.finish().unwrap();
        prop_assert_eq!(opened, bytes);
    }

    /// Standard input has no length before its end.
    #[test]
    fn a_file_of_unknown_length_is_sealed_the_same(size in size(), piece in 1..2 * CHUNK) {
        let bytes = plain(size);
        let (mut sealer, mut sealed) = (StreamSealer::new(&key(1)), Vec::new());
        for piece in bytes.chunks(piece) {
            sealer.seal(piece, &mut sealed).unwrap();
        }
        prop_assert_eq!(sealer.finish(&mut sealed), Ok(layout(size)));
        prop_assert_eq!(sealed, seal(&key(1), &bytes));
    }

    /// The bytes of a resumed upload are those that a whole one would have sent.
    #[test]
    fn sealing_goes_on_from_any_byte(size in size(), at in any::<prop::sample::Index>()) {
        let (bytes, sealed) = (plain(size), seal(&key(1), &plain(size)));
        let from = at.index(sealed.len() + 1);
        let mut sealer = Sealer::after(&key(1), layout(size), from as u64).unwrap();
        let rest = &bytes[usize::try_from(sealer.reads_from()).unwrap()..];
        let mut out = Vec::new();
        sealer.seal(rest, &mut out).unwrap();
        sealer.finish(&mut out).unwrap();
        prop_assert_eq!(&out, &sealed[from..]);
        prop_assert!(Sealer::after(&key(1), layout(size), sealed.len() as u64 + 1).is_err());
    }

    /// A part of the file takes its own chunks of the sealed one, and no others.
    #[test]
    fn a_range_is_opened_by_itself(size in size(), ends in any::<[prop::sample::Index; 2]>()) {
        let (bytes, sealed) = (plain(size), seal(&key(1), &plain(size)));
        let mut ends = ends.map(|end| end.index(size + 1));
        ends.sort_unstable();
        let [start, end] = ends;
        let range = start as u64..end as u64;
        let mut opener = Opener::of_range(&key(1), layout(size), range).unwrap();
        let Range { start: from, end: to } = opener.takes();
        let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
        prop_assert!(to - from <= (end - start).div_ceil(CHUNK).saturating_add(1) * SEALED);
        prop_assert!(start < end || from == to);
        let mut out = Vec::new();
        opener.open(&sealed[from..to], &mut out).unwrap();
        opener.finish().unwrap();
        prop_assert_eq!(&out, &bytes[start..end]);
    }

    #[test]
    fn one_flipped_bit_is_refused(size in size(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut sealed = seal(&key(1), &plain(size));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let (error, before) = open(&key(1), size, &sealed).unwrap_err();
        prop_assert_eq!(error, MediaError::Altered);
        // What came out was proven, and nothing of the chunk that was altered is in it.
        prop_assert_eq!(before, &plain(size)[..at / SEALED * CHUNK]);
    }

    /// Chunks that are missing, swapped, repeated, or of another file with another key.
    #[test]
    fn chunks_out_of_place_are_refused(
        size in CHUNK + 1..4 * CHUNK,
        places in any::<[prop::sample::Index; 2]>(),
        change in 0..4u8,
    ) {
        let sealed = seal(&key(1), &plain(size));
        let other = seal(&key(2), &plain(size));
        let mut chunks: Vec<&[u8]> = sealed.chunks(SEALED).collect();
        let [one, two] = places.map(|place| place.index(chunks.len()));
        match change {
            0 => {
                chunks.remove(one);
            }
            1 => {
                prop_assume!(one != two);
                chunks.swap(one, two);
            }
            2 => chunks.insert(one, chunks[two]),
            _ => chunks[one] = other.chunks(SEALED).nth(one).unwrap(),
        }
        let changed = chunks.concat();
        let opened = open(&key(1), size, &changed);
        let same = changed == sealed;
        prop_assert!(!same && opened.is_err(), "change {} of {} and {}", change, one, two);
        // Nor does it open as the file that its length announces.
        if let Ok(layout) = Layout::of_sealed(changed.len() as u64) {
            let size = usize::try_from(layout.size()).unwrap();
            prop_assert!(open(&key(1), size, &changed).is_err());
        }
    }

    #[test]
    fn what_is_cut_off_or_added_is_refused(size in size(), length in 0..2 * SEALED, more in any::<bool>()) {
        let mut sealed = seal(&key(1), &plain(size));
        let length = length.clamp(1, if more { usize::MAX } else { sealed.len() });
        if more {
            sealed.resize(sealed.len() + length, 7);
        } else {
            sealed.truncate(sealed.len() - length);
        }
        let (error, _) = open(&key(1), size, &sealed).unwrap_err();
        prop_assert!(matches!(error, MediaError::WrongLength | MediaError::Altered));
        if let Ok(layout) = Layout::of_sealed(sealed.len() as u64) {
            let size = usize::try_from(layout.size()).unwrap();
            prop_assert!(open(&key(1), size, &sealed).is_err());
        }
    }
}

#[test]
fn another_key_opens_nothing() {
    let sealed = seal(&key(1), b"hello");
    assert_eq!(open(&key(2), 5, &sealed), Err((MediaError::Altered, Vec::new())));
}

#[test]
fn a_refusal_is_for_good() {
    let mut sealed = seal(&key(1), &plain(2 * CHUNK));
    let good = sealed[..SEALED].to_vec();
    sealed[0] ^= 1;
    let mut opener = Opener::new(&key(1), layout(2 * CHUNK));
    let mut out = Vec::new();
    assert_eq!(opener.open(&sealed[..SEALED], &mut out), Err(MediaError::Altered));
    assert_eq!(opener.open(&good, &mut out), Err(MediaError::Altered));
    assert_eq!((opener.finish(), out.len()), (Err(MediaError::Altered), 0));
}

#[test]
fn a_file_of_another_length_is_not_sealed() {
    let mut out = Vec::new();
    let mut longer = Sealer::new(&key(1), layout(5));
    assert_eq!(longer.seal(b"hello!", &mut out), Err(MediaError::WrongLength));
    let mut shorter = Sealer::new(&key(1), layout(6));
    shorter.seal(b"hello", &mut out).unwrap();
    assert_eq!(shorter.finish(&mut out), Err(MediaError::WrongLength));
}

#[test]
fn a_range_outside_the_file_is_refused() {
    let opener = |range| Opener::of_range(&key(1), layout(10), range).map(drop);
    #[expect(clippy::reversed_empty_ranges, reason = "a range that is none is what is tested")]
    for range in [5..11, 11..11, 7..3] {
        assert_eq!(opener(range), Err(MediaError::NoSuchRange));
    }
    assert_eq!(opener(10..10), Ok(()));
}

#[test]
fn nothing_shows_a_key() {
    let layout = layout(3);
    let shown = format!(
        "{:?} {:?} {:?}",
        key(0xab),
        Sealer::new(&key(0xab), layout),
        Opener::new(&key(0xab), layout)
    );
    assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab, "), "{shown}");
}

#[test]
fn a_name_leads_nowhere() {
    let names = [
        ("holiday.jpg", "holiday.jpg"),
        ("Übersicht 2026 (final).pdf", "Übersicht 2026 (final).pdf"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\System32\\drivers.dll", "drivers.dll"),
        ("..", "file"),
        ("", "file"),
        ("/", "file"),
        (".bashrc", "bashrc"),
        ("...", "file"),
        ("-rf", "rf"),
        ("a\0b\x1b[31m\n.txt", "a_b_[31m_.txt"),
        ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
        ("a:stream", "a_stream"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1.log", "_com1.log"),
        ("com0.log", "com0.log"),
        ("trailing. . ", "trailing"),
    ];
    for (theirs, ours) in names {
        assert_eq!(safe_file_name(theirs), ours, "{theirs:?}");
    }
    let long = safe_file_name(&format!("{}.jpeg", "é".repeat(300)));
    assert!(long.len() <= 200 && long.ends_with("é.jpeg"), "{long}");
    assert!(safe_file_name(&".é".repeat(300)).len() <= 200);
}

proptest! {
    #[test]
    fn no_name_leads_anywhere(name in "\\PC{0,40}|[./\\\\a\0-\x1f~:]{0,12}|(com|LPT|nul|con)[0-9.]{0,3}") {
        let safe = safe_file_name(&name);
        prop_assert!(!safe.is_empty() && safe.len() <= 201);
        prop_assert!(!safe.contains(['/', '\\', '\0', ':']) && !safe.starts_with(['.', '-']));
        prop_assert_eq!(&safe_file_name(&safe), &safe);
    }
}
