//! The addresses in QR codes: what is written can be read, and what strangers write harms nothing.

#![allow(clippy::unwrap_used)]

use estafette::{ChatUrl, LinkUrl, UrlError, read_number};

const CODE: &str = "0123456789abcdef0123456789abcdef01234567";
/// In base64url, with the characters that base64 has not.
const KEY: [u8; 32] = [0xfb; 32];

#[test]
fn what_is_written_can_be_read() {
    for name in ["laptop", "Zoé's café ☕", "a+b & c=d?#%2B/", &"é".repeat(32)] {
        let url = LinkUrl::new(CODE, KEY, name).unwrap();
        let text = url.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        assert_eq!(text.parse(), Ok(url), "{text}");
    }
    let url = LinkUrl::new(&CODE.to_uppercase(), [7; 32], "my laptop").unwrap();
    assert_eq!(
        url.to_string(),
        format!(
            "estafette://link?code={CODE}&key=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc&name=my%20laptop"
        )
    );
}

#[test]
fn what_others_write_can_be_read() {
    let url = LinkUrl::new(CODE, [7; 32], "my laptop").unwrap();
    let sevens = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    for text in [
        format!("  estafette://link?name=my+laptop&key={sevens}&code={CODE}\n"),
        format!("ESTAFETTE://LINK?code={CODE}&key={sevens}=&name=my%20laptop&v=2&x"),
        format!("estafette://link/?code={CODE}&key={sevens}&name=my%20laptop#there"),
    ] {
        assert_eq!(text.parse(), Ok(url.clone()), "{text}");
    }
}

#[test]
fn what_is_no_link_says_what_is_wrong() {
    let sevens = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let link = |code: &str, key: &str, name: &str| {
        format!("estafette://link?code={code}&key={key}&name={name}").parse::<LinkUrl>()
    };
    let part = |part| Err(UrlError::Part(part));
    assert!(link(CODE, sevens, "x").is_ok());
    assert_eq!(link(&CODE[1..], sevens, "x"), part("code"));
    assert_eq!(link(&CODE.replace('0', "g"), sevens, "x"), part("code"));
    assert_eq!(link(&format!("{CODE}&code={CODE}"), sevens, "x"), part("code"));
    assert_eq!(link(CODE, &sevens[4..], "x"), part("key"));
    assert_eq!(link(CODE, &format!("BwcH{sevens}"), "x"), part("key"));
    assert_eq!(link(CODE, &sevens.replace('B', "%2B"), "x"), part("key"));
    assert_eq!(link(CODE, sevens, ""), part("name"));
    assert_eq!(link(CODE, sevens, "%1b[2J"), part("name"));
    assert_eq!(link(CODE, sevens, "%ff"), part("name"));
    assert!(link(CODE, sevens, &"x".repeat(64)).is_ok());
    assert_eq!(link(CODE, sevens, &"x".repeat(65)), part("name"));
    assert_eq!(
        format!("estafette://link?code={CODE}&key={sevens}").parse::<LinkUrl>(),
        part("name")
    );
    let long = format!("&x={}", "x".repeat(1000));
    for other in
        ["", "estafette", "https://example.org", "estafette://chat/+33612345678", "☕☕☕☕☕☕"]
    {
        assert!(matches!(other.parse::<LinkUrl>(), Err(UrlError::OtherKind(_))), "{other}");
    }
    assert!(matches!(link(CODE, sevens, &format!("x{long}")), Err(UrlError::OtherKind(_))));
}

#[test]
fn a_contact_is_a_number() {
    let alice = ChatUrl(read_number("+33612345678").unwrap());
    assert_eq!(alice.to_string(), "estafette://chat/+33612345678");
    for text in [
        "estafette://chat/+33612345678",
        " Estafette://Chat/+33612345678/\n",
        "estafette://chat/%2B33612345678?name=Alice",
    ] {
        assert_eq!(text.parse(), Ok(alice), "{text}");
    }
    for text in ["estafette://chat/", "estafette://chat/33612345678", "estafette://chat/+33/6"] {
        assert_eq!(text.parse::<ChatUrl>(), Err(UrlError::Part("number")), "{text}");
    }
    for text in ["+33612345678", "estafette://link?code=1", "estafette:chat/+33612345678"] {
        assert!(matches!(text.parse::<ChatUrl>(), Err(UrlError::OtherKind(_))), "{text}");
    }
}
