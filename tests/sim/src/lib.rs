//! The simulation: real clients and real mailboxes under one seeded scheduler and a virtual clock.
//!
//! A seed decides everything: who there is, who writes when, how long each frame and call takes, and
//! every fault. A run has two parts. In the first the users write and read while the network, the
//! objects, the devices and the clocks misbehave ([`Faults`]). In the second nothing fails any more,
//! every socket is cut once, and the run goes on until nobody has anything left to do, and then for an
//! hour of silence. Then the invariants of the design are checked (`check.rs`).
//!
//! Only the decisions are simulated as they are: sockets, calls, timers, alarms and storage commits
//! are played by this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod check;
mod device;
mod faults;
mod intruder;
mod network;
mod object;
mod people;
mod push;
mod scenario;
mod talk;
mod world;

pub use check::Violation;
pub use faults::Faults;
pub use world::{Report, World};

/// Runs one seed to its end.
pub fn run(seed: u64) -> Result<Report, Violation> {
    let mut world = World::new(seed);
    world.misbehave();
    world.heal()?;
    world.idle()?;
    check::check(&world)?;
    Ok(world.report)
}
