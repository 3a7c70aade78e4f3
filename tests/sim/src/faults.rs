//! How often each thing goes wrong. Drawn anew for each seed, so that some runs are calm enough for
//! the quick paths and others hardly get a frame through.

use fastrand::Rng;

/// Chances of each fault, each time that it could happen, and the longest delays.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// A frame vanishes, and with it all that follow in that direction of the socket.
    pub hole: f64,
    /// A frame comes twice.
    pub duplicate: f64,
    /// One frame of a device vanishes, and the socket goes on; or an attempt to connect fails.
    pub drop: f64,
    /// A call is lost before it takes effect.
    pub call_lost: f64,
    /// A call takes effect, and its answer is lost.
    pub answer_lost: f64,
    /// A call is reported failed, and takes effect later.
    pub call_late: f64,
    /// An object loses its memory in a step, before what it wrote is committed.
    pub crash_before_commit: f64,
    /// The same after the commit, before any effect.
    pub crash_after_commit: f64,
    /// A push service fails in one of its ways.
    pub push: f64,
    /// Something from outside, each second: a cut, a deploy, a clock that jumps.
    pub outage: f64,
    /// The longest way of a frame or call, in milliseconds.
    pub latency_max: u64,
}

/// What happens to somebody from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// A socket is cut; the two ends notice at different times.
    Cut,
    /// An object leaves memory and keeps its sockets.
    Hibernate,
    /// Every object leaves memory and every socket is closed.
    Deploy,
    /// A device's program dies and starts again on its store.
    Restart,
    /// The same, and its store was deleted.
    Wipe,
    /// The clock of a device jumps.
    DeviceClock,
    /// The clock of an object jumps.
    ObjectClock,
    /// A device of one account tries to get into another.
    Intruder,
    /// A device asks for more than there may be.
    Overstep,
    /// A linked device is removed from its account.
    Removal,
}

impl Faults {
    /// Nothing fails.
    pub const NONE: Self = Self {
        hole: 0.0,
        duplicate: 0.0,
        drop: 0.0,
        call_lost: 0.0,
        answer_lost: 0.0,
        call_late: 0.0,
        crash_before_commit: 0.0,
        crash_after_commit: 0.0,
        push: 0.0,
        outage: 0.0,
        latency_max: 50,
    };

    /// Every fault, from rare to frequent.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut chance = |most: f64| most * rng.f64().powi(2);
        Self {
            hole: chance(0.02),
            duplicate: chance(0.1),
            drop: chance(0.05),
            call_lost: chance(0.2),
            answer_lost: chance(0.2),
            call_late: chance(0.1),
            crash_before_commit: chance(0.05),
            crash_after_commit: chance(0.05),
            push: chance(0.9),
            outage: 0.05 + chance(0.5),
            latency_max: 2 + (rng.f64().powi(3) * 1500.0) as u64,
        }
    }
}

impl Outage {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        match rng.u8(0..102) {
            0..45 => Self::Cut,
            45..70 => Self::Hibernate,
            70..75 => Self::Deploy,
            75..85 => Self::Restart,
            85..90 => Self::Wipe,
            90..94 => Self::DeviceClock,
            94..98 => Self::ObjectClock,
            98 => Self::Intruder,
            99 => Self::Overstep,
            _ => Self::Removal,
        }
    }
}
