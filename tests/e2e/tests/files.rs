//! Files between two command lines, against the real Worker: whole, in pieces, over a network that
//! breaks, and altered where they are kept.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use estafette_e2e::{Desk, Passed, Proxy, Row, Stage};
use estafette_testkit::TempDir;
use serde_json::Value;

const MIB: u64 = 1024 * 1024;
const SEALED_CHUNK: usize = 64 * 1024 + 16;
/// All bytes one way.
const ALL: u64 = u64::MAX;

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Bytes that no compression makes smaller and no shift makes the same.
fn noise(size: u64, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn sealed(size: u64) -> u64 {
    size + 16 * size.div_ceil(64 * 1024).max(1)
}

/// Two people, and a directory for files.
struct Pair {
    stage: Stage,
    desk: Desk,
    alice: String,
    bob: String,
    files: TempDir,
}

impl Pair {
    fn new() -> Self {
        let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
        Self { stage, desk, alice, bob, files: TempDir::new().unwrap() }
    }

    /// Writes a file to send.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// An empty directory to fetch into.
    fn inbox(&self, name: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Bob fetches the last file. Returns what it holds.
    fn fetch(&self, inbox: &Path) -> Vec<u8> {
        let to = inbox.to_str().unwrap();
        let fetched = self.desk.run("bob", &["fetch", &self.alice, "--to", to], "").unwrap();
        fs::read(succeeded(&fetched).trim_end()).unwrap()
    }

    /// The file that the server keeps, of this length once it is sealed.
    fn kept(&self, size: u64) -> PathBuf {
        let mut directories = vec![self.stage.runtime.storage().to_owned()];
        let mut found = Vec::new();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    directories.push(entry.path());
                } else if metadata.len() == sealed(size) {
                    found.push(entry.path());
                }
            }
        }
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_arrive_as_they_were_sent() {
    let pair = Pair::new();
    // Nothing, less than a chunk, a chunk, a part of the server's and more.
    for (index, size) in [0, 1000, 64 * 1024, 8 * MIB - 2048, 20 * MIB + 1].into_iter().enumerate()
    {
        let bytes = noise(size, index as u64);
        let path = pair.file(&format!("{index}.bin"), &bytes);
        let send = ["send", &pair.bob, "--file", path.to_str().unwrap(), "--timeout", "60"];
        succeeded(&pair.desk.run("alice", &send, "").unwrap());
        let inbox = pair.inbox(&format!("inbox {index}"));
        assert!(pair.fetch(&inbox) == bytes, "{size} bytes came back otherwise");
        assert_eq!(names(&inbox), [format!("{index}.bin")]);
    }
}

#[test]
fn several_files_are_told_of_in_order_with_what_is_said_of_them() {
    let pair = Pair::new();
    // Three pixels wide, two high.
    let picture = concat!(
        "89504e470d0a1a0a0000000d49484452000000030000000208020000001216f14d0000001b494441",
        "5478da6338c1c0704283e144009062883aa1117522200a003f5c06af5faadeb20000000049454e44",
        "ae426082",
    );
    let png = data_encoding::HEXLOWER.decode(picture.as_bytes()).unwrap();
    let one = pair.file("été.png", &png);
    let two = pair.file("notes.txt", b"hello");
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let send = ["send", &pair.bob, "From the beach", "--file", one, two, two, "--json"];
    let sent = succeeded(&pair.desk.run("alice", &send, "").unwrap());
    assert!(sent.contains(r#""type":"progress""#), "{sent}");

    let listen = ["listen", "--count", "3", "--json"];
    let heard = succeeded(&pair.desk.run("bob", &listen, "").unwrap());
    let lines = heard.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let media: Vec<Value> =
        lines.filter(|line| line["type"] == "message").map(|line| line["media"].clone()).collect();
    assert_eq!(media.len(), 3, "{heard}");
    let said = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(said(&media[0], "name"), "été.png");
    assert_eq!(said(&media[0], "caption"), "From the beach");
    assert_eq!(said(&media[0], "type"), "image/png");
    assert_eq!(media[0]["size"], png.len());
    assert_eq!((&media[0]["width"], &media[0]["height"]), (&3.into(), &2.into()));
    assert!(said(&media[0], "thumbhash").len() > 20, "{heard}");
    assert_eq!(said(&media[1], "name"), "notes.txt");
    assert_eq!(said(&media[1], "type"), "text/plain");
    assert!(media[1].get("caption").is_none() && media[0].get("key").is_none(), "{heard}");
    assert_ne!(media[1]["id"], media[2]["id"], "each is a file of its own");

    let history = succeeded(&pair.desk.run("bob", &["history", &pair.alice], "").unwrap());
    assert!(history.contains("[été.png, ") && history.contains("From the beach"), "{history}");
    assert!(history.contains("[notes.txt, 5 bytes]"), "{history}");
    let list = succeeded(&pair.desk.run("bob", &["fetch", &pair.alice, "--list"], "").unwrap());
    let id = said(&media[0], "id");
    assert!(list.lines().next().unwrap().starts_with(&id[..8]), "{list}");

    // By name, by id, all of them; a name that is taken gets a number.
    let inbox = pair.inbox("inbox");
    let to = inbox.to_str().unwrap();
    let fetch = |what: &[&str]| {
        let arguments = [&["fetch", &pair.alice, "--to", to], what].concat();
        succeeded(&pair.desk.run("bob", &arguments, "").unwrap())
    };
    fetch(&["notes.txt", &id[..6]]);
    fetch(&["--all"]);
    assert_eq!(
        names(&inbox),
        ["notes (2).txt", "notes (3).txt", "notes.txt", "été (2).png", "été.png"]
    );
    assert_eq!(fs::read(inbox.join("été (2).png")).unwrap(), png);
    let nothing = pair.desk.run("bob", &["fetch", &pair.alice, "nonsense"], "").unwrap();
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
}

#[test]
fn standard_input_is_a_file_too_and_standard_output() {
    let pair = Pair::new();
    let text: String = (0..60_000).map(|line| format!("line {line}\n")).collect();
    let send = ["send", &pair.bob, "--file", "-", "--name", "../../.lines.txt"];
    succeeded(&pair.desk.run("alice", &send, &text).unwrap());
    assert_eq!(names(&pair.desk.profile("alice").join("spool")), [""; 0], "nothing is left");
    let out = pair.desk.run("bob", &["fetch", &pair.alice, "--to", "-"], "").unwrap();
    assert!(succeeded(&out) == text);
    // The name that it came with leads nowhere.
    let inbox = pair.inbox("inbox");
    assert!(pair.fetch(&inbox) == text.as_bytes());
    assert_eq!(names(&inbox), ["lines.txt"]);
    // A path, which must be free.
    let to = pair.files.path().join("here");
    let fetch = ["fetch", &pair.alice, "--to", to.to_str().unwrap()];
    succeeded(&pair.desk.run("bob", &fetch, "").unwrap());
    let again = pair.desk.run("bob", &fetch, "").unwrap();
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert_eq!(fs::read(to).unwrap(), text.as_bytes());
}

#[test]
fn an_upload_that_was_killed_goes_on() {
    let pair = Pair::new();
    let bytes = noise(40 * MIB, 1);
    let path = pair.file("large.bin", &bytes);
    let proxy = Proxy::before(pair.stage.runtime.url()).unwrap();
    pair.desk.reach_by("alice", proxy.url()).unwrap();
    let send = ["send", &pair.bob, "--file", path.to_str().unwrap(), "--timeout", "60"];
    for _ in 0..2 {
        proxy.allow(Passed { up: 14 * MIB, down: ALL });
        let sending = pair.desk.start("alice", &send).unwrap();
        proxy.holds().unwrap();
        sending.kill().unwrap();
        proxy.cut();
    }
    let before = proxy.passed();
    succeeded(&pair.desk.run("alice", &send, "").unwrap());
    let rest = proxy.passed().up - before.up;
    // What the server has is in pieces of a few megabytes at the most.
    assert!(rest < 32 * MIB, "{rest} bytes were sent again");
    assert!(pair.fetch(&pair.inbox("inbox")) == bytes);
    // One message for all attempts.
    let history = succeeded(&pair.desk.run("bob", &["history", &pair.alice], "").unwrap());
    assert_eq!(history.lines().count(), 1, "{history}");
}

#[test]
fn ctrl_c_stops_and_the_same_command_goes_on() {
    let pair = Pair::new();
    let bytes = noise(30 * MIB, 2);
    let path = pair.file("large.bin", &bytes);
    let small = pair.file("small.txt", b"small");
    let proxy = Proxy::before(pair.stage.runtime.url()).unwrap();
    pair.desk.reach_by("alice", proxy.url()).unwrap();
    let (small, large) = (small.to_str().unwrap(), path.to_str().unwrap());
    let send = ["send", &pair.bob, "both", "--file", small, large, "--timeout", "60"];
    proxy.allow(Passed { up: 20 * MIB, down: ALL });
    let sending = pair.desk.start("alice", &send).unwrap();
    proxy.holds().unwrap();
    assert_eq!(sending.interrupt().unwrap().code(), Some(7));
    proxy.cut();
    let history = succeeded(&pair.desk.run("alice", &["history", &pair.bob], "").unwrap());
    assert_eq!(history, "", "nothing was told of yet");

    let before = proxy.passed();
    succeeded(&pair.desk.run("alice", &send, "").unwrap());
    assert!(proxy.passed().up - before.up < 25 * MIB);
    let inbox = pair.inbox("inbox");
    let to = inbox.to_str().unwrap();
    // The other way round: what came stays, and the rest is fetched.
    pair.desk.reach_by("bob", proxy.url()).unwrap();
    // Ten of these may still lie in the system's buffers.
    proxy.allow(Passed { up: ALL, down: 24 * MIB });
    let fetch = ["fetch", &pair.alice, "--to", to];
    let fetching = pair.desk.start("bob", &fetch).unwrap();
    proxy.holds().unwrap();
    assert_eq!(fetching.interrupt().unwrap().code(), Some(7));
    assert!(names(&inbox)[0].ends_with(".part"), "{:?}", names(&inbox));
    proxy.cut();
    let before = proxy.passed();
    succeeded(&pair.desk.run("bob", &fetch, "").unwrap());
    let rest = proxy.passed().down - before.down;
    assert!(rest < 22 * MIB, "{rest} bytes came again");
    assert_eq!(names(&inbox), ["large.bin"]);
    assert!(fs::read(inbox.join("large.bin")).unwrap() == bytes);
}

#[test]
fn a_stream_that_was_interrupted_is_sent_by_resume() {
    let pair = Pair::new();
    let text = "all work and no play\n".repeat(600_000);
    let proxy = Proxy::before(pair.stage.runtime.url()).unwrap();
    pair.desk.reach_by("alice", proxy.url()).unwrap();
    proxy.allow(Passed { up: 5 * MIB, down: ALL });
    let mut sending =
        pair.desk.start("alice", &["send", &pair.bob, "--file", "-", "--name", "work"]).unwrap();
    sending.say(text.trim_end()).unwrap();
    sending.say_no_more();
    proxy.holds().unwrap();
    sending.kill().unwrap();
    proxy.cut();
    let resume = ["send", &pair.bob, "--resume", "--timeout", "60"];
    succeeded(&pair.desk.run("alice", &resume, "").unwrap());
    assert!(pair.fetch(&pair.inbox("inbox")) == text.as_bytes());
    let nothing = pair.desk.run("alice", &resume, "").unwrap();
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
}

#[test]
fn a_server_that_dies_meanwhile_is_waited_for() {
    let pair = Pair::new();
    let bytes = noise(30 * MIB, 3);
    let path = pair.file("large.bin", &bytes);
    let proxy = Proxy::before(pair.stage.runtime.url()).unwrap();
    for profile in ["alice", "bob"] {
        pair.desk.reach_by(profile, proxy.url()).unwrap();
    }
    let die = || {
        proxy.holds().unwrap();
        pair.stage.runtime.kill().unwrap();
        pair.stage.runtime.restart().unwrap();
        proxy.cut();
    };
    proxy.allow(Passed { up: 17 * MIB, down: ALL });
    let send = ["send", &pair.bob, "--file", path.to_str().unwrap(), "--timeout", "60"];
    let sending = pair.desk.start("alice", &send).unwrap();
    die();
    assert!(sending.end().unwrap().success());

    let inbox = pair.inbox("inbox");
    proxy.allow(Passed { up: ALL, down: 17 * MIB });
    let fetch = ["fetch", &pair.alice, "--to", inbox.to_str().unwrap()];
    let fetching = pair.desk.start("bob", &fetch).unwrap();
    die();
    assert!(fetching.end().unwrap().success());
    assert!(fs::read(inbox.join("large.bin")).unwrap() == bytes);
}

#[test]
fn a_file_that_changed_meanwhile_gets_another_key() {
    let pair = Pair::new();
    let path = pair.file("draft.bin", &noise(20 * MIB, 4));
    let proxy = Proxy::before(pair.stage.runtime.url()).unwrap();
    pair.desk.reach_by("alice", proxy.url()).unwrap();
    proxy.allow(Passed { up: 10 * MIB, down: ALL });
    let send = ["send", &pair.bob, "--file", path.to_str().unwrap(), "--timeout", "60"];
    let sending = pair.desk.start("alice", &send).unwrap();
    proxy.holds().unwrap();
    sending.kill().unwrap();
    proxy.cut();
    // Of the same length and age: only reading it tells.
    let age = fs::metadata(&path).unwrap().modified().unwrap();
    let changed = noise(20 * MIB, 5);
    fs::write(&path, &changed).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(age).unwrap();
    let before = proxy.passed();
    succeeded(&pair.desk.run("alice", &send, "").unwrap());
    assert!(proxy.passed().up - before.up > 20 * MIB, "all of it is sent under the new key");
    assert!(pair.fetch(&pair.inbox("inbox")) == changed);
}

#[test]
fn what_was_altered_on_the_server_is_refused() {
    let pair = Pair::new();
    let size = 5 * 64 * 1024 + 7;
    let bytes = noise(size, 6);
    let path = pair.file("contract.pdf", &bytes);
    succeeded(
        &pair
            .desk
            .run("alice", &["send", &pair.bob, "--file", path.to_str().unwrap()], "")
            .unwrap(),
    );
    let kept = pair.kept(size);
    let good = fs::read(&kept).unwrap();
    let chunk = |index: usize| index * SEALED_CHUNK..(index + 1) * SEALED_CHUNK;
    let mut flipped = good.clone();
    flipped[3 * SEALED_CHUNK + 5] ^= 1;
    let mut swapped = good.clone();
    swapped[chunk(1)].copy_from_slice(&good[chunk(2)]);
    swapped[chunk(2)].copy_from_slice(&good[chunk(1)]);
    let mut repeated = good.clone();
    repeated[chunk(1)].copy_from_slice(&good[chunk(0)]);
    for (name, altered) in [("flipped", flipped), ("swapped", swapped), ("repeated", repeated)] {
        fs::write(&kept, &altered).unwrap();
        let inbox = pair.inbox(name);
        let fetch = ["fetch", &pair.alice, "--to", inbox.to_str().unwrap()];
        let refused = pair.desk.run("bob", &fetch, "").unwrap();
        assert_eq!(refused.status.code(), Some(1), "{name}: {refused:?}");
        assert!(error(&refused).contains("altered"), "{name}: {refused:?}");
        assert!(!inbox.join("contract.pdf").exists(), "{name}");
        // What was proven before stays, and is enough to go on when the file is whole again.
        fs::write(&kept, &good).unwrap();
        assert!(pair.fetch(&inbox) == bytes, "{name}");
    }
    // A part that somebody changed here is found out by the digest.
    fs::write(&kept, &good).unwrap();
    let inbox = pair.inbox("part");
    let list = ["fetch", &pair.alice, "--list", "--json"];
    let list = succeeded(&pair.desk.run("bob", &list, "").unwrap());
    let line: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let part = inbox.join(format!("{}.part", line["media"]["id"].as_str().unwrap()));
    fs::write(&part, vec![0; 64 * 1024]).unwrap();
    let fetch = ["fetch", &pair.alice, "--to", inbox.to_str().unwrap()];
    let refused = pair.desk.run("bob", &fetch, "").unwrap();
    assert!(!refused.status.success() && error(&refused).contains("altered"), "{refused:?}");
    assert!(pair.fetch(&inbox) == bytes);
    // And one that is gone is gone.
    fs::remove_file(&kept).unwrap();
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let pair = Pair::new();
    let path = pair.file("film.bin", &noise(30 * MIB, 7));
    let proxy = Proxy::before(pair.stage.runtime.url()).unwrap();
    pair.desk.reach_by("alice", proxy.url()).unwrap();
    proxy.allow(Passed { up: 20 * MIB, down: ALL });
    let send = ["send", &pair.bob, "--file", path.to_str().unwrap(), "--timeout", "60"];
    let terminal = pair.desk.on_terminal("alice", &send).unwrap();
    proxy.holds().unwrap();
    let shown = |row: &Row| row.text.contains("film.bin") && row.text.contains(" of 31.4");
    terminal.until(|rows| rows.iter().any(shown)).unwrap();
    proxy.cut();
    terminal.until(|rows| rows.iter().any(|row| row.text.contains("1 file sent"))).unwrap();
    let ended = terminal.end().unwrap();
    assert!(ended.success(), "{ended}");
}
