//! Who sees what, who is blocked, and who is a stranger, from the command line.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use estafette::{
    Attribute, Audience, DeviceId, ErrorCode, Known, MessageId, People, Person, Privacy, Server,
};
use estafette_protocol::{Body, ClientFrame, Deliver, Sent, ServerFrame};
use fake::{BOB, Fake, Seen, TOKEN, now, number, problem, registered_answer};
use machine::{Machine, error, lines, text};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

const CAROL: u64 = 33_611_111_111;

/// What the server was told.
#[derive(Default)]
struct Mailbox {
    privacy: Privacy,
    people: BTreeMap<String, Person>,
    /// In the order of the requests that change something.
    told: Vec<String>,
    /// It answers so many changes more.
    changes_left: Option<usize>,
}

impl Mailbox {
    fn answers(&mut self, line: &str, body: &str) -> (u16, String) {
        let (method, path) = line.split_once(' ').unwrap();
        if method == "PUT" {
            if self.changes_left == Some(0) {
                return (503, problem(ErrorCode::Unavailable));
            }
            self.changes_left = self.changes_left.map(|left| left - 1);
            self.told.push(format!("{path} {body}"));
        }
        match (method, path) {
            ("POST", "/v1/registration") => registered_answer(),
            ("GET", "/v1/privacy") => (200, serde_json::to_string(&self.privacy).unwrap()),
            ("PUT", "/v1/privacy") => {
                self.privacy = serde_json::from_str(body).unwrap();
                (204, String::new())
            }
            ("GET", "/v1/people") => {
                let known = |(number, person): (&String, &Person)| Known {
                    number: number.parse().unwrap(),
                    person: person.clone(),
                };
                let people = People { people: self.people.iter().map(known).collect() };
                (200, serde_json::to_string(&people).unwrap())
            }
            ("PUT", path) => {
                let number = path.strip_prefix("/v1/people/%2B").unwrap();
                let person: Person = serde_json::from_str(body).unwrap();
                self.people.insert(format!("+{number}"), person);
                self.people.retain(|_, person| *person != Person::default());
                (204, String::new())
            }
            _ => (404, problem(ErrorCode::NotFound)),
        }
    }
}

type Shared = Arc<Mutex<Mailbox>>;

async fn registered() -> (Machine, Shared) {
    let fake = Fake::start().await;
    let mailbox = Shared::default();
    let shared = Arc::clone(&mailbox);
    fake.answer(move |line, body| shared.lock().unwrap().answers(line, body));
    (Machine::on(fake).registers().await, mailbox)
}

/// What the server was told since this was asked last. People of whom it was told at the same time are
/// in the order of their numbers.
fn told(mailbox: &Shared) -> Vec<String> {
    let mut told = std::mem::take(&mut mailbox.lock().unwrap().told);
    let person = |request: &str| request.starts_with("/v1/people/");
    for together in told.chunk_by_mut(|one, next| person(one) == person(next)) {
        together.sort_unstable();
    }
    told
}

fn contact(digits: u64, is: bool) -> String {
    format!(r#"/v1/people/%2B{digits} {{"contact":{is},"blocked":false}}"#)
}

/// Runs what must succeed. Returns what it prints for people to see and, after it, its remarks.
async fn said(machine: &Machine, arguments: &[&str]) -> (String, String) {
    let output = machine.run(arguments).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    (text(&output).to_owned(), error(&output).to_owned())
}

fn deliver(from: u64, index: u64, text: &str) -> ServerFrame {
    ServerFrame::Deliver(Deliver {
        id: MessageId { stream: 9, number: index },
        from: number(from),
        device: DeviceId(2),
        at: now(),
        body: Body(text.into()),
        after: None,
        to: None,
    })
}

#[tokio::test]
async fn the_library_asks_and_sets() {
    let mut fake = Fake::start().await;
    let mailbox = Shared::default();
    let shared = Arc::clone(&mailbox);
    fake.answer(move |line, body| shared.lock().unwrap().answers(line, body));
    let server = Server::new(&fake.address).unwrap();
    let privacy = Privacy { last_seen: Audience::Nobody, ..Privacy::default() };
    server.set_privacy(TOKEN, &privacy).await.unwrap();
    assert_eq!(server.privacy(TOKEN).await.unwrap(), privacy);
    let person = Person { contact: true, blocked: true, except: vec![Attribute::Online] };
    server.set_person(TOKEN, number(BOB), &person).await.unwrap();
    let people = server.people(TOKEN).await.unwrap().people;
    assert_eq!(people, [Known { number: number(BOB), person }]);
    for _ in 0..4 {
        let Seen::Request { authorization, .. } = fake.next().await else { panic!("no request") };
        assert_eq!(authorization, format!("Bearer {TOKEN}"));
    }
    fake.answer(|_, _| (409, problem(ErrorCode::TooManyPeople)));
    let refused = server.set_person(TOKEN, number(BOB), &Person::default()).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::TooManyPeople));
}

#[tokio::test]
async fn audiences_and_exceptions_are_a_small_table() {
    let (machine, mailbox) = registered().await;
    said(&machine, &["contacts", "add", "+33687654321", "Bob"]).await;
    assert_eq!(told(&mailbox), [""; 0], "nobody is shown anything as a contact");
    let (table, _) = said(&machine, &["privacy"]).await;
    assert_eq!(
        table,
        "last seen   everyone\nonline      everyone\nread marks  everyone\nprofile     everyone\n\
         number      nobody\nblocked     nobody\n"
    );
    said(&machine, &["privacy", "set", "online", "nobody", "--except", "Bob", "+33611111111"])
        .await;
    said(&machine, &["block", "+33 699 99 99 99"]).await;
    let (table, _) = said(&machine, &["privacy", "set", "last-seen", "--except", "bob"]).await;
    assert_eq!(
        table,
        "last seen   everyone; hidden from Bob\n\
         online      nobody; shown to +33611111111, Bob\n\
         read marks  everyone\n\
         profile     everyone\n\
         number      nobody\n\
         blocked     +33699999999\n"
    );
    let output = machine.run(&["--json", "privacy", "set", "online", "--no-except", "Bob"]).await;
    assert_eq!(
        lines(&output),
        [
            json!({
                "type": "privacy", "last_seen": "everyone", "online": "nobody",
                "read_marks": "everyone", "profile": "everyone", "number": "nobody",
            }),
            json!({
                "type": "person", "number": "+33611111111", "name": null, "contact": false,
                "blocked": false, "except": ["online"],
            }),
            json!({
                "type": "person", "number": "+33687654321", "name": "Bob", "contact": false,
                "blocked": false, "except": ["last_seen"],
            }),
            json!({
                "type": "person", "number": "+33699999999", "name": null, "contact": false,
                "blocked": true, "except": [],
            }),
        ]
    );

    // Whoever saw nothing must not be the only one who sees it.
    let (table, remark) = said(&machine, &["privacy", "set", "last-seen", "nobody"]).await;
    assert!(table.starts_with("last seen   nobody\n"), "{table}");
    assert!(remark.contains("No exception any more: Bob."), "{remark}");

    for (arguments, says) in [
        (&["privacy", "set", "last-seen"][..], "<AUDIENCE>"),
        (&["privacy", "set", "online", "friends"], "[possible values: everyone"),
        (&["privacy", "set", "online", "--except", "Zoe"], "neither a phone number nor a contact"),
        (&["block", "+33612345678"], "your own number"),
    ] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(error(&output).contains(says), "{}", error(&output));
    }
}

#[tokio::test]
async fn contacts_are_told_only_while_something_is_shown_to_them() {
    let (machine, mailbox) = registered().await;
    said(&machine, &["contacts", "add", "+33687654321", "Bob"]).await;
    said(&machine, &["block", "Bob"]).await;
    told(&mailbox);
    said(&machine, &["privacy", "set", "last-seen", "contacts"]).await;
    // The contacts first, and nothing else that was said of them is lost.
    let bob = format!(r#"/v1/people/%2B{BOB} {{"contact":true,"blocked":true}}"#);
    let privacy = |last_seen| {
        format!(
            "/v1/privacy {{\"last_seen\":\"{last_seen}\",\"online\":\"everyone\",\
             \"read_marks\":\"everyone\"}}"
        )
    };
    assert_eq!(told(&mailbox), [bob, privacy("contacts")]);

    said(&machine, &["contacts", "add", "+33611111111", "Carol"]).await;
    assert_eq!(told(&mailbox), [contact(CAROL, true)]);
    said(&machine, &["contacts", "add", "+33611111111", "Caroline"]).await;
    assert_eq!(told(&mailbox), [""; 0], "a name is nobody's business");
    said(&machine, &["contacts", "remove", "Caroline"]).await;
    assert_eq!(told(&mailbox), [contact(CAROL, false)]);
    said(&machine, &["contacts", "add", "+33611111111", "Carol"]).await;
    said(&machine, &["unblock", "Bob"]).await;
    told(&mailbox);

    said(&machine, &["privacy", "set", "last-seen", "everyone"]).await;
    let forgotten = [privacy("everyone"), contact(CAROL, false), contact(BOB, false)];
    assert_eq!(told(&mailbox), forgotten);
    assert!(mailbox.lock().unwrap().people.is_empty());
    said(&machine, &["contacts", "remove", "Carol"]).await;
    assert_eq!(told(&mailbox), [""; 0]);
}

#[tokio::test]
async fn what_the_server_could_not_be_told_is_told_later() {
    let (machine, mailbox) = registered().await;
    said(&machine, &["privacy", "set", "online", "contacts"]).await;
    told(&mailbox);
    machine.fake.reject(ErrorCode::Unavailable);
    let (added, remark) = said(&machine, &["contacts", "add", "+33687654321", "Bob"]).await;
    assert_eq!(added, "+33687654321 is called Bob.\n");
    assert!(remark.contains("does not know of this contact yet"), "{remark}");
    machine.fake.accept();
    said(&machine, &["contacts", "add", "+33611111111", "Carol"]).await;
    assert_eq!(told(&mailbox), [contact(CAROL, true), contact(BOB, true)]);

    // What ends in the middle is done by the next command, whichever it is.
    mailbox.lock().unwrap().changes_left = Some(2);
    let output = machine.run(&["privacy", "set", "online", "nobody"]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    mailbox.lock().unwrap().changes_left = None;
    assert_eq!(mailbox.lock().unwrap().people.len(), 1);
    said(&machine, &["privacy"]).await;
    assert!(mailbox.lock().unwrap().people.is_empty());

    // Another device of the account may have ended it: then nothing more is told.
    said(&machine, &["privacy", "set", "online", "contacts"]).await;
    mailbox.lock().unwrap().privacy.online = Audience::Everyone;
    told(&mailbox);
    said(&machine, &["contacts", "add", "+33699999999", "Dave"]).await;
    assert_eq!(told(&mailbox), [contact(CAROL, false), contact(BOB, false)]);
}

#[tokio::test]
async fn nothing_is_sent_to_the_blocked_even_offline() {
    let (machine, mailbox) = registered().await;
    said(&machine, &["contacts", "add", "+33687654321", "Bob"]).await;
    let output = machine.run(&["--json", "block", "Bob"]).await;
    assert_eq!(
        lines(&output),
        [json!({
            "type": "person", "number": "+33687654321", "name": "Bob", "contact": false,
            "blocked": true, "except": [],
        })]
    );
    machine.fake.reject(ErrorCode::Unavailable);
    for arguments in
        [&["send", "Bob", "hi"][..], &["chat", "Bob"], &["send", "Bob", "--file", "Cargo.toml"]]
    {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let expected = "estafette: Bob is blocked: `estafette unblock +33687654321` lets you write \
                        to each other again.\n";
        assert_eq!(error(&output), expected);
    }
    let (list, _) = said(&machine, &["contacts", "list"]).await;
    assert_eq!(list, "+33687654321      Bob  (blocked)\n");
    let output = machine.run(&["unblock", "Bob"]).await;
    assert_eq!(output.status.code(), Some(6), "the server must know of it");
    machine.fake.accept();
    let (unblocked, _) = said(&machine, &["unblock", "Bob"]).await;
    assert!(unblocked.starts_with("Bob is no longer blocked."), "{unblocked}");
    said(&machine, &["send", "Bob", "hi", "--wait", "queued"]).await;

    // What another device does is known once it is looked at.
    let person = Person { blocked: true, ..Person::default() };
    mailbox.lock().unwrap().people.insert("+33687654321".into(), person);
    said(&machine, &["privacy"]).await;
    assert_eq!(machine.run(&["send", "Bob", "hi"]).await.status.code(), Some(1));
}

#[tokio::test]
async fn somebody_can_be_blocked_while_their_messages_come_in() {
    let (mut machine, mailbox) = registered().await;
    let listening = machine.command(&["listen"]).spawn().unwrap();
    machine.fake.upgrade().await;
    let (blocked, remark) = said(&machine, &["block", "+33687654321"]).await;
    assert!(blocked.starts_with("+33687654321 is blocked"), "{blocked}");
    assert!(remark.contains("`estafette privacy` notes it"), "{remark}");
    assert!(mailbox.lock().unwrap().people["+33687654321"].blocked);
    for arguments in [&["block", "Bob"][..], &["privacy", "set", "online", "contacts"]] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(error(&output).contains("uses this profile: end it first"), "{}", error(&output));
    }
    drop(listening);
}

#[tokio::test]
async fn strangers_are_said_to_be_strangers() {
    let (mut machine, _) = registered().await;
    let listening = machine.command(&["listen", "--count", "2"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(BOB, 1, "you won"), deliver(BOB, 2, "call me")]);
    let output = listening.wait_with_output().await.unwrap();
    let remark = "+33687654321 is not in your contacts, and you never wrote to them: answer, or run \
                  `estafette block +33687654321`.\n";
    assert_eq!(error(&output), remark, "it is said once");
    assert_eq!(text(&output).lines().count(), 2);
    let (_, said_of_history) = said(&machine, &["history", "+33687654321"]).await;
    assert_eq!(said_of_history, remark);

    let strangers = |output: &Output| -> Vec<Value> {
        let messages = lines(output).into_iter().filter(|line| line["type"] == "message");
        messages.map(|line| line["stranger"].clone()).collect()
    };
    let history = machine.run(&["--json", "history", "+33687654321"]).await;
    assert_eq!(strangers(&history), [json!(true), json!(true)]);
    let listening = machine.command(&["--json", "listen", "--count", "1"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(BOB, 3, "hello?")]);
    assert_eq!(strangers(&listening.wait_with_output().await.unwrap()), [json!(true)]);

    // Without a terminal the chat says it too. Whoever is answered is no stranger any more.
    let mut chat = machine.command(&["chat", "+33687654321"]);
    let mut chatting = chat.stdin(Stdio::piped()).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(BOB, 4, "hello!")]);
    let mut input = chatting.stdin.take().unwrap();
    let mut shown = BufReader::new(chatting.stdout.take().unwrap()).lines();
    assert!(shown.next_line().await.unwrap().unwrap().ends_with("hello!"));
    input.write_all(b"who is this?\n").await.unwrap();
    let last = MessageId { stream: 9, number: 5 };
    let mut done = false;
    while !done {
        let (id, more) = match machine.fake.frame().await {
            ClientFrame::Receipt(receipt) => {
                done = receipt.ids.contains(&last);
                (receipt.id, None)
            }
            ClientFrame::Send(send) => (send.id, Some(deliver(BOB, 5, "Bob"))),
            _ => continue,
        };
        let sent = ServerFrame::Sent(Sent { ids: vec![id], at: now() });
        machine.fake.say([Some(sent), more].into_iter().flatten().collect());
    }
    drop(input);
    let output = chatting.wait_with_output().await.unwrap();
    assert_eq!(error(&output), remark);
    let history = machine.run(&["--json", "history", "+33687654321"]).await;
    assert!(strangers(&history).iter().all(Value::is_null), "{history:?}");
}
