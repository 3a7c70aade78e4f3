//! The doors of the admin's part: who gets in, and that all is written down.

use estafette::ErrorCode;
use estafette_e2e::{Request, Stage, number};
use estafette_protocol::http::AuditAction;

use crate::{Admin, NOT_FOUND};

/// Everything that an admin may ask for, well-formed.
fn operations() -> Vec<(&'static str, String, &'static str)> {
    let account = format!("/v1/admin/accounts/{}", number(0));
    let suspension = format!("{account}/suspension");
    vec![
        ("GET", account, ""),
        ("PUT", suspension.clone(), r#"{"reason":"spam"}"#),
        ("DELETE", suspension, ""),
        ("PUT", "/v1/admin/motd".to_owned(), r#"{"text":"hello"}"#),
        ("DELETE", "/v1/admin/motd".to_owned(), ""),
        ("GET", "/v1/admin/audit".to_owned(), ""),
    ]
}

#[tokio::test]
async fn only_the_secret_opens_them_and_what_is_refused_changes_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let admin = Admin::of(&stage);
    let calls = stage.calls(&alice).await.unwrap();
    let almost = format!("{}x", &admin.secret[..admin.secret.len() - 1]);
    let token_key = stage.runtime.var("TOKEN_KEY").unwrap();
    let wrong = ["x", &almost, &alice.token, token_key.as_str().unwrap()];
    for (method, path, body) in operations() {
        let request = || Request::new(method, &path).body(body);
        let answer = request().send(&stage).await.unwrap();
        let missing = (401, ErrorCode::TokenMissing);
        assert_eq!(answer.refusal().unwrap(), missing, "{method} {path}");
        for secret in wrong {
            let answer = request().token(secret).send(&stage).await.unwrap();
            let invalid = (401, ErrorCode::TokenInvalid);
            assert_eq!(answer.refusal().unwrap(), invalid, "{method} {path} {secret}");
        }
    }
    // With the secret, but wrong otherwise.
    let suspension = format!("/v1/admin/accounts/{}/suspension", alice.number);
    let long = format!(r#"{{"reason":"{}"}}"#, "é".repeat(251));
    let long_text = format!(r#"{{"text":"{}"}}"#, "x".repeat(501));
    let longest = "x".repeat(4097);
    for (method, path, body, expected) in [
        ("PUT", suspension.as_str(), "", (400, ErrorCode::Malformed)),
        ("PUT", &suspension, "{}", (400, ErrorCode::Malformed)),
        ("PUT", &suspension, r#"{"reason":7}"#, (400, ErrorCode::Malformed)),
        ("PUT", &suspension, r#"["spam"]"#, (400, ErrorCode::Malformed)),
        ("PUT", &suspension, &long, (413, ErrorCode::TooLarge)),
        ("PUT", &suspension, &longest, (413, ErrorCode::TooLarge)),
        ("PUT", "/v1/admin/motd", r#"{"text":""}"#, (400, ErrorCode::Malformed)),
        ("PUT", "/v1/admin/motd", &long_text, (413, ErrorCode::TooLarge)),
        ("GET", "/v1/admin/audit?after=1", "", (400, ErrorCode::Malformed)),
        ("GET", "/v1/admin/audit?after=", "", (400, ErrorCode::Malformed)),
        ("GET", "/v1/admin/audit?after=../media/", "", (400, ErrorCode::Malformed)),
        ("GET", "/v1/admin/accounts/33600000001", "", NOT_FOUND),
        ("GET", "/v1/admin/accounts", "", NOT_FOUND),
        ("POST", &suspension, "", (405, ErrorCode::MethodNotAllowed)),
        ("POST", "/v1/admin/audit", "", (405, ErrorCode::MethodNotAllowed)),
    ] {
        let answer = admin.ask(method, path, body).await;
        assert_eq!(answer.refusal().unwrap(), expected, "{method} {path} {body:.60}");
    }
    assert_eq!(stage.calls(&alice).await.unwrap(), calls + 1, "the look at it before");
    assert!(admin.audit("").await.entries.is_empty());
    assert_eq!(stage.woken().unwrap(), 1);
}

#[tokio::test]
async fn without_a_secret_there_is_nothing() {
    let stage = Stage::start(|options| options.var("ADMIN_SECRET", "")).unwrap();
    stage.register(number(0)).await.unwrap();
    for (method, path, body) in operations() {
        for method in [method, "POST"] {
            let request = Request::new(method, &path).token("").body(body);
            let answer = request.send(&stage).await.unwrap();
            assert_eq!(answer.refusal().unwrap(), NOT_FOUND, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn guesses_are_limited_by_their_address() {
    let stage = Stage::start(|options| options.rate_limit("LIMIT_ADDRESS", 3)).unwrap();
    let guess = |address: &'static str, secret: String| {
        let request = Request::new("GET", "/v1/admin/audit").header("CF-Connecting-IP", address);
        request.token(&secret).send(&stage)
    };
    for _ in 0..3 {
        let answer = guess("192.0.2.1", "x".repeat(43)).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::TokenInvalid));
    }
    let admin = Admin::of(&stage);
    let answer = guess("192.0.2.1", admin.secret.clone()).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::RateLimited), "even the right one");
    assert_eq!(guess("192.0.2.2", admin.secret.clone()).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_done_is_written_down_in_its_order_and_read_in_pages() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let admin = Admin::of(&stage);
    assert_eq!(admin.suspend(alice.number, "ticket \"7\", é").await.status, 204);
    admin.inspect(alice.number).await;
    assert_eq!(admin.restore(alice.number).await.status, 204);
    assert_eq!(admin.ask("PUT", "/v1/admin/motd", r#"{"text":"hello"}"#).await.status, 204);
    assert_eq!(admin.ask("DELETE", "/v1/admin/motd", "").await.status, 204);
    // What comes to nothing is written down before that is known.
    assert_eq!(admin.suspend(number(9), "").await.refusal().unwrap(), NOT_FOUND);
    let log = admin.audit("").await;
    let actions: Vec<_> = log
        .entries
        .iter()
        .map(|entry| (entry.action, entry.number, entry.reason.as_deref()))
        .collect();
    let known = Some(alice.number);
    assert_eq!(
        actions,
        [
            (AuditAction::Suspend, known, Some("ticket \"7\", é")),
            (AuditAction::Inspect, known, None),
            (AuditAction::Restore, known, None),
            (AuditAction::SetMotd, None, None),
            (AuditAction::DeleteMotd, None, None),
            (AuditAction::Suspend, Some(number(9)), Some("")),
        ]
    );
    assert!(log.entries.iter().all(|entry| entry.address == "192.0.2.7"), "{log:?}");
    assert!(log.entries.is_sorted_by_key(|entry| entry.at) && log.next.is_none());
    let after = admin.audit(&log.entries[3].id).await;
    assert_eq!(after.entries, log.entries[4..]);

    for _ in 0..100 {
        admin.inspect(alice.number).await;
    }
    let first = admin.audit("").await;
    assert_eq!((first.entries.len(), &first.entries[..6]), (100, &log.entries[..]));
    let next = first.next.unwrap();
    assert_eq!(next, first.entries[99].id);
    let second = admin.audit(&next).await;
    assert_eq!((second.entries.len(), second.next), (6, None));
    // It outlives the process.
    stage.runtime.kill().unwrap();
    stage.runtime.restart().unwrap();
    assert_eq!(admin.audit("").await.entries.len(), 100);
    let logs = stage.runtime.logs();
    let digits = alice.number.digits().to_string();
    assert!(logs.iter().all(|line| !line.message.contains(&digits)), "{logs:?}");
}
