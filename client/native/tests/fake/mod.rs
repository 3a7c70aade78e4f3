//! A server in this process, on a free port: it takes every upgrade, request and frame, tells the
//! test of each, and says what the test tells it to. It decides nothing else.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use estafette::{Account, ErrorCode, Millis, PhoneNumber, Secrets, Server};
use estafette_core::mls::Leaf;
use estafette_protocol::http::{Problem, Registered};
use estafette_protocol::{
    Body, ClientFrame, Decoded, DeviceId, Drained, Encoding, Hello, ServerFrame, WireMessage,
};
use estafette_testkit::{People, account_secret, device_seed};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

pub(crate) const ALICE: u64 = 33_612_345_678;
pub(crate) const BOB: u64 = 33_687_654_321;
pub(crate) const TOKEN: &str = "first-token";
/// How long a test waits before it is given up. Nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the client did.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Upgrade {
        authorization: String,
        subprotocol: String,
    },
    Frame(ClientFrame),
    Ping,
    /// The socket is closed: by a closing handshake, or just so.
    Closed {
        politely: bool,
    },
    Request {
        line: String,
        authorization: String,
        body: String,
    },
}

enum Say {
    Frames(Vec<ServerFrame>),
    Drop,
}

/// Request line and body in, status and body out.
type Answer = dyn Fn(&str, &str) -> (u16, String) + Send;

#[derive(Default)]
struct State {
    /// Those whom Alice talks with.
    people: People,
    /// Sockets are greeted by themselves.
    eager: bool,
    /// Every socket there was; what is said goes to the last.
    sockets: Vec<mpsc::UnboundedSender<Say>>,
    reject: Option<ErrorCode>,
    mute: bool,
    answer: Option<Box<Answer>>,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

/// Alice's device, as others see it.
pub(crate) fn me() -> Leaf {
    Leaf { account: number(ALICE), device: DeviceId(1) }
}

/// What Alice's device knows and the server does not.
pub(crate) fn secrets() -> Secrets {
    Secrets { device: device_seed(me()), account: account_secret(number(ALICE)) }
}

pub(crate) fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (tell, seen) = mpsc::unbounded_channel();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), tell.clone()));
            }
        });
        Self { address, state, seen }
    }

    /// The next thing that the client did.
    pub(crate) async fn next(&mut self) -> Seen {
        let seen = timeout(PATIENCE, self.seen.recv()).await;
        seen.expect("the client does nothing").unwrap()
    }

    /// What the client did and nobody has looked at.
    pub(crate) fn seen(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    /// The next upgrade, whatever happens before.
    pub(crate) async fn upgrade(&mut self) -> (String, String) {
        loop {
            if let Seen::Upgrade { authorization, subprotocol } = self.next().await {
                return (authorization, subprotocol);
            }
        }
    }

    /// Until the socket is closed that was open.
    pub(crate) async fn until_closed(&mut self) {
        while !matches!(self.next().await, Seen::Closed { .. }) {}
    }

    /// The next frame, whatever happens before.
    pub(crate) async fn frame(&mut self) -> ClientFrame {
        loop {
            if let Seen::Frame(frame) = self.next().await {
                return frame;
            }
        }
    }

    /// Says this. What is delivered was sealed by whom it is from, once keys of Alice are found.
    pub(crate) fn say(&self, frames: Vec<ServerFrame>) {
        let state = self.state.lock().unwrap();
        state.sockets.last().expect("no socket").send(Say::Frames(frames)).unwrap();
    }

    /// Greets the client and says that nothing waits.
    pub(crate) fn greet(&self) {
        let greeting = greeting(&self.state.lock().unwrap());
        self.say(greeting);
    }

    /// Greets each socket by itself, or no longer.
    pub(crate) fn greets_all(&self, eager: bool) {
        self.state.lock().unwrap().eager = eager;
    }

    /// Cuts the connection, if there is one, without a word.
    pub(crate) fn cut(&self) {
        let state = self.state.lock().unwrap();
        if let Some(socket) = state.sockets.last() {
            // It may be closed already.
            let _ = socket.send(Say::Drop);
        }
    }

    /// Refuses upgrades from now on.
    pub(crate) fn reject(&self, code: ErrorCode) {
        self.state.lock().unwrap().reject = Some(code);
    }

    /// Takes them again.
    pub(crate) fn accept(&self) {
        self.state.lock().unwrap().reject = None;
    }

    /// Answers no ping from now on.
    pub(crate) fn mute(&self) {
        self.state.lock().unwrap().mute = true;
    }

    /// How requests are answered: request line and body in, status and body out.
    pub(crate) fn answer(&self, answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) {
        self.state.lock().unwrap().answer = Some(Box::new(answer));
    }

    /// Alice's device, registered here.
    pub(crate) fn account(&self) -> Account {
        Account {
            server: Server::new(&self.address).unwrap(),
            number: number(ALICE),
            device: DeviceId(1),
            token: TOKEN.into(),
            renewed_at: now(),
            expires_at: now() + 90 * 24 * 60 * 60 * 1000,
        }
    }
}

fn greeting(state: &State) -> Vec<ServerFrame> {
    let key_packages = state.people.key_packages(me());
    let hello =
        Hello { account: number(ALICE), device: DeviceId(1), now: now(), waiting: 0, key_packages };
    vec![ServerFrame::Hello(hello), ServerFrame::Drained(Drained {})]
}

pub(crate) fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, tell: mpsc::UnboundedSender<Seen>) {
    let mut start = [0; 14];
    while stream.peek(&mut start).await.is_ok_and(|length| length > 0 && length < start.len()) {
        tokio::task::yield_now().await;
    }
    let reject = state.lock().unwrap().reject;
    match reject {
        None if start.starts_with(b"GET /v1/socket") => socket(stream, &state, &tell).await,
        _ => http(stream, &state, &tell, reject).await,
    }
}

/// Answers requests, one after the other.
async fn http(
    mut stream: TcpStream,
    state: &Mutex<State>,
    tell: &mpsc::UnboundedSender<Seen>,
    reject: Option<ErrorCode>,
) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let header = |name: &str| {
            let found = text.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            });
            found.unwrap_or_default()
        };
        let length: usize = header("content-length").parse().unwrap_or(0);
        while bytes.len() < head + length {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        let body = String::from_utf8(bytes[head..head + length].to_vec()).unwrap();
        bytes.drain(..head + length);
        let line = text.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let (status, answer) = match (reject, &state.lock().unwrap().answer) {
            (Some(code), _) => (code.status(), problem(code)),
            (None, Some(answer)) => answer(&line, &body),
            (None, None) => (404, problem(ErrorCode::NotFound)),
        };
        let authorization = header("authorization");
        let _ = tell.send(Seen::Request { line, authorization, body });
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The answer that makes a device Alice's.
pub(crate) fn registered_answer() -> (u16, String) {
    let registered = Registered {
        account: number(ALICE),
        device: DeviceId(1),
        token: TOKEN.into(),
        expires_at: 1_900_000_000_000,
    };
    (200, serde_json::to_string(&registered).unwrap())
}

pub(crate) fn problem(error: ErrorCode) -> String {
    let message = format!("This is {}.", error.as_str());
    serde_json::to_string(&Problem { error, message, retry_after: None }).unwrap()
}

fn binary(frames: &[ServerFrame]) -> Message {
    let WireMessage::Binary(bytes) = Encoding::Cbor.encode(frames) else {
        panic!("CBOR is binary");
    };
    Message::binary(bytes)
}

/// Takes what may be said, up to the first delivery that nobody can seal yet.
fn sealed(people: &mut People, held: &mut Vec<ServerFrame>) -> Vec<ServerFrame> {
    let is_delivery = |frame: &ServerFrame| matches!(frame, ServerFrame::Deliver(_));
    let end = match people.is_reachable(me()) {
        true => held.len(),
        false => held.iter().position(is_delivery).unwrap_or(held.len()),
    };
    let mut ready: Vec<_> = held.drain(..end).collect();
    for frame in &mut ready {
        if let ServerFrame::Deliver(deliver) = frame {
            let by = Leaf { account: deliver.from, device: deliver.device };
            let to = deliver.to.unwrap_or(number(ALICE));
            deliver.body = people.seal(by, to, deliver.id, &deliver.body.0);
        }
    }
    ready
}

async fn socket(stream: TcpStream, state: &Mutex<State>, tell: &mpsc::UnboundedSender<Seen>) {
    let mut upgrade = None;
    #[expect(clippy::result_large_err, reason = "it is the library's type")]
    let callback = |request: &Request, mut response: Response| {
        let header = |name| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let subprotocol = header("Sec-WebSocket-Protocol").to_owned();
        let value = subprotocol.parse().unwrap();
        response.headers_mut().insert("Sec-WebSocket-Protocol", value);
        let authorization = header("Authorization").to_owned();
        upgrade = Some(Seen::Upgrade { authorization, subprotocol });
        Ok(response)
    };
    let accepted = tokio_tungstenite::accept_hdr_async(stream, callback).await;
    let mut socket = accepted.unwrap();
    let (say, mut said) = mpsc::unbounded_channel();
    {
        let mut state = state.lock().unwrap();
        if state.eager {
            say.send(Say::Frames(greeting(&state))).unwrap();
        }
        state.sockets.push(say);
    }
    let _ = tell.send(upgrade.unwrap());
    let mut held = Vec::new();
    loop {
        tokio::select! {
            say = said.recv() => match say {
                Some(Say::Frames(frames)) => {
                    held.extend(frames);
                    let ready = sealed(&mut state.lock().unwrap().people, &mut held);
                    if socket.send(binary(&ready)).await.is_err() {
                        return;
                    }
                }
                Some(Say::Drop) | None => return,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if text.as_str() == "ping" => {
                    let _ = tell.send(Seen::Ping);
                    let mute = state.lock().unwrap().mute;
                    if !mute && socket.send(Message::text("pong")).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let message = WireMessage::Binary(bytes.into());
                    let mut answers = Vec::new();
                    for frame in Encoding::Cbor.decode_client(&message).unwrap() {
                        let Decoded::Frame(mut frame) = frame else { panic!("a bad frame") };
                        let answer = state.lock().unwrap().people.answer(me(), &frame);
                        if let Some(answer) = answer {
                            answers.extend(answer);
                            continue;
                        }
                        if let ClientFrame::Send(send) = &mut frame {
                            let opened = state.lock().unwrap().people.open(number(ALICE), send);
                            send.body = Body(opened);
                        }
                        let _ = tell.send(Seen::Frame(frame));
                    }
                    answers.extend(sealed(&mut state.lock().unwrap().people, &mut held));
                    if !answers.is_empty() && socket.send(binary(&answers)).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_))) => {
                    let _ = tell.send(Seen::Closed { politely: true });
                    let _ = socket.close(None).await;
                    return;
                }
                Some(Ok(other)) => panic!("the client says {other:?}"),
                Some(Err(_)) | None => {
                    let _ = tell.send(Seen::Closed { politely: false });
                    return;
                }
            },
        }
    }
}
