//! Waiting for conditions, not for clocks: each wait has a deadline, and deadlines grow with how slow this host has
//! shown itself to be.

use crate::cluster::args::NodeName;
use crate::interrupt;
use anyhow::{Context, Result};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// From power-on until it answers, on a PC of today.
const USUAL_BOOT: Duration = Duration::from_secs(8);
/// How long a short command in a node may take on a PC of today.
const SHORT_COMMAND: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Patience(f64);

impl Patience {
    /// Measured by how long the nodes took to answer.
    pub(crate) fn measured(boot: Duration) -> Self {
        Self((boot.as_secs_f64() / USUAL_BOOT.as_secs_f64()).max(1.0))
    }

    /// The same, of each node's own time.
    pub(crate) fn of_slowest(answered: &[(NodeName, Duration)]) -> Self {
        Self::measured(answered.iter().map(|(_, took)| *took).max().unwrap_or_default())
    }

    /// How long a short command may take in a node.
    pub(crate) fn short_command(self) -> Duration {
        self.of(SHORT_COMMAND)
    }

    /// How long something may take here that takes this long on a PC of today.
    pub(crate) fn of(self, usual: Duration) -> Duration {
        usual.mul_f64(self.0)
    }

    /// Tries once a second until it succeeds; a failure is an answer only at the deadline.
    ///
    /// # Errors
    /// The last failure.
    pub(crate) fn wait<T>(self, usual: Duration, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
        let deadline = self.of(usual);
        let since = Instant::now();
        loop {
            interrupt::check()?;
            match probe() {
                Ok(reached) => return Ok(reached),
                Err(error) if since.elapsed() >= deadline => {
                    return Err(error).with_context(|| format!("waiting for {} s", deadline.as_secs()));
                }
                Err(_not_yet) => sleep(TICK),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_host_gets_more_time_and_a_fast_one_no_less() {
        let usual = Duration::from_secs(10);
        assert_eq!(Patience::measured(Duration::from_secs(40)).of(usual), Duration::from_secs(50));
        assert_eq!(Patience::measured(Duration::from_secs(1)).of(usual), usual);
    }

    #[test]
    fn the_last_failure_is_the_answer_at_the_deadline() {
        let patience = Patience::measured(Duration::ZERO);
        let mut tries = 0;
        let reached = patience.wait(Duration::from_secs(10), || {
            tries += 1;
            if tries < 2 { anyhow::bail!("not yet") } else { Ok(tries) }
        });
        assert_eq!(reached.unwrap(), 2);
        let never = patience.wait(Duration::ZERO, || -> Result<()> { anyhow::bail!("never") }).unwrap_err();
        assert_eq!(never.root_cause().to_string(), "never");
    }
}
