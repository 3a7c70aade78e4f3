//! Files up and down: megabytes a second, and the server's CPU time for each megabyte.
//!
//! A file goes up as the command line sends it: in one request if it fits one, in pieces otherwise.
//! What comes back is compared byte by byte. The local runtime keeps what R2 would keep, in the same
//! process, so its figures hold that work too, which at the edge is somebody else's.

mod http;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use estafette_protocol::limits;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::measure::Measurement;
use crate::process::Process;
use http::{Connection, Pattern};

const MEGABYTE: f64 = 1e6;
/// As many whole parts as fit one request: what is left of a part would have to be put aside.
const PIECE: u64 =
    limits::MEDIA_REQUEST_BYTES_MAX / limits::MEDIA_PART_BYTES * limits::MEDIA_PART_BYTES;

/// Files of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// The length of each.
    pub bytes: u64,
    /// How many.
    pub count: u32,
    /// How many are under way at a time.
    pub at_once: usize,
}

/// A server that takes files.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) route: Route,
}

/// How it takes them.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// By `PUT`, under a name of ours.
    Dav,
    /// By tus; the token of the account.
    Tus(String),
}

/// Sends the files, then fetches them.
pub(crate) async fn run(host: &Host, files: Files) -> anyhow::Result<Measurement> {
    let mut measured = Measurement::default();
    let pattern = Arc::new(Pattern::new());
    let warm_up = Files { count: 2, bytes: files.bytes.min(1 << 20), at_once: 1 };
    let paths = all(host, warm_up, &pattern, Vec::new()).await?;
    all(host, warm_up, &pattern, paths).await?;

    let resident = host.process.resident_bytes()?;
    let before = host.process.settled_cpu().await?;
    let begin = Instant::now();
    let paths = all(host, files, &pattern, Vec::new()).await?;
    let took = begin.elapsed();
    let sent = host.process.settled_cpu().await?;
    let megabytes = files.bytes as f64 * f64::from(files.count) / MEGABYTE;
    let mut push = |way, took: std::time::Duration, cpu: std::time::Duration| {
        measured.push(format!("{way}_throughput"), megabytes / took.as_secs_f64(), "MB/s");
        let each = cpu.as_secs_f64() * 1e3 / megabytes;
        measured.push(format!("{way}_cpu_per_megabyte"), each, "ms");
    };
    push("upload", took, sent.saturating_sub(before));

    let begin = Instant::now();
    all(host, files, &pattern, paths).await?;
    let took = begin.elapsed();
    let fetched = host.process.settled_cpu().await?;
    push("download", took, fetched.saturating_sub(sent));
    let growth = host.process.peak_bytes()?.saturating_sub(resident);
    measured.push("memory_growth_at_most", growth as f64 / 1024.0 / 1024.0, "MiB");
    Ok(measured)
}

/// The same without a word about how long it takes.
pub(crate) async fn send_and_fetch(host: &Host, files: Files) -> anyhow::Result<()> {
    let pattern = Arc::new(Pattern::new());
    let paths = all(host, files, &pattern, Vec::new()).await?;
    all(host, files, &pattern, paths).await.map(drop)
}

/// Sends files, or, where there are paths, fetches them. Returns the paths.
async fn all(
    host: &Host,
    files: Files,
    pattern: &Arc<Pattern>,
    paths: Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let turns = Arc::new(Semaphore::new(files.at_once));
    let mut tasks = JoinSet::new();
    for number in 0..files.count {
        let (turns, pattern, route) = (Arc::clone(&turns), Arc::clone(pattern), host.route.clone());
        let (port, path) = (host.port, paths.get(number as usize).cloned());
        tasks.spawn(async move {
            let _turn = turns.acquire().await?;
            let mut connection = Connection::open(port, &route).await?;
            match path {
                None => send(&mut connection, &route, number, files.bytes, &pattern).await,
                Some(path) => {
                    connection.fetch(&path, files.bytes, &pattern).await?;
                    Ok(path)
                }
            }
        });
    }
    let mut paths = Vec::new();
    while let Some(path) = tasks.join_next().await {
        paths.push(path??);
    }
    Ok(paths)
}

/// Returns the path to fetch it by.
async fn send(
    connection: &mut Connection,
    route: &Route,
    number: u32,
    bytes: u64,
    pattern: &Pattern,
) -> anyhow::Result<String> {
    let Route::Tus(_) = route else {
        let path = format!("/{number}-{bytes}");
        connection.send("PUT", &path, &[], 0..bytes, pattern).await?;
        return Ok(path);
    };
    let length = format!("upload-length: {bytes}");
    let octets = "content-type: application/offset+octet-stream";
    let at_once = if bytes <= limits::MEDIA_REQUEST_BYTES_MAX { bytes } else { 0 };
    let lines = [length.as_str(), octets];
    let created = connection.send("POST", "/v1/uploads", &lines, 0..at_once, pattern).await?;
    let location = created.header("location").context("no Location")?.to_owned();
    let mut offset = at_once;
    while offset < bytes {
        let end = bytes.min(offset + PIECE);
        let at = format!("upload-offset: {offset}");
        let lines = [at.as_str(), octets];
        let sent = connection.send("PATCH", &location, &lines, offset..end, pattern).await?;
        let now = sent.header("upload-offset").context("no Upload-Offset")?;
        ensure!(now == end.to_string(), "sent to {end}, and the server is at {now}");
        offset = end;
    }
    let name = location.rsplit('/').next().unwrap_or_default();
    let id = name.get(..32).with_context(|| format!("{location} names no file"))?;
    Ok(format!("/v1/media/{id}"))
}
