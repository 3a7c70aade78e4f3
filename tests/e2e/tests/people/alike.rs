//! Blocked, hidden, absent and not there at all: the same answers, and as fast.
//!
//! Each door by which one account learns of another is asked of each of them in turns, in an order that
//! goes round, so that whatever else the machine does befalls all of them alike. Two are told apart where
//! the lower quartiles of their times, which a busy machine moves least, differ by more than [`APART`], and
//! where one took longer than the other in so many rounds that it is as good as never chance: of 980, in 586
//! or more. Should two seem to be told apart, all are measured again, twice at most: what is so, shows again.
//!
//! A write that one path has and the other has not makes 0.07 of 0.27 ms here, a quarter; what is left of
//! differences is a twentieth. Where a write is replicated before it is answered, it makes far more.

use std::time::{Duration, Instant};

use estafette::{Account, Activity, Audience, Person, PhoneNumber, Privacy};
use estafette_e2e::{Request, Stage, Stream, Wire, number};
use estafette_protocol::{ClientFrame, Encoding, Mark, MessageId, Receipt, WireMessage, limits};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::presence::{says, types};

/// How often each is watched: `WATCHES` times by each of `DEVICES` devices of `ASKERS` accounts.
const ROUNDS: usize = ASKERS * DEVICES * WATCHES;
const ASKERS: usize = 7;
const DEVICES: usize = 5;
/// A device may say 30 times at once whom it watches.
const WATCHES: usize = 7;
/// Told apart: a difference of so much of the time.
const APART: f64 = 0.12;
/// And so many standard deviations of fair coins from even: one in a thousand million, both ways.
const UNEVEN: f64 = 6.1;
const ATTEMPTS: usize = 3;

/// Those who are asked of.
struct Cast {
    stage: Stage,
    askers: Vec<Account>,
    /// Every device of the askers.
    devices: Vec<Account>,
    /// One that has no other device to be told what it sends.
    writer: Account,
    blocking: Account,
    hiding: Account,
    absent: Account,
}

impl Cast {
    async fn gather() -> Self {
        let change = |options: estafette_testkit::Options| {
            let limits = ["SEND_BURST", "SENDS_PER_SECOND", "BATCH_BURST", "BATCHES_PER_SECOND"];
            let options = options.var("DAILY_BUDGET_NANODOLLARS", 1_000_000_000_000_u64);
            limits.into_iter().fold(options, |options, limit| options.var(limit, 1_000_000))
        };
        let stage = Stage::start(change).unwrap();
        let server = stage.server();
        let mut others = Vec::new();
        for index in 0..3 {
            others.push(stage.register(number(index)).await.unwrap());
        }
        let [blocking, hiding, absent] = others.try_into().unwrap();
        let hidden = Audience::Nobody;
        let nothing =
            Privacy { last_seen: hidden, online: hidden, read_marks: hidden, ..Privacy::default() };
        server.set_privacy(&hiding.token, &nothing).await.unwrap();
        let open = Privacy { number: Audience::Everyone, ..Privacy::default() };
        server.set_privacy(&blocking.token, &open).await.unwrap();
        let (mut askers, mut devices) = (Vec::new(), Vec::new());
        let blocked = Person { blocked: true, ..Person::default() };
        let writer = stage.register(number(50)).await.unwrap();
        server.set_person(&blocking.token, writer.number, &blocked).await.unwrap();
        for asker in 0..ASKERS {
            let account = stage.register(number(10 + asker)).await.unwrap();
            server.set_privacy(&account.token, &open).await.unwrap();
            server.set_person(&blocking.token, account.number, &blocked).await.unwrap();
            devices.push(account.clone());
            for device in 1..DEVICES {
                let offer = server.link().await.unwrap();
                let name = device.to_string();
                server.approve(&account.token, &offer.link, &name, &[8; 32], None).await.unwrap();
                devices.push(server.collect(&offer).await.unwrap().unwrap().0);
            }
            askers.push(account);
        }
        Self { stage, askers, devices, writer, blocking, hiding, absent }
    }

    async fn online(&self, account: &Account) -> Wire {
        let mut wire = Wire::online(&self.stage, account, Encoding::Json).await.unwrap();
        wire.say(&[says(true, &[])]).await.unwrap();
        assert_eq!(wire.answers().await.unwrap(), []);
        wire
    }
}

/// Says this and hears the answer. Returns how long that took, and the answer without what belongs to
/// this question alone.
async fn asks(wire: &mut Wire, frame: ClientFrame) -> (Duration, Value) {
    let asked = Instant::now();
    wire.say(&[frame]).await.unwrap();
    let heard = wire.hear_message().await.unwrap();
    let took = asked.elapsed();
    let WireMessage::Text(text) = heard else { panic!("no text") };
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    for frame in answer.as_array_mut().unwrap() {
        for fields in frame.as_object_mut().unwrap().values_mut() {
            for own in ["from", "ids", "at"] {
                if let Some(value) = fields.get_mut(own) {
                    *value = Value::Null;
                }
            }
        }
    }
    (took, answer)
}

/// What a quarter of them do not pass.
fn lower_quartile(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 4]
}

/// Compares how each of several is answered for, by so many measurements in turns. When it must be done
/// again it rests before.
async fn alike<const N: usize>(
    door: &str,
    who: [&str; N],
    (rounds, rest): (usize, Duration),
    mut measure: impl AsyncFnMut(usize, usize) -> (Duration, Value),
) {
    for attempt in 1.. {
        let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
        let mut first = None;
        for round in 0..rounds {
            for turn in 0..N {
                let index = (round + turn * attempt) % N;
                let (took, answer) = measure(index, round).await;
                times[index].push(took.as_secs_f64() * 1000.0);
                let first = first.get_or_insert_with(|| answer.clone());
                assert_eq!(answer, *first, "{door}: {}", who[index]);
            }
        }
        let quartiles = times.clone().map(lower_quartile);
        let shown = who.iter().zip(quartiles).map(|(who, time)| format!("{who} {time:.3} ms"));
        println!("{door}: {}", shown.collect::<Vec<_>>().join(", "));
        let mut apart = Vec::new();
        for one in 0..N {
            for other in 0..one {
                let pairs = times[one].iter().zip(&times[other]);
                let longer = pairs.filter(|(one, other)| one > other).count() as f64;
                let rounds = rounds as f64;
                let uneven = (longer - rounds / 2.0) / (rounds.sqrt() / 2.0);
                let by = quartiles[one] / quartiles[other] - 1.0;
                println!("  {} and {}: {:+.1} %, {uneven:+.1}", who[one], who[other], 100.0 * by);
                if by.abs() > APART && uneven.abs() > UNEVEN {
                    apart.push(format!("{} and {} by {:.0} %", who[one], who[other], 100.0 * by));
                }
            }
        }
        if apart.is_empty() {
            return;
        }
        assert!(attempt < ATTEMPTS, "{door}: told apart: {apart:?}");
        sleep(rest).await;
    }
}

#[tokio::test]
async fn no_answer_tells_blocked_from_hidden_from_absent() {
    let cast = Cast::gather().await;
    let (_blocking, hiding) = (cast.online(&cast.blocking).await, cast.online(&cast.hiding).await);
    let nobody = number(9);
    let there = [cast.blocking.number, cast.hiding.number, cast.absent.number, nobody];
    let who = ["blocking", "hiding", "absent", "unregistered"];

    watching(&cast, who, there).await;
    looking_up(&cast, who, there).await;
    typing(&cast, there).await;
    // That a message reaches a device is always shown: who hides is away now, to be one who hides it.
    hiding.close().await.unwrap();
    writing(&cast, ["blocking", "hiding", "absent"], [there[0], there[1], there[2]]).await;
}

async fn watching(cast: &Cast, who: [&str; 4], of: [PhoneNumber; 4]) {
    let mut wires = Vec::new();
    // Who watches for the first time is noted. Those who are measured are not.
    for account in &cast.askers {
        let mut wire = Wire::online(&cast.stage, account, Encoding::Json).await.unwrap();
        wire.say(&[says(false, &of)]).await.unwrap();
        for _ in of {
            wire.hear().await.unwrap();
        }
    }
    for device in &cast.devices {
        wires.push(Wire::online(&cast.stage, device, Encoding::Json).await.unwrap());
    }
    // Until a device may say so much again: 28 times, two a second.
    alike("watching", who, (ROUNDS, Duration::from_secs(15)), async |index, round| {
        asks(&mut wires[round / WATCHES], says(false, &[of[index]])).await
    })
    .await;
}

async fn looking_up(cast: &Cast, who: [&str; 4], of: [PhoneNumber; 4]) {
    alike("looking up", who, (2 * ROUNDS, Duration::ZERO), async |index, round| {
        let body = json!({ "numbers": [of[index].to_string()] }).to_string();
        let asker = &cast.askers[round % ASKERS];
        let request = Request::new("POST", "/v1/lookup").token(&asker.token).body(body);
        let asked = Instant::now();
        let answer = request.send(&cast.stage).await.unwrap();
        let took = asked.elapsed();
        assert_eq!(answer.status, 200, "{answer:?}");
        (took, serde_json::from_slice(&answer.body).unwrap())
    })
    .await;
}

/// There is no answer whose time could tell.
async fn typing(cast: &Cast, of: [PhoneNumber; 4]) {
    let mut wire = Wire::online(&cast.stage, &cast.askers[1], Encoding::Json).await.unwrap();
    for account in of {
        wire.say(&[types(account, Activity::Composing)]).await.unwrap();
        assert_eq!(wire.answers().await.unwrap(), []);
    }
}

/// Messages, and that messages were read.
async fn writing(cast: &Cast, who: [&str; 3], of: [PhoneNumber; 3]) {
    let mut wire = Wire::online(&cast.stage, &cast.writer, Encoding::Json).await.unwrap();
    let mut streams = of.map(|account| (Stream::new(account), 0));
    for (door, bytes, rounds) in
        [("writing", 100, 4 * ROUNDS), ("writing at length", limits::BODY_BYTES_MAX, ROUNDS)]
    {
        let body = vec![b'x'; bytes];
        alike(door, who, (rounds, Duration::ZERO), async |index, _| {
            let (stream, number) = &mut streams[index];
            *number += 1;
            asks(&mut wire, stream.message(*number, body.clone())).await
        })
        .await;
    }
    let mut number = 0;
    alike("having read", who, (4 * ROUNDS, Duration::ZERO), async |index, _| {
        number += 1;
        let id = MessageId { stream: 5, number };
        let ids = vec![MessageId { stream: 6, number }];
        let receipt = Receipt { id, to: of[index], ids, mark: Mark::Read };
        asks(&mut wire, ClientFrame::Receipt(receipt)).await
    })
    .await;
}
