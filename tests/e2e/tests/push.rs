//! Sleeping devices are woken through a push service that takes what it gets, or misbehaves.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use estafette::Account;
use estafette_e2e::{Stage, Stream, Subscriber, Wire, number};
use estafette_protocol::{Body, Encoding, ServerFrame};
use estafette_testkit::PushService;

/// A server that pushes to `service`, ALICE, who is connected, and BOB, who sleeps and has subscribed.
async fn asleep(service: &PushService) -> (Stage, Wire, Account, Subscriber) {
    let stage = Stage::start(|options| options.push(&service.host())).unwrap();
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
