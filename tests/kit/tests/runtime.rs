//! The kit against a Worker as small as can be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result};
use estafette_testkit::{Behaviour, Options, Runtime, SmsGateway, TempDir};
use rustix::process::{Pid, test_kill_process};

fn echo() -> Options {
    Options::new().bundle(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/echo"))
}

fn get(runtime: &Runtime, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", runtime.port()))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(body.to_owned())
}

fn alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}

#[test]
fn storage_port_and_url_outlive_a_kill() -> Result<()> {
    let runtime = Runtime::start(echo().var("GREETING", "hello"))?;
    let (url, pid) = (runtime.url().to_owned(), runtime.workerd_pid()?);
    assert_eq!(get(&runtime, "/")?, "hello");
    assert_eq!(get(&runtime, "/count")?, "1");

    runtime.kill()?;
    assert!(!alive(pid));
    assert!(get(&runtime, "/count").is_err());
    assert!(runtime.workerd_pid().is_err());

    runtime.restart()?;
    assert_eq!(runtime.url(), url);
    assert_ne!(runtime.workerd_pid()?, pid);
    assert_eq!(get(&runtime, "/count")?, "2");
    Ok(())
}

#[test]
fn nothing_is_left_when_it_is_dropped() -> Result<()> {
    let runtime = Runtime::start(echo())?;
    let pid = runtime.workerd_pid()?;
    let storage = runtime.storage().to_owned();
    assert_eq!(get(&runtime, "/count")?, "1");
    assert!(alive(pid) && storage.exists());
    drop(runtime);
    assert!(!alive(pid));
    assert!(!storage.exists());
    Ok(())
}

#[test]
fn storage_that_was_chosen_is_kept() -> Result<()> {
    let kept = TempDir::new()?;
    for visits in ["1", "2"] {
        let runtime = Runtime::start(echo().storage(kept.path()))?;
        assert_eq!(get(&runtime, "/count")?, visits);
    }
    Ok(())
}

#[test]
fn what_was_logged_is_there_when_the_process_has_gone() -> Result<()> {
    let runtime = Runtime::start(echo())?;
    get(&runtime, "/log")?;
    runtime.kill()?;
    let logs = runtime.logs();
    assert!(logs.iter().any(|line| line.message == r#"{"event":"asked"}"#), "{logs:?}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn processor_time_and_memory_are_read() -> Result<()> {
    let runtime = Runtime::start(echo())?;
    assert!(runtime.cpu_micros()? > 0);
    assert!(runtime.rss_bytes()? > 1_000_000);
    runtime.kill()?;
    assert!(runtime.cpu_micros().is_err());
    Ok(())
}

#[test]
fn rate_limits_can_be_set() -> Result<()> {
    let runtime = Runtime::start(echo().rate_limit("LIMIT_ADDRESS", 2))?;
    let answers: Vec<_> = (0..3).map(|_| get(&runtime, "/limit")).collect::<Result<_>>()?;
    assert_eq!(answers, [r#"{"success":true}"#, r#"{"success":true}"#, r#"{"success":false}"#]);
    Ok(())
}

#[test]
fn a_bundle_that_does_not_run_is_an_error() -> Result<()> {
    let broken = TempDir::new()?;
    std::fs::write(broken.path().join("index.js"), "export default { fetch( }")?;
    let error = Runtime::start(Options::new().bundle(broken.path())).err().context("it ran")?;
    assert!(format!("{error:#}").contains("SyntaxError"), "{error:#}");

    let missing = Runtime::start(Options::new().bundle("/nowhere")).err().context("it ran")?;
    assert!(missing.to_string().contains("cargo xtask build"), "{missing:#}");
    Ok(())
}

#[test]
fn the_gateway_takes_fails_hangs_and_talks_garbage() -> Result<()> {
    let gateway = SmsGateway::start("a secret")?;
    let runtime = Runtime::start(echo().sms(&gateway))?;
    assert_eq!(get(&runtime, "/sms")?, "202");
    assert_eq!(gateway.code_for("+33600000001")?, "123456");

    gateway.behave(Behaviour::Fail(503));
    assert_eq!(get(&runtime, "/sms")?, "503");
    gateway.behave(Behaviour::Garbage);
    assert_eq!(get(&runtime, "/sms")?, "0");
    gateway.behave(Behaviour::Hang);
    assert_eq!(get(&runtime, "/sms")?, "0");
    assert_eq!(gateway.hanging(), 1);
    gateway.behave(Behaviour::Deliver);
    assert_eq!(get(&runtime, "/sms")?, "202");
    assert_eq!(gateway.messages().len(), 2);

    let other = Runtime::start(echo().sms(&gateway).var("SMS_SECRET", "another"))?;
    assert_eq!(get(&other, "/sms")?, "401");
    assert_eq!((gateway.refused(), gateway.messages().len()), (1, 2));
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn workerd_does_not_outlive_a_killed_runner() -> Result<()> {
    use rustix::process::{Signal, kill_process};

    let runtime = Runtime::start(echo())?;
    let pid = runtime.workerd_pid()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    let runner = Pid::from_raw(parent.trim().parse()?).context("no process id")?;
    kill_process(runner, Signal::KILL)?;
    drop(runtime);
    assert!(!alive(pid));
    Ok(())
}
