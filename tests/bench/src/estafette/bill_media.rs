//! The bill of a file: what is counted is what the account is told (`GET /v1/usage`).

use anyhow::Context;

use super::bill::Bill;
use super::server::Estafette;
use crate::measure::Measurement;
use crate::media::{self, Files};

/// Dollars for a million operations on R2 that write, and that read.
const DOLLARS_A_MILLION: [f64; 2] = [4.5, 0.36];
const MEBIBYTE: u64 = 1024 * 1024;

/// What a file may cost.
struct Limits {
    /// Operations on R2 that write.
    writes: f64,
    /// Operations on R2 that read.
    reads: f64,
    /// Requests to the mailbox of the account.
    requests: f64,
    rows: f64,
}

/// A file that fits one request is one write. Its upload asks the mailbox once for the quota, and
/// the fetches of an account are told to it sixteen at a time.
const WHOLE: Limits = Limits { writes: 1.0, reads: 1.0, requests: 1.1, rows: 0.0 };
/// 100 MiB in two requests: begun, 13 parts of at most 8 MiB, finished.
const PIECES: Limits = Limits { writes: 15.0, reads: 4.0, requests: 4.0, rows: 2.0 };

/// Counts every path.
pub(super) async fn run(server: &Estafette) -> anyhow::Result<Vec<(&'static str, Measurement)>> {
    let files = |bytes, count| Files { bytes, count, at_once: 4 };
    Ok(vec![
        ("bill-media-64-kib", sent_and_fetched(server, files(MEBIBYTE / 16, 32), &WHOLE).await?),
        ("bill-media-100-mib", sent_and_fetched(server, files(100 * MEBIBYTE, 2), &PIECES).await?),
    ])
}

async fn sent_and_fetched(
    server: &Estafette,
    files: Files,
    limits: &Limits,
) -> anyhow::Result<Measurement> {
    let before = server.usage(0..1).await?;
    media::send_and_fetch(&server.host()?, files).await?;
    let after = server.usage(0..1).await?;
    let bill = Bill::between(&before, &after).context("the object was evicted meanwhile")?;
    let (before, after) = before.first().zip(after.first()).context("a reading is missing")?;
    let each = |units: u64| units as f64 / f64::from(files.count);
    let writes = each(after.media_writes - before.media_writes);
    let reads = each(after.media_reads - before.media_reads);
    let mut measured = Measurement::default();
    measured.push_limited("writes_per_file", writes, "operations", limits.writes);
    measured.push_limited("reads_per_file", reads, "operations", limits.reads);
    measured.push_limited("requests_per_file", each(bill.requests), "requests", limits.requests);
    measured.push_limited("rows_written_per_file", each(bill.rows_written), "rows", limits.rows);
    let dollars =
        [writes, reads].into_iter().zip(DOLLARS_A_MILLION).map(|(units, price)| units * price);
    measured.push("price_per_million_files", dollars.sum::<f64>(), "$");
    Ok(measured)
}
