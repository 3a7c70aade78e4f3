//! What people say of themselves, as others see it, or do not.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use estafette::{
    Account, Attribute, Audience, ErrorCode, Person, PhoneNumber, Privacy, UserProfile,
};
use estafette_e2e::{Answer, Desk, Request, Stage, bytes, number};
use estafette_protocol::limits::PICTURE_BYTES_MAX;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::presence::usage;

const PICTURE: &str = "/v1/profile/picture";
const OCTET_STREAM: &str = "application/octet-stream";

fn says(name: &str) -> UserProfile {
    let (about, picture) = ("at sea\nuntil May".to_owned(), Some("what opens it".to_owned()));
    UserProfile { version: 0, name: name.into(), about, picture }
}

fn of(number: PhoneNumber, rest: &str) -> String {
    format!("/v1/profiles/{number}{rest}")
}

async fn get(stage: &Stage, account: &Account, path: &str) -> Answer {
    Request::new("GET", path).token(&account.token).send(stage).await.unwrap()
}

fn put(account: &Account, picture: &[u8]) -> Request {
    Request::new("PUT", PICTURE)
        .token(&account.token)
        .header("Content-Type", OCTET_STREAM)
        .body(picture)
}

/// Has an account say something of itself, with a picture.
async fn introduce(stage: &Stage, account: &Account, name: &str) {
    assert_eq!(put(account, &bytes(1, 100)).send(stage).await.unwrap().status, 204);
    stage.server().set_profile(&account.token, &says(name)).await.unwrap();
}

/// Waits until the bucket has so many objects with bytes: its local stand-in deletes them a little later.
async fn holds(stage: &Stage, objects: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while stored(stage) != objects {
        assert!(Instant::now() < deadline, "{} objects", stored(stage));
        sleep(Duration::from_millis(20)).await;
    }
}

fn stored(stage: &Stage) -> usize {
    fn blobs(directory: &Path, within: bool) -> usize {
        let entries = fs::read_dir(directory).map(|entries| entries.flatten().collect::<Vec<_>>());
        let count = |entry: &fs::DirEntry| match entry.path() {
            path if path.is_dir() => blobs(&path, within || path.ends_with("blobs")),
            // A note of who approved a device has no bytes.
            _ => usize::from(within && entry.metadata().is_ok_and(|file| file.len() > 0)),
        };
        entries.unwrap_or_default().iter().map(count).sum()
    }
    blobs(&stage.runtime.storage().join("r2"), false)
}

#[tokio::test]
async fn a_profile_is_seen_and_its_versions_are_counted() {
    let stage = Stage::start(|options| options).unwrap();
    let (alice, bob) =
        (stage.register(number(0)).await.unwrap(), stage.register(number(1)).await.unwrap());
    let server = stage.server();
    assert_eq!(server.profile(&alice.token).await.unwrap(), UserProfile::default());
    server.set_profile(&alice.token, &says("Alice")).await.unwrap();
    let said = UserProfile { version: 1, ..says("Alice") };
    assert_eq!(server.profile(&alice.token).await.unwrap(), said);

    let answer = get(&stage, &bob, &of(alice.number, "")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(serde_json::from_slice::<UserProfile>(&answer.body).unwrap(), said);
    for (name, value) in [
        ("etag", "\"1\""),
        ("cache-control", "private, no-cache"),
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let seen = async |known| server.profile_of(&bob.token, alice.number, known).await.unwrap();
    assert_eq!(seen(Some(1)).await, None);
    let unchanged = Request::new("GET", &of(alice.number, ""))
        .token(&bob.token)
        .header("If-None-Match", "\"1\"")
        .send(&stage)
        .await
        .unwrap();
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), Some("\"1\""));

    // The same again changes nothing, whatever version it says; something else does.
    server.set_profile(&alice.token, &UserProfile { version: 70, ..says("Alice") }).await.unwrap();
    assert_eq!(seen(Some(1)).await, None);
    server.set_profile(&alice.token, &says("Alice B.")).await.unwrap();
    assert_eq!(seen(Some(1)).await.unwrap(), UserProfile { version: 2, ..says("Alice B.") });

    // An emptied one is none.
    server.set_profile(&alice.token, &UserProfile::default()).await.unwrap();
    assert_eq!(seen(Some(2)).await, Some(UserProfile::default()));
    assert_eq!(server.profile(&alice.token).await.unwrap().version, 3);
}

#[tokio::test]
async fn who_may_not_see_it_is_answered_as_if_nobody_were_there() {
    let stage = Stage::start(|options| options).unwrap();
    let mut people = Vec::new();
    for index in 0..7 {
        people.push(stage.register(number(index)).await.unwrap());
    }
    let [alice, blocks, hides, contacts, excepts, silent, shows] = &people[..] else {
        unreachable!()
    };
    for account in [blocks, hides, contacts, excepts, shows] {
        introduce(&stage, account, "somebody").await;
    }
    let server = stage.server();
    let person = async |account: &Account, person: Person| {
        server.set_person(&account.token, alice.number, &person).await.unwrap();
    };
    let audience = async |account: &Account, profile| {
        let privacy = Privacy { profile, ..Privacy::default() };
        server.set_privacy(&account.token, &privacy).await.unwrap();
    };
    let excepted = || Person { except: vec![Attribute::Profile], ..Person::default() };
    person(blocks, Person { blocked: true, contact: true, ..Person::default() }).await;
    audience(hides, Audience::Nobody).await;
    audience(contacts, Audience::Contacts).await;
    person(excepts, excepted()).await;
    // Who hides theirs sees others' all the same.
    audience(alice, Audience::Nobody).await;
    let kept = stage.kept().unwrap();

    let nobody = number(9);
    let mut profiles = Vec::new();
    let mut pictures = Vec::new();
    for number in [&blocks, &hides, &contacts, &excepts, &silent].map(|account| account.number) {
        profiles.push(get(&stage, alice, &of(number, "")).await);
        pictures.push(get(&stage, alice, &of(number, "/picture")).await);
    }
    let none = get(&stage, alice, &of(nobody, "")).await;
    let no_picture = get(&stage, alice, &of(nobody, "/picture")).await;
    assert_eq!(none.status, 200);
    assert_eq!(none.body, br#"{"version":0,"name":"","about":""}"#);
    assert_eq!(none.header("etag"), Some("\"0\""));
    assert_eq!(no_picture.refusal().unwrap(), (404, ErrorCode::NotFound));
    for (answers, alike) in [(profiles, none), (pictures, no_picture)] {
        for answer in answers {
            assert_eq!(answer.head(), alike.head());
            assert_eq!(answer.body, alike.body);
        }
    }
    // A version that she knew of before they hid it tells nothing either.
    let known = Request::new("GET", &of(hides.number, "")).token(&alice.token);
    let known = known.header("If-None-Match", "\"2\"").send(&stage).await.unwrap();
    assert_eq!(known.status, 200);
    assert_eq!(stage.kept().unwrap(), kept, "of nobody nothing is kept");

    let name = async |account: &Account| {
        let profile = server.profile_of(&alice.token, account.number, None).await.unwrap().unwrap();
        let picture = get(&stage, alice, &of(account.number, "/picture")).await;
        assert_eq!(picture.status, if profile.version > 0 { 200 } else { 404 });
        profile.name
    };
    assert_eq!(name(shows).await, "somebody");
    person(contacts, Person { contact: true, ..Person::default() }).await;
    person(hides, excepted()).await;
    person(excepts, Person::default()).await;
    person(blocks, Person::default()).await;
    for account in [contacts, hides, excepts, blocks] {
        assert_eq!(name(account).await, "somebody");
    }
}

#[tokio::test]
async fn a_picture_goes_up_and_comes_down_as_it_is() {
    let stage = Stage::start(|options| options).unwrap();
    let (alice, bob) =
        (stage.register(number(0)).await.unwrap(), stage.register(number(1)).await.unwrap());
    let path = of(alice.number, "/picture");
    let before = usage(&stage, &alice).await;
    for (seed, length) in [(1, 1), (2, 70_000), (3, PICTURE_BYTES_MAX as usize), (4, 500)] {
        let picture = bytes(seed, length);
        let answer = put(&alice, &picture).send(&stage).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
        let answer = get(&stage, &bob, &path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == picture, "{length} bytes");
        for (name, value) in [
            ("content-type", OCTET_STREAM),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "private, no-cache"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        let tag = answer.header("etag").unwrap();
        let known = Request::new("GET", &path).token(&bob.token).header("If-None-Match", tag);
        let known = known.send(&stage).await.unwrap();
        assert_eq!((known.status, known.header("etag")), (304, Some(tag)));
        let looked = Request::new("HEAD", &path).token(&bob.token).send(&stage).await.unwrap();
        assert_eq!(looked.header("content-length"), Some(&*length.to_string()));
        // The one before was overwritten.
        holds(&stage, 1).await;
    }
    let after = usage(&stage, &alice).await;
    let length = 1 + 70_000 + PICTURE_BYTES_MAX + 500;
    assert_eq!(after.uploaded_bytes - before.uploaded_bytes, length);
    assert_eq!(after.media_writes - before.media_writes, 4);
    // Neither a day nor a year takes it away.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    stage.runtime.run_schedule(now + 365 * 24 * 60 * 60 * 1000).unwrap();
    assert_eq!(get(&stage, &bob, &path).await.body, bytes(4, 500));

    stage.server().set_profile(&alice.token, &says("Alice")).await.unwrap();
    stage.server().drop_picture(&alice.token).await.unwrap();
    assert_eq!(get(&stage, &bob, &path).await.status, 404);
    let profile = stage.server().profile(&alice.token).await.unwrap();
    assert_eq!((profile.picture, profile.version), (None, 6));
    holds(&stage, 0).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    introduce(&stage, &alice, "Alice").await;
    let said = stage.server().profile(&alice.token).await.unwrap();
    let request = |method, path: &str| Request::new(method, path).token(&alice.token);
    let texts = |name: &str, about: &str, picture: &str| {
        let body = serde_json::json!({ "name": name, "about": about, "picture": picture });
        request("PUT", "/v1/profile").body(body.to_string())
    };
    let picture = || request("PUT", PICTURE).header("Content-Type", OCTET_STREAM);
    let bare = |method, path: &str| Request::new(method, path);
    let shown = of(alice.number, "");
    let pictured = of(alice.number, "/picture");
    use ErrorCode::*;
    for (request, status, code) in [
        (texts(&"n".repeat(101), "", ""), 413, TooLarge),
        (texts(&"é".repeat(51), "", ""), 413, TooLarge),
        (texts("", &"a".repeat(513), ""), 413, TooLarge),
        (texts("", "", &"p".repeat(513)), 413, TooLarge),
        (texts("two\nlines", "", ""), 400, Malformed),
        (texts("\u{1b}[31m", "", ""), 400, Malformed),
        (texts("", "\u{7}", ""), 400, Malformed),
        (request("PUT", "/v1/profile").body(r#"{"name":7}"#), 400, Malformed),
        (request("PUT", "/v1/profile").body("[]"), 400, Malformed),
        (request("PUT", "/v1/profile").body(" ".repeat(4097)), 413, TooLarge),
        (picture().chunked(&[b"hello"]), 411, LengthRequired),
        (picture(), 411, LengthRequired),
        (picture().body(""), 400, Malformed),
        (picture().body(bytes(1, PICTURE_BYTES_MAX as usize + 1)), 413, TooLarge),
        (request("PUT", PICTURE).body("hello"), 415, UnsupportedMediaType),
        (
            request("PUT", PICTURE).header("Content-Type", "image/png").body("hello"),
            415,
            UnsupportedMediaType,
        ),
        (request("GET", PICTURE), 405, MethodNotAllowed),
        (request("POST", "/v1/profile").body("{}"), 405, MethodNotAllowed),
        (request("PUT", &shown).body("{}"), 405, MethodNotAllowed),
        (request("DELETE", &pictured), 405, MethodNotAllowed),
        (request("GET", "/v1/profiles/33600000001"), 404, NotFound),
        (request("GET", "/v1/profiles/+0600000001/picture"), 404, NotFound),
        (bare("GET", "/v1/profile"), 401, TokenMissing),
        (bare("PUT", "/v1/profile").body("{}"), 401, TokenMissing),
        (bare("PUT", PICTURE).header("Content-Type", OCTET_STREAM).body("x"), 401, TokenMissing),
        (bare("DELETE", PICTURE), 401, TokenMissing),
        (bare("GET", &shown), 401, TokenMissing),
        (bare("GET", &pictured), 401, TokenMissing),
    ] {
        let answer = request.clone().send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (status, code), "{request:?}");
    }
    // A cut leaves the picture that was there.
    picture().body(bytes(2, 50_000)).cut(&stage, 20_000).await.unwrap();
    let other = stage.register(number(1)).await.unwrap();
    assert_eq!(get(&stage, &other, &pictured).await.body, bytes(1, 100));
    assert_eq!(stage.server().profile(&alice.token).await.unwrap(), said);

    // A device that was removed changes nothing and sees nothing.
    let link = stage.server().link().await.unwrap();
    let linked =
        stage.server().approve(&alice.token, &link.link, "tablet", &[8; 32], None).await.unwrap();
    let before = stage.server().collect(&link).await.unwrap().unwrap().0.token;
    stage.server().remove_device(&alice.token, linked).await.unwrap();
    for (method, path) in
        [("PUT", PICTURE), ("DELETE", PICTURE), ("GET", &of(other.number, "")), ("GET", &pictured)]
    {
        let mut request = Request::new(method, path).token(&before);
        if method == "PUT" {
            request = request.header("Content-Type", OCTET_STREAM).body("hello");
        }
        let answer = request.send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, DeviceRemoved), "{method} {path}");
    }
    assert_eq!(get(&stage, &other, &pictured).await.body, bytes(1, 100));
}

#[tokio::test]
async fn an_account_takes_its_profile_along_and_whoever_asks_has_a_budget() {
    let stage = Stage::start(|options| options.var("DAILY_BUDGET_NANODOLLARS", 1_000_000)).unwrap();
    let (alice, bob) =
        (stage.register(number(0)).await.unwrap(), stage.register(number(1)).await.unwrap());
    introduce(&stage, &alice, "Alice").await;
    let export = stage.server().export(&alice.token).await.unwrap();
    assert_eq!((&*export.profile.name, export.picture_bytes), ("Alice", 100));

    // A linked device may not delete the account, and takes nothing of it away.
    let link = stage.server().link().await.unwrap();
    stage.server().approve(&alice.token, &link.link, "tablet", &[8; 32], None).await.unwrap();
    let linked = stage.server().collect(&link).await.unwrap().unwrap().0;
    let refused = stage.server().delete_account(&linked.token).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NotPrimary));
    let path = of(alice.number, "/picture");
    assert_eq!(get(&stage, &bob, &path).await.body, bytes(1, 100));

    holds(&stage, 1).await;
    stage.server().delete_account(&alice.token).await.unwrap();
    assert_eq!(get(&stage, &bob, &path).await.status, 404);
    holds(&stage, 0).await;
    let alice = stage.register(number(2)).await.unwrap();
    assert_eq!(stage.server().profile(&alice.token).await.unwrap(), UserProfile::default());

    // Bob asks until his day's work is used up: 1,300 a question.
    let before = usage(&stage, &alice).await;
    let mut asked = 0;
    loop {
        match stage.server().profile_of(&bob.token, alice.number, None).await {
            Ok(_) => asked += 1,
            Err(refused) => {
                assert_eq!(refused.code(), Some(ErrorCode::BudgetExhausted));
                break;
            }
        }
        assert!(asked < 1_000_000 / 1300 + 2, "somebody else pays");
    }
    let after = usage(&stage, &alice).await;
    assert!(asked > 400, "{asked}");
    assert_eq!(after.spent - before.spent, 150, "but this question");
}

#[test]
fn people_say_who_they_are_at_the_command_line() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let run = |profile: &str, arguments: &[&str]| -> Vec<Value> {
        let output = desk.run(profile, &[arguments, &["--json"]].concat(), "").unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = str::from_utf8(&output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let files = desk.profile("files");
    fs::create_dir(&files).unwrap();
    let (mine, theirs) = (files.join("me.png"), files.join("alice.png"));
    fs::write(&mine, bytes(7, 200_000)).unwrap();
    let [mine, theirs] = [&mine, &theirs].map(|path| path.to_str().unwrap());
    let set = ["profile", "set", "--name", "Alice", "--about", "at sea", "--picture", mine];
    let said = run("alice", &set);
    assert_eq!(said[0]["name"], "Alice");
    assert_eq!(said[0]["picture"], serde_json::json!({ "size": 200_000, "type": "image/png" }));

    let seen = run("bob", &["profile", "show", &alice, "--picture", theirs]);
    assert_eq!((&seen[0]["about"], &seen[1]["path"]), (&"at sea".into(), &theirs.into()));
    assert!(fs::read(theirs).unwrap() == bytes(7, 200_000));

    // Whom he does not know is called as she calls herself, until she hides it.
    let send = ["send", &bob, "hello", "--timeout", "60"];
    assert!(desk.run("alice", &send, "").unwrap().status.success());
    run("bob", &["listen", "--count", "1"]);
    assert_eq!(run("bob", &["history", &alice])[0]["name"], "~Alice");
    run("alice", &["privacy", "set", "profile", "contacts"]);
    let hidden = run("bob", &["profile", "show", &alice]);
    assert_eq!((&hidden[0]["version"], &hidden[0]["name"]), (&0.into(), &"".into()));
    assert_eq!(run("bob", &["history", &alice])[0]["name"], Value::Null);
    run("alice", &["contacts", "add", &bob, "Bob"]);
    // A chat that is opened asks, once a day: that was a moment ago.
    assert_eq!(run("bob", &["profile", "show", &alice])[0]["name"], "Alice");
    run("alice", &["profile", "set", "--no-picture"]);
    let none = desk.run("bob", &["profile", "show", &alice, "--picture", theirs], "").unwrap();
    assert_eq!(none.status.code(), Some(1), "{none:?}");
}
