//! The library against a server in this process: what goes over the wire, and what comes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fake;

use std::time::Duration;

use estafette::{
    Account, Client, Config, Error, ErrorCode, Event, Profile, Server, Status, Store, connect_with,
};
use estafette_protocol::http::Registered;
use estafette_protocol::{
    Ack, Activity, Body, ChatState, ClientFrame, Deliver, DeviceId, Doing, MessageId, PhoneNumber,
    Presence, Sent, ServerFrame,
};
use estafette_testkit::TempDir;
use fake::{ALICE, BOB, Fake, Seen, TOKEN, now, number, problem};

/// A configuration that waits for nothing longer than a test wants to.
fn quick() -> Config {
    Config { reconnect: 1, reconnect_max: 1, ack: 1, ..Config::default() }
}

async fn client(account: Account) -> Client {
    connect_with(account, &fake::secrets(), Store::in_memory().unwrap(), quick()).await.unwrap()
}

/// A client that is connected and greeted.
async fn connected() -> (Fake, Client) {
    let mut fake = Fake::start().await;
    let mut client = client(fake.account()).await;
    fake.upgrade().await;
    fake.greet();
    event(&mut client, |event| matches!(event, Event::Drained)).await;
    (fake, client)
}

/// The next event that fits, whatever happens before.
async fn event(client: &mut Client, fits: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = client.next().await.expect("the client ended");
            if fits(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("no such event")
}

fn deliver(stream: u64, numbers: std::ops::RangeInclusive<u64>) -> Vec<ServerFrame> {
    let frame = |number| {
        ServerFrame::Deliver(Deliver {
            id: MessageId { stream, number },
            from: PhoneNumber::from_digits(BOB).unwrap(),
            device: DeviceId(2),
            at: now(),
            body: Body(format!("message {number}").into_bytes()),
            after: None,
            to: None,
        })
    };
    numbers.map(frame).collect()
}

fn sent(id: MessageId) -> ServerFrame {
    ServerFrame::Sent(Sent { ids: vec![id], at: now() })
}

#[tokio::test]
async fn the_token_travels_in_the_header_and_the_encoding_in_the_subprotocol() {
    let mut fake = Fake::start().await;
    let mut client = client(fake.account()).await;
    let (authorization, subprotocol) = fake.upgrade().await;
    assert_eq!(authorization, format!("Bearer {TOKEN}"));
    assert_eq!(subprotocol, "estafette.v1.cbor");
    fake.greet();
    let connected = event(&mut client, |event| *event != Event::Reachable).await;
    assert_eq!(connected, Event::Connected { waiting: 0 });
}

#[tokio::test]
async fn a_message_goes_out_and_its_status_comes_back() {
    let (mut fake, mut client) = connected().await;
    let id = client.send(number(BOB), "hi").await.unwrap();
    let ClientFrame::Send(send) = fake.frame().await else { panic!("no send frame") };
    assert_eq!((send.id, send.to, send.body.0.as_slice()), (id, number(BOB), &b"hi"[..]));
    assert_eq!(client.pending().await.unwrap().messages, 1);
    fake.say(vec![sent(id)]);
    let status = event(&mut client, |event| matches!(event, Event::Status { .. })).await;
    assert_eq!(status, Event::Status { peer: number(BOB), id, status: Status::Sent });
    client.flush().await.unwrap();
    let history = client.history(number(BOB), 10).await.unwrap();
    assert_eq!((history.len(), history[0].status), (1, Status::Sent));
}

#[tokio::test]
async fn what_was_not_confirmed_is_sent_again_after_the_connection_is_lost() {
    let (mut fake, mut client) = connected().await;
    let id = client.send(number(BOB), "hi").await.unwrap();
    let ClientFrame::Send(first) = fake.frame().await else { panic!("no send frame") };
    fake.cut();
    event(&mut client, |event| matches!(event, Event::Disconnected { .. })).await;
    fake.upgrade().await;
    fake.greet();
    let ClientFrame::Send(second) = fake.frame().await else { panic!("no send frame") };
    assert_eq!((first.id, first.body), (second.id, second.body));
    fake.say(vec![sent(id)]);
    client.flush().await.unwrap();
}

#[tokio::test]
async fn a_message_that_comes_twice_is_told_once_and_acknowledged_twice() {
    let (mut fake, mut client) = connected().await;
    for _ in 0..2 {
        fake.say(deliver(5, 1..=1));
        let id = MessageId { stream: 5, number: 1 };
        assert_eq!(fake.frame().await, ClientFrame::Ack(Ack { ids: vec![id] }));
    }
    fake.say(deliver(5, 2..=2));
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        if let Event::Received(message) =
            event(&mut client, |event| *event != Event::Reachable).await
        {
            bodies.push(message.body);
        }
    }
    assert_eq!(bodies, [b"message 1", b"message 2"]);
}

#[tokio::test]
async fn who_is_there_and_who_types_goes_both_ways() {
    let (mut fake, mut client) = connected().await;
    client.set_available(true).await.unwrap();
    client.open_chat(Some(number(BOB))).await.unwrap();
    for watch in [vec![], vec![number(BOB)]] {
        let presence = Presence { available: true, watch };
        assert_eq!(fake.frame().await, ClientFrame::Presence(presence));
    }
    for _ in 0..2 {
        client.chat_state(number(BOB), Activity::Composing).await.unwrap();
    }
    client.chat_state(number(BOB), Activity::Paused).await.unwrap();
    for state in [Activity::Composing, Activity::Paused] {
        let state = ChatState { to: number(BOB), state };
        assert_eq!(fake.frame().await, ClientFrame::ChatState(state));
    }
    let (from, state) = (number(BOB), Activity::Recording);
    let last_seen = Some(now());
    fake.say(vec![
        ServerFrame::Presence(estafette_protocol::Seen { from, available: false, last_seen }),
        ServerFrame::ChatState(Doing { from, state }),
    ]);
    let there = Event::Presence { peer: from, available: false, last_seen };
    assert_eq!(event(&mut client, |event| *event != Event::Reachable).await, there);
    let recording = Event::Activity { peer: from, activity: state };
    assert_eq!(event(&mut client, |event| *event != Event::Reachable).await, recording);
}

#[tokio::test]
async fn silence_is_asked_about_and_ends_the_connection_when_nobody_answers() {
    let mut fake = Fake::start().await;
    let config = Config { quiet: 20, pong: 200, ..quick() };
    let store = Store::in_memory().unwrap();
    let mut client = connect_with(fake.account(), &fake::secrets(), store, config).await.unwrap();
    fake.upgrade().await;
    fake.greet();
    for _ in 0..3 {
        assert_eq!(fake.next().await, Seen::Ping, "the connection stays while pings are answered");
    }
    fake.mute();
    event(&mut client, |event| matches!(event, Event::Disconnected { .. })).await;
    fake.upgrade().await;
}

#[tokio::test]
async fn a_removed_device_is_signed_out_and_stays_away() {
    let mut fake = Fake::start().await;
    fake.reject(ErrorCode::DeviceRemoved);
    let mut client = client(fake.account()).await;
    let out = event(&mut client, |event| matches!(event, Event::SignedOut(_))).await;
    assert_eq!(out, Event::SignedOut(ErrorCode::DeviceRemoved));
    let Seen::Request { line, authorization, .. } = fake.next().await else {
        panic!("no upgrade was asked for")
    };
    assert_eq!(line, "GET /v1/socket");
    assert_eq!(authorization, format!("Bearer {TOKEN}"));
    // The store still serves what it holds.
    assert!(client.history(number(BOB), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_program_that_takes_no_events_loses_none() {
    const MESSAGES: u64 = 3000;
    let (mut fake, mut client) = connected().await;
    let mut next = 1;
    let mut acknowledged = 0;
    // A window of 250, as the server's of 256: what is not acknowledged is not followed by more.
    while next <= MESSAGES {
        fake.say(deliver(5, next..=next + 249));
        next += 250;
        while acknowledged < next - 1 && next < 1000 {
            let ClientFrame::Ack(ack) = fake.frame().await else { panic!("no ack") };
            acknowledged += ack.ids.len() as u64;
        }
    }
    for number in 1..=MESSAGES {
        let message = event(&mut client, |event| matches!(event, Event::Received(_))).await;
        let Event::Received(message) = message else { panic!("not received") };
        assert_eq!(message.id.number, number);
    }
}

#[tokio::test]
async fn closing_says_goodbye_and_ends_every_handle() {
    let (mut fake, client) = connected().await;
    let handle = client.handle();
    fake.say(deliver(5, 1..=1));
    client.close().await;
    let mut last = fake.next().await;
    while matches!(last, Seen::Frame(ClientFrame::Ack(_))) {
        last = fake.next().await;
    }
    assert_eq!(last, Seen::Closed { politely: true });
    assert!(matches!(handle.send(number(BOB), "late").await, Err(Error::Ended)));
}

#[tokio::test]
async fn dropping_the_last_handle_disconnects() {
    let (mut fake, client) = connected().await;
    let handle = client.into_handle();
    handle.chats().await.unwrap();
    drop(handle);
    assert_eq!(fake.next().await, Seen::Closed { politely: true });
}

#[tokio::test]
async fn a_token_past_half_its_life_is_renewed_and_kept() {
    let directory = TempDir::new().unwrap();
    let mut fake = Fake::start().await;
    // Registered half an hour ago, as it were, for a little longer than that.
    fake.answer(|line, _| match line {
        "POST /v1/registration" => (200, registered(TOKEN, now() + 1)),
        "POST /v1/token" => (200, registered("second-token", now() + 1_000_000_000)),
        _ => (404, problem(ErrorCode::NotFound)),
    });
    let server = Server::new(&fake.address).unwrap();
    let path = directory.path().join("alice");
    let profile =
        Profile::register(&path, &server, number(ALICE), "123456", "laptop").await.unwrap();
    let Seen::Request { line, body, .. } = fake.next().await else { panic!("no request") };
    assert_eq!(line, "POST /v1/registration");
    assert!(body.contains(r#""number":"+33612345678","code":"123456","name":"laptop""#), "{body}");

    let client = estafette::connect(profile).await.unwrap();
    loop {
        if let Seen::Request { line, authorization, .. } = fake.next().await {
            assert_eq!(line, "POST /v1/token");
            assert_eq!(authorization, format!("Bearer {TOKEN}"));
            break;
        }
    }
    // The answer is on its way: the next connections are tried until one has it.
    loop {
        fake.cut();
        if fake.upgrade().await.0 == "Bearer second-token" {
            break;
        }
    }
    client.close().await;
    assert_eq!(Profile::account_in(&path).unwrap().token, "second-token");
}

#[tokio::test]
async fn refusals_and_silence_have_errors_of_their_own() {
    let fake = Fake::start().await;
    fake.answer(|line, _| match line {
        "POST /v1/registration/code" => (429, problem(ErrorCode::RateLimited)),
        _ => (200, "<html>".into()),
    });
    let server = Server::new(&fake.address).unwrap();
    let refused = server.request_code(number(ALICE)).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::RateLimited));
    assert_eq!(refused.to_string(), "This is rate_limited");
    let other = server.health().await.unwrap_err();
    assert!(matches!(other, Error::Unexpected { status: 200, .. }), "{other:?}");
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Server::new(&format!("http://{free}")).unwrap();
    let silence = nobody.health().await.unwrap_err();
    assert!(matches!(silence, Error::Unreachable { .. }), "{silence:?}");
}

#[test]
fn plain_http_is_for_this_machine_only() {
    for good in [
        "https://example.org",
        "https://example.org:8443/",
        "http://127.0.0.1:8787",
        "http://localhost:1",
        "http://[::1]:8787",
    ] {
        assert!(Server::new(good).is_ok(), "{good}");
    }
    for bad in [
        "http://example.org",
        "example.org",
        "ftp://example.org",
        "https://example.org/x",
        "https://me@example.org",
        "http://127.0.0.1.example.org",
        "",
    ] {
        assert!(matches!(Server::new(bad), Err(Error::Address { .. })), "{bad}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn three_hundred_clients_need_no_thread_each() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut fake = Fake::start().await;
        let mut clients = Vec::new();
        for _ in 0..300 {
            clients.push(client(fake.account()).await);
            fake.upgrade().await;
            fake.greet();
        }
        for client in &mut clients {
            event(client, |event| matches!(event, Event::Drained)).await;
        }
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        assert!(threads < 40, "{threads} threads");
    });
}

fn registered(token: &str, expires_at: u64) -> String {
    let registered =
        Registered { account: number(ALICE), device: DeviceId(1), token: token.into(), expires_at };
    serde_json::to_string(&registered).unwrap()
}
