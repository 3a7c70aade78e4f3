//! Too often: sends, batches, connections, and devices that take nothing in.

use std::time::{Duration, Instant};

use estafette::{Account, ErrorCode};
use estafette_e2e::{Request, Stage, Stream, Wire, number};
use estafette_protocol::{ClientFrame, Encoding, ServerFrame, limits};
use tokio::time::sleep;

const MIB: u64 = 1024 * 1024;

async fn two(stage: &Stage) -> [Account; 2] {
    [stage.register(number(0)).await.unwrap(), stage.register(number(1)).await.unwrap()]
}

#[tokio::test]
async fn a_flood_of_sends_is_refused_until_the_wait_is_over() {
    let stage = Stage::start(|options| options).unwrap();
    let [alice, bob] = two(&stage).await;
    let mut from_alice = Wire::online(&stage, &alice, Encoding::Cbor).await.unwrap();
    let mut to_bob = Wire::online(&stage, &bob, Encoding::Cbor).await.unwrap();
    let stream = Stream::new(bob.number);
    const FLOOD: u64 = 200;
    from_alice.say(&stream.messages(1..=FLOOD, b"hello")).await.unwrap();

    let (mut refused, mut wait) = (Vec::new(), 0);
    while refused.len() + (limits::SEND_BURST as usize) < FLOOD as usize {
        match from_alice.hear().await.unwrap() {
            ServerFrame::Refused(frame) => {
                assert_eq!(frame.code, ErrorCode::RateLimited);
                wait = frame.retry_after.unwrap();
                refused.extend(frame.ids);
            }
            ServerFrame::Sent(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // The first of them came through, and no other.
    let first = u64::from(limits::SEND_BURST);
    let expected: Vec<_> = (first + 1..=FLOOD).map(|number| stream.id(number)).collect();
    assert_eq!(refused, expected);
    for number in 1..=first {
        let ServerFrame::Deliver(deliver) = to_bob.hear().await.unwrap() else { panic!() };
        assert_eq!(deliver.id, stream.id(number));
    }
    assert_eq!(to_bob.answers().await.unwrap(), []);

    // The server said when it takes the next.
    assert!((1..=1000 / u64::from(limits::SENDS_PER_SECOND)).contains(&wait), "{wait} ms");
    sleep(Duration::from_millis(wait)).await;
    from_alice.say(&[stream.message(first + 1, "hello")]).await.unwrap();
    let ServerFrame::Deliver(deliver) = to_bob.hear().await.unwrap() else { panic!() };
    assert_eq!(deliver.id, stream.id(first + 1));
    to_bob.ack(&[deliver.id]).await.unwrap();
    from_alice.until_sent(&[deliver.id]).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_batches_ends_the_socket() {
    let stage = Stage::start(|options| options).unwrap();
    let [alice, bob] = two(&stage).await;
    let mut from_alice = Wire::online(&stage, &alice, Encoding::Json).await.unwrap();
    let mut to_bob = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    for _ in 0..5000 {
        if from_alice.say::<ClientFrame>(&[]).await.is_err() {
            break;
        }
    }
    assert_eq!(from_alice.end().await.unwrap(), (Some(ErrorCode::RateLimited), 4003));
    // It may come back.
    let mut from_alice = Wire::online(&stage, &alice, Encoding::Json).await.unwrap();
    let stream = Stream::new(bob.number);
    from_alice.say(&[stream.message(1, "hello")]).await.unwrap();
    to_bob.ack(&[stream.id(1)]).await.unwrap();
    to_bob.hear().await.unwrap();
    to_bob.ack(&[stream.id(1)]).await.unwrap();
    from_alice.until_sent(&[stream.id(1)]).await.unwrap();
}

/// How long a message takes from one to the other.
async fn takes(message: ClientFrame, from: &mut Wire, to: &mut Wire) -> Duration {
    let began = Instant::now();
    from.say(&[message]).await.unwrap();
    let ServerFrame::Deliver(deliver) = to.hear().await.unwrap() else { panic!() };
    let took = began.elapsed();
    to.ack(&[deliver.id]).await.unwrap();
    from.until_sent(&[deliver.id]).await.unwrap();
    took
}

#[tokio::test]
async fn a_flood_of_sockets_is_refused_before_the_object_is_woken() {
    const LIMIT: u32 = 5;
    let stage = Stage::start(|options| options.rate_limit("LIMIT_DEVICE", LIMIT)).unwrap();
    let [alice, bob] = two(&stage).await;
    let mut sockets = Vec::new();
    for _ in 0..LIMIT {
        sockets.push(Wire::online(&stage, &alice, Encoding::Json).await.unwrap());
    }
    // A device has one socket at a time.
    let mut last = sockets.pop().unwrap();
    for mut replaced in sockets {
        assert_eq!(replaced.end().await.unwrap(), (Some(ErrorCode::Replaced), 4002));
    }
    let began = Instant::now();
    for _ in 0..20 {
        let upgrade = Request::upgrade("estafette.v1.json").token(&alice.token);
        for request in [upgrade, Request::new("GET", "/v1/usage").token(&alice.token)] {
            let answer = request.send(&stage).await.unwrap();
            assert_eq!(answer.status, 429, "{:?} after the first", began.elapsed());
            assert_eq!(answer.problem().unwrap().error, ErrorCode::RateLimited);
            assert!(answer.header("retry-after").is_some());
        }
    }
    // The one that is open still works, and so does everybody else's.
    let mut to_bob = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    let stream = Stream::new(bob.number);
    last.say(&[stream.message(1, "hello")]).await.unwrap();
    let ServerFrame::Deliver(deliver) = to_bob.hear().await.unwrap() else { panic!() };
    to_bob.ack(&[deliver.id]).await.unwrap();
    last.until_sent(&[deliver.id]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_does_not_read_costs_little_and_harms_nobody() {
    const BODY: usize = limits::BODY_BYTES_MAX;
    // 15 bodies of 64 KiB fit into a batch of CBOR.
    const BATCH: u64 = 15;
    const BATCHES: u64 = 40;
    let stage = Stage::start(|options| options.var("SEND_BURST", "10000")).unwrap();
    let [alice, bob] = two(&stage).await;
    let carol = stage.register(number(2)).await.unwrap();
    let mut from_alice = Wire::online(&stage, &alice, Encoding::Cbor).await.unwrap();
    let mut to_carol = Wire::online(&stage, &carol, Encoding::Json).await.unwrap();
    // Bob connects and reads nothing at all, not even the greeting.
    let mut bob_hears = Wire::connect(&stage, &bob.token, Encoding::Json).await.unwrap();
    let before = stage.runtime.rss_bytes().unwrap();
    let [stream, aside] = [bob.number, carol.number].map(Stream::new);
    let (mut peak, mut slowest) = (before, Duration::ZERO);
    for batch in 0..BATCHES {
        let numbers = batch * BATCH + 1..=(batch + 1) * BATCH;
        let ids: Vec<_> = numbers.clone().map(|number| stream.id(number)).collect();
        from_alice.say(&stream.messages(numbers, &vec![b'x'; BODY])).await.unwrap();
        from_alice.until_sent(&ids).await.unwrap();
        let hello = aside.message(batch + 1, "hello");
        slowest = slowest.max(takes(hello, &mut from_alice, &mut to_carol).await);
        peak = peak.max(stage.runtime.rss_bytes().unwrap());
    }
    let grown = (peak - before) / MIB;
    println!("600 messages, 37 MiB: {grown} MiB more, others within {slowest:?}");
    assert!(grown < 300, "{grown} MiB more");
    assert!(slowest < Duration::from_secs(5), "others waited {slowest:?}");

    // Bob makes the server say more and more to him, too, until it has enough of it.
    let junk = vec![std::collections::BTreeMap::from([("junk", 0)]); limits::BATCH_FRAMES_MAX];
    let flood = tokio::spawn(async move {
        for _ in 0..1000 {
            bob_hears.say(&junk).await.unwrap();
        }
        bob_hears
    });
    let (mut number, mut slowest) = (BATCHES, Duration::ZERO);
    while !flood.is_finished() {
        number += 1;
        let hello = aside.message(number, "hello");
        slowest = slowest.max(takes(hello, &mut from_alice, &mut to_carol).await);
        peak = peak.max(stage.runtime.rss_bytes().unwrap());
    }
    let grown = (peak - before) / MIB;
    let ended = flood.await.unwrap().end().await.unwrap();
    println!("{ended:?}: {grown} MiB more, others within {slowest:?}");
    assert!(matches!(ended, (Some(ErrorCode::RateLimited), 4003) | (_, 1013)), "{ended:?}");
    assert!(grown < 300, "{grown} MiB more");
    assert!(slowest < Duration::from_secs(5), "others waited {slowest:?}");

    // When he reads after all, everything is there.
    let mut bob_hears = Wire::connect(&stage, &bob.token, Encoding::Cbor).await.unwrap();
    let mut next = 1;
    loop {
        match bob_hears.hear().await.unwrap() {
            ServerFrame::Deliver(deliver) => {
                assert_eq!((deliver.id, deliver.body.0.len()), (stream.id(next), BODY));
                next += 1;
                bob_hears.ack(&[deliver.id]).await.unwrap();
            }
            ServerFrame::Drained(_) => break,
            ServerFrame::Hello(hello) => assert_eq!(hello.waiting, BATCHES * BATCH),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, BATCHES * BATCH + 1);
    assert!(stage.runtime.is_running().unwrap());
}

#[tokio::test]
async fn a_budget_that_is_used_up_stops_sending_and_not_receiving() {
    let budget = 150_000;
    let stage = Stage::start(|options| options.var("DAILY_BUDGET_NANODOLLARS", budget.to_string()))
        .unwrap();
    let [alice, bob] = two(&stage).await;
    let mut from_alice = Wire::online(&stage, &alice, Encoding::Json).await.unwrap();
    // Nobody takes Bob's messages in: each must be stored, which costs the most.
    let stream = Stream::new(bob.number);
    let mut taken = 0;
    let (ids, code) = loop {
        from_alice.say(&[stream.message(taken + 1, "hello")]).await.unwrap();
        match from_alice.hear().await.unwrap() {
            ServerFrame::Sent(_) => taken += 1,
            ServerFrame::Refused(refused) => {
                let wait = refused.retry_after.unwrap();
                assert!(wait <= 24 * 60 * 60 * 1000, "{wait} ms");
                break (refused.ids, refused.code);
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((ids, code), (vec![stream.id(taken + 1)], ErrorCode::BudgetExhausted));
    let usage = stage.server().usage(&alice.token).await.unwrap();
    println!("{taken} messages, {usage:?}");
    assert!(taken > 10 && usage.spent >= budget && usage.spent < budget + budget / 10, "{usage:?}");

    // Bob gets all that was taken, and nothing else; Alice is told, and hears from Bob.
    let (mut to_bob, waited) = Wire::open(&stage, &bob, Encoding::Json).await.unwrap();
    assert_eq!(waited.len() as u64, taken);
    let answer = Stream::new(alice.number);
    to_bob.say(&[answer.message(1, "hello yourself")]).await.unwrap();
    let deliver = from_alice.until(|frame| match frame {
        ServerFrame::Deliver(deliver) => Some(deliver),
        _ => None,
    });
    assert_eq!(deliver.await.unwrap().id, answer.id(1));
    from_alice.ack(&[answer.id(1)]).await.unwrap();
    to_bob.until_sent(&[answer.id(1)]).await.unwrap();

    // A new socket would be more work; what is sent meanwhile is kept.
    from_alice.close().await.unwrap();
    let upgrade = Request::upgrade("estafette.v1.json").token(&alice.token);
    let refused = upgrade.send(&stage).await.unwrap();
    assert_eq!(refused.refusal().unwrap(), (429, ErrorCode::BudgetExhausted));
    assert!(refused.problem().unwrap().retry_after.is_some());
    to_bob.say(&[answer.message(2, "are you there?")]).await.unwrap();
    to_bob.until_sent(&[answer.id(2)]).await.unwrap();
}
