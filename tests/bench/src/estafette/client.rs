//! A device of one user: its socket, and what it owes the server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use estafette_protocol::{
    Ack, Body, ClientFrame, Decoded, Encoding, MessageId, PhoneNumber, Send, ServerFrame,
    WireMessage,
};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::server::Reach;
use crate::texts::Texts;

/// How long the acknowledgement of a receipt waits for something to ride along with.
const ACK_DELAY: Duration = Duration::from_millis(300);
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// A connected device.
#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocketStream<TcpStream>,
    user: u32,
    /// What goes out with the next write.
    out: Vec<ClientFrame>,
    /// Receipts that were not acknowledged yet.
    owed: Vec<MessageId>,
    /// When they are, if nothing is sent before.
    owed_until: Instant,
}

impl Connection {
    /// Opens the socket. What waits for the user begins to arrive.
    pub(super) async fn open(reach: Reach, user: u32) -> anyhow::Result<Self> {
        Self::open_device(reach.port, user, &reach.account(user)?.token).await
    }

    async fn open_device(port: u16, user: u32, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let address = format!("ws://127.0.0.1:{port}/v1/socket");
        let mut request = address.into_client_request()?;
        let bearer = format!("Bearer {token}").try_into()?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let protocol = Encoding::Cbor.subprotocol().try_into()?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        let (out, owed) = (Vec::new(), Vec::new());
        Ok(Self { socket, user, out, owed, owed_until: Instant::now() })
    }

    /// Opens the socket of a user for whom nothing waits.
    pub(super) async fn online(reach: Reach, user: u32) -> anyhow::Result<Self> {
        Self::open(reach, user).await?.drained().await
    }

    /// Opens the socket of another device of a user, for which nothing waits.
    pub(super) async fn online_as(port: u16, user: u32, token: &str) -> anyhow::Result<Self> {
        Self::open_device(port, user, token).await?.drained().await
    }

    async fn drained(mut self) -> anyhow::Result<Self> {
        loop {
            for frame in self.read().await? {
                match frame {
                    ServerFrame::Hello(hello) => ensure!(hello.waiting == 0, "{hello:?}"),
                    ServerFrame::Drained(_) => return Ok(self),
                    other => bail!("{other:?} came where nothing waits"),
                }
            }
        }
    }

    /// Puts a frame into the next write.
    pub(super) fn push(&mut self, frame: ClientFrame) {
        self.out.push(frame);
    }

    /// Owes the acknowledgement of a receipt.
    pub(super) fn owe(&mut self, id: MessageId) {
        if self.owed.is_empty() {
            self.owed_until = Instant::now() + ACK_DELAY;
        }
        self.owed.push(id);
    }

    /// Writes one batch, if there is anything to say, and with it what is owed.
    pub(super) async fn write(&mut self) -> anyhow::Result<()> {
        if self.out.is_empty() { Ok(()) } else { self.settle().await }
    }

    /// Writes what is owed too, even alone.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(self.out.len() + 1);
        if !self.owed.is_empty() {
            batch.push(ClientFrame::Ack(Ack { ids: std::mem::take(&mut self.owed) }));
        }
        batch.append(&mut self.out);
        if batch.is_empty() {
            return Ok(());
        }
        let WireMessage::Binary(bytes) = Encoding::Cbor.encode(&batch) else {
            bail!("a batch in CBOR is binary");
        };
        Ok(self.socket.send(Message::binary(bytes)).await?)
    }

    /// Says nothing to the server's mailbox, only that it is still there.
    pub(super) async fn ping(&mut self) -> anyhow::Result<()> {
        self.socket.send(Message::text("ping")).await?;
        let answer = self.socket.next().await.context("the server closed the socket")??;
        ensure!(answer == Message::text("pong"), "a ping was answered by {answer:?}");
        Ok(())
    }

    /// Everything that can be read at once, at least one batch. Nothing is lost if the future is
    /// dropped.
    pub(super) async fn read(&mut self) -> anyhow::Result<Vec<ServerFrame>> {
        let mut frames = Vec::new();
        let mut message = self.socket.next().await;
        loop {
            let Some(message_or_error) = message else {
                bail!("the server closed the socket of user {}", self.user)
            };
            let Message::Binary(bytes) = message_or_error? else { bail!("not a binary message") };
            let batch = WireMessage::Binary(bytes.into());
            for frame in Encoding::Cbor.decode_server(&batch)? {
                match frame {
                    Decoded::Frame(
                        frame @ (ServerFrame::Refused(_)
                        | ServerFrame::Error(_)
                        | ServerFrame::Goaway(_)),
                    ) => bail!("user {} heard {frame:?}", self.user),
                    Decoded::Frame(frame) => frames.push(frame),
                    other => bail!("user {} cannot read {other:?}", self.user),
                }
            }
            match self.socket.next().now_or_never() {
                Some(more) => message = more,
                None => return Ok(frames),
            }
        }
    }

    /// As [`Connection::read`]; while it waits it settles what is due. Nothing may be half-written.
    pub(super) async fn read_and_settle(&mut self) -> anyhow::Result<Vec<ServerFrame>> {
        if !self.owed.is_empty() {
            match tokio::time::timeout_at(self.owed_until, self.read()).await {
                Ok(frames) => return frames,
                Err(_) => self.settle().await?,
            }
        }
        self.read().await
    }

    /// When what is owed is due, if anything is.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.owed.is_empty()).then_some(self.owed_until)
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        self.socket.close(None).await?;
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }

    /// Breaks the connection without a word.
    pub(super) fn cut(self) -> u32 {
        self.user
    }
}

/// The messages of one user to another: a stream.
#[derive(Debug)]
pub(super) struct Letters {
    to: PhoneNumber,
    pair: u32,
    texts: Arc<Texts>,
    stream: u64,
    written: u64,
    settled: u64,
}

impl Letters {
    /// `stream` is one that no earlier messages between the two had.
    pub(super) fn new(to: PhoneNumber, pair: u32, texts: Arc<Texts>, stream: u64) -> Self {
        Self { to, pair, texts, stream, written: 0, settled: 0 }
    }

    /// The next message; `number` chooses its text.
    pub(super) fn next(&mut self, number: u32) -> ClientFrame {
        let chained = self.settled < self.written;
        self.written += 1;
        let id = MessageId { stream: self.stream, number: self.written };
        let body = Body(self.texts.of(self.pair, number).as_bytes().to_vec());
        ClientFrame::Send(Send { id, to: self.to, body, chained, after: None })
    }

    /// That many were told `sent`.
    pub(super) fn settle(&mut self, count: usize) {
        self.settled += count as u64;
    }

    /// How many of those written were not told `sent`.
    pub(super) fn unsettled(&self) -> u64 {
        self.written - self.settled
    }

    /// How many were written in all: the number of the last one.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}
