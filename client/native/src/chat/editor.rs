//! The text that is being written: several lines, a cursor, and the keys that everybody expects.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Where the cursor may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    LineStart,
    LineEnd,
}

/// A text and a cursor in it. The cursor is a byte offset between two graphemes.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    cursor: usize,
}

impl Editor {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Takes the text and leaves nothing.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Whether the text has more than one line.
    pub(crate) fn has_lines(&self) -> bool {
        self.text.contains('\n')
    }

    /// Puts text where the cursor is: typed or pasted.
    pub(crate) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = crate::text::printable(text.as_bytes());
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    pub(crate) fn go(&mut self, to: Move) {
        self.cursor = self.place(to);
    }

    /// Deletes from the cursor to where it would go.
    pub(crate) fn delete(&mut self, to: Move) {
        let (from, to) = (self.cursor.min(self.place(to)), self.cursor.max(self.place(to)));
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn place(&self, to: Move) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        match to {
            Move::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Move::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            Move::WordLeft => {
                let mut words = before.unicode_word_indices();
                words.next_back().map_or(0, |(at, _)| at)
            }
            Move::WordRight => {
                let word = after.unicode_word_indices().next();
                word.map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
            }
            Move::LineStart => before.rfind('\n').map_or(0, |at| at + 1),
            Move::LineEnd => self.cursor + after.find('\n').unwrap_or(after.len()),
            Move::Up => {
                let start = self.place(Move::LineStart);
                match start.checked_sub(1) {
                    Some(end) => {
                        let above = self.text.split_at(end).0.rfind('\n').map_or(0, |at| at + 1);
                        self.at_column(above, start)
                    }
                    None => 0,
                }
            }
            Move::Down => {
                let end = self.place(Move::LineEnd);
                if end == self.text.len() {
                    return end;
                }
                self.at_column(end + 1, self.place(Move::LineStart))
            }
        }
    }

    /// The place in the line that starts at `line`, as far in as the cursor is in its own line.
    fn at_column(&self, line: usize, own_line: usize) -> usize {
        let column = self.text.get(own_line..self.cursor).unwrap_or_default().width();
        let text = self.text.split_at(line).1.split('\n').next().unwrap_or_default();
        let mut width = 0;
        for (at, grapheme) in text.grapheme_indices(true) {
            if width >= column {
                return line + at;
            }
            width += grapheme.width();
        }
        line + text.len()
    }

    /// The text broken into rows of a width, and the row and column of the cursor.
    pub(crate) fn rows(&self, width: usize) -> (Vec<String>, (usize, usize)) {
        let width = width.max(2);
        let mut rows = vec![String::new()];
        let mut column = 0;
        let mut cursor = (0, 0);
        for (at, grapheme) in self.text.grapheme_indices(true) {
            let size = grapheme.width();
            let breaks = grapheme == "\n";
            if !breaks && column + size > width {
                rows.push(String::new());
                column = 0;
            }
            if at == self.cursor {
                cursor = (rows.len() - 1, column);
            }
            if breaks {
                rows.push(String::new());
                column = 0;
            } else if let Some(row) = rows.last_mut() {
                row.push_str(grapheme);
                column += size;
            }
        }
        if self.cursor == self.text.len() {
            if column == width {
                rows.push(String::new());
                column = 0;
            }
            cursor = (rows.len() - 1, column);
        }
        (rows, cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::{Editor, Move};

    fn editor(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn writes_and_deletes_what_people_see_as_one_character() {
        let mut editor = editor("ok 👨‍👩‍👧");
        editor.delete(Move::Left);
        assert_eq!(editor.text(), "ok ");
        editor.insert("é\u{301}");
        editor.go(Move::Left);
        editor.insert("x");
        assert_eq!(editor.text(), "ok xé\u{301}");
        editor.delete(Move::WordLeft);
        assert_eq!(editor.text(), "ok é\u{301}");
    }

    #[test]
    fn a_paste_keeps_its_lines_and_loses_what_a_terminal_would_obey() {
        let editor = editor("one\r\ntwo\x1b[2J");
        assert_eq!(editor.text(), "one\ntwo\u{fffd}[2J");
        assert!(editor.has_lines());
    }

    #[test]
    fn up_and_down_keep_the_column() {
        let mut editor = editor("first line\nab\nthird line");
        for (to, expected) in
            [(Move::Up, 13), (Move::Up, 2), (Move::Up, 0), (Move::Down, 11), (Move::LineEnd, 13)]
        {
            editor.go(to);
            assert_eq!(editor.cursor, expected, "{to:?}");
        }
        editor.go(Move::Down);
        assert_eq!(editor.cursor, 16);
    }

    #[test]
    fn long_text_is_broken_and_the_cursor_follows() {
        let mut editor = editor("日本語テキスト");
        assert_eq!(editor.rows(6).1, (2, 2));
        editor.go(Move::LineStart);
        let (rows, cursor) = editor.rows(6);
        assert_eq!(rows, ["日本語", "テキス", "ト"]);
        assert_eq!(cursor, (0, 0));
        let full = super::tests::editor("abcdef");
        assert_eq!(full.rows(6), (vec!["abcdef".into(), String::new()], (1, 0)));
    }
}
