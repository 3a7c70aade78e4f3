//! `estafette chat`, on a terminal and with pipes, against the real Worker.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use estafette_e2e::{Desk, Row};
use serde_json::Value;

/// The colour of the marks of what was read.
const READ: u8 = 81;

/// Whether a row shows a message with this mark after it.
fn marked(rows: &[Row], message: &str, mark: &str) -> bool {
    rows.iter().any(|row| row.text.contains(message) && row.text.trim_end().ends_with(mark))
}

fn shows(rows: &[Row], text: &str) -> bool {
    rows.iter().any(|row| row.text.contains(text))
}

#[test]
fn marks_move_on_the_terminal_as_a_message_is_queued_sent_delivered_and_read() {
    let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let mut screen = desk.on_terminal("alice", &["chat", &bob]).unwrap();
    screen.until(|rows| shows(rows, "● connected")).unwrap();

    // The server is away.
    stage.runtime.kill().unwrap();
    screen.until(|rows| shows(rows, "◌ connecting")).unwrap();
    screen.press("are you there?\r").unwrap();
    screen.until(|rows| marked(rows, "are you there?", "○")).unwrap();
    stage.runtime.restart().unwrap();
    screen.until(|rows| marked(rows, "are you there?", " ✓")).unwrap();

    // Another program finds the profile taken.
    let second = desk.run("alice", &["send", &bob, "x"], "").unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another estafette (process "), "{said}");

    // Bob's program takes it in, and Bob does not look.
    let heard = desk.run("bob", &["--json", "listen", "--count", "1"], "").unwrap();
    assert!(heard.status.success(), "{heard:?}");
    let read = |row: &Row| {
        row.text.contains("are you there?") && row.colours.ends_with(&[Some(READ), Some(READ)])
    };
    screen.until(|rows| marked(rows, "are you there?", "✓✓") && !rows.iter().any(read)).unwrap();

    // He looks, and answers.
    let mut talk = desk.start("bob", &["chat", &alice]).unwrap();
    screen.until(|rows| rows.iter().any(read)).unwrap();
    talk.say("yes, here").unwrap();
    screen.until(|rows| shows(rows, "yes, here")).unwrap();
    screen.press("fine\r").unwrap();
    talk.hear(|line| line.contains(&alice) && line.contains("fine")).unwrap();
    assert!(talk.end().unwrap().success());
    screen.until(|rows| marked(rows, "fine", "✓✓")).unwrap();

    // Ctrl-C.
    screen.press("\u{3}").unwrap();
    assert!(screen.end().unwrap().success());
    let history = desk.run("alice", &["history", &bob], "").unwrap();
    let history = String::from_utf8(history.stdout).unwrap();
    let lines: Vec<_> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert!(lines[0].contains("are you there? ✓✓ read"), "{history}");
}

#[test]
fn pipes_carry_a_chat_both_ways() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let mut from_alice = desk.start("alice", &["--json", "chat", &bob]).unwrap();
    let mut from_bob = desk.start("bob", &["--json", "chat", &alice]).unwrap();
    let text = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["text"].as_str().filter(|_| line["incoming"] == true).map(str::to_owned)
    };
    for turn in 0..20 {
        let said = format!("turn {turn} 👋");
        let (from, to) = match turn % 2 {
            0 => (&mut from_alice, &mut from_bob),
            _ => (&mut from_bob, &mut from_alice),
        };
        from.say(&said).unwrap();
        let heard = to.hear(|line| text(line).is_some()).unwrap();
        assert_eq!(text(&heard), Some(said));
    }
    // The last is read, since Alice's chat is open.
    from_bob.hear(|line| line.contains(r#""status":"read""#)).unwrap();
    assert!(from_bob.end().unwrap().success());
    assert!(from_alice.end().unwrap().success());
}

#[test]
fn sending_waits_until_it_is_delivered_and_no_longer() {
    let (_stage, desk, [_, bob]) = Desk::of_two().unwrap();
    // Nobody is there to take it in.
    let short = ["send", &bob, "hello", "--timeout", "1", "--wait", "delivered"];
    assert_eq!(desk.run("alice", &short, "").unwrap().status.code(), Some(5));

    let _listening = desk.start("bob", &["--json", "listen"]).unwrap();
    let send = ["--json", "send", &bob, "hello", "--timeout", "60", "--wait"];
    for wait in ["queued", "sent", "delivered"] {
        let done = desk.run("alice", &[&send[..], &[wait]].concat(), "").unwrap();
        assert!(done.status.success(), "{done:?}");
        let line: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!((&line["type"], &line["status"]), (&"status".into(), &wait.into()));
    }
}
