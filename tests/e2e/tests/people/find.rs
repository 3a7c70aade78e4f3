//! Look-up of contacts: who is found, and how little a collector gets.

use std::fs;

use estafette::{Account, Audience, ErrorCode, Person, PhoneNumber, Privacy};
use estafette_e2e::{Answer, Desk, Request, Stage, number};
use estafette_protocol::limits;
use serde_json::{Value, json};

use crate::presence::usage;

async fn shows_number(stage: &Stage, account: &Account, to: Audience) {
    let privacy = Privacy { number: to, ..Privacy::default() };
    stage.server().set_privacy(&account.token, &privacy).await.unwrap();
}

async fn post(stage: &Stage, account: &Account, body: &Value) -> Answer {
    let request = Request::new("POST", "/v1/lookup").header("Content-Type", "application/json");
    request.token(&account.token).body(body.to_string()).send(stage).await.unwrap()
}

/// The body of the answer, as it came.
async fn look_up(stage: &Stage, account: &Account, numbers: &[PhoneNumber]) -> String {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let answer = post(stage, account, &json!({ "numbers": numbers })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn those_are_found_who_want_to_be_by_those_who_are_found_themselves() {
    let stage = Stage::start(|options| options).unwrap();
    let mut people = Vec::new();
    for index in 0..5 {
        people.push(stage.register(number(index)).await.unwrap());
    }
    let [alice, bob, carol, dave, erin] = &people[..] else { unreachable!() };
    // Bob and Dave may be found, but Dave blocked Alice; Carol and Erin never said anything.
    for account in [alice, bob, dave] {
        shows_number(&stage, account, Audience::Everyone).await;
    }
    let blocked = Person { blocked: true, ..Person::default() };
    stage.server().set_person(&dave.token, alice.number, &blocked).await.unwrap();
    let rows = |account| usage(&stage, account);
    let mut before = Vec::new();
    for account in &people {
        before.push(rows(account).await.rows_written);
    }
    let kept = stage.kept().unwrap();

    let nobody = number(9);
    let all = [carol.number, nobody, bob.number, dave.number, erin.number, bob.number];
    assert_eq!(look_up(&stage, alice, &all).await, r#"{"registered":["+33600000002"]}"#);
    let nothing = r#"{"registered":[]}"#;
    for hidden in [carol.number, dave.number, nobody] {
        assert_eq!(look_up(&stage, alice, &[hidden]).await, nothing, "all alike");
    }
    assert_eq!(look_up(&stage, erin, &[bob.number]).await, nothing, "who hides does not find");
    assert_eq!(look_up(&stage, alice, &[]).await, nothing);
    shows_number(&stage, alice, Audience::Nobody).await;
    assert_eq!(look_up(&stage, alice, &[bob.number]).await, nothing);

    // A row for each look-up of a number, and one for what Alice said; none for who was looked up.
    for (account, before, rows_more) in [
        (alice, before[0], 6),
        (bob, before[1], 0),
        (carol, before[2], 0),
        (dave, before[3], 0),
        (erin, before[4], 1),
    ] {
        assert_eq!(rows(account).await.rows_written, before + rows_more, "{:?}", account.device);
    }
    assert_eq!(stage.kept().unwrap(), kept, "of nobody nothing is kept");
}

#[tokio::test]
async fn a_wrong_look_up_is_refused_and_spends_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    shows_number(&stage, &alice, Audience::Everyone).await;
    let (left, woken) = (usage(&stage, &alice).await.lookups_left, stage.woken().unwrap());
    assert_eq!(left, limits::LOOKUPS_FIRST + limits::LOOKUPS_A_DAY);
    let some = |count: usize| json!({ "numbers": vec!["+33699999999"; count] });
    use ErrorCode::{InvalidNumber, Malformed, TooLarge, TooMany};
    for (body, expected) in [
        (some(limits::LOOKUP_NUMBERS_MAX + 1), (413, TooMany)),
        (json!({ "numbers": ["+33699999999", "0699999999"] }), (400, InvalidNumber)),
        (json!({ "numbers": ["+33 6 99 99 99 99"] }), (400, InvalidNumber)),
        (json!({ "numbers": ["+336*"] }), (400, InvalidNumber)),
        (json!({ "numbers": "+33699999999" }), (400, Malformed)),
        (json!({ "numbers": [33_699_999_999_u64] }), (400, Malformed)),
        (json!(["+33699999999"]), (400, Malformed)),
        (json!({}), (400, Malformed)),
        (json!({ "numbers": [" ".repeat(8192)] }), (413, TooLarge)),
    ] {
        let answer = post(&stage, &alice, &body).await;
        assert_eq!(answer.refusal().unwrap(), expected, "{body}");
    }
    let answer = Request::new("POST", "/v1/lookup").body("{}").send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::TokenMissing));
    assert_eq!(usage(&stage, &alice).await.lookups_left, left);
    assert_eq!(stage.woken().unwrap(), woken, "and wakes nobody");
    let answer = post(&stage, &alice, &some(limits::LOOKUP_NUMBERS_MAX)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(usage(&stage, &alice).await.lookups_left, left - 1, "one number, many times");
}

/// Somebody asks for one number after the other, with the neighbours of theirs, to see who is there.
#[tokio::test]
async fn an_enumeration_runs_into_the_limit() {
    let change = |options: estafette_testkit::Options| {
        options.var("LOOKUPS_FIRST", 120).var("LOOKUPS_A_DAY", 30)
    };
    let stage = Stage::start(change).unwrap();
    let mallory = stage.register(number(0)).await.unwrap();
    let last = stage.register(number(200)).await.unwrap();
    for account in [&mallory, &last] {
        shows_number(&stage, account, Audience::Everyone).await;
    }
    let (mut asked, mut found) = (0, Vec::new());
    let refusal = loop {
        let numbers: Vec<_> = (asked..asked + 25).map(|index| number(index).to_string()).collect();
        let answer = post(&stage, &mallory, &json!({ "numbers": numbers })).await;
        if answer.status != 200 {
            break answer;
        }
        asked += 25;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        found.extend(body["registered"].as_array().unwrap().clone());
        assert!(asked <= 150, "it goes on");
    };
    assert_eq!(refusal.refusal().unwrap(), (429, ErrorCode::LookupLimit));
    let wait = refusal.problem().unwrap().retry_after.unwrap();
    assert!((1..=24 * 60 * 60 * 1000).contains(&wait), "{wait}");
    assert!(refusal.header("retry-after").is_some());
    assert_eq!((asked, found), (150, vec![Value::from(mallory.number.to_string())]));

    // Neither a crash of the server nor another device nor proving the number again begins anew.
    stage.runtime.kill().unwrap();
    stage.runtime.restart().unwrap();
    let offer = stage.server().link().await.unwrap();
    stage.server().approve(&mallory.token, &offer.link, "more", &[8; 32], None).await.unwrap();
    let linked = stage.server().collect(&offer).await.unwrap().unwrap().0;
    for account in [&mallory, &linked] {
        let one = json!({ "numbers": [last.number.to_string()] });
        let answer = post(&stage, account, &one).await;
        assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::LookupLimit));
    }
    assert_eq!(stage.kept().unwrap(), 2, "of all the numbers nothing is kept");
}

#[test]
fn somebody_finds_friends_at_the_command_line() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let run = |profile: &str, arguments: &[&str]| desk.run(profile, arguments, "").unwrap();
    let hidden = run("alice", &["contacts", "find", &bob]);
    assert_eq!(hidden.status.code(), Some(1), "{hidden:?}");
    assert!(String::from_utf8_lossy(&hidden.stderr).contains("privacy set number everyone"));
    for profile in ["alice", "bob"] {
        let set = run(profile, &["privacy", "set", "number", "everyone"]);
        assert!(set.status.success(), "{set:?}");
    }
    assert!(run("alice", &["contacts", "add", &bob, "Bob"]).status.success());
    let book = desk.profile("alice").join("book.vcf");
    fs::write(&book, format!("BEGIN:VCARD\nTEL:{bob}\nTEL:{alice}\nTEL:+33699999999\nEND:VCARD"))
        .unwrap();
    let found = run("alice", &["contacts", "find", "--json", "--file", book.to_str().unwrap()]);
    assert!(found.status.success(), "{found:?}");
    let found = String::from_utf8(found.stdout).unwrap();
    let found: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |number: &str, name: Option<&str>| json!({ "type": "found", "number": number, "name": name });
    assert_eq!(found, [line(&bob, Some("Bob")), line(&alice, None)]);
    // Whoever leaves is not found any more.
    assert!(run("bob", &["account", "delete", &bob]).status.success());
    let gone = run("alice", &["contacts", "find", &bob]);
    assert_eq!((gone.status.code(), gone.stdout), (Some(0), vec![]));
}
