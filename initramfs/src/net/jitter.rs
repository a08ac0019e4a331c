//! Small random numbers for spreading retries; reproducible from their seed. Pure, and not for secrets.

use std::time::Duration;

/// A generator (splitmix64).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jitter(u64);

impl Jitter {
    /// A generator from a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    /// A time from `least` up to, but not including, `most`.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least);
        least + span * (self.number() >> 16) / 0x1_0000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_in_their_bounds_and_differ() {
        let mut jitter = Jitter::new(7);
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(2));
        let times: Vec<Duration> = (0..100).map(|_| jitter.between(least, most)).collect();
        assert!(times.iter().all(|time| (least..most).contains(time)));
        assert!(times.iter().max() > times.iter().min());
        assert_eq!(Jitter::new(1).between(least, least), least);
    }
}
