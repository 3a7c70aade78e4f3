//! What the chat looks like, and how it changes, without a terminal.

mod picture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use estafette::{
    Activity, Contact, DeviceId, ErrorCode, Event, Message, MessageId, Millis, PhoneNumber, Status,
};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::keys::{Action, press};
use super::model::Model;
use super::view::draw;

const ALICE: u64 = 33_612_345_678;
const BOB: u64 = 33_687_654_321;
/// Saturday 14 November 2026, 09:00 UTC.
const MORNING: Millis = 1_794_646_800_000;
const MINUTE: Millis = 60_000;

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

fn id(number: u64) -> MessageId {
    MessageId { stream: 7, number }
}

/// Somebody's chat with somebody else who is in the contacts.
fn chat(peer: u64, name: &str) -> Model {
    let contact = Contact { number: number(peer), name: name.into() };
    let mut model = Model::new(number(peer), vec![contact], MORNING);
    model.zone = TimeZone::UTC;
    model.apply(Event::Connected { waiting: 0 }, MORNING);
    model.apply(Event::Drained, MORNING);
    model
}

fn message(model: &Model, incoming: bool, text: &str, at: Millis, status: Status) -> Message {
    let place = model.messages.last().map_or(1, |last| last.place + 1);
    Message {
        place,
        peer: model.peer,
        device: DeviceId(1),
        id: id(place),
        incoming,
        body: text.into(),
        at,
        status,
    }
}

fn receive(model: &mut Model, text: &str, at: Millis) {
    let message = message(model, true, text, at, Status::Delivered);
    model.apply(Event::Received(message), at);
}

fn write(model: &mut Model, text: &str, at: Millis, status: Status) {
    let message = message(model, false, text, at, status);
    model.wrote(message.id, text.into(), at);
    let peer = model.peer;
    model.apply(Event::Status { peer, id: message.id, status }, at);
}

fn screen(model: &mut Model, width: u16, height: u16, now: Millis) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, now)).unwrap();
    terminal.backend().buffer().clone()
}

/// The rows of a screen, without the spaces at their ends.
fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let cells = buffer.content();
    let row = |row: &[ratatui::buffer::Cell]| -> String {
        row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned()
    };
    cells.chunks(width).map(row).collect()
}

fn row_with<'a>(rows: &'a [String], text: &str) -> &'a str {
    let found = rows.iter().find(|row| row.contains(text));
    found.unwrap_or_else(|| panic!("no row has {text:?}: {rows:#?}"))
}

fn key(model: &mut Model, code: KeyCode) -> Action {
    press(model, KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn a_mark_moves_as_the_message_goes_its_way() {
    let mut bob = chat(BOB, "Bob");
    write(&mut bob, "hello", MORNING, Status::Queued);
    let peer = bob.peer;
    let mut columns = Vec::new();
    for (status, mark) in [
        (Status::Queued, "hello  09:00  ○"),
        (Status::Sent, "hello  09:00  ✓"),
        (Status::Delivered, "hello  09:00 ✓✓"),
        (Status::Read, "hello  09:00 ✓✓"),
        (Status::Failed, "hello  09:00 ✗ not sent"),
    ] {
        bob.apply(Event::Status { peer, id: id(1), status }, MORNING);
        let screen = screen(&mut bob, 60, 12, MORNING);
        let rows = rows(&screen);
        let row = row_with(&rows, "hello");
        assert!(row.ends_with(mark), "{status:?}: {row:?}");
        columns.push(row.find("hello"));
        let blue = screen
            .content()
            .iter()
            .any(|cell| cell.symbol() == "✓" && cell.fg == Color::Indexed(81));
        assert_eq!(blue, status == Status::Read, "{status:?}");
    }
    columns.pop();
    columns.dedup();
    assert_eq!(columns.len(), 1, "only the mark moves");
}

#[test]
fn a_read_message_is_told_apart_without_colour() {
    let mut bob = chat(BOB, "Bob");
    bob.colour = false;
    write(&mut bob, "hello", MORNING, Status::Read);
    let screen = screen(&mut bob, 60, 12, MORNING);
    let mut marks = screen.content().iter().filter(|cell| cell.symbol() == "✓");
    assert!(marks.all(|cell| cell.modifier.contains(Modifier::BOLD)));
    assert!(screen.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn a_divider_stands_before_what_was_not_read_until_the_user_writes() {
    let mut bob = chat(BOB, "Bob");
    let old = message(&bob, true, "seen", MORNING, Status::Read);
    bob.show(vec![old], 10);
    let mut new = message(&bob, true, "unseen", MORNING, Status::Delivered);
    bob.messages.push(new.clone());
    new.place += 1;
    bob.messages.push(new);
    bob.mark_unread();
    let shown = rows(&screen(&mut bob, 60, 20, MORNING));
    let divider = shown.iter().position(|row| row.contains("2 unread messages")).unwrap();
    assert!(divider > shown.iter().position(|row| row.contains(" seen")).unwrap());
    assert!(divider < shown.iter().position(|row| row.contains("unseen  ")).unwrap());
    write(&mut bob, "I see", MORNING, Status::Queued);
    let shown = rows(&screen(&mut bob, 60, 20, MORNING));
    assert!(!shown.iter().any(|row| row.contains("unread")));
}

#[test]
fn what_waited_on_the_server_is_unread_and_what_comes_live_is_not() {
    let mut bob = chat(BOB, "Bob");
    bob.apply(Event::Connected { waiting: 1 }, MORNING);
    receive(&mut bob, "waited", MORNING);
    bob.apply(Event::Drained, MORNING);
    receive(&mut bob, "live", MORNING);
    assert_eq!(bob.unread.map(|unread| (unread.place, unread.count)), Some((1, 1)));
    bob.focused = false;
    receive(&mut bob, "while nobody looked", MORNING);
    assert_eq!(bob.unread.map(|unread| unread.count), Some(2));
}

#[test]
fn the_banner_waits_two_seconds_and_counts_down() {
    let mut bob = chat(BOB, "Bob");
    bob.apply(Event::Disconnected { retry_at: Some(MORNING + 9000) }, MORNING);
    assert_eq!(bob.banner(MORNING + 1999), None);
    // Another attempt that fails does not begin the two seconds again.
    bob.apply(Event::Disconnected { retry_at: Some(MORNING + 9000) }, MORNING + 1000);
    let shown = rows(&screen(&mut bob, 80, 12, MORNING + 2000));
    row_with(&shown, "No connection, trying again in 7 s. What you write is kept and sent then.");
    row_with(&shown, "connecting");
    bob.apply(Event::Connected { waiting: 0 }, MORNING + 9500);
    let shown = rows(&screen(&mut bob, 80, 12, MORNING + 9500));
    assert!(!shown.iter().any(|row| row.contains("No connection")));
    bob.apply(Event::SignedOut(ErrorCode::DeviceRemoved), MORNING);
    let shown = rows(&screen(&mut bob, 120, 12, MORNING));
    row_with(&shown, "this device was removed from the account: `estafette link`");
}

#[test]
fn days_stand_between_messages() {
    let mut bob = chat(BOB, "Bob");
    const DAY: Millis = 24 * 60 * MINUTE;
    for ago in [400, 30, 3, 1, 0] {
        receive(&mut bob, "x", MORNING - ago * DAY);
    }
    let shown = rows(&screen(&mut bob, 60, 40, MORNING));
    let days: Vec<_> = shown
        .iter()
        .map(|row| row.trim())
        .filter(|row| row.ends_with(char::is_alphanumeric))
        .collect();
    let expected = ["10 October 2025", "Thursday 15 October", "Wednesday", "Yesterday", "Today"];
    for day in expected {
        assert!(days.contains(&day), "{day} in {days:?}");
    }
}

#[test]
fn looking_at_older_messages_is_not_disturbed_by_new_ones() {
    let mut bob = chat(BOB, "Bob");
    for at in 0..40 {
        receive(&mut bob, &format!("message {at}"), MORNING + at * MINUTE);
    }
    let now = MORNING + 60 * MINUTE;
    screen(&mut bob, 60, 16, now);
    assert_eq!(key(&mut bob, KeyCode::PageUp), Action::Nothing);
    let before = rows(&screen(&mut bob, 60, 16, now));
    receive(&mut bob, "news", now);
    let after = rows(&screen(&mut bob, 60, 16, now));
    assert_eq!(before[..12], after[..12]);
    row_with(&after, "↓ 1 new message");
    key(&mut bob, KeyCode::Esc);
    let end = rows(&screen(&mut bob, 60, 16, now));
    row_with(&end, "news");
    assert!(!end.iter().any(|row| row.contains('↓')));
}

#[test]
fn older_messages_are_asked_for_at_the_top_while_there_are_some() {
    let mut bob = chat(BOB, "Bob");
    for at in 0..40 {
        receive(&mut bob, &format!("message {at}"), MORNING + at * MINUTE);
    }
    let messages = bob.messages.clone();
    bob.show(messages.clone(), 40);
    screen(&mut bob, 60, 16, MORNING);
    let pressed: Vec<_> = (0..10).map(|_| key(&mut bob, KeyCode::PageUp)).collect();
    assert!(pressed.contains(&Action::Older));
    bob.show(messages, 41);
    assert_eq!(key(&mut bob, KeyCode::PageUp), Action::Nothing);
}

#[test]
fn enter_sends_and_alt_enter_begins_a_line() {
    let mut bob = chat(BOB, "Bob");
    for character in "ab".chars() {
        key(&mut bob, KeyCode::Char(character));
    }
    press(&mut bob, KeyEvent::new(KeyCode::Enter, KeyModifiers::ALT));
    key(&mut bob, KeyCode::Char('c'));
    let shown = rows(&screen(&mut bob, 60, 12, MORNING));
    row_with(&shown, "› ab");
    assert_eq!(key(&mut bob, KeyCode::Enter), Action::Send("ab\nc".into()));
    assert_eq!(key(&mut bob, KeyCode::Enter), Action::Nothing, "there is nothing to send");
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut bob, control_c), Action::Leave);
}

#[test]
fn a_message_cannot_command_the_terminal() {
    let mut bob = chat(BOB, "Bob");
    receive(&mut bob, "\x1b[2J\x07evil\u{202e}txt", MORNING);
    let screen = screen(&mut bob, 60, 12, MORNING);
    let harmless = |cell: &ratatui::buffer::Cell| {
        !cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}')
    };
    assert!(screen.content().iter().all(harmless));
    row_with(&rows(&screen), "evil");
}

#[test]
fn somebody_else_who_writes_is_named_in_passing() {
    let mut bob = chat(BOB, "Bob");
    let mut other = message(&bob, true, "psst", MORNING, Status::Delivered);
    other.peer = number(ALICE);
    bob.apply(Event::Received(other), MORNING);
    assert!(bob.messages.is_empty());
    row_with(&rows(&screen(&mut bob, 80, 12, MORNING)), "+33612345678 writes: psst");
    key(&mut bob, KeyCode::Char('x'));
    assert_eq!(bob.notice, None);
}

#[test]
fn whoever_has_no_name_here_is_called_as_they_call_themselves_beside_their_number() {
    let mut bob = chat(BOB, "~Bobby");
    let header = rows(&screen(&mut bob, 60, 12, MORNING))[0].clone();
    assert!(header.starts_with(" ~Bobby  +33687654321"), "{header}");
}

#[test]
fn the_header_says_whether_the_peer_is_there_and_what_they_do() {
    let mut bob = chat(BOB, "Bob");
    let peer = bob.peer;
    let header = |bob: &mut Model, width| rows(&screen(bob, width, 12, MORNING))[0].clone();
    let presence = |available, last_seen| Event::Presence { peer, available, last_seen };
    const DAY: Millis = 24 * 60 * MINUTE;
    for (event, says) in [
        (presence(true, None), "  online "),
        (presence(false, Some(MORNING - MINUTE)), "  last seen 08:59 "),
        (presence(false, Some(MORNING - DAY)), "  last seen yesterday 09:00 "),
        (presence(false, Some(MORNING - 3 * DAY)), "  last seen Wednesday 09:00 "),
        (Event::Activity { peer, activity: Activity::Composing }, "  typing… "),
        (Event::Activity { peer, activity: Activity::Recording }, "  recording… "),
        (Event::Activity { peer, activity: Activity::Paused }, "  last seen Wednesday 09:00 "),
    ] {
        bob.apply(event.clone(), MORNING);
        let wide = header(&mut bob, 80);
        assert!(wide.starts_with(&format!(" Bob  +33687654321{says}")), "{event:?}: {wide:?}");
        assert!(wide.ends_with("● connected"), "{wide:?}");
        let narrow = header(&mut bob, 32);
        assert!(narrow.contains(says.trim()), "{event:?}: {narrow:?}");
    }
    // Of somebody else, and of who hides it, nothing is shown; nor without a connection.
    let other = number(ALICE);
    bob.apply(Event::Presence { peer: other, available: true, last_seen: None }, MORNING);
    bob.apply(Event::Activity { peer: other, activity: Activity::Composing }, MORNING);
    assert_eq!(bob.peer_state(MORNING).as_deref(), Some("last seen Wednesday 09:00"));
    bob.apply(presence(false, None), MORNING);
    assert_eq!(bob.peer_state(MORNING), None);
    bob.apply(presence(true, None), MORNING);
    bob.apply(Event::Disconnected { retry_at: None }, MORNING);
    assert_eq!(bob.peer_state(MORNING), None);
}

#[test]
fn what_another_device_writes_stands_on_ones_own_side() {
    let mut bob = chat(BOB, "Bob");
    receive(&mut bob, "lunch?", MORNING);
    let written = message(&bob, false, "from my laptop", MORNING, Status::Sent);
    bob.apply(Event::Written(written.clone()), MORNING);
    bob.apply(Event::Written(Message { peer: number(ALICE), ..written }), MORNING);
    let read = Event::ReadElsewhere { peer: bob.peer, ids: vec![id(1)] };
    bob.apply(read, MORNING);
    assert_eq!(bob.messages[0].status, Status::Read);
    let shown = rows(&screen(&mut bob, 60, 12, MORNING));
    assert!(row_with(&shown, "from my laptop").ends_with("from my laptop  09:00  ✓"));
    assert_eq!(bob.messages.len(), 2);
}

#[test]
fn it_can_be_drawn_in_any_size() {
    let mut bob = chat(BOB, "Bob");
    receive(&mut bob, "日本語 👨‍👩‍👧 and a rather longwordthatdoesnotfitanywhere", MORNING);
    write(&mut bob, "one\ntwo", MORNING, Status::Failed);
    bob.apply(Event::Disconnected { retry_at: None }, MORNING);
    let (peer, activity) = (bob.peer, Activity::Composing);
    bob.apply(Event::Activity { peer, activity }, MORNING);
    bob.editor.insert("several\nlines\nof\ntext");
    for width in 1..60 {
        for height in 1..24 {
            screen(&mut bob, width, height, MORNING + 5000);
        }
    }
}

#[test]
fn a_stranger_is_one_until_they_are_answered() {
    let mut bob = chat(BOB, "Bob");
    bob.contacts.clear();
    bob.stranger = Some("+33687654321 is not in your contacts: answer, or run `x`.".into());
    let seen = |model: &mut Model| {
        let rows = rows(&screen(model, 60, 16, MORNING));
        rows.iter().any(|row| row.contains("not in your contacts"))
    };
    assert!(!seen(&mut bob), "nobody wrote");
    receive(&mut bob, "you won", MORNING);
    assert!(seen(&mut bob));
    write(&mut bob, "who is this?", MORNING, Status::Sent);
    assert!(!seen(&mut bob));
}

#[test]
fn that_keys_changed_stands_where_it_happened() {
    let mut bob = chat(BOB, "Bob");
    let changed = |digits| Event::KeysChanged { peer: number(digits), at: MORNING };
    let place = |model: &mut Model, text: &str| {
        let rows = rows(&screen(model, 80, 20, MORNING));
        rows.iter().position(|row| row.contains(text))
    };
    let says = "The security keys of Bob have changed: they registered again.";
    receive(&mut bob, "before", MORNING);
    bob.apply(changed(ALICE), MORNING);
    assert_eq!(place(&mut bob, "security keys"), None, "that is another chat");
    bob.apply(changed(BOB), MORNING);
    assert!(place(&mut bob, "before") < place(&mut bob, says));
    receive(&mut bob, "after", MORNING);
    assert!(place(&mut bob, says) < place(&mut bob, "after"));
    key(&mut bob, KeyCode::Char('x'));
    assert!(place(&mut bob, says).is_some(), "typing takes it away as little");
    let mut empty = chat(BOB, "Bob");
    empty.apply(changed(BOB), MORNING);
    assert!(place(&mut empty, says).is_some());
}
