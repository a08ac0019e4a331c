//! How busy the host is with other things than the cluster: without that, a makespan says little.

use std::fs;

/// Clock ticks of the host's processors and of the cluster's machines, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Ticks {
    all: u64,
    busy: u64,
    machines: u64,
}

impl Ticks {
    /// Now, for the machines whose parent this process is.
    pub(crate) fn now(keeper: Option<i32>) -> Self {
        let (all, busy) = processors(&fs::read_to_string("/proc/stat").unwrap_or_default());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let machines = stats.filter_map(|stat| of_child(&stat, keeper?)).sum();
        Self { all, busy, machines }
    }

    /// The share of the host's processors that others had since then.
    pub(crate) fn others_until(self, later: Self) -> f64 {
        let all = later.all.saturating_sub(self.all).max(1);
        let machines = later.machines.saturating_sub(self.machines);
        later.busy.saturating_sub(self.busy).saturating_sub(machines) as f64 / all as f64
    }
}

/// All ticks, and those that were not idle, from `/proc/stat`: user nice system idle iowait irq softirq steal, and
/// guests' ticks, which are among the first already.
fn processors(stat: &str) -> (u64, u64) {
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        first.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let all = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (all, all - idle)
}

/// The ticks of a process, if this is its parent, from `/proc/PID/stat`.
fn of_child(stat: &str, parent: i32) -> Option<u64> {
    let words: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (words.get(1)?.parse() == Ok(parent)).then_some(())?;
    Some(words.get(11)?.parse::<u64>().ok()? + words.get(12)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_neither_idles_nor_is_a_machine_is_others() {
        assert_eq!(processors("cpu  10 1 5 80 4 0 0 0 7 0\ncpu0 …\n"), (100, 16));
        let then = Ticks { all: 1000, busy: 100, machines: 50 };
        let later = Ticks { all: 2000, busy: 900, machines: 350 };
        assert!((then.others_until(later) - 0.5).abs() < 1e-9);
        assert!(then.others_until(then).abs() < 1e-9);
    }

    #[test]
    fn only_children_of_the_keeper_count() {
        let stat = "77 (qemu (x)) S 42 77 77 0 -1 4194560 1 0 0 0 300 20 0 0 20 0";
        assert_eq!(of_child(stat, 42), Some(320));
        assert_eq!(of_child(stat, 43), None);
        assert_eq!(of_child("cut", 42), None);
    }
}
