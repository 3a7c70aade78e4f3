//! What others say of themselves, and their pictures.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod harness;

use estafette_core::media::{MediaError, MediaKey};
use estafette_core::{Contact, ContentError, KnownProfile, Picture, Store};
use estafette_protocol::http::Profile;
use estafette_protocol::limits::{PICTURE_BYTES_MAX, PROFILE_PICTURE_BYTES_MAX};
use harness::*;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// A picture of three bytes, under a key of 32 times 11.
const TEXT: &str = "pGNrZXlYIBERERERERERERERERERERERERERERERERERERERERERZHNpemUDZmRpZ2VzdFggAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABkdHlwZWlpbWFnZS9wbmc";

fn key() -> MediaKey {
    MediaKey([0x11; 32])
}

fn says(version: u64, name: &str) -> Profile {
    Profile { version, name: name.into(), ..Profile::default() }
}

#[test]
fn a_picture_comes_back_as_it_was() {
    for length in [0, 1, 65_536, 65_537, 1024 * 1024] {
        let bytes: Vec<_> = (0..length).map(|place: usize| place as u8).collect();
        let (picture, sealed) = Picture::seal(key(), Some("image/png".into()), &bytes).unwrap();
        assert_eq!(sealed.len(), length + 16 * length.div_ceil(65_536).max(1));
        assert!(sealed.len() as u64 <= PICTURE_BYTES_MAX);
        let told = Picture::read(&picture.to_text().unwrap()).unwrap();
        assert_eq!(told, picture);
        assert_eq!(told.open(&sealed), Ok(bytes));
    }
    let long = vec![0; 1024 * 1024 + 1];
    let error = Picture::seal(key(), None, &long).unwrap_err();
    assert_eq!(error, MediaError::TooLarge { bytes: 1024 * 1024 + 1 });
}

#[test]
fn another_picture_is_not_opened() {
    let (picture, sealed) = Picture::seal(key(), None, b"a picture").unwrap();
    let mut wrong =
        vec![Vec::new(), sealed[..sealed.len() - 1].to_vec(), [&sealed[..], b"x"].concat()];
    wrong.push(Picture::seal(key(), None, b"b picture").unwrap().1);
    wrong.push(Picture::seal(MediaKey([2; 32]), None, b"a picture").unwrap().1);
    for place in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[place] ^= 1;
        wrong.push(altered);
    }
    for sealed in wrong {
        assert_eq!(picture.open(&sealed), Err(MediaError::Altered));
    }
    // The digest is right, and the key is not; or the length is not.
    let other = Picture { key: MediaKey([2; 32]), ..picture.clone() };
    assert_eq!(other.open(&sealed), Err(MediaError::Altered));
    let longer = Picture { size: picture.size + 1, ..picture.clone() };
    assert_eq!(longer.open(&sealed), Err(MediaError::WrongLength));
    assert_eq!(picture.open(&sealed).unwrap(), b"a picture");
    assert!(!format!("{picture:?}").contains("17"), "it shows no key");
}

/// Devices in the field read it, and other programs.
#[test]
fn what_a_profile_tells_of_a_picture_is_pinned() {
    let media_type = Some("image/png".to_owned());
    let picture = Picture { key: key(), size: 3, digest: [0; 32], media_type };
    assert_eq!(picture.to_text().unwrap(), TEXT);
    assert_eq!(Picture::read(TEXT), Ok(picture.clone()));
    let long = Some(format!("image/{}", "x".repeat(249)));
    let long = Picture { media_type: long, size: Picture::BYTES_MAX, ..picture.clone() };
    assert!(long.to_text().unwrap().len() <= PROFILE_PICTURE_BYTES_MAX);

    let not_a_type = Picture { media_type: Some("picture".into()), ..picture.clone() };
    assert_eq!(not_a_type.to_text(), Err(ContentError::Field("type")));
    let too_long = Picture { size: Picture::BYTES_MAX + 1, ..picture };
    assert_eq!(too_long.to_text(), Err(ContentError::Field("size")));
    for text in ["", "x", "=", "pGNrZXk", &TEXT[..TEXT.len() - 4], &format!("{TEXT}AAAA")] {
        assert_eq!(Picture::read(text), Err(ContentError::Malformed), "{text}");
    }
    // An empty map, and one of other things.
    assert_eq!(Picture::read("oA"), Err(ContentError::Field("key")));
    assert_eq!(Picture::read("oWNrZXkB"), Err(ContentError::Field("key")));
}

#[test]
fn a_profile_is_kept_and_asked_for_again_after_a_day() {
    let store = Store::in_memory().unwrap();
    assert_eq!(store.profile(number(BOB)), Ok(None));
    let picture = Some(TEXT.to_owned());
    let profile = Profile { about: "at sea".into(), picture, ..says(3, "Bob") };
    let known = KnownProfile { profile, fetched_at: START };
    store.set_profile(number(BOB), &known).unwrap();
    let store = Store::on(store.into_connection()).unwrap();
    assert_eq!(store.profile(number(BOB)), Ok(Some(known.clone())));
    assert_eq!(store.profile(number(CAROL)), Ok(None));
    for (now, due) in
        [(START, false), (START + DAY - 1, false), (START + DAY, true), (START - 1, true)]
    {
        assert_eq!(known.is_due(now), due, "{now}");
    }
    // What is hidden now was known before.
    let hidden = KnownProfile { profile: Profile::default(), fetched_at: START + DAY };
    store.set_profile(number(BOB), &hidden).unwrap();
    assert_eq!(store.profile(number(BOB)), Ok(Some(hidden)));
    assert_eq!(store.names(), Ok(vec![]));
}

#[test]
fn who_has_no_name_is_called_as_they_call_themselves() {
    let mut phone = Phone::connected();
    let known = |name| KnownProfile { profile: says(1, name), fetched_at: START };
    let store = phone.client.store();
    store.set_profile(number(BOB), &known("Bobby")).unwrap();
    store.set_profile(number(CAROL), &known("")).unwrap();
    let contact = |digits, name: &str| Contact { number: number(digits), name: name.into() };
    assert_eq!(store.names(), Ok(vec![contact(BOB, "~Bobby")]));
    phone.hears(vec![deliver(BOB, 5, 1, "hello")]);
    let chat = &phone.client.chats().unwrap()[0];
    assert_eq!((&chat.name, chat.profile_name.as_deref()), (&None, Some("Bobby")));
    assert!(chat.stranger, "what they call themselves makes nobody known");
    phone.client.set_contact(number(BOB), "Robert").unwrap();
    let store = phone.client.store();
    assert_eq!(store.names(), Ok(vec![contact(BOB, "Robert")]));
    assert_eq!(store.contacts(), Ok(vec![contact(BOB, "Robert")]));
    let chat = &phone.client.chats().unwrap()[0];
    assert_eq!(
        (chat.name.as_deref(), chat.profile_name.as_deref()),
        (Some("Robert"), Some("Bobby"))
    );
}
