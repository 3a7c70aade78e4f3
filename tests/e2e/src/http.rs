//! HTTP by hand, so that requests can be as wrong as they like.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use estafette_protocol::ErrorCode;
use estafette_protocol::http::Problem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Stage;

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An answer of the server.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The status line and all headers.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// What it says in the form of every refusal.
    ///
    /// # Errors
    /// When the body has another form.
    pub fn problem(&self) -> Result<Problem> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).with_context(text)
    }

    /// Status and code of a refusal.
    ///
    /// # Errors
    /// As [`Answer::problem`].
    pub fn refusal(&self) -> Result<(u16, ErrorCode)> {
        Ok((self.status, self.problem()?.error))
    }
}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Request {
    head: String,
    body: Vec<u8>,
    closes: bool,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        Self { head, body: Vec::new(), closes: true }
    }

    /// An upgrade of `/v1/socket` that offers these subprotocols.
    pub fn upgrade(protocols: &str) -> Self {
        let mut request = Self::new("GET", "/v1/socket")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Protocol", protocols);
        request.closes = false;
        request
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    /// Shows a token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Adds a body and its length.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { body: body.clone(), ..self.header("Content-Length", &body.len().to_string()) }
    }

    /// Adds a body whose length is not announced.
    #[must_use]
    pub fn chunked(mut self, chunks: &[&[u8]]) -> Self {
        for chunk in chunks {
            self.body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            self.body.extend_from_slice(chunk);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n\r\n");
        self.header("Transfer-Encoding", "chunked")
    }

    /// Sends it on a connection of its own.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(self, stage: &Stage) -> Result<Answer> {
        let what = self.head.lines().next().unwrap_or_default().to_owned();
        let answer = timeout(PATIENCE, self.exchange(stage.runtime.port())).await;
        answer.with_context(|| format!("{what}: no answer"))?.with_context(|| what)
    }

    /// Sends the head and so many bytes of the body, closes the connection, and hears nothing.
    ///
    /// # Errors
    /// When it cannot connect. That the server closes before is no error.
    pub async fn cut(self, stage: &Stage, after: usize) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", stage.runtime.port())).await?;
        let body = self.body.get(..after).unwrap_or(&self.body);
        let request = [self.head.as_bytes(), b"\r\n", body].concat();
        let _ = stream.write_all(&request).await;
        let _ = stream.shutdown().await;
        Ok(())
    }

    async fn exchange(mut self, port: u16) -> Result<Answer> {
        if self.closes {
            self = self.header("Connection", "close");
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut input, mut output) = stream.into_split();
        let request = [self.head.as_bytes(), b"\r\n", &self.body].concat();
        // The server may answer before it has read all, and close.
        let writing = tokio::spawn(async move {
            let _ = output.write_all(&request).await;
            output
        });
        let mut bytes = Vec::new();
        let answer = loop {
            if let Some(answer) = parse(&bytes, self.head.starts_with("HEAD ")) {
                break answer;
            }
            if input.read_buf(&mut bytes).await? == 0 || bytes.len() > ANSWER_BYTES_MAX {
                bail!("no whole answer: {}", String::from_utf8_lossy(&bytes));
            }
        };
        writing.abort();
        Ok(answer)
    }
}

/// The answer, once it is whole. The server announces every length.
fn parse(bytes: &[u8], head_only: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = bytes.split_at_checked(end + 4)?;
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head, body: Vec::new() };
    let length: Option<usize> =
        answer.header("content-length").and_then(|length| length.parse().ok());
    let length = length.filter(|_| !head_only).unwrap_or(0);
    let body = body.get(..length)?.to_vec();
    Some(Answer { body, ..answer })
}
