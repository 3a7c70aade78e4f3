//! Who of an address book is here, from the command line and the library.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fake;
mod machine;

use std::fs;
use std::sync::{Arc, Mutex};

use estafette::limits::LOOKUP_NUMBERS_MAX;
use estafette::{
    Attribute, Audience, ErrorCode, Known, People, Person, Privacy, Server, Usage, read_book,
};
use estafette_protocol::http::{Lookup, LookupRequest};
use fake::{ALICE, BOB, Fake, TOKEN, number, problem, registered_answer};
use machine::{Machine, error, lines, text};
use serde_json::json;

/// A server where whoever has an even number lets himself be found.
struct Register {
    number: Audience,
    people: Vec<Known>,
    left: u64,
    /// How many numbers each look-up had.
    asked: Vec<usize>,
}

impl Register {
    fn answers(&mut self, line: &str, body: &str) -> (u16, String) {
        match line {
            "POST /v1/registration" => registered_answer(),
            "GET /v1/privacy" => {
                let privacy = Privacy { number: self.number, ..Privacy::default() };
                (200, serde_json::to_string(&privacy).unwrap())
            }
            "GET /v1/people" => {
                let people = People { people: self.people.clone() };
                (200, serde_json::to_string(&people).unwrap())
            }
            "GET /v1/usage" => {
                let usage = Usage { lookups_left: self.left, ..Usage::default() };
                (200, serde_json::to_string(&usage).unwrap())
            }
            "POST /v1/lookup" => {
                let asked: LookupRequest = serde_json::from_str(body).unwrap();
                self.asked.push(asked.numbers.len());
                if asked.numbers.len() as u64 > self.left {
                    return (429, problem(ErrorCode::LookupLimit));
                }
                let numbers = asked.numbers.iter().map(|number| number.parse().unwrap());
                let registered = numbers
                    .filter(|number: &estafette::PhoneNumber| number.digits().is_multiple_of(2));
                let found = Lookup { registered: registered.collect() };
                (200, serde_json::to_string(&found).unwrap())
            }
            _ => (404, problem(ErrorCode::NotFound)),
        }
    }
}

type Shared = Arc<Mutex<Register>>;

async fn registered() -> (Machine, Shared) {
    let fake = Fake::start().await;
    let register =
        Register { number: Audience::Everyone, people: vec![], left: 5200, asked: vec![] };
    let register = Arc::new(Mutex::new(register));
    let shared = Arc::clone(&register);
    fake.answer(move |line, body| shared.lock().unwrap().answers(line, body));
    (Machine::on(fake).registers().await, register)
}

#[tokio::test]
async fn numbers_are_looked_up_and_called_by_name() {
    let (machine, register) = registered().await;
    machine.run(&["contacts", "add", "+33687654322", "Bob"]).await;
    let find =
        ["contacts", "find", "+33 6 87 65 43 22", "0033687654321", "+33687654322", "+33687654328"];
    let output = machine.run(&find).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output), "+33687654322      Bob\n+33687654328\n");
    assert_eq!(error(&output), "2 of 3 found.\n");
    let output = machine.run(&["--json", "contacts", "find", "+33687654322"]).await;
    let found = json!({ "type": "found", "number": "+33687654322", "name": "Bob" });
    assert_eq!((lines(&output), error(&output)), (vec![found], ""));
    assert_eq!(register.lock().unwrap().asked, [3, 1], "each number once");
    for (arguments, says) in [
        (&["contacts", "find"][..], "required"),
        (&["contacts", "find", "0687654321"], "type a plus sign"),
        (&["contacts", "find", "+33687654321", "--file", "x"], "cannot be used with"),
        (&["contacts", "find", "--file", "/no/such/file"], "check the path"),
    ] {
        let output = machine.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(error(&output).contains(says), "{}", error(&output));
    }
    assert_eq!(register.lock().unwrap().asked.len(), 2);
}

#[tokio::test]
async fn a_book_goes_in_pieces_and_as_far_as_the_day_allows() {
    let (machine, register) = registered().await;
    let path = machine.directory.path().join("book.txt");
    let book: String = (0..600).map(|n| format!("+3361000{n:04}\n")).collect();
    fs::write(&path, format!("# mine\n\n{book}06 12 34 56 78\n")).unwrap();
    let find = ["contacts", "find", "--file", path.to_str().unwrap()];
    let output = machine.run(&find).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output).lines().count(), 300);
    assert_eq!(
        error(&output),
        "Left out, because they have no plus sign and country code: 1.\n300 of 600 found.\n"
    );
    let pieces = [LOOKUP_NUMBERS_MAX, LOOKUP_NUMBERS_MAX, 100];
    assert_eq!(std::mem::take(&mut register.lock().unwrap().asked), pieces);

    register.lock().unwrap().left = 20;
    let output = machine.run(&find).await;
    assert_eq!(text(&output).lines().count(), 10);
    assert!(error(&output).contains("in a day: 580. Tomorrow"), "{}", error(&output));
    register.lock().unwrap().left = 0;
    let output = machine.run(&find).await;
    assert_eq!((output.status.code(), text(&output)), (Some(6), ""), "the server says until when");
    assert_eq!(register.lock().unwrap().asked, [20, 1]);

    // From a pipe, and where nothing is in it.
    register.lock().unwrap().left = 5200;
    let output = machine.feed(&["contacts", "find", "--file", "-"], "+33687654322\n").await;
    assert_eq!(text(&output), "+33687654322\n");
    let output = machine.feed(&["contacts", "find", "--file", "-"], "Bob\n").await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test]
async fn who_is_not_found_sends_nothing_and_is_told_what_to_do() {
    let (machine, register) = registered().await;
    register.lock().unwrap().number = Audience::Nobody;
    let output = machine.run(&["contacts", "find", "+33687654322"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let hint = "`estafette privacy set number everyone` changes both";
    assert!(error(&output).contains(hint), "{}", error(&output));
    assert_eq!(register.lock().unwrap().asked, [0; 0]);
    let person = Person { except: vec![Attribute::Number], ..Person::default() };
    register.lock().unwrap().people = vec![Known { number: number(BOB), person }];
    let output = machine.run(&["contacts", "find", "+33687654322"]).await;
    assert_eq!(output.status.code(), Some(0), "somebody may find them: {output:?}");
    register.lock().unwrap().number = Audience::Contacts;
    let output = machine.run(&["contacts", "find", "+33687654322"]).await;
    assert!(error(&output).contains("Only your contacts may find you"), "{}", error(&output));
}

#[tokio::test]
async fn the_library_looks_up() {
    let fake = Fake::start().await;
    let server = Server::new(&fake.address).unwrap();
    fake.answer(|line, body| {
        assert_eq!(line, "POST /v1/lookup");
        assert_eq!(body, r#"{"numbers":["+33612345678","+33687654321"]}"#);
        (200, r#"{"registered":["+33687654321"],"later":1}"#.into())
    });
    let found = server.lookup(TOKEN, &[number(ALICE), number(BOB)]).await.unwrap();
    assert_eq!(found, [number(BOB)]);
    fake.answer(|_, _| (429, problem(ErrorCode::LookupLimit)));
    let refused = server.lookup(TOKEN, &[number(BOB)]).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::LookupLimit));
}

#[test]
fn address_books_are_read() {
    let card = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bob: +33611111111\r\n\
        TEL;TYPE=CELL:+33 6 87 65\r\n  43 21\r\nitem1.TEL;type=pref:00491511234567\r\n\
        tel;VALUE=uri;TYPE=\"voice,home\":tel:+33-6-12-34-56-78;ext=5\r\nTEL:06 12 34 56 78\r\n\
        X-TEL:+33699999999\r\nEND:VCARD\r\nbegin:vcard\nTEL:+33687654321\nEND:VCARD";
    let book = read_book(card);
    let numbers: Vec<_> = book.numbers.iter().map(ToString::to_string).collect();
    assert_eq!(numbers, ["+33687654321", "+491511234567", "+33612345678"]);
    assert_eq!(book.left_out, 1);
    let book = read_book("\u{feff}+33612345678\r\n\n# nobody\n +33 6 12 34 56 78 \nBob\n");
    assert_eq!((book.numbers, book.left_out), (vec![number(ALICE)], 1));
    assert_eq!(read_book(""), estafette::Book::default());
}
