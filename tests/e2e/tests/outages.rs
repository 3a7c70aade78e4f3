//! Forty people send each other four thousand messages while their devices come and go and the
//! runtime is killed. Nothing that was told `sent` is lost, doubled or out of order.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use estafette::{Content, Message, MessageId, PhoneNumber};
use estafette_e2e::{Person, Stage, number, texts};
use estafette_testkit::{TempDir, build_worker};
use fastrand::Rng;
use tokio::time::timeout;

const PEOPLE: usize = 40;
/// What a thing that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

type Written = BTreeMap<(PhoneNumber, MessageId), (PhoneNumber, String)>;

struct Crowd {
    people: Vec<Person>,
    written: Written,
    rng: Rng,
    _stores: TempDir,
}

impl Crowd {
    async fn gather(stage: &Stage, people: usize) -> Self {
        let stores = TempDir::new().unwrap();
        let mut crowd = Vec::new();
        for index in 0..people {
            let account = stage.register(number(index)).await.unwrap();
            crowd.push(Person::new(account, stores.path().join(format!("{index}.db"))));
        }
        let (written, rng) = (Written::new(), Rng::with_seed(7));
        Self { people: crowd, written, rng, _stores: stores }
    }

    /// Somebody sends somebody else a message, now and then a few at once.
    async fn write(&mut self, texts: &mut impl Iterator<Item = String>) -> bool {
        let from = self.rng.usize(..self.people.len());
        let step = self.rng.usize(1..self.people.len());
        let to = self.people[(from + step) % self.people.len()].number();
        let burst = if self.rng.u8(..4) == 0 { self.rng.usize(2..12) } else { 1 };
        let bodies: Vec<String> = texts.take(burst).collect();
        self.people[from].come().await.unwrap();
        let handle = self.people[from].handle().unwrap();
        let ids = handle
            .send_all(to, bodies.iter().map(|body| body.clone().into_bytes()).collect())
            .await
            .unwrap();
        let from = self.people[from].number();
        let any = !bodies.is_empty();
        self.written.extend(
            ids.into_iter().map(|id| (from, id)).zip(bodies.into_iter().map(|body| (to, body))),
        );
        any
    }

    /// Somebody's program starts or ends.
    async fn stir(&mut self) {
        let who = self.rng.usize(..self.people.len());
        if self.rng.u8(..3) == 0 {
            self.people[who].go().await.unwrap();
        } else {
            self.people[who].come().await.unwrap();
        }
    }

    /// Everybody comes, and stays until all that they sent is known to be delivered.
    async fn settle(&mut self) {
        for person in &mut self.people {
            person.come().await.unwrap();
        }
        for person in &self.people {
            let own: BTreeSet<_> = self
                .written
                .keys()
                .filter(|(from, _)| *from == person.number())
                .map(|&(_, id)| id)
                .collect();
            let all = person.until(|seen| own.is_subset(&seen.delivered));
            if timeout(PATIENCE, all).await.is_err() {
                let seen = person.seen();
                let missing = own.difference(&seen.delivered).count();
                panic!("{missing} of {} messages are not delivered: {:?}", own.len(), seen.failed);
            }
        }
        // What a device could not open was sealed again by the one that wrote it.
        for person in &self.people {
            let readable =
                |message: &Message| !matches!(message.content(), Ok(Content::Unopened(_)));
            let all = person.until(|seen| seen.received.iter().all(readable));
            assert!(timeout(PATIENCE, all).await.is_ok(), "what cannot be opened stays so");
        }
    }

    /// Every message is with its recipient exactly once, whole, and in its stream's order.
    fn check(&self) {
        let mut shown: BTreeMap<(PhoneNumber, PhoneNumber, MessageId), usize> = BTreeMap::new();
        for person in &self.people {
            let mut last: BTreeMap<(PhoneNumber, u64), u64> = BTreeMap::new();
            for message in &person.seen().received {
                let (to, text) = &self.written[&(message.peer, message.id)];
                assert_eq!((*to, text.as_bytes()), (person.number(), &message.body[..]));
                *shown.entry((message.peer, *to, message.id)).or_default() += 1;
                let before = last.insert((message.peer, message.id.stream), message.id.number);
                assert!(before.is_none_or(|before| before < message.id.number), "out of order");
            }
        }
        assert!(shown.values().all(|&times| times == 1), "shown more than once");
        assert_eq!(shown.len(), self.written.len(), "as many shown as written");
    }

    /// Everybody comes back once more, and nothing waits for anybody.
    async fn check_empty(&mut self) {
        let before: Vec<_> = self.people.iter().map(|p| p.seen().received.len()).collect();
        for person in &mut self.people {
            person.go().await.unwrap();
            let account = person.account.clone();
            let waiting = estafette_e2e::waiting(&account).await.unwrap();
            assert_eq!(waiting, 0, "something waits in a mailbox");
        }
        let after: Vec<_> = self.people.iter().map(|p| p.seen().received.len()).collect();
        assert_eq!(before, after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_devices_come_and_go_and_the_runtime_is_killed() {
    let stage = Stage::start(|options| options).unwrap();
    let mut crowd = Crowd::gather(&stage, PEOPLE).await;
    let texts = texts();
    let count = texts.len();
    let mut texts = texts.into_iter();
    let mut kills = 0;
    while crowd.write(&mut texts).await {
        if crowd.rng.u8(..4) == 0 {
            crowd.stir().await;
        }
        // Spread over the run, at moments that messages decide.
        if crowd.written.len() > (kills + 1) * count / 5 && kills < 4 {
            stage.runtime.kill().unwrap();
            for _ in 0..10 {
                crowd.write(&mut texts).await;
            }
            stage.runtime.restart().unwrap();
            kills += 1;
        }
    }
    assert!(kills >= 3);
    crowd.settle().await;
    crowd.check();
    assert_eq!(crowd.written.len(), count);
    crowd.check_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_loses_nothing_and_sockets_resume() {
    let next = build_worker(&["rehearsal"]).unwrap();
    let stage = Stage::start(|options| options).unwrap();
    let mut crowd = Crowd::gather(&stage, 10).await;
    let mut texts = texts().into_iter().take(800);
    for person in &mut crowd.people {
        person.come().await.unwrap();
    }
    let mut upgraded = false;
    while crowd.write(&mut texts).await {
        if !upgraded && crowd.written.len() > 400 {
            stage.runtime.restart_with(&next).unwrap();
            upgraded = true;
        }
    }
    assert!(upgraded);
    crowd.settle().await;
    crowd.check();
    crowd.check_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_deleted_comes_back_and_asks_for_nothing_twice() {
    let stage = Stage::start(|options| options).unwrap();
    let mut crowd = Crowd::gather(&stage, 2).await;
    let [alice, bob] = &mut crowd.people[..] else { unreachable!() };
    for person in [&mut *alice, &mut *bob] {
        person.come().await.unwrap();
    }
    let first = alice.handle().unwrap().send(bob.number(), "first").await.unwrap();
    timeout(PATIENCE, alice.until(|seen| seen.delivered.contains(&first))).await.unwrap();
    bob.go().await.unwrap();
    bob.forget().unwrap();
    let second = alice.handle().unwrap().send(bob.number(), "second").await.unwrap();
    timeout(PATIENCE, alice.until(|seen| seen.sent.contains_key(&second))).await.unwrap();
    bob.come().await.unwrap();
    timeout(PATIENCE, alice.until(|seen| seen.delivered.contains(&second))).await.unwrap();
    let ids: Vec<_> = bob.seen().received.iter().map(|message| message.id).collect();
    assert_eq!(ids, [first, second], "each once, though the store was deleted in between");
    // The new store draws a new stream, which the other side takes from its beginning.
    let answer = bob.handle().unwrap().send(alice.number(), "answer").await.unwrap();
    timeout(PATIENCE, bob.until(|seen| seen.delivered.contains(&answer))).await.unwrap();
}
