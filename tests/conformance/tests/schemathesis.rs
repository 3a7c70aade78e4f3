//! The OpenAPI document that the Worker serves, and how the Worker answers, before PyPI's schemathesis.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use estafette::{Account, UserProfile};
use estafette_conformance::python;
use estafette_e2e::{Request, Stage, number};
use estafette_testkit::{PushService, ReportDesk};
use serde_json::json;

/// The name of an upload of so many bytes, of which these have come.
async fn upload(stage: &Stage, account: &Account, length: usize, body: &str) -> String {
    let answer = Request::new("POST", "/v1/uploads")
        .token(&account.token)
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", &length.to_string())
        .header("Content-Type", "application/offset+octet-stream")
        .body(body)
        .send(stage)
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").unwrap().strip_prefix("/v1/uploads/").unwrap().to_owned()
}

/// Some 2,000 requests from a fixed seed: right ones, wrong ones, and some that follow from answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_answers_as_its_document_says() {
    let pushes = PushService::start().unwrap();
    let desk = ReportDesk::start("a secret of the desk", |_| ()).unwrap();
    let stage = Stage::start(|options| {
        let options = options.push(&pushes.host()).reports(&desk);
        options.var("DAILY_BUDGET_NANODOLLARS", 1_000_000_000_000_u64)
    })
    .unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let profile = UserProfile { name: "Bob".to_owned(), ..UserProfile::default() };
    stage.server().set_profile(&bob.token, &profile).await.unwrap();
    stage.server().put_picture(&bob.token, b"sealed bytes".to_vec()).await.unwrap();
    let link = stage.server().link().await.unwrap();
    let other =
        stage.server().approve(&alice.token, &link.link, "other", &[8; 32], None).await.unwrap();
    let whole = upload(&stage, &alice, 5, "hello").await;
    let there = json!({
        "url": stage.runtime.url(),
        "token": alice.token,
        "admin": stage.runtime.var("ADMIN_SECRET"),
        "account": alice.number,
        "suspended": bob.number,
        "device": alice.device,
        "other": other,
        "link": link.link,
        "number": bob.number,
        "secret": link.secret,
        "upload": whole,
        "begun": upload(&stage, &alice, 64 << 20, "").await,
        "file": whole.get(..32),
        "endpoint": pushes.endpoint("alice"),
    });

    let mut explorer =
        python("explore").env("PYTHONHASHSEED", "0").stdin(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(explorer.stdin.take().unwrap(), &there).unwrap();
    let status = explorer.wait().unwrap();
    let problems: Vec<_> =
        stage.runtime.logs().into_iter().filter(|line| line.level == "error").collect();
    assert!(status.success(), "py/explore.py failed ({status}): {problems:?}");
    assert!(problems.is_empty(), "{problems:?}");
}
