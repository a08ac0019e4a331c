//! Beacons: what this node says of itself to everybody, and what it makes of those that it hears.

use super::agreement::mark_of;
use super::{INCARNATION_AT, Instant, MOST_ADDRESSES, MOST_PENDING, Membership, Output, Peer, Standing};
use crate::replay::ReplayWindow;
use crate::swim::SwimIdentity;
use crate::wire::Message;
use brant_types::node::NodeFacts;
use rand::RngExt;
use std::net::{IpAddr, SocketAddrV6};
use std::time::Duration;

/// To how many that answer nothing so far SWIM is announced each second.
const PENDING_A_SECOND: usize = 2;

/// How many beacons are sent soon after each other at first; that takes some ten seconds.
pub(super) const BEACONS_AT_FIRST: u32 = 12;

/// How many members of a large cluster send a beacon at once when they hear a newcomer.
const ANSWERERS: usize = 8;

/// A beacon, and where it came from.
pub(super) struct Heard {
    pub(super) from: SocketAddrV6,
    pub(super) sequence: u64,
    pub(super) facts: NodeFacts,
    pub(super) renewal: u32,
    pub(super) addresses: Vec<IpAddr>,
}

impl Membership {
    /// Takes a beacon; says whether it was taken, and neither heard before nor one too many.
    pub(super) fn beacon(
        &mut self,
        now: Instant,
        Heard { from, sequence, facts, renewal, addresses }: Heard,
        out: &mut Vec<Output>,
    ) -> bool {
        let id = facts.id;
        let incarnation = sequence >> INCARNATION_AT;
        let is_new = !self.peers.contains_key(&id);
        if is_new {
            if self.pending.len() >= MOST_PENDING {
                return false;
            }
            self.pending.insert(id);
            self.parts = None;
            out.push(Output::Peer { facts: facts.clone(), heard_at: from });
        }
        let peer = self.peers.entry(id).or_insert_with(|| Peer {
            mark: mark_of(&facts),
            facts: facts.clone(),
            addresses: Vec::new(),
            incarnation,
            heard_at: from,
            last_heard: now,
            renewal,
            window: ReplayWindow::default(),
            standing: Standing::Pending,
            since: now,
            settled: false,
        });
        if !peer.window.take(sequence) {
            // The newest one once more came by another way.
            self.dropped.replayed += u64::from(!peer.window.is_newest(sequence));
            return false;
        }
        // A newcomer hears of us sooner than our slow beacon would tell it, and so does who may have forgotten everybody: it has
        // booted anew, or its agent has. Of a large cluster it hears some; they introduce the others. A recorded beacon does not
        // come this far: it would have all speak again and again.
        let knows_nobody = is_new || incarnation > peer.incarnation || peer.standing == Standing::Down;
        if knows_nobody && self.rng.random_range(0..=self.active.len()) < ANSWERERS {
            self.next_beacon = self.next_beacon.min(now + Duration::from_millis(100));
        }
        peer.last_heard = now;
        let standing = peer.standing;
        self.hear_anybody(now, standing);
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        peer.renewal = renewal;
        peer.addresses = addresses.into_iter().take(MOST_ADDRESSES).collect();
        if incarnation > peer.incarnation {
            // It has booted anew. WireGuard would not listen to one whose clock stands earlier now, and it may be
            // elsewhere, and another PC with the same stick.
            out.push(Output::Forget(peer.facts.clone()));
            out.push(Output::Peer { facts: facts.clone(), heard_at: from });
            (peer.incarnation, peer.heard_at) = (incarnation, from);
        }
        // It has another name; an old beacon that comes late does not give it the old one back.
        if facts != peer.facts && peer.window.is_newest(sequence) {
            (peer.mark, peer.facts) = (mark_of(&facts), facts);
            self.parts = None;
            self.refresh_config(now, out);
        }
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        // A peer that answers stays where it is: a beacon replayed from elsewhere must not lead its packets away.
        if peer.standing != Standing::Alive {
            if peer.heard_at != from {
                peer.heard_at = from;
                out.push(Output::Peer { facts: peer.facts.clone(), heard_at: from });
            }
            // Of many at once a few are enough: they tell of the others.
            if self.announces > 0 {
                self.announces -= 1;
                let _refused = self.swim.announce(SwimIdentity { node: id, renewal }, &mut self.runtime);
            }
            self.drain_swim(now, out);
            // One that SWIM knows through others becomes known only now.
            if self.follow_swim(id, now) {
                self.refresh_config(now, out);
            }
        }
        true
    }

    /// Tells SWIM of some that were heard and that it does not know: their answer, or ours, was lost.
    pub(super) fn announce_to_pending(&mut self, now: Instant, out: &mut Vec<Output>) {
        let pending = self.pending.iter().filter_map(|node| Some((*node, self.peers.get(node)?.renewal)));
        let mut pending: Vec<SwimIdentity> =
            pending.map(|(node, renewal)| SwimIdentity { node, renewal }).collect();
        if pending.is_empty() {
            return;
        }
        for _ in 0..PENDING_A_SECOND.min(pending.len()) {
            let chosen = pending.swap_remove(self.rng.random_range(0..pending.len()));
            let _refused = self.swim.announce(chosen, &mut self.runtime);
        }
        self.drain_swim(now, out);
    }

    pub(super) fn sealed_beacon(&mut self, asks: bool) -> Vec<u8> {
        let (facts, renewal) = (self.me.clone(), self.swim.identity().renewal);
        self.seal(Message::Beacon { facts, renewal, addresses: self.addresses.clone(), asks })
    }

    /// Four a second at first, each second for a while, then slower in proportion to the number of nodes; half of it is
    /// random.
    pub(super) fn beacon_interval(&mut self) -> Duration {
        let alive = 1 + self.active.len();
        let millis = match self.beacons_sent {
            0..4 => 250,
            4..BEACONS_AT_FIRST => 1000,
            _ => 1000 * (alive as u64).clamp(2, 300),
        };
        Duration::from_millis(millis * 3 / 4 + self.rng.random_range(0..=millis / 2))
    }
}
