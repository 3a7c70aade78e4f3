//! HTTP/1.1 over one connection, with bodies that are made and compared as they pass.

use std::net::Ipv4Addr;
use std::ops::Range;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Route;

const PATTERN_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 256 * 1024;

/// What files are made of: the same megabyte again and again, which looks random within.
#[derive(Debug)]
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    pub(super) fn new() -> Self {
        let mut state = 1_u64;
        let bytes = (0..PATTERN_BYTES).map(|_| {
            // A linear congruential generator (Knuth's MMIX).
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        Self(bytes.collect())
    }

    /// At most so many bytes of a file from `offset` on.
    fn at(&self, offset: u64, most: u64) -> &[u8] {
        let from = (offset % PATTERN_BYTES as u64) as usize;
        let length = (PATTERN_BYTES - from).min(PIECE_BYTES).min(most.min(1 << 30) as usize);
        self.0.get(from..from + length).unwrap_or_default()
    }
}

/// A connection that is kept open between requests.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    every: String,
}

/// The head of an answer.
pub(super) struct Answer {
    head: Vec<(String, String)>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn length(&self) -> anyhow::Result<u64> {
        Ok(self.header("content-length").map_or(Ok(0), str::parse)?)
    }
}

impl Connection {
    pub(super) async fn open(port: u16, route: &Route) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let mut every = format!("host: 127.0.0.1:{port}\r\n");
        if let Route::Tus(token) = route {
            every += &format!("authorization: Bearer {token}\r\ntus-resumable: 1.0.0\r\n");
        }
        Ok(Self { stream: BufReader::with_capacity(PIECE_BYTES, stream), every })
    }

    /// Sends a part of a file, which the server must take.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        lines: &[&str],
        part: Range<u64>,
        pattern: &Pattern,
    ) -> anyhow::Result<Answer> {
        let length = part.end - part.start;
        let mut head = format!("{method} {path} HTTP/1.1\r\n{}", self.every);
        for line in lines {
            head += line;
            head += "\r\n";
        }
        head += &format!("content-length: {length}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        let mut offset = part.start;
        while offset < part.end {
            let piece = pattern.at(offset, part.end - offset);
            self.stream.write_all(piece).await?;
            offset += piece.len() as u64;
        }
        let answer = self.answer(&format!("{method} {path}")).await?;
        let mut body = vec![0; answer.length()? as usize];
        self.stream.read_exact(&mut body).await?;
        Ok(answer)
    }

    /// Fetches a file and compares it.
    pub(super) async fn fetch(
        &mut self,
        path: &str,
        bytes: u64,
        pattern: &Pattern,
    ) -> anyhow::Result<()> {
        let head = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.every);
        self.stream.write_all(head.as_bytes()).await?;
        let answer = self.answer(&format!("GET {path}")).await?;
        ensure!(answer.length()? == bytes, "{path} has another length than was sent");
        let mut offset = 0;
        while offset < bytes {
            let got = self.stream.fill_buf().await?;
            let expected = pattern.at(offset, bytes - offset);
            let length = got.len().min(expected.len());
            ensure!(length > 0, "{path} ends early");
            ensure!(got.get(..length) == expected.get(..length), "{path} is not what was sent");
            self.stream.consume(length);
            offset += length as u64;
        }
        Ok(())
    }

    async fn answer(&mut self, request: &str) -> anyhow::Result<Answer> {
        let mut status = String::new();
        self.stream.read_line(&mut status).await?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "{request}: no answer");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            head.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let code = status.split(' ').nth(1).unwrap_or_default();
        if !code.starts_with('2') {
            let mut body = [0; 512];
            let read = self.stream.read(&mut body).await?;
            let body = String::from_utf8_lossy(body.get(..read).unwrap_or_default()).into_owned();
            bail!("{request}: {} {body}", status.trim_end());
        }
        Ok(Answer { head })
    }
}
