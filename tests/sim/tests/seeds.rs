//! A thousand seeds, each with every fault. `SIM_SEEDS=first..last` runs others; a failing seed is
//! printed, and `SIM_TRACE=1 SIM_SEEDS=n..n+1` shows what it did.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use estafette_sim::{Report, Violation, run};

fn seeds() -> (u64, u64) {
    let range = std::env::var("SIM_SEEDS").unwrap_or_else(|_| "0..1000".to_owned());
    let Some((first, last)) = range.split_once("..") else { panic!("SIM_SEEDS is first..last") };
    (first.parse().unwrap(), last.parse().unwrap())
}

#[test]
fn seeds_hold_every_invariant() {
    let (first, last) = seeds();
    let next = AtomicU64::new(first);
    let total: Mutex<(Report, Vec<Violation>)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| {
                        Err(Violation { seed, what: "it panicked; see above".to_owned() })
                    });
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok(report) => total.0 += report,
                        Err(violation) => {
                            eprintln!("{violation}");
                            total.1.push(violation);
                        }
                    }
                    if seed > first && (seed - first).is_multiple_of(1000) {
                        eprintln!("{} seeds, {} failed", seed - first, total.1.len());
                    }
                }
            });
        }
    });
    let (report, violations) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!("{} seeds: {report:?}", last - first);
    assert!(last - first < 1000 || report.pushes > 1000, "nobody is pushed to");
    assert_eq!(violations, [], "replay one with SIM_TRACE=1 SIM_SEEDS=n..n+1");
}
