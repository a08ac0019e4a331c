//! The clock of the protocol's machines: the node's boot time, which goes on while it sleeps and is the same for every
//! program on it.

use brant_migration::session::letter::Incarnation;
use brant_migration::session::{Settings, Time};
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::Duration;

/// How often the machines look at the clock.
pub const TICK: Duration = Duration::from_millis(500);
/// How long words that nobody takes wait before they are sent again.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Now.
pub fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// This run of the program, by the time at which it was first asked.
pub fn incarnation() -> Incarnation {
    static RUN: OnceLock<Incarnation> = OnceLock::new();
    *RUN.get_or_init(|| Incarnation(u64::try_from(now().as_nanos()).unwrap_or(u64::MAX)))
}

/// The protocol's times for a lease of this length.
pub fn settings(lease: Duration) -> Settings {
    Settings { lease, ..Settings::default() }
}
