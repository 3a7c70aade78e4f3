//! HTTP before there is a token: requests that are none.

use data_encoding::BASE64;
use estafette::ErrorCode;
use estafette_e2e::{Answer, Request, Stage, number};
use serde_json::{Value, json};

pub(crate) const CODE: &str = "/v1/registration/code";
pub(crate) const REGISTER: &str = "/v1/registration";

async fn post(stage: &Stage, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = Request::new("POST", path).header("Content-Type", "application/json");
    request.body(body).send(stage).await.unwrap()
}

pub(crate) fn code_request(index: usize) -> Value {
    json!({ "number": number(index).to_string() })
}

pub(crate) async fn ask_code(stage: &Stage, index: usize) -> Answer {
    post(stage, CODE, code_request(index).to_string()).await
}

pub(crate) fn registration(index: usize, code: &str) -> Value {
    let key = BASE64.encode(&[7; 32]);
    json!({
        "number": number(index).to_string(), "code": code, "name": "test", "identity_key": key,
    })
}

pub(crate) async fn register(stage: &Stage, index: usize, code: &str) -> Answer {
    post(stage, REGISTER, registration(index, code).to_string()).await
}

#[tokio::test]
async fn what_is_no_request_wakes_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let key = BASE64.encode(&[7; 32]);
    let malformed = |body: &[u8]| (body.to_vec(), 400, ErrorCode::Malformed);
    let number_is = |number: &str, status, code| {
        (json!({ "number": number }).to_string().into_bytes(), status, code)
    };
    let invalid = |number| number_is(number, 400, ErrorCode::InvalidNumber);
    for (body, status, code) in [
        malformed(b""),
        malformed(b"{"),
        malformed(b"[]"),
        malformed(b"{\"number\":33612345678}"),
        malformed(b"{\"number\":\"+33612345678\"}{}"),
        malformed(b"{\"number\":\"\xff\xfe\"}"),
        malformed(&[b'['; 4000]),
        malformed(b"number=%2B33612345678"),
        invalid(""),
        invalid("0612345678"),
        invalid("+33 612345678"),
        invalid("+123456"),
        invalid("+1234567890123456"),
        invalid("+٣٣٦١٢٣٤٥٦٧٨"),
        invalid("+33612345678\u{0}"),
        number_is(&"9".repeat(5000), 413, ErrorCode::TooLarge),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = post(&stage, CODE, body).await;
        assert_eq!(answer.refusal().unwrap(), (status, code), "{shown}");
    }
    let change = |field: &str, value: Value| {
        let mut body = registration(0, "123456");
        body[field] = value;
        body.to_string()
    };
    for (body, status, code) in [
        (change("number", "12".into()), 400, ErrorCode::InvalidNumber),
        (change("code", json!(null)), 400, ErrorCode::Malformed),
        (change("code", json!(123_456)), 400, ErrorCode::Malformed),
        (change("code", "12345".into()), 403, ErrorCode::WrongCode),
        (change("code", "12345a".into()), 403, ErrorCode::WrongCode),
        (change("name", "é".repeat(33).into()), 413, ErrorCode::TooLarge),
        (change("identity_key", "".into()), 400, ErrorCode::Malformed),
        (change("identity_key", key[..40].into()), 400, ErrorCode::Malformed),
        (change("identity_key", BASE64.encode(&[7; 33]).into()), 400, ErrorCode::Malformed),
        (change("identity_key", "*".repeat(44).into()), 400, ErrorCode::Malformed),
        (change("more", "x".repeat(5000).into()), 413, ErrorCode::TooLarge),
    ] {
        let answer = post(&stage, REGISTER, body.clone()).await;
        assert_eq!(answer.refusal().unwrap(), (status, code), "{body:.200}");
    }

    // However its length is said.
    let large = vec![b'x'; 10 * 1024 * 1024];
    for request in [
        Request::new("POST", CODE).body(large.clone()),
        Request::new("POST", CODE).chunked(&[&large[..]]),
        Request::new("POST", REGISTER).chunked(&[&large[..3000]; 2]),
    ] {
        let answer = request.send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (413, ErrorCode::TooLarge));
    }

    // Where nothing is, or something else is asked for.
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/health",
        "/v1/health/",
        "/v1/../v1/nothing",
        "/v1/devices/1",
        "/v1/devices/00000000000000FF",
        "//v1/health",
        "/v1/%68ealth",
        "/mailbox",
    ] {
        let answer = Request::new("GET", path).send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (404, ErrorCode::NotFound), "{path}");
    }
    for (method, path, allow) in [
        ("GET", CODE, "POST"),
        ("PUT", REGISTER, "POST"),
        ("DELETE", "/v1/health", "GET, HEAD"),
        ("GET", "/v1/token", "POST"),
        ("PUT", "/v1/devices", "GET, HEAD, POST"),
        ("GET", "/v1/devices/00000000000000ff", "DELETE, PATCH"),
        ("GET", "/v1/links", "POST"),
        ("DELETE", "/v1/privacy", "GET, HEAD, PUT"),
        ("GET", "/v1/people/+33612345678", "PUT"),
        ("POST", "/v1/socket", "GET"),
        ("OPTIONS", "/v1/usage", "GET, HEAD"),
    ] {
        let answer = Request::new(method, path).send(&stage).await.unwrap();
        let expected = (405, ErrorCode::MethodNotAllowed);
        assert_eq!(answer.refusal().unwrap(), expected, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    // The header by which the Worker tells an object who connects is nobody else's.
    for request in [
        Request::new("GET", "/v1/socket"),
        Request::upgrade("estafette.v2.json"),
        Request::upgrade("estafette.token.a.b.c"),
    ] {
        let connect = format!("{} 0000000000000001 estafette.v1.json", number(0));
        let answer = request.header("estafette-connect", &connect).send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (426, ErrorCode::UpgradeRequired));
    }
    assert_eq!((stage.woken().unwrap(), stage.gateway.messages().len()), (0, 0));
}
