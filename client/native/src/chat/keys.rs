//! What the keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::editor::Move;
use super::model::Model;

/// What is to be done outside the model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Send(String),
    /// Show older messages.
    Older,
    Leave,
}

/// Somebody pressed a key.
pub(crate) fn press(model: &mut Model, key: KeyEvent) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Nothing;
    }
    model.notice = None;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let shift = key.modifiers.contains(KeyModifiers::SHIFT);
    let page = isize::try_from(model.scroll.height.saturating_sub(2).max(1)).unwrap_or(1);
    let editor = &mut model.editor;
    match key.code {
        KeyCode::Char('c') if control => return Action::Leave,
        KeyCode::Char('d') if control && editor.text().is_empty() => return Action::Leave,
        KeyCode::Char('j') if control => editor.insert("\n"),
        KeyCode::Enter if alt || shift || control => editor.insert("\n"),
        KeyCode::Enter if !editor.text().trim().is_empty() => return Action::Send(editor.take()),
        KeyCode::Char('a') if control => editor.go(Move::LineStart),
        KeyCode::Char('e') if control => editor.go(Move::LineEnd),
        KeyCode::Char('u') if control => editor.delete(Move::LineStart),
        KeyCode::Char('k') if control => editor.delete(Move::LineEnd),
        KeyCode::Char('w') if control => editor.delete(Move::WordLeft),
        KeyCode::Backspace if control || alt => editor.delete(Move::WordLeft),
        KeyCode::Backspace => editor.delete(Move::Left),
        KeyCode::Char('d') if control => editor.delete(Move::Right),
        KeyCode::Delete => editor.delete(Move::Right),
        KeyCode::Left if control || alt => editor.go(Move::WordLeft),
        KeyCode::Right if control || alt => editor.go(Move::WordRight),
        KeyCode::Left => editor.go(Move::Left),
        KeyCode::Right => editor.go(Move::Right),
        KeyCode::Up if editor.has_lines() => editor.go(Move::Up),
        KeyCode::Down if editor.has_lines() => editor.go(Move::Down),
        KeyCode::Up => return scroll(model, 1),
        KeyCode::Down => return scroll(model, -1),
        KeyCode::PageUp => return scroll(model, page),
        KeyCode::PageDown => return scroll(model, -page),
        KeyCode::Home if control => return scroll(model, isize::MAX),
        KeyCode::End if control => model.go_to_end(),
        KeyCode::Home => editor.go(Move::LineStart),
        KeyCode::End => editor.go(Move::LineEnd),
        KeyCode::Esc => model.go_to_end(),
        KeyCode::Tab => editor.insert(" "),
        KeyCode::Char(character) if !control => {
            editor.insert(character.encode_utf8(&mut [0; 4]));
        }
        _ => {}
    }
    Action::Nothing
}

/// Goes up, or down where `rows` is negative.
pub(crate) fn scroll(model: &mut Model, rows: isize) -> Action {
    if model.go_up(rows) { Action::Older } else { Action::Nothing }
}
