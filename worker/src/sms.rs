//! The SMS gateway: one HTTP POST a code.

use estafette_protocol::PhoneNumber;
use serde::Serialize;
use worker::web_sys::{AbortSignal, Request, RequestInit, RequestRedirect};
use worker::{Fetch, Headers, Response, ResponseBody};

use crate::code::Code;
use crate::setup::Gateway;

const PATIENCE_MS: u32 = 10_000;

/// Why a code was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SmsError {
    /// `SMS_URL` is not set.
    NoGateway,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached, or did not speak HTTP.
    Unreachable,
    /// It answered with a status other than 2xx.
    Status(u16),
}

impl SmsError {
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

#[derive(Serialize)]
struct Message<'a> {
    to: PhoneNumber,
    text: &'a str,
}

fn text(code: &Code) -> String {
    format!(
        "{} is your estafette code. It is good for 10 minutes. Tell it to nobody.",
        code.as_str()
    )
}

/// Sends a code to a number.
pub(crate) async fn send(gateway: &Gateway, to: PhoneNumber, code: &Code) -> Result<(), SmsError> {
    let response = post(gateway, to, code).await.map_err(|error| match error {
        worker::Error::UnknownJsError { name: Some(name), .. } if name == "TimeoutError" => {
            SmsError::Timeout
        }
        _ => SmsError::Unreachable,
    })?;
    if let ResponseBody::Stream(body) = response.body() {
        // Nobody reads it, and nobody waits for its end.
        let _ = body.cancel();
    }
    match response.status_code() {
        200..=299 => Ok(()),
        status => Err(SmsError::Status(status)),
    }
}

async fn post(gateway: &Gateway, to: PhoneNumber, code: &Code) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("authorization", &format!("Bearer {}", gateway.secret))?;
    headers.set("content-type", "application/json")?;
    let body = serde_json::to_string(&Message { to, text: &text(code) })?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(headers.as_ref());
    init.set_body(&body.into());
    // The secret goes where the operator said, and nowhere else.
    init.set_redirect(RequestRedirect::Manual);
    let request = Request::new_with_str_and_init(&gateway.url, &init)?;
    let patience = AbortSignal::timeout_with_u32(PATIENCE_MS).into();
    Fetch::Request(request.into()).send_with_signal(&patience).await
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::code::Code;

    #[test]
    fn the_text_fits_one_sms() {
        let text = text(&Code::typed("012345").unwrap());
        assert!(text.contains("012345") && text.contains("estafette"), "{text}");
        assert!(text.is_ascii() && text.len() <= 160, "{text}");
    }
}
