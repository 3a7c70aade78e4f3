//! Web Push: a message to a push service, which wakes the device that subscribed (RFC 8030).
//!
//! Who is pushed to, when and how often is decided in `relay`. Here a push is sealed for the device
//! ([`seal`]), signed for the service ([`vapid`]) and posted, and the service's status goes back. Nothing
//! waits for it, and nothing of an answer is read but its status and `Retry-After`.

pub(crate) mod hosts;
pub(crate) mod seal;
pub(crate) mod vapid;

use estafette_protocol::http::PushSubscription;
use estafette_protocol::limits::PUSH_ENDPOINT_BYTES_MAX;
use estafette_protocol::{ErrorCode, Millis};
use estafette_relay::{Push, PushOutcome};
use worker::js_sys::{Date, Uint8Array};
use worker::web_sys::{AbortSignal, Request, RequestInit, RequestRedirect};
use worker::{Fetch, Headers, Response, ResponseBody};

use crate::js;
use crate::log::{self, Event};
use hosts::{Endpoint, Hosts};
use seal::{Receiver, Seal};
use vapid::Vapid;

/// How long a service may take: less than a burst, so that a hanging one holds no push up.
const PATIENCE_MS: u32 = 8000;

/// What a deployment needs to push.
pub(crate) struct PushSetup {
    pub(crate) vapid: Vapid,
    pub(crate) hosts: Hosts,
}

impl PushSetup {
    /// What a device says of where to push to it, checked and in the form in which it is kept.
    pub(crate) fn check(
        &self,
        subscription: PushSubscription,
    ) -> Result<PushSubscription, ErrorCode> {
        let PushSubscription { endpoint, keys } = subscription;
        if endpoint.len() > PUSH_ENDPOINT_BYTES_MAX {
            return Err(ErrorCode::TooLarge);
        }
        let receiver = Receiver::read(&keys).ok_or(ErrorCode::Malformed)?;
        if !Endpoint::read(&endpoint).is_some_and(|endpoint| self.hosts.allow(endpoint)) {
            return Err(ErrorCode::UnknownPushService);
        }
        Ok(PushSubscription { endpoint, keys: receiver.keys() })
    }
}

/// Why a push did not come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// `VAPID_KEY` is not set any more, or `PUSH_HOSTS` has another list than when the device
    /// subscribed.
    NotAllowed,
    /// It cannot be sealed.
    NotSealed,
    /// The service did not answer in time.
    Timeout,
    /// It could not be reached, or did not speak HTTP.
    Unreachable,
    /// It answered with a status other than 2xx.
    Status(u16),
}

impl PushError {
    /// The label in the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::NotSealed => "not_sealed",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Status(_) => "status",
        }
    }

    /// What it means for the push. What the deployment itself forbids is as if the service did.
    fn outcome(self, retry_after: Option<Millis>) -> PushOutcome {
        match self {
            Self::NotAllowed | Self::NotSealed => PushOutcome::Refused,
            Self::Timeout | Self::Unreachable => PushOutcome::Unavailable { retry_after },
            Self::Status(status) => PushOutcome::of(status, retry_after),
        }
    }
}

/// Hands a push to its service, and says what became of it.
pub(crate) async fn send(setup: Option<&PushSetup>, push: &Push) -> PushOutcome {
    let endpoint = Endpoint::read(&push.subscription.endpoint);
    let service = endpoint.map_or("", |endpoint| endpoint.origin);
    let failed = |error: PushError, retry_after| {
        let outcome = error.outcome(retry_after);
        // A subscription that is over is nobody's fault.
        if outcome != PushOutcome::Gone {
            let refused = outcome == PushOutcome::Refused;
            log::write(&Event::Push { error, refused, service });
        }
        outcome
    };
    let (Some(setup), Some(endpoint)) = (setup, endpoint) else {
        return failed(PushError::NotAllowed, None);
    };
    if !setup.hosts.allow(endpoint) {
        return failed(PushError::NotAllowed, None);
    }
    let Some(sealed) = seal(push) else { return failed(PushError::NotSealed, None) };
    let now = js::now();
    let authorization = setup.vapid.authorization(endpoint.origin, now);
    match post(push, &sealed, &authorization).await {
        Ok(response) => {
            let waits = response.headers().get("retry-after").ok().flatten();
            if let ResponseBody::Stream(body) = response.body() {
                // Nobody reads it, and nobody waits for its end.
                let _ = body.cancel();
            }
            match response.status_code() {
                200..=299 => PushOutcome::Accepted,
                status => {
                    let retry_after = waits.and_then(|text| retry_after(&text, now));
                    failed(PushError::Status(status), retry_after)
                }
            }
        }
        Err(worker::Error::UnknownJsError { name: Some(name), .. }) if name == "TimeoutError" => {
            failed(PushError::Timeout, None)
        }
        Err(_) => failed(PushError::Unreachable, None),
    }
}

fn seal(push: &Push) -> Option<Vec<u8>> {
    let receiver = Receiver::read(&push.subscription.keys)?;
    Seal::draw().ok()?.close(&receiver, &push.payload)
}

async fn post(push: &Push, sealed: &[u8], authorization: &str) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("authorization", authorization)?;
    headers.set("content-encoding", "aes128gcm")?;
    headers.set("content-type", "application/octet-stream")?;
    headers.set("ttl", &push.ttl.to_string())?;
    headers.set("topic", Push::TOPIC)?;
    headers.set("urgency", Push::URGENCY)?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(headers.as_ref());
    init.set_body(&Uint8Array::from(sealed));
    // Only the host that was checked is called.
    init.set_redirect(RequestRedirect::Manual);
    let request = Request::new_with_str_and_init(&push.subscription.endpoint, &init)?;
    let patience = AbortSignal::timeout_with_u32(PATIENCE_MS).into();
    Fetch::Request(request.into()).send_with_signal(&patience).await
}

/// How long a `Retry-After` says to wait: seconds, or until a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Millis) -> Option<Millis> {
    match text.trim().parse::<u32>() {
        Ok(seconds) => Some(Millis::from(seconds) * 1000),
        // What is no date is NaN, which becomes 0.
        Err(_) => (Date::parse(text) as Millis).checked_sub(now),
    }
}

#[cfg(test)]
mod tests {
    use estafette_protocol::http::PushKeys;

    use super::*;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    fn check(endpoint: &str, p256dh: &str, auth: &str) -> Result<PushSubscription, ErrorCode> {
        let key = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
        let vapid = Vapid::read(key, String::new()).unwrap();
        let setup = PushSetup { vapid, hosts: Hosts::read("").unwrap() };
        let keys = PushKeys { p256dh: p256dh.to_owned(), auth: auth.to_owned() };
        setup.check(PushSubscription { endpoint: endpoint.to_owned(), keys })
    }

    #[test]
    fn a_subscription_is_checked_before_an_object_is_woken() {
        const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
        let endpoint = "https://fcm.googleapis.com/fcm/send/a";
        let kept = check(endpoint, &format!("{P256DH}="), &format!("{AUTH}==")).unwrap();
        assert_eq!((kept.keys.p256dh.as_str(), kept.keys.auth.as_str()), (P256DH, AUTH));
        let long = format!("{endpoint}{}", "a".repeat(PUSH_ENDPOINT_BYTES_MAX));
        for (endpoint, p256dh, auth, code) in [
            ("https://evil.example/a", P256DH, AUTH, ErrorCode::UnknownPushService),
            ("http://fcm.googleapis.com/a", P256DH, AUTH, ErrorCode::UnknownPushService),
            ("", P256DH, AUTH, ErrorCode::UnknownPushService),
            (&long, P256DH, AUTH, ErrorCode::TooLarge),
            (endpoint, "AAAA", AUTH, ErrorCode::Malformed),
            (endpoint, P256DH, "AAAA", ErrorCode::Malformed),
        ] {
            assert_eq!(check(endpoint, p256dh, auth), Err(code), "{endpoint} {p256dh} {auth}");
        }
    }

    #[test]
    fn what_fails_here_is_refused_and_what_fails_there_is_tried_again() {
        let wait = PushOutcome::Unavailable { retry_after: Some(7) };
        for (error, outcome) in [
            (PushError::NotAllowed, PushOutcome::Refused),
            (PushError::Timeout, wait),
            (PushError::Unreachable, wait),
            (PushError::Status(503), wait),
            (PushError::Status(307), wait),
            (PushError::Status(403), PushOutcome::Refused),
            (PushError::Status(410), PushOutcome::Gone),
        ] {
            assert_eq!(error.outcome(Some(7)), outcome, "{error:?}");
        }
    }
}
