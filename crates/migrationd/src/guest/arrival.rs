//! How a process came to stay here: what the time went into, as this node saw it.

use crate::history;
use brant_migration::protocol::Offer;
use brant_types::migration::{Part, PastMove};
use std::time::Instant;

/// An arrival under way.
#[derive(Debug)]
pub(super) struct Arrival {
    last: Instant,
    steps: Vec<(String, u64)>,
}

impl Arrival {
    pub(super) fn begin() -> Self {
        Self { last: Instant::now(), steps: Vec::new() }
    }

    /// A step is done.
    pub(super) fn step(&mut self, name: &str) {
        let now = Instant::now();
        let millis = u64::try_from((now - self.last).as_millis()).unwrap_or(u64::MAX);
        self.steps.push((name.to_owned(), millis));
        self.last = now;
    }

    /// It runs here.
    pub(super) fn remember(&self, here: &str, offer: &Offer) {
        tracing::info!(pid = offer.pid, home = %offer.home_name, steps = ?self.steps, "a process has come");
        history::add(&PastMove {
            at: history::now(),
            pid: offer.pid,
            comm: offer.comm.clone(),
            uid: offer.uid,
            home: offer.home_name.clone(),
            part: Part::Host,
            from: None,
            to: here.to_owned(),
            stayed: None,
            frozen_ms: None,
            bytes: None,
            steps: self.steps.clone(),
            rounds: Vec::new(),
        });
    }
}
