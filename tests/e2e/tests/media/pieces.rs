//! Uploads: in one request, in many, cut, at once, over the end of the process.

use estafette::ErrorCode;
use estafette_e2e::{Stage, Tus, bytes, number};
use futures_util::future::try_join_all;

const MIB: usize = 1024 * 1024;
/// What is fetched at a time of a file that is compared.
const FETCHED: usize = 16 * MIB;

#[tokio::test]
async fn a_file_that_fits_one_request_is_one_write_and_wakes_no_object() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let calls = stage.calls(&alice).await.unwrap();
    for (seed, length) in [(1, 0), (2, 1), (3, 64 * 1024), (4, 9 * MIB)] {
        let file = bytes(seed, length);
        let upload = device.create(length as u64, &file).await.unwrap();
        assert_eq!(device.get(upload.media).await.unwrap().body, file);
        assert_eq!(device.offset(&upload).await.unwrap(), length as u64);
    }
    assert_eq!(stage.woken().unwrap(), 1, "the account's own");
    let usage = stage.server().usage(&alice.token).await.unwrap();
    assert_eq!(usage.media_writes, 4);
    assert_eq!(stage.calls(&alice).await.unwrap() - calls - 2, 4, "one call each");
}

/// Five cuts at places that a seed chooses; after two of them the runtime is killed, too.
async fn comes_back(stage: &Stage, seed: u64, length: usize) {
    let alice = stage.register(number(seed as usize)).await.unwrap();
    let device = Tus::new(stage, &alice);
    let mut random = fastrand::Rng::with_seed(seed);
    let file = bytes(seed, length);
    let upload = device.create(length as u64, &[]).await.unwrap();
    let mut places: Vec<_> = (0..5).map(|_| random.usize(0..length)).collect();
    places.sort_unstable();
    let mut offset = 0;
    for (cut, place) in places.into_iter().enumerate() {
        let (from, after) = (offset as usize, place - offset as usize);
        offset = device.cut(&upload, offset, &file[from..], after).await.unwrap();
        if cut % 2 == 1 {
            stage.runtime.kill().unwrap();
            stage.runtime.restart().unwrap();
            assert_eq!(device.offset(&upload).await.unwrap(), offset, "what is told is safe");
        }
    }
    device.finish(&upload, &file, usize::MAX).await.unwrap();
    for (place, part) in file.chunks(FETCHED).enumerate() {
        let first = place * FETCHED;
        let range = format!("bytes={first}-{}", first + part.len() - 1);
        let request = device.request("GET", &format!("/v1/media/{}", upload.media));
        let answer = request.header("Range", &range).send(stage).await.unwrap();
        assert!(answer.body == part, "{range} of {length}");
    }
    assert_eq!(stage.kept().unwrap(), stage.woken().unwrap() - 1, "the upload's object is empty");
}

#[tokio::test]
async fn files_come_back_after_five_cuts() {
    for (seed, length) in [(1, 64 * 1024), (2, MIB), (3, 16 * MIB)] {
        let stage = Stage::start(|options| options).unwrap();
        comes_back(&stage, seed, length).await;
    }
}

/// `cargo test -p estafette-e2e --test media -- --ignored`
#[tokio::test]
#[ignore = "two minutes and 4 GiB of memory; docs/operating.md says how to run it"]
async fn a_gibibyte_comes_back_after_five_cuts() {
    let stage = Stage::start(|options| options).unwrap();
    comes_back(&stage, 4, 1024 * MIB).await;
}

#[tokio::test]
async fn the_process_may_end_at_any_time() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let file = bytes(9, 20 * MIB);
    let upload = device.create(file.len() as u64, &[]).await.unwrap();
    let mut committed = 0;
    for after in [1, 3 * MIB, 12 * MIB, 19 * MIB] {
        let rest = &file[committed as usize..];
        let request = device.patch(&upload, committed).body(rest);
        // Nothing is waited for: the process ends while bytes are on their way.
        request.cut(&stage, after.min(rest.len())).await.unwrap();
        stage.runtime.kill().unwrap();
        stage.runtime.restart().unwrap();
        let offset = device.offset(&upload).await.unwrap();
        assert!(offset >= committed, "what was safe is safe");
        committed = offset;
    }
    device.finish(&upload, &file, 5 * MIB).await.unwrap();
    assert!(device.get(upload.media).await.unwrap().body == file);
}

#[tokio::test]
async fn pieces_may_have_any_size() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    for (seed, length, first, most) in [
        (1, 64 * 1024, 0, 500),
        (2, 8 * MIB, 0, 3 * MIB),
        (3, 8 * MIB + 1, 1, MIB),
        (4, 17 * MIB, 9 * MIB, 8 * MIB),
        (5, 16 * MIB, 5, 20 * MIB),
    ] {
        let file = bytes(seed, length);
        let upload = device.create(length as u64, &file[..first]).await.unwrap();
        assert_eq!(device.offset(&upload).await.unwrap(), first as u64);
        device.finish(&upload, &file, most).await.unwrap();
        assert!(device.get(upload.media).await.unwrap().body == file, "{length} by {most}");
        assert_eq!(device.offset(&upload).await.unwrap(), length as u64);
    }
    assert_eq!((stage.woken().unwrap(), stage.kept().unwrap()), (6, 1), "all have left");
}

#[tokio::test]
async fn of_two_requests_at_once_one_wins() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let files = [bytes(1, 20 * MIB), bytes(2, 20 * MIB)];
    for length in [MIB, 20 * MIB] {
        let upload = device.create(length as u64, &[]).await.unwrap();
        let both =
            files.iter().map(|file| device.patch(&upload, 0).body(&file[..length]).send(&stage));
        let answers = try_join_all(both).await.unwrap();
        let won = answers.iter().position(|answer| answer.status == 204).unwrap();
        let lost = &answers[1 - won];
        assert_eq!(lost.refusal().unwrap(), (409, ErrorCode::WrongOffset));
        let stored = device.get(upload.media).await.unwrap().body;
        assert!(stored == files[won][..length], "not a mixture");
    }
}

#[tokio::test]
async fn a_hundred_uploads_at_once() {
    let stage = Stage::start(|options| options).unwrap();
    let mut accounts = Vec::new();
    for index in 0..10 {
        accounts.push(stage.register(number(index)).await.unwrap());
    }
    let stage = &stage;
    let uploads = (0..100).map(|seed: usize| {
        let device = Tus::new(stage, &accounts[seed / 10]);
        async move {
            // In parts, in two pieces, whole.
            let (length, first) = match seed % 10 {
                0 => (9 * MIB, 4 * MIB),
                1..5 => (300_000, 1000),
                _ => (64 * 1024, 64 * 1024),
            };
            let file = bytes(seed as u64, length);
            let upload = device.create(length as u64, &file[..first]).await?;
            device.finish(&upload, &file, usize::MAX).await?;
            let stored = device.get(upload.media).await?.body;
            anyhow::ensure!(stored == file, "upload {seed}");
            Ok(())
        }
    });
    try_join_all(uploads).await.unwrap();
    assert_eq!(stage.kept().unwrap(), 10, "the accounts alone keep anything");
    assert_eq!(stage.woken().unwrap(), 10 + 50, "a whole file wakes no object");
}
