//! Several devices of one account, from the command line: linking, naming, and what they do meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use data_encoding::BASE64;
use estafette::{AccountSecret, ChatUrl, DeviceId, ErrorCode, LinkUrl};
use estafette_protocol::http::{Collected, Link, Linked, Registered};
use estafette_protocol::{
    Activity, Body, ClientFrame, Deliver, Doing, MessageId, Presence, Seen as Told, Sent,
    ServerFrame,
};
use estafette_testkit::{account_secret, device_key, device_seed};
use fake::{ALICE, BOB, Fake, Seen, TOKEN, me, now, number, problem};
use machine::{Machine, error, lines, text};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

const CODE: &str = "0123456789abcdef0123456789abcdef01234567";
const SECRET: &str = "secret";

impl Machine {
    /// A machine whose server approves a link when it is asked for the second time.
    async fn new() -> Self {
        let fake = Fake::start().await;
        let asked = AtomicU32::new(0);
        let registered = || Registered {
            account: number(ALICE),
            device: DeviceId(1),
            token: TOKEN.into(),
            expires_at: 1_900_000_000_000,
        };
        fake.answer(move |line, body| match line {
            "POST /v1/links" => {
                assert_eq!(body, "");
                let (link, secret) = (CODE.into(), SECRET.into());
                let link = Link { link, secret, expires_at: now() + 120_000 };
                (201, serde_json::to_string(&link).unwrap())
            }
            _ if line == format!("GET /v1/links/{CODE}") => {
                if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                    (202, String::new())
                } else {
                    let Registered { account, device, token, expires_at } = registered();
                    let handover = account_secret(account).hand_over(&device_key(me()), CODE);
                    let handover = handover.map(|sealed| BASE64.encode(&sealed));
                    let collected = Collected { account, device, token, expires_at, handover };
                    (200, serde_json::to_string(&collected).unwrap())
                }
            }
            "POST /v1/registration" => (200, serde_json::to_string(&registered()).unwrap()),
            "POST /v1/devices" if body.contains("refused") => {
                (409, problem(ErrorCode::TooManyDevices))
            }
            "POST /v1/devices" => {
                (201, serde_json::to_string(&Linked { device: DeviceId(2) }).unwrap())
            }
            "PATCH /v1/devices/0000000000000002" => (204, String::new()),
            "PATCH /v1/devices/0000000000000003" => (403, problem(ErrorCode::NotPrimary)),
            "GET /v1/devices" => (
                200,
                r#"{"devices":[
                    {"id":"0000000000000001","name":"phone","registered_at":5,"connected":true,
                        "current":true,"primary":true},
                    {"id":"0000000000000002","name":"tablet","registered_at":5,"connected":false,
                        "current":false,"seen_at":1764028800000}]}"#
                    .into(),
            ),
            _ => (404, problem(ErrorCode::NotFound)),
        });
        Self::on(fake)
    }

    async fn registered() -> Self {
        Self::new().await.registers().await
    }

    /// The next request, whatever happens before.
    async fn request(&mut self, wanted: &str) -> (String, Value) {
        loop {
            if let Seen::Request { line, authorization, body } = self.fake.next().await
                && line == wanted
            {
                return (authorization, serde_json::from_str(&body).unwrap_or_default());
            }
        }
    }
}

#[tokio::test]
async fn a_new_device_shows_a_code_and_waits_for_the_approval() {
    let mut machine = Machine::new().await;
    let output = machine.run(&["link", "--name", "my laptop"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output);
    assert!(said.contains("████"), "{said}");
    let url = said.lines().find(|line| line.starts_with("estafette://")).unwrap();
    let url: LinkUrl = url.parse().unwrap();
    assert_eq!((url.code(), url.name()), (CODE, "my laptop"));
    assert!(said.contains("It is good for 2 minutes."), "{said}");
    assert!(said.contains("This is now a device of +33612345678"), "{said}");
    assert!(said.contains("`estafette chat NUMBER`"), "{said}");
    for _ in 0..2 {
        let (authorization, _) = machine.request(&format!("GET /v1/links/{CODE}")).await;
        assert_eq!(authorization, format!("Bearer {SECRET}"));
    }
    // The profile is one like any other, and no second one of it can be made.
    let listed = machine.run(&["devices", "list"]).await;
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let again = machine.run(&["link"]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(error(&again).contains("use another profile"), "{}", error(&again));
}

#[tokio::test]
async fn linking_says_the_same_to_programs() {
    let machine = Machine::new().await;
    let output = machine.run(&["--json", "link"]).await;
    let [offer, result] = &lines(&output)[..] else { panic!("{output:?}") };
    assert_eq!(offer["type"], "link");
    assert!(offer["expires_at"].is_u64());
    let url: LinkUrl = offer["url"].as_str().unwrap().parse().unwrap();
    assert_eq!(url.name(), "command line");
    assert_eq!(
        *result,
        json!({
            "type": "registered", "number": "+33612345678", "device": "0000000000000001",
            "server": machine.fake.address, "expires_at": 1_900_000_000_000_u64,
        })
    );
}

#[tokio::test]
async fn nobody_approves_in_time() {
    let machine = Machine::new().await;
    machine.fake.answer(|line, _| match line {
        "POST /v1/links" => {
            let link = Link { link: CODE.into(), secret: SECRET.into(), expires_at: now() };
            (201, serde_json::to_string(&link).unwrap())
        }
        _ => (403, problem(ErrorCode::LinkExpired)),
    });
    let output = machine.run(&["--json", "link"]).await;
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let said: Value = serde_json::from_str(error(&output)).unwrap();
    assert_eq!(said["code"], "link_expired");
    assert!(said["message"].as_str().unwrap().contains("begin again"));
    // A removed device may be linked again, but not to another number.
    let machine = Machine::registered().await;
    machine.fake.answer(|line, _| match line {
        "GET /v1/devices" => (401, problem(ErrorCode::DeviceRemoved)),
        "POST /v1/links" => {
            let link = Link { link: CODE.into(), secret: SECRET.into(), expires_at: now() };
            (201, serde_json::to_string(&link).unwrap())
        }
        _ if line.starts_with("GET /v1/links") => {
            let (account, device, token) = (number(BOB), DeviceId(9), "bobs".to_owned());
            let registered = Registered { account, device, token, expires_at: now() };
            (200, serde_json::to_string(&registered).unwrap())
        }
        _ => (204, String::new()),
    });
    let mut machine = machine;
    let output = machine.run(&["link"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("belongs to +33612345678"), "{}", error(&output));
    let (authorization, _) = machine.request("DELETE /v1/devices/0000000000000009").await;
    assert_eq!(authorization, "Bearer bobs");
}

#[tokio::test]
async fn a_device_approves_names_and_lists_the_others() {
    let mut machine = Machine::registered().await;
    let url = LinkUrl::new(CODE, device_key(me()), "my laptop").unwrap().to_string();
    let output = machine.run(&["devices", "link", &url]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).starts_with("my laptop is now a device of +33612345678"), "{output:?}");
    let (authorization, body) = machine.request("POST /v1/devices").await;
    assert_eq!(authorization, format!("Bearer {TOKEN}"));
    let handover = BASE64.decode(body["handover"].as_str().unwrap().as_bytes()).unwrap();
    let key = BASE64.encode(&device_key(me()));
    let told = json!({
        "link": CODE, "name": "my laptop", "identity_key": key, "handover": body["handover"],
    });
    assert_eq!(body, told);
    let secret = AccountSecret::take_over(&device_seed(me()), CODE, &handover).unwrap();
    let path = machine.directory.path().join("default/account.key");
    assert_eq!(std::fs::read(path).unwrap(), secret.to_bytes());
    let output = machine.run(&["--json", "devices", "link", &url]).await;
    let linked = json!({ "type": "linked", "device": "0000000000000002", "name": "my laptop" });
    assert_eq!(lines(&output), [linked]);
    // Pasted, as a shell would not take it.
    let output = machine.feed(&["devices", "link"], &format!("{url}\n")).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let refused = LinkUrl::new(CODE, device_key(me()), "refused").unwrap().to_string();
    let output = machine.run(&["devices", "link", &refused]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let output = machine.run(&["devices", "link", "estafette://chat/+33612345678"]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(error(&output).contains("it begins with estafette://link"), "{}", error(&output));

    let rename = |id, name| ["devices", "rename", id, name];
    let output = machine.run(&rename("0000000000000002", "Marie's tablet")).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (_, body) = machine.request("PATCH /v1/devices/0000000000000002").await;
    assert_eq!(body, json!({ "name": "Marie's tablet" }));
    let output = machine.run(&rename("0000000000000003", "mine")).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let output = machine.run(&rename("0000000000000003", &"x".repeat(65))).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    let output = machine.run(&["devices", "list"]).await;
    assert_eq!(
        text(&output).lines().collect::<Vec<_>>(),
        [
            "0000000000000001  phone (connected, primary, this one), since 1 January 1970 00:00",
            "0000000000000002  tablet (away), since 1 January 1970 00:00, last seen 25 November 2025",
        ]
    );
    let output = machine.run(&["--json", "devices", "list"]).await;
    let listed = lines(&output);
    assert_eq!((&listed[0]["primary"], &listed[0]["seen_at"]), (&json!(true), &Value::Null));
    assert_eq!(listed[1]["seen_at"], json!(1_764_028_800_000_u64));
}

#[tokio::test]
async fn a_number_is_shared_as_a_link_and_added_from_one() {
    let machine = Machine::registered().await;
    let output = machine.run(&["contacts", "share"]).await;
    assert!(text(&output).ends_with("\n\nestafette://chat/+33612345678\n"), "{}", text(&output));
    let url = ChatUrl(number(ALICE)).to_string();
    let output = machine.run(&["--json", "contacts", "share"]).await;
    let shared = json!({ "type": "contact_link", "number": "+33612345678", "url": url });
    assert_eq!(lines(&output), [shared]);
    let bob = ChatUrl(number(BOB)).to_string();
    let output = machine.run(&["--json", "contacts", "add", &bob, "Bob"]).await;
    let added = json!({ "type": "contact", "number": "+33687654321", "name": "Bob" });
    assert_eq!(lines(&output), [added]);
    let output = machine.run(&["contacts", "add", "estafette://chat/33687654321", "Bob"]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test]
async fn a_listener_prints_what_another_device_wrote_and_counts_what_came_in() {
    let mut machine = Machine::registered().await;
    let at = now();
    let deliver = |number, from, to| {
        ServerFrame::Deliver(Deliver {
            id: MessageId { stream: 9, number },
            from: fake::number(from),
            device: DeviceId(2),
            at,
            body: Body(b"hi".to_vec()),
            after: None,
            to,
        })
    };
    let arguments = ["listen", "--count", "1"];
    for arguments in [&arguments[..], &[&["--json"], &arguments[..]].concat()] {
        let listening = machine.command(arguments).spawn().unwrap();
        machine.fake.upgrade().await;
        machine.fake.greet();
        let first = if arguments.len() == 3 { 1 } else { 3 };
        machine
            .fake
            .say(vec![deliver(first, ALICE, Some(number(BOB))), deliver(first + 1, BOB, None)]);
        let output = listening.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        if first == 1 {
            let said: Vec<_> = text(&output).lines().collect();
            assert!(said[0].ends_with(" me: hi ✓"), "{said:?}");
            assert!(said[1].ends_with(" +33687654321: hi"), "{said:?}");
        } else {
            let said = lines(&output);
            let said: Vec<_> = said.iter().filter(|line| line["type"] == "message").collect();
            assert_eq!((&said[0]["incoming"], &said[0]["status"]), (&json!(false), &json!("sent")));
            assert_eq!(said[1]["incoming"], json!(true));
        }
    }
}

#[tokio::test]
async fn a_chat_says_that_its_user_is_there_and_hears_of_the_peer() {
    let mut machine = Machine::registered().await;
    let mut chat =
        machine.command(&["--json", "chat", "+33687654321"]).stdin(Stdio::piped()).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    let there = Presence { available: true, watch: vec![number(BOB)] };
    loop {
        // It may say so in two steps.
        if machine.fake.frame().await == ClientFrame::Presence(there.clone()) {
            break;
        }
    }
    let from = number(BOB);
    machine.fake.say(vec![
        ServerFrame::Presence(Told { from, available: true, last_seen: None }),
        ServerFrame::ChatState(Doing { from, state: Activity::Composing }),
    ]);
    let mut stdin = chat.stdin.take().unwrap();
    stdin.write_all(b"hello\n").await.unwrap();
    let ClientFrame::Send(send) = machine.fake.frame().await else { panic!("no message") };
    machine.fake.say(vec![ServerFrame::Sent(Sent { ids: vec![send.id], at: now() })]);
    drop(stdin);
    let output = chat.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = lines(&output);
    let of = |kind: &str| said.iter().find(|line| line["type"] == kind).cloned();
    let peer = "+33687654321";
    assert_eq!(
        of("presence"),
        Some(json!({ "type": "presence", "peer": peer, "available": true, "last_seen": null }))
    );
    assert_eq!(
        of("activity"),
        Some(json!({ "type": "activity", "peer": peer, "activity": "composing" }))
    );
}
