//! The registration PIN on the real server, and what those are told who look at the chat.

use data_encoding::BASE64;
use estafette::{Account, ErrorCode, PhoneNumber, PinKey, Proof};
use estafette_e2e::{Desk, Request, Stage, Wire, number};
use estafette_protocol::{Encoding, ServerFrame};
use serde_json::json;

use crate::presence::says;

fn key(number: PhoneNumber, pin: &str) -> PinKey {
    PinKey::derive(number, pin).unwrap()
}

async fn refused(stage: &Stage, method: &str, token: Option<&str>, body: &str) -> (u16, ErrorCode) {
    let request = Request::new(method, "/v1/pin").header("Content-Type", "application/json");
    let request = token.into_iter().fold(request, |request, token| request.token(token));
    request.body(body.to_owned()).send(stage).await.unwrap().refusal().unwrap()
}

/// Registers again, with what is given for a PIN.
async fn again(
    stage: &Stage,
    account: &Account,
    code: &str,
    pin: Option<&PinKey>,
) -> Result<Account, (ErrorCode, bool)> {
    let proof = Proof { code, pin };
    let done = stage.server().register(account.number, proof, "again", &[8; 32]).await;
    done.map_err(|error| match error {
        estafette::Error::Refused(problem) => (problem.error, problem.retry_after.is_some()),
        other => panic!("{other}"),
    })
}

async fn devices(stage: &Stage, account: &Account) -> usize {
    stage.server().devices(&account.token).await.unwrap().devices.len()
}

#[tokio::test]
async fn a_number_with_a_pin_is_not_taken_over_by_a_code() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    assert!(!stage.server().has_pin(&alice.token).await.unwrap());
    let right = key(alice.number, "0420");
    stage.server().set_pin(&alice.token, &right).await.unwrap();
    assert!(stage.server().has_pin(&alice.token).await.unwrap());
    assert!(stage.server().export(&alice.token).await.unwrap().pin);

    let code = stage.another_code(alice.number).await.unwrap();
    assert_eq!(again(&stage, &alice, &code, None).await, Err((ErrorCode::PinRequired, true)));
    let wrong = key(alice.number, "0421");
    assert_eq!(again(&stage, &alice, &code, Some(&wrong)).await, Err((ErrorCode::WrongPin, false)));
    assert_eq!(again(&stage, &alice, &code, Some(&wrong)).await, Err((ErrorCode::WrongPin, true)));
    // The next one is not looked at for 30 seconds, and the device is still Alice's only one.
    assert_eq!(again(&stage, &alice, &code, Some(&right)).await, Err((ErrorCode::WrongPin, true)));
    assert_eq!(devices(&stage, &alice).await, 1);

    stage.server().set_pin(&alice.token, &right).await.unwrap();
    let new = again(&stage, &alice, &code, Some(&right)).await.unwrap();
    assert_eq!(devices(&stage, &new).await, 1);
    let old = stage.server().devices(&alice.token).await.err().and_then(|error| error.code());
    assert_eq!(old, Some(ErrorCode::DeviceRemoved));
    assert!(stage.server().has_pin(&new.token).await.unwrap(), "it stays");
    stage.server().remove_pin(&new.token).await.unwrap();
    assert!(!stage.server().has_pin(&new.token).await.unwrap());
}

#[tokio::test]
async fn what_is_wrong_at_the_door_of_the_pin_changes_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let right = json!({ "pin": BASE64.encode(&[1; 32]) }).to_string();
    let token = Some(&alice.token[..]);
    for (method, token, body, expected) in [
        ("GET", None, "", (401, ErrorCode::TokenMissing)),
        ("PUT", None, &right[..], (401, ErrorCode::TokenMissing)),
        ("DELETE", None, "", (401, ErrorCode::TokenMissing)),
        ("PUT", Some("x.y.z"), &right, (401, ErrorCode::TokenInvalid)),
        ("POST", token, &right, (405, ErrorCode::MethodNotAllowed)),
        ("PUT", token, "{}", (400, ErrorCode::Malformed)),
        ("PUT", token, r#"{"pin":"0420"}"#, (400, ErrorCode::Malformed)),
        ("PUT", token, r#"{"pin":null}"#, (400, ErrorCode::Malformed)),
        ("PUT", token, r#"["0420"]"#, (400, ErrorCode::Malformed)),
        ("PUT", token, &" ".repeat(4097), (413, ErrorCode::TooLarge)),
    ] {
        assert_eq!(refused(&stage, method, token, body).await, expected, "{method} {body:.20}");
    }
    assert!(!stage.server().has_pin(&alice.token).await.unwrap());
    // A linked device may ask, and no more.
    let offer = stage.server().link().await.unwrap();
    stage.server().approve(&alice.token, &offer.link, "tablet", &[9; 32], None).await.unwrap();
    let tablet = stage.server().collect(&offer).await.unwrap().unwrap().0;
    for method in ["PUT", "DELETE"] {
        let answer = refused(&stage, method, Some(&tablet.token), &right).await;
        assert_eq!(answer, (403, ErrorCode::NotPrimary));
    }
    assert!(!stage.server().has_pin(&tablet.token).await.unwrap());
}

#[tokio::test]
async fn who_looks_at_the_chat_is_told_that_keys_changed() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let code = stage.another_code(alice.number).await.unwrap();
    let mut looking = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    looking.say(&[says(false, &[alice.number])]).await.unwrap();
    assert!(matches!(looking.hear().await.unwrap(), ServerFrame::Presence(_)));
    again(&stage, &alice, &code, None).await.unwrap();
    let ServerFrame::KeysChanged(changed) = looking.hear().await.unwrap() else { panic!() };
    assert_eq!(changed.from, alice.number);
    // Who does not look is not told later.
    looking.say(&[says(false, &[])]).await.unwrap();
    assert_eq!(looking.answers().await.unwrap(), []);
}

#[test]
fn somebody_sets_a_pin_and_needs_it_on_a_new_machine() {
    let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let set = desk.run("alice", &["pin", "set"], "0420\n").unwrap();
    assert!(set.status.success(), "{set:?}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(stage.another_code(number(0))).unwrap();
    let mut chat = desk.start("bob", &["--json", "chat", &alice]).unwrap();
    chat.hear(|line| line.contains(r#""presence""#)).unwrap();

    let register = ["register", &alice, "--server", stage.runtime.url()];
    let with_code = [&register[..], &["--code", &code]].concat();
    let none = desk.run("laptop", &with_code, "").unwrap();
    assert_eq!(none.status.code(), Some(6), "{none:?}");
    let wrong = desk.run("laptop", &with_code, "0421\n").unwrap();
    assert_eq!(wrong.status.code(), Some(6), "{wrong:?}");
    let right = desk.run("laptop", &with_code, "0420\n").unwrap();
    assert!(right.status.success(), "{right:?}");
    let line = chat.hear(|line| line.contains(r#""keys_changed""#)).unwrap();
    assert!(line.contains(&alice) && !line.contains(&bob), "{line}");
    drop(chat);
    let status = desk.run("laptop", &["pin"], "").unwrap();
    assert!(String::from_utf8(status.stdout).unwrap().contains("has a registration PIN"));
}
