//! An SMS gateway on the loopback interface: real HTTP, no phones.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};
use serde::Deserialize;

use crate::inbox::{Behaviour, Inbox};

/// A message that the Worker asked to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sms {
    /// The number, in E.164 form.
    pub to: String,
    /// The text, which holds the code.
    pub text: String,
}

/// The gateway. It ends when it is dropped.
#[derive(Debug)]
pub struct SmsGateway {
    inbox: Inbox<Sms>,
    /// How many messages to a number were asked for.
    taken: Mutex<HashMap<String, usize>>,
}

impl SmsGateway {
    /// Listens on a free port for requests that carry `secret`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(secret: &str) -> Result<Self> {
        Self::start_with(secret, |_| ())
    }

    /// As [`SmsGateway::start`], and calls `on_message` with each message that it takes.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_with(secret: &str, on_message: impl Fn(&Sms) + Send + 'static) -> Result<Self> {
        Ok(Self { inbox: Inbox::start(secret, on_message)?, taken: Mutex::default() })
    }

    /// Where the Worker is to post, its `SMS_URL`.
    pub fn url(&self) -> String {
        self.inbox.url()
    }

    /// What the Worker is to show, its `SMS_SECRET`.
    pub fn secret(&self) -> &str {
        self.inbox.secret()
    }

    /// Changes how it answers from now on. Requests that hang are let go, unanswered.
    pub fn behave(&self, behaviour: Behaviour) {
        self.inbox.behave(behaviour);
    }

    /// The code of the oldest message to `number` that was not asked for yet; waits for one.
    ///
    /// # Errors
    /// When none comes within 20 seconds, or it holds no six digits.
    pub fn code_for(&self, number: &str) -> Result<String> {
        let taken = {
            let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = all.entry(number.to_owned()).or_default();
            *taken += 1;
            *taken - 1
        };
        let text = self.inbox.wait_for(&format!("a message to {number}"), |messages| {
            let mut to = messages.iter().filter(|message| message.to == number);
            to.nth(taken).map(|message| message.text.clone())
        })?;
        let code = code_in(&text).map(str::to_owned);
        code.ok_or_else(|| anyhow!("the message to {number} holds no code"))
    }

    /// Every message that it took, oldest first.
    pub fn messages(&self) -> Vec<Sms> {
        self.inbox.messages()
    }

    /// How many requests it refused for the wrong secret, method or content.
    pub fn refused(&self) -> usize {
        self.inbox.refused()
    }

    /// How many requests hang.
    pub fn hanging(&self) -> usize {
        self.inbox.hanging()
    }
}

/// The first six digits in a row that stand alone.
fn code_in(text: &str) -> Option<&str> {
    text.split(|character: char| !character.is_ascii_digit()).find(|digits| digits.len() == 6)
}

#[cfg(test)]
mod tests {
    use super::code_in;

    #[test]
    fn a_code_is_six_digits_that_stand_alone() {
        assert_eq!(code_in("Your code is 012345. It is good for 10 minutes."), Some("012345"));
        assert_eq!(code_in("call +33600000001"), None);
        assert_eq!(code_in(""), None);
    }
}
