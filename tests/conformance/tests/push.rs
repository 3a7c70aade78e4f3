//! What the Worker pushes, before services, readers and a sender that were not written here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use data_encoding::BASE64URL_NOPAD;
use estafette::Account;
use estafette_conformance::{python, script};
use estafette_e2e::{Request, Stage, Stream, Subscriber, Wire, number, put};
use estafette_protocol::http::Push;
use estafette_protocol::push::Notification;
use estafette_protocol::{Encoding, ServerFrame};
use estafette_testkit::PushService;
use serde::Deserialize;
use serde_json::{Value, json};

/// Texts of several scripts and lengths; the last does not fit into a push.
fn bodies() -> Vec<Vec<u8>> {
    let texts = ["hi", "", "你好 👋", "\u{0}\u{1}\u{7f}", &"é".repeat(600), &"x".repeat(60_000)];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

/// A program of others that is written to and read from by lines.
struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(mut command: std::process::Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output).lines() }
    }

    fn say(&mut self, value: &Value) {
        writeln!(self.input, "{value}").unwrap();
    }

    fn hear(&mut self) -> String {
        self.output.next().unwrap_or_else(|| panic!("it ended")).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the service says of a push.
#[derive(Deserialize)]
struct Taken {
    read: String,
    opened: String,
    body: String,
    private_key: String,
    public_key: String,
    auth: String,
}

async fn public_key(stage: &Stage, account: &Account) -> String {
    let request = Request::new("GET", "/v1/push").token(&account.token);
    let answer = request.send(stage).await.unwrap();
    serde_json::from_slice::<Push>(&answer.body).unwrap().public_key
}

/// Bob comes, takes what waits, and sleeps again.
async fn comes_and_goes(stage: &Stage, bob: &Account) {
    let (mut wire, waited) = Wire::open(stage, bob, Encoding::Json).await.unwrap();
    let ids: Vec<_> = waited
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Deliver(deliver) => Some(deliver.id),
            _ => None,
        })
        .collect();
    wire.ack(&ids).await.unwrap();
    wire.answers().await.unwrap();
    wire.close().await.unwrap();
}

fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_take_every_push_and_open_it() {
    let mut service = Program::start(script("push"));
    let mut reader = Program::start(python("open"));
    let host: BTreeMap<String, String> = serde_json::from_str(&service.hear()).unwrap();
    let stage = Stage::start(|options| options.push(&host["host"])).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    service.say(&json!({ "subscribe": public_key(&stage, &bob).await }));
    let subscription = service.hear();
    let answer = put(&stage, &bob, subscription.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 204, "{subscription}: {answer:?}");

    let mut alice = Wire::online(&stage, &alice, Encoding::Cbor).await.unwrap();
    let stream = Stream::new(bob.number);
    let mut without_body = 0;
    for (body, message) in bodies().into_iter().zip(1..) {
        alice.say(&[stream.message(message, body.clone())]).await.unwrap();
        let said = service.hear();
        let taken: Taken = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        let opened = decode(&taken.opened);
        assert_eq!(taken.read.as_bytes(), opened, "web-push-testing reads it as UTF-8");
        let told = Notification::from_payload(&opened).unwrap();
        assert_eq!((told.from, told.id, told.waiting), (number(0), stream.id(message), 1));
        match told.body {
            Some(told) => assert_eq!(told.0, body),
            None => without_body += 1,
        }

        let Taken { body, private_key, public_key, auth, .. } = &taken;
        reader.say(&json!({ "body": body, "private_key": private_key, "auth": auth }));
        assert_eq!(decode(&reader.hear()), opened, "as PyPI's http-ece opens it");
        let keys = ece::EcKeyComponents::new(decode(private_key), decode(public_key));
        let by_mozilla = ece::decrypt(&keys, &decode(auth), &decode(body)).unwrap();
        assert_eq!(by_mozilla, opened, "as the crate ece opens it");
        comes_and_goes(&stage, &bob).await;
    }
    assert_eq!(without_body, 1);
}

/// The crate `web-push` is given the same key, subscription and payload: its request and the Worker's
/// differ in nothing but what is drawn at random.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crate_web_push_sends_the_same() {
    use web_push::{
        ContentEncoding, SubscriptionInfo, Urgency, VapidSignatureBuilder, WebPushMessageBuilder,
    };

    let service = PushService::start().unwrap();
    let stage = Stage::start(|options| options.push(&service.host())).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let subscriber = Subscriber::at(service.endpoint("bob")).unwrap();
    subscriber.subscribe(&stage, &bob).await.unwrap();
    let mut alice = Wire::online(&stage, &alice, Encoding::Cbor).await.unwrap();
    alice.say(&[Stream::new(bob.number).message(1, "hi")]).await.unwrap();
    let ours = service.wait(1).unwrap().remove(0);
    let told = subscriber.open(&ours).unwrap();

    let keys = &subscriber.subscription.keys;
    let endpoint = &subscriber.subscription.endpoint;
    let info = SubscriptionInfo::new(endpoint, &keys.p256dh, &keys.auth);
    let secret = stage.runtime.var("VAPID_KEY").unwrap();
    let mut signature =
        VapidSignatureBuilder::from_base64(secret.as_str().unwrap(), &info).unwrap();
    signature.add_claim("sub", "mailto:tests@example.org");
    let mut message = WebPushMessageBuilder::new(&info);
    let payload = told.to_payload();
    message.set_payload(ContentEncoding::Aes128Gcm, &payload);
    message.set_ttl(2_419_200);
    message.set_urgency(Urgency::High);
    message.set_topic("messages".to_owned());
    message.set_vapid_signature(signature.build().unwrap());
    let theirs = web_push::request_builder::build_request::<Vec<u8>>(message.build().unwrap());

    assert_eq!(theirs.method().as_str(), ours.method);
    assert_eq!(theirs.uri().path(), ours.path);
    let header = |name: &str| ours.headers.get(name).map(String::as_str);
    let mut compared = BTreeSet::new();
    for (name, value) in theirs.headers() {
        let value = value.to_str().unwrap();
        compared.insert(name.as_str().to_owned());
        match name.as_str() {
            // The Worker's payload is filled up, so that its length tells less.
            "content-length" => {}
            "authorization" => {
                let (our_token, our_key) =
                    header("authorization").unwrap().split_once(", k=").unwrap();
                let (token, key) = value.split_once(", k=").unwrap();
                assert_eq!(our_key, key, "the same public key");
                let (ours, mut theirs) = (claims(our_token), claims(token));
                // It leaves the port out, which is part of an origin (RFC 6454, section 4).
                assert_eq!(theirs["aud"], "http://127.0.0.1");
                theirs["aud"] = service.host().into();
                assert_eq!(ours, theirs);
            }
            name => assert_eq!(header(name), Some(value), "{name}"),
        }
    }
    let named = ["authorization", "content-encoding", "content-type", "ttl", "topic", "urgency"];
    assert!(named.iter().all(|name| compared.contains(*name)), "{compared:?}");
    // Salt and key differ; record size and the length of the key do not.
    assert_eq!(ours.body[16..21], theirs.body()[16..21]);
    assert_eq!(ours.body.len(), 86 + 512 + 17);
    assert!(ours.body.len() > theirs.body().len(), "filled up further");
}

/// The algorithm of a token, to whom it is, and from whom. Its times differ.
fn claims(header: &str) -> Value {
    let token = header.strip_prefix("vapid t=").unwrap();
    let parts: Vec<_> = token.split('.').map(decode).collect();
    let read = |part: &[u8]| serde_json::from_slice::<Value>(part).unwrap();
    let (head, claims) = (read(&parts[0]), read(&parts[1]));
    assert_eq!(parts[2].len(), 64, "the two numbers of a signature");
    assert!(claims["exp"].is_u64());
    json!({ "alg": head["alg"], "aud": claims["aud"], "sub": claims["sub"] })
}
