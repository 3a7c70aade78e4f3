//! Address books: phone numbers, one a line, or the `TEL` lines of vCards (RFC 6350; 2426 before it).

use estafette_protocol::PhoneNumber;

use crate::read_number;

/// The numbers of an address book.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Each once, in the order of the book.
    pub numbers: Vec<PhoneNumber>,
    /// How many were left out, because they are no numbers with a country code.
    pub left_out: usize,
}

/// Reads an address book. Where it has vCards their numbers are read, otherwise each line is one, but
/// for empty ones and those that begin with `#`.
pub fn read_book(text: &str) -> Book {
    let text = text.trim_start_matches('\u{feff}');
    let is_card = text.lines().any(|line| line.trim().eq_ignore_ascii_case("BEGIN:VCARD"));
    let mut book = Book::default();
    if is_card {
        // What a line does not hold goes on in the next, behind a blank.
        let text = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
        text.lines().filter_map(telephone).for_each(|number| book.add(number));
    } else {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.for_each(|line| book.add(line));
    }
    book
}

impl Book {
    fn add(&mut self, text: &str) {
        match read_number(text) {
            Ok(number) if self.numbers.contains(&number) => {}
            Ok(number) => self.numbers.push(number),
            Err(_) => self.left_out += 1,
        }
    }
}

/// The value of a line `TEL:…`, `item1.TEL;TYPE=cell:…` or `TEL;VALUE=uri:tel:…;ext=…`.
fn telephone(line: &str) -> Option<&str> {
    let (property, value) = line.split_once(':')?;
    let name = property.split(';').next()?;
    let name = name.rsplit('.').next()?;
    if !name.trim().eq_ignore_ascii_case("TEL") {
        return None;
    }
    let number = value.rsplit(':').next()?;
    number.split(';').next()
}
