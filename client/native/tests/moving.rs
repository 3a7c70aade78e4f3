//! `estafette account move`, as people and scripts run it: once, and again after it was stopped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use estafette::{Content, ErrorCode, Moved};
use estafette_protocol::http::{CodeSent, Device, Devices, Registered};
use estafette_protocol::{ClientFrame, DeviceId, Sent, ServerFrame};
use fake::{ALICE, BOB, Fake, Seen, TOKEN, now, number, problem};
use machine::{Machine, error, lines};
use serde_json::{Value, json};

const NEW: u64 = 33_699_999_999;
const MOVE: [&str; 6] = ["--json", "account", "move", "+33699999999", "--code", "123456"];

fn registered(account: u64, device: u64, token: &str) -> (u16, String) {
    let registered = Registered {
        account: number(account),
        device: DeviceId(device),
        token: token.into(),
        expires_at: 1_900_000_000_000,
    };
    (201, serde_json::to_string(&registered).unwrap())
}

fn devices(primary: bool) -> (u16, String) {
    let device = |id, current, primary| Device {
        id: DeviceId(id),
        name: "laptop".into(),
        registered_at: 5,
        connected: current,
        current,
        primary,
        seen_at: None,
    };
    let devices = vec![device(1, true, primary), device(3, false, !primary)];
    (200, serde_json::to_string(&Devices { devices }).unwrap())
}

/// Alice, who knows Bob. What the server says when it is asked to move, in order.
async fn machine(primary: bool, moves: Vec<(u16, String)>) -> Machine {
    let fake = Fake::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    fake.answer(move |line, body| match line {
        "POST /v1/registration/code" => {
            let sent = CodeSent { resend_after: 30_000, expires_at: 1_900_000_000_000 };
            (202, serde_json::to_string(&sent).unwrap())
        }
        "POST /v1/registration" if body.contains("+33612345678") => registered(ALICE, 1, TOKEN),
        "POST /v1/registration" => registered(NEW, 2, "second-token"),
        "GET /v1/devices" => devices(primary),
        "POST /v1/account/move" => {
            assert_eq!(body, r#"{"token":"second-token"}"#);
            moves[asked.fetch_add(1, Ordering::Relaxed).min(moves.len() - 1)].clone()
        }
        _ => (404, problem(ErrorCode::NotFound)),
    });
    let machine = Machine::on(fake).registers().await;
    let added = machine.run(&["contacts", "add", "+33687654321", "Bob"]).await;
    assert_eq!(added.status.code(), Some(0));
    machine
}

/// The next message that is sent, which tells of the new number.
async fn told(machine: &mut Machine) -> ServerFrame {
    loop {
        if let ClientFrame::Send(send) = machine.fake.frame().await {
            assert_eq!(send.to, number(BOB));
            let content = Content::read(&send.body.0).unwrap();
            assert_eq!(content, Content::Moved(Moved { to: number(NEW) }));
            return ServerFrame::Sent(Sent { ids: vec![send.id], at: now() });
        }
    }
}

fn account(machine: &Machine) -> Value {
    let path = machine.directory.path().join("default/account.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn is_moving(machine: &Machine) -> bool {
    machine.directory.path().join("default/moving.json").exists()
}

#[tokio::test]
async fn people_are_told_and_then_the_account_is_at_its_new_number() {
    let waiting = (409, problem(ErrorCode::Waiting));
    let mut machine = machine(true, vec![waiting, (204, String::new())]).await;
    let moving = machine.command(&MOVE).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    let sent = told(&mut machine).await;
    assert_eq!(account(&machine)["number"], "+33612345678", "not yet");
    machine.fake.say(vec![sent]);
    let output = moving.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        lines(&output),
        [json!({ "type": "moved", "from": "+33612345678", "to": "+33699999999" })]
    );
    let now = account(&machine);
    assert_eq!((&now["number"], &now["token"]), (&"+33699999999".into(), &"second-token".into()));
    assert!(!is_moving(&machine));
    let history = machine.run(&["history", "Bob"]).await;
    assert!(
        String::from_utf8(history.stdout).unwrap().contains("[has a new number: +33699999999]")
    );
    let again = machine.run(&MOVE).await;
    assert_eq!((again.status.code(), lines(&again)), (Some(0), vec![]), "{again:?}");
}

#[tokio::test]
async fn what_was_stopped_goes_on_and_nobody_is_told_twice() {
    let unavailable = (503, problem(ErrorCode::Unavailable));
    let mut machine = machine(true, vec![unavailable]).await;
    // Killed when Bob's message has left, and nobody knows whether it arrived.
    let mut moving = machine.command(&MOVE).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    told(&mut machine).await;
    moving.kill().await.unwrap();
    assert!(is_moving(&machine));
    // Again: the number is not proven again, and the same message is sent.
    let moving = machine.command(&["--json", "account", "move", "+33699999999"]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    let sent = told(&mut machine).await;
    machine.fake.say(vec![sent]);
    let output = moving.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(6), "whether it moved is not known: {output:?}");
    assert!(is_moving(&machine));
    assert_eq!(account(&machine)["number"], "+33612345678");
    // It did: the old device is not there any more.
    machine.fake.reject(ErrorCode::DeviceRemoved);
    let output = machine.run(&["--json", "account", "move", "+33699999999"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(account(&machine)["number"], "+33699999999");
    let mut codes = 0;
    machine.fake.accept();
    let _ = machine.run(&["devices", "list"]).await;
    loop {
        match machine.fake.next().await {
            Seen::Request { line, .. } if line == "POST /v1/registration/code" => codes += 1,
            Seen::Request { line, authorization, .. }
                if line == "GET /v1/devices" && authorization == "Bearer second-token" =>
            {
                break;
            }
            Seen::Frame(ClientFrame::Send(send)) => panic!("told again: {send:?}"),
            _ => {}
        }
    }
    assert_eq!(codes, 0);
}

#[tokio::test]
async fn who_may_not_move_or_is_on_the_way_elsewhere_is_told_before_anything_happens() {
    let mut machine = machine(false, vec![(204, String::new())]).await;
    let output = machine.run(&MOVE).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let said: Value = serde_json::from_str(error(&output)).unwrap();
    assert_eq!(said["code"], "not_primary");
    assert!(!is_moving(&machine));
    machine.fake.answer(|line, _| match line {
        "GET /v1/devices" => devices(true),
        "POST /v1/registration" => registered(NEW, 2, "second-token"),
        _ => (404, problem(ErrorCode::NotFound)),
    });
    let mut moving = machine.command(&MOVE).spawn().unwrap();
    machine.fake.upgrade().await;
    moving.kill().await.unwrap();
    let elsewhere = ["account", "move", "+33688888888", "--code", "123456"];
    let output = machine.run(&elsewhere).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(error(&output).contains("on its way to +33699999999"), "{}", error(&output));
    // A device that was removed before the server was asked to move has not moved.
    machine.fake.reject(ErrorCode::DeviceRemoved);
    let output = machine.run(&MOVE).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(is_moving(&machine));
}
