//! The membership core: datagrams, the time and load samples in; datagrams, peers and configurations out.

mod loads;
mod settings;
mod view;

use crate::load::SmoothedLoad;
use crate::replay::ReplayWindow;
use crate::seal::{Sealer, Unopened};
use crate::swim::{self, SwimIdentity, Timers};
use crate::wire::{Envelope, LoadNews, Message};
use brant_types::agent::{Dropped, Load};
use brant_types::cluster::ClusterConfig;
use brant_types::node::{ClusterId, NodeFacts, NodeId, is_node_name};
use brant_types::secret::ClusterSecret;
use brant_types::settings::Settings;
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, OwnedNotification, PostcardCodec};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV6;
use std::time::Duration;

/// Time since some fixed moment before the core was made.
pub type Instant = Duration;

/// A pending node that is not heard again is forgotten after this long.
const PENDING_FOR: Duration = Duration::from_secs(30);
/// A node that went down is shown as down for this long.
const DOWN_FOR: Duration = Duration::from_secs(300);
/// Most nodes that may be pending at a time.
const MOST_PENDING: usize = 64;
/// Where a boot's number begins in the counter of messages; below it are two years of microseconds.
const INCARNATION_AT: u32 = 46;
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
    /// Send this datagram to everybody on every link.
    Beacon(Vec<u8>),
    /// Make or refresh the WireGuard peer for this node.
    Peer {
        /// Who.
        facts: NodeFacts,
        /// Where it was heard; never given for a node whose peer is there already.
        heard_at: SocketAddrV6,
    },
    /// Take the WireGuard peer of this node away.
    Forget(NodeFacts),
    /// The members or the settings have changed, and with them the configuration.
    Config(ClusterConfig),
}

struct Peer {
    facts: NodeFacts,
    incarnation: u64,
    heard_at: SocketAddrV6,
    last_heard: Instant,
    renewal: u32,
    window: ReplayWindow,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Standing {
    Pending,
    Alive,
    Down(Instant),
}

/// Everything that this node knows of its cluster.
pub struct Membership {
    cluster_name: String,
    cluster: ClusterId,
    sealer: Sealer,
    me: NodeFacts,
    swim: Foca<SwimIdentity, PostcardCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<SwimIdentity>,
    rng: StdRng,
    peers: BTreeMap<NodeId, Peer>,
    timers: Timers,
    sequence: u64,
    next_beacon: Instant,
    next_loads: Instant,
    beacons_sent: u32,
    my_load: SmoothedLoad,
    loads: BTreeMap<NodeId, LoadNews>,
    sample: u64,
    dropped: Dropped,
    settings: Settings,
    config: ClusterConfig,
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
        let identity = SwimIdentity { node: me.id, renewal: 0 };
        let swim = Foca::new(identity, swim::config(), StdRng::from_rng(&mut rng), PostcardCodec);
        let cluster = ClusterId::of(secret);
        let config = ClusterConfig::of(cluster_name, cluster, &Settings::default(), [&me]);
        Self {
            cluster_name: cluster_name.to_owned(),
            cluster,
            sealer: Sealer::new(secret),
            swim,
            runtime: AccumulatingRuntime::new(),
            rng,
            peers: BTreeMap::new(),
            timers: Timers::default(),
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
            settings: Settings::default(),
            config,
            me,
        }
    }

    /// When [`Membership::tick`] wants to be called next.
    pub fn next_tick(&self) -> Instant {
        let own = self.next_beacon.min(self.next_loads);
        self.timers.next().map_or(own, |timer| timer.min(own))
    }

    /// A link or an address has changed: say so at once.
    pub fn link_changed(&mut self, now: Instant) {
        self.next_beacon = now;
        self.beacons_sent = 0;
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        while let Some(timer) = self.timers.due(now) {
            // A timer that SWIM no longer expects is an error to it, and changes nothing.
            let _stale = self.swim.handle_timer(timer, &mut self.runtime);
            self.drain_swim(now, &mut out);
        }
        if self.next_beacon <= now {
            let renewal = self.swim.identity().renewal;
            let beacon = self.seal(Message::Beacon { facts: self.me.clone(), renewal });
            out.push(Output::Beacon(beacon));
            self.beacons_sent += 1;
            self.next_beacon = now + self.beacon_interval();
        }
        if self.next_loads <= now {
            self.send_loads(&mut out);
            self.send_digest(&mut out);
            self.next_loads = now + LOAD_PERIOD;
        }
        self.forget_old(now, &mut out);
        out
    }

    /// Takes a datagram from the LAN. Never fails: what is not good is dropped and counted.
    pub fn datagram(&mut self, now: Instant, from: SocketAddrV6, datagram: &[u8]) -> Vec<Output> {
        let mut out = Vec::new();
        let message = match self.sealer.open(datagram) {
            Ok(message) => message,
            Err(Unopened::Foreign) => {
                self.dropped.foreign += 1;
                return out;
            }
            Err(Unopened::Forged) => {
                self.dropped.forged += 1;
                return out;
            }
        };
        let Ok(envelope) = postcard::from_bytes::<Envelope>(&message) else {
            self.dropped.malformed += 1;
            return out;
        };
        // A looped switch, or a hypervisor's multicast, lets a node hear itself.
        if envelope.from == self.me.id {
            return out;
        }
        match envelope.message {
            Message::Beacon { facts, renewal } => {
                if facts.id != envelope.from
                    || NodeId::of(&facts.key) != facts.id
                    || !is_node_name(&facts.name)
                {
                    self.dropped.malformed += 1;
                } else {
                    self.beacon(now, from, envelope.sequence, facts, renewal, &mut out);
                }
            }
            Message::Swim(packet) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    // SWIM refuses packets that are out of turn; nothing changes by that.
                    let _refused = self.swim.handle_data(&packet, &mut self.runtime);
                    self.drain_swim(now, &mut out);
                }
            }
            Message::Loads(news) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_loads(news);
                }
            }
            Message::Settings(entries) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_settings(envelope.from, entries, &mut out);
                }
            }
            Message::SettingsDigest(digest) => {
                if self.fresh(now, envelope.from, envelope.sequence) && digest != self.settings.digest() {
                    self.send_settings(envelope.from, &mut out);
                }
            }
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

    /// The configuration that the present members make.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    fn beacon(
        &mut self,
        now: Instant,
        from: SocketAddrV6,
        sequence: u64,
        facts: NodeFacts,
        renewal: u32,
        out: &mut Vec<Output>,
    ) {
        let id = facts.id;
        let pending = self.peers.values().filter(|peer| peer.standing == Standing::Pending).count();
        if !self.peers.contains_key(&id) {
            if pending >= MOST_PENDING {
                return;
            }
            out.push(Output::Peer { facts: facts.clone(), heard_at: from });
            // A newcomer hears of us sooner than our slow beacon would tell it.
            self.next_beacon = self.next_beacon.min(now + Duration::from_millis(100));
        }
        let incarnation = sequence >> INCARNATION_AT;
        let peer = self.peers.entry(id).or_insert_with(|| Peer {
            facts: facts.clone(),
            incarnation,
            heard_at: from,
            last_heard: now,
            renewal,
            window: ReplayWindow::default(),
            standing: Standing::Pending,
        });
        if !peer.window.take(sequence) {
            self.dropped.replayed += 1;
            return;
        }
        peer.last_heard = now;
        peer.renewal = renewal;
        if incarnation > peer.incarnation {
            // It has booted anew. WireGuard would not listen to one whose clock stands earlier now, and it may be
            // elsewhere, and another PC with the same stick.
            out.push(Output::Forget(std::mem::replace(&mut peer.facts, facts.clone())));
            out.push(Output::Peer { facts, heard_at: from });
            (peer.incarnation, peer.heard_at) = (incarnation, from);
            self.refresh_config(out);
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // A peer that answers stays where it is: a beacon replayed from elsewhere must not lead its packets away.
        if peer.standing != Standing::Alive {
            if peer.heard_at != from {
                peer.heard_at = from;
                out.push(Output::Peer { facts: peer.facts.clone(), heard_at: from });
            }
            let _refused = self.swim.announce(SwimIdentity { node: id, renewal }, &mut self.runtime);
            self.drain_swim(now, out);
        }
    }

    fn fresh(&mut self, now: Instant, from: NodeId, sequence: u64) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        if !peer.window.take(sequence) {
            self.dropped.replayed += 1;
            return false;
        }
        peer.last_heard = now;
        true
    }

    fn seal(&mut self, message: Message) -> Vec<u8> {
        self.sequence += 1;
        let envelope = Envelope { from: self.me.id, sequence: self.sequence, message };
        let bytes =
            postcard::to_allocvec(&envelope).unwrap_or_else(|_| unreachable!("plain data, growing buffer"));
        let mut nonce = [0; 24];
        self.rng.fill_bytes(&mut nonce);
        self.sealer.seal(nonce, &bytes)
    }

    /// Four a second at first, each second for a while, then slower in proportion to the number of nodes; half of it is
    /// random.
    fn beacon_interval(&mut self) -> Duration {
        let alive = 1 + self.peers.values().filter(|peer| peer.standing == Standing::Alive).count();
        let millis = match self.beacons_sent {
            0..4 => 250,
            4..12 => 1000,
            _ => 1000 * (alive as u64).clamp(2, 300),
        };
        Duration::from_millis(millis * 3 / 4 + self.rng.random_range(0..=millis / 2))
    }

    fn drain_swim(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut members_changed = false;
        while let Some((to, packet)) = self.runtime.to_send() {
            if let Some(heard_at) = self.peers.get(&to.node).map(|peer| peer.heard_at) {
                let datagram = self.seal(Message::Swim(packet.to_vec()));
                out.push(Output::Send { to: heard_at, datagram });
            }
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers.add(now + after, timer);
        }
        while let Some(notification) = self.runtime.to_notify() {
            members_changed |= matches!(
                notification,
                OwnedNotification::MemberUp(_)
                    | OwnedNotification::MemberDown(_)
                    | OwnedNotification::Rename(..)
            );
        }
        // A member that SWIM knows through others may become known by its beacon only later: look each time.
        let active: BTreeSet<NodeId> = self.swim.iter_members().map(|member| member.id().node).collect();
        for (id, peer) in &mut self.peers {
            match (peer.standing, active.contains(id)) {
                (Standing::Pending | Standing::Down(_), true) => {
                    peer.standing = Standing::Alive;
                    members_changed = true;
                }
                (Standing::Alive, false) => {
                    peer.standing = Standing::Down(now);
                    members_changed = true;
                }
                _ => {}
            }
        }
        if members_changed {
            self.refresh_config(out);
        }
    }

    fn refresh_config(&mut self, out: &mut Vec<Output>) {
        let alive =
            self.peers.values().filter(|peer| peer.standing == Standing::Alive).map(|peer| &peer.facts);
        let config =
            ClusterConfig::of(&self.cluster_name, self.cluster, &self.settings, alive.chain([&self.me]));
        if config != self.config {
            self.config = config.clone();
            out.push(Output::Config(config));
        }
    }

    fn forget_old(&mut self, now: Instant, out: &mut Vec<Output>) {
        let old: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| match peer.standing {
                Standing::Pending => now.saturating_sub(peer.last_heard) > PENDING_FOR,
                Standing::Alive => false,
                Standing::Down(since) => now.saturating_sub(since) > DOWN_FOR,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.loads.remove(&id);
            if let Some(peer) = self.peers.remove(&id) {
                out.push(Output::Forget(peer.facts));
            }
        }
    }
}

#[cfg(test)]
mod tests;
