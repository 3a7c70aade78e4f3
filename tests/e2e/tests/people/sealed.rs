//! What people say is in nothing that the server keeps or logs.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use estafette_e2e::Desk;

/// Words that nobody else says, in a message, in a file's name, and in a file.
const WORDS: [&str; 3] =
    ["quetzalcoatlus northropi", "archaeopteryx.txt", "pterodactylus antiquus"];

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn has(bytes: &[u8], word: &str) -> bool {
    // As it is, and inside of base64, wherever in a group of three it begins.
    let inside = (0..3).map(|shift| {
        let text = [&b"xxx"[..shift], word.as_bytes()].concat();
        let encoded = BASE64.encode(&text);
        encoded.as_bytes()[4..encoded.len() - 4].to_vec()
    });
    let mut forms = inside.chain([word.as_bytes().to_vec()]);
    forms.any(|form| bytes.windows(form.len()).any(|window| window == form))
}

#[test]
fn the_server_keeps_and_logs_no_word() {
    for word in WORDS {
        for before in ["", "1", "22"] {
            let said = BASE64.encode(format!("{before}{word}{before}").as_bytes());
            assert!(has(said.as_bytes(), word), "the search finds what is not sealed");
        }
    }
    let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let run = |profile: &str, arguments: &[&str]| {
        let output = desk.run(profile, arguments, "").unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = desk.profile("alice").join(WORDS[1]);
    fs::write(&file, WORDS[2].repeat(10)).unwrap();
    // Bob is away, so that everything is stored; then he answers.
    run("alice", &["send", &bob, WORDS[0], "--timeout", "60"]);
    run("alice", &["send", &bob, "--file", file.to_str().unwrap(), "--timeout", "60"]);
    let mut searched = 0;
    let mut search = || {
        for path in files(stage.runtime.storage()) {
            let bytes = fs::read(&path).unwrap();
            searched += bytes.len();
            for word in WORDS {
                assert!(!has(&bytes, word), "{word} is in {}", path.display());
            }
        }
        let logs = stage.runtime.logs();
        let logs: String = logs.iter().map(|line| format!("{line:?}\n")).collect();
        WORDS.iter().for_each(|word| assert!(!has(logs.as_bytes(), word), "{word} is logged"));
    };
    search();
    let heard = run("bob", &["listen", "--count", "2"]);
    assert!(heard.contains(WORDS[0]) && heard.contains(WORDS[1]), "{heard}");
    run("bob", &["send", &alice, WORDS[0], "--timeout", "60"]);
    search();
    assert!(searched > 100_000, "{searched} bytes");
}

#[test]
fn two_people_compare_the_same_number() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let unknown = desk.run("alice", &["verify", &bob], "").unwrap();
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let run = |profile: &str, arguments: &[&str]| {
        let output = desk.run(profile, arguments, "").unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("alice", &["send", &bob, "hi", "--timeout", "60"]);
    run("bob", &["listen", "--count", "1"]);
    let safety = |profile: &str, arguments: &[&str]| {
        let said = run(profile, &[&["--json", "verify"], arguments].concat());
        let said: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
        (said["number"].as_str().unwrap().to_owned(), said["verified"].as_bool().unwrap())
    };
    let (number, verified) = safety("alice", &[&bob]);
    assert_eq!((number.len(), verified), (60, false));
    assert_eq!(safety("bob", &[&alice]), (number.clone(), false));
    assert_eq!(safety("alice", &[&bob, "--same"]), (number.clone(), true));
    assert_eq!(safety("alice", &[&bob]), (number.clone(), true));
    assert_eq!(safety("alice", &[&bob, "--different"]), (number, false));
}
