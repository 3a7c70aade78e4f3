//! The Worker's shim around a module that fails in every way: each event ends, and the next works.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use estafette_testkit::{Options, Runtime, build_bundle};

/// After this a call counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> Result<Runtime> {
    static BUNDLE: OnceLock<Result<PathBuf>> = OnceLock::new();
    match BUNDLE.get_or_init(|| build_bundle("estafette-trap", &[])) {
        Ok(bundle) => Runtime::start(Options::new().bundle(bundle)),
        Err(error) => bail!("{error:#}"),
    }
}

fn connect(runtime: &Runtime) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", runtime.port()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The status and the body.
fn get(runtime: &Runtime, path: &str) -> Result<(u16, String)> {
    let mut stream = connect(runtime)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("{path} hangs"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

fn io_error(error: &anyhow::Error) -> Option<ErrorKind> {
    error.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

/// A socket in RFC 6455's framing, as far as short texts need it.
struct Socket(TcpStream);

impl Socket {
    fn open(runtime: &Runtime, path: &str) -> Result<Self> {
        let mut stream = connect(runtime)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Ok(Self(stream))
    }

    fn send(&mut self, text: &str) -> Result<()> {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len())?, 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        Ok(self.0.write_all(&frame)?)
    }

    /// The next text.
    fn receive(&mut self) -> Result<String> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload)?;
        ensure!(head[0] == 0x81, "no text");
        Ok(String::from_utf8(payload)?)
    }
}

#[test]
fn every_kind_of_trap_ends_as_an_error_and_the_next_request_works() -> Result<()> {
    let runtime = start()?;
    assert_eq!(get(&runtime, "/a/count")?, (200, "count 1 sockets 0".to_owned()));
    for path in [
        "/a/panic",
        "/a/throw",
        "/a/overflow",
        "/front-panic",
        "/front-throw",
        "/front-later-panic",
        "/front-peer-panic",
    ] {
        let start = Instant::now();
        let (status, body) = get(&runtime, path)?;
        assert_eq!(status, 500, "{path}: {body}");
        assert!(body.contains(r#""error":"internal""#), "{path}: {body}");
        assert!(start.elapsed() < Duration::from_secs(5), "{path} took {:?}", start.elapsed());
        // The memory of the old instance is gone, in every object.
        assert_eq!(get(&runtime, "/a/count")?, (200, "count 1 sockets 0".to_owned()), "{path}");
    }
    runtime.kill()?;
    let traps = runtime.logs().iter().filter(|line| line.message.contains(r#""trap""#)).count();
    assert_eq!(traps, 7, "{:?}", runtime.logs());
    Ok(())
}

#[test]
fn requests_in_flight_end_too() -> Result<()> {
    let runtime = start()?;
    thread::scope(|scope| {
        let waiting = [(); 3].map(|()| scope.spawn(|| get(&runtime, "/front-wait")));
        // Nothing tells when those have arrived: trap until all have ended.
        let deadline = Instant::now() + PATIENCE;
        while waiting.iter().any(|call| !call.is_finished()) {
            assert_eq!(get(&runtime, "/a/panic")?.0, 500);
            ensure!(Instant::now() < deadline, "a request in flight hangs");
        }
        for call in waiting {
            assert_eq!(call.join().unwrap()?.0, 500);
        }
        Ok(())
    })
}

#[test]
fn sockets_outlive_a_trap_elsewhere_and_are_cut_at_their_own() -> Result<()> {
    let runtime = start()?;
    let mut socket = Socket::open(&runtime, "/a/socket")?;
    socket.send("hello")?;
    assert_eq!(socket.receive()?, "hello");

    assert_eq!(get(&runtime, "/b/panic")?.0, 500);
    assert_eq!(get(&runtime, "/a/count")?, (200, "count 1 sockets 1".to_owned()));
    socket.send("still here")?;
    assert_eq!(socket.receive()?, "still here");

    socket.send("panic")?;
    let cut = socket.receive().err().context("the socket is open")?;
    assert_eq!(io_error(&cut), Some(ErrorKind::UnexpectedEof), "{cut:#}");
    assert_eq!(get(&runtime, "/a/count")?, (200, "count 1 sockets 0".to_owned()));
    let mut other = Socket::open(&runtime, "/a/socket")?;
    other.send("and on")?;
    assert_eq!(other.receive()?, "and on");
    Ok(())
}

#[test]
fn an_event_that_traps_has_written_nothing() -> Result<()> {
    let runtime = start()?;
    assert_eq!(get(&runtime, "/a/written")?.1, "0 rows, alarm: false");
    for path in ["/a/write-panic", "/a/write-throw"] {
        assert_eq!(get(&runtime, path)?.0, 500);
        assert_eq!(get(&runtime, "/a/written")?.1, "0 rows, alarm: false", "{path}");
    }
    get(&runtime, "/a/write")?;
    assert_eq!(get(&runtime, "/a/written")?.1, "1 rows, alarm: true");
    Ok(())
}

#[test]
fn the_timer_rings_once_and_can_be_cleared() -> Result<()> {
    let runtime = start()?;
    let mut socket = Socket::open(&runtime, "/a/socket")?;
    get(&runtime, "/a/ring-never")?;
    get(&runtime, "/a/ring")?;
    assert_eq!(socket.receive()?, "ring");
    socket.0.set_read_timeout(Some(Duration::from_millis(200)))?;
    let silence = socket.receive().err().context("it rang again")?;
    let waited = matches!(io_error(&silence), Some(ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(waited, "{silence:#}");

    // It rings in the new instance when the old one that set it has gone.
    socket.0.set_read_timeout(Some(PATIENCE))?;
    get(&runtime, "/a/ring")?;
    assert_eq!(get(&runtime, "/b/panic")?.0, 500);
    assert_eq!(socket.receive()?, "ring");
    Ok(())
}
