//! Changing the cluster's secret while it runs, for all members or for all but one.
//!
//! ```text
//! Still ──rotate, or told──▶ Spreading: tells others, opens both, still seals with the old one
//!   ▲                            │ 5 s
//!   └────────── 60 s ── Closing: seals with the new one, opens both
//! ```
//!
//! The next secret goes from node to node over the overlay only, where WireGuard has authenticated each by its own key: who
//! has the old secret and listens on the LAN learns nothing. Each that has it tells others until they have said so. Of two that
//! are made at one time the greater counts, so that all agree. Whoever is cut off for the whole minute is out, and has to be
//! admitted again: else the old secret would be as good as the new one.

use super::{Instant, Membership, Output, Standing};
use crate::seal::{Sealer, Unopened};
use crate::wire::Message;
use brant_types::agent::RotationView;
use brant_types::node::{ClusterId, NodeId};
use brant_types::ports;
use brant_types::secret::ClusterSecret;
use std::collections::BTreeSet;
use std::net::SocketAddrV6;
use std::time::Duration;

/// Until the new one is used: by then all have heard of it.
const SPREADING: Duration = Duration::from_secs(5);
/// Until the old one is of no use any more.
const CLOSING: Duration = Duration::from_secs(60);
/// To how many each node tells it each second.
const FANOUT: usize = 16;

/// Why the secret stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRotation {
    /// The one before is not over.
    #[error("the secret is being changed already; try again in a minute")]
    UnderWay,
    /// A node cannot leave itself out.
    #[error("that is this node itself; say it on another one")]
    Oneself,
    /// There is nobody like that.
    #[error("there is no such node")]
    NoSuchNode,
}

pub(super) enum Rotation {
    Still,
    Spreading {
        next: ClusterSecret,
        sealer: Sealer,
        without: Option<NodeId>,
        since: Instant,
        taken: BTreeSet<NodeId>,
    },
    Closing {
        old: Sealer,
        since: Instant,
    },
}

impl Membership {
    /// Gives the cluster another secret, which `without` does not get; the bytes must be random.
    ///
    /// # Errors
    /// [`NoRotation`]; nothing has changed.
    pub fn rotate(
        &mut self,
        now: Instant,
        bytes: [u8; 32],
        without: Option<NodeId>,
    ) -> Result<Vec<Output>, NoRotation> {
        if !matches!(self.rotation, Rotation::Still) {
            return Err(NoRotation::UnderWay);
        }
        match without {
            Some(id) if id == self.me.id => return Err(NoRotation::Oneself),
            Some(id) if !self.peers.contains_key(&id) => return Err(NoRotation::NoSuchNode),
            _ => {}
        }
        let mut out = Vec::new();
        self.begin_rotation(now, self.secret.successor(bytes), without, &mut out);
        Ok(out)
    }

    /// How far the new secret has come, while that is not over.
    pub fn rotation(&self) -> Option<RotationView> {
        let alive = || self.peers.values().filter(|peer| peer.standing == Standing::Alive);
        let of = u32::try_from(alive().count()).unwrap_or(u32::MAX).saturating_add(1);
        match &self.rotation {
            Rotation::Still => None,
            Rotation::Spreading { next, taken, .. } => {
                let taken = alive().filter(|peer| taken.contains(&peer.facts.id)).count();
                let taken = u32::try_from(taken).unwrap_or(u32::MAX).saturating_add(1);
                Some(RotationView { generation: next.generation(), taken, of })
            }
            Rotation::Closing { .. } => {
                Some(RotationView { generation: self.secret.generation(), taken: of, of })
            }
        }
    }

    /// Opens a datagram with the secret, or with the one that comes, or the one that goes.
    pub(super) fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, Unopened> {
        let other = match &self.rotation {
            Rotation::Still => None,
            Rotation::Spreading { sealer, .. } => Some(sealer),
            Rotation::Closing { old, .. } => Some(old),
        };
        match (self.sealer.open(datagram), other) {
            (Err(Unopened::Forged), Some(other)) => other.open(datagram),
            (opened, _) => opened,
        }
    }

    /// Takes the word of another node for what the secret becomes.
    pub(super) fn hear_rotation(
        &mut self,
        now: Instant,
        (from, id): (SocketAddrV6, NodeId),
        (secret, without): (ClusterSecret, Option<NodeId>),
        out: &mut Vec<Output>,
    ) {
        // WireGuard lets nobody but that node send from its address.
        if *from.ip() != self.cluster.overlay_address(id)
            || ClusterId::of(&secret) != self.cluster
            || without == Some(self.me.id)
        {
            return;
        }
        let known = match &self.rotation {
            Rotation::Spreading { next, .. } => next,
            Rotation::Still | Rotation::Closing { .. } => &self.secret,
        };
        let order = |secret: &ClusterSecret| (secret.generation(), secret.key("order of rotation"));
        let newer = match &self.rotation {
            Rotation::Spreading { .. } => order(&secret) > order(known),
            // Once it is used, another of the same generation comes too late.
            Rotation::Still | Rotation::Closing { .. } => secret.generation() > known.generation(),
        };
        let generation = secret.generation();
        if newer {
            self.begin_rotation(now, secret, without, out);
        } else if order(&secret) != order(known) {
            return;
        }
        if let Rotation::Spreading { taken, .. } = &mut self.rotation {
            taken.insert(id);
        }
        let datagram = self.seal(Message::Taken(generation));
        out.push(Output::Send { to: self.by_overlay(id), datagram });
    }

    pub(super) fn hear_taken(&mut self, from: NodeId, generation: u32) {
        if let Rotation::Spreading { next, taken, .. } = &mut self.rotation
            && next.generation() == generation
        {
            taken.insert(from);
        }
    }

    /// Each second: tells it to some that have not said that they have it, and goes on when it is time.
    pub(super) fn go_on_rotating(&mut self, now: Instant, out: &mut Vec<Output>) {
        match std::mem::replace(&mut self.rotation, Rotation::Still) {
            Rotation::Still => {}
            Rotation::Spreading { next, sealer, since, .. } if now >= since + SPREADING => {
                self.secret = next;
                let old = std::mem::replace(&mut self.sealer, sealer);
                self.rotation = Rotation::Closing { old, since: now };
            }
            Rotation::Spreading { next, sealer, without, since, taken } => {
                let message = Message::Rotation { secret: next.clone(), without };
                let missing = |id: &&NodeId| !taken.contains(id);
                let alive = self.peers.iter().filter(|(_, peer)| peer.standing == Standing::Alive);
                let whom: Vec<NodeId> = alive.map(|(id, _)| id).filter(missing).copied().collect();
                self.rotation = Rotation::Spreading { next, sealer, without, since, taken };
                // From another place in the list each second.
                let first = usize::try_from(now.as_secs()).unwrap_or(0) * FANOUT;
                for at in 0..whom.len().min(FANOUT) {
                    let id = whom[(first + at) % whom.len()];
                    let datagram = self.seal(message.clone());
                    out.push(Output::Send { to: self.by_overlay(id), datagram });
                }
            }
            Rotation::Closing { since, .. } if now >= since + CLOSING => self.left_out.clear(),
            closing @ Rotation::Closing { .. } => self.rotation = closing,
        }
    }

    fn begin_rotation(
        &mut self,
        now: Instant,
        next: ClusterSecret,
        without: Option<NodeId>,
        out: &mut Vec<Output>,
    ) {
        if let Some(id) = without {
            self.left_out.insert(id);
            self.loads.remove(&id);
            if let Some(peer) = self.peers.remove(&id) {
                out.push(Output::Forget(peer.facts));
            }
        }
        let sealer = Sealer::new(&next);
        out.push(Output::Secret(next.clone()));
        self.rotation = Rotation::Spreading { next, sealer, without, since: now, taken: BTreeSet::new() };
        self.refresh_config(now, out);
        // At once, not only with the next second.
        self.go_on_rotating(now, out);
    }

    fn by_overlay(&self, id: NodeId) -> SocketAddrV6 {
        SocketAddrV6::new(self.cluster.overlay_address(id), ports::GOSSIP, 0, 0)
    }
}
