//! Two people at two command lines, against the real Worker.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::process::Output;

use estafette_e2e::{Desk, number};
use serde_json::Value;

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn two_people_write_to_each_other() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();

    // To somebody who is away, from a pipe, in order.
    let lines: String = (1..=100).map(|line| format!("line {line}\n")).collect();
    succeeded(&desk.run("alice", &["send", &bob, "--lines", "--timeout", "60"], &lines).unwrap());
    let heard =
        succeeded(&desk.run("bob", &["listen", "--count", "100", "--json", "--read"], "").unwrap());
    let bodies: Vec<String> = heard
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| line["text"].as_str().map(str::to_owned))
        .collect();
    let expected: Vec<String> = lines.lines().map(str::to_owned).collect();
    assert_eq!(bodies, expected);

    // To somebody who listens, until it is read.
    let mut listening = desk.start("bob", &["listen", "--count", "1", "--read"]).unwrap();
    let send = ["send", &bob, "are you there?", "--wait", "read", "--timeout", "60"];
    succeeded(&desk.run("alice", &send, "").unwrap());
    listening.hear(|line| line.contains("are you there?")).unwrap();
    assert!(listening.end().unwrap().success());

    // Both sides remember, also the other's name.
    succeeded(&desk.run("bob", &["contacts", "add", &alice, "Alice"], "").unwrap());
    assert!(succeeded(&desk.run("bob", &["contacts", "list"], "").unwrap()).contains("Alice"));
    assert!(
        succeeded(&desk.run("bob", &["history", "Alice"], "").unwrap()).contains("are you there?")
    );
    assert!(
        succeeded(&desk.run("alice", &["history", &bob, "--limit", "500"], "").unwrap())
            .contains("line 100")
    );
    let devices = succeeded(&desk.run("alice", &["devices", "list", "--json"], "").unwrap());
    assert!(serde_json::from_str::<Value>(devices.lines().next().unwrap()).is_ok(), "{devices}");
    let status = succeeded(&desk.run("alice", &["status", "--json"], "").unwrap());
    assert!(serde_json::from_str::<Value>(status.lines().next().unwrap()).is_ok(), "{status}");
}

#[test]
fn what_goes_wrong_is_said_and_nothing_is_lost() {
    let (stage, desk, [_, bob]) = Desk::of_two().unwrap();

    let nobody = desk.run("alice", &["send", &number(99).to_string(), "hello?"], "").unwrap();
    assert_eq!(nobody.status.code(), Some(6), "{nobody:?}");
    assert_eq!(desk.run("alice", &["send", "12", "x"], "").unwrap().status.code(), Some(2));
    assert_eq!(desk.run("carol", &["send", &bob, "x"], "").unwrap().status.code(), Some(3));

    // The server is away: the message stays here, and goes by itself when somebody comes online.
    stage.runtime.kill().unwrap();
    let kept = desk.run("alice", &["send", &bob, "later", "--timeout", "1"], "").unwrap();
    assert!(!kept.status.success(), "{kept:?}");
    stage.runtime.restart().unwrap();
    succeeded(&desk.run("alice", &["send", &bob, "and now", "--timeout", "60"], "").unwrap());

    // A store that was deleted is made again, and what waits comes into it.
    let heard = succeeded(&desk.run("bob", &["listen", "--count", "2"], "").unwrap());
    assert!(heard.contains("later") && heard.contains("and now"), "{heard}");
    fs::remove_file(desk.profile("bob").join("store.db")).unwrap();
    succeeded(&desk.run("alice", &["send", &bob, "once more", "--timeout", "60"], "").unwrap());
    let heard = succeeded(&desk.run("bob", &["listen", "--count", "1"], "").unwrap());
    assert!(heard.contains("[written before this device could read here]"), "{heard}");
    // Bob's device has asked for it again: Alice's answers when it is there.
    let alice = desk.start("alice", &["listen"]).unwrap();
    let mut bob = desk.start("bob", &["listen"]).unwrap();
    bob.hear(|line| line.contains("once more")).unwrap();
    assert!(bob.interrupt().unwrap().success() && alice.interrupt().unwrap().success());
}
