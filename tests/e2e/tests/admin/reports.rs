//! Reports on their way to the operator's desk.

use estafette::{Account, ErrorCode};
use estafette_e2e::{Answer, Desk, Request, Stage, number};
use estafette_testkit::{Behaviour, ReportDesk};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the desk, for tests alone";
const UNAVAILABLE: (u16, ErrorCode) = (503, ErrorCode::ReportsUnavailable);

async fn post(stage: &Stage, account: &Account, body: &str) -> Answer {
    let request = Request::new("POST", "/v1/reports").token(&account.token);
    request.body(body).send(stage).await.unwrap()
}

fn report() -> Value {
    let message = json!({
        "id": "a1b2c3d4e5f607180000000000000007", "at": 1_760_000_000_000_u64, "text": "You \"won\"!",
    });
    json!({
        "number": number(1).to_string(), "reason": "abuse", "comment": "Third time.",
        "messages": [message],
    })
}

#[tokio::test]
async fn a_report_arrives_whole_and_what_is_wrong_goes_nowhere() {
    let desk = ReportDesk::start(SECRET, |_| ()).unwrap();
    let stage = Stage::start(|options| options.reports(&desk)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let calls = stage.calls(&bob).await.unwrap();

    let with = |field: &str, value: Value| {
        let mut body = report();
        body[field] = value;
        body.to_string()
    };
    let message = report()["messages"][0].clone();
    let malformed = (400, ErrorCode::Malformed);
    for (body, expected) in [
        (String::new(), malformed),
        ("[]".to_owned(), malformed),
        (with("number", json!(33_600_000_002_u64)), malformed),
        (with("number", json!("0612345678")), (400, ErrorCode::InvalidNumber)),
        (with("reason", json!("envy")), malformed),
        (with("reason", json!(null)), malformed),
        (with("comment", json!("é".repeat(501))), (413, ErrorCode::TooLarge)),
        (with("messages", json!(vec![message.clone(); 11])), (413, ErrorCode::TooMany)),
        (with("messages", json!([{ "id": "1", "at": 1, "text": "x" }])), malformed),
        (with("more", json!("x".repeat(64 * 1024))), (413, ErrorCode::TooLarge)),
    ] {
        let answer = post(&stage, &alice, &body).await;
        assert_eq!(answer.refusal().unwrap(), expected, "{body:.100}");
    }
    let answer = Request::new("POST", "/v1/reports").body(report().to_string());
    let answer = answer.send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::TokenMissing));
    assert!(desk.reports().is_empty());

    // None of that counted: ten may follow, of which one is as long as may be.
    assert_eq!(post(&stage, &alice, &report().to_string()).await.status, 204);
    let mut long = report();
    long["messages"][0]["text"] = json!("x".repeat(65_000));
    assert_eq!(post(&stage, &alice, &long.to_string()).await.status, 204);
    for _ in 2..10 {
        let body = json!({ "number": number(9).to_string(), "reason": "other" }).to_string();
        assert_eq!(post(&stage, &alice, &body).await.status, 204, "nobody need be there");
    }
    let answer = post(&stage, &alice, &report().to_string()).await;
    assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::RateLimited));
    assert!(answer.problem().unwrap().retry_after.is_some());

    let taken = desk.reports();
    assert_eq!(taken.len(), 10);
    let first = &taken[0];
    assert_eq!(
        (first.reporter.as_str(), first.reported.as_str()),
        ("+33600000001", "+33600000002")
    );
    assert_eq!((first.reason.as_str(), first.comment.as_str()), ("abuse", "Third time."));
    assert_eq!(first.messages[0].text, "You \"won\"!");
    assert_eq!(first.messages[0].id, "a1b2c3d4e5f607180000000000000007");
    assert_eq!(taken[1].messages[0].text.len(), 65_000);
    assert_eq!((taken[9].comment.as_str(), taken[9].messages.len()), ("", 0));
    assert_eq!(stage.calls(&bob).await.unwrap(), calls + 1, "the reported is not asked, nor told");
}

#[tokio::test]
async fn a_desk_that_fails_and_one_that_is_not_there() {
    let desk = ReportDesk::start(SECRET, |_| ()).unwrap();
    let stage = Stage::start(|options| options.reports(&desk)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    for behaviour in [Behaviour::Fail(503), Behaviour::Fail(302), Behaviour::Garbage] {
        desk.behave(behaviour);
        let answer = post(&stage, &alice, &report().to_string()).await;
        assert_eq!(answer.refusal().unwrap(), UNAVAILABLE, "{behaviour:?}");
        assert!(answer.problem().unwrap().retry_after.is_some());
    }
    desk.behave(Behaviour::Deliver);
    assert_eq!(post(&stage, &alice, &report().to_string()).await.status, 204);
    stage.runtime.kill().unwrap();
    let logs = stage.runtime.logs();
    let failed: Vec<_> =
        logs.iter().filter(|line| line.message.contains("report_failed")).collect();
    assert_eq!(failed.len(), 3, "{logs:?}");
    for line in &logs {
        for personal in ["33600000001", "33600000002", "won", "Third time"] {
            assert!(!line.message.contains(personal), "{line:?}");
        }
    }

    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let answer = post(&stage, &alice, &report().to_string()).await;
    assert_eq!(answer.refusal().unwrap(), UNAVAILABLE);
    assert_eq!(answer.problem().unwrap().retry_after, None);
}

#[test]
fn somebody_reports_and_blocks_from_the_command_line() {
    let desk = ReportDesk::start(SECRET, |_| ()).unwrap();
    let stage = Stage::start(|options| options.reports(&desk)).unwrap();
    let machine = Desk::set_up().unwrap();
    for (profile, number) in [("alice", number(0)), ("bob", number(1))] {
        machine.register(&stage, profile, number).unwrap();
    }
    let [alice, bob] = [0, 1].map(|index| number(index).to_string());
    for text in ["hello", "you won"] {
        let sent = machine.run("bob", &["send", &alice, text, "--timeout", "60"], "").unwrap();
        assert!(sent.status.success(), "{sent:?}");
    }
    let heard = machine.run("alice", &["listen", "--count", "2"], "").unwrap();
    assert!(heard.status.success(), "{heard:?}");
    let report = ["report", &bob, "--messages", "1", "--comment", "Third time.", "--block"];
    let refused = machine.run("alice", &report, "n\n").unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(desk.reports().is_empty());
    let reported = machine.run("alice", &report, "y\n").unwrap();
    assert!(reported.status.success(), "{reported:?}");
    let taken = desk.reports();
    assert_eq!((taken[0].reported.as_str(), taken[0].reason.as_str()), (bob.as_str(), "spam"));
    let texts: Vec<_> = taken[0].messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["you won"]);
    let shown = machine.run("alice", &["--json", "privacy"], "").unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains(r#""blocked":true"#));
}
