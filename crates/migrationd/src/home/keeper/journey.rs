//! One move, as it is remembered: what the time went into.

use crate::history::{self, Steps, millis};
use crate::home::{Stayed, Wish};
use brant_migration::session::Why;
use brant_types::migration::{MoveRecord, Part, PastMove, ProcessView, RoundRecord};
use std::time::Instant;

/// A move under way, and who wants it.
#[derive(Debug)]
pub(super) struct Journey {
    wish: Wish,
    from: String,
    frozen: Option<Instant>,
    steps: Steps,
    rounds: Vec<RoundRecord>,
    bytes: u64,
    /// What keeps it here, where that is known better than the machine knows it.
    pub(super) stayed: Option<Stayed>,
}

impl Journey {
    /// It begins where the process runs now.
    pub(super) fn begin(wish: Wish, view: &ProcessView) -> Self {
        let (rounds, steps, from) = (Vec::new(), Steps::begin(), view.node.clone());
        Self { wish, from, frozen: None, steps, rounds, bytes: 0, stayed: None }
    }

    /// The name of the node that it goes to.
    pub(super) fn to(&self) -> &str {
        &self.wish.to.name
    }

    /// A step is done; each is noted once.
    pub(super) fn step(&mut self, name: &str) {
        self.steps.step(name);
    }

    /// It stands still since then.
    pub(super) fn froze(&mut self, since: Instant) {
        self.frozen.get_or_insert(since);
    }

    /// Memory was sent.
    pub(super) fn round(&mut self, round: RoundRecord) {
        self.bytes += round.bytes;
        self.rounds.push(round);
    }

    /// So many bytes were sent besides.
    pub(super) fn rest(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// It runs there; whoever wanted that is told.
    pub(super) fn arrive(mut self, view: &ProcessView) -> MoveRecord {
        self.step("resumed");
        let pid = view.pid;
        self.remember(view, None);
        let Wish { to, by, answer } = self.wish;
        let record = MoveRecord {
            pid,
            to: to.name,
            to_id: to.id,
            by,
            frozen_ms: self.frozen.map_or(0, |frozen| millis(frozen.elapsed())),
            bytes: self.bytes,
            steps: self.steps.done().to_vec(),
            rounds: self.rounds,
        };
        let _nobody_waits = answer.send(Ok(record.clone()));
        record
    }

    /// It stays; whoever wanted it to move is told why.
    pub(super) fn stay(mut self, view: &ProcessView, why: Why) {
        let node = self.wish.to.name.clone();
        let stayed = self.stayed.take().unwrap_or_else(|| match why {
            Why::Refused(refusal) => Stayed::Refused { node: node.clone(), refusal },
            why => Stayed::CalledOff { node: node.clone(), why },
        });
        let message = stayed.for_owner().message;
        tracing::info!(to = %node, "a process stayed: {message}");
        self.remember(view, Some(message));
        let _nobody_waits = self.wish.answer.send(Err(stayed));
    }
}

impl Journey {
    fn remember(&self, view: &ProcessView, stayed: Option<String>) {
        history::add(&PastMove {
            at: history::now(),
            pid: view.pid,
            comm: view.comm.clone(),
            uid: view.uid,
            home: view.home.clone(),
            part: Part::Home,
            from: Some(self.from.clone()),
            to: self.wish.to.name.clone(),
            stayed,
            frozen_ms: self.frozen.map(|frozen| millis(frozen.elapsed())),
            bytes: Some(self.bytes),
            steps: self.steps.done().to_vec(),
            rounds: self.rounds.clone(),
        });
    }
}
