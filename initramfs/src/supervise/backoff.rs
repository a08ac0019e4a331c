//! How long to wait before something that ended is started again. Pure.

use std::time::Duration;

/// Grows with each quick end, and starts anew after a long life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// A life as long as this counts as a success.
    good_life: Duration,
    next: Duration,
}

impl Backoff {
    /// For services: half a second at first, four seconds at most. Guests and deputies wait for their daemon no longer
    /// than a lease, which is 10 s.
    pub(super) fn for_services() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(4), Duration::from_secs(20))
    }

    /// For logins: at once after an ordinary logout.
    pub(super) fn for_logins() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30), Duration::from_secs(1))
    }

    fn new(first: Duration, longest: Duration, good_life: Duration) -> Self {
        Self { first, longest, good_life, next: first }
    }

    /// The wait after something that lived this long.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= self.good_life {
            self.next = self.first;
        }
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_ends_wait_longer_and_longer_up_to_a_bound() {
        let mut backoff = Backoff::for_services();
        let waits: Vec<u128> = (0..6).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn a_long_life_is_forgiven() {
        let mut backoff = Backoff::for_services();
        for _ in 0..5 {
            backoff.after(Duration::ZERO);
        }
        assert_eq!(backoff.after(Duration::from_secs(60)), Duration::from_millis(500));
        assert_eq!(backoff.after(Duration::ZERO), Duration::from_secs(1));
    }
}
