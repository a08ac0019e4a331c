//! What a capsule's processes use of the processor.

use super::capsule::Capsule;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Counts from the moment at which they run.
#[derive(Debug)]
pub(super) struct Meter {
    at_start: Duration,
    read: Instant,
}

impl Meter {
    /// What the restore used is not the process's.
    pub(super) fn start(capsule: &Capsule) -> Self {
        Self { at_start: capsule.cpu_time(), read: Instant::now() }
    }

    /// For a process that runs already: what an earlier daemon has seen, and what its restore used, counts as well.
    pub(super) fn go_on() -> Self {
        Self { at_start: Duration::ZERO, read: Instant::now() }
    }

    /// Microseconds since the start, at most once a second.
    pub(super) fn read(&mut self, capsule: &Capsule) -> Option<u64> {
        if self.read.elapsed() < EVERY {
            return None;
        }
        self.read = Instant::now();
        let used = capsule.cpu_time().saturating_sub(self.at_start);
        Some(u64::try_from(used.as_micros()).unwrap_or(u64::MAX))
    }
}
