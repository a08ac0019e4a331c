//! When to stop copying memory while the process runs, and to stop the process instead.
//!
//! Round 1 sends everything, each later round what was written to since the one before. The process's pause is made
//! of what a last round would send, so rounds are worth it as long as they shrink.

use std::time::Duration;

/// A process with fewer pages is sent in less time than a round costs to set up.
pub const SMALL: u64 = 1024;
/// So few pages do not matter any more: sending them takes less time than CRIU needs for anything.
const ENOUGH: u64 = 64;
/// A round must send at most this share of the one before, else the process writes as fast as the link sends.
const SHRINKS: (u64, u64) = (3, 4);
/// The most rounds.
const MOST_ROUNDS: usize = 8;
/// The most that is sent in all, in multiples of round 1.
const MOST_SENT: u64 = 3;
/// The longest that all rounds together may take.
const LONGEST: Duration = Duration::from_secs(600);

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Pages sent.
    pub pages: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// From its start until the target had it all.
    pub took: Duration,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// One more round.
    Round,
    /// Freeze the process and send the rest.
    Freeze(Why),
}

/// Why there is no further round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The process is small.
    Small,
    /// Hardly anything is left.
    Converged,
    /// It writes about as fast as it is sent.
    NotShrinking,
    /// There were enough rounds, bytes or seconds.
    LongEnough,
}

/// Decides after the rounds so far; `resident` is the process's size in pages before the first.
pub fn next(resident: u64, rounds: &[Round]) -> Next {
    let Some(last) = rounds.last() else {
        return if resident < SMALL { Next::Freeze(Why::Small) } else { Next::Round };
    };
    if last.pages <= ENOUGH {
        return Next::Freeze(Why::Converged);
    }
    if let [.., before, last] = rounds
        && last.pages.saturating_mul(SHRINKS.1) > before.pages.saturating_mul(SHRINKS.0)
    {
        return Next::Freeze(Why::NotShrinking);
    }
    let sent = rounds.iter().map(|round| round.pages).fold(0, u64::saturating_add);
    let took: Duration = rounds.iter().map(|round| round.took).sum();
    let first = rounds[0].pages;
    if rounds.len() >= MOST_ROUNDS || sent > first.saturating_mul(MOST_SENT) || took > LONGEST {
        return Next::Freeze(Why::LongEnough);
    }
    Next::Round
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the rule against a process: what it dirties depends on how long a round takes.
    fn play(resident: u64, pages_per_second: u64, dirtied: impl Fn(Duration) -> u64) -> (Vec<u64>, Why) {
        let mut rounds: Vec<Round> = Vec::new();
        loop {
            match next(resident, &rounds) {
                Next::Freeze(why) => return (rounds.iter().map(|round| round.pages).collect(), why),
                Next::Round => {
                    let pages = rounds.last().map_or(resident, |last| dirtied(last.took));
                    let took = Duration::from_millis(50 + 1000 * pages / pages_per_second);
                    rounds.push(Round { pages, bytes: pages * 4096, took });
                    assert!(rounds.len() < 100, "the rounds never end");
                }
            }
        }
    }

    #[test]
    fn small_processes_skip_the_rounds() {
        assert_eq!(play(SMALL - 1, 25_000, |_| 0), (vec![], Why::Small));
    }

    #[test]
    fn an_idle_process_takes_two_rounds() {
        assert_eq!(play(65_536, 25_000, |_| 3), (vec![65_536, 3], Why::Converged));
    }

    #[test]
    fn a_process_that_always_writes_to_the_same_pages_is_not_sent_for_ever() {
        assert_eq!(play(65_536, 25_000, |_| 600), (vec![65_536, 600, 600], Why::NotShrinking));
    }

    #[test]
    fn a_process_that_writes_faster_than_the_link_is_frozen_after_the_second_round() {
        assert_eq!(play(65_536, 25_000, |_| 65_536), (vec![65_536, 65_536], Why::NotShrinking));
    }

    #[test]
    fn rounds_that_shrink_go_on_until_little_is_left() {
        // It writes half as fast as the link sends.
        let (sent, why) = play(65_536, 25_000, |took| took.as_millis() as u64 * 12_500 / 1000);
        assert!(sent.windows(2).all(|pair| pair[1] < pair[0]), "{sent:?}");
        assert!(sent.len() > 3, "{sent:?}");
        assert!(matches!(why, Why::NotShrinking | Why::LongEnough), "{why:?}");
        assert!(*sent.last().unwrap() * 16 < sent[0], "{sent:?}");
    }

    #[test]
    fn the_number_of_rounds_is_bounded() {
        // Each round is 74 % of the one before.
        let rounds: Vec<Round> = std::iter::successors(Some(1_000_000_u64), |pages| Some(pages * 74 / 100))
            .take(20)
            .map(|pages| Round { pages, bytes: pages * 4096, took: Duration::from_millis(pages / 25) })
            .collect();
        let stop = (1..20).find(|&n| next(1_000_000, &rounds[..n]) != Next::Round);
        assert!(stop.is_some_and(|n| n <= MOST_ROUNDS), "{stop:?}");
        assert_eq!(next(1_000_000, &rounds[..stop.unwrap()]), Next::Freeze(Why::LongEnough));
    }
}
