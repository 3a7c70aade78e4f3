//! What an account may upload, refused before a byte flows.

use estafette::ErrorCode;
use estafette_e2e::{Stage, Tus, bytes, number};

#[tokio::test]
async fn bytes_of_a_day_run_out() {
    let stage = Stage::start(|options| options.var("UPLOAD_BYTES_A_DAY", 1_000_000)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    device.create(600_000, &bytes(1, 600_000)).await.unwrap();
    device.create(400_000, &[]).await.unwrap();
    for length in [1, 2_000_000] {
        // Nothing of the body is sent: the answer comes all the same.
        let refused = device.creation(length).send(&stage).await.unwrap();
        assert_eq!(refused.refusal().unwrap(), (429, ErrorCode::QuotaExhausted));
        let wait = refused.problem().unwrap().retry_after.unwrap();
        assert!((1..=86_400_000).contains(&wait), "until midnight");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.header("tus-resumable"), Some("1.0.0"));
    }
    assert_eq!(stage.server().usage(&alice.token).await.unwrap().uploaded_bytes, 1_000_000);
    Tus::new(&stage, &bob).create(1, &[1]).await.unwrap();
}

#[tokio::test]
async fn so_many_uploads_may_be_unfinished() {
    let stage = Stage::start(|options| options.var("UPLOADS_MAX", 2)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let file = bytes(1, 100);
    let first = device.create(100, &[]).await.unwrap();
    let second = device.create(100, &file[..50]).await.unwrap();
    for _ in 0..2 {
        let refused = device.creation(100).send(&stage).await.unwrap();
        assert_eq!(refused.refusal().unwrap(), (429, ErrorCode::TooManyUploads));
    }
    device.create(100, &file).await.unwrap();

    // One that is finished makes place, and one that is ended.
    device.finish(&first, &file, 100).await.unwrap();
    let third = device.create(100, &[]).await.unwrap();
    assert_eq!(device.creation(100).send(&stage).await.unwrap().status, 429);
    assert_eq!(device.request("DELETE", &second.path).send(&stage).await.unwrap().status, 204);
    device.create(100, &[]).await.unwrap();
    assert_eq!(device.creation(100).send(&stage).await.unwrap().status, 429);
    device.finish(&third, &file, 100).await.unwrap();
}

#[tokio::test]
async fn a_spent_budget_takes_no_bytes() {
    let stage = Stage::start(|options| options.var("DAILY_BUDGET_NANODOLLARS", 80_000)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let upload = device.create(1000, &[]).await.unwrap();
    // Each whole file is 4,650.
    let mut files = 0;
    loop {
        files += 1;
        assert!(files < 20, "there is an end to it");
        let answer = device.creation(0).send(&stage).await.unwrap();
        if answer.status != 201 {
            assert_eq!(answer.refusal().unwrap(), (429, ErrorCode::BudgetExhausted));
            break;
        }
    }
    assert!(files > 3, "{files}");
    let patch = device.patch(&upload, 0).body(bytes(1, 1000)).send(&stage).await.unwrap();
    assert_eq!(patch.refusal().unwrap(), (429, ErrorCode::BudgetExhausted));
    assert_eq!(device.offset(&upload).await.unwrap(), 0);
}
