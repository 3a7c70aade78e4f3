//! One-time codes on their way to the SMS gateway.

use estafette_protocol::PhoneNumber;
use serde::Serialize;

use crate::code::Code;
use crate::gateway::{Gateway, GatewayError, post};

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
pub(crate) async fn send(
    gateway: &Gateway,
    to: PhoneNumber,
    code: &Code,
) -> Result<(), GatewayError> {
    // Two texts: writing them cannot fail.
    let message = serde_json::to_string(&Message { to, text: &text(code) }).unwrap_or_default();
    post(gateway, &message).await
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
