//! What a file may be called here. Its name comes from the peer, who may mean harm.

/// The longest name, in bytes: what file systems take, less room for a number.
const NAME_BYTES_MAX: usize = 200;
/// What a file is called whose name says nothing.
const NAMELESS: &str = "file";
/// Names that Windows gives to devices, whatever follows after a point.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A name in the directory that the user chose and nowhere else, on any system, that is what it
/// looks like: no path, nothing hidden, nothing that a terminal obeys or that turns text around.
pub fn safe_file_name(name: &str) -> String {
    // The last part of a path, of whatever system.
    let last = name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    let plain = |character: char| match character {
        '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
        // Marks of direction and what has no width.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => '_',
        '\u{feff}' | '\u{061c}' => '_',
        control if control.is_control() => '_',
        other => other,
    };
    let name: String = last.chars().map(plain).collect();
    let name = name.trim_start_matches(['.', ' ', '-']).trim_end_matches(['.', ' ']);
    let name = shortened(name);
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest.as_bytes() > b"0")
    };
    let is_device = DEVICES.contains(&stem.as_str()) || ["com", "lpt"].into_iter().any(numbered);
    match name.as_str() {
        "" => NAMELESS.to_owned(),
        _ if is_device => format!("_{name}"),
        _ => name,
    }
}

/// Cuts a name that is too long before its extension, if that is one.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let extension = name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default();
    let extension = if extension.len() > 16 { "" } else { extension };
    let room = NAME_BYTES_MAX - extension.len();
    let whole = |(place, character): (usize, char)| place + character.len_utf8();
    let end = name.char_indices().map(whole).take_while(|end| *end <= room).last();
    let stem = name.get(..end.unwrap_or(0)).unwrap_or_default();
    format!("{}{extension}", stem.trim_end_matches(['.', ' ']))
}
