//! The requests of a transfer. They block, and take as long as bytes move.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use estafette_core::media::Answer;
use tokio_tungstenite::tungstenite::http::request::Builder;
use tokio_tungstenite::tungstenite::http::{self, HeaderMap, Method, Request, Response};
use ureq::{Agent, AsSendBody, Body, SendBody};

use crate::server::{is_this_machine, plain_reason};
use crate::{Account, Error};

/// How long to wait for bytes. The server may have to put a large file together first.
const READING: Duration = Duration::from_secs(60);
/// How long to wait until bytes can go. The server may have answered and read no further, which is
/// heard only when the request is given up; and what was cut goes on where it was.
const WRITING: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(20);
/// The longest answer that is no file, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

static AGENT: OnceLock<Agent> = OnceLock::new();

/// No answer came: what the network said.
pub(super) struct Cut(pub(super) String);

/// A server, as one device talks to it.
pub(super) struct Wire<'a> {
    account: &'a Account,
}

impl<'a> Wire<'a> {
    pub(super) fn new(account: &'a Account) -> Self {
        Self { account }
    }

    /// A request to a path of the server.
    pub(super) fn request(&self, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.account.server.address()))
            .header("Authorization", format!("Bearer {}", self.account.token))
    }

    /// A request of tus 1.0.
    pub(super) fn tus(&self, method: Method, path: &str) -> Builder {
        self.request(method, path).header("Tus-Resumable", "1.0.0")
    }

    /// Performs a request with `length` bytes of a body, or none.
    ///
    /// # Errors
    /// When it makes no request at all.
    pub(super) fn perform(
        &self,
        request: Builder,
        body: Option<(&mut dyn Read, u64)>,
    ) -> Result<Result<Response<Body>, Cut>, Error> {
        match body {
            Some((body, length)) => {
                let request = request.header("Content-Length", length);
                self.run(request.body(SendBody::from_reader(body)))
            }
            None => self.run(request.body(SendBody::none())),
        }
    }

    fn run(
        &self,
        request: Result<Request<impl AsSendBody>, http::Error>,
    ) -> Result<Result<Response<Body>, Cut>, Error> {
        let wrong = |_| Error::Address { address: self.account.server.address().to_owned() };
        let request = request.map_err(wrong)?;
        let here = request.uri().host().is_some_and(is_this_machine);
        let mut request = agent().configure_request(request);
        if here {
            request = request.proxy(None);
        }
        Ok(agent().run(request.build()).map_err(|error| Cut(plain_reason(&error))))
    }

    /// Performs a request whose answer is all there is to it.
    ///
    /// # Errors
    /// As [`Wire::perform`].
    pub(super) fn ask(
        &self,
        request: Builder,
        body: Option<(&mut dyn Read, u64)>,
    ) -> Result<Result<Answer, Cut>, Error> {
        let done = self.perform(request, body)?;
        Ok(done.and_then(|mut response| {
            let answer = answer(&mut response);
            if answer.problem.is_none() {
                // Read to its end, so that the connection is used again.
                let rest = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
                rest.map_err(|error| Cut(plain_reason(&error)))?;
            }
            Ok(answer)
        }))
    }
}

/// What matters of an answer. The body of a refusal is read, that of a success is not.
pub(super) fn answer(response: &mut Response<Body>) -> Answer {
    let status = response.status().as_u16();
    let headers = response.headers();
    let range = text(headers, "Content-Range").and_then(|range| range.strip_prefix("bytes "));
    let (part, whole) = range.and_then(|range| range.split_once('/')).unzip();
    let first =
        part.and_then(|part| part.split_once('-')).and_then(|(first, _)| first.parse().ok());
    let offset = number(headers, "Upload-Offset");
    let length = match (whole, offset) {
        (Some(whole), _) => whole.parse().ok(),
        // A look at an upload: what its own body has is no length of a file.
        (None, Some(_)) => number(headers, "Upload-Length"),
        (None, None) => number(headers, "Content-Length"),
    };
    let location = text(headers, "Location").map(str::to_owned);
    let problem = if (200..300).contains(&status) {
        None
    } else {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        body.ok().and_then(|body| serde_json::from_slice(&body).ok())
    };
    Answer { status, offset, length, first, location, problem }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn agent() -> &'static Agent {
    AGENT.get_or_init(|| {
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(READING))
            .timeout_per_write(Some(WRITING))
            .user_agent(concat!("estafette/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    })
}
