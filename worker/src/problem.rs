//! Failures as HTTP answers: a status, headers and a JSON body, the same for every route.

use estafette_protocol::http::Problem;
use estafette_protocol::{ErrorCode, Millis};
use estafette_relay::Refusal;

use crate::route::Unrouted;
use crate::token::TokenError;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) retry_after: Option<Millis>,
    /// The methods of the path, where the method was wrong.
    pub(crate) allow: Option<&'static str>,
}

impl Failure {
    /// A failure that can pass, and when to try again.
    pub(crate) fn for_now(code: ErrorCode, retry_after: Millis) -> Self {
        Self { code, retry_after: Some(retry_after), allow: None }
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> String {
        let Self { code, retry_after, .. } = *self;
        let problem = Problem { error: code, message: sentence(code).to_owned(), retry_after };
        // Two strings and an integer: writing them cannot fail.
        serde_json::to_string(&problem).unwrap_or_default()
    }

    /// The headers that go with it, beside those of every answer.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let retry_after = self.retry_after.map(|wait| wait.div_ceil(1000).max(1).to_string());
        // RFC 9110, section 11.6.1. What section 15.5.22 wants of 426, the platform drops.
        let challenge = (self.code.status() == 401).then(|| "Bearer".to_owned());
        let all = [
            ("retry-after", retry_after),
            ("allow", self.allow.map(str::to_owned)),
            ("www-authenticate", challenge),
        ];
        all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: None, allow: None }
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal { code, retry_after }: Refusal) -> Self {
        Self { code, retry_after, allow: None }
    }
}

impl From<Unrouted> for Failure {
    fn from(unrouted: Unrouted) -> Self {
        match unrouted {
            Unrouted::NotFound => ErrorCode::NotFound.into(),
            Unrouted::MethodNotAllowed(allow) => {
                Self { allow: Some(allow), ..ErrorCode::MethodNotAllowed.into() }
            }
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => ErrorCode::TokenInvalid.into(),
            TokenError::Expired => ErrorCode::TokenExpired.into(),
        }
    }
}

/// What to do about it, for people.
fn sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Malformed => "The request is not what the API describes: see /v1/openapi.json.",
        ErrorCode::TooLarge => "The request, or a text in it, is longer than it may be.",
        ErrorCode::InvalidNumber => {
            "A phone number is a plus sign, the country code and the number, without spaces."
        }
        ErrorCode::NotFound => "There is nothing at this path: see /v1/openapi.json.",
        ErrorCode::MethodNotAllowed => "The path has other methods: see the header Allow.",
        ErrorCode::Gone => "The upload was ended, or its day is over: begin a new one.",
        ErrorCode::LengthRequired => "Say how long the body is: Content-Length.",
        ErrorCode::UnsupportedVersion => "This is tus 1.0.0: send Tus-Resumable: 1.0.0.",
        ErrorCode::UnsupportedMediaType => {
            "Bytes have the type application/offset+octet-stream in an upload, of a picture \
             application/octet-stream."
        }
        ErrorCode::UnsatisfiableRange => "The file is shorter: see the header Content-Range.",
        ErrorCode::WrongOffset => "The upload stands elsewhere: ask with HEAD where.",
        ErrorCode::ChecksumMismatch => "That is not what arrived: send the same bytes again.",
        ErrorCode::UpgradeRequired => {
            "This path is for WebSockets that offer estafette.v1.json or estafette.v1.cbor."
        }
        ErrorCode::TokenMissing => "Send the device's token as Authorization: Bearer.",
        ErrorCode::TokenInvalid => "The token was not signed by this server: register again.",
        ErrorCode::TokenExpired => "The token's time is over: register again.",
        ErrorCode::DeviceRemoved => "The device no longer belongs to the account: register again.",
        ErrorCode::Suspended => {
            "The account is suspended: turn to whoever runs this server. It can still be exported and \
             deleted."
        }
        ErrorCode::WrongCode => "That is not the code that was sent: read it again.",
        ErrorCode::CodeExpired => "There is no code to compare with: ask for a new one.",
        ErrorCode::PinRequired => {
            "The account has a registration PIN: send it with the code, or wait until it opens."
        }
        ErrorCode::WrongPin => "That is not the account's registration PIN.",
        ErrorCode::LinkExpired => {
            "The code is no longer good: let the new device show another one."
        }
        ErrorCode::NotPrimary => "Do that on the account's primary device: see /v1/devices.",
        ErrorCode::Waiting => "Something waits for this device: connect and fetch it first.",
        ErrorCode::TooManyPeople => {
            "The account says something of as many others as it may: forget one first."
        }
        ErrorCode::TooManyDevices => "The account has as many devices as it may: remove one first.",
        ErrorCode::RateLimited => "That was too often: wait.",
        ErrorCode::BudgetExhausted => "The account's work of the day is used up: wait.",
        ErrorCode::QuotaExhausted => "The account has uploaded enough for today: wait.",
        ErrorCode::LookupLimit => {
            "The account has looked up as many numbers as it may for now: wait, or ask for fewer."
        }
        ErrorCode::TooManyUploads => "Finish or end one of the uploads that are under way.",
        ErrorCode::SmsUnavailable => "The code could not be sent: ask for another one later.",
        ErrorCode::UnknownPushService => {
            "The endpoint is at no push service that this server sends to: see PUSH_HOSTS."
        }
        ErrorCode::PushUnavailable => "This server sends no pushes: connect to get messages.",
        ErrorCode::ReportsUnavailable => {
            "The report was not taken, or this server takes none: blocking works all the same."
        }
        ErrorCode::Unavailable => "A part of the server did not answer: send the request again.",
        _ => "The server failed: send the request again.",
    }
}

#[cfg(test)]
mod tests {
    use estafette_protocol::ErrorCode;

    use super::Failure;
    use crate::route::Unrouted;

    fn headers(failure: Failure) -> Vec<(&'static str, String)> {
        failure.headers().collect()
    }

    #[test]
    fn a_failure_says_when_to_try_again() {
        let failure = Failure::for_now(ErrorCode::RateLimited, 1001);
        assert_eq!(headers(failure), [("retry-after", "2".to_owned())]);
        let body = failure.body();
        assert!(body.contains(r#""error":"rate_limited""#), "{body}");
        assert!(body.contains(r#""retry_after":1001"#), "{body}");
    }

    #[test]
    fn the_standard_headers_go_with_their_status() {
        let allow = headers(Unrouted::MethodNotAllowed("POST").into());
        assert_eq!(allow, [("allow", "POST".to_owned())]);
        let challenge = [("www-authenticate", "Bearer".to_owned())];
        assert_eq!(headers(ErrorCode::TokenExpired.into()), challenge);
        assert_eq!(headers(ErrorCode::DeviceRemoved.into()), challenge);
        assert!(headers(ErrorCode::NotFound.into()).is_empty());
    }
}
