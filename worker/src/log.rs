//! What an operator is told: one line of JSON an event.
//!
//! Invariant: the fields are closed, and none holds a number, token, code, name or body.

use estafette_relay::StorageError;
use serde::Serialize;

use crate::gateway::GatewayError;
use crate::push::PushError;
use crate::setup::SetupError;

/// Something that an operator may have to look after.
pub(crate) enum Event<'a> {
    /// A variable, secret or binding is wrong.
    Setup(SetupError),
    /// An object's database failed; its state was dropped and is read again.
    Storage(&'a StorageError),
    /// An account's object did not answer.
    Object {
        /// It has too much to do.
        overloaded: bool,
        /// The platform thinks that asking again may help.
        retryable: bool,
    },
    /// The store of files failed at an operation.
    Store {
        /// Which.
        operation: &'static str,
        /// R2's number of the error; 0 or 1 where it has none.
        number: u32,
    },
    /// A rate-limit binding did not answer; the request was let through.
    RateLimit,
    /// The SMS gateway did not take a code.
    Sms(GatewayError),
    /// Whoever is to take reports did not take one.
    Report(GatewayError),
    /// A push service did not take a push.
    Push {
        /// Why.
        error: PushError,
        /// This server is not set up as the service wants it, so the push is not tried again.
        refused: bool,
        /// The service: scheme and host.
        service: &'a str,
    },
    /// A fault of this program. All that the isolate had in memory is lost.
    Panic {
        /// File and line.
        at: &'a str,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overloaded: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
}

/// Writes the line of an event.
pub(crate) fn write(event: &Event<'_>) {
    worker::console_error!("{}", line(event));
}

fn line(event: &Event<'_>) -> String {
    let text = match event {
        Event::Setup(error) => error.to_string(),
        Event::Storage(error) => error.to_string(),
        Event::Sms(error) | Event::Report(error) => error.label().to_owned(),
        Event::Push { error, .. } => error.label().to_owned(),
        Event::Panic { at } => (*at).to_owned(),
        Event::Store { operation, .. } => (*operation).to_owned(),
        Event::Object { .. } | Event::RateLimit => String::new(),
    };
    let (level, event_name) = match event {
        Event::Setup(_) => ("error", "setup_wrong"),
        Event::Storage(_) => ("error", "storage_failed"),
        Event::Sms(_) => ("error", "sms_failed"),
        Event::Report(_) => ("error", "report_failed"),
        Event::Push { refused: true, .. } => ("error", "push_refused"),
        Event::Push { .. } => ("warn", "push_failed"),
        Event::Panic { .. } => ("error", "panic"),
        Event::Object { .. } => ("warn", "object_failed"),
        Event::Store { .. } => ("warn", "store_failed"),
        Event::RateLimit => ("warn", "rate_limit_failed"),
    };
    let mut line = Line {
        level,
        event: event_name,
        reason: Some(text.as_str()).filter(|text| !text.is_empty()),
        status: None,
        number: None,
        service: None,
        overloaded: None,
        retryable: None,
    };
    match *event {
        Event::Sms(GatewayError::Status(status)) | Event::Report(GatewayError::Status(status)) => {
            line.status = Some(status)
        }
        Event::Store { number, .. } => line.number = Some(number),
        Event::Push { error, service, .. } => {
            line.service = Some(service);
            if let PushError::Status(status) = error {
                line.status = Some(status);
            }
        }
        Event::Object { overloaded, retryable } => {
            (line.overloaded, line.retryable) = (Some(overloaded), Some(retryable));
        }
        _ => {}
    }
    // Strings, integers and booleans: writing them cannot fail.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use estafette_relay::StorageError;

    use super::{Event, line};
    use crate::gateway::GatewayError;
    use crate::push::PushError;
    use crate::setup::{SetupError, SetupFault};

    #[test]
    fn each_event_is_one_line_of_json() {
        let setup = SetupError { variable: "TOKEN_KEY", fault: SetupFault::Missing };
        for (event, expected) in [
            (
                Event::Setup(setup),
                r#"{"level":"error","event":"setup_wrong","reason":"TOKEN_KEY is not set"}"#,
            ),
            (
                Event::Storage(&StorageError::Row("a float")),
                r#"{"level":"error","event":"storage_failed","reason":"a stored row cannot be read: a float"}"#,
            ),
            (
                Event::Sms(GatewayError::Status(503)),
                r#"{"level":"error","event":"sms_failed","reason":"status","status":503}"#,
            ),
            (
                Event::Report(GatewayError::Status(500)),
                r#"{"level":"error","event":"report_failed","reason":"status","status":500}"#,
            ),
            (
                Event::Report(GatewayError::Timeout),
                r#"{"level":"error","event":"report_failed","reason":"timeout"}"#,
            ),
            (
                Event::Object { overloaded: true, retryable: false },
                r#"{"level":"warn","event":"object_failed","overloaded":true,"retryable":false}"#,
            ),
            (
                Event::Store { operation: "put", number: 10001 },
                r#"{"level":"warn","event":"store_failed","reason":"put","number":10001}"#,
            ),
            (
                Event::Push {
                    error: PushError::Status(403),
                    refused: true,
                    service: "https://push.example",
                },
                r#"{"level":"error","event":"push_refused","reason":"status","status":403,"service":"https://push.example"}"#,
            ),
            (
                Event::Push { error: PushError::Timeout, refused: false, service: "https://a.b" },
                r#"{"level":"warn","event":"push_failed","reason":"timeout","service":"https://a.b"}"#,
            ),
            (Event::RateLimit, r#"{"level":"warn","event":"rate_limit_failed"}"#),
        ] {
            assert_eq!(line(&event), expected);
        }
    }
}
