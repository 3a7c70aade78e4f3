//! A message wakes a browser: the Worker posts to the push service, which hands on what only the browser can
//! open, and the page's service worker shows it, with no page open. What Alice sends here is not sealed, as a
//! device's message is: the server knows no difference, and the page could not open it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use estafette::Account;
use estafette_browser::{Browser, Kind, Shown, Told, script};
use estafette_e2e::{Request, Stage, Stream, Wire, number};
use estafette_protocol::Encoding;
use serde_json::Value;

/// A message lives for 30 days, and Google's push service keeps a push for 28.
const TTL_SECONDS: u64 = 28 * 24 * 60 * 60;

/// Alice with a socket, and others who have nothing but a browser.
struct Scene {
    stage: Stage,
    alice: Account,
    browser: Browser,
}

impl Scene {
    async fn set(kind: Kind) -> Self {
        let browser = Browser::open(kind).unwrap();
        let stage = Stage::start(|options| options.push("http://127.0.0.1")).unwrap();
        let alice = stage.register(number(0)).await.unwrap();
        Self { stage, alice, browser }
    }

    async fn key(&self, account: &Account) -> String {
        let answer = Request::new("GET", "/v1/push").token(&account.token).send(&self.stage).await;
        let answer: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
        answer["public_key"].as_str().unwrap().to_owned()
    }

    /// Registers somebody whose only device is the browser, by this subscription.
    async fn register(&self, index: usize, subscription: &Value) -> String {
        let account = self.stage.register(number(index)).await.unwrap();
        let request = Request::new("PUT", "/v1/push")
            .token(&account.token)
            .header("Content-Type", "application/json")
            .body(subscription.to_string());
        let answer = request.send(&self.stage).await.unwrap();
        assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.body));
        account.number.to_string()
    }

    /// Alice writes, and is told that it is safe.
    async fn write(&self, to: &str, texts: &[&str]) {
        let mut wire = Wire::online(&self.stage, &self.alice, Encoding::Cbor).await.unwrap();
        let stream = Stream::new(to.parse().unwrap());
        let numbered = || (1..).zip(texts);
        let frames: Vec<_> = numbered().map(|(n, text)| stream.message(n, *text)).collect();
        wire.say(&frames).await.unwrap();
        let ids: Vec<_> = numbered().map(|(n, _)| stream.id(n)).collect();
        wire.until_sent(&ids).await.unwrap();
    }
}

/// What the service worker tells when it shows this of Alice, and nothing else, with no page open.
fn showing(body: &str) -> Told {
    let shown = vec![Shown { title: number(0).to_string(), body: body.to_owned() }];
    Told { event: "push".to_owned(), shown, pages: 0, error: None, subscription: None }
}

async fn is_woken(kind: Kind) -> Scene {
    let mut scene = Scene::set(kind).await;
    let somebody = scene.stage.register(number(9)).await.unwrap();
    let subscription = scene.browser.subscribe(&scene.key(&somebody).await).unwrap();

    let bob = scene.register(1, &subscription).await;
    scene.write(&bob, &["on my way 🐎"]).await;
    assert_eq!(scene.browser.told().unwrap(), showing("on my way 🐎"));

    // While the browser is closed its push service keeps what is for it, once for a burst.
    scene.browser.sleep().unwrap();
    let carol = scene.register(2, &subscription).await;
    scene.write(&carol, &["one", "two", "three"]).await;
    scene.browser.posts(2).unwrap();
    scene.browser.wake().unwrap();
    let told = scene.browser.told().unwrap();
    assert_eq!((told.shown.len(), told.pages, told.error), (1, 0, None), "{:?}", told.shown);

    let posts = scene.browser.posts(2).unwrap();
    assert_eq!(posts.len(), 2, "one push for each burst: {posts:?}");
    for post in posts {
        assert_eq!((post.status, post.urgency.as_deref()), (201, Some("high")), "{post:?}");
        assert_eq!(post.ttl, Some(TTL_SECONDS));
    }
    scene
}

#[tokio::test]
async fn chromium_is_woken_and_shows_who_wrote() {
    is_woken(Kind::Chromium).await;
}

#[tokio::test]
async fn firefox_is_woken_and_shows_who_wrote_also_by_a_subscription_that_replaced_another() {
    let mut scene = is_woken(Kind::Firefox).await;
    scene.browser.forget().unwrap();
    let told = scene.browser.told().unwrap();
    assert_eq!((told.event.as_str(), told.error), ("change", None));
    let dave = scene.register(3, &told.subscription.unwrap()).await;
    scene.write(&dave, &["still there?"]).await;
    assert_eq!(scene.browser.told().unwrap(), showing("still there?"));
}

#[test]
fn the_push_services_refuse_what_those_of_the_makers_refuse() {
    let output = script("refusals").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
