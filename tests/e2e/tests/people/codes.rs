//! Codes that link a device, in the wrong hands: stolen, used, forged, too old.

use data_encoding::{BASE64, HEXLOWER};
use estafette::{Account, ErrorCode};
use estafette_e2e::{Answer, Request, Stage, number};
use estafette_protocol::limits;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

const EXPIRED: (u16, ErrorCode) = (403, ErrorCode::LinkExpired);

async fn collect(stage: &Stage, link: &str, secret: &str) -> Answer {
    let path = format!("/v1/links/{link}");
    Request::new("GET", &path).token(secret).send(stage).await.unwrap()
}

async fn approve(stage: &Stage, account: &Account, link: &str) -> Answer {
    let key = BASE64.encode(&[7; 32]);
    let body = json!({ "link": link, "name": "tablet", "identity_key": key }).to_string();
    let request = Request::new("POST", "/v1/devices").header("Content-Type", "application/json");
    request.token(&account.token).body(body).send(stage).await.unwrap()
}

async fn devices(stage: &Stage, account: &Account) -> usize {
    stage.server().devices(&account.token).await.unwrap().devices.len()
}

#[tokio::test]
async fn a_picture_of_the_code_opens_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let mallory = stage.register(number(1)).await.unwrap();
    let offer = stage.server().link().await.unwrap();
    let another = stage.server().link().await.unwrap();
    assert_eq!(stage.woken().unwrap(), 2, "nobody is told of a code that is only shown");
    let nothing = "0".repeat(64);
    // What somebody has who photographed the screen.
    let guesses = [&nothing, &offer.link, &another.secret, &mallory.token];

    for approved in [false, true] {
        for secret in guesses {
            let answer = collect(&stage, &offer.link, secret).await;
            assert_eq!(answer.refusal().unwrap(), EXPIRED, "{approved} {secret}");
        }
        let path = format!("/v1/links/{}", offer.link);
        let answer = Request::new("GET", &path).send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::TokenMissing));
        if !approved {
            assert_eq!(collect(&stage, &offer.link, &offer.secret).await.status, 202);
            assert_eq!(approve(&stage, &alice, &offer.link).await.status, 201);
        }
    }

    // The first who approves has it: nobody takes the device over on its way.
    let answer = approve(&stage, &mallory, &offer.link).await;
    assert_eq!(answer.refusal().unwrap(), EXPIRED);
    let linked = stage.server().collect(&offer).await.unwrap().unwrap().0;
    assert_eq!(linked.number, alice.number);
    assert_eq!(approve(&stage, &alice, &offer.link).await.status, 201, "a repeated request");
    assert_eq!((devices(&stage, &alice).await, devices(&stage, &mallory).await), (2, 1));
    let again = stage.server().collect(&offer).await.unwrap().unwrap().0;
    assert_eq!(again.device, linked.device);
    // The other code is still anybody's to approve.
    assert_eq!(approve(&stage, &mallory, &another.link).await.status, 201);
}

fn tag(key: &[u8], what: &[u8], of: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(what);
    mac.update(of);
    mac.finalize().into_bytes().to_vec()
}

/// A code that this server could have made, over at this time, and its secret.
fn made(key: &[u8], over_at: u64) -> (String, String) {
    let mut code = (over_at as u32).to_be_bytes().to_vec();
    code.extend([9; 8]);
    let tagged = tag(key, b"link code", &code);
    code.extend(&tagged[..8]);
    let code = HEXLOWER.encode(&code);
    let secret = HEXLOWER.encode(&tag(key, b"link secret", code.as_bytes()));
    (code, secret)
}

#[tokio::test]
async fn a_forged_or_late_code_wakes_nobody() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let key = stage.runtime.var("CODE_KEY").unwrap();
    let key = key.as_str().unwrap().as_bytes();
    let calls = stage.calls(&alice).await.unwrap();

    let offer = stage.server().link().await.unwrap();
    let mut codes = Vec::new();
    for at in 0..offer.link.len() {
        let mut digits = offer.link.clone().into_bytes();
        digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
        codes.push((String::from_utf8(digits).unwrap(), offer.secret.clone()));
    }
    let now = alice.renewed_at / 1000;
    codes.push(made(key, now - 1));
    codes.push(made(b"another key, as long as it should be", now + 60));
    for (code, secret) in &codes {
        assert_eq!(collect(&stage, code, secret).await.refusal().unwrap(), EXPIRED, "{code}");
        assert_eq!(approve(&stage, &alice, code).await.refusal().unwrap(), EXPIRED, "{code}");
    }
    assert_eq!(stage.calls(&alice).await.unwrap(), calls + 1, "the look at it before");
    assert_eq!(stage.woken().unwrap(), 1);

    // The same with the right key and in time is a code, and what is no code at all is no path.
    let (code, secret) = made(key, now + limits::LINK_LIFE / 1000);
    assert_eq!(collect(&stage, &code, &secret).await.status, 202);
    let answer = collect(&stage, "42", &secret).await;
    assert_eq!(answer.refusal().unwrap(), (404, ErrorCode::NotFound));
    assert_eq!(approve(&stage, &alice, "42").await.refusal().unwrap(), EXPIRED);
}
