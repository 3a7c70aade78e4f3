//! The message of the day.

use estafette_e2e::{Desk, Request, Stage, number};
use estafette_protocol::http::Motd;
use serde_json::json;

use crate::Admin;

async fn motd(stage: &Stage) -> Motd {
    let answer = Request::new("GET", "/v1/motd").send(stage).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn it_is_set_told_to_everybody_and_taken_away() {
    let stage = Stage::start(|options| options).unwrap();
    let admin = Admin::of(&stage);
    assert_eq!(motd(&stage).await, Motd::default());
    let longest = "é".repeat(250);
    for text in ["Back at 5, \"sharp\".", &longest] {
        let body = json!({ "text": text }).to_string();
        assert_eq!(admin.ask("PUT", "/v1/admin/motd", &body).await.status, 204);
        let told = motd(&stage).await;
        assert!(told.text == text && told.since.is_some(), "{told:?}");
    }
    stage.runtime.kill().unwrap();
    stage.runtime.restart().unwrap();
    assert_eq!(motd(&stage).await.text, longest);
    assert_eq!(admin.ask("DELETE", "/v1/admin/motd", "").await.status, 204);
    assert_eq!(motd(&stage).await, Motd::default());
    assert_eq!(admin.ask("DELETE", "/v1/admin/motd", "").await.status, 204, "again");
    assert_eq!(stage.woken().unwrap(), 0);
}

#[test]
fn the_command_line_shows_it_once() {
    let stage = Stage::start(|options| options).unwrap();
    let desk = Desk::set_up().unwrap();
    desk.register(&stage, "alice", number(0)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let body = r#"{"text":"Back at 5."}"#;
        let answer = Admin::of(&stage).ask("PUT", "/v1/admin/motd", body).await;
        assert_eq!(answer.status, 204);
    });
    for shown in [true, false] {
        let output = desk.run("alice", &["status"], "").unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.contains("The server says: Back at 5."), shown, "{text}");
    }
}
