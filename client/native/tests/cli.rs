//! The command line as people and scripts use it: what is typed, printed and returned.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::path::Path;
use std::process::Stdio;
use std::{env, fs};

use estafette::ErrorCode;
use estafette_protocol::http::CodeSent;
use estafette_protocol::{Body, ClientFrame, Deliver, DeviceId, MessageId, Sent, ServerFrame};
use fake::{BOB, Fake, now, problem, registered_answer};
use machine::{Machine, error, lines};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

impl Machine {
    async fn new() -> Self {
        let fake = Fake::start().await;
        fake.answer(|line, body| match line {
            "POST /v1/registration/code" => {
                let sent = CodeSent { resend_after: 30_000, expires_at: 1_900_000_000_000 };
                (200, serde_json::to_string(&sent).unwrap())
            }
            "POST /v1/registration" if body.contains(r#""code":"123456""#) => registered_answer(),
            "POST /v1/registration" => (403, problem(ErrorCode::WrongCode)),
            "GET /v1/devices" => (
                200,
                r#"{"devices":[{"id":"0000000000000001","name":"laptop","registered_at":5,"connected":true,"current":true}]}"#.into(),
            ),
            "GET /v1/health" => (200, format!(r#"{{"status":"ok","version":"9.9.9","now":{}}}"#, now())),
            "GET /v1/usage" => (
                200,
                r#"{"requests":7,"rows_written":2,"socket_messages":3,"spent":10,"budget":1000}"#.into(),
            ),
            _ => (404, problem(ErrorCode::NotFound)),
        });
        Self::on(fake)
    }

    async fn registered() -> Self {
        Self::new().await.registers().await
    }

    /// Takes `count` messages that a command sends, and says that they are safe.
    async fn take(&mut self, count: usize) -> Vec<(MessageId, String)> {
        self.fake.upgrade().await;
        self.fake.greet();
        let mut taken = Vec::new();
        while taken.len() < count {
            if let ClientFrame::Send(send) = self.fake.frame().await {
                self.fake.say(vec![ServerFrame::Sent(Sent { ids: vec![send.id], at: now() })]);
                taken.push((send.id, String::from_utf8(send.body.0).unwrap()));
            }
        }
        taken
    }
}

#[tokio::test]
async fn help_is_as_it_was_agreed() {
    let machine = Machine::new().await;
    let mut help = String::new();
    for command in [
        "",
        "register",
        "link",
        "send",
        "fetch",
        "chat",
        "listen",
        "history",
        "contacts",
        "contacts find",
        "privacy",
        "privacy set",
        "profile",
        "profile set",
        "profile show",
        "block",
        "unblock",
        "report",
        "devices",
        "pin",
        "account",
        "account move",
        "account delete",
        "status",
        "completions",
    ] {
        let arguments: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let output = machine.run(&arguments).await;
        assert_eq!(output.status.code(), Some(0));
        help += &format!("$ estafette {}\n", arguments.join(" "));
        help += std::str::from_utf8(&output.stdout).unwrap();
        help += "\n";
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &help).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert!(help == golden, "the help has changed: run the test with UPDATE_GOLDEN=1 and look");
}

#[tokio::test]
async fn wrong_usage_is_told_apart_and_says_what_to_type() {
    let machine = Machine::registered().await;
    for (arguments, says) in [
        (&["send", "0612345678", "hi"][..], "type a plus sign, the country code"),
        (&["send", "Bob", "hi"], "estafette contacts add NUMBER Bob"),
        (&["send", "+33687654321"], "there is nothing to send"),
        (&["send", "+33687654321", "hi", "--wait", "seen"], "[possible values: queued"),
        (&["send", "+33687654321", "hi", "--timeout", "soon"], "a number of seconds"),
        (&["--profile", "../x", "status"], "use letters"),
        (&["chat", "+33612345678"], "your own number"),
        (&["register", "+33612345678", "--server", "http://example.org"], "write https://HOST"),
        (&["contacts", "add", "+33687654321", "+33612345678"], "a name that is no number"),
        (&["devices", "remove", "xyz"], "hexadecimal"),
        (&[], "Usage:"),
    ] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(error(&output).contains(says), "{arguments:?}: {}", error(&output));
    }
    let output = machine.run(&["--profile", "other", "history", "+33687654321"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(error(&output).contains("estafette register NUMBER"), "{}", error(&output));
}

#[tokio::test]
async fn registering_asks_for_a_code_and_takes_it_from_standard_input() {
    let machine = Machine::new().await;
    let register = ["--json", "register", "0033 612-345-678"];
    let output = machine.run(&register).await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        lines(&output),
        [json!({
            "type": "code_sent", "number": "+33612345678",
            "resend_after": 30_000, "expires_at": 1_900_000_000_000_u64,
        })]
    );
    let output = machine.feed(&register, "111111\n").await;
    assert_eq!(output.status.code(), Some(6));
    let said: Value = serde_json::from_str(error(&output)).unwrap();
    assert_eq!(
        said,
        json!({ "type": "error", "code": "wrong_code", "message": "This is wrong_code" })
    );
    let output = machine.feed(&register, " 123-456\n").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        lines(&output)[1],
        json!({
            "type": "registered", "number": "+33612345678", "device": "0000000000000001",
            "server": machine.fake.address, "expires_at": 1_900_000_000_000_u64,
        })
    );
}

#[tokio::test]
async fn sending_waits_until_the_server_has_it() {
    let mut machine = Machine::registered().await;
    let arguments = ["--json", "send", "+33 687 654 321", "on", "my", "way"];
    let sending = machine.command(&arguments).spawn().unwrap();
    let taken = machine.take(1).await;
    assert_eq!(taken[0].1, "on my way");
    let output = sending.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let id = taken[0].0.to_string();
    assert_eq!(
        lines(&output),
        [json!({ "type": "status", "peer": "+33687654321", "id": id, "status": "sent" })]
    );
}

#[tokio::test]
async fn each_line_of_standard_input_is_a_message_or_all_of_it_is() {
    let mut machine = Machine::registered().await;
    for (arguments, expected) in [
        (&["send", "+33687654321", "--lines"][..], vec!["one", "two"]),
        (&["send", "+33687654321"], vec!["one\n\ntwo"]),
        (&["chat", "+33687654321"], vec!["one", "two"]),
    ] {
        let mut sending = machine.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        sending.stdin.take().unwrap().write_all(b"one\n\ntwo\n").await.unwrap();
        let taken = machine.take(expected.len()).await;
        let taken: Vec<_> = taken.into_iter().map(|(_, text)| text).collect();
        assert_eq!(taken, expected, "{arguments:?}");
        let output = sending.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[tokio::test]
async fn what_is_queued_is_sent_by_the_next_command() {
    let mut machine = Machine::registered().await;
    machine.fake.reject(ErrorCode::Unavailable);
    let send = ["send", "+33687654321", "later"];
    let output = machine.run(&[&send[..], &["--wait", "queued"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = machine.run(&[&send[..], &["--timeout", "0.1"]].concat()).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(error(&output).contains("1 message will be sent"), "{}", error(&output));
    machine.fake.accept();
    let listening = machine.command(&["listen"]).spawn().unwrap();
    assert_eq!(machine.take(2).await.len(), 2);
    drop(listening);
}

#[tokio::test]
async fn a_removed_device_is_told_to_register_again() {
    let machine = Machine::registered().await;
    machine.fake.reject(ErrorCode::DeviceRemoved);
    for arguments in [&["send", "+33687654321", "hi"][..], &["listen"], &["devices", "list"]] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        assert!(error(&output).contains("was removed from the account"), "{}", error(&output));
    }
}

#[tokio::test]
async fn listening_prints_each_message_once_whoever_received_it() {
    let mut machine = Machine::registered().await;
    let added = machine.run(&["contacts", "add", "+33687654321", "Bob"]).await;
    assert_eq!(added.status.code(), Some(0));
    let at = now();
    let deliver = |number: u64, body: &[u8]| {
        ServerFrame::Deliver(Deliver {
            id: MessageId { stream: 9, number },
            from: fake::number(BOB),
            device: DeviceId(2),
            at,
            body: Body(body.to_vec()),
            after: None,
            to: None,
        })
    };
    // The first comes while another command runs.
    let sending = machine.command(&["send", "Bob", "hi"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(1, "héllo\nyou".as_bytes())]);
    let mut acknowledged = false;
    let mut sent = false;
    while !(acknowledged && sent) {
        match machine.fake.frame().await {
            ClientFrame::Ack(_) => acknowledged = true,
            ClientFrame::Send(send) => {
                let ids = vec![send.id];
                machine.fake.say(vec![ServerFrame::Sent(Sent { ids, at: now() })]);
                sent = true;
            }
            other => panic!("nobody has read it, and nobody is there: {other:?}"),
        }
    }
    assert_eq!(sending.wait_with_output().await.unwrap().status.code(), Some(0));

    let arguments = ["--json", "listen", "--count", "2", "--read"];
    let listening = machine.command(&arguments).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(2, b"\xff\x00")]);
    let output = listening.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let messages: Vec<_> =
        lines(&output).into_iter().filter(|line| line["type"] == "message").collect();
    let message = |number: u64, key: &str, value: &str| {
        json!({
            "type": "message", "peer": "+33687654321", "name": "Bob", "incoming": true,
            "id": MessageId { stream: 9, number }.to_string(), "at": at, "status": "delivered",
            key: value,
        })
    };
    assert_eq!(messages, [message(1, "text", "héllo\nyou"), message(2, "body", "/wA=")]);

    // Both were printed, so the next listener begins with what is new.
    let listening = machine.command(&["listen", "--count", "1"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    machine.fake.say(vec![deliver(3, b"new \x1b[31m")]);
    let output = listening.wait_with_output().await.unwrap();
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert!(text.ends_with(" Bob: new \u{fffd}[31m\n"), "{text:?}");
    assert_eq!(text.lines().count(), 1);

    let history = machine.run(&["history", "Bob", "--limit", "2"]).await;
    let text = std::str::from_utf8(&history.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text:?}");
}

#[tokio::test]
async fn contacts_devices_and_status_have_stable_shapes() {
    let mut machine = Machine::registered().await;
    let contact = |name: &str| json!({ "type": "contact", "number": "+33687654321", "name": name });
    let output = machine.run(&["--json", "contacts", "add", "+33687654321", "Bob", "B."]).await;
    assert_eq!(lines(&output), [contact("Bob B.")]);
    let output = machine.run(&["--json", "contacts", "list"]).await;
    assert_eq!(lines(&output), [contact("Bob B.")]);
    let output = machine.run(&["--json", "contacts", "remove", "bob b."]).await;
    assert_eq!(lines(&output), [contact("")]);

    let output = machine.run(&["--json", "devices", "list"]).await;
    assert_eq!(
        lines(&output),
        [json!({
            "type": "device", "id": "0000000000000001", "name": "laptop", "registered_at": 5,
            "connected": true, "current": true, "primary": false, "seen_at": null,
        })]
    );

    let asking = machine.command(&["--json", "status"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    let output = asking.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut status = lines(&output).remove(0);
    for measured in ["clock_ahead", "connected_in", "store_bytes"] {
        assert!(status[measured].is_number(), "{measured}");
        status.as_object_mut().unwrap().remove(measured);
    }
    assert_eq!(
        status,
        json!({
            "type": "overview", "profile": "default", "number": "+33612345678",
            "device": "0000000000000001", "server": machine.fake.address, "version": "9.9.9",
            "token_expires_at": 1_900_000_000_000_u64, "in_use": false,
            "messages_pending": 0, "receipts_pending": 0, "chats": 0, "unread": 0, "contacts": 0,
            "usage": {
                "requests": 7, "rows_written": 2, "socket_messages": 3, "spent": 10, "budget": 1000,
            },
        })
    );
}

#[tokio::test]
async fn a_profile_that_is_in_use_is_left_alone_and_status_still_works() {
    let mut machine = Machine::registered().await;
    let listening = machine.command(&["listen"]).spawn().unwrap();
    machine.fake.upgrade().await;
    let output = machine.run(&["history", "+33687654321"]).await;
    assert_eq!(output.status.code(), Some(1));
    let process = format!("(process {})", listening.id().unwrap());
    assert!(error(&output).contains(&process), "{}", error(&output));
    let output = machine.run(&["--json", "status"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output)[0]["in_use"], json!(true));
}

#[tokio::test]
async fn completions_are_made_for_every_shell() {
    let machine = Machine::new().await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = machine.run(&["completions", shell]).await;
        assert_eq!(output.status.code(), Some(0));
        let text = std::str::from_utf8(&output.stdout).unwrap();
        assert!(text.contains("register") && text.contains("timeout"), "{shell}");
    }
}
