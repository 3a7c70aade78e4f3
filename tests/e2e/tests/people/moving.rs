//! Somebody moves to another number, while those whom they know are away.

use estafette::{Audience, ErrorCode, Person, Privacy};
use estafette_e2e::{Desk, Request, Stage, Wire, number};
use estafette_protocol::Encoding;
use serde_json::{Value, json};

fn lines(output: &std::process::Output) -> Vec<Value> {
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn somebody_moves_and_is_found_again() {
    let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let (carol, dave) = (number(2).to_string(), number(3).to_string());
    desk.register(&stage, "dave", number(3)).unwrap();
    let ok = |profile: &str, arguments: &[&str]| {
        let output = desk.run(profile, arguments, "").unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    };
    // Alice knows Bob, has blocked Dave, and hides when she was there. Bob wrote, and is away now.
    ok("bob", &["send", &alice, "are you there?", "--timeout", "60"]);
    ok("alice", &["contacts", "add", &bob, "Bob"]);
    ok("alice", &["send", &dave, "no", "--timeout", "60"]);
    ok("alice", &["block", &dave]);
    ok("alice", &["privacy", "set", "last-seen", "nobody"]);

    let asked = desk.run("alice", &["account", "move", &carol], "").unwrap();
    assert_eq!(asked.status.code(), Some(3), "{asked:?}");
    let code = stage.gateway.code_for(&carol).unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = desk.run("alice", &["account", "move", &carol, "--code", wrong], "").unwrap();
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    let moved = ok("alice", &["--json", "account", "move", &carol, "--code", &code]);
    let moved = lines(&moved);
    assert_eq!(moved, [json!({ "type": "moved", "from": alice, "to": carol })]);
    // What is done is found done.
    ok("alice", &["account", "move", &carol]);
    assert!(!desk.profile("alice").join("moving.json").exists());

    // Her own messages are here, and what waited was fetched before she left.
    let history = lines(&ok("alice", &["--json", "history", "Bob"]));
    let texts: Vec<_> = history.iter().map(|line| (&line["text"], &line["moved"])).collect();
    assert_eq!(
        texts,
        [(&"are you there?".into(), &Value::Null), (&Value::Null, &carol[..].into())]
    );
    let privacy = lines(&ok("alice", &["--json", "privacy"]));
    assert_eq!(privacy[0]["last_seen"], "nobody");
    assert_eq!((&privacy[1]["number"], &privacy[1]["blocked"]), (&dave[..].into(), &true.into()));

    // Bob comes back, is told, and writes to where she is. Dave is told nothing.
    let heard = ok("bob", &["listen", "--count", "1"]);
    let says = format!("{alice} has a new number: {carol}. `estafette --profile bob chat {carol}`");
    assert!(str::from_utf8(&heard.stderr).unwrap().contains(&says), "{heard:?}");
    let gone = desk.run("bob", &["send", &alice, "hello?", "--timeout", "60"], "").unwrap();
    assert_eq!(gone.status.code(), Some(6), "nobody is registered there: {gone:?}");
    ok("bob", &["send", &carol, "found you", "--timeout", "60"]);
    let heard = lines(&ok("alice", &["--json", "listen", "--count", "2"]));
    assert!(
        heard.iter().any(|line| line["text"] == "found you" && line["name"] == "Bob"),
        "{heard:?}"
    );
    let history = ok("dave", &["--json", "history", &alice]);
    assert_eq!(lines(&history), Vec::<Value>::new(), "nothing came while he was away");
    let mut listening = desk.start("dave", &["--json", "listen"]).unwrap();
    let first =
        listening.hear(|line| line.contains("message") || line.contains("drained")).unwrap();
    assert!(first.contains(r#""text":"no""#), "{first}");
    let next = listening.hear(|line| line.contains("message") || line.contains("drained")).unwrap();
    assert!(next.contains("drained"), "{next}");
}

#[tokio::test]
async fn each_step_of_the_server_is_safe_to_repeat_and_refuses_what_is_wrong() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let carol = stage.register(number(2)).await.unwrap();
    let hidden = Privacy { last_seen: Audience::Nobody, ..Privacy::default() };
    stage.server().set_privacy(&alice.token, &hidden).await.unwrap();
    let blocked = Person { blocked: true, ..Person::default() };
    stage.server().set_person(&alice.token, bob.number, &blocked).await.unwrap();
    let to = |token: &str| json!({ "token": token }).to_string();
    let offer = stage.server().link().await.unwrap();
    stage.server().approve(&alice.token, &offer.link, "tablet", &[9; 32], None).await.unwrap();
    let tablet = stage.server().collect(&offer).await.unwrap().unwrap().0;

    let ask = async |token: Option<&str>, body: String| {
        let request = Request::new("POST", "/v1/account/move");
        let request = request.header("Content-Type", "application/json");
        let request = token.into_iter().fold(request, |request, token| request.token(token));
        request.body(body).send(&stage).await.unwrap()
    };
    let old = Some(&alice.token[..]);
    for (token, body, expected) in [
        (None, to(&carol.token), (401, ErrorCode::TokenMissing)),
        (Some("x.y.z"), to(&carol.token), (401, ErrorCode::TokenInvalid)),
        (old, "{}".into(), (400, ErrorCode::Malformed)),
        (old, r#"{"token":7}"#.into(), (400, ErrorCode::Malformed)),
        (old, to("x.y.z"), (401, ErrorCode::TokenInvalid)),
        (old, to(&alice.token), (400, ErrorCode::Malformed)),
        (old, to(&tablet.token), (400, ErrorCode::Malformed)),
        (Some(&tablet.token), to(&carol.token), (403, ErrorCode::NotPrimary)),
        (old, " ".repeat(4097), (413, ErrorCode::TooLarge)),
    ] {
        assert_eq!(ask(token, body).await.refusal().unwrap(), expected);
    }
    // Somebody else writes: that is to be fetched first.
    stage.server().set_person(&alice.token, bob.number, &Person::default()).await.unwrap();
    let mut writing = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    let stream = estafette_e2e::Stream::new(alice.number);
    writing.say(&[stream.message(1, "wait")]).await.unwrap();
    writing.until_sent(&[stream.id(1)]).await.unwrap();
    stage.server().set_person(&alice.token, bob.number, &blocked).await.unwrap();
    let waiting = ask(old, to(&carol.token)).await.refusal().unwrap();
    assert_eq!(waiting, (409, ErrorCode::Waiting));
    let unchanged = stage.server().privacy(&carol.token).await.unwrap();
    assert_eq!(unchanged, Privacy::default(), "nothing has changed");

    let (mut moving, waited) = Wire::open(&stage, &alice, Encoding::Json).await.unwrap();
    assert_eq!(waited.len(), 1);
    moving.ack(&[stream.id(1)]).await.unwrap();
    let mut asked = ask(old, to(&carol.token)).await;
    while asked.status != 204 {
        assert_eq!(asked.refusal().unwrap(), (409, ErrorCode::Waiting), "it is on its way");
        asked = ask(old, to(&carol.token)).await;
    }
    assert_eq!(stage.server().privacy(&carol.token).await.unwrap(), hidden);
    let people = stage.server().people(&carol.token).await.unwrap().people;
    assert_eq!(people.len(), 1);
    assert_eq!((people[0].number, &people[0].person), (bob.number, &blocked));
    let again = ask(old, to(&carol.token)).await.refusal().unwrap();
    assert_eq!(again, (401, ErrorCode::DeviceRemoved), "it is done");
    assert_eq!(stage.server().privacy(&carol.token).await.unwrap(), hidden);
    let tablet = stage.server().devices(&tablet.token).await.err().and_then(|error| error.code());
    assert_eq!(tablet, Some(ErrorCode::DeviceRemoved), "linked devices are signed out");
}
