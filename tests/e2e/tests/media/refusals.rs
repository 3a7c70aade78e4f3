//! What the specification of tus says of requests that are wrong.

use data_encoding::BASE64;
use estafette::ErrorCode;
use estafette_e2e::{Request, Stage, Tus, TusUpload, bytes, number};
use sha2::{Digest, Sha256};

#[tokio::test]
async fn discovery_needs_no_token() {
    let stage = Stage::start(|options| options).unwrap();
    let answer = Request::new("OPTIONS", "/v1/uploads").send(&stage).await.unwrap();
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("tus-resumable", "1.0.0"),
        ("tus-version", "1.0.0"),
        ("tus-max-size", "2147483648"),
        ("tus-extension", "creation,creation-with-upload,expiration,checksum,termination"),
        ("tus-checksum-algorithm", "sha1,sha256"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert_eq!(stage.woken().unwrap(), 0);
}

#[tokio::test]
async fn wrong_requests_are_refused_as_tus_says() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let upload = device.create(100, &bytes(1, 10)).await.unwrap();
    let woken = stage.woken().unwrap();
    let stream = "application/offset+octet-stream";
    let bare = |method, path: &str| Request::new(method, path).token(&alice.token);
    let creation = || bare("POST", "/v1/uploads").header("Tus-Resumable", "1.0.0");
    use ErrorCode::*;
    let cases = [
        // Versions.
        (bare("POST", "/v1/uploads").header("Upload-Length", "1"), 412, UnsupportedVersion),
        (bare("HEAD", &upload.path), 412, UnsupportedVersion),
        (bare("PATCH", &upload.path).header("Tus-Resumable", "0.2.2"), 412, UnsupportedVersion),
        // Methods.
        (device.request("GET", &upload.path), 405, MethodNotAllowed),
        (device.request("PUT", "/v1/uploads"), 405, MethodNotAllowed),
        (device.request("PATCH", "/v1/uploads"), 405, MethodNotAllowed),
        (
            device.request("POST", &upload.path).header("X-HTTP-Method-Override", "GET"),
            405,
            MethodNotAllowed,
        ),
        // Lengths.
        (creation(), 400, Malformed),
        (creation().header("Upload-Length", "-1"), 400, Malformed),
        (creation().header("Upload-Length", "ten"), 400, Malformed),
        (creation().header("Upload-Defer-Length", "1"), 400, Malformed),
        (device.creation(5).header("Upload-Concat", "partial"), 400, Malformed),
        (device.creation(2_147_483_649), 413, TooLarge),
        (device.creation(5).header("Content-Type", stream).body(bytes(1, 6)), 413, TooLarge),
        (
            device.creation(5).header("Content-Type", stream).chunked(&[b"hello"]),
            411,
            LengthRequired,
        ),
        (device.patch(&upload, 10).chunked(&[b"hello"]), 411, LengthRequired),
        (device.patch(&upload, 10).body(bytes(1, 91)), 413, TooLarge),
        // Metadata.
        (device.creation(5).header("Upload-Metadata", "a b c"), 400, Malformed),
        (device.creation(5).header("Upload-Metadata", &"a".repeat(1025)), 413, TooLarge),
        // Types.
        (device.creation(5).body(bytes(1, 5)), 415, UnsupportedMediaType),
        (
            device.request("PATCH", &upload.path).header("Upload-Offset", "10").body(bytes(1, 5)),
            415,
            UnsupportedMediaType,
        ),
        // Offsets.
        (device.patch(&upload, 9).body(bytes(1, 5)), 409, WrongOffset),
        (device.patch(&upload, 11).body(bytes(1, 5)), 409, WrongOffset),
        (
            device
                .request("PATCH", &upload.path)
                .header("Content-Type", stream)
                .header("Upload-Offset", "1e1")
                .body(bytes(1, 5)),
            400,
            Malformed,
        ),
        // Checksums.
        (
            device.patch(&upload, 10).header("Upload-Checksum", "md5 AAAA").body(bytes(1, 5)),
            400,
            Malformed,
        ),
        (
            device.patch(&upload, 10).header("Upload-Checksum", "sha1 AAAA").body(bytes(1, 5)),
            400,
            Malformed,
        ),
        // Names.
        (device.request("HEAD", "/v1/uploads/x"), 404, NotFound),
        (device.request("PATCH", "/v1/uploads/a/b"), 404, NotFound),
    ];
    for (request, status, code) in cases {
        let answer = request.clone().send(&stage).await.unwrap();
        assert_eq!(answer.status, status, "{request:?} {answer:?}");
        if !format!("{request:?}").contains("HEAD ") {
            assert_eq!(answer.refusal().unwrap().1, code, "{request:?}");
        }
        if !format!("{request:?}").contains("a/b") {
            assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{request:?}");
        }
        assert_eq!(answer.header("tus-version"), (status == 412).then_some("1.0.0"));
        assert_eq!(answer.header("allow").is_some(), status == 405);
    }
    assert_eq!(device.offset(&upload).await.unwrap(), 10, "nothing has changed");
    assert_eq!(stage.woken().unwrap(), woken, "and nobody else was woken");
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256 {}", BASE64.encode(&Sha256::digest(bytes)))
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_checksum_are_dropped() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    // Of one object, and of parts: with the request that begins it, in the middle, at the end.
    for length in [300_000, 20_000_000] {
        let file = bytes(1, length);
        let (wrong, right) = (sha256(b"something else"), sha256(&file));
        let creation = |sum: &str| {
            let creation = device.creation(length as u64).header("Upload-Checksum", sum);
            creation.header("Content-Type", "application/offset+octet-stream").body(file.clone())
        };
        let refused = creation(&wrong).send(&stage).await.unwrap();
        assert_eq!(refused.refusal().unwrap(), (460, ErrorCode::ChecksumMismatch));
        assert_eq!(creation(&right).send(&stage).await.unwrap().status, 201);

        let upload = device.create(length as u64, &[]).await.unwrap();
        let mut offset = 0;
        for end in [length / 3, length] {
            let piece = &file[offset..end];
            let patch = |sum: &str| {
                let patch = device.patch(&upload, offset as u64).header("Upload-Checksum", sum);
                patch.body(piece).send(&stage)
            };
            let refused = patch(&wrong).await.unwrap();
            assert_eq!(refused.refusal().unwrap(), (460, ErrorCode::ChecksumMismatch));
            assert_eq!(device.offset(&upload).await.unwrap(), offset as u64);
            assert_eq!(device.get(upload.media).await.unwrap().status, 404);
            assert_eq!(patch(&sha256(piece)).await.unwrap().status, 204);
            offset = end;
        }
        assert!(device.get(upload.media).await.unwrap().body == file);
    }
    // "hello world", of the specification.
    let upload = device.create(11, &[]).await.unwrap();
    let sha1 = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
    let patch = device.patch(&upload, 0).header("Upload-Checksum", sha1).body("hello world");
    assert_eq!(patch.send(&stage).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_method_may_be_in_a_header() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let upload = device.create(10, &[]).await.unwrap();
    let by_post =
        |method| device.request("POST", &upload.path).header("X-HTTP-Method-Override", method);
    let patch = by_post("PATCH")
        .header("Upload-Offset", "0")
        .header("Content-Type", "application/offset+octet-stream");
    let patch = patch.body(bytes(1, 4)).send(&stage).await.unwrap();
    assert_eq!((patch.status, patch.header("upload-offset")), (204, Some("4")));
    assert_eq!(by_post("DELETE").send(&stage).await.unwrap().status, 204);
    let gone = device.request("DELETE", &upload.path).send(&stage).await.unwrap();
    assert_eq!(gone.refusal().unwrap(), (410, ErrorCode::Gone));
}

#[tokio::test]
async fn what_the_client_says_of_a_file_is_told_again() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let device = Tus::new(&stage, &alice);
    let metadata = "filename d29ybGQ=,is_confidential";
    for length in [10, 9_000_000] {
        let creation = device.creation(length as u64).header("Upload-Metadata", metadata);
        let answer = creation.send(&stage).await.unwrap();
        let path = answer.header("location").unwrap().to_owned();
        assert!(answer.header("upload-expires").unwrap().ends_with(" GMT"));
        let media = path[12..44].parse().unwrap();
        let upload = TusUpload { path, media };
        for finished in [false, true] {
            let head = device.request("HEAD", &upload.path).send(&stage).await.unwrap();
            assert_eq!(head.header("upload-metadata"), Some(metadata));
            assert_eq!(head.header("upload-length"), Some(length.to_string().as_str()));
            assert_eq!(head.header("cache-control"), Some("no-store"));
            assert_eq!(head.header("upload-expires").is_some(), !finished);
            device.finish(&upload, &bytes(1, length), usize::MAX).await.unwrap();
        }
    }
}

#[tokio::test]
async fn nobody_else_touches_an_upload() {
    let stage = Stage::start(|options| options).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let mallory = stage.register(number(1)).await.unwrap();
    let upload = Tus::new(&stage, &alice).create(100, &bytes(1, 10)).await.unwrap();
    let woken = stage.woken().unwrap();
    let device = Tus::new(&stage, &mallory);
    let mut names = vec![upload.path.clone()];
    // The id, the length, the time and the tag, each changed.
    for at in [12, 50, 58, 70] {
        let mut name = upload.path.clone().into_bytes();
        name[at] = if name[at] == b'0' { b'1' } else { b'0' };
        names.push(String::from_utf8(name).unwrap());
    }
    for (at, path) in names.into_iter().enumerate() {
        let forged = TusUpload { path, media: upload.media };
        let owner = Tus::new(&stage, &alice);
        for device in [Some(device), (at > 0).then_some(owner)].into_iter().flatten() {
            for request in [
                device.request("HEAD", &forged.path),
                device.patch(&forged, 10).body(bytes(1, 90)),
                device.request("DELETE", &forged.path),
            ] {
                assert_eq!(request.send(&stage).await.unwrap().status, 404);
            }
        }
    }
    for request in [
        Request::new("HEAD", &upload.path),
        Request::new("POST", "/v1/uploads").header("Upload-Length", "1"),
    ] {
        let answer = request.header("Tus-Resumable", "1.0.0").send(&stage).await.unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let path = format!("/v1/media/{}", upload.media);
    let answer = Request::new("GET", &path).send(&stage).await.unwrap();
    assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::TokenMissing));
    assert_eq!(stage.woken().unwrap(), woken, "no object was woken");

    // A device that was removed begins nothing and goes on with nothing.
    stage.server().remove_device(&alice.token, alice.device).await.unwrap();
    let owner = Tus::new(&stage, &alice);
    for request in [owner.creation(5), owner.patch(&upload, 10).body(bytes(1, 90))] {
        let answer = request.send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::DeviceRemoved));
    }
}
