//! Clients of libraries that were not written here, against the Worker in the real runtime.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;

use estafette_conformance::script;
use estafette_testkit::{Options, ReportDesk, Runtime, SmsGateway};
use serde_json::json;

#[test]
fn others_register_and_converse() {
    let (sender, texts) = channel();
    let gateway = SmsGateway::start_with("a secret of the gateway, 32 bytes", move |sms| {
        // The receiver is gone when the script has ended.
        let _ = sender.send(json!({ "to": sms.to, "text": sms.text }).to_string());
    })
    .unwrap();
    let key = "a key of 32 bytes or more, for tests alone";
    let desk = ReportDesk::start("a secret of the desk", |_| ()).unwrap();
    let options = Options::new().sms(&gateway).reports(&desk).push("push.example.org");
    let runtime = Runtime::start(options.var("TOKEN_KEY", key).var("ADMIN_SECRET", key)).unwrap();

    let mut client = script("live")
        .arg(runtime.url())
        .env("TOKEN_KEY", key)
        .env("ADMIN_SECRET", key)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let feed = thread::spawn(move || {
        for text in texts {
            if writeln!(input, "{text}").is_err() {
                break;
            }
        }
    });
    let status = client.wait().unwrap();
    let problems: Vec<_> =
        runtime.logs().into_iter().filter(|line| line.level == "error").collect();
    assert!(status.success(), "js/live.mjs failed ({status}): {problems:?}");
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(desk.reports().len(), 2);
    drop(gateway);
    feed.join().unwrap();
}
