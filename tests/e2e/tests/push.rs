//! Sleeping devices are woken through a push service that takes what it gets, or misbehaves.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use estafette::Account;
use estafette_e2e::{Request, Stage, Stream, Subscriber, Wire, number, put};
use estafette_protocol::http::{Push, PushSubscription};
use estafette_protocol::{Body, Encoding, ErrorCode, ServerFrame};
use estafette_testkit::{PushService, ServiceBehaviour};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// What a thing that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first wait before a push is tried again, in these tests.
const RETRY: Duration = Duration::from_millis(100);

/// A server that pushes to `service`, Alice, who is connected, and Bob, who sleeps and has subscribed.
async fn asleep(service: &PushService) -> (Stage, Wire, Account, Subscriber) {
    let retry = RETRY.as_millis().to_string();
    let stage = Stage::start(|options| {
        options.push(&service.host()).var("PUSH_RETRY_MS", retry).var("SEND_BURST", 1000)
    })
    .unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let subscriber = Subscriber::at(service.endpoint("bob")).unwrap();
    subscriber.subscribe(&stage, &bob).await.unwrap();
    let alice = Wire::online(&stage, &alice, Encoding::Json).await.unwrap();
    (stage, alice, bob, subscriber)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_device_is_woken_once_for_a_burst_and_not_while_it_is_connected() {
    let service = PushService::start().unwrap();
    let (stage, mut alice, bob, subscriber) = asleep(&service).await;
    let stream = Stream::new(bob.number);
    let ids: Vec<_> = (1..=5).map(|number| stream.id(number)).collect();
    alice.say(&stream.messages(1..=3, b"hello")).await.unwrap();
    alice.until_sent(&ids[..3]).await.unwrap();
    alice.say(&stream.messages(4..=5, b"again")).await.unwrap();
    alice.until_sent(&ids[3..]).await.unwrap();

    let pushed = service.wait(1).unwrap();
    let told = subscriber.open(&pushed[0]).unwrap();
    assert_eq!((told.from, told.id, told.waiting), (number(0), ids[2], 3));
    assert_eq!(told.body, Some(Body(b"hello".to_vec())));
    assert_eq!((pushed[0].method.as_str(), pushed[0].path.as_str()), ("POST", "/push/bob"));
    let header = |name: &str| pushed[0].headers.get(name).map(String::as_str);
    assert_eq!(header("content-encoding"), Some("aes128gcm"));
    assert_eq!(header("ttl"), Some("2419200"));
    assert_eq!(header("urgency"), Some("high"));
    assert_eq!(header("topic"), Some("messages"));
    assert!(header("authorization").is_some_and(|text| text.starts_with("vapid t=")));

    let (mut wire, waited) = Wire::open(&stage, &bob, Encoding::Json).await.unwrap();
    assert_eq!(waited.len(), 5);
    wire.ack(&ids).await.unwrap();
    alice.say(&[stream.message(6, "live")]).await.unwrap();
    let live = wire.until(|frame| match frame {
        ServerFrame::Deliver(deliver) => Some(deliver.id),
        _ => None,
    });
    assert_eq!(live.await.unwrap(), stream.id(6));
    wire.ack(&[stream.id(6)]).await.unwrap();
    alice.until_sent(&[stream.id(6)]).await.unwrap();
    wire.close().await.unwrap();

    // Its next sleep is another burst: what was not to be pushed would have come before this.
    alice.say(&[stream.message(7, "asleep again")]).await.unwrap();
    let pushed = service.wait(2).unwrap();
    assert_eq!(pushed.len(), 2);
    assert_eq!(subscriber.open(&pushed[1]).unwrap().id, stream.id(7));
}

/// Sends Bob a message, and returns once it is safe: long before any service is given up.
async fn send(alice: &mut Wire, stream: Stream, number: u64) {
    alice.say(&[stream.message(number, "hi")]).await.unwrap();
    let ids = [stream.id(number)];
    let safe = timeout(Duration::from_secs(5), alice.until_sent(&ids)).await;
    assert!(matches!(safe, Ok(Ok(()))), "a push delays a message: {safe:?}");
}

async fn subscription(stage: &Stage, account: &Account) -> Option<PushSubscription> {
    let request = Request::new("GET", "/v1/push").token(&account.token);
    let answer = request.send(stage).await.unwrap();
    assert_eq!(answer.status, 200);
    serde_json::from_slice::<Push>(&answer.body).unwrap().subscription
}

/// Waits until the Worker has logged such an event.
async fn logged(stage: &Stage, event: &str, detail: &str) {
    let found = async {
        let name = format!(r#""event":"{event}""#);
        let is = |message: &str| message.contains(&name) && message.contains(detail);
        while !stage.runtime.logs().iter().any(|line| is(&line.message)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("{event} {detail} is not in {:?}", stage.runtime.logs()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_when_a_socket_ends_wakes_its_device() {
    let service = PushService::start().unwrap();
    let stage =
        Stage::start(|options| options.push(&service.host()).var("HOLD_MS", 30_000)).unwrap();
    let (alice, bob) =
        (stage.register(number(0)).await.unwrap(), stage.register(number(1)).await.unwrap());
    let subscriber = Subscriber::at(service.endpoint("bob")).unwrap();
    subscriber.subscribe(&stage, &bob).await.unwrap();
    let mut alice = Wire::online(&stage, &alice, Encoding::Json).await.unwrap();
    let mut wire = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    let stream = Stream::new(bob.number);
    alice.say(&[stream.message(1, "are you there?")]).await.unwrap();
    assert!(matches!(wire.hear().await.unwrap(), ServerFrame::Deliver(_)));
    assert_eq!(service.pushed(), [], "he is connected");
    wire.close().await.unwrap();
    let told = subscriber.open(&service.wait(1).unwrap()[0]).unwrap();
    assert_eq!((told.id, told.waiting), (stream.id(1), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_gone_is_dropped() {
    for status in [404, 410] {
        let service = PushService::start().unwrap();
        let (stage, mut alice, bob, subscriber) = asleep(&service).await;
        assert_eq!(subscription(&stage, &bob).await, Some(subscriber.subscription.clone()));
        service.behave(ServiceBehaviour::Answer(status, vec![]));
        send(&mut alice, Stream::new(bob.number), 1).await;
        service.wait(1).unwrap();
        let dropped = async { while subscription(&stage, &bob).await.is_some() {} };
        timeout(PATIENCE, dropped).await.unwrap();
        subscriber.subscribe(&stage, &bob).await.unwrap();
        assert!(subscription(&stage, &bob).await.is_some(), "it may subscribe anew");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_fails_is_asked_again_ever_later() {
    for behaviour in [
        ServiceBehaviour::Answer(500, vec![]),
        ServiceBehaviour::Answer(503, vec![("Retry-After", "0".to_owned())]),
        ServiceBehaviour::Answer(429, vec![]),
        ServiceBehaviour::Garbage,
    ] {
        let service = PushService::start().unwrap();
        let (stage, mut alice, bob, subscriber) = asleep(&service).await;
        service.behave(behaviour.clone());
        let stream = Stream::new(bob.number);
        send(&mut alice, stream, 1).await;
        let failed = service.wait(3).unwrap();
        let waits = [failed[1].at - failed[0].at, failed[2].at - failed[1].at];
        assert!(waits[0] >= RETRY && waits[1] >= 4 * RETRY, "{behaviour:?}: {waits:?}");
        send(&mut alice, stream, 2).await;
        service.behave(ServiceBehaviour::Take);
        let told = subscriber.open(&service.wait(4).unwrap()[3]).unwrap();
        assert_eq!((told.id, told.waiting), (stream.id(2), 2), "{behaviour:?}");
        logged(&stage, "push_failed", &service.host()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_says_how_long_is_given_that_time() {
    let service = PushService::start().unwrap();
    let (_stage, mut alice, bob, _subscriber) = asleep(&service).await;
    let wait = vec![("Retry-After", "2".to_owned())];
    service.behave(ServiceBehaviour::Answer(429, wait));
    send(&mut alice, Stream::new(bob.number), 1).await;
    let pushed = service.wait(2).unwrap();
    assert!(pushed[1].at - pushed[0].at >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_down_gets_its_push_when_it_is_back() {
    let down = PushService::start().unwrap();
    let (stage, mut alice, bob, subscriber) = asleep(&down).await;
    let (port, host) = (down.port(), down.host());
    drop(down);
    let stream = Stream::new(bob.number);
    send(&mut alice, stream, 1).await;
    logged(&stage, "push_failed", &host).await;
    let back = PushService::start_on(port).unwrap();
    assert_eq!(subscriber.open(&back.wait(1).unwrap()[0]).unwrap().id, stream.id(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_too_long_comes_again_without_its_body() {
    let service = PushService::start().unwrap();
    let (_stage, mut alice, bob, subscriber) = asleep(&service).await;
    service.behave(ServiceBehaviour::Answer(413, vec![]));
    let stream = Stream::new(bob.number);
    send(&mut alice, stream, 1).await;
    let pushed = service.wait(1).unwrap();
    service.behave(ServiceBehaviour::Take);
    assert!(subscriber.open(&pushed[0]).unwrap().body.is_some());
    let told = subscriber.open(&service.wait(2).unwrap()[1]).unwrap();
    assert_eq!((told.id, told.body), (stream.id(1), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_up_error_is_logged_and_not_repeated() {
    let service = PushService::start().unwrap();
    let (stage, mut alice, bob, _subscriber) = asleep(&service).await;
    let carol = stage.register(number(2)).await.unwrap();
    let carols = Subscriber::at(service.endpoint("carol")).unwrap();
    carols.subscribe(&stage, &carol).await.unwrap();
    service.behave(ServiceBehaviour::Answer(403, vec![]));
    let stream = Stream::new(bob.number);
    send(&mut alice, stream, 1).await;
    logged(&stage, "push_refused", r#""status":403"#).await;

    // Bob's next burst: he came, and is away again.
    let (mut wire, _) = Wire::open(&stage, &bob, Encoding::Json).await.unwrap();
    wire.ack(&[stream.id(1)]).await.unwrap();
    wire.answers().await.unwrap();
    wire.close().await.unwrap();
    send(&mut alice, stream, 2).await;
    // Had Bob been pushed to, it would have been before Carol.
    send(&mut alice, Stream::new(carol.number), 1).await;
    let pushed = service.wait(2).unwrap();
    let paths: Vec<_> = pushed.iter().map(|pushed| pushed.path.as_str()).collect();
    assert_eq!(paths, ["/push/bob", "/push/carol"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirection_is_followed() {
    let (service, elsewhere) = (PushService::start().unwrap(), PushService::start().unwrap());
    let (_stage, mut alice, bob, subscriber) = asleep(&service).await;
    for status in [301, 302, 307] {
        let location = elsewhere.endpoint("elsewhere");
        let seen = service.pushed().len();
        service.behave(ServiceBehaviour::Answer(status, vec![("Location", location)]));
        if seen == 0 {
            send(&mut alice, Stream::new(bob.number), 1).await;
        }
        service.wait(seen + 1).unwrap();
    }
    service.behave(ServiceBehaviour::Take);
    let pushed = service.wait(4).unwrap();
    assert!(subscriber.open(&pushed[3]).is_ok(), "it is asked again, where it was");
    assert_eq!(elsewhere.pushed(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_hangs_or_never_ends_holds_nothing_up() {
    const SLEEPERS: usize = 20;
    for behaviour in [ServiceBehaviour::Hang, ServiceBehaviour::Endless] {
        let service = PushService::start().unwrap();
        let (stage, mut alice, bob, _subscriber) = asleep(&service).await;
        let mut sleepers = vec![bob];
        for index in 2..=SLEEPERS {
            let account = stage.register(number(index)).await.unwrap();
            let subscriber = Subscriber::at(service.endpoint(&index.to_string())).unwrap();
            subscriber.subscribe(&stage, &account).await.unwrap();
            sleepers.push(account);
        }
        service.behave(behaviour.clone());
        let before = stage.runtime.rss_bytes().unwrap();
        for account in &sleepers {
            let stream = Stream::new(account.number);
            for number in 1..=5 {
                send(&mut alice, stream, number).await;
            }
        }
        let pushed = service.wait(SLEEPERS).unwrap().len();
        assert_eq!(pushed, SLEEPERS, "one for each, however many messages came");
        let grown = stage.runtime.rss_bytes().unwrap().saturating_sub(before);
        assert!(grown < 100 * 1024 * 1024, "{behaviour:?}: {grown} bytes more");
        for account in &sleepers {
            let (wire, waited) = Wire::open(&stage, account, Encoding::Json).await.unwrap();
            assert_eq!(waited.len(), 5, "nothing was lost");
            wire.close().await.unwrap();
        }
        if behaviour == ServiceBehaviour::Hang {
            logged(&stage, "push_failed", r#""reason":"timeout""#).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_subscription_is_refused_and_wakes_nothing() {
    let service = PushService::start().unwrap();
    let (stage, _alice, bob, subscriber) = asleep(&service).await;
    let before = stage.calls(&bob).await.unwrap();
    let good = json!(subscriber.subscription);
    let with = |pointer: &str, value: &str| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value.into();
        changed.to_string().into_bytes()
    };
    let p256dh = subscriber.subscription.keys.p256dh.clone();
    let other = PushService::start().unwrap();
    for (body, status, code) in [
        (b"".to_vec(), 400, ErrorCode::Malformed),
        (b"{}".to_vec(), 400, ErrorCode::Malformed),
        (with("/keys/p256dh", ""), 400, ErrorCode::Malformed),
        (with("/keys/p256dh", &format!("{}A", &p256dh[..86])), 400, ErrorCode::Malformed),
        (with("/keys/auth", "AAAA"), 400, ErrorCode::Malformed),
        (with("/endpoint", &other.endpoint("bob")), 403, ErrorCode::UnknownPushService),
        (with("/endpoint", "https://fcm.googleapis.com/a"), 403, ErrorCode::UnknownPushService),
        (with("/endpoint", "http://169.254.169.254/"), 403, ErrorCode::UnknownPushService),
        (with("/endpoint", &service.endpoint(&"x".repeat(2100))), 413, ErrorCode::TooLarge),
        (vec![b' '; 5000], 413, ErrorCode::TooLarge),
    ] {
        let answer = put(&stage, &bob, &body).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert_eq!(answer.refusal().unwrap(), (status, code), "{body}");
    }
    let before = before + 1;
    assert_eq!(stage.calls(&bob).await.unwrap(), before, "only the question itself");
    assert_eq!(subscription(&stage, &bob).await, Some(subscriber.subscription));
}

#[tokio::test]
async fn without_a_key_pushes_are_off() {
    let stage = Stage::start(|options| options).unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let subscriber = Subscriber::at("https://fcm.googleapis.com/a".to_owned()).unwrap();
    let off = (501, ErrorCode::PushUnavailable);
    let body = serde_json::to_vec(&subscriber.subscription).unwrap();
    assert_eq!(put(&stage, &bob, &body).await.unwrap().refusal().unwrap(), off);
    for (method, status) in [("GET", 501), ("DELETE", 204)] {
        let request = Request::new(method, "/v1/push").token(&bob.token);
        assert_eq!(request.send(&stage).await.unwrap().status, status, "{method}");
    }
    let nobody = Request::new("GET", "/v1/push").send(&stage).await.unwrap();
    assert_eq!(nobody.refusal().unwrap(), (401, ErrorCode::TokenMissing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_unsubscribes_is_let_sleep() {
    let service = PushService::start().unwrap();
    let (stage, mut alice, bob, subscriber) = asleep(&service).await;
    let request = Request::new("DELETE", "/v1/push").token(&bob.token);
    assert_eq!(request.send(&stage).await.unwrap().status, 204);
    assert_eq!(subscription(&stage, &bob).await, None);
    send(&mut alice, Stream::new(bob.number), 1).await;
    subscriber.subscribe(&stage, &bob).await.unwrap();
    let stream = Stream::new(bob.number);
    send(&mut alice, stream, 1).await;
    let pushed = service.wait(1).unwrap();
    assert_eq!(pushed.len(), 1);
    assert_eq!(subscriber.open(&pushed[0]).unwrap().id, stream.id(1));
}
