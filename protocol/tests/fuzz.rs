//! The fuzz targets of `protocol/fuzz`, on stable and for a bounded number of runs: the golden
//! vectors, changed at random from a fixed seed. `ESTAFETTE_FUZZ_RUNS` and `ESTAFETTE_FUZZ_SEED`
//! set both. What fails is printed in hexadecimal, to become a seed of the target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use data_encoding::HEXLOWER;

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub)]
mod targets;

/// For each target. About a second in all.
const RUNS: u64 = 200_000;
/// Where a changed input is cut, so that repetition doesn't make it grow without end.
const BYTES_MAX: usize = 4096;
/// Bytes that mean much to a decoder: heads of CBOR items, punctuation and escapes of JSON.
const TELLING: &[u8] =
    b"\x00\x1b\x1f\x3b\x40\x5f\x7f\x80\x9b\x9f\xa1\xbb\xbf\xc0\xdb\xf6\xf8\xff[]{}\",:\\u0-e";

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to `end`, exclusive; 0 when there is nothing to choose from.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

fn changed(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let (at, to) = (random.below(input.len()), random.below(input.len()));
        let (first, last) = (at.min(to), at.max(to));
        match random.below(8) {
            _ if input.is_empty() => input.push(random.next() as u8),
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = TELLING[random.below(TELLING.len())],
            2 => input[at] = random.next() as u8,
            3 => input.insert(at, TELLING[random.below(TELLING.len())]),
            4 => drop(input.drain(first..last)),
            5 => input.truncate(at),
            6 => {
                let again = input[first..last].repeat(1 + random.below(3));
                input.splice(at..at, again);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                input.splice(first..last, other[from..].iter().copied());
            }
        }
        input.truncate(BYTES_MAX);
    }
    input
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect(name))
}

#[test]
fn targets_hold_for_changed_vectors() {
    let runs = number("ESTAFETTE_FUZZ_RUNS", RUNS);
    let seed = number("ESTAFETTE_FUZZ_SEED", 1);
    let seeds = targets::seeds::all();
    for (name, target) in targets::TARGETS {
        let (_, seeds) = seeds.iter().find(|(other, _)| *other == name).expect(name);
        let mut random = Random(seed);
        let changed = (0..runs).map(|_| changed(&mut random, seeds));
        for input in seeds.iter().cloned().chain(changed) {
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                panic!("{name} fails, seed {seed}: {}", HEXLOWER.encode(&input));
            }
        }
    }
}
