//! The order of one move, as types: the next step exists only on the step before it.
//!
//! ```text
//!               precopied
//!                 ┌──┐
//! Offered ─▶ Negotiated ─▶ Frozen ─▶ Dumped ─▶ Sent ─▶ RestoredStopped ─▶ Committed ─▶ Resumed
//!    │            │           │         │        │            │
//!    └────────────┴───────────┴─────────┴────────┴────────────┴──▶ stayed: the process runs on at home
//! ```
//!
//! Before [`Committed`] every failure ends in `stayed`, and the process never knew. From there on only the target may
//! run it: [`Move<RestoredStopped>::commit`] is the only way to [`Committed`], and `stayed` does not exist on it.

use std::time::Duration;

/// The target has been asked.
#[derive(Debug)]
pub struct Offered;
/// The target prepares a capsule; the process still runs.
#[derive(Debug)]
pub struct Negotiated;
/// The process stands still.
#[derive(Debug)]
pub struct Frozen;
/// Its image lies in this node's memory.
#[derive(Debug)]
pub struct Dumped;
/// Its image lies in the target's memory.
#[derive(Debug)]
pub struct Sent;
/// The target holds it before its first instruction.
#[derive(Debug)]
pub struct RestoredStopped;
/// Only the target may run it.
#[derive(Debug)]
pub struct Committed;
/// It runs on the target.
#[derive(Debug)]
pub struct Resumed;

/// Steps at which a move can still be called off.
pub trait BeforeCommit {}
impl BeforeCommit for Offered {}
impl BeforeCommit for Negotiated {}
impl BeforeCommit for Frozen {}
impl BeforeCommit for Dumped {}
impl BeforeCommit for Sent {}
impl BeforeCommit for RestoredStopped {}

/// A move at one of its steps, with what each step before it took.
#[derive(Debug)]
pub struct Move<Step> {
    _step: Step,
    began: Duration,
    last: Duration,
    frozen_at: Option<Duration>,
    timeline: Vec<(&'static str, Duration)>,
}

/// What a move took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// How long the process stood still.
    pub frozen: Duration,
    /// Each step and its length.
    pub steps: Vec<(&'static str, Duration)>,
}

impl Move<Offered> {
    /// A move begins.
    pub fn offered(now: Duration) -> Self {
        Self { _step: Offered, began: now, last: now, frozen_at: None, timeline: Vec::new() }
    }

    /// The target has accepted.
    pub fn negotiated(self, now: Duration) -> Move<Negotiated> {
        self.next("negotiated", Negotiated, now)
    }
}

impl Move<Negotiated> {
    /// Memory was copied while the process ran on.
    #[must_use]
    pub fn precopied(self, now: Duration) -> Self {
        self.next("precopied", Negotiated, now)
    }

    /// The process stands still since `at`.
    pub fn frozen(self, at: Duration, now: Duration) -> Move<Frozen> {
        let mut next = self.next("frozen", Frozen, now);
        next.frozen_at = Some(at);
        next
    }
}

impl Move<Frozen> {
    /// The image is complete.
    pub fn dumped(self, now: Duration) -> Move<Dumped> {
        self.next("dumped", Dumped, now)
    }
}

impl Move<Dumped> {
    /// The image is sent.
    pub fn sent(self, now: Duration) -> Move<Sent> {
        self.next("sent", Sent, now)
    }
}

impl Move<Sent> {
    /// The target holds the process stopped.
    pub fn restored(self, now: Duration) -> Move<RestoredStopped> {
        self.next("restored", RestoredStopped, now)
    }
}

impl Move<RestoredStopped> {
    /// The deputy stands in the process's place.
    pub fn commit(self, now: Duration) -> Move<Committed> {
        self.next("committed", Committed, now)
    }
}

impl Move<Committed> {
    /// The target runs it.
    pub fn resumed(self, now: Duration) -> Move<Resumed> {
        self.next("resumed", Resumed, now)
    }
}

impl Move<Resumed> {
    /// What it all took.
    pub fn timeline(self) -> Timeline {
        let frozen = self.last.saturating_sub(self.frozen_at.unwrap_or(self.began));
        Timeline { frozen, steps: self.timeline }
    }
}

impl<Step: BeforeCommit> Move<Step> {
    /// The move is called off; says how long the process stood still for nothing.
    pub fn stayed(self, now: Duration) -> Duration {
        self.frozen_at.map_or(Duration::ZERO, |at| now.saturating_sub(at))
    }
}

impl<Step> Move<Step> {
    fn next<Next>(mut self, name: &'static str, step: Next, now: Duration) -> Move<Next> {
        self.timeline.push((name, now.saturating_sub(self.last)));
        Move { _step: step, began: self.began, last: now, frozen_at: self.frozen_at, timeline: self.timeline }
    }
}

/// ```compile_fail
/// use brant_migration::steps::Move;
/// use std::time::Duration;
/// // A move that was only offered cannot be committed.
/// Move::offered(Duration::ZERO).commit(Duration::ZERO);
/// ```
///
/// ```compile_fail
/// use brant_migration::steps::{Committed, Move};
/// // After the commit nobody can call it off.
/// fn undo(it: Move<Committed>) { it.stayed(std::time::Duration::ZERO); }
/// ```
#[cfg(doctest)]
struct OrderIsKeptByTheCompiler;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeline_names_each_step_and_the_time_stood_still() {
        let at = Duration::from_millis;
        let done = Move::offered(at(0))
            .negotiated(at(4))
            .precopied(at(10))
            .frozen(at(11), at(12))
            .dumped(at(40))
            .sent(at(50))
            .restored(at(90))
            .commit(at(95))
            .resumed(at(100));
        let timeline = done.timeline();
        assert_eq!(timeline.frozen, at(89));
        assert_eq!(timeline.steps.len(), 8);
        assert_eq!(timeline.steps[1], ("precopied", at(6)));
        assert_eq!(timeline.steps[3], ("dumped", at(28)));
    }

    #[test]
    fn a_move_called_off_says_how_long_the_process_stood_still() {
        let at = Duration::from_millis;
        assert_eq!(Move::offered(at(0)).stayed(at(9)), at(0));
        assert_eq!(Move::offered(at(0)).negotiated(at(1)).frozen(at(2), at(3)).stayed(at(9)), at(7));
    }
}
