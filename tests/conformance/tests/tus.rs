//! A tus client that was not written here, against the Worker in the real runtime.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;

use estafette_conformance::script;
use estafette_testkit::{Options, Runtime, SmsGateway};
use serde_json::json;

#[test]
fn others_send_files() {
    let (sender, lines) = channel();
    let restarted = sender.clone();
    let gateway = SmsGateway::start_with("a secret of the gateway, 32 bytes", move |sms| {
        // The receiver is gone when the script has ended.
        let _ = sender.send(json!({ "to": sms.to, "text": sms.text }));
    })
    .unwrap();
    let runtime = Runtime::start(Options::new().sms(&gateway)).unwrap();

    let mut client = script("tus")
        .arg(runtime.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let feed = thread::spawn(move || {
        for line in lines {
            if writeln!(input, "{line}").is_err() {
                break;
            }
        }
    });
    let mut killed = 0;
    for line in BufReader::new(client.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if line == "kill" {
            killed += 1;
            runtime.kill().unwrap();
            runtime.restart().unwrap();
            restarted.send(json!({ "restarted": true })).unwrap();
        }
    }
    let status = client.wait().unwrap();
    let problems: Vec<_> =
        runtime.logs().into_iter().filter(|line| line.level == "error").collect();
    assert!(status.success(), "js/tus.mjs failed ({status}): {problems:?}");
    assert_eq!(killed, 1);
    drop((gateway, restarted));
    feed.join().unwrap();
}
