//! One-time codes: wrong, too many, too often, and a gateway that sends none.

use std::time::{Duration, Instant};

use estafette::ErrorCode;
use estafette_e2e::{Request, Stage, Wire, number};
use estafette_protocol::{Encoding, limits};
use estafette_testkit::Behaviour;
use serde_json::Value;
use tokio::time::sleep;

use crate::registration::{CODE, REGISTER, ask_code, code_request, register, registration};

#[tokio::test]
async fn five_tries_at_a_code_and_then_not_even_the_right_one() {
    let stage = Stage::start(|options| options).unwrap();
    // Nobody asked for one: there is nothing to try, and nothing is kept of it.
    let answer = register(&stage, 5, "123456").await;
    assert_eq!(answer.refusal().unwrap(), (403, ErrorCode::CodeExpired));
    assert_eq!((stage.woken().unwrap(), stage.kept().unwrap()), (1, 0));

    assert_eq!(ask_code(&stage, 0).await.status, 202);
    let code = stage.gateway.code_for(&number(0).to_string()).unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    // What is no code at all is no try.
    let answer = register(&stage, 0, "12345").await;
    assert_eq!(answer.refusal().unwrap(), (403, ErrorCode::WrongCode));
    for _ in 0..limits::CODE_TRIES_MAX {
        let answer = register(&stage, 0, wrong).await;
        assert_eq!(answer.refusal().unwrap(), (403, ErrorCode::WrongCode));
    }
    for code in [code.as_str(), wrong] {
        let answer = register(&stage, 0, code).await;
        assert_eq!(answer.refusal().unwrap(), (403, ErrorCode::CodeExpired));
    }

    // The last of five may be the right one, it is good for its number only, and only once.
    for index in [1, 2] {
        assert_eq!(ask_code(&stage, index).await.status, 202);
    }
    let [code, other] =
        [1, 2].map(|index| stage.gateway.code_for(&number(index).to_string()).unwrap());
    if code != other {
        let answer = register(&stage, 1, &other).await;
        assert_eq!(answer.refusal().unwrap(), (403, ErrorCode::WrongCode));
    }
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..3 {
        register(&stage, 1, wrong).await;
    }
    assert_eq!(register(&stage, 1, &code).await.status, 201);
    let answer = register(&stage, 1, &code).await;
    assert_eq!(answer.refusal().unwrap(), (403, ErrorCode::CodeExpired));
}

/// Waits as long as the server says before the second code: half a minute.
#[tokio::test]
async fn codes_wait_for_each_other_and_registering_again_revokes_the_earlier_token() {
    let stage = Stage::start(|options| options).unwrap();
    let first = stage.register(number(0)).await.unwrap();
    let mut socket = Wire::online(&stage, &first, Encoding::Cbor).await.unwrap();
    let answer = ask_code(&stage, 0).await;
    assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::RateLimited));
    let wait = answer.problem().unwrap().retry_after.unwrap();
    assert!((1..=limits::CODE_RESEND[0]).contains(&wait), "{wait} ms");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(seconds, wait.div_ceil(1000));
    assert_eq!(stage.gateway.messages().len(), 1, "the second was not sent");

    sleep(Duration::from_millis(wait)).await;
    let second = stage.register(number(0)).await.unwrap();
    assert_ne!(second.device, first.device);
    assert_eq!(socket.end().await.unwrap(), (Some(ErrorCode::DeviceRemoved), 4001));
    let path = format!("/v1/devices/{}", second.device);
    for request in [
        Request::new("GET", "/v1/devices"),
        Request::new("GET", "/v1/usage"),
        Request::new("POST", "/v1/token"),
        Request::new("DELETE", &path),
        Request::upgrade("estafette.v1.cbor"),
    ] {
        let answer = request.token(&first.token).send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::DeviceRemoved));
    }
    Wire::online(&stage, &second, Encoding::Cbor).await.unwrap();
    // The next one waits longer.
    let wait = ask_code(&stage, 0).await.problem().unwrap().retry_after.unwrap();
    assert!((limits::CODE_RESEND[0]..=limits::CODE_RESEND[1]).contains(&wait), "{wait} ms");
}

#[tokio::test]
async fn a_flood_of_codes_from_one_address_wakes_no_more_objects() {
    const LIMIT: u32 = 4;
    let stage = Stage::start(|options| options.rate_limit("LIMIT_ADDRESS", LIMIT)).unwrap();
    let from = |address: &'static str, path: &str, body: Value| {
        // As the edge sets it, whatever a client says.
        let request = Request::new("POST", path).header("CF-Connecting-IP", address);
        request.body(body.to_string())
    };
    for index in 0..LIMIT as usize {
        let answer = from("192.0.2.1", CODE, code_request(index)).send(&stage).await.unwrap();
        assert_eq!(answer.status, 202);
    }
    for index in 10..30 {
        for (path, body) in [(CODE, code_request(index)), (REGISTER, registration(index, "123456"))]
        {
            let answer = from("192.0.2.1", path, body).send(&stage).await.unwrap();
            assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::RateLimited));
            assert!(answer.problem().unwrap().retry_after.is_some());
        }
    }
    assert_eq!((stage.woken().unwrap(), stage.gateway.messages().len()), (4, 4));
    // Others are not in the way: another address, and all of a subscriber's IPv6 as one.
    let answer = from("192.0.2.2", CODE, code_request(40)).send(&stage).await.unwrap();
    assert_eq!(answer.status, 202);
    let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8::1:0:0:3", "2001:db8::ffff:4"];
    for (index, address) in addresses.into_iter().enumerate() {
        let answer = from(address, CODE, code_request(50 + index)).send(&stage).await.unwrap();
        assert_eq!(answer.status, 202);
    }
    let answer = from("2001:db8::5", CODE, code_request(60)).send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::RateLimited));
}

#[tokio::test]
async fn a_gateway_that_fails_is_a_gateway_that_fails() {
    let stage = Stage::start(|options| options).unwrap();
    let unavailable = (502, ErrorCode::SmsUnavailable);
    for (index, behaviour) in
        [Behaviour::Fail(503), Behaviour::Fail(401), Behaviour::Fail(302), Behaviour::Garbage]
            .into_iter()
            .enumerate()
    {
        stage.gateway.behave(behaviour);
        let answer = ask_code(&stage, index).await;
        assert_eq!(answer.refusal().unwrap(), unavailable, "{behaviour:?}");
        let wait = answer.problem().unwrap().retry_after.unwrap();
        assert_eq!(wait, limits::CODE_RESEND[0], "asking counts");
    }
    // It takes the request and says nothing.
    stage.gateway.behave(Behaviour::Hang);
    let began = Instant::now();
    let answer = ask_code(&stage, 10).await;
    assert_eq!(answer.refusal().unwrap(), unavailable);
    let took = began.elapsed();
    println!("a silent gateway: answered after {took:?}");
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(20), "{took:?}");
    stage.gateway.behave(Behaviour::Deliver);
    assert_eq!(ask_code(&stage, 11).await.status, 202);

    // Nothing listens there at all.
    let Stage { runtime, gateway, .. } = stage;
    drop(gateway);
    let server = estafette::Server::new(runtime.url()).unwrap();
    let error = server.request_code(number(12)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::SmsUnavailable));
    // What the operator is told names no number, and all of it has come when the runtime is gone.
    runtime.kill().unwrap();
    let logs = runtime.logs();
    let failures: Vec<_> = logs.iter().filter(|line| line.message.contains("sms_failed")).collect();
    assert_eq!(failures.len(), 6, "{logs:?}");
    for index in 0..13 {
        let digits = number(index).digits().to_string();
        assert!(logs.iter().all(|line| !line.message.contains(&digits)), "{logs:?}");
    }
}
