//! The membership core: datagrams, the time and load samples in; datagrams, peers and configurations out.

mod agreement;
mod beacons;
mod clock;
mod datagram;
mod deaf;
mod doubt;
mod introduce;
mod loads;
mod members;
mod rotation;
mod sealing;
mod settings;
mod versions;
mod view;

use crate::load::SmoothedLoad;
use crate::replay::ReplayWindow;
use crate::seal::Sealer;
use crate::swim::{self, SwimIdentity, Timers};
use crate::wire::LoadNews;
pub use rotation::NoRotation;

use agreement::Parts;
use brant_types::agent::{Dropped, Load};
use brant_types::cluster::ClusterConfig;
use brant_types::node::{ClusterId, NodeFacts, NodeId, is_node_name};
use brant_types::secret::ClusterSecret;
use brant_types::settings::Settings;
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, PostcardCodec};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rotation::Rotation;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::time::Duration;

/// Time since some fixed moment before the core was made.
pub type Instant = Duration;

/// A pending node that is not heard again is forgotten after this long.
const PENDING_FOR: Duration = Duration::from_secs(30);
/// A node that went down is shown as down for this long.
const DOWN_FOR: Duration = Duration::from_secs(300);
/// Most nodes that may be pending at a time: a building whose PCs are switched on at once. Only who had the secret once
/// can have made a beacon, so a stranger fills this with nothing but recorded ones of so many nodes.
const MOST_PENDING: usize = 1024;
/// Where a boot's number begins in the counter of messages; below it are two years of microseconds.
const INCARNATION_AT: u32 = 46;
/// How many identities a boot has room for below those of the next, as a power of two.
const RENEWALS_OF_A_BOOT: u32 = 12;
/// Most addresses of one node.
pub(crate) const MOST_ADDRESSES: usize = 4;
/// To how many that were just heard SWIM is announced at once, and each second.
const MOST_ANNOUNCES: u32 = 16;
const ANNOUNCES_A_SECOND: u32 = 4;
const LOAD_PERIOD: Duration = Duration::from_secs(1);

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this datagram to one node.
    Send {
        /// Where it was last heard.
        to: SocketAddrV6,
        /// The sealed datagram.
        datagram: Vec<u8>,
    },
    /// Send this datagram to everybody on every link, and to the seeds.
    Beacon {
        /// The sealed datagram, for all who are on a link.
        datagram: Vec<u8>,
        /// The same for seeds, who are asked to answer.
        to_seeds: Vec<u8>,
        /// Whether no other node is known yet, so that each way is worth trying.
        alone: bool,
    },
    /// Make or refresh the WireGuard peer for this node.
    Peer {
        /// Who.
        facts: NodeFacts,
        /// Where it was heard; never given for a node whose peer is there already.
        heard_at: SocketAddrV6,
    },
    /// Take the WireGuard peer of this node away.
    Forget(NodeFacts),
    /// Keep this secret, and say so with [`Membership::kept`]; WireGuard's peers get its key one by one.
    Secret(ClusterSecret),
    /// This peer has the newest secret: use its key.
    Rekey(NodeFacts),
    /// The change of the secret is over: use the newest key with all peers.
    RekeyAll,
    /// The members or the settings have changed, and with them the configuration.
    Config(ClusterConfig),
}

struct Peer {
    facts: NodeFacts,
    /// A digest of them.
    mark: u32,
    addresses: Vec<IpAddr>,
    incarnation: u64,
    heard_at: SocketAddrV6,
    last_heard: Instant,
    renewal: u32,
    window: ReplayWindow,
    standing: Standing,
    /// Since when it is what it is, and whether it has been a member for some time.
    since: Instant,
    settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Standing {
    Pending,
    Alive,
    Down,
}

/// Everything that this node knows of its cluster.
pub struct Membership {
    cluster_name: String,
    cluster: ClusterId,
    secret: ClusterSecret,
    sealer: Sealer,
    rotation: Rotation,
    /// Who was left out of it, and may still speak with the secret that goes.
    left_out: BTreeSet<NodeId>,
    me: NodeFacts,
    swim: Foca<SwimIdentity, PostcardCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<SwimIdentity>,
    rng: StdRng,
    peers: BTreeMap<NodeId, Peer>,
    /// Those of the peers that are pending.
    pending: BTreeSet<NodeId>,
    /// Whom SWIM takes for alive, as it tells of each change.
    active: BTreeSet<NodeId>,
    /// When any member was heard last, and when one was lost last.
    heard_at: Instant,
    lost_at: Instant,
    /// Whom another one has down, by which identity, and since when it has been asked.
    doubted: BTreeMap<NodeId, (u32, Instant)>,
    /// Digests of those and of this node, unless something has changed since they were made.
    parts: Option<Parts>,
    /// Whether these are compared next, or the settings were.
    compares_members: bool,
    /// How much SWIM had to tell when that was looked at last, and when news were told at once.
    backlog: usize,
    told_at: Instant,
    timers: Timers,
    addresses: Vec<IpAddr>,
    announces: u32,
    sequence: u64,
    next_beacon: Instant,
    next_loads: Instant,
    beacons_sent: u32,
    my_load: SmoothedLoad,
    loads: BTreeMap<NodeId, LoadNews>,
    sample: u64,
    dropped: Dropped,
    /// Who speaks another version, and when it was heard.
    other_versions: BTreeMap<Ipv6Addr, (u8, Instant)>,
    settings: Settings,
    /// When another one's were the same last.
    settings_known: Instant,
    lost: u64,
    /// Since when nobody's clock is there to be followed.
    clockless_since: Option<Instant>,
    config: ClusterConfig,
    /// When it was made, and whether it has to be made anew.
    config_made: Instant,
    config_stale: bool,
}

impl Membership {
    /// A node alone in its cluster. `incarnation` rises with each boot under the same key; `seed` must be random.
    pub fn new(
        cluster_name: &str,
        secret: &ClusterSecret,
        me: NodeFacts,
        incarnation: u32,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut rng = StdRng::from_seed(seed);
        // Above those of earlier boots, which others may still know: they take this one at once then.
        let identity = SwimIdentity { node: me.id, renewal: incarnation << RENEWALS_OF_A_BOOT };
        let swim = Foca::new(identity, swim::config(), StdRng::from_rng(&mut rng), PostcardCodec);
        let cluster = ClusterId::of(secret);
        let config = ClusterConfig::of(cluster_name, cluster, &Settings::default(), [&me]);
        Self {
            cluster_name: cluster_name.to_owned(),
            cluster,
            secret: secret.clone(),
            sealer: Sealer::new(secret),
            rotation: Rotation::Still,
            left_out: BTreeSet::new(),
            swim,
            runtime: AccumulatingRuntime::new(),
            rng,
            peers: BTreeMap::new(),
            pending: BTreeSet::new(),
            parts: None,
            active: BTreeSet::new(),
            heard_at: now,
            lost_at: Instant::ZERO,
            doubted: BTreeMap::new(),
            compares_members: false,
            backlog: 0,
            told_at: Instant::ZERO,
            timers: Timers::default(),
            addresses: Vec::new(),
            announces: MOST_ANNOUNCES,
            // Above all that was sent before under the same key, by an earlier run of this agent or in an earlier
            // boot, so that peers take it for new.
            sequence: (u64::from(incarnation) << INCARNATION_AT)
                + u64::try_from(now.as_micros()).unwrap_or(0),
            next_beacon: now,
            next_loads: now + LOAD_PERIOD,
            beacons_sent: 0,
            my_load: SmoothedLoad::default(),
            loads: BTreeMap::new(),
            sample: 0,
            dropped: Dropped::default(),
            other_versions: BTreeMap::new(),
            settings: Settings::default(),
            settings_known: Instant::ZERO,
            lost: 0,
            clockless_since: None,
            config,
            config_made: Instant::ZERO,
            config_stale: false,
            me,
        }
    }

    /// When [`Membership::tick`] wants to be called next.
    pub fn next_tick(&self) -> Instant {
        let mut own = self.next_beacon.min(self.next_loads);
        if self.config_stale {
            own = own.min(self.config_made + self.config_interval());
        }
        self.timers.next().map_or(own, |timer| timer.min(own))
    }

    /// A link or an address has changed: say so at once.
    pub fn link_changed(&mut self, now: Instant) {
        self.next_beacon = now;
        self.beacons_sent = 0;
    }

    /// Where this node can be reached from other networks.
    pub fn set_addresses(&mut self, now: Instant, addresses: &[IpAddr]) {
        let addresses = &addresses[..addresses.len().min(MOST_ADDRESSES)];
        if self.addresses != addresses {
            self.addresses = addresses.to_vec();
            self.link_changed(now);
        }
    }

    /// This node has another name now; one that is no name for a node changes nothing.
    pub fn rename(&mut self, now: Instant, name: &str) -> Vec<Output> {
        let mut out = Vec::new();
        if name != self.me.name && is_node_name(name) {
            name.clone_into(&mut self.me.name);
            self.parts = None;
            self.link_changed(now);
            self.refresh_config(now, &mut out);
        }
        out
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        while let Some(timer) = self.timers.due(now) {
            if self.is_refuted(&timer) {
                continue;
            }
            if let Some(later) = self.verdict_waits(now, &timer) {
                self.timers.add(later, timer);
                continue;
            }
            // A timer that SWIM no longer expects is an error to it, and changes nothing.
            let _stale = self.swim.handle_timer(timer, &mut self.runtime);
            self.drain_swim(now, &mut out);
        }
        if self.next_beacon <= now {
            let alone = !self.peers.values().any(|peer| peer.standing == Standing::Alive);
            let (datagram, to_seeds) = (self.sealed_beacon(false), self.sealed_beacon(true));
            out.push(Output::Beacon { datagram, to_seeds, alone });
            self.beacons_sent += 1;
            self.next_beacon = now + self.beacon_interval();
        }
        if self.next_loads <= now {
            // What SWIM wants since it began anew.
            self.drain_swim(now, &mut out);
            self.send_loads(&mut out);
            self.compare_with_one(&mut out);
            self.ask_the_doubted(now, &mut out);
            self.ask_for_introductions(&mut out);
            self.announce_to_pending(now, &mut out);
            out.extend(self.choose_clock(now));
            self.go_on_rotating(now, &mut out);
            self.forget_old(now, &mut out);
            self.announces = (self.announces + ANNOUNCES_A_SECOND).min(MOST_ANNOUNCES);
            self.next_loads = now + LOAD_PERIOD;
        }
        if self.config_stale {
            self.refresh_config(now, &mut out);
        }
        out
    }

    /// Takes a sample of this node's own load: runnable tasks in thousandths, free memory in KiB.
    pub fn sample(&mut self, runnable_milli: u32, memory_free_kib: u64) {
        self.my_load.sample(runnable_milli);
        self.sample += 1;
        let load = Load { runnable_milli: self.my_load.told(), memory_free_kib };
        self.loads.insert(self.me.id, LoadNews { node: self.me.id, sample: self.sample, load });
    }

    /// Says goodbye to the others.
    pub fn leave(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        let _refused = self.swim.leave_cluster(&mut self.runtime);
        self.drain_swim(now, &mut out);
        out
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me.id
    }

    /// How often a member went down, or seemed to.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The configuration of this node without all the others.
    pub fn alone(&self) -> ClusterConfig {
        ClusterConfig::of(&self.cluster_name, self.cluster, &self.settings, [&self.me])
    }

    /// The configuration that the present members make.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The more members, the longer it takes to make and to write.
    fn config_interval(&self) -> Duration {
        Duration::from_millis(100 + self.peers.len() as u64)
    }
}

#[cfg(test)]
mod tests;
