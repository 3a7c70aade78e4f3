//! A connection of one user: logs in, goes online, counts what it is owed.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use data_encoding::BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Options;
use super::stanza::{attribute, child, first_element, name, push_number};

/// The password of every user.
pub(super) const PASSWORD: &str = "pw";

const OPEN: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const BIND: &str = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>d</resource></bind></iq>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";
const PING: &[u8] = b"<iq type='get' id='barrier'><ping xmlns='urn:xmpp:ping'/></iq>";
const CLOSE: &[u8] = b"</stream:stream>";

/// Where the server is, and how to behave there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) address: SocketAddr,
    pub(super) options: Options,
}

/// Something that the server said and that a workload waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A message with a body, its id, and who sent it.
    Message { from: &'a str, number: u32 },
    /// The recipient has the message.
    Received(u32),
    /// The recipient has seen the message.
    Displayed(u32),
    /// The server has handled everything up to the last [`Connection::write_barrier`].
    Barrier,
    /// This user's own presence: it is online.
    Online,
}

/// What a user needs to take up a session whose connection broke.
#[derive(Debug)]
pub(super) struct Session {
    user: u32,
    id: String,
    /// Stanzas that the client had handled.
    handled: u32,
}

/// A logged-in user.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of `input` has been taken.
    taken: usize,
    user: u32,
    /// Stream management's id of the session, when it is on.
    session: Option<String>,
    handled: u32,
    /// Whether the server waits to be told `handled`.
    asked: bool,
    /// Stanzas written, which is what the server has counted when it answers a barrier.
    sent: u32,
}

impl Connection {
    /// Logs in and binds; the user is not online yet.
    pub(super) async fn log_in(reach: Reach, user: u32) -> anyhow::Result<Self> {
        let mut this = Self::authenticate(reach.address, user).await?;
        this.write(BIND.as_bytes()).await?;
        this.expect("iq").await?;
        if reach.options.stream_management {
            this.write(ENABLE.as_bytes()).await?;
            let enabled = this.expect("enabled").await?;
            let id = attribute(&enabled, "id").context("the session cannot be resumed")?;
            this.session = Some(id.to_owned());
        }
        Ok(this)
    }

    /// Logs in and waits until the server shows the user as online.
    pub(super) async fn online(reach: Reach, user: u32) -> anyhow::Result<Self> {
        let mut this = Self::log_in(reach, user).await?;
        this.announce().await?;
        let mut out = Vec::new();
        this.wait_for(&Event::Online, &mut out).await?;
        Ok(this)
    }

    /// Takes up a session whose connection broke.
    pub(super) async fn resume(reach: Reach, session: Session) -> anyhow::Result<Self> {
        let mut this = Self::authenticate(reach.address, session.user).await?;
        let Session { id, handled, .. } = &session;
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{handled}'/>");
        this.write(resume.as_bytes()).await?;
        this.expect("resumed").await?;
        this.session = Some(id.clone());
        this.handled = *handled;
        Ok(this)
    }

    async fn authenticate(address: SocketAddr, user: u32) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let input = Vec::with_capacity(4_096);
        let mut this = Self {
            stream,
            input,
            taken: 0,
            user,
            session: None,
            handled: 0,
            asked: false,
            sent: 0,
        };
        this.open().await?;
        let credentials = BASE64.encode(format!("\0u{user}\0{PASSWORD}").as_bytes());
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{credentials}</auth>"
        );
        this.write(auth.as_bytes()).await?;
        this.expect("success").await?;
        this.open().await?;
        Ok(this)
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        self.write(OPEN.as_bytes()).await?;
        self.expect("?xml").await?;
        self.expect("stream:features").await?;
        Ok(())
    }

    /// Tells the server that the user is online. What waits for it begins to arrive.
    pub(super) async fn announce(&mut self) -> anyhow::Result<()> {
        self.sent += 1;
        self.write(b"<presence/>").await
    }

    /// Counts stanzas that the caller writes by itself, so that a barrier covers them.
    pub(super) fn count_sent(&mut self, stanzas: u32) {
        self.sent += stanzas;
    }

    /// Appends a request that the server answers when it has handled all before it.
    pub(super) fn write_barrier(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.session.is_some() { REQUEST } else { PING });
    }

    /// Writes all of `bytes`.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Reads at least a byte. Nothing is lost if the future is dropped.
    pub(super) async fn fill(&mut self) -> anyhow::Result<()> {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        let read = self.stream.read_buf(&mut self.input).await?;
        ensure!(read > 0, "the server closed the connection of u{}", self.user);
        Ok(())
    }

    /// The next event that has been read, if there is a whole one. Answers to the server's own
    /// requests are appended to `out`, one for all of them that have been read.
    pub(super) fn event(&mut self, out: &mut Vec<u8>) -> anyhow::Result<Option<Event<'_>>> {
        let range = loop {
            let Some(range) = self.element() else {
                if std::mem::take(&mut self.asked) {
                    out.extend_from_slice(b"<a xmlns='urn:xmpp:sm:3' h='");
                    push_number(out, self.handled);
                    out.extend_from_slice(b"'/>");
                }
                return Ok(None);
            };
            let element = self.input.get(range.clone()).unwrap_or_default();
            match name(element) {
                b"r" => self.asked = true,
                b"message" | b"presence" | b"iq" => {
                    self.handled += 1;
                    break range;
                }
                b"a" => break range,
                _ => bail!("unexpected: {}", String::from_utf8_lossy(element)),
            }
        };
        let element = self.input.get(range).unwrap_or_default();
        self.interpret(element).map(Some)
    }

    fn interpret<'a>(&self, element: &'a [u8]) -> anyhow::Result<Event<'a>> {
        let number = |part| -> anyhow::Result<u32> {
            Ok(attribute(part, "id").context("a message without an id")?.parse()?)
        };
        let kind = attribute(element, "type");
        match name(element) {
            b"message" if kind == Some("error") => {}
            b"message" => {
                if let Some(received) = child(element, "<received") {
                    return Ok(Event::Received(number(received)?));
                }
                if let Some(displayed) = child(element, "<displayed") {
                    return Ok(Event::Displayed(number(displayed)?));
                }
                let from = attribute(element, "from").context("a message from nobody")?;
                return Ok(Event::Message { from, number: number(element)? });
            }
            b"presence" if kind.is_none() => return Ok(Event::Online),
            b"iq" if attribute(element, "id") == Some("barrier") => return Ok(Event::Barrier),
            b"a" => {
                let handled: u32 = attribute(element, "h").context("no count")?.parse()?;
                ensure!(handled == self.sent, "{handled} handled of {} sent", self.sent);
                return Ok(Event::Barrier);
            }
            _ => {}
        }
        bail!("unexpected: {}", String::from_utf8_lossy(element))
    }

    /// Reads until `wanted` comes, which nothing else may precede.
    pub(super) async fn wait_for(
        &mut self,
        wanted: &Event<'_>,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        loop {
            if let Some(event) = self.event(out)? {
                ensure!(event == *wanted, "{event:?} came where {wanted:?} was due");
                return Ok(());
            }
            if !out.is_empty() {
                self.write(out).await?;
                out.clear();
            }
            self.fill().await?;
        }
    }

    /// Breaks the connection without a word; the server keeps the session for a while.
    pub(super) fn cut(self) -> anyhow::Result<Session> {
        let id = self.session.context("stream management is off")?;
        Ok(Session { user: self.user, id, handled: self.handled })
    }

    /// Logs out.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        self.write(CLOSE).await?;
        while self.stream.read_buf(&mut self.input).await? > 0 {
            self.input.clear();
        }
        Ok(())
    }

    async fn expect(&mut self, wanted: &str) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(range) = self.element() {
                let element = self.input.get(range).unwrap_or_default();
                let text = String::from_utf8_lossy(element);
                ensure!(name(element) == wanted.as_bytes(), "{wanted} was due: {text}");
                return Ok(element.to_vec());
            }
            self.fill().await?;
        }
    }

    fn element(&mut self) -> Option<std::ops::Range<usize>> {
        let rest = self.input.get(self.taken..)?;
        let end = self.taken + first_element(rest)?;
        let white = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let begin = self.taken + white;
        self.taken = end;
        Some(begin..end)
    }
}
