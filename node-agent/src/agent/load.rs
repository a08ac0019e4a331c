//! This node's load, from `/proc`.

use brant_types::meminfo;
use std::time::Duration;

/// How often the number of runnable tasks is looked at.
pub(super) const PERIOD: Duration = Duration::from_millis(250);
/// How many looks make one sample.
const LOOKS: u32 = 4;

/// One sample: runnable tasks in thousandths, memory that could be used in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) runnable_milli: u32,
    pub(super) memory_free_kib: u64,
}

/// Gathers looks into samples.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    sum: u32,
    looks: u32,
}

impl Sampler {
    /// Looks once; every fourth look gives a sample.
    pub(super) fn look(&mut self) -> Option<Sample> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        // The task that looks is running while it looks, and is no load.
        self.sum += runnable(&stat)?.saturating_sub(1);
        self.looks += 1;
        if self.looks < LOOKS {
            return None;
        }
        let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
        let runnable_milli = self.sum * 1000 / self.looks;
        *self = Self::default();
        Some(Sample {
            runnable_milli,
            memory_free_kib: meminfo::field(&meminfo, "MemAvailable").unwrap_or(0),
        })
    }
}

fn runnable(stat: &str) -> Option<u32> {
    stat.lines().find_map(|line| line.strip_prefix("procs_running "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runnable_tasks_are_read_from_stat() {
        assert_eq!(runnable("cpu 1 2\nprocs_running 5\nprocs_blocked 0\n"), Some(5));
        assert_eq!(runnable("nothing"), None);
    }
}
