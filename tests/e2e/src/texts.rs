//! What people write: real short messages where they are to be had, otherwise made-up ones of the
//! same lengths in several scripts.

use std::fs;
use std::path::Path;

const MESSAGES: usize = 4000;
const WORDS: [&str; 12] = [
    "ok",
    "demain",
    "где ты",
    "你好",
    "مرحبا",
    "שלום",
    "नमस्ते",
    "👍🏽",
    "on my way",
    "Straße",
    "ça va?",
    "e\u{301}te\u{301}",
];

/// 4,000 messages, always the same.
pub fn texts() -> Vec<String> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .map(|above| above.join("shared/data/short-messages.txt"));
    if let Some(Ok(text)) = corpus.map(fs::read_to_string) {
        return text.lines().map(str::to_owned).collect();
    }
    let mut rng = fastrand::Rng::with_seed(1);
    (0..MESSAGES).map(|_| made_up(&mut rng)).collect()
}

/// 61 bytes at the median, 910 at the most.
fn made_up(rng: &mut fastrand::Rng) -> String {
    let length = (61.0 * (1.1 * (rng.f64() + rng.f64() + rng.f64() - 1.5) * 2.0).exp()) as usize;
    let mut text = String::new();
    while text.len() < length.clamp(1, 880) {
        text.push_str(WORDS.get(rng.usize(..WORDS.len())).copied().unwrap_or("ok"));
        text.push(' ');
    }
    text
}
