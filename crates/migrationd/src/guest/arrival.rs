//! How a process came to stay here: what the time went into, as this node saw it.

use crate::history::{self, Steps};
use brant_migration::protocol::Offer;
use brant_types::migration::{Part, PastMove};

/// An arrival under way.
#[derive(Debug)]
pub(super) struct Arrival(Steps);

impl Arrival {
    pub(super) fn begin() -> Self {
        Self(Steps::begin())
    }

    /// A step is done.
    pub(super) fn step(&mut self, name: &str) {
        self.0.step(name);
    }

    /// It runs here.
    pub(super) fn remember(&self, here: &str, offer: &Offer) {
        tracing::info!(pid = offer.pid, home = %offer.home_name, steps = ?self.0.done(), "a process has come");
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
            steps: self.0.done().to_vec(),
            rounds: Vec::new(),
        });
    }
}
