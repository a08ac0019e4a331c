//! Nodes with this cluster's secret that speak another version of the protocol: both sides are told.

use super::{Instant, Membership};
use crate::seal::VERSION;
use brant_types::agent::OtherVersion;
use std::net::Ipv6Addr;
use std::time::Duration;

/// Most that are told of.
const MOST: usize = 16;
/// One that is not heard again is not told of any more after this long.
const TOLD_FOR: Duration = Duration::from_secs(120);

impl Membership {
    pub(super) fn hear_version(&mut self, now: Instant, from: Ipv6Addr, version: u8) {
        self.other_versions.retain(|_, (_, heard)| now.saturating_sub(*heard) < TOLD_FOR);
        if self.other_versions.len() < MOST || self.other_versions.contains_key(&from) {
            self.other_versions.insert(from, (version, now));
        }
    }

    /// Who cannot take part because of its version.
    pub fn other_versions(&self) -> Vec<OtherVersion> {
        let told = |(address, (theirs, _)): (&Ipv6Addr, &(u8, Instant))| OtherVersion {
            address: *address,
            theirs: *theirs,
            ours: VERSION,
        };
        self.other_versions.iter().map(told).collect()
    }
}
