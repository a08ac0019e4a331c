//! SWIM's identity and its packets' way out; the protocol itself is the `foca` crate.

use brant_types::node::NodeId;
use foca::{Config, Identity, PeriodicParams, Timer};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

/// A node, and how often it had to come back from having been declared down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SwimIdentity {
    pub(crate) node: NodeId,
    pub(crate) renewal: u32,
}

impl Identity for SwimIdentity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { node: self.node, renewal: self.renewal.wrapping_add(1) })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.renewal > adversary.renewal
    }
}

const fn at_least_one(n: usize) -> NonZeroUsize {
    match NonZeroUsize::new(n) {
        Some(n) => n,
        None => NonZeroUsize::MIN,
    }
}

/// A LAN of ordinary PCs, some of them busy: a dead node is noticed in about 5 s.
pub(crate) fn config() -> Config {
    Config {
        probe_period: Duration::from_millis(900),
        probe_rtt: Duration::from_millis(450),
        num_indirect_probes: at_least_one(4),
        max_transmissions: NonZeroU8::new(15).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: Duration::from_millis(2300),
        remove_down_after: Duration::from_secs(3600).into(),
        // Leaves room for the seal and the envelope within an Ethernet frame.
        max_packet_size: at_least_one(1300),
        notify_down_members: true,
        periodic_announce: Some(PeriodicParams {
            frequency: Duration::from_secs(20),
            num_members: at_least_one(1),
        }),
        periodic_announce_to_down_members: Some(PeriodicParams {
            frequency: Duration::from_secs(5),
            num_members: at_least_one(2),
        }),
        periodic_gossip: Some(PeriodicParams {
            frequency: Duration::from_millis(750),
            num_members: at_least_one(3),
        }),
    }
}

/// SWIM's timers in the order of their deadlines; equal deadlines in the order that SWIM asks for.
#[derive(Default)]
pub(crate) struct Timers {
    list: Vec<(Duration, Timer<SwimIdentity>)>,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Duration, timer: Timer<SwimIdentity>) {
        let position = self.list.partition_point(|(when, other)| (*when, other) <= (at, &timer));
        self.list.insert(position, (at, timer));
    }

    pub(crate) fn due(&mut self, now: Duration) -> Option<Timer<SwimIdentity>> {
        if self.list.first().is_some_and(|(when, _)| *when <= now) {
            Some(self.list.remove(0).1)
        } else {
            None
        }
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.list.first().map(|(when, _)| *when)
    }
}
