//! What becomes of the bytes of a request: which parts they fill, and what is left as a fragment.

use estafette_protocol::limits::MEDIA_PART_BYTES;

use super::call::{Begun, Step};
use super::state::State;
use crate::media::MediaWork;

/// Fragments of one part, before they are merged: as many reads when the part is filled.
const FRAGMENTS_MAX: usize = 64;
/// Requests that can be under way for one part without writing under the same number. R2 takes numbers
/// to 10,000, and a file of 2 GiB has 256 parts.
const ATTEMPTS: u64 = 39;

/// How to bring `bytes` from where the upload stands; they fit the file.
pub(super) fn plan(state: &State, bytes: u64) -> Begun {
    let mut offset = state.offset();
    let end = offset + bytes;
    let mut steps = Vec::new();
    while offset < end {
        let index = offset / MEDIA_PART_BYTES;
        let part_end = state.part_end(index);
        let take = end.min(part_end) - offset;
        steps.push(if end >= part_end {
            match &state.multipart {
                Some(_) => Step::Part { number: part_number(index, state.attempts), bytes: take },
                None => Step::Whole { bytes: take },
            }
        } else if steps.is_empty() && state.fragments.len() >= FRAGMENTS_MAX {
            Step::Merge { bytes: take }
        } else {
            Step::Fragment { bytes: take }
        });
        offset += take;
    }
    let joins = steps.first().is_some_and(|step| !matches!(step, Step::Fragment { .. }));
    let finishes = end == state.length && state.multipart.is_some() && bytes > 0;
    let work = MediaWork {
        writes: steps.len() as u32 + u32::from(finishes),
        reads: if joins { state.fragments.len() as u32 } else { 0 },
        requests: 1 + steps.len() as u32 + u32::from(finishes),
        // One for each commit, and one to count an attempt at a part.
        rows: steps.len() as u32
            + u32::from(steps.iter().any(|step| matches!(step, Step::Part { .. }))),
    };
    Begun { multipart: state.multipart.clone(), fragments: state.fragments.clone(), steps, work }
}

/// From 1, at most 9,984. Higher for later parts, another for each attempt.
fn part_number(index: u64, attempts: u64) -> u16 {
    (index * ATTEMPTS + attempts % ATTEMPTS + 1) as u16
}

/// Which part has this number.
pub(super) fn part_index(number: u16) -> u64 {
    (u64::from(number).saturating_sub(1)) / ATTEMPTS
}

#[cfg(test)]
mod tests {
    use estafette_protocol::limits::{MEDIA_BYTES_MAX, MEDIA_PART_BYTES};

    use super::{ATTEMPTS, part_index, part_number};

    #[test]
    fn part_numbers_are_r2s_and_in_order() {
        let parts = MEDIA_BYTES_MAX / MEDIA_PART_BYTES;
        assert_eq!(part_number(0, 0), 1);
        assert!(part_number(parts - 1, ATTEMPTS - 1) <= 10_000);
        for attempts in [0, 1, ATTEMPTS - 1, ATTEMPTS, 1_000_000] {
            assert!(part_number(6, ATTEMPTS - 1) < part_number(7, attempts));
            assert_eq!(part_index(part_number(7, attempts)), 7);
        }
    }
}
