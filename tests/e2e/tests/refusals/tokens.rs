//! Who asks: tokens, and what a frame says about its sender.

use data_encoding::BASE64URL_NOPAD;
use estafette::{Account, DeviceId, ErrorCode, PhoneNumber};
use estafette_e2e::{Request, Stage, Stream, Wire, number};
use estafette_protocol::{ClientFrame, Encoding, Mark, MessageId, Receipt, ServerFrame};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::json;
use sha2::Sha256;

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token that is signed as tokens are, with any key, header and claims.
fn signed(key: &str, header: &str, claims: &str) -> String {
    let mut token = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&mac.finalize().into_bytes(), &mut token);
    token
}

fn claims(account: PhoneNumber, device: DeviceId, expires_at: u64) -> String {
    let (iat, exp) = (expires_at - 7_776_000, expires_at);
    let number = account.to_string();
    json!({ "iss": "estafette", "sub": number, "dev": device.to_string(), "iat": iat, "exp": exp })
        .to_string()
}

/// Every request that needs a token.
fn requests() -> [Request; 9] {
    [
        Request::new("GET", "/v1/devices"),
        Request::new("DELETE", "/v1/devices/0000000000000001"),
        Request::new("GET", "/v1/usage"),
        Request::new("GET", "/v1/account"),
        Request::new("DELETE", "/v1/account"),
        Request::new("GET", "/v1/privacy"),
        Request::new("GET", "/v1/people"),
        Request::new("POST", "/v1/token"),
        Request::upgrade("estafette.v1.json"),
    ]
}

/// Every request is refused with this code, and the socket too where the token is offered as a
/// browser does.
async fn refused(stage: &Stage, token: &str, code: ErrorCode) {
    let offered = Request::upgrade(&format!("estafette.v1.json, estafette.token.{token}"));
    for request in requests().map(|request| request.token(token)).into_iter().chain([offered]) {
        let answer = request.clone().send(stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, code), "{request:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn without_a_token_that_is_genuine_and_in_time_no_object_is_woken() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let key = stage.runtime.var("TOKEN_KEY").unwrap();
    let key = key.as_str().unwrap();
    let now = alice.renewed_at / 1000;
    let calls = stage.calls(&alice).await.unwrap();
    assert_eq!(stage.woken().unwrap(), 1);

    for request in requests() {
        let answer = request.send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::TokenMissing));
    }
    // Nobody has registered the other number: its object would be a new one.
    for account in [alice.number, number(9)] {
        let good = claims(account, alice.device, now + 1000);
        let genuine = signed(key, HS256, &good);
        let (unsigned, signature) = genuine.rsplit_once('.').unwrap();
        let none = BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
        let payload = BASE64URL_NOPAD.encode(good.as_bytes());
        for forged in [
            "a.b.c".to_owned(),
            signed("another key, as long as it should be", HS256, &good),
            signed("", HS256, &good),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            // Whoever takes the algorithm from the token may take a public key for the secret.
            signed(key, r#"{"alg":"RS256","typ":"JWT"}"#, &good),
            signed(key, r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, &good),
            format!("{unsigned}."),
            format!("{unsigned}.{signature}AAAA"),
            signed(key, HS256, &good.replace("estafette", "elsewhere")),
            signed(key, HS256, &good).replace('.', ".."),
            format!("{genuine}{}", "A".repeat(4000)),
        ] {
            refused(&stage, &forged, ErrorCode::TokenInvalid).await;
        }
        let expired = signed(key, HS256, &claims(account, alice.device, now - 1));
        refused(&stage, &expired, ErrorCode::TokenExpired).await;
    }
    assert_eq!(stage.calls(&alice).await.unwrap(), calls + 1, "the look at it before");
    assert_eq!(stage.woken().unwrap(), 1);

    // The same claims, signed as they should be, are a token.
    let genuine = signed(key, HS256, &claims(alice.number, alice.device, now + 1000));
    let answer = Request::new("GET", "/v1/usage").token(&genuine).send(&stage).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_token_of_another_account_opens_nothing_of_this_one() {
    let stage = Stage::start(|options| options).unwrap();
    let [alice, bob, _] = people(&stage).await;
    let key = stage.runtime.var("TOKEN_KEY").unwrap();

    // Genuine, but of a device that the account does not have.
    let expires_at = alice.expires_at / 1000;
    let mixed = signed(key.as_str().unwrap(), HS256, &claims(alice.number, bob.device, expires_at));
    refused(&stage, &mixed, ErrorCode::DeviceRemoved).await;

    let path = format!("/v1/devices/{}", alice.device);
    let answer = Request::new("DELETE", &path).token(&bob.token).send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (404, ErrorCode::NotFound));
    assert_eq!(stage.server().devices(&alice.token).await.unwrap().devices.len(), 1);

    // A token of nobody who ever registered finds nothing, and leaves nothing.
    let nobody = signed(key.as_str().unwrap(), HS256, &claims(number(9), bob.device, expires_at));
    refused(&stage, &nobody, ErrorCode::DeviceRemoved).await;
    assert_eq!((stage.woken().unwrap(), stage.kept().unwrap()), (4, 3));
}

async fn people(stage: &Stage) -> [Account; 3] {
    let mut people = Vec::new();
    for index in 0..3 {
        people.push(stage.register(number(index)).await.unwrap());
    }
    people.try_into().unwrap()
}

/// A frame with claims of its own about who sent it.
#[derive(Serialize)]
struct Claiming {
    send: Claims,
}

#[derive(Serialize)]
struct Claims {
    #[serde(flatten)]
    send: estafette_protocol::Send,
    from: PhoneNumber,
    device: DeviceId,
    account: PhoneNumber,
}

#[tokio::test]
async fn what_a_frame_says_of_its_sender_is_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let [alice, bob, mallory] = people(&stage).await;
    for encoding in [Encoding::Json, Encoding::Cbor] {
        // A message waits for Alice.
        let mut from_bob = Wire::online(&stage, &bob, encoding).await.unwrap();
        let waiting = Stream::new(alice.number);
        from_bob.say(&[waiting.message(1, "for Alice alone")]).await.unwrap();
        from_bob.until_sent(&[waiting.id(1)]).await.unwrap();

        // Mallory writes in Bob's name, says that Alice has it, and that she read it.
        let mut from_mallory = Wire::online(&stage, &mallory, encoding).await.unwrap();
        let forged = Stream::new(alice.number);
        let ClientFrame::Send(send) = forged.message(1, "I owe Mallory a fortune") else {
            panic!()
        };
        let (from, device) = (bob.number, bob.device);
        let claims = Claims { send, from, device, account: from };
        from_mallory.say(&[Claiming { send: claims }]).await.unwrap();
        from_mallory.until_sent(&[forged.id(1)]).await.unwrap();
        from_mallory.ack(&[waiting.id(1)]).await.unwrap();
        let receipt = Receipt {
            id: MessageId { stream: fastrand::u64(..), number: 1 },
            to: bob.number,
            ids: vec![waiting.id(1)],
            mark: Mark::Read,
        };
        let id = receipt.id;
        from_mallory.say(&[ClientFrame::Receipt(receipt)]).await.unwrap();
        from_mallory.until_sent(&[id]).await.unwrap();

        let told = from_bob.until(|frame| match frame {
            ServerFrame::Receipt(receipt) => Some(receipt),
            _ => None,
        });
        let told = told.await.unwrap();
        assert_eq!((told.from, told.id), (mallory.number, id), "it is Mallory who read something");
        from_bob.ack(&[id]).await.unwrap();

        let (mut alice_hears, waited) = Wire::open(&stage, &alice, encoding).await.unwrap();
        let senders: Vec<_> = waited
            .into_iter()
            .map(|frame| match frame {
                ServerFrame::Deliver(deliver) => (deliver.id, deliver.from, deliver.device),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            (waiting.id(1), bob.number, bob.device),
            (forged.id(1), mallory.number, mallory.device),
        ];
        assert_eq!(senders, expected);
        alice_hears.ack(&[waiting.id(1), forged.id(1)]).await.unwrap();
        for (wire, ids) in [(&mut from_bob, waiting.id(1)), (&mut from_mallory, forged.id(1))] {
            let delivered = wire.until(|frame| match frame {
                ServerFrame::Receipt(receipt) if receipt.ids == [ids] => Some(receipt.id),
                _ => None,
            });
            let delivered = delivered.await.unwrap();
            wire.ack(&[delivered]).await.unwrap();
            wire.answers().await.unwrap();
        }
        for wire in [alice_hears, from_bob, from_mallory] {
            wire.close().await.unwrap();
        }
    }
}
