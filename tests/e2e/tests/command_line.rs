//! Two people at two command lines, against the real Worker.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use estafette_e2e::{Stage, number};
use estafette_testkit::{TempDir, workspace_root};
use serde_json::Value;

/// The program, built if it is not.
fn program() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(workspace_root()).args(["build", "--quiet", "--package", "estafette"]);
    assert!(build.status().unwrap().success());
    // This test is at target/PROFILE/deps/.
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("estafette")
}

struct Desk {
    program: PathBuf,
    profiles: TempDir,
    stage: Stage,
}

impl Desk {
    fn set_up() -> Self {
        let stage = Stage::start(|options| options).unwrap();
        let desk = Self { program: program(), profiles: TempDir::new().unwrap(), stage };
        for (index, name) in ["alice", "bob"].into_iter().enumerate() {
            let number = number(index).to_string();
            let url = desk.stage.runtime.url().to_owned();
            let asked = desk.run(name, &["register", &number, "--server", &url], "");
            assert_eq!(asked.status.code(), Some(3), "{asked:?}");
            let code = desk.stage.gateway.code_for(&number).unwrap();
            let given = ["register", &number, "--server", &url, "--code", &code];
            succeeded(&desk.run(name, &given, ""));
        }
        desk
    }

    fn command(&self, profile: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(["--profile", profile, "--dir"])
            .arg(self.profiles.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, profile: &str, arguments: &[&str], input: &str) -> Output {
        let mut child = self.command(profile, arguments).spawn().unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Ends with the test, whatever comes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_people_write_to_each_other() {
    let desk = Desk::set_up();
    let (alice, bob) = (number(0).to_string(), number(1).to_string());

    // To somebody who is away, from a pipe, in order.
    let lines: String = (1..=100).map(|line| format!("line {line}\n")).collect();
    succeeded(&desk.run("alice", &["send", &bob, "--lines", "--timeout", "60"], &lines));
    let heard = succeeded(&desk.run("bob", &["listen", "--count", "100", "--json", "--read"], ""));
    let bodies: Vec<String> = heard
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| line["text"].as_str().map(str::to_owned))
        .collect();
    let expected: Vec<String> = lines.lines().map(str::to_owned).collect();
    assert_eq!(bodies, expected);

    // To somebody who listens, until it is read.
    let mut listening =
        Running(desk.command("bob", &["listen", "--count", "1", "--read"]).spawn().unwrap());
    let told = desk.run(
        "alice",
        &["send", &bob, "are you there?", "--wait", "read", "--timeout", "60"],
        "",
    );
    succeeded(&told);
    let mut shown = String::new();
    BufReader::new(listening.0.stdout.take().unwrap()).read_line(&mut shown).unwrap();
    assert!(shown.contains("are you there?"), "{shown}");
    assert!(listening.0.wait().unwrap().success());

    // Both sides remember, also the other's name.
    succeeded(&desk.run("bob", &["contacts", "add", &alice, "Alice"], ""));
    assert!(succeeded(&desk.run("bob", &["contacts", "list"], "")).contains("Alice"));
    assert!(succeeded(&desk.run("bob", &["history", "Alice"], "")).contains("are you there?"));
    assert!(
        succeeded(&desk.run("alice", &["history", &bob, "--limit", "500"], ""))
            .contains("line 100")
    );
    let devices = succeeded(&desk.run("alice", &["devices", "list", "--json"], ""));
    assert!(serde_json::from_str::<Value>(devices.lines().next().unwrap()).is_ok(), "{devices}");
    let status = succeeded(&desk.run("alice", &["status", "--json"], ""));
    assert!(serde_json::from_str::<Value>(status.lines().next().unwrap()).is_ok(), "{status}");
}

#[test]
fn what_goes_wrong_is_said_and_nothing_is_lost() {
    let desk = Desk::set_up();
    let bob = number(1).to_string();

    let nobody = desk.run("alice", &["send", &number(99).to_string(), "hello?"], "");
    assert_eq!(nobody.status.code(), Some(6), "{nobody:?}");
    assert_eq!(desk.run("alice", &["send", "12", "x"], "").status.code(), Some(2));
    assert_eq!(desk.run("carol", &["send", &bob, "x"], "").status.code(), Some(3));

    // The server is away: the message stays here, and goes by itself when somebody comes online.
    desk.stage.runtime.kill().unwrap();
    let kept = desk.run("alice", &["send", &bob, "later", "--timeout", "1"], "");
    assert!(!kept.status.success(), "{kept:?}");
    desk.stage.runtime.restart().unwrap();
    succeeded(&desk.run("alice", &["send", &bob, "and now", "--timeout", "60"], ""));

    // A store that was deleted is made again, and what waits comes into it.
    let heard = succeeded(&desk.run("bob", &["listen", "--count", "2"], ""));
    assert!(heard.contains("later") && heard.contains("and now"), "{heard}");
    std::fs::remove_file(desk.profiles.path().join("bob/store.db")).unwrap();
    succeeded(&desk.run("alice", &["send", &bob, "once more", "--timeout", "60"], ""));
    let heard = succeeded(&desk.run("bob", &["listen", "--count", "1"], ""));
    assert!(heard.contains("once more") && !heard.contains("later"), "{heard}");
}
