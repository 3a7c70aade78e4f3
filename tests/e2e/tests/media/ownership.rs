//! Files go with the account that uploaded them.

use std::time::Duration;
use std::{fs, io};

use estafette::ErrorCode;
use estafette_e2e::{Stage, Tus, bytes, number};
use tokio::time::{Instant, sleep};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn whoever_deletes_an_account_deletes_its_files() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let (hers, his) = (Tus::new(&stage, &alice), Tus::new(&stage, &bob));
    let (small, large) = (bytes(1, 1000), bytes(2, 17 * MIB));
    let kept = his.create(1000, &small).await.unwrap().media;
    let mut gone = vec![hers.create(1000, &small).await.unwrap().media];
    let parts = hers.create(large.len() as u64, &[]).await.unwrap();
    hers.finish(&parts, &large, usize::MAX).await.unwrap();
    gone.push(parts.media);
    // One that is not finished, with parts and a fragment in the bucket.
    let unfinished = hers.create(large.len() as u64, &large[..9 * MIB]).await.unwrap();
    for media in &gone {
        assert_eq!(his.get(*media).await.unwrap().status, 200);
    }

    assert!(blobs(&stage).unwrap() > 3);
    let deleted = hers.request("DELETE", "/v1/account").send(&stage).await.unwrap();
    assert_eq!(deleted.status, 204);
    gone.push(unfinished.media);
    for media in gone {
        let answer = his.get(media).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (404, ErrorCode::NotFound));
    }
    assert_eq!(his.get(kept).await.unwrap().body, small, "nobody else's");
    // Of her, how many codes were sent today.
    assert_eq!(stage.kept().unwrap(), 2, "the upload's object has left, too");
    // The bucket's stand-in unlinks what was deleted a little later.
    let deadline = Instant::now() + Duration::from_secs(30);
    while blobs(&stage).unwrap() > 1 {
        assert!(Instant::now() < deadline, "in the bucket is more than his file");
        sleep(Duration::from_millis(20)).await;
    }
    let again = hers.request("DELETE", "/v1/account").send(&stage).await.unwrap();
    assert_eq!(again.refusal().unwrap(), (401, ErrorCode::DeviceRemoved));
}

/// How many objects, and parts of objects, the bucket holds.
fn blobs(stage: &Stage) -> io::Result<usize> {
    let buckets = fs::read_dir(stage.runtime.storage().join("r2"))?;
    let blobs = buckets.filter_map(|bucket| fs::read_dir(bucket.ok()?.path().join("blobs")).ok());
    Ok(blobs.map(Iterator::count).sum())
}
