//! Smoothing of load figures (openMosix's and Kerrighed's rule, 5:3 and 7:1).
//!
//! What a node tells others rises at once and falls slowly, so that nobody sends it work it has no room for. What it
//! uses for its own decisions rises slowly and falls at once, so that a short burst moves nothing.

/// The two smoothed views of a node's number of runnable tasks, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmoothedLoad {
    told: u32,
    own: u32,
}

impl SmoothedLoad {
    /// Takes one sample, in thousandths of a runnable task.
    pub fn sample(&mut self, runnable_milli: u32) {
        self.told =
            if runnable_milli >= self.told { runnable_milli } else { blend(7, self.told, 1, runnable_milli) };
        self.own =
            if runnable_milli <= self.own { runnable_milli } else { blend(5, self.own, 3, runnable_milli) };
    }

    /// What others are told.
    pub fn told(self) -> u32 {
        self.told
    }

    /// What this node's own decisions use.
    pub fn own(self) -> u32 {
        self.own
    }
}

fn blend(old_weight: u64, old: u32, new_weight: u64, new: u32) -> u32 {
    let sum = old_weight * u64::from(old) + new_weight * u64::from(new);
    u32::try_from(sum / (old_weight + new_weight)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_rises_at_once_and_own_falls_at_once() {
        let mut load = SmoothedLoad::default();
        load.sample(4000);
        assert_eq!(load.told(), 4000);
        assert_eq!(load.own(), 1500);
        for _ in 0..20 {
            load.sample(4000);
        }
        assert!(load.own() > 3900);
        load.sample(0);
        assert_eq!(load.own(), 0);
        assert_eq!(load.told(), 3500);
    }
}
