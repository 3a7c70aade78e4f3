//! Two people look at their chat and nobody says anything: it costs nothing at all.

use std::time::Duration;

use estafette::Usage;
use estafette_e2e::Stage;
use estafette_testkit::TempDir;
use tokio::time::{sleep, timeout};

use crate::presence::{two_clients, usage};

/// Shorter than the ten seconds after which the runtime forgets an object, and what it counted.
const WAKEFUL: Duration = Duration::from_secs(7);
/// So long that it has forgotten it.
const SILENCE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_chat_costs_nothing_while_nobody_says_anything() {
    costs_nothing_for(SILENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes"]
async fn an_open_chat_costs_nothing_in_ten_minutes() {
    costs_nothing_for(Duration::from_secs(600)).await;
}

async fn costs_nothing_for(silence: Duration) {
    // With so small a budget what the day has cost is written at every fourth request at the latest, so that
    // an object that sleeps forgets three at most.
    let stage = Stage::start(|options| options.var("DAILY_BUDGET_NANODOLLARS", 120_000)).unwrap();
    let stores = TempDir::new().unwrap();
    let [alice, bob] = two_clients(&stage, &stores).await;
    for (from, to) in [(&alice, &bob), (&bob, &alice)] {
        let there = from.until(|seen| seen.presence.last() == Some(&(true, None)));
        timeout(PATIENCE, there).await.unwrap();
        let id = from.handle().unwrap().send(to.number(), "hello").await.unwrap();
        timeout(PATIENCE, from.until(|seen| seen.delivered.contains(&id))).await.unwrap();
        from.handle().unwrap().flush().await.unwrap();
    }
    // The last acknowledgement, of a mark, is on its way: that is measured too, up to its arrival.
    let both = async || [usage(&stage, &alice.account).await, usage(&stage, &bob.account).await];
    let mut before = both().await;
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = both().await;
        let settled = before.iter().zip(&now).all(|(a, b)| costs(a, b, [1, 0]));
        before = now;
        if settled {
            break;
        }
    }

    sleep(WAKEFUL).await;
    let after = both().await;
    for (before, after) in before.iter().zip(&after) {
        assert!(costs(before, after, [1, 0]), "more than the question: {before:?} {after:?}");
    }
    sleep(silence).await;
    for (before, after) in after.iter().zip(&both().await) {
        assert!(costs(before, after, [1, 0]), "more than the question: {before:?} {after:?}");
    }
}

/// Whether between two readings there were so many requests and socket messages, and no row but that of
/// what the reading itself cost.
fn costs(before: &Usage, after: &Usage, [requests, messages]: [i64; 2]) -> bool {
    let more = |of: fn(&Usage) -> u64| of(after) as i64 - of(before) as i64;
    more(|usage| usage.requests) == requests
        && more(|usage| usage.socket_messages) == messages
        && (-1..=1).contains(&more(|usage| usage.rows_written))
}
