//! The runtime's memory while large files go up and come down.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use estafette_e2e::{Stage, Tus, TusUpload, bytes, number};
use estafette_protocol::MediaId;

const MIB: u64 = 1024 * 1024;

/// Bytes of a file that is never in memory: the block of a number, again and again.
fn block(index: u64) -> Vec<u8> {
    bytes(index, MIB as usize)
}

fn connect(stage: &Stage) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", stage.runtime.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Brings the blocks from one on to before another.
fn up(stage: &Stage, token: &str, upload: &TusUpload, from: u64, to: u64) {
    let mut stream = connect(stage);
    write!(
        stream,
        "PATCH {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
         Upload-Offset: {}\r\nContent-Length: {}\r\n\r\n",
        upload.path,
        from * MIB,
        (to - from) * MIB
    )
    .unwrap();
    for index in from..to {
        stream.write_all(&block(index)).unwrap();
    }
    assert!(head(&mut stream).starts_with("HTTP/1.1 204 "));
}

fn down(stage: &Stage, token: &str, media: MediaId, blocks: u64) {
    let mut stream = connect(stage);
    write!(
        stream,
        "GET /v1/media/{media} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
    let mut got = vec![0; MIB as usize];
    for index in 0..blocks {
        stream.read_exact(&mut got).unwrap();
        assert!(got == block(index), "block {index}");
    }
    assert_eq!(stream.read(&mut got).unwrap(), 0, "and no more");
}

/// A file of so many MiB goes up, in requests of 64 MiB, and comes down. Returns the most memory that the
/// runtime had meanwhile.
async fn there_and_back(stage: &Stage, token: &str, upload: &TusUpload, blocks: u64) -> u64 {
    let (most, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(stage.runtime.rss_bytes().unwrap(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let work = scope.spawn(|| {
            for from in (0..blocks).step_by(64) {
                up(stage, token, upload, from, (from + 64).min(blocks));
            }
            down(stage, token, upload.media, blocks);
        });
        let outcome = work.join();
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    most.into_inner()
}

/// The same twice: what the runtime's heap has grown to once, it keeps (about 200 MiB more after 1 GiB each
/// way, and no more after the second). What would keep files in memory would need as much again.
async fn stays_flat(blocks: u64, more: u64) {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let mut most = Vec::new();
    for _ in 0..2 {
        let upload = device.create(blocks * MIB, &[]).await.unwrap();
        most.push(there_and_back(&stage, &alice.token, &upload, blocks).await);
        device.request("DELETE", &upload.path).send(&stage).await.unwrap();
    }
    let grown = most[1].saturating_sub(most[0]) / MIB;
    println!("{} MiB, then {grown} MiB more for another {blocks} MiB", most[0] / MIB);
    assert!(grown < more, "{grown} MiB more");
}

#[tokio::test]
async fn memory_stays_flat() {
    stays_flat(192, 96).await;
}

/// `cargo test -p estafette-e2e --test media -- --ignored`: two minutes, and 1 GiB of `/dev/shm`.
#[tokio::test]
#[ignore = "two minutes and 1 GiB of memory; docs/operating.md says how to run it"]
async fn memory_stays_flat_for_a_gibibyte() {
    // A quarter of the file: what the heap has grown to by chance differs by 100 MiB.
    stays_flat(1024, 256).await;
}
