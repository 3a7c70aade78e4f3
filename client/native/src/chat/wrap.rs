//! Breaks text into rows.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Breaks a text into rows of at most `width` columns: between words where there are spaces, and
/// anywhere in what is longer than a row or is written without spaces.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(2);
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut row = String::new();
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let bare = word.trim_end_matches(' ').width();
            if column + bare > width && bare <= width && column > 0 {
                rows.push(std::mem::take(&mut row).trim_end().to_owned());
                column = 0;
            }
            for grapheme in word.graphemes(true) {
                let size = grapheme.width();
                if column + size > width {
                    // A space at the break has done its work.
                    if grapheme == " " {
                        continue;
                    }
                    rows.push(std::mem::take(&mut row));
                    column = 0;
                }
                row.push_str(grapheme);
                column += size;
            }
        }
        rows.push(row.trim_end().to_owned());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn breaks_between_words_and_within_long_ones() {
        assert_eq!(wrap("the quick brown fox", 9), ["the quick", "brown fox"]);
        assert_eq!(wrap("https://example.org/a", 10), ["https://ex", "ample.org/", "a"]);
        assert_eq!(wrap("see https://example.org", 10), ["see https:", "//example.", "org"]);
        assert_eq!(wrap("one  two", 4), ["one", "two"]);
        assert_eq!(wrap("two\n\nlines", 10), ["two", "", "lines"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn counts_columns_and_not_characters() {
        assert_eq!(wrap("日本語テキスト", 6), ["日本語", "テキス", "ト"]);
        assert_eq!(wrap("👨‍👩‍👧👨‍👩‍👧", 2), ["👨‍👩‍👧", "👨‍👩‍👧"]);
        for row in wrap(&"wörd ".repeat(50), 17) {
            assert!(unicode_width::UnicodeWidthStr::width(row.as_str()) <= 17, "{row:?}");
        }
    }
}
