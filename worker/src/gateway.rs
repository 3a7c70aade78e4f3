//! Programs of the operator's to which the Worker posts: the SMS gateway, and who takes reports. One HTTP
//! POST each, with a secret.

use worker::web_sys::{AbortSignal, Request, RequestInit, RequestRedirect};
use worker::{Fetch, Headers, Response, ResponseBody};

const PATIENCE_MS: u32 = 10_000;

/// Where something is posted.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) secret: String,
}

/// Why it was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GatewayError {
    /// Its address is not set.
    NoGateway,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached, or did not speak HTTP.
    Unreachable,
    /// It answered with a status other than 2xx.
    Status(u16),
}

impl GatewayError {
    /// The label in the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoGateway => "no_gateway",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Status(_) => "status",
        }
    }
}

/// Posts a JSON text. Whoever takes it answers 2xx.
pub(crate) async fn post(gateway: &Gateway, json: &str) -> Result<(), GatewayError> {
    let response = try_post(gateway, json).await.map_err(|error| match error {
        worker::Error::UnknownJsError { name: Some(name), .. } if name == "TimeoutError" => {
            GatewayError::Timeout
        }
        _ => GatewayError::Unreachable,
    })?;
    if let ResponseBody::Stream(body) = response.body() {
        // Nobody reads it, and nobody waits for its end.
        let _ = body.cancel();
    }
    match response.status_code() {
        200..=299 => Ok(()),
        status => Err(GatewayError::Status(status)),
    }
}

async fn try_post(gateway: &Gateway, json: &str) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("authorization", &format!("Bearer {}", gateway.secret))?;
    headers.set("content-type", "application/json")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(headers.as_ref());
    init.set_body(&json.into());
    // The secret goes where the operator said, and nowhere else.
    init.set_redirect(RequestRedirect::Manual);
    let request = Request::new_with_str_and_init(&gateway.url, &init)?;
    let patience = AbortSignal::timeout_with_u32(PATIENCE_MS).into();
    Fetch::Request(request.into()).send_with_signal(&patience).await
}
