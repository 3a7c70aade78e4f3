//! A suspended account, from inside, from outside, and from the command line.

use estafette::{Account, ErrorCode};
use estafette_e2e::{Desk, Request, Stage, Stream, Wire, number};
use estafette_protocol::Encoding;
use serde_json::Value;

use crate::{Admin, SUSPENDED};

async fn refusal(stage: &Stage, account: &Account, method: &str, path: &str) -> (u16, ErrorCode) {
    let request = Request::new(method, path).token(&account.token);
    let body = match path {
        "/v1/privacy" if method == "PUT" => "{}",
        "/v1/reports" => r#"{"number":"+33600000002","reason":"spam"}"#,
        path if path.starts_with("/v1/people/") => "{}",
        _ if method == "PATCH" => r#"{"name":"x"}"#,
        _ => "",
    };
    let request = match path {
        "/v1/uploads" => request.header("Tus-Resumable", "1.0.0").header("Upload-Length", "5"),
        _ => request,
    };
    request.body(body).send(stage).await.unwrap().refusal().unwrap()
}

#[tokio::test]
async fn a_suspended_account_is_cut_off_and_its_messages_wait() {
    let desk = estafette_testkit::ReportDesk::start("x", |_| ()).unwrap();
    let stage = Stage::start(|options| options.reports(&desk)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let admin = Admin::of(&stage);
    let mut inside = Wire::online(&stage, &alice, Encoding::Cbor).await.unwrap();
    assert_eq!(admin.suspend(alice.number, "spam").await.status, 204);
    assert_eq!(inside.end().await.unwrap(), (Some(ErrorCode::Suspended), 4003));

    let device = format!("/v1/devices/{}", alice.device);
    for (method, path) in [
        ("POST", "/v1/token"),
        ("PATCH", device.as_str()),
        ("DELETE", &device),
        ("GET", "/v1/usage"),
        ("GET", "/v1/privacy"),
        ("PUT", "/v1/privacy"),
        ("GET", "/v1/people"),
        ("PUT", "/v1/people/+33600000002"),
        ("DELETE", "/v1/push"),
        ("POST", "/v1/uploads"),
        ("POST", "/v1/reports"),
    ] {
        assert_eq!(refusal(&stage, &alice, method, path).await, SUSPENDED, "{method} {path}");
    }
    assert!(desk.reports().is_empty());
    let answer =
        Request::upgrade("estafette.v1.cbor").token(&alice.token).send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), SUSPENDED);
    assert_eq!(answer.header("retry-after"), Some("600"));
    let link = stage.server().link().await.unwrap();
    let error =
        stage.server().approve(&alice.token, &link.link, "x", &[7; 32], None).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Suspended));
    assert_eq!(stage.server().devices(&alice.token).await.unwrap().devices.len(), 1);
    assert!(stage.server().export(&alice.token).await.unwrap().suspended_at.is_some());

    // To Bob she is away.
    let mut outside = Wire::online(&stage, &bob, Encoding::Cbor).await.unwrap();
    let stream = Stream::new(alice.number);
    outside.say(&[stream.message(1, "hi")]).await.unwrap();
    outside.until_sent(&[stream.id(1)]).await.unwrap();
    let standing = admin.inspect(alice.number).await;
    assert_eq!((standing.devices, standing.waiting), (1, 1));
    assert!(standing.suspended_at.is_some() && standing.registered_at.is_some());

    // It outlives a crash, and ends when it is said to.
    stage.runtime.kill().unwrap();
    stage.runtime.restart().unwrap();
    assert_eq!(refusal(&stage, &alice, "POST", "/v1/token").await, SUSPENDED);
    assert_eq!(admin.restore(alice.number).await.status, 204);
    assert_eq!(estafette_e2e::waiting(&alice).await.unwrap(), 1);
}

#[tokio::test]
async fn deleting_and_registering_again_is_no_way_round() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let admin = Admin::of(&stage);
    assert_eq!(admin.suspend(alice.number, "spam").await.status, 204);
    let kept = stage.kept().unwrap();
    stage.server().delete_account(&alice.token).await.unwrap();
    assert_eq!(stage.kept().unwrap(), kept, "the row that says so stays");
    // There is not even another code yet. What who has one is told is in `relay/tests/suspension.rs`.
    let error = stage.register(alice.number).await.unwrap_err();
    let error = error.downcast::<estafette::Error>().unwrap();
    assert_eq!(error.code(), Some(ErrorCode::RateLimited));
    let standing = admin.inspect(alice.number).await;
    assert_eq!((standing.registered_at, standing.devices), (None, 0));
    assert_eq!(admin.restore(alice.number).await.status, 204);
    let answer = admin.ask("GET", &format!("/v1/admin/accounts/{}", alice.number), "").await;
    assert_eq!(answer.status, 404);
}

#[test]
fn the_command_line_says_so_and_exports_and_deletes() {
    let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        assert_eq!(Admin::of(&stage).suspend(number(0), "spam").await.status, 204);
    });
    for arguments in [&["send", bob.as_str(), "hi"][..], &["privacy"], &["status"]] {
        let output = desk.run("alice", arguments, "").unwrap();
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("suspended: turn to whoever runs the server"), "{text}");
    }
    let output = desk.run("bob", &["send", &alice, "are you there?"], "").unwrap();
    assert!(output.status.success(), "{output:?}");
    let exported = desk.run("alice", &["account", "export"], "").unwrap();
    let export: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert!(export["suspended_at"].is_u64(), "{export}");
    let deleted = desk.run("alice", &["account", "delete"], &format!("{alice}\n")).unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
}
