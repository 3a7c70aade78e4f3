//! The files of a profile.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use estafette::{Error, Profile, ProfileError, Server};
use estafette_protocol::DeviceId;
use estafette_protocol::http::Registered;
use estafette_testkit::TempDir;
use fake::{ALICE, BOB, Fake, Seen, TOKEN, now, number};

async fn registered() -> (TempDir, PathBuf, Fake) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("profiles").join("alice");
    let fake = Fake::start().await;
    fake.answer(|_, _| {
        let answer = Registered {
            account: number(ALICE),
            device: DeviceId(1),
            token: TOKEN.into(),
            expires_at: now() + 1_000_000,
        };
        (200, serde_json::to_string(&answer).unwrap())
    });
    register(&path, &fake).await.unwrap();
    (directory, path, fake)
}

async fn register(path: &Path, fake: &Fake) -> Result<Profile, Error> {
    let server = Server::new(&fake.address).unwrap();
    Profile::register(path, &server, number(ALICE), "123456", "laptop").await
}

fn error(result: Result<Profile, Error>) -> ProfileError {
    match result {
        Err(Error::Profile(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it went well"),
    }
}

#[tokio::test]
async fn only_the_owner_can_read_what_a_profile_holds() {
    let (_directory, path, _fake) = registered().await;
    let profile = Profile::open(&path).unwrap();
    profile.open_store().unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        names.push(file.file_name().into_string().unwrap());
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        let holds_plain_secrets = !file.file_name().to_str().unwrap().starts_with("store.db");
        assert!(mode == 0o600 || !holds_plain_secrets, "{:?} has {mode:o}", file.file_name());
    }
    for name in ["account.json", "identity.key", "store.key", "store.db"] {
        assert!(names.iter().any(|other| other == name), "{name} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.ends_with(".new")));
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_refused_with_a_way_out() {
    let (_directory, path, _fake) = registered().await;
    for name in ["account.json", "store.key"] {
        let file = path.join(name);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let opened = Profile::open(&path).and_then(|profile| profile.open_store().map(|_| profile));
        let refused = error(opened);
        assert!(matches!(refused, ProfileError::Exposed(_)), "{name}: {refused:?}");
        assert!(refused.to_string().contains(&format!("chmod 600 {}", file.display())));
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    Profile::open(&path).unwrap().open_store().unwrap();
}

#[tokio::test]
async fn one_process_at_a_time_has_a_profile() {
    let (_directory, path, fake) = registered().await;
    let first = Profile::open(&path).unwrap();
    for second in [Profile::open(&path), register(&path, &fake).await] {
        let ProfileError::InUse { process, .. } = error(second) else { panic!("another error") };
        assert_eq!(process, Some(std::process::id()));
    }
    // Its account can still be looked at.
    assert_eq!(Profile::account_in(&path).unwrap().number, number(ALICE));
    drop(first);
    Profile::open(&path).unwrap();
}

#[tokio::test]
async fn registering_again_keeps_the_identity_and_the_store() {
    let (_directory, path, mut fake) = registered().await;
    let store = Profile::open(&path).unwrap().open_store().unwrap();
    store.set_contact(number(BOB), "Bob").unwrap();
    drop(store);
    drop(register(&path, &fake).await.unwrap());
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let Seen::Request { body, .. } = fake.next().await else { panic!("no request") };
        bodies.push(body);
    }
    assert_eq!(bodies[0], bodies[1]);
    let store = Profile::open(&path).unwrap().open_store().unwrap();
    assert_eq!(store.contacts().unwrap()[0].name, "Bob");
}

#[tokio::test]
async fn a_profile_belongs_to_one_number() {
    let (_directory, path, fake) = registered().await;
    let server = Server::new(&fake.address).unwrap();
    let other = Profile::register(&path, &server, number(BOB), "123456", "laptop").await;
    let ProfileError::OtherNumber(owner) = error(other) else { panic!("another error") };
    assert_eq!(owner, number(ALICE));
}

#[tokio::test]
async fn what_is_missing_or_damaged_is_named() {
    let (_directory, path, fake) = registered().await;
    let nowhere = error(Profile::open(path.join("nowhere")));
    assert!(matches!(nowhere, ProfileError::Empty(_)), "{nowhere:?}");
    assert!(!path.join("nowhere").exists(), "looking makes nothing");

    fs::write(path.join("store.key"), b"short").unwrap();
    let opened = Profile::open(&path).unwrap().open_store().map(drop);
    let Err(Error::Profile(damaged)) = opened else { panic!("{opened:?}") };
    assert!(damaged.to_string().contains("delete it and store.db"), "{damaged}");

    fs::write(path.join("account.json"), b"{}").unwrap();
    let damaged = error(Profile::open(&path));
    assert!(damaged.to_string().contains("delete it and register again"), "{damaged}");
    // Which works.
    fs::remove_file(path.join("store.key")).unwrap();
    register(&path, &fake).await.unwrap().open_store().unwrap();
}

#[tokio::test]
async fn a_store_that_was_deleted_is_made_again() {
    let (_directory, path, _fake) = registered().await;
    let profile = Profile::open(&path).unwrap();
    profile.open_store().unwrap().set_contact(number(BOB), "Bob").unwrap();
    fs::remove_file(profile.store_path()).unwrap();
    assert!(profile.open_store().unwrap().contacts().unwrap().is_empty());
}

#[tokio::test]
async fn the_account_file_is_what_earlier_versions_wrote() {
    // Whoever changes a name or a type here signs every device out.
    let (_directory, path, fake) = registered().await;
    let written = format!(
        r#"{{"server":"{}","number":"+33612345678","device":"0000000000000001","token":"t","renewed_at":1,"expires_at":2}}"#,
        fake.address
    );
    fs::write(path.join("account.json"), &written).unwrap();
    let account = Profile::open(&path).unwrap().account().clone();
    assert_eq!(serde_json::to_string(&account).unwrap(), written);
}
