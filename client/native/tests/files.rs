//! Files through the library, against a server in this process that cuts, forgets and lies as the
//! real one does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fake;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use estafette::{
    Account, Client, ClientError, Config, Content, Destination, DeviceId, Error, ErrorCode,
    FileToSend, Media, Message, Server, Store, connect_with, unseen,
};
use estafette_core::media::{Digester, Layout, MediaError, Opener};
use estafette_protocol::http::Problem;
use estafette_testkit::TempDir;
use fake::{ALICE, BOB, TOKEN, now, number, problem};

const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const MIB: usize = 1024 * 1024;

/// A request, without its body.
struct Asked {
    line: String,
    headers: BTreeMap<String, String>,
}

impl Asked {
    fn number(&self, header: &str) -> Option<usize> {
        self.headers.get(header)?.parse().ok()
    }
}

type Answers = dyn Fn(&Asked, &mut BufReader<TcpStream>) -> bool + Send + Sync;

/// A server on a free port. `answers` reads the body and writes the answer, and says whether the
/// connection goes on. Returns its address.
fn serve(
    answers: impl Fn(&Asked, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers: Arc<Answers> = Arc::new(answers);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answers = Arc::clone(&answers);
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(asked) = read_head(&mut stream) {
                    if !answers(&asked, &mut stream) {
                        break;
                    }
                }
                // It may be closed already.
                let _ = stream.get_ref().shutdown(Shutdown::Both);
            });
        }
    });
    address
}

fn read_head(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut next = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let line = next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let header = next()?;
        let Some((name, value)) = header.split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    Some(Asked { line, headers })
}

/// Writes an answer. Whether the connection goes on.
fn say(stream: &mut BufReader<TcpStream>, status: u16, headers: &str, body: &[u8]) -> bool {
    let length = if headers.contains("Content-Length") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("HTTP/1.1 {status} X\r\n{length}{headers}\r\n");
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_ok()
}

/// Reads a body into `into`, at most `most` bytes of it. Whether that was all.
fn take(asked: &Asked, stream: &mut BufReader<TcpStream>, most: usize, into: &mut Vec<u8>) -> bool {
    let length = asked.number("content-length").unwrap_or(0);
    let read = length.min(most) as u64;
    assert_eq!(stream.by_ref().take(read).read_to_end(into).unwrap() as u64, read);
    length <= most
}

fn account(address: &str) -> Account {
    Account {
        server: Server::new(address).unwrap(),
        number: number(ALICE),
        device: DeviceId(1),
        token: TOKEN.into(),
        renewed_at: now(),
        expires_at: now() + 90 * 24 * 60 * 60 * 1000,
    }
}

/// A client whose socket never opens: nothing here needs it.
async fn client(address: &str) -> Client {
    connect_with(account(address), &fake::secrets(), Store::in_memory().unwrap(), Config::default())
        .await
        .unwrap()
}

fn written(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Bytes that differ everywhere.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..size).map(|_| next()).collect()
}

async fn told(client: &Client) -> Vec<Media> {
    let media = |message: &Message| match message.content() {
        Ok(Content::Media(media)) => *media,
        other => panic!("not a file: {other:?}"),
    };
    client.history(number(BOB), 100).await.unwrap().iter().map(media).collect()
}

fn open(media: &Media, sealed: &[u8]) -> Vec<u8> {
    let mut opener = Opener::new(&media.key, Layout::of_size(media.size).unwrap());
    let mut bytes = Vec::new();
    opener.open(sealed, &mut bytes).unwrap();
    opener.finish().unwrap();
    let mut digester = Digester::default();
    digester.update(sealed);
    assert_eq!(digester.finish(), media.digest);
    bytes
}

/// A server of files that cuts each connection after so many bytes of a file, until it has no more
/// cuts.
fn tus(cuts: Vec<usize>) -> (String, Arc<Mutex<Vec<u8>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (bytes, cuts) = (Arc::clone(&kept), Mutex::new(cuts));
    let address = serve(move |asked, stream| {
        assert!(
            asked.line.contains("/v1/socket") || asked.headers["authorization"].contains(TOKEN)
        );
        let mut bytes = bytes.lock().unwrap();
        let cut = |asked: bool| if asked { cuts.lock().unwrap().pop() } else { None };
        match asked.line.split_once(' ').unwrap() {
            ("POST", "/v1/uploads") => {
                let cut = cut(asked.number("content-length") > Some(0));
                if !take(asked, stream, cut.unwrap_or(usize::MAX), &mut bytes) {
                    bytes.clear();
                    return false;
                }
                let headers =
                    format!("Location: /v1/uploads/{ID}tag\r\nUpload-Offset: {}\r\n", bytes.len());
                say(stream, 201, &headers, b"")
            }
            ("HEAD", path) if path.starts_with("/v1/uploads/") => {
                say(stream, 200, &format!("Upload-Offset: {}\r\n", bytes.len()), b"")
            }
            ("PATCH", _) => {
                assert_eq!(asked.number("upload-offset"), Some(bytes.len()));
                if !take(asked, stream, cut(true).unwrap_or(usize::MAX), &mut bytes) {
                    return false;
                }
                say(stream, 204, &format!("Upload-Offset: {}\r\n", bytes.len()), b"")
            }
            ("GET", path) if path.starts_with("/v1/media/") => {
                let range = asked.headers.get("range").map(|range| {
                    range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
                });
                let from: usize = range.unwrap_or(0);
                let rest = &bytes[from..];
                let part = &rest[..cut(true).map_or(rest.len(), |cut| cut.min(rest.len()))];
                let all = bytes.len();
                let headers = match range {
                    Some(_) => format!("Content-Range: bytes {from}-{}/{all}\r\n", all - 1),
                    None => String::new(),
                };
                let headers = format!("{headers}Content-Length: {}\r\n", rest.len());
                let status = if range.is_some() { 206 } else { 200 };
                say(stream, status, &headers, part) && part.len() == rest.len()
            }
            _ => say(stream, 404, "", problem(ErrorCode::NotFound).as_bytes()),
        }
    });
    (address, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_after_cuts_both_ways() {
    for size in [64 * 1024, MIB, 9 * MIB] {
        // Within a chunk, at the end of one, at the first byte, near the last.
        let cuts = vec![size / 2, 1, 65_552, size / 3 + 7, size / 9];
        let (address, kept) = tus([cuts.clone(), cuts].concat());
        let directory = TempDir::new().unwrap();
        let bytes = noise(size);
        let path = written(&directory, "a.bin", &bytes);
        let client = client(&address).await;
        client.send_file(number(BOB), FileToSend::at(&path), unseen()).await.unwrap();
        let media = told(&client).await.remove(0);
        assert_eq!(media.id.to_string(), ID);
        assert!(open(&media, &kept.lock().unwrap()) == bytes);

        let inbox = directory.path().join("inbox");
        fs::create_dir(&inbox).unwrap();
        let to = Destination::Directory(inbox.clone());
        let fetched = client.fetch_file(&media, to, unseen()).await.unwrap().unwrap();
        assert!(fs::read(fetched).unwrap() == bytes, "{size} bytes came back otherwise");
        assert_eq!(fs::read_dir(&inbox).unwrap().count(), 1, "no part is left");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_no_other_server() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let other = format!("http://{}/v1/uploads/{ID}tag", elsewhere.local_addr().unwrap());
    let patched = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&patched);
    let address = serve(move |asked, stream| {
        let mut body = Vec::new();
        take(asked, stream, usize::MAX, &mut body);
        match asked.line.split_once(' ').unwrap() {
            ("POST", _) => say(stream, 201, &format!("Location: {other}\r\n"), b""),
            ("PATCH", path) => {
                assert_eq!(path, format!("/v1/uploads/{ID}tag"));
                *seen.lock().unwrap() += 1;
                let offset = asked.number("upload-offset").unwrap() + body.len();
                say(stream, 204, &format!("Upload-Offset: {offset}\r\n"), b"")
            }
            _ => false,
        }
    });
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "a.bin", &noise(9 * MIB));
    let client = client(&address).await;
    client.send_file(number(BOB), FileToSend::at(&path), unseen()).await.unwrap();
    assert_eq!(*patched.lock().unwrap(), 1);
    assert!(elsewhere.accept().is_err(), "somebody else was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_though_the_body_was_not_read() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "a.bin", &noise(7 * MIB));
    // Until midnight is too long to wait.
    let day = Some(86_400_000);
    for (error, retry_after) in [(ErrorCode::TooLarge, None), (ErrorCode::QuotaExhausted, day)] {
        let address = serve(move |_, stream| {
            let message = "No.".to_owned();
            let problem = Problem { error, message, retry_after };
            say(stream, error.status(), "", &serde_json::to_vec(&problem).unwrap());
            false
        });
        let client = client(&address).await;
        let refused = client.send_file(number(BOB), FileToSend::at(&path), unseen()).await;
        assert_eq!(refused.unwrap_err().code(), Some(error));
        assert_eq!(told(&client).await, []);
        // It is kept, to be tried again.
        assert_eq!(client.unfinished(number(BOB)).await.unwrap().len(), 1);
    }
}

/// Sends one file of 100,000 bytes, and fetches it from a server that answers `GET` so.
async fn fetched_from(
    inbox: &Path,
    answers: impl Fn(&[u8], &Asked, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static,
) -> Result<Vec<u8>, Error> {
    let (address, kept) = tus(Vec::new());
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "a.bin", &noise(100_000));
    let sender = client(&address).await;
    sender.send_file(number(BOB), FileToSend::at(&path), unseen()).await.unwrap();
    let media = told(&sender).await.remove(0);
    let address = serve(move |asked, stream| {
        asked.line.starts_with("GET /v1/media/") && answers(&kept.lock().unwrap(), asked, stream)
    });
    let client = client(&address).await;
    let to = Destination::File(inbox.join("b.bin"));
    let fetched = client.fetch_file(&media, to, unseen()).await?;
    Ok(fs::read(fetched.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_file_is_refused() {
    let inbox = TempDir::new().unwrap();
    let other_length =
        fetched_from(inbox.path(), |kept, _, stream| say(stream, 200, "", &kept[..kept.len() - 1]));
    assert!(matches!(other_length.await, Err(Error::Unexpected { status: 200, .. })));
    let other_part = fetched_from(inbox.path(), |kept, _, stream| {
        let range = format!("Content-Range: bytes 5-{}/{}\r\n", kept.len() - 1, kept.len());
        say(stream, 206, &range, &kept[5..])
    });
    assert!(matches!(other_part.await, Err(Error::Unexpected { status: 206, .. })));
    let flipped = fetched_from(inbox.path(), |kept, _, stream| {
        let mut flipped = kept.to_vec();
        flipped[70_000] ^= 1;
        say(stream, 200, "", &flipped)
    });
    assert!(matches!(flipped.await, Err(Error::Altered)));
    let gone = fetched_from(inbox.path(), |_, _, stream| {
        say(stream, 404, "", problem(ErrorCode::NotFound).as_bytes())
    });
    assert!(matches!(gone.await, Err(Error::Gone)));
    assert!(!inbox.path().join("b.bin").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_sends_all_of_it_again() {
    let inbox = TempDir::new().unwrap();
    let asked_again = Mutex::new(false);
    let fetched = fetched_from(inbox.path(), move |kept, asked, stream| {
        let again = std::mem::replace(&mut *asked_again.lock().unwrap(), true);
        assert_eq!(asked.headers.contains_key("range"), again);
        let part = if again { kept } else { &kept[..80_000] };
        say(stream, 200, &format!("Content-Length: {}\r\n", kept.len()), part) && again
    });
    assert!(fetched.await.unwrap() == noise(100_000));
}

/// A server that takes small files, unless it is told that it is full. Returns its address.
fn swallows() -> (String, Arc<AtomicBool>) {
    let full = Arc::new(AtomicBool::new(false));
    let refuses = Arc::clone(&full);
    let address = serve(move |asked, stream| {
        let mut body = Vec::new();
        take(asked, stream, usize::MAX, &mut body);
        if refuses.load(Ordering::Relaxed) {
            return say(stream, 413, "", problem(ErrorCode::TooLarge).as_bytes());
        }
        let headers = format!("Location: /v1/uploads/{ID}\r\nUpload-Offset: {}\r\n", body.len());
        asked.line.starts_with("POST") && say(stream, 201, &headers, b"")
    });
    (address, full)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sending_has_a_key_of_its_own() {
    let (address, _) = swallows();
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "a.bin", &noise(1000));
    let client = client(&address).await;
    let send = || client.send_file(number(BOB), FileToSend::at(&path), unseen());
    let (one, two) = tokio::join!(send(), send());
    one.unwrap();
    two.unwrap();
    send().await.unwrap();
    let told = told(&client).await;
    let mut keys: Vec<_> = told.iter().map(|media| media.key.0).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(client.unfinished(number(BOB)).await.unwrap().is_empty());
}

/// Uploads that begin and end at a bad moment: another call has just listed them, or the next one
/// begins while the finished one is still claimed.
#[tokio::test(flavor = "multi_thread")]
async fn many_sendings_of_one_file_are_not_in_each_others_way() {
    let (address, _) = swallows();
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "a.bin", &noise(1000));
    let client = client(&address).await;
    let sending = async || {
        for _ in 0..10 {
            client.send_file(number(BOB), FileToSend::at(&path), unseen()).await.unwrap();
        }
    };
    tokio::join!(sending(), sending(), sending(), sending());
    let told = told(&client).await;
    let keys: BTreeSet<_> = told.iter().map(|media| media.key.0).collect();
    assert_eq!((told.len(), keys.len()), (40, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_with_an_upload_that_is_over_harms_no_other() {
    let (address, full) = swallows();
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "a.bin", &noise(1000));
    let other = written(&directory, "b.bin", &noise(2000));
    let client = client(&address).await;
    let send = || client.send_file(number(BOB), FileToSend::at(&path), unseen());
    full.store(true, Ordering::Relaxed);
    assert_eq!(send().await.unwrap_err().code(), Some(ErrorCode::TooLarge));
    full.store(false, Ordering::Relaxed);
    let kept = client.unfinished(number(BOB)).await.unwrap().remove(0);
    send().await.unwrap();
    // In the store this one takes the place of the one that is over.
    let uploaded = client.upload(number(BOB), FileToSend::at(&other), unseen()).await.unwrap();
    let resumed = client.resume(kept, unseen()).await;
    assert!(matches!(resumed, Err(Error::NotTaken(ClientError::NoSuchUpload))), "{resumed:?}");
    client.tell_of(vec![uploaded]).await.unwrap();
    let sizes: Vec<_> = told(&client).await.iter().map(|media| media.size).collect();
    assert_eq!(sizes, [1000, 2000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_said_to_be_none() {
    let client = client("http://127.0.0.1:1").await;
    let directory = TempDir::new().unwrap();
    let send = |file| client.send_file(number(BOB), file, unseen());
    let sent = send(FileToSend::at(directory.path())).await;
    assert!(matches!(sent, Err(Error::NoFile(_))), "{sent:?}");
    let sent = send(FileToSend::at(directory.path().join("missing"))).await;
    assert!(matches!(sent, Err(Error::File { .. })), "{sent:?}");
    // Without a profile nothing can be spooled.
    let sent = send(FileToSend::from_reader(&b"hello"[..])).await;
    assert!(matches!(sent, Err(Error::NoSpool)), "{sent:?}");
    let long = directory.path().join("long");
    fs::File::create(&long).unwrap().set_len(3 << 30).unwrap();
    let sent = send(FileToSend::at(long)).await;
    assert!(matches!(sent, Err(Error::Media(MediaError::TooLarge { .. }))), "{sent:?}");
}

#[cfg(feature = "previews")]
#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_sounds_are_described() {
    let (address, _) = swallows();
    let client = client(&address).await;
    let directory = TempDir::new().unwrap();
    // Half a second of silence.
    let (rate, samples) = (8000_u32, 4000_u32);
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(rate.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend_from_slice(b"\x01\0\x08\0data");
    wav.extend(samples.to_le_bytes());
    wav.extend(vec![0x80; samples as usize]);
    // One green pixel, and something that only says it is a picture.
    let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\xff\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let files: [(&str, &[u8]); 3] =
        [("a.wav", &wav), ("b.gif", gif), ("c.jpg", b"\xff\xd8\xff\xe0 but no picture")];
    for (name, bytes) in files {
        let path = written(&directory, name, bytes);
        client.send_file(number(BOB), FileToSend::at(path), unseen()).await.unwrap();
    }
    let told = told(&client).await;
    let of = |index: usize| (told[index].about.media_type.as_deref(), told[index].about.dimensions);
    assert!(of(0).0.is_some_and(|kind| kind.starts_with("audio/")), "{told:?}");
    assert_eq!(told[0].about.duration, Some(500));
    assert_eq!(of(1), (Some("image/gif"), Some((1, 1))));
    assert!(told[1].about.thumbhash.as_ref().is_some_and(|hash| hash.len() >= 5));
    assert_eq!(of(2), (Some("image/jpeg"), None));
    assert_eq!(told[2].about.thumbhash, None);
}
