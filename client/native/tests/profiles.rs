//! What people say of themselves: said, asked for and shown, from a program and from the command line. How
//! pictures travel is in the end-to-end tests, where there is a server that keeps bytes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use estafette::{Config, DeviceId, ErrorCode, MessageId, Store, UserProfile};
use estafette_protocol::{Body, ClientFrame, Deliver, Sent, ServerFrame};
use fake::{BOB, Fake, Seen, now, number, problem, registered_answer};
use machine::{Machine, error, lines, text};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

/// What the server says of people, and what it was told.
#[derive(Default)]
struct People {
    own: UserProfile,
    others: BTreeMap<String, UserProfile>,
    told: Vec<String>,
    /// Every question is answered so.
    fails: Option<ErrorCode>,
    /// Whoever asks knows what there is.
    unchanged: bool,
}

impl People {
    fn answers(&mut self, line: &str, body: &str) -> (u16, String) {
        let written = |profile: &UserProfile| (200, serde_json::to_string(profile).unwrap());
        if let Some(code) = self.fails {
            return (code.status(), problem(code));
        }
        match line.split_once(' ').unwrap() {
            ("POST", "/v1/registration") => registered_answer(),
            ("GET", "/v1/profile") => written(&self.own),
            ("PUT", "/v1/profile") => {
                self.told.push(body.to_owned());
                let said: UserProfile = serde_json::from_str(body).unwrap();
                self.own = UserProfile { version: self.own.version + 1, ..said };
                (204, String::new())
            }
            ("DELETE", "/v1/profile/picture") => {
                self.told.push("no picture".into());
                self.own.picture = None;
                (204, String::new())
            }
            ("GET", _) if self.unchanged => (304, String::new()),
            ("GET", path) => match path.strip_prefix("/v1/profiles/%2B") {
                Some(digits) if !digits.contains('/') => {
                    written(&self.others.get(digits).cloned().unwrap_or_default())
                }
                _ => (404, problem(ErrorCode::NotFound)),
            },
            _ => (404, problem(ErrorCode::NotFound)),
        }
    }
}

type Shared = Arc<Mutex<People>>;

async fn server() -> (Fake, Shared) {
    let fake = Fake::start().await;
    let people = Shared::default();
    let shared = Arc::clone(&people);
    fake.answer(move |line, body| shared.lock().unwrap().answers(line, body));
    (fake, people)
}

async fn registered() -> (Machine, Shared) {
    let (fake, people) = server().await;
    (Machine::on(fake).registers().await, people)
}

fn says(version: u64, name: &str) -> UserProfile {
    UserProfile { version, name: name.into(), ..UserProfile::default() }
}

fn bob_is(people: &Shared, profile: UserProfile) {
    people.lock().unwrap().others.insert(BOB.to_string(), profile);
}

fn deliver(index: u64, text: &str) -> ServerFrame {
    ServerFrame::Deliver(Deliver {
        id: MessageId { stream: 9, number: index },
        from: number(BOB),
        device: DeviceId(2),
        at: now(),
        body: Body(text.into()),
        after: None,
        to: None,
    })
}

#[tokio::test]
async fn a_profile_is_asked_for_once_a_day_and_kept() {
    let (mut fake, people) = server().await;
    bob_is(&people, says(3, "Bob"));
    let store = Store::in_memory().unwrap();
    let client =
        estafette::connect_with(fake.account(), &fake::secrets(), store, Config::default())
            .await
            .unwrap();
    let handle = client.into_handle();
    assert_eq!(handle.profile(number(BOB)).await.unwrap(), None);
    assert!(handle.refresh_profile(number(BOB)).await.unwrap());
    let known = handle.profile(number(BOB)).await.unwrap().unwrap();
    assert_eq!(known.profile, says(3, "Bob"));
    assert_eq!(handle.names().await.unwrap()[0].name, "~Bob");

    bob_is(&people, says(4, "Robert"));
    assert!(!handle.refresh_profile(number(BOB)).await.unwrap(), "it is fresh");
    assert_eq!(handle.profile(number(BOB)).await.unwrap(), Some(known));
    let asked = std::iter::from_fn(|| fake.seen()).filter(
        |seen| matches!(seen, Seen::Request { line, .. } if line.contains("/v1/profiles/")),
    );
    assert_eq!(asked.count(), 1);
}

#[tokio::test]
async fn what_is_due_is_asked_for_by_its_version_and_stays_when_nobody_answers() {
    let (fake, people) = server().await;
    let store = Store::in_memory().unwrap();
    let old = estafette::KnownProfile { profile: says(3, "Bob"), fetched_at: 1000 };
    store.set_profile(number(BOB), &old).unwrap();
    let client =
        estafette::connect_with(fake.account(), &fake::secrets(), store, Config::default())
            .await
            .unwrap();
    let handle = client.into_handle();
    people.lock().unwrap().fails = Some(ErrorCode::Unavailable);
    let failed = handle.refresh_profile(number(BOB)).await.unwrap_err();
    assert_eq!(failed.code(), Some(ErrorCode::Unavailable));
    assert_eq!(handle.profile(number(BOB)).await.unwrap(), Some(old));
    (people.lock().unwrap().fails, people.lock().unwrap().unchanged) = (None, true);
    assert!(!handle.refresh_profile(number(BOB)).await.unwrap());
    let known = handle.profile(number(BOB)).await.unwrap().unwrap();
    assert_eq!(known.profile, says(3, "Bob"));
    assert!(known.fetched_at > 1000, "it is fresh again");
}

#[tokio::test]
async fn what_is_said_of_oneself_is_changed_text_by_text() {
    let (machine, people) = registered().await;
    let told = || std::mem::take(&mut people.lock().unwrap().told);
    let output = machine.run(&["profile"]).await;
    assert_eq!(text(&output), "+33612345678 says nothing of themselves, or shows it to others.\n");
    let set = ["profile", "set", "--name", " Alice ", "--about", "At sea\nuntil May"];
    let output = machine.run(&set).await;
    assert_eq!(
        text(&output),
        "number      +33612345678\nname        Alice\nabout       At sea\n            until May\n\
         picture     none\n"
    );
    assert_eq!(told(), [r#"{"version":0,"name":"Alice","about":"At sea\nuntil May"}"#]);
    people.lock().unwrap().own.picture = Some("x".into());
    let output = machine.run(&["--json", "profile", "set", "--about", ""]).await;
    assert_eq!(
        lines(&output),
        [json!({
            "type": "profile", "number": "+33612345678", "version": 2, "name": "Alice",
            "about": "", "picture": null,
        })]
    );
    assert_eq!(told(), [r#"{"version":1,"name":"Alice","about":"","picture":"x"}"#]);
    let output = machine.run(&["profile", "set", "--no-picture"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(told(), ["no picture", r#"{"version":2,"name":"Alice","about":""}"#]);

    let long = "n".repeat(101);
    for (arguments, says) in [
        (&["profile", "set"][..], "required"),
        (&["profile", "set", "--name", &long], "at most 100"),
        (&["profile", "set", "--name", "two\nlines"], "on one line"),
        (&["profile", "set", "--picture", "Cargo.toml"], "no picture of at most 1 MiB"),
        (&["profile", "set", "--picture", "a.png", "--no-picture"], "cannot be used with"),
        (&["profile", "show", "Zoe"], "neither a phone number nor a contact"),
        (&["profile", "show", "+33612345678"], "your own number"),
    ] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(error(&output).contains(says), "{}", error(&output));
    }
    let output = machine.run(&["profile", "set", "--picture", "nowhere.png"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(told(), [""; 0]);
}

#[tokio::test]
async fn strangers_are_called_as_they_call_themselves() {
    let (mut machine, people) = registered().await;
    bob_is(&people, says(1, "Bob\u{202e}by"));
    let listening = machine.command(&["listen", "--count", "1"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(1, "hello")]);
    let output = listening.wait_with_output().await.unwrap();
    assert!(text(&output).contains(" +33687654321: hello"), "{}", text(&output));

    // Without a terminal, the chat asks, and what it hears is shown from then on.
    let mut chat = machine.command(&["chat", "+33687654321"]);
    let mut chatting = chat.stdin(Stdio::piped()).spawn().unwrap();
    let (mut asked, mut read) = (false, false);
    while !(asked && read) {
        match machine.fake.next().await {
            Seen::Request { line, .. } => asked |= line.contains("/v1/profiles/"),
            Seen::Upgrade { .. } => machine.fake.greet(),
            Seen::Frame(ClientFrame::Receipt(receipt)) => {
                let sent = Sent { ids: vec![receipt.id], at: now() };
                machine.fake.say(vec![ServerFrame::Sent(sent)]);
                read = true;
            }
            _ => {}
        }
    }
    chatting.stdin.take().unwrap().shutdown().await.unwrap();
    chatting.wait().await.unwrap();
    let output = machine.run(&["profile", "show", "+33687654321"]).await;
    assert!(text(&output).contains("name        Bob\u{fffd}by\n"), "{}", text(&output));
    let output = machine.run(&["history", "+33687654321"]).await;
    assert!(text(&output).contains(" ~Bob\u{fffd}by: hello"), "{}", text(&output));
    // Nobody is found by that.
    let output = machine.run(&["send", "~Bobby", "hi"]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    machine.run(&["contacts", "add", "+33687654321", "Robert"]).await;
    let output = machine.run(&["history", "Robert"]).await;
    assert!(text(&output).contains(" Robert: hello"), "{}", text(&output));

    bob_is(&people, UserProfile::default());
    let output = machine.run(&["profile", "show", "Robert", "--picture", "bob.png"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("no picture, or do not show it"), "{}", error(&output));
}
