//! What ends by itself: files after 30 days, unfinished uploads after a day.

use std::time::{Duration, SystemTime};

use estafette::ErrorCode;
use estafette_e2e::{Stage, Tus, bytes, number};
use tokio::time::{Instant, sleep};

const DAY: u64 = 86_400_000;

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

#[tokio::test]
async fn a_file_is_kept_for_thirty_days() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let mut files = Vec::new();
    for seed in 0..20 {
        let file = bytes(seed, 100);
        files.push((device.create(100, &file).await.unwrap().media, file));
    }
    stage.runtime.run_schedule(now() + 29 * DAY).unwrap();
    for (media, file) in &files {
        assert_eq!(device.get(*media).await.unwrap().body, *file);
    }
    stage.runtime.run_schedule(now() + 31 * DAY).unwrap();
    for (media, _) in files {
        let answer = device.get(media).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (404, ErrorCode::NotFound));
    }
}

#[tokio::test]
async fn a_file_whose_time_is_over_is_not_there_even_if_it_is() {
    let stage = Stage::start(|options| options.var("MEDIA_LIFE_MS", 1)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let media = device.create(100, &bytes(1, 100)).await.unwrap().media;
    sleep(Duration::from_millis(2)).await;
    assert_eq!(device.get(media).await.unwrap().status, 404);
}

#[tokio::test]
async fn an_unfinished_upload_deletes_itself() {
    let stage = Stage::start(|options| options.var("UPLOAD_LIFE_MS", 3000)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let file = bytes(1, 10_000_000);
    let upload = device.create(10_000_000, &file[..100]).await.unwrap();
    assert_eq!(stage.kept().unwrap(), 2);
    let deadline = Instant::now() + Duration::from_secs(30);
    while stage.kept().unwrap() > 1 {
        assert!(Instant::now() < deadline, "its object still keeps something");
        sleep(Duration::from_millis(20)).await;
    }
    for request in [
        device.request("HEAD", &upload.path),
        device.patch(&upload, 100).body(&file[100..]),
        device.request("DELETE", &upload.path),
    ] {
        assert_eq!(request.send(&stage).await.unwrap().status, 410);
    }
}
