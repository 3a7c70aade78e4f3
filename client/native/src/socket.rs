//! One WebSocket: opening it, and passing messages both ways without losing one to a cancelled
//! future. All state is in [`Socket`], so that a caller may stop waiting at any time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use estafette_core::Input;
use estafette_protocol::http::Problem;
use estafette_protocol::limits::BATCH_BYTES_MAX;
use estafette_protocol::{Encoding, ErrorCode, WireMessage};
use futures_util::{Sink, Stream};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// How many sockets of this process are being opened at a time: resolving a name and the TLS
/// handshake cost threads and processor time.
const OPENING_AT_ONCE: usize = 64;
/// What a socket keeps for reading, in bytes. The default of 128 KiB is much for two thousand
/// clients in one process.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// How long a socket may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// The text that asks for a sign of life, and the answer, which the edge gives by itself.
const PING: &str = "ping";
const PONG: &str = "pong";

static PERMITS: Semaphore = Semaphore::const_new(OPENING_AT_ONCE);
static TLS: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();

/// An open socket.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    outgoing: VecDeque<Message>,
    unflushed: bool,
}

/// Opens a socket, or says as an input why there is none.
pub(crate) async fn open(
    address: String,
    token: String,
    encoding: Encoding,
) -> Result<Box<Socket>, Input> {
    let closed = Input::Closed { code: None };
    let Ok(permit) = PERMITS.acquire().await else { return Err(closed) };
    let Ok(mut request) = address.as_str().into_client_request() else { return Err(closed) };
    let bearer = HeaderValue::try_from(format!("Bearer {token}"));
    let Ok(bearer) = bearer else { return Err(closed) };
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let subprotocol = HeaderValue::from_static(encoding.subprotocol());
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    let connector = match tls() {
        Some(tls) if address.starts_with("wss:") => Connector::Rustls(tls),
        _ => Connector::Plain,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(2 * BATCH_BYTES_MAX))
        .max_frame_size(Some(2 * BATCH_BYTES_MAX));
    let opened = tokio_tungstenite::connect_async_tls_with_config(
        request,
        Some(config),
        true,
        Some(connector),
    )
    .await;
    drop(permit);
    match opened {
        Ok((stream, _)) => {
            Ok(Box::new(Socket { stream, outgoing: VecDeque::new(), unflushed: false }))
        }
        Err(tungstenite::Error::Http(answer)) => Err(rejection(&answer)),
        Err(_) => Err(closed),
    }
}

/// What the answer to an upgrade that failed means: only a code that the server wrote counts, so
/// that a proxy in between can't sign the device out.
fn rejection(answer: &Response<Option<Vec<u8>>>) -> Input {
    let problem: Option<Problem> =
        answer.body().as_ref().and_then(|body| serde_json::from_slice(body).ok());
    let seconds = || -> Option<u64> {
        const RETRY_AFTER: HeaderName = header::RETRY_AFTER;
        answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    };
    match (problem, answer.status().as_u16()) {
        (Some(Problem { error, retry_after, .. }), _) => {
            Input::Rejected { code: error, retry_after }
        }
        (None, 429) => Input::Rejected {
            code: ErrorCode::RateLimited,
            retry_after: seconds().map(|seconds| seconds * 1000),
        },
        _ => Input::Closed { code: None },
    }
}

fn tls() -> Option<Arc<ClientConfig>> {
    let make = || {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Some(Arc::new(versions.ok()?.with_root_certificates(roots).with_no_client_auth()))
    };
    TLS.get_or_init(make).clone()
}

impl Socket {
    /// Puts a message on the socket. It goes as [`Socket::next`] is waited for.
    pub(crate) fn transmit(&mut self, message: WireMessage) {
        self.outgoing.push_back(match message {
            WireMessage::Text(text) => Message::text(text),
            WireMessage::Binary(bytes) => Message::binary(bytes),
        });
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self) {
        self.outgoing.push_back(Message::text(PING));
    }

    /// Writes what is to be written and, unless `reading` is false, waits for what comes.
    pub(crate) async fn next(&mut self, reading: bool) -> Input {
        poll_fn(|context| self.poll_next(context, reading)).await
    }

    /// Writes what is to be written and closes the socket, or gives it up after [`GOODBYE`].
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            self.outgoing.push_back(Message::Close(None));
            while !matches!(self.next(true).await, Input::Closed { .. }) {}
        };
        // A peer that doesn't answer in time gets no more of it.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    fn poll_next(&mut self, context: &mut Context<'_>, reading: bool) -> Poll<Input> {
        let closed = Poll::Ready(Input::Closed { code: None });
        loop {
            if self.poll_write(context).is_err() {
                return closed;
            }
            if !reading {
                return Poll::Pending;
            }
            let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next(context) else {
                return Poll::Pending;
            };
            let Some(Ok(message)) = message else { return closed };
            return Poll::Ready(match message {
                Message::Text(text) if text.as_str() == PONG => Input::Pong,
                Message::Text(text) => Input::Message(WireMessage::Text(text.as_str().to_owned())),
                Message::Binary(bytes) => Input::Message(WireMessage::Binary(bytes.into())),
                Message::Close(frame) => Input::Closed { code: frame.map(|at| at.code.into()) },
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    // The answer to a ping of the protocol was made by reading it.
                    self.unflushed = true;
                    continue;
                }
            });
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), tungstenite::Error> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.outgoing.is_empty() {
            let Poll::Ready(ready) = stream.as_mut().poll_ready(context) else { return Ok(()) };
            ready?;
            if let Some(message) = self.outgoing.pop_front() {
                stream.as_mut().start_send(message)?;
                self.unflushed = true;
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = stream.as_mut().poll_flush(context)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }
}
