//! Hidden, blocked and away, as they look from outside.

use estafette::{Account, Activity, Attribute, Audience, Person, PhoneNumber, Privacy};
use estafette_e2e::{Desk, Stage, Stream, Wire, number};
use estafette_protocol::{
    ClientFrame, Encoding, Mark, MessageId, Receipt, ServerFrame, WireMessage,
};
use serde_json::Value;

use crate::presence::{says, types};

async fn set_person(stage: &Stage, account: &Account, of: PhoneNumber, person: Person) {
    stage.server().set_person(&account.token, of, &person).await.unwrap();
}

fn blocked() -> Person {
    Person { blocked: true, ..Person::default() }
}

/// The next frames of a kind, as they came, undecoded.
async fn frames(wire: &mut Wire, kind: &str, count: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let WireMessage::Text(text) = wire.hear_message().await.unwrap() else { panic!() };
        let Value::Array(batch) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        frames.extend(batch.into_iter().filter_map(|mut frame| Some(frame.get_mut(kind)?.take())));
    }
    assert_eq!(frames.len(), count);
    frames
}

#[tokio::test]
async fn hidden_blocked_and_absent_look_alike() {
    let stage = Stage::start(|options| options).unwrap();
    let mut people = Vec::new();
    for index in 0..4 {
        people.push(stage.register(number(index)).await.unwrap());
    }
    let [alice, bob, carol, dave] = &people[..] else { unreachable!() };
    let nobody = number(9);
    // Bob blocked her, Carol hides from everybody, Dave is never there, and nobody is nobody.
    set_person(&stage, bob, alice.number, blocked()).await;
    let hidden = Audience::Nobody;
    let privacy =
        Privacy { last_seen: hidden, online: hidden, read_marks: hidden, ..Privacy::default() };
    stage.server().set_privacy(&carol.token, &privacy).await.unwrap();
    let mut others = Vec::new();
    for account in [bob, carol] {
        let mut wire = Wire::online(&stage, account, Encoding::Cbor).await.unwrap();
        wire.say(&[says(true, &[])]).await.unwrap();
        assert_eq!(wire.answers().await.unwrap(), []);
        others.push(wire);
    }
    let kept = stage.kept().unwrap();

    let mut outside = Wire::online(&stage, alice, Encoding::Json).await.unwrap();
    let watched = [bob.number, carol.number, dave.number, nobody];
    outside.say(&[says(true, &watched)]).await.unwrap();
    let mut told = frames(&mut outside, "presence", 4).await;
    let mut from: Vec<_> = told.iter_mut().map(|frame| frame["from"].take()).collect();
    from.sort_by_key(Value::to_string);
    let mut expected = watched.map(|number| Value::from(number.to_string()));
    expected.sort_by_key(Value::to_string);
    assert_eq!(from, expected);
    let alike = serde_json::json!({ "from": null, "available": false });
    assert!(told.iter().all(|frame| *frame == alike), "{told:?}");
    assert!(stage.kept().unwrap() <= kept + 1, "of nobody nothing is kept");

    // They come and go, write and do not write: she is told nothing, and neither are they.
    outside.say(&watched.map(|to| types(to, Activity::Composing))).await.unwrap();
    for wire in &mut others {
        wire.say(&[says(false, &[])]).await.unwrap();
        wire.say(&[says(true, &[alice.number]), types(alice.number, Activity::Composing)])
            .await
            .unwrap();
        let ServerFrame::Presence(seen) = wire.hear().await.unwrap() else { panic!() };
        let seen = (seen.from, seen.available, seen.last_seen);
        assert_eq!(seen, (alice.number, false, None), "who hides does not see");
        assert_eq!(wire.answers().await.unwrap(), []);
    }
    assert_eq!(outside.answers().await.unwrap(), []);
}

#[tokio::test]
async fn the_blocked_are_answered_as_if_nobody_were_there_and_nothing_comes() {
    let stage = Stage::start(|options| options).unwrap();
    let mut people = Vec::new();
    for index in 0..3 {
        people.push(stage.register(number(index)).await.unwrap());
    }
    let [alice, bob, dave] = &people[..] else { unreachable!() };
    let mut from_bob = Wire::online(&stage, bob, Encoding::Json).await.unwrap();
    let mut outside = Wire::online(&stage, alice, Encoding::Json).await.unwrap();
    set_person(&stage, bob, alice.number, blocked()).await;

    // To Bob, who is there and blocks her, and to Dave, who is away.
    let streams = [bob, dave].map(|account| Stream::new(account.number));
    let mut answers = Vec::new();
    for stream in streams {
        outside.say(&stream.messages(1..=3, b"hello")).await.unwrap();
        let mut ids = Vec::new();
        while ids.len() < 3 {
            let mut sent = frames(&mut outside, "sent", 1).await;
            let Value::Array(some) = sent[0]["ids"].take() else { panic!("{sent:?}") };
            ids.extend(some);
            assert!(sent[0]["at"].take().is_u64());
            answers.push(sent.remove(0));
        }
        let expected = [1, 2, 3].map(|number| Value::from(stream.id(number).to_string()));
        assert_eq!(ids, expected);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let receipt = |to: &Account, number| {
        let id = MessageId { stream: 5, number };
        let ids = vec![MessageId { stream: 6, number: 1 }];
        (id, ClientFrame::Receipt(Receipt { id, to: to.number, ids, mark: Mark::Read }))
    };
    for (account, number) in [(bob, 1), (dave, 2)] {
        let (id, receipt) = receipt(account, number);
        outside.say(&[receipt, types(account.number, Activity::Recording)]).await.unwrap();
        outside.until_sent(&[id]).await.unwrap();
    }
    assert_eq!(from_bob.answers().await.unwrap(), []);
    let export = stage.server().export(&bob.token).await.unwrap();
    assert_eq!(export.waiting, [], "dropped, and not stored");

    // It goes one way, and ends without what was dropped.
    let back = Stream::new(alice.number);
    from_bob.say(&[back.message(1, "leave me alone")]).await.unwrap();
    let heard = frames(&mut outside, "deliver", 1).await;
    assert_eq!(heard[0]["from"], bob.number.to_string());
    outside.ack(&[back.id(1)]).await.unwrap();
    from_bob.until_sent(&[back.id(1)]).await.unwrap();
    set_person(&stage, bob, alice.number, Person::default()).await;
    outside.say(&[streams[0].message(4, "again?")]).await.unwrap();
    let delivered = from_bob.until(|frame| match frame {
        ServerFrame::Deliver(deliver) => Some(deliver.id),
        _ => None,
    });
    assert_eq!(delivered.await.unwrap(), streams[0].id(4));
    assert_eq!(stage.server().people(&alice.token).await.unwrap().people, []);
}

#[test]
fn somebody_chooses_at_the_command_line_who_sees_what() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let lines = |profile: &str, arguments: &[&str]| -> Vec<Value> {
        let output = desk.run(profile, &[arguments, &["--json"]].concat(), "").unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = str::from_utf8(&output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let set = lines("alice", &["privacy", "set", "last-seen", "contacts"]);
    assert_eq!((&set[0]["last_seen"], &set[0]["online"]), (&"contacts".into(), &"everyone".into()));
    lines("alice", &["privacy", "set", "read-marks", "everyone", "--except", &bob]);
    lines("alice", &["block", &bob]);
    let shown = lines("alice", &["privacy"]);
    let of_bob = &shown[1];
    assert_eq!((&of_bob["number"], &of_bob["blocked"]), (&bob.as_str().into(), &true.into()));
    assert_eq!(of_bob["except"], serde_json::json!([Attribute::ReadMarks]));

    // The blocked one is told that it is safe, and no more.
    let send = ["send", &alice, "hello?", "--timeout", "60"];
    assert!(desk.run("bob", &send, "").unwrap().status.success());
    let send = ["send", &alice, "hello?", "--wait", "delivered", "--timeout", "1"];
    assert_eq!(desk.run("bob", &send, "").unwrap().status.code(), Some(5));
    lines("alice", &["unblock", &bob]);
    let send = ["send", &alice, "at last", "--timeout", "60"];
    assert!(desk.run("bob", &send, "").unwrap().status.success());
    let heard = lines("alice", &["listen", "--count", "1"]);
    let texts: Vec<_> = heard.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!(texts, ["at last"]);
}
