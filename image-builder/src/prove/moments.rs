//! When a program is moved: at moments spread over its life, drawn at random, and again the same with the same seed.

use std::time::Duration;

/// The part of a program's time within which it is moved, in thousandths: it has to be there, and not to end meanwhile.
/// What it does during the moves themselves comes on top.
const EARLIEST: u64 = 50;
const LATEST: u64 = 400;

/// Draws the moments of one run after another.
#[derive(Debug, Clone)]
pub(super) struct Moments(u64);

impl Moments {
    /// With the same seed, the same moments.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// How long to wait before each of so many moves of a program that needs `alone` when it is left alone.
    pub(super) fn pauses(&mut self, times: u32, alone: Duration) -> Vec<Duration> {
        let mut moments: Vec<u64> =
            (0..times).map(|_| EARLIEST + self.next() % (LATEST - EARLIEST)).collect();
        moments.sort_unstable();
        let before = std::iter::once(0).chain(moments.iter().copied());
        let thousandths = moments.iter().zip(before).map(|(moment, before)| moment - before);
        thousandths.map(|part| Duration::from_millis(as_millis(alone) * part / 1000)).collect()
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_moves_happen_before_the_program_ends_and_none_at_its_start() {
        let alone = Duration::from_secs(100);
        let mut moments = Moments::new(7);
        for _ in 0..500 {
            let pauses = moments.pauses(3, alone);
            assert_eq!(pauses.len(), 3);
            assert!(pauses[0] >= Duration::from_secs(5), "{pauses:?}");
            assert!(pauses.iter().sum::<Duration>() <= Duration::from_secs(40), "{pauses:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_moments_and_another_others() {
        let drawn = |seed| Moments::new(seed).pauses(3, Duration::from_secs(60));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
