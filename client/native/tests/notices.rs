//! What people tell whoever runs the server, and what that tells them: reports, the message of the day,
//! a suspension.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::sync::{Arc, Mutex};

use estafette::{DeviceId, ErrorCode, MessageId, ReportReason, ReportRequest};
use estafette_protocol::{Body, Deliver, Goaway, ServerFrame};
use fake::{BOB, Fake, now, number, problem, registered_answer};
use machine::{Machine, error, lines, text};
use serde_json::json;

/// What the server was told, and what it says.
#[derive(Default)]
struct Desk {
    reports: Vec<String>,
    blocked: Vec<String>,
    refuses: Option<ErrorCode>,
    motd: String,
    asked: usize,
}

impl Desk {
    fn answers(&mut self, line: &str, body: &str) -> (u16, String) {
        match line {
            "POST /v1/registration" => registered_answer(),
            "POST /v1/reports" => {
                if let Some(code) = self.refuses {
                    return (code.status(), problem(code));
                }
                self.reports.push(body.to_owned());
                (204, String::new())
            }
            "GET /v1/people" => (200, r#"{"people":[]}"#.into()),
            "GET /v1/motd" => {
                self.asked += 1;
                match self.refuses {
                    Some(code) => (code.status(), problem(code)),
                    None => (200, self.motd.clone()),
                }
            }
            line if line.starts_with("PUT /v1/people/") => {
                self.blocked.push(format!("{line} {body}"));
                (204, String::new())
            }
            _ => (404, problem(ErrorCode::NotFound)),
        }
    }
}

type Shared = Arc<Mutex<Desk>>;

async fn registered() -> (Machine, Shared) {
    let fake = Fake::start().await;
    let desk = Shared::default();
    desk.lock().unwrap().motd = r#"{"text":""}"#.into();
    let shared = Arc::clone(&desk);
    fake.answer(move |line, body| shared.lock().unwrap().answers(line, body));
    (Machine::on(fake).registers().await, desk)
}

fn deliver(number_: u64, text: &str) -> ServerFrame {
    ServerFrame::Deliver(Deliver {
        id: MessageId { stream: 9, number: number_ },
        from: number(BOB),
        device: DeviceId(7),
        at: 1_760_000_000_000 + number_,
        body: Body(text.into()),
        after: None,
        to: None,
    })
}

/// Alice has heard these from Bob.
async fn heard(machine: &mut Machine, texts: &[&str]) {
    let count = texts.len().to_string();
    let listening = machine.command(&["listen", "--count", &count]).spawn().unwrap();
    machine.fake.upgrade().await;
    machine.fake.greet();
    let frames = (1..).zip(texts).map(|(number, text)| deliver(number, text)).collect();
    machine.fake.say(frames);
    let output = listening.wait_with_output().await.unwrap();
    assert_eq!(text(&output).lines().count(), texts.len());
}

fn reports(desk: &Shared) -> Vec<ReportRequest> {
    let sent = std::mem::take(&mut desk.lock().unwrap().reports);
    sent.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

#[tokio::test]
async fn a_report_is_shown_before_it_is_sent_and_sent_only_on_a_yes() {
    let (mut machine, desk) = registered().await;
    heard(&mut machine, &["hello", "you won\u{7}", "call me"]).await;
    let arguments = [
        "report",
        "+33687654321",
        "--messages",
        "2",
        "--comment",
        "Third time.",
        "--reason",
        "abuse",
    ];
    for answer in ["", "n\n", "maybe\n"] {
        let output = machine.feed(&arguments, answer).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(error(&output).contains("nothing was sent"), "{}", error(&output));
        assert!(reports(&desk).is_empty());
    }
    let output = machine.feed(&arguments, "y\n").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = text(&output);
    for part in [
        "with your number",
        "+33687654321 is reported for abuse.",
        "You say: Third time.",
        "With 2 messages that they sent:\n  you won\u{fffd}\n  call me\n",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(!shown.contains("hello"), "what was not asked for stays: {shown}");
    assert!(
        error(&output).contains("`estafette block +33687654321` ends it"),
        "{}",
        error(&output)
    );
    let sent = reports(&desk);
    let [report] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((report.reason, report.comment.as_str()), (ReportReason::Abuse, "Third time."));
    let messages: Vec<_> =
        report.messages.iter().map(|said| (said.id.number, said.at, said.text.as_str())).collect();
    assert_eq!(
        messages,
        [(2, 1_760_000_000_002, "you won\u{fffd}"), (3, 1_760_000_000_003, "call me")]
    );
    assert!(desk.lock().unwrap().blocked.is_empty());
}

#[tokio::test]
async fn without_messages_none_leaves_and_a_script_may_block_as_well() {
    let (mut machine, desk) = registered().await;
    heard(&mut machine, &["hello"]).await;
    let report = ["--json", "report", "+33687654321", "--yes", "--block"];
    let output = machine.run(&report).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = lines(&output);
    let reported = json!({
        "type": "reported", "number": "+33687654321", "reason": "spam", "messages": 0,
    });
    assert_eq!(said[0], reported);
    assert_eq!((&said[1]["type"], &said[1]["blocked"]), (&json!("person"), &json!(true)));
    assert_eq!(desk.lock().unwrap().reports, [r#"{"number":"+33687654321","reason":"spam"}"#]);
    assert_eq!(
        desk.lock().unwrap().blocked,
        [r#"PUT /v1/people/%2B33687654321 {"contact":false,"blocked":true}"#]
    );
}

#[tokio::test]
async fn a_report_that_cannot_be_is_refused_and_says_why() {
    let (mut machine, desk) = registered().await;
    let long = "x".repeat(1001);
    for (arguments, says) in [
        (&["report", "+33687654321", "--messages", "11", "-y"][..], "at most 10 messages"),
        (&["report", "+33687654321", "--comment", &long, "-y"], "at most 1000 bytes"),
        (&["report", "+33612345678", "-y"], "your own number"),
        (&["report", "Bob", "-y"], "estafette contacts add NUMBER Bob"),
        (&["report", "+33687654321", "--reason", "envy"], "possible values: spam"),
    ] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(error(&output).contains(says), "{}", error(&output));
    }
    desk.lock().unwrap().refuses = Some(ErrorCode::ReportsUnavailable);
    let output = machine.run(&["report", "+33687654321", "-y", "--block"]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(error(&output).contains("This is reports_unavailable"), "{}", error(&output));
    assert!(desk.lock().unwrap().blocked.is_empty());

    // Beside a chat: without messages it needs nothing of the store.
    desk.lock().unwrap().refuses = None;
    let listening = machine.command(&["listen"]).spawn().unwrap();
    machine.fake.upgrade().await;
    let output = machine.run(&["report", "+33687654321", "-y"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = machine.run(&["report", "+33687654321", "-y", "--messages", "1"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("uses this profile: end it first"), "{}", error(&output));
    assert_eq!(reports(&desk).len(), 1);
    drop(listening);
}

/// Ten of the longest messages fit: each is cut.
#[tokio::test]
async fn a_report_is_never_longer_than_the_server_takes() {
    let (mut machine, desk) = registered().await;
    let long = "\"é".repeat(20_000);
    heard(&mut machine, &[long.as_str(); 10]).await;
    let comment = "\\".repeat(1000);
    let report =
        ["report", "+33687654321", "-y", "--messages", "10", "--comment", comment.as_str()];
    let output = machine.run(&report).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let sent = desk.lock().unwrap().reports[0].len();
    assert!((30_000..=64 * 1024).contains(&sent), "{sent}");
}

#[tokio::test]
async fn the_message_of_the_day_is_said_once_and_asked_for_once_a_day() {
    let (mut machine, desk) = registered().await;
    desk.lock().unwrap().motd = r#"{"text":"Back at 5.\u001b[2J","since":1000}"#.into();
    let listen = async |machine: &mut Machine, number, json: bool| {
        let arguments: &[&str] = if json { &["--json"] } else { &[] };
        let arguments = [arguments, &["listen", "--count", "1"]].concat();
        let listening = machine.command(&arguments).spawn().unwrap();
        machine.fake.upgrade().await;
        machine.fake.greet();
        machine.fake.say(vec![deliver(number, "hi")]);
        listening.wait_with_output().await.unwrap()
    };
    let output = listen(&mut machine, 1, false).await;
    let said = "The server says: Back at 5.\u{fffd}[2J\n";
    assert!(error(&output).starts_with(said), "{}", error(&output));
    for number in [2, 3] {
        let output = listen(&mut machine, number, false).await;
        assert!(!error(&output).contains("The server says"), "{}", error(&output));
    }
    assert_eq!(desk.lock().unwrap().asked, 1, "the day is not over");

    // A day later: the same is not said again, another is, and no answer is no trouble.
    let file = machine.directory.path().join("default/motd");
    let yesterday = |file| std::fs::write(file, "1 1000\n").unwrap();
    yesterday(&file);
    let output = listen(&mut machine, 4, false).await;
    assert!(!error(&output).contains("The server says"), "{}", error(&output));
    yesterday(&file);
    desk.lock().unwrap().motd = r#"{"text":"At 6.","since":2000}"#.into();
    let output = listen(&mut machine, 5, true).await;
    let motd = json!({ "type": "motd", "text": "At 6.", "since": 2000 });
    assert_eq!(lines(&output)[0], motd);
    yesterday(&file);
    desk.lock().unwrap().refuses = Some(ErrorCode::Unavailable);
    let output = listen(&mut machine, 6, false).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(!error(&output).contains("unavailable"), "{}", error(&output));
    let kept = std::fs::read_to_string(&file).unwrap();
    let ask_at: u64 = kept.split(' ').next().unwrap().parse().unwrap();
    assert!(kept.ends_with(" 1000\n") && ask_at < now() + 3_700_000, "an hour later again: {kept}");
}

#[tokio::test]
async fn a_suspended_account_is_told_so() {
    let (mut machine, _) = registered().await;
    let sending = machine.command(&["send", "+33687654321", "hi"]).spawn().unwrap();
    machine.fake.upgrade().await;
    let goaway = Goaway { code: ErrorCode::Suspended, retry_after: Some(600_000) };
    machine.fake.say(vec![ServerFrame::Goaway(goaway)]);
    let output = sending.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let says = "estafette: this account is suspended: turn to whoever runs the server";
    assert!(error(&output).starts_with(says), "{}", error(&output));
    machine.fake.reject(ErrorCode::Suspended);
    let output = machine.run(&["privacy"]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(error(&output).starts_with(says), "{}", error(&output));
}
