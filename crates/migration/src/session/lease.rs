//! The lease that binds home and host: both sides' arithmetic.

use super::{Settings, Time};

/// What a host holds: until when it may keep the process without hearing more. The daemon and the capsule of one stay
/// each hold one, on the same node's clock; the capsule's is the one that counts when the daemon is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    until: Time,
}

impl Lease {
    /// A new stay's: home asked just now.
    pub fn begin(now: Time, settings: &Settings) -> Self {
        Self { until: now + settings.grant() }
    }

    /// One that the capsule still holds.
    pub fn found(until: Time) -> Self {
        Self { until }
    }

    /// Home has heard what this host sent at that time. True when the lease became longer. A time that has not come yet
    /// is no echo.
    pub fn echoed(&mut self, now: Time, sent_at: Time, settings: &Settings) -> bool {
        let until = sent_at.saturating_add(settings.grant());
        let longer = sent_at <= now && until > self.until;
        if longer {
            self.until = until;
        }
        longer
    }

    /// When it ends.
    pub fn until(self) -> Time {
        self.until
    }

    /// Whether it has ended.
    pub fn is_over(self, now: Time) -> bool {
        now >= self.until
    }
}

/// Home's side: whether no host can still hold a lease, if the newest word of it was heard at that time.
pub fn surely_over(heard: Time, now: Time, settings: &Settings) -> bool {
    now >= heard + settings.grant() + settings.margin
}

/// The deputy's side: whether a deputy whose daemon went away at that time need not wait for it any longer. A daemon
/// that is not there echoes nothing, so that by then the process has ended wherever it was.
pub fn daemon_given_up(went_away: Time, now: Time, settings: &Settings) -> bool {
    surely_over(went_away, now, settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn at(seconds: u64) -> Time {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_runs_from_what_home_has_heard_not_from_when_its_echo_came() {
        let settings = Settings::default();
        let mut lease = Lease::begin(at(0), &settings);
        assert!(lease.echoed(at(9), at(4), &settings));
        assert!(!lease.echoed(at(9), at(2), &settings), "an old echo shortens nothing");
        assert!(!lease.echoed(at(9), Time::MAX, &settings), "nobody hears what was not said yet");
        assert!(!lease.is_over(at(15)));
        assert!(lease.is_over(at(16)));
    }

    #[test]
    fn home_waits_a_margin_longer_than_any_host() {
        let settings = Settings::default();
        assert!(!surely_over(at(4), at(16), &settings));
        assert!(surely_over(at(4), at(16) + settings.margin, &settings));
    }
}
