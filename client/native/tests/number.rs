//! Numbers as people type them.

#![allow(clippy::unwrap_used)]

use estafette::read_number;

#[test]
fn every_way_of_writing_a_number_means_the_same() {
    for typed in [
        "+33612345678",
        "+33 6 12 34 56 78",
        "0033612345678",
        "00 33 6 12 34 56 78",
        "+33-6-12-34-56-78",
        "+33.6.12.34.56.78",
        "+33 (0)6 12 34 56 78",
        "(+33) 612 345 678",
        " +33\u{a0}6\u{202f}12 34 56 78\n",
        "\u{202a}+33 612345678\u{202c}",
        "+33/612345678",
        "+33\u{2011}612345678",
    ] {
        let read = read_number(typed).map(|number| number.to_string());
        assert_eq!(read.as_deref(), Ok("+33612345678"), "{typed:?}");
    }
}

#[test]
fn what_is_no_international_number_is_not_guessed() {
    for typed in [
        "",
        "+",
        "00",
        "0612345678",
        "33612345678",
        "+33 6 12 34 56 78 90 12 34",
        "+336",
        "+33x612345678",
        "33+612345678",
        "++33612345678",
        "Alice",
        "+0612345678",
    ] {
        assert!(read_number(typed).is_err(), "{typed:?}");
    }
}
