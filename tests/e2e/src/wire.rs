//! A device that says what it is told to, right or wrong, and hears every frame.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use estafette::Account;
use estafette_protocol::{
    Ack, Body, ClientFrame, Decoded, Encoding, ErrorCode, Mark, MessageId, PhoneNumber, Receipt,
    Send, ServerFrame, WireMessage,
};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::Stage;

const PATIENCE: Duration = Duration::from_secs(30);
/// The kernel's buffer for what a device has not read: as small as it allows.
const RECEIVE_BYTES: u32 = 4096;

/// An open socket.
pub struct Wire {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    heard: Vec<ServerFrame>,
    /// How the server closed it.
    closed: Option<u16>,
}

impl Wire {
    /// Opens a socket and reads nothing.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(stage: &Stage, token: &str, encoding: Encoding) -> Result<Self> {
        let port = stage.runtime.port();
        let mut request = format!("ws://127.0.0.1:{port}/v1/socket").into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").try_into()?);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, encoding.subprotocol().try_into()?);
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        let stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { socket, encoding, heard: Vec::new(), closed: None })
    }

    /// Opens a socket of a device and hears the greeting and all that waits, which it returns.
    ///
    /// # Errors
    /// As [`Wire::connect`], and when nothing is said.
    pub async fn open(
        stage: &Stage,
        account: &Account,
        encoding: Encoding,
    ) -> Result<(Self, Vec<ServerFrame>)> {
        let mut wire = Self::connect(stage, &account.token, encoding).await?;
        let ServerFrame::Hello(hello) = wire.hear().await? else { bail!("no greeting") };
        if (hello.account, hello.device) != (account.number, account.device) {
            bail!("greeted as somebody else: {hello:?}");
        }
        let mut waited = Vec::new();
        loop {
            match wire.hear().await? {
                ServerFrame::Drained(_) => return Ok((wire, waited)),
                frame => waited.push(frame),
            }
        }
    }

    /// As [`Wire::open`], where nothing waits.
    ///
    /// # Errors
    /// As [`Wire::open`], and when something waits.
    pub async fn online(stage: &Stage, account: &Account, encoding: Encoding) -> Result<Self> {
        let (wire, waited) = Self::open(stage, account, encoding).await?;
        if !waited.is_empty() {
            bail!("{waited:?} waited");
        }
        Ok(wire)
    }

    /// Sends one WebSocket message.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn put(&mut self, message: WireMessage) -> Result<()> {
        let message = match message {
            WireMessage::Text(text) => Message::text(text),
            WireMessage::Binary(bytes) => Message::binary(bytes),
        };
        self.put_message(message).await
    }

    /// Sends bytes as this socket's kind of message, though they may be no text.
    ///
    /// # Errors
    /// As [`Wire::put`].
    pub async fn put_bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        let kind = match self.encoding {
            Encoding::Json => Data::Text,
            Encoding::Cbor => Data::Binary,
        };
        let frame = Frame::message(bytes, OpCode::Data(kind), true);
        self.put_message(Message::Frame(frame)).await
    }

    async fn put_message(&mut self, message: Message) -> Result<()> {
        let sent = timeout(PATIENCE, self.socket.send(message)).await;
        Ok(sent.context("the server does not read")??)
    }

    /// Sends a batch of frames, or of what looks like some.
    ///
    /// # Errors
    /// As [`Wire::put`].
    pub async fn say<F: Serialize>(&mut self, frames: &[F]) -> Result<()> {
        self.put(self.encoding.encode(frames)).await
    }

    /// Acknowledges.
    ///
    /// # Errors
    /// As [`Wire::put`].
    pub async fn ack(&mut self, ids: &[MessageId]) -> Result<()> {
        self.say(&[ClientFrame::Ack(Ack { ids: ids.to_vec() })]).await
    }

    /// The next frame.
    ///
    /// # Errors
    /// When none comes, or the socket is closed.
    pub async fn hear(&mut self) -> Result<ServerFrame> {
        while self.heard.is_empty() {
            let message = self.hear_message().await?;
            for frame in self.encoding.decode_server(&message)?.into_iter().rev() {
                let Decoded::Frame(frame) = frame else { bail!("the server said {frame:?}") };
                self.heard.push(frame);
            }
        }
        self.heard.pop().context("nothing is heard")
    }

    /// The next message, undecoded.
    ///
    /// # Errors
    /// As [`Wire::hear`].
    pub async fn hear_message(&mut self) -> Result<WireMessage> {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            match message.context("nothing is heard")? {
                Some(Ok(Message::Text(text))) => {
                    return Ok(WireMessage::Text(text.as_str().to_owned()));
                }
                Some(Ok(Message::Binary(bytes))) => return Ok(WireMessage::Binary(bytes.into())),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    self.closed = Some(code);
                    bail!("closed with {code}");
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("closed"),
            }
        }
    }

    /// Hears frames until one is found, which it returns as `found` makes it. The others are dropped.
    ///
    /// # Errors
    /// As [`Wire::hear`].
    pub async fn until<T>(&mut self, mut found: impl FnMut(ServerFrame) -> Option<T>) -> Result<T> {
        loop {
            if let Some(found) = found(self.hear().await?) {
                return Ok(found);
            }
        }
    }

    /// All that the server's mailbox has said in answer to what was said up to now.
    ///
    /// # Errors
    /// As [`Wire::hear`].
    pub async fn answers(&mut self) -> Result<Vec<ServerFrame>> {
        // A receipt for nothing is refused at once, under its own id.
        let id = MessageId { stream: fastrand::u64(..), number: 1 };
        let to = crate::number(0);
        let receipt = Receipt { id, to, ids: Vec::new(), mark: Mark::Read };
        self.say(&[ClientFrame::Receipt(receipt)]).await?;
        let mut heard = Vec::new();
        loop {
            match self.hear().await? {
                ServerFrame::Refused(refused) if refused.ids == [id] => return Ok(heard),
                frame => heard.push(frame),
            }
        }
    }

    /// Returns when the server was told that these are safe.
    ///
    /// # Errors
    /// When one is refused, and as [`Wire::hear`].
    pub async fn until_sent(&mut self, ids: &[MessageId]) -> Result<()> {
        let mut left: Vec<_> = ids.to_vec();
        while !left.is_empty() {
            match self.hear().await? {
                ServerFrame::Sent(sent) => left.retain(|id| !sent.ids.contains(id)),
                ServerFrame::Refused(refused) => bail!("{refused:?}"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Why messages or receipts were not taken, the next that were not.
    ///
    /// # Errors
    /// As [`Wire::hear`].
    pub async fn refused(&mut self) -> Result<(Vec<MessageId>, ErrorCode)> {
        self.until(|frame| match frame {
            ServerFrame::Refused(refused) => Some((refused.ids, refused.code)),
            _ => None,
        })
        .await
    }

    /// How the server closes the socket, and the reason that it gave before.
    ///
    /// # Errors
    /// When it does not.
    pub async fn end(&mut self) -> Result<(Option<ErrorCode>, u16)> {
        let mut reason = None;
        loop {
            match self.hear().await {
                Ok(ServerFrame::Goaway(goaway)) => reason = Some(goaway.code),
                Ok(_) => {}
                Err(error) => return self.closed.map(|code| (reason, code)).ok_or(error),
            }
        }
    }

    /// Says goodbye, and waits for the answer.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn close(mut self) -> Result<()> {
        self.socket.close(None).await?;
        let answer = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(PATIENCE, answer).await.context("the socket is not closed")
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// The messages of one device to one account.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    to: PhoneNumber,
    stream: u64,
}

impl Stream {
    /// A new one.
    pub fn new(to: PhoneNumber) -> Self {
        Self { to, stream: fastrand::u64(..) }
    }

    /// The same stream, misused for somebody else.
    #[must_use]
    pub fn to(self, to: PhoneNumber) -> Self {
        Self { to, ..self }
    }

    /// The id of one of its messages.
    pub fn id(self, number: u64) -> MessageId {
        MessageId { stream: self.stream, number }
    }

    /// One of its messages, said to follow nothing that is under way.
    pub fn message(self, number: u64, body: impl Into<Vec<u8>>) -> ClientFrame {
        ClientFrame::Send(Send {
            id: self.id(number),
            to: self.to,
            body: Body(body.into()),
            chained: false,
            after: None,
        })
    }

    /// Messages that follow each other.
    pub fn messages(self, numbers: std::ops::RangeInclusive<u64>, body: &[u8]) -> Vec<ClientFrame> {
        let first = *numbers.start();
        let mut frames = Vec::new();
        for number in numbers {
            let mut frame = self.message(number, body);
            if let ClientFrame::Send(send) = &mut frame {
                send.chained = number > first;
            }
            frames.push(frame);
        }
        frames
    }
}
