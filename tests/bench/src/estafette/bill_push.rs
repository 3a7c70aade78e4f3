//! The bill of a wake-up: what a burst to somebody who sleeps costs more when they have subscribed to
//! pushes. The push itself is a request to elsewhere, which the platform does not charge for; what it
//! costs is the time for which it keeps the object awake.

use anyhow::Context;
use estafette_protocol::http::{PushKeys, PushSubscription, Usage};
use estafette_testkit::PushService;

use super::bill::Bill;
use super::server::Estafette;
use super::{away, connections};
use crate::measure::Measurement;

/// The local push service's server (`tiny_http`) has four threads, and a connection that is kept open
/// keeps one: of more sleepers the fifth would wait until another's connection is closed.
const PAIRS: u32 = 4;
const BURST: u32 = 20;
/// The user agent's keys of RFC 8291, appendix A: nobody opens what comes.
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

/// Counts what a wake-up adds.
pub(super) async fn run(
    server: &Estafette,
    service: &PushService,
) -> anyhow::Result<Vec<(&'static str, Measurement)>> {
    let asleep = burst(server, None).await?;
    for user in PAIRS..2 * PAIRS {
        let endpoint = service.endpoint(&user.to_string());
        let keys = PushKeys { p256dh: P256DH.to_owned(), auth: AUTH.to_owned() };
        server.subscribe(user, PushSubscription { endpoint, keys }).await?;
    }
    let woken = burst(server, Some(service)).await?;
    let more = |units: fn(&Units) -> u64| {
        (units(&woken) as f64 - units(&asleep) as f64) / f64::from(PAIRS)
    };
    let mut measured = Measurement::default();
    let pushes = more(|units| units.pushes);
    measured.push_limited("pushes_per_burst", pushes, "pushes", 1.0);
    let requests = more(|units| units.bill.requests);
    measured.push_limited("more_requests_per_wake_up", requests, "requests", 0.0);
    let rows = more(|units| units.bill.rows_written);
    measured.push_limited("more_rows_written_per_wake_up", rows, "rows", 0.0);
    let dollars = more(|units| units.spent) / 1000.0;
    measured.push("price_per_million_wake_ups", dollars, "$");
    Ok(vec![("bill-wake-up", measured)])
}

/// What a burst for each recipient has cost.
struct Units {
    bill: Bill,
    pushes: u64,
    /// In billionths of a dollar.
    spent: u64,
}

async fn burst(server: &Estafette, service: Option<&PushService>) -> anyhow::Result<Units> {
    let senders = connections::online(server, 0..PAIRS).await?;
    let before = server.usage(0..2 * PAIRS).await?;
    let (senders, _) = away::store(server, senders, BURST, BURST).await?;
    if let Some(service) = service {
        tokio::task::block_in_place(|| service.wait(PAIRS as usize))?;
    }
    let after = server.usage(0..2 * PAIRS).await?;
    let bill = Bill::between(&before, &after).context("an object was evicted meanwhile")?;
    let (connections, _) = away::drain(server, senders, BURST).await?;
    connections::close(connections).await?;
    let sum = |units: fn(&Usage) -> u64| {
        let all = |usages: &[Usage]| usages.iter().map(units).sum::<u64>();
        all(&after) - all(&before)
    };
    Ok(Units { bill, pushes: sum(|usage| usage.pushes), spent: sum(|usage| usage.spent) })
}
