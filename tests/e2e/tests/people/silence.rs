//! Two people look at their chat and nobody says anything: it costs nothing at all.

use std::time::Duration;

use estafette::Usage;
use estafette_e2e::{Person, Stage, number};
use estafette_testkit::TempDir;
use tokio::time::{sleep, timeout};

use crate::presence::usage;

/// Shorter than the ten seconds after which the runtime forgets an object, and what it counted.
const WAKEFUL: Duration = Duration::from_secs(7);
/// So long that it has forgotten it.
const SILENCE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_chat_costs_nothing_while_nobody_says_anything() {
    let stage = Stage::start(|options| options).unwrap();
    let stores = TempDir::new().unwrap();
    let mut people = Vec::new();
    for index in 0..2 {
        let account = stage.register(number(index)).await.unwrap();
        let mut person = Person::new(account, stores.path().join(format!("{index}.db")));
        person.come().await.unwrap();
        people.push(person);
    }
    let [alice, bob] = &people[..] else { unreachable!() };
    for (person, peer) in [(alice, bob), (bob, alice)] {
        let handle = person.handle().unwrap();
        handle.set_available(true).await.unwrap();
        handle.open_chat(Some(peer.number())).await.unwrap();
    }
    for (from, to) in [(alice, bob), (bob, alice)] {
        let there = from.until(|seen| seen.presence.last() == Some(&(true, None)));
        timeout(PATIENCE, there).await.unwrap();
        let id = from.handle().unwrap().send(to.number(), "hello").await.unwrap();
        timeout(PATIENCE, from.until(|seen| seen.delivered.contains(&id))).await.unwrap();
        from.handle().unwrap().flush().await.unwrap();
    }
    // The last acknowledgement, of a mark, is on its way: that is measured too, up to its arrival.
    let both = async || [usage(&stage, &alice.account).await, usage(&stage, &bob.account).await];
    let units = |usage: &Usage| [usage.requests, usage.rows_written, usage.socket_messages];
    let mut before = both().await;
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = both().await;
        let question = |usage: &Usage| Usage { requests: usage.requests + 1, ..*usage };
        let settled = before.iter().zip(&now).all(|(a, b)| units(&question(a)) == units(b));
        before = now;
        if settled {
            break;
        }
    }

    sleep(WAKEFUL).await;
    let after = both().await;
    for (before, after) in before.iter().zip(&after) {
        let [requests, rows, messages] = units(before);
        assert_eq!(units(after), [requests + 1, rows, messages], "but the question");
    }
    sleep(SILENCE).await;
    for usage in both().await {
        assert_eq!(units(&usage), [1, 0, 0], "it slept, and nothing woke it before the question");
    }
}
