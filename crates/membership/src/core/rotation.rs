//! Changing the cluster's secret while it runs, for all members or for all but one.
//!
//! ```text
//! Still ──rotate, or told──▶ Spreading: opens both, still seals with the old one
//!   ▲                            │ 5 s
//!   └────────── 60 s ── Closing: seals with the new one, opens both
//!
//! In both, once this node has kept it: tells those that have not said that they have. Where it is made, and is not kept
//! within 30 s, nothing has changed.
//! ```
//!
//! The next secret goes from node to node over the overlay only, where WireGuard has authenticated each by its own key: who
//! has the old secret and listens on the LAN learns nothing. Each that has it tells others until they have said so. Of two that
//! are made at one time the greater counts, so that all agree. Told are those that were members, seen by everybody, for some time
//! before it began: who has the old secret cannot wait in hiding for a new one, and come out then. WireGuard's key with a node is
//! changed when that node is known to have the secret; before, a handshake could not succeed. Whoever is cut off for the whole minute is out, and has to be
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
/// Until a secret is given up that cannot be kept where it is made.
const KEEPING: Duration = Duration::from_secs(30);
/// Until the old one is of no use any more.
const CLOSING: Duration = Duration::from_secs(60);
/// How long a node must have been a member before it is told.
const SETTLED: Duration = Duration::from_secs(5);
/// Most nodes that are left out at a time.
pub(crate) const MOST_LEFT_OUT: usize = 16;
/// What the key is for that says that a node has a secret.
const TAKEN: &str = "taken";
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
    /// More than can be told in one word.
    #[error("so many cannot be left out at a time; 16 can")]
    TooMany,
    /// There is nobody like that.
    #[error("there is no such node")]
    NoSuchNode,
}

pub(super) enum Rotation {
    Still,
    Spreading { next: ClusterSecret, sealer: Sealer, telling: Telling, since: Instant },
    Closing { old: Sealer, telling: Telling, since: Instant },
}

/// Whom a node tells.
#[derive(Default)]
pub(super) struct Telling {
    without: Vec<NodeId>,
    /// Who may have it.
    whom: BTreeSet<NodeId>,
    /// Who is known to have it.
    taken: BTreeSet<NodeId>,
    /// Whether this node has kept it, so that it still has it after a restart.
    kept: bool,
}

impl Membership {
    /// Gives the cluster another secret, which those of `without` do not get; the bytes must be random.
    ///
    /// # Errors
    /// [`NoRotation`]; nothing has changed.
    pub fn rotate(
        &mut self,
        now: Instant,
        bytes: [u8; 32],
        without: &[NodeId],
    ) -> Result<Vec<Output>, NoRotation> {
        if !matches!(self.rotation, Rotation::Still) {
            return Err(NoRotation::UnderWay);
        }
        if without.len() > MOST_LEFT_OUT {
            return Err(NoRotation::TooMany);
        }
        if without.contains(&self.me.id) {
            return Err(NoRotation::Oneself);
        }
        if !without.iter().all(|id| self.peers.contains_key(id)) {
            return Err(NoRotation::NoSuchNode);
        }
        let mut out = Vec::new();
        self.begin_rotation(now, self.secret.successor(bytes), without, &mut out);
        Ok(out)
    }

    /// How far the new secret has come, while that is not over.
    pub fn rotation(&self) -> Option<RotationView> {
        let alive = || self.peers.values().filter(|peer| peer.standing == Standing::Alive);
        let of = u32::try_from(alive().count()).unwrap_or(u32::MAX).saturating_add(1);
        let (secret, Telling { taken, kept, .. }) = self.coming()?;
        let generation = secret.generation();
        let taken = alive().filter(|peer| taken.contains(&peer.facts.id)).count();
        let taken = u32::try_from(taken).unwrap_or(u32::MAX).saturating_add(u32::from(*kept));
        Some(RotationView { generation, taken, of })
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
        (secret, without): (ClusterSecret, Vec<NodeId>),
        out: &mut Vec<Output>,
    ) {
        if !self.is_by_overlay(from, id)
            || ClusterId::of(&secret) != self.cluster
            || without.contains(&self.me.id)
            || without.len() > MOST_LEFT_OUT
        {
            return;
        }
        let order = |secret: &ClusterSecret| (secret.generation(), secret.key("order of rotation"));
        let (known, newer) = match &self.rotation {
            Rotation::Spreading { next, .. } => (next, order(&secret) > order(next)),
            Rotation::Closing { .. } => (&self.secret, order(&secret) > order(&self.secret)),
            // Once it is over, another of the same generation comes too late.
            Rotation::Still => (&self.secret, secret.generation() > self.secret.generation()),
        };
        if newer {
            self.begin_rotation(now, secret.clone(), &without, out);
        } else if order(&secret) != order(known) {
            return;
        }
        self.has_taken(id, out);
        // Who has not kept it yet is told again, and says so then.
        if self.coming().is_some_and(|(_, telling)| telling.kept) {
            let datagram = self.seal(Message::Taken(secret.key(TAKEN)));
            out.push(Output::Send { to: self.by_overlay(id), datagram });
        }
    }

    /// The secret with this mark has been kept: others are told of it now, and hear that it is here.
    pub fn kept(&mut self, now: Instant, mark: &str) -> Vec<Output> {
        let mut out = Vec::new();
        match &mut self.rotation {
            Rotation::Spreading { next, telling, since, .. } if next.mark() == mark => {
                // From now on others are told.
                (telling.kept, *since) = (true, now);
            }
            Rotation::Closing { telling, .. } if self.secret.mark() == mark => telling.kept = true,
            Rotation::Still | Rotation::Spreading { .. } | Rotation::Closing { .. } => return out,
        }
        self.go_on_rotating(now, &mut out);
        out
    }

    /// The secret that the change leads to, and who has it.
    fn coming(&self) -> Option<(&ClusterSecret, &Telling)> {
        match &self.rotation {
            Rotation::Still => None,
            Rotation::Spreading { next, telling, .. } => Some((next, telling)),
            Rotation::Closing { telling, .. } => Some((&self.secret, telling)),
        }
    }

    /// Hears that a node has the secret.
    pub(super) fn hear_taken(
        &mut self,
        (from, id): (SocketAddrV6, NodeId),
        secret: &[u8; 32],
        out: &mut Vec<Output>,
    ) {
        if self.coming().is_some_and(|(ours, _)| ours.key(TAKEN) == *secret) && self.is_by_overlay(from, id) {
            self.has_taken(id, out);
        }
    }

    /// WireGuard lets nobody but that node send from its address.
    fn is_by_overlay(&self, from: SocketAddrV6, id: NodeId) -> bool {
        *from.ip() == self.cluster.overlay_address(id)
    }

    fn has_taken(&mut self, id: NodeId, out: &mut Vec<Output>) {
        if let Rotation::Spreading { telling, .. } | Rotation::Closing { telling, .. } = &mut self.rotation
            && telling.taken.insert(id)
            && let Some(peer) = self.peers.get(&id)
        {
            out.push(Output::Rekey(peer.facts.clone()));
        }
    }

    /// Each second: tells it to some that have not said that they have it, and goes on when it is time.
    pub(super) fn go_on_rotating(&mut self, now: Instant, out: &mut Vec<Output>) {
        for peer in self.peers.values_mut() {
            peer.settled |= peer.standing == Standing::Alive && now >= peer.since + SETTLED;
        }
        self.rotation = match std::mem::replace(&mut self.rotation, Rotation::Still) {
            // Where it is made nobody is told before it is kept, and nothing has changed yet.
            Rotation::Spreading { telling, since, next, sealer }
                if !telling.kept && telling.taken.is_empty() =>
            {
                if now < since + KEEPING {
                    Rotation::Spreading { telling, since, next, sealer }
                } else {
                    self.left_out.clear();
                    // What was made of the newer one meanwhile goes back, too.
                    out.extend([Output::Secret(self.secret.clone()), Output::RekeyAll]);
                    Rotation::Still
                }
            }
            Rotation::Spreading { next, sealer, telling, since } if now >= since + SPREADING => {
                self.secret = next;
                let old = std::mem::replace(&mut self.sealer, sealer);
                Rotation::Closing { old, telling, since: now }
            }
            Rotation::Closing { since, .. } if now >= since + CLOSING => {
                self.left_out.clear();
                out.push(Output::RekeyAll);
                Rotation::Still
            }
            rotation => rotation,
        };
        let Some((secret, telling)) = self.coming().filter(|(_, telling)| telling.kept) else { return };
        let (secret, without) = (secret.clone(), telling.without.clone());
        let missing: Vec<NodeId> = telling.whom.difference(&telling.taken).copied().collect();
        // From another place in the list each second.
        let first = usize::try_from(now.as_secs()).unwrap_or(0) * FANOUT;
        for at in 0..missing.len().min(FANOUT) {
            let id = missing[(first + at) % missing.len()];
            let message = Message::Rotation { secret: secret.clone(), without: without.clone() };
            let (nonce, envelope) = self.envelope(message);
            // With the old one, which those have that are to be told.
            let sealer = if let Rotation::Closing { old, .. } = &self.rotation { old } else { &self.sealer };
            out.push(Output::Send { to: self.by_overlay(id), datagram: sealer.seal(nonce, &envelope) });
        }
    }

    fn begin_rotation(
        &mut self,
        now: Instant,
        next: ClusterSecret,
        without: &[NodeId],
        out: &mut Vec<Output>,
    ) {
        for id in without {
            self.left_out.insert(*id);
            self.forget_peer(*id, out);
        }
        let sealer = Sealer::new(&next);
        out.push(Output::Secret(next.clone()));
        let settled = self.peers.iter().filter(|(_, peer)| peer.settled).map(|(id, _)| *id);
        let telling = Telling {
            without: without.to_vec(),
            whom: settled.collect(),
            taken: BTreeSet::new(),
            kept: false,
        };
        self.rotation = Rotation::Spreading { next, sealer, telling, since: now };
        self.refresh_config(now, out);
    }

    fn by_overlay(&self, id: NodeId) -> SocketAddrV6 {
        SocketAddrV6::new(self.cluster.overlay_address(id), ports::GOSSIP, 0, 0)
    }
}
