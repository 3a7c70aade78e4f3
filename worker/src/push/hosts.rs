//! The push services that this server sends to, and the endpoints that are theirs.
//!
//! Invariant: an endpoint has no reading but this one. What a parser of URLs could understand
//! otherwise (user names, backslashes, escapes or capitals in a host, line breaks) is none, so that no
//! other address is called than the one that was checked.

/// The services of the browsers that there are: Chrome's, that of Chromium which others than Google
/// have built, Firefox's, Safari's, Edge's.
const KNOWN: &str = "fcm.googleapis.com jmt17.google.com *.push.services.mozilla.com
    *.push.apple.com *.notify.windows.com";

/// What a URL in its normal form never has, or not before a fragment.
const NEVER: &[u8] = b"\"#<>\\^`{|}";

/// Which hosts may be pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// This host, by HTTPS.
    Host(String),
    /// Every host whose name ends so, by HTTPS.
    Below(String),
    /// This very machine, by HTTP; on any port when none is named.
    Here { host: String, port: Option<u16> },
}

/// An address that a push may be posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint<'a> {
    is_https: bool,
    host: &'a str,
    port: Option<u16>,
    /// What comes before the path: the audience of a token (RFC 8292, section 2).
    pub(crate) origin: &'a str,
}

impl<'a> Endpoint<'a> {
    /// Reads an absolute URL in its normal form.
    pub(crate) fn read(url: &'a str) -> Option<Self> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && !NEVER.contains(&byte)) {
            return None;
        }
        let (is_https, rest) = match url.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(read_port(port)?)),
            None => (authority, None),
        };
        let origin = url.get(..url.len() - path.len() - 1)?;
        is_host(host).then_some(Self { is_https, host, port, origin })
    }
}

/// Letters in lower case, digits, dots and hyphens.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn read_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

impl Hosts {
    /// Reads patterns with spaces or commas between; none are the known services. `None` when one is
    /// no pattern.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let patterns = |text: &str| {
            let words = text.split([' ', ',', '\n']).filter(|word| !word.is_empty());
            words.map(Pattern::read).collect::<Option<Vec<_>>>()
        };
        match patterns(text)? {
            none if none.is_empty() => patterns(KNOWN).map(Self),
            some => Some(Self(some)),
        }
    }

    /// Whether this is an endpoint of one of them.
    pub(crate) fn allow(&self, endpoint: Endpoint<'_>) -> bool {
        self.0.iter().any(|pattern| pattern.matches(endpoint))
    }
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        if let Some(here) = text.strip_prefix("http://") {
            let (host, port) = match here.split_once(':') {
                Some((host, port)) => (host, Some(read_port(port)?)),
                None => (here, None),
            };
            let host = Some(host).filter(|host| ["127.0.0.1", "localhost"].contains(host))?;
            return Some(Self::Here { host: host.to_owned(), port });
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        // A pattern for all of a top-level domain is a mistake.
        if !is_host(name) || !name.contains('.') {
            return None;
        }
        Some(if below { Self::Below(format!(".{name}")) } else { Self::Host(name.to_owned()) })
    }

    fn matches(&self, endpoint: Endpoint<'_>) -> bool {
        let Endpoint { is_https, host, port, .. } = endpoint;
        match self {
            Self::Host(name) => is_https && port.is_none() && host == name,
            Self::Below(suffix) => is_https && port.is_none() && host.ends_with(suffix.as_str()),
            Self::Here { host: here, port: open } => {
                !is_https && host == here && (open.is_none() || port == *open)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Hosts};

    fn allow(hosts: &str, url: &str) -> bool {
        let hosts = Hosts::read(hosts).unwrap();
        Endpoint::read(url).is_some_and(|endpoint| hosts.allow(endpoint))
    }

    #[test]
    fn the_known_services_are_allowed_and_no_other() {
        for url in [
            "https://fcm.googleapis.com/fcm/send/abc:APA91b",
            "https://jmt17.google.com/fcm/send/abc:APA91b",
            "https://updates.push.services.mozilla.com/wpush/v2/gAAA_-=",
            "https://web.push.apple.com/QGu",
            "https://db5p.notify.windows.com/w/?token=BQYAAAC%2b",
        ] {
            assert!(allow("", url), "{url}");
        }
        for url in [
            "",
            "https://",
            "https://fcm.googleapis.com",
            "http://fcm.googleapis.com/fcm/send/a",
            "HTTPS://fcm.googleapis.com/a",
            "https://FCM.googleapis.com/a",
            "https://fcm.googleapis.com./a",
            "https://fcm.googleapis.com:443/a",
            "https://fcm.googleapis.com:8443/a",
            "https://fcm.googleapis.com@evil.example/a",
            "https://user:word@fcm.googleapis.com/a",
            "https://evil.example\\@fcm.googleapis.com/a",
            "https://evil.example#@fcm.googleapis.com/a",
            "https://evil.example?.fcm.googleapis.com/a",
            "https://evil.example/fcm.googleapis.com/a",
            "https://fcm.googleapis.com.evil.example/a",
            "https://evilfcm.googleapis.com/a",
            "https://push.apple.com/a",
            "https://.push.apple.com/a",
            "https://evil.example%2f.push.apple.com/a",
            "https://x.push.apple.com%00.evil.example/a",
            "https://a b.push.apple.com/a",
            "https://fcm.googleapis.com/a\r\nhost: x",
            "https://fcm.googleapis.com/a\tb",
            "https://fcm.googleapis.com/é",
            "https://fcm.gооgleapis.com/a",
            " https://fcm.googleapis.com/a",
            "//fcm.googleapis.com/a",
            "https:/fcm.googleapis.com/a",
            "https:///fcm.googleapis.com/a",
            "file://fcm.googleapis.com/a",
            "http://127.0.0.1/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://169.254.169.254/latest/meta-data/",
        ] {
            assert!(!allow("", url), "{url}");
        }
    }

    #[test]
    fn a_list_takes_the_place_of_the_known_ones() {
        let hosts = "push.example.org, *.example.net";
        assert!(allow(hosts, "https://push.example.org/a"));
        assert!(allow(hosts, "https://a.b.example.net/a"));
        assert!(!allow(hosts, "https://example.net/a"));
        assert!(!allow(hosts, "https://fcm.googleapis.com/a"));
    }

    #[test]
    fn without_encryption_to_this_machine_only() {
        assert!(allow("http://127.0.0.1", "http://127.0.0.1/a"));
        assert!(allow("http://127.0.0.1", "http://127.0.0.1:8080/a"));
        assert!(allow("http://127.0.0.1:8080", "http://127.0.0.1:8080/a"));
        assert!(allow("http://localhost:8080", "http://localhost:8080/a"));
        for url in [
            "http://127.0.0.1/a",
            "http://127.0.0.1:80800/a",
            "http://127.0.0.1:8081/a",
            "http://127.0.0.1:08080/a",
            "http://127.0.0.1:/a",
            "http://127.0.0.1:+8080/a",
            "https://127.0.0.1:8080/a",
            "http://localhost:8080/a",
            "http://2130706433:8080/a",
            "http://127.0.0.1:8080@evil.example/a",
        ] {
            assert!(!allow("http://127.0.0.1:8080", url), "{url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_named_as_wrong() {
        for text in [
            "*",
            "*.com",
            "com",
            "https://push.example.org",
            "http://push.example.org",
            "http://127.0.0.2",
            "http://127.0.0.1:0",
            "http://127.0.0.1/path",
            "push.example.org/path",
            "push.example.org:443",
            "a.*.example.org",
            "Push.example.org",
            "push..example.org",
        ] {
            assert_eq!(Hosts::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_origin_is_what_comes_before_the_path() {
        let origin = |url| Endpoint::read(url).map(|endpoint| endpoint.origin);
        assert_eq!(origin("https://fcm.googleapis.com/a/b"), Some("https://fcm.googleapis.com"));
        assert_eq!(origin("http://127.0.0.1:80/"), Some("http://127.0.0.1:80"));
    }
}
