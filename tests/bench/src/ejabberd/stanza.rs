//! As much of XML as ejabberd's answers need, and the stanzas that are sent.
//!
//! ejabberd writes well-formed elements without comments or CDATA, so a stanza ends where the tags
//! that were opened are closed. Nothing is unescaped: addresses and ids are the bench's own.

use memchr::{memchr, memmem};

use crate::texts::{Texts, turn};

/// The length of the first complete element of `input`, white space before it included. The head
/// of a stream and a closing tag without an opening one count as elements.
pub(super) fn first_element(input: &[u8]) -> Option<usize> {
    let mut depth = 0_u32;
    let mut at = 0;
    loop {
        let begin = at + memchr(b'<', input.get(at..)?)?;
        let end = begin + tag_length(input.get(begin..)?)?;
        let tag = input.get(begin..end)?;
        at = end;
        if tag.starts_with(b"<?") {
            continue;
        }
        if tag.starts_with(b"<stream:stream") {
            return Some(end);
        }
        if tag.starts_with(b"</") {
            depth = depth.saturating_sub(1);
        } else if !tag.ends_with(b"/>") {
            depth += 1;
        }
        if depth == 0 {
            return Some(end);
        }
    }
}

fn tag_length(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, &byte) in tag.iter().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'>' => return Some(at + 1),
            None if byte == b'\'' || byte == b'"' => quote = Some(byte),
            None => {}
        }
    }
    None
}

/// The name of an element, such as `message`; of a closing tag, with its slash.
pub(super) fn name(element: &[u8]) -> &[u8] {
    let begin = memchr(b'<', element).map_or(0, |at| at + 1);
    let rest = element.get(begin..).unwrap_or_default();
    let length = rest
        .iter()
        .skip(1)
        .position(|byte| matches!(byte, b' ' | b'>' | b'/' | b'\n'))
        .map_or(rest.len(), |at| at + 1);
    rest.get(..length).unwrap_or_default()
}

/// The value of an attribute of the outermost tag of `element`.
pub(super) fn attribute<'a>(element: &'a [u8], name: &str) -> Option<&'a str> {
    let tag = element.get(..tag_length(element)?)?;
    let mut from = 0;
    loop {
        let at = from + memmem::find(tag.get(from..)?, name.as_bytes())?;
        from = at + name.len();
        let before = *tag.get(at.checked_sub(1)?)?;
        let (&equals, rest) = tag.get(from..)?.split_first()?;
        if before == b' ' && equals == b'=' {
            let (&quote, rest) = rest.split_first()?;
            return std::str::from_utf8(rest.get(..memchr(quote, rest)?)?).ok();
        }
    }
}

/// The part of `element` from the first child, at any depth, whose tag begins with `tag`.
pub(super) fn child<'a>(element: &'a [u8], tag: &str) -> Option<&'a [u8]> {
    element.get(memmem::find(element, tag.as_bytes())?..)
}

/// Everything of a message after its id, escaped once for all runs.
#[derive(Debug)]
pub(super) struct Bodies {
    tails: Vec<String>,
}

impl Bodies {
    pub(super) fn new(texts: &Texts) -> Self {
        let tails = texts.lines().iter().map(|text| {
            let body = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            format!(
                "'><body>{body}</body><request xmlns='urn:xmpp:receipts'/>\
                 <markable xmlns='urn:xmpp:chat-markers:0'/></message>"
            )
        });
        Self { tails: tails.collect() }
    }

    /// The tail of message `number` of the pair `pair`.
    pub(super) fn tail(&self, pair: u32, number: u32) -> &str {
        self.tails.get(turn(self.tails.len(), pair, number)).map_or("'/>", String::as_str)
    }
}

/// Writes the messages of one user to another.
#[derive(Debug)]
pub(super) struct Letters {
    head: String,
    bodies: std::sync::Arc<Bodies>,
    pair: u32,
}

impl Letters {
    pub(super) fn new(recipient: u32, pair: u32, bodies: std::sync::Arc<Bodies>) -> Self {
        let head = format!("<message to='u{recipient}@localhost' type='chat' id='");
        Self { head, bodies, pair }
    }

    /// Appends message `number`, which is also its id.
    pub(super) fn write(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        push_number(out, number);
        out.extend_from_slice(self.bodies.tail(self.pair, number).as_bytes());
    }
}

/// Appends a delivery receipt for message `number`.
pub(super) fn write_receipt(to: &str, number: u32, out: &mut Vec<u8>) {
    write_answer(to, "received xmlns='urn:xmpp:receipts'", number, out);
}

/// Appends a displayed marker for message `number`.
pub(super) fn write_displayed(to: &str, number: u32, out: &mut Vec<u8>) {
    write_answer(to, "displayed xmlns='urn:xmpp:chat-markers:0'", number, out);
}

fn write_answer(to: &str, what: &str, number: u32, out: &mut Vec<u8>) {
    for part in ["<message to='", to, "' type='chat'><", what, " id='"] {
        out.extend_from_slice(part.as_bytes());
    }
    push_number(out, number);
    out.extend_from_slice(b"'/></message>");
}

/// Appends a number in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(number.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_a_stream_into_its_elements() {
        let stream = b"<?xml version='1.0'?><stream:stream id='1' from='a>b'>\
            <stream:features><m>PLAIN</m><n/></stream:features> <a h='3'/>\
            <message id='7'><body>1 &lt; 2 'quoted</body></message></stream:stream><mess";
        let mut rest = stream.as_slice();
        let mut names = Vec::new();
        while let Some(length) = first_element(rest) {
            let (element, after) = rest.split_at(length);
            names.push(String::from_utf8_lossy(name(element.trim_ascii_start())).into_owned());
            rest = after;
        }
        assert_eq!(names, ["?xml", "stream:features", "a", "message", "/stream:stream"],);
        assert_eq!(rest, b"<mess");
    }

    #[test]
    fn an_element_cut_anywhere_is_not_complete() {
        let element = b"<message id='7'><body>hi</body><x y='/>'/></message>";
        for cut in 0..element.len() {
            assert_eq!(element.get(..cut).and_then(first_element), None, "cut at {cut}");
        }
        assert_eq!(first_element(element), Some(element.len()));
    }

    #[test]
    fn finds_attributes_of_the_outer_tag_only() {
        let element = b"<message xml:id='no' id='7' to=\"b\"><received id='9'/></message>";
        assert_eq!(attribute(element, "id"), Some("7"));
        assert_eq!(attribute(element, "to"), Some("b"));
        assert_eq!(attribute(element, "from"), None);
        let received = child(element, "<received").and_then(|child| attribute(child, "id"));
        assert_eq!(received, Some("9"));
    }
}
