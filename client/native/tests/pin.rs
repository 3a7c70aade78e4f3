//! The registration PIN at the command line: set, asked for, lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::process::Stdio;

use data_encoding::BASE64;
use estafette::{ErrorCode, Millis, PinKey};
use estafette_protocol::http::{CodeSent, Problem, Registered};
use estafette_protocol::{DeviceId, KeysChanged, ServerFrame};
use fake::{ALICE, BOB, Fake, Seen, TOKEN, number, problem};
use machine::{Machine, error, lines, text};
use serde_json::{Value, json};

const DAY: Millis = 24 * 60 * 60 * 1000;
const PIN: &str = "0420";

/// What the server is told of a PIN of Alice's.
fn key(pin: &str) -> String {
    BASE64.encode(PinKey::derive(number(ALICE), pin).unwrap().as_bytes())
}

fn refusal(error: ErrorCode, retry_after: Option<Millis>) -> (u16, String) {
    let message = format!("This is {}.", error.as_str());
    let problem = Problem { error, message, retry_after };
    (error.status(), serde_json::to_string(&problem).unwrap())
}

fn registered() -> (u16, String) {
    let registered = Registered {
        account: number(ALICE),
        device: DeviceId(1),
        token: TOKEN.into(),
        expires_at: 1_900_000_000_000,
    };
    (201, serde_json::to_string(&registered).unwrap())
}

/// A server where Alice's number has a PIN.
async fn guarded() -> Machine {
    let fake = Fake::start().await;
    let right = format!(r#""pin":"{}""#, key(PIN));
    fake.answer(move |line, body| match line {
        "POST /v1/registration/code" => {
            let sent = CodeSent { resend_after: 30_000, expires_at: 1_900_000_000_000 };
            (202, serde_json::to_string(&sent).unwrap())
        }
        "POST /v1/registration" if !body.contains(r#""code":"123456""#) => {
            (403, problem(ErrorCode::WrongCode))
        }
        "POST /v1/registration" if body.contains(&right) => registered(),
        "POST /v1/registration" if body.contains("pin") => {
            refusal(ErrorCode::WrongPin, Some(120_000))
        }
        "POST /v1/registration" => refusal(ErrorCode::PinRequired, Some(6 * DAY + 1)),
        _ => (404, problem(ErrorCode::NotFound)),
    });
    Machine::on(fake)
}

#[tokio::test]
async fn registering_asks_for_the_pin_after_the_code() {
    let machine = guarded().await;
    let register = ["--json", "register", "+33612345678"];
    let output = machine.feed(&register, &format!("123456\n{PIN}\n")).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output)[1]["type"], "registered");
    // Or the code is given, and the PIN alone is asked for.
    let machine = guarded().await;
    let output = machine.feed(&["register", "+33612345678", "--code", "123456"], "0420\n").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let says = "The number has a registration PIN. If it is lost, the number opens in 7 days";
    assert!(error(&output).contains(says), "{}", error(&output));
    assert!(!error(&output).contains(PIN) && !text(&output).contains(PIN));
}

#[tokio::test]
async fn who_has_no_pin_or_a_wrong_one_is_told_what_to_do() {
    let machine = guarded().await;
    let register = ["--json", "register", "+33612345678", "--code", "123456"];
    for (input, code, says) in [
        ("", "pin_required", "no PIN was given: register again when you have it"),
        ("0421\n", "wrong_pin", "This is wrong_pin (in 2 min)"),
    ] {
        let output = machine.feed(&register, input).await;
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        let said: Value = serde_json::from_str(error(&output)).unwrap();
        assert_eq!((&said["code"], &said["message"]), (&code.into(), &says.into()));
    }
    let output = machine.feed(&register, "04 20\n").await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(error(&output).contains("a PIN is 4 to 12 digits"), "{}", error(&output));
    assert!(!machine.directory.path().join("default").join("account.json").exists());
}

/// The bodies of the requests that were made for a PIN.
async fn told(machine: &mut Machine, count: usize) -> Vec<(String, String)> {
    let mut told = Vec::new();
    while told.len() < count {
        match machine.fake.next().await {
            Seen::Request { line, authorization, body } if line.ends_with("/v1/pin") => {
                assert_eq!(authorization, format!("Bearer {TOKEN}"));
                told.push((line, body));
            }
            _ => {}
        }
    }
    told
}

#[tokio::test]
async fn a_pin_is_set_looked_up_and_removed() {
    let machine = Machine::on(Fake::start().await);
    machine.fake.answer(|_, _| registered());
    let mut machine = machine.registers().await;
    machine.fake.answer(|line, _| match line {
        "GET /v1/pin" => (200, r#"{"set":true}"#.into()),
        _ => (204, String::new()),
    });
    for wrong in ["", "123\n", "12345678901234\n", "hello\n"] {
        let output = machine.feed(&["pin", "set"], wrong).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    let output = machine.feed(&["--json", "pin", "set"], " 0420 \n").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output), [json!({ "type": "pin", "set": true })]);
    let output = machine.run(&["pin"]).await;
    assert_eq!(text(&output), "+33612345678 has a registration PIN.\n");
    let output = machine.run(&["--json", "pin", "remove"]).await;
    assert_eq!(lines(&output), [json!({ "type": "pin", "set": false })]);
    let put = format!(r#"{{"pin":"{}"}}"#, key(PIN));
    let requests = told(&mut machine, 3).await;
    let requests: Vec<_> = requests.iter().map(|(line, body)| (&line[..], &body[..])).collect();
    assert_eq!(
        requests,
        [("PUT /v1/pin", &put[..]), ("GET /v1/pin", ""), ("DELETE /v1/pin", "")],
        "of the wrong ones the server is told nothing"
    );
    machine.fake.answer(|_, _| (200, r#"{"set":false}"#.into()));
    let output = machine.run(&["pin"]).await;
    assert!(text(&output).contains("`estafette pin set` sets one"), "{}", text(&output));
    machine.fake.answer(|_, _| (403, problem(ErrorCode::NotPrimary)));
    let output = machine.run(&["pin", "remove"]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

#[tokio::test]
async fn it_is_said_in_a_chat_that_keys_changed() {
    let machine = Machine::on(Fake::start().await);
    machine.fake.answer(|_, _| registered());
    let mut machine = machine.registers().await;
    let changed = ServerFrame::KeysChanged(KeysChanged { from: number(BOB), at: 5 });
    for (arguments, ends) in [
        (&["--json", "chat", "+33687654321"][..], true),
        (&["chat", "+33687654321"], true),
        (&["--json", "listen"], false),
    ] {
        let mut chatting = machine.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // Until it is closed, the chat goes on.
        let _input = chatting.stdin.take();
        machine.fake.upgrade().await;
        machine.fake.greet();
        if ends {
            // Its presence, which opens the chat.
            machine.fake.frame().await;
        }
        machine.fake.say(vec![changed.clone()]);
        machine.fake.say(vec![ServerFrame::Goaway(estafette_protocol::Goaway {
            code: ErrorCode::DeviceRemoved,
            retry_after: None,
        })]);
        let output = chatting.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        if arguments[0] == "--json" {
            let line = json!({ "type": "keys_changed", "peer": "+33687654321", "at": 5 });
            assert!(lines(&output).contains(&line), "{output:?}");
        } else {
            let says = "The security keys of +33687654321 have changed: they registered again.";
            assert!(error(&output).contains(says), "{output:?}");
        }
    }
}
