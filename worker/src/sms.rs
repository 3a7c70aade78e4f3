//! The SMS gateway: one HTTP POST a code.

use estafette_protocol::PhoneNumber;
use serde::Serialize;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use crate::code::Code;
use crate::js::{self, AbortSignal, Headers, RequestInit, Response};
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
    let message = Message { to, text: &text(code) };
    // Two strings: writing them cannot fail.
    let body = serde_json::to_string(&message).unwrap_or_default();
    let headers = Headers::new();
    headers.set("authorization", &format!("Bearer {}", gateway.secret));
    headers.set("content-type", "application/json");
    let init: RequestInit = js::dictionary();
    init.set_method("POST");
    init.set_request_headers(&headers);
    init.set_body(&body);
    // The secret goes where the operator said, and nowhere else.
    init.set_redirect("manual");
    init.set_signal(&AbortSignal::timeout(PATIENCE_MS));
    let answer = JsFuture::from(js::fetch(&gateway.url, &init)).await.map_err(|error| {
        if js::name(&error) == "TimeoutError" { SmsError::Timeout } else { SmsError::Unreachable }
    })?;
    let response: Response = answer.unchecked_into();
    if let Some(body) = response.response_body() {
        // Nobody reads it, and nobody waits for its end.
        let _ = body.cancel();
    }
    match response.status() {
        200..=299 => Ok(()),
        status => Err(SmsError::Status(status)),
    }
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
