//! Fetching: ranges, conditions, headers.

use estafette::ErrorCode;
use estafette_e2e::{Answer, Request, Stage, Tus, bytes, number};
use estafette_protocol::MediaId;

const MIB: usize = 1024 * 1024;

async fn get(stage: &Stage, token: &str, media: MediaId, headers: &[(&str, &str)]) -> Answer {
    let request = Request::new("GET", &format!("/v1/media/{media}")).token(token);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send(stage).await.unwrap()
}

#[tokio::test]
async fn any_range_of_a_file_is_had() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    // One object, one of parts.
    for length in [100_000, 17 * MIB] {
        let file = bytes(length as u64, length);
        let upload = device.create(length as u64, &[]).await.unwrap();
        device.finish(&upload, &file, 9 * MIB).await.unwrap();
        let last = length - 1;
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 0),
            ("bytes=0-".to_owned(), 0, last),
            ("bytes=99-70000".to_owned(), 99, 70_000),
            (format!("bytes={last}-"), last, last),
            (format!("bytes=5-{}", 2 * length), 5, last),
            ("bytes=-7".to_owned(), length - 7, last),
            (format!("bytes=-{}", 2 * length), 0, last),
            (format!("bytes={}-{}", length / 2, length / 2 + 9), length / 2, length / 2 + 9),
        ] {
            // Any device may, that knows the id.
            let answer = get(&stage, &bob.token, upload.media, &[("Range", &range)]).await;
            assert_eq!(answer.status, 206, "{range}");
            let content_range = format!("bytes {from}-{to}/{length}");
            assert_eq!(answer.header("content-range"), Some(content_range.as_str()));
            assert!(answer.body == file[from..=to], "{range}");
        }
        for range in [format!("bytes={length}-"), "bytes=-0".to_owned()] {
            let answer = get(&stage, &bob.token, upload.media, &[("Range", &range)]).await;
            assert_eq!(answer.refusal().unwrap(), (416, ErrorCode::UnsatisfiableRange));
            let size = format!("bytes */{length}");
            assert_eq!(answer.header("content-range"), Some(size.as_str()), "{range}");
        }
        // What is no single range is all of the file.
        for range in ["bytes=1-2,5-6", "lines=1-2", "bytes=9-1"] {
            let answer = get(&stage, &bob.token, upload.media, &[("Range", range)]).await;
            assert!((answer.status, answer.body) == (200, file.clone()), "{range}");
        }
    }
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let file = bytes(1, 5000);
    let media = device.create(5000, &file).await.unwrap().media;
    let tag = format!("\"{media}\"");

    let answer = get(&stage, &alice.token, media, &[]).await;
    assert!(answer.body == file);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-length", "5000"),
        ("etag", tag.as_str()),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let caching = answer.header("cache-control").unwrap();
    let age = caching.strip_prefix("private, max-age=").unwrap();
    let age: u64 = age.strip_suffix(", immutable").unwrap().parse().unwrap();
    assert!((2_591_000..=2_592_000).contains(&age), "as long as the file is kept: {age}");

    let head = Request::new("HEAD", &format!("/v1/media/{media}")).token(&alice.token);
    let head = head.send(&stage).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-type", "content-length", "etag", "accept-ranges", "last-modified"] {
        assert_eq!(head.header(name), answer.header(name));
    }

    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let answer = get(&stage, &alice.token, media, &[("If-None-Match", &known)]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    let other = get(&stage, &alice.token, media, &[("If-None-Match", "\"x\"")]).await;
    assert_eq!(other.status, 200);
    for (condition, status) in
        [(tag.as_str(), 206), ("\"x\"", 200), ("Sun, 22 Nov 2026 16:11:50 GMT", 200)]
    {
        let headers = [("Range", "bytes=0-9"), ("If-Range", condition)];
        assert_eq!(get(&stage, &alice.token, media, &headers).await.status, status, "{condition}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let unfinished = device.create(10, &[1, 2]).await.unwrap();
    for media in [MediaId(1), unfinished.media] {
        for headers in [&[][..], &[("Range", "bytes=0-1")], &[("If-None-Match", "*")]] {
            let answer = get(&stage, &alice.token, media, headers).await;
            assert_eq!(answer.refusal().unwrap(), (404, ErrorCode::NotFound));
        }
    }
    // Whoever ends a finished upload deletes the file.
    device.finish(&unfinished, &bytes(1, 10), 10).await.unwrap();
    let deleted = device.request("DELETE", &unfinished.path).send(&stage).await.unwrap();
    assert_eq!(deleted.status, 204);
    assert_eq!(device.get(unfinished.media).await.unwrap().status, 404);
    let answer = device.request("DELETE", &unfinished.path).send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (410, ErrorCode::Gone));
}
