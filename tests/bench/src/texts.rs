//! The texts of the messages: real ones from a file, or made up with the lengths of real ones.
//!
//! The project holds no corpus. `../shared/data/short-messages.txt`, seen from the workspace, is
//! used when it is there; without it a seeded generator writes in several scripts.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Bytes of a text at each thousandth of a corpus of 4,000 short messages.
const LENGTHS: [(u32, u32); 15] = [
    (0, 2),
    (10, 9),
    (50, 22),
    (100, 25),
    (200, 32),
    (300, 39),
    (400, 48),
    (500, 61),
    (600, 78),
    (700, 107),
    (800, 137),
    (950, 161),
    (990, 281),
    (999, 611),
    (1000, 910),
];

const GENERATED: u32 = 4_000;

/// First and last letter of Latin, Cyrillic, Greek, Arabic, Devanagari, Han and emoji.
const SCRIPTS: [(u32, u32); 7] = [
    (0x61, 0x7a),
    (0x430, 0x44f),
    (0x3b1, 0x3c9),
    (0x627, 0x63a),
    (0x915, 0x939),
    (0x4e00, 0x4eff),
    (0x1f600, 0x1f640),
];

/// The texts of one run, taken in turn.
#[derive(Debug)]
pub struct Texts {
    lines: Vec<String>,
    origin: String,
}

impl Texts {
    /// Reads the lines of `file`; without one, of the corpus beside the workspace; without that,
    /// generates.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let beside =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/short-messages.txt");
        let found = file.map(PathBuf::from).or_else(|| beside.exists().then_some(beside));
        let Some(path) = found else {
            return Ok(Self { lines: generate(1), origin: "a generator".to_owned() });
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the messages from {}", path.display()))?;
        let lines: Vec<_> = text.lines().map(printable).filter(|line| !line.is_empty()).collect();
        ensure!(!lines.is_empty(), "{} holds no messages", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { lines, origin: name })
    }

    /// Every text, in order.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The text of message `number` of the pair `pair`.
    pub fn of(&self, pair: u32, number: u32) -> &str {
        self.lines.get(turn(self.lines.len(), pair, number)).map_or("", String::as_str)
    }

    /// Where they come from, for the head of a report.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// Which of `count` texts message `number` of the pair `pair` has.
pub(crate) fn turn(count: usize, pair: u32, number: u32) -> usize {
    let turn = u64::from(pair) * 7_919 + u64::from(number);
    turn.checked_rem(count as u64).unwrap_or_default() as usize
}

/// XML 1.0 cannot carry control characters, so no target gets them.
fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

fn generate(seed: u64) -> Vec<String> {
    let mut random = Random(seed);
    (0..GENERATED).map(|_| text(&mut random)).collect()
}

fn text(random: &mut Random) -> String {
    let bytes = length(random.below(1001)) as usize;
    let script = SCRIPTS.get(random.below(SCRIPTS.len() as u32) as usize).copied();
    let (first, last) = script.unwrap_or((0x61, 0x7a));
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        let letter = match random.below(6) {
            0 => ' ',
            _ => char::from_u32(first + random.below(last - first + 1)).unwrap_or('?'),
        };
        let fits = text.len() + letter.len_utf8() <= bytes;
        text.push(if fits { letter } else { '.' });
    }
    text
}

/// The length at a thousandth, on the line between the two known ones around it.
fn length(thousandth: u32) -> u32 {
    let mut before = (0, 2);
    for (at, bytes) in LENGTHS {
        if thousandth <= at {
            let (from, least) = before;
            return least + (bytes - least) * (thousandth - from) / (at - from).max(1);
        }
        before = (at, bytes);
    }
    before.1
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((((z ^ (z >> 31)) >> 32) * u64::from(end)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_texts_have_the_lengths_of_real_ones() {
        let mut lengths: Vec<_> = generate(7).iter().map(String::len).collect();
        lengths.sort_unstable();
        let median = lengths.get(lengths.len() / 2).copied();
        assert!(matches!(median, Some(55..=67)), "median {median:?}");
        assert!(lengths.iter().all(|&bytes| (2..=910).contains(&bytes)));
        assert_eq!(generate(7), generate(7));
        assert_ne!(generate(7), generate(8));
    }
}
