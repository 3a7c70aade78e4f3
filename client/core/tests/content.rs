//! What bodies say, byte for byte, and what is made of those that say nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use data_encoding::HEXLOWER;
use estafette_core::media::{MediaKey, SIZE_MAX};
use estafette_core::{
    About, CAPTION_BYTES_MAX, Content, ContentError, Media, Moved, NAME_BYTES_MAX,
};
use estafette_protocol::{Body, Deliver, MediaId, ServerFrame};
use harness::*;
use minicbor::Encoder;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

const TAG: [u8; 3] = [0xd9, 0xd9, 0xf7];

fn photo() -> Media {
    Media {
        id: MediaId(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0),
        key: MediaKey([0x11; 32]),
        size: 1_048_576,
        digest: [0x22; 32],
        about: About {
            media_type: Some("image/jpeg".into()),
            name: Some("plage.jpg".into()),
            dimensions: Some((4032, 3024)),
            duration: Some(1500),
            thumbhash: Some(vec![0x33; 4]),
            caption: Some("Été".into()),
        },
    }
}

/// What breaks if a byte changes: every message that is out there. The same bytes are in
/// `docs/protocol.md`.
const PHOTO: &str = concat!(
    "d9d9f7", // tag 55799
    "ac",     // map of 12
    "646b696e64",
    "656d65646961", // kind: media
    "626964",
    "500f1e2d3c4b5a69788796a5b4c3d2e1f0", // id
    "636b6579",
    "5820",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "6473697a65",
    "1a00100000", // size: 1048576
    "66646967657374",
    "5820", // digest
    "2222222222222222222222222222222222222222222222222222222222222222",
    "6474797065",
    "6a696d6167652f6a706567", // type: image/jpeg
    "646e616d65",
    "69706c6167652e6a7067", // name: plage.jpg
    "657769647468",
    "190fc0", // width: 4032
    "66686569676874",
    "190bd0", // height: 3024
    "686475726174696f6e",
    "1905dc", // duration: 1500
    "697468756d6268617368",
    "4433333333", // thumbhash
    "6763617074696f6e",
    "65c38974c3a9", // caption: Été
);

/// The least that can be said of a file.
const BARE: &str = concat!(
    "d9d9f7",
    "a5",
    "646b696e64",
    "656d65646961",
    "626964",
    "500f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "636b6579",
    "5820",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "6473697a65",
    "1a00100000",
    "66646967657374",
    "5820",
    "2222222222222222222222222222222222222222222222222222222222222222",
);

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn media(body: &[u8]) -> Media {
    match Content::read(body) {
        Ok(Content::Media(media)) => *media,
        other => panic!("not a file: {other:?}"),
    }
}

/// A body with one map, written entry by entry.
fn body(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut map = vec![0xa0 | u8::try_from(entries.len()).unwrap()];
    for (name, value) in entries {
        map.extend(minicbor::to_vec(name).unwrap());
        map.extend_from_slice(value);
    }
    [&TAG[..], &map].concat()
}

/// The entries of a file that says the least, one of them replaced.
fn bare_but(name: &str, value: &[u8]) -> Vec<u8> {
    let id = [&[0x50][..], &[1; 16]].concat();
    let long = [&[0x58, 0x20][..], &[2; 32]].concat();
    let fields: [(&str, &[u8]); 5] =
        [("kind", b"\x65media"), ("id", &id), ("key", &long), ("size", &[5]), ("digest", &long)];
    let mut entries: Vec<_> = fields.into_iter().filter(|(other, _)| *other != name).collect();
    if !value.is_empty() {
        entries.push((name, value));
    }
    body(&entries)
}

#[test]
fn a_file_is_told_of_in_these_bytes() {
    assert_eq!(HEXLOWER.encode(&photo().to_body().unwrap()), PHOTO);
    assert_eq!(media(&hex(PHOTO)), photo());
    let bare = Media { about: About::default(), ..photo() };
    assert_eq!(HEXLOWER.encode(&bare.to_body().unwrap()), BARE);
    assert_eq!(media(&hex(BARE)), bare);
}

#[test]
fn the_page_of_the_protocol_shows_these_bytes() {
    let page = include_str!("../../../docs/protocol.md");
    let blocks = page.split("```hex\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let shown: Vec<String> = blocks
        .map(|block| {
            let bytes = block.lines().map(|line| line.split('#').next().unwrap_or_default());
            bytes.collect::<String>().split_whitespace().collect()
        })
        .collect();
    for bytes in [PHOTO, MOVED] {
        assert!(shown.iter().any(|shown| shown == bytes), "{bytes}");
    }
}

const MOVED: &str = concat!(
    "d9d9f7",
    "a2",
    "646b696e64",
    "656d6f766564", // kind: moved
    "62746f",
    "1b000004786386804e", // to: 4915112345678
);

#[test]
fn a_new_number_is_told_in_these_bytes() {
    let moved = Moved { to: number(4_915_112_345_678) };
    assert_eq!(HEXLOWER.encode(&moved.to_body()), MOVED);
    let bytes = hex(MOVED);
    let read = Content::read(&bytes).unwrap();
    assert_eq!(read, Content::Moved(moved));
    assert_eq!(format!("{read:?}"), "Moved", "a message may reach a log");
    let kind: (&str, &[u8]) = ("kind", b"\x65moved");
    let wrong = |to: &[u8]| body(&[kind, ("to", to)]);
    for body in [
        body(&[kind]),
        wrong(b"\xf6"),
        wrong(b"\x00"),
        wrong(b"\x1b\x00\x03\x8d\x7e\xa4\xc6\x80\x00"),
        wrong(b"\x64+331"),
    ] {
        assert_eq!(Content::read(&body), Err(ContentError::Field("to")), "{body:x?}");
    }
    // Fields of a later version are read over.
    let later = body(&[kind, ("why", b"\x61x"), ("to", b"\x1b\x00\x00\x04\x78\x63\x86\x80\x4e")]);
    assert_eq!(Content::read(&later), Ok(Content::Moved(moved)));
}

#[test]
fn a_text_is_its_own_bytes() {
    for text in ["", "hello", "Été ☀", "{\"kind\":\"media\"}"] {
        assert_eq!(Content::read(text.as_bytes()), Ok(Content::Text(text)));
    }
    assert_eq!(Content::read(b"\xff\xfe"), Err(ContentError::NotText));
    assert_eq!(Content::read(&TAG[..2]), Err(ContentError::NotText));
}

#[test]
fn what_a_later_version_says_is_left_alone() {
    let poll = body(&[("kind", b"\x64poll"), ("question", b"\x63Tea"), ("deep", b"\x81\x81\xa0")]);
    assert_eq!(Content::read(&poll), Ok(Content::Unknown("poll")));
    let more = [&[0xa6][..], &hex(BARE)[4..], b"\x66orders\xa1\x01\xf9\x3e\x00"].concat();
    let more = [&TAG[..], &more].concat();
    assert_eq!(media(&more), media(&hex(BARE)));

    // The store keeps the bytes, so that the later version finds them.
    let mut phone = Phone::connected();
    for (number, body) in [(1, &poll), (2, &more)] {
        let Deliver { from, device, at, after, .. } = match deliver(BOB, 9, number, "") {
            ServerFrame::Deliver(deliver) => deliver,
            other => panic!("{other:?}"),
        };
        let body = Body(body.clone());
        let id = id(9, number);
        phone.hears(vec![ServerFrame::Deliver(Deliver {
            id,
            from,
            device,
            at,
            body,
            after,
            to: None,
        })]);
    }
    let phone = phone.crashes(2);
    let history = phone.client.history(number(BOB), 10).unwrap();
    assert_eq!(history[0].body, poll);
    assert_eq!(history[1].body, more);
    assert!(matches!(history[1].content(), Ok(Content::Media(_))));
}

#[test]
fn null_is_absent_and_lengths_may_be_indefinite() {
    assert_eq!(media(&bare_but("caption", &[0xf6])).about, About::default());
    assert_eq!(Content::read(&bare_but("key", &[0xf6])), Err(ContentError::Field("key")));
    let mut open = vec![0xbf];
    open.extend_from_slice(&hex(BARE)[4..]);
    open.push(0xff);
    assert_eq!(media(&[&TAG[..], &open].concat()), media(&hex(BARE)));
}

#[test]
fn what_is_no_content_is_refused() {
    let whole = hex(PHOTO);
    for end in 3..whole.len() {
        assert_eq!(Content::read(&whole[..end]), Err(ContentError::Malformed), "cut at {end}");
    }
    let deep = body(&[("kind", b"\x64poll"), ("deep", &[&[0x81; 200][..], &[0]].concat())]);
    let many: Vec<_> = (0..80).map(|n| format!("{n:02}")).collect();
    let mut crowd = Encoder::new(TAG.to_vec());
    crowd.map(81).unwrap().str("kind").unwrap().str("poll").unwrap();
    for name in &many {
        crowd.str(name).unwrap().u8(0).unwrap();
    }
    let malformed = [
        TAG.to_vec(),
        [&whole[..], &[0]].concat(),
        [&TAG[..], b"\x65media"].concat(),
        [&TAG[..], &[0xa0]].concat(),
        [&TAG[..], b"\xa1\x01\x02"].concat(),
        [&TAG[..], &TAG, b"\xa1\x64kind\x64poll"].concat(),
        body(&[("size", &[1])]),
        body(&[("kind", b"\x64poll"), ("kind", b"\x64poll")]),
        body(&[("kind", b"\x62\xff\xfe")]),
        deep,
        crowd.into_writer(),
    ];
    for (index, body) in malformed.iter().enumerate() {
        let read = Content::read(body);
        let refused = matches!(read, Err(ContentError::Malformed | ContentError::Field("kind")));
        assert!(refused, "{index}: {read:?}");
    }
}

#[test]
fn a_file_with_a_wrong_field_is_refused_with_its_name() {
    let text = |length: usize| minicbor::to_vec("x".repeat(length)).unwrap();
    let number = |number: u64| minicbor::to_vec(number).unwrap();
    let wrong: &[(&str, Vec<u8>)] = &[
        ("id", [&[0x4f][..], &[1; 15]].concat()),
        ("id", [&[0x51][..], &[1; 17]].concat()),
        ("id", vec![]),
        ("key", [&[0x58, 0x1f][..], &[2; 31]].concat()),
        ("key", text(32)),
        ("size", vec![]),
        ("size", number(SIZE_MAX + 1)),
        ("size", vec![0x20]),
        ("size", vec![0xf9, 0x3c, 0x00]),
        ("digest", vec![]),
        ("type", text(3)),
        ("type", minicbor::to_vec("image/").unwrap()),
        ("type", minicbor::to_vec("text/html; charset=x").unwrap()),
        ("type", minicbor::to_vec(format!("a/{}", "b".repeat(254))).unwrap()),
        ("name", text(0)),
        ("name", text(NAME_BYTES_MAX + 1)),
        ("width", number(7)),
        ("height", number(7)),
        ("duration", number(1 << 53)),
        ("thumbhash", vec![0x40]),
        ("thumbhash", [&[0x58, 26][..], &[0; 26]].concat()),
        ("caption", text(CAPTION_BYTES_MAX + 1)),
        ("caption", vec![0x7f, 0x61, 0x61, 0xff]),
    ];
    for (field, value) in wrong {
        let body = bare_but(field, value);
        let read = Content::read(&body);
        let partner = match *field {
            "width" => "height",
            "height" => "width",
            field => field,
        };
        assert_eq!(read, Err(ContentError::Field(partner)), "{field} {value:02x?}");
    }
    let about = About { dimensions: Some((0, 1)), ..About::default() };
    assert_eq!(Media { about, ..photo() }.to_body(), Err(ContentError::Field("width")));
    let about = About { caption: Some(String::new()), ..About::default() };
    assert_eq!(Media { about, ..photo() }.to_body(), Err(ContentError::Field("caption")));
    assert_eq!(Media { size: SIZE_MAX + 1, ..photo() }.to_body(), Err(ContentError::Field("size")));
}

#[test]
fn nothing_of_a_file_reaches_a_log() {
    let body = photo().to_body().unwrap();
    let shown = format!("{:?} {:?}", Content::read(&body), Content::read(b"a secret"));
    for secret in ["plage", "Été", "11, 17", "17, 17", "secret", "0f1e"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn about() -> impl Strategy<Value = About> {
    (
        of("[a-z]{1,9}/[a-z0-9.+-]{1,40}"),
        of("\\PC{1,60}"),
        of((1..=u32::MAX, 1..=u32::MAX)),
        of(0..1u64 << 53),
        of(vec(any::<u8>(), 1..=25)),
        of("\\PC{1,200}"),
    )
        .prop_map(|(media_type, name, dimensions, duration, thumbhash, caption)| About {
            media_type,
            name,
            dimensions,
            duration,
            thumbhash,
            caption,
        })
}

proptest! {
    #[test]
    fn every_file_comes_back(
        id in any::<u128>(),
        key in any::<[u8; 32]>(),
        size in 0..=SIZE_MAX,
        digest in any::<[u8; 32]>(),
        about in about(),
    ) {
        let told = Media { id: MediaId(id), key: MediaKey(key), size, digest, about };
        prop_assert_eq!(media(&told.to_body().unwrap()), told);
    }

    #[test]
    fn no_bytes_do_harm(mut bytes in vec(any::<u8>(), 0..200), tagged in any::<bool>()) {
        if tagged {
            bytes.splice(0..0, TAG);
        }
        let _ = Content::read(&bytes);
    }

    #[test]
    fn a_changed_byte_is_another_file_or_none(at in 0..PHOTO.len() / 2, to in any::<u8>()) {
        let mut changed = hex(PHOTO);
        prop_assume!(changed[at] != to);
        changed[at] = to;
        if let Ok(Content::Media(media)) = Content::read(&changed) {
            // A field whose name changed is one that is not known.
            prop_assert!(*media != photo());
        }
    }
}
