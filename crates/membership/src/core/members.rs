//! What follows from SWIM: who is alive and who is down, and the configuration that the members make.

use super::{DOWN_FOR, Instant, Membership, Output, PENDING_FOR, Standing};
use crate::swim::SwimIdentity;
use crate::wire::Message;
use brant_types::cluster::ClusterConfig;
use brant_types::node::NodeId;
use foca::{OwnedNotification, State, Timer};
use std::time::Duration;

/// How often news may be told at once.
const AT_ONCE_EVERY: Duration = Duration::from_millis(200);

impl Membership {
    /// Whether this is the end of a suspicion that is over. foca 2.0 does nothing then, but tells the node that it was taken
    /// for dead, which makes it join anew, and deaf to whoever has not heard of that yet.
    pub(super) fn is_refuted(&self, timer: &Timer<SwimIdentity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return false };
        !self.swim.iter_membership_state().any(|member| {
            member.id() == member_id
                && member.incarnation() == *incarnation
                && member.state() == State::Suspect
        })
    }

    pub(super) fn drain_swim(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.tell_news_at_once(now);
        let cut_off = self.is_cut_off(now);
        while let Some((to, packet)) = self.runtime.to_send() {
            if let Some(heard_at) = self.peers.get(&to.node).map(|peer| peer.heard_at) {
                // Who is cut off tells nobody whom it has lost, and asks for a word.
                let datagram = if cut_off {
                    self.sealed_beacon(true)
                } else {
                    self.seal(Message::Swim(packet.to_vec()))
                };
                out.push(Output::Send { to: heard_at, datagram });
            }
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers.add(now + after, timer);
        }
        let (mut told, mut changed) = (false, Vec::new());
        while let Some(notification) = self.runtime.to_notify() {
            told = true;
            match notification {
                OwnedNotification::MemberUp(identity) => {
                    self.active.insert(identity.node);
                    changed.push(identity.node);
                }
                OwnedNotification::MemberDown(identity) => {
                    self.active.remove(&identity.node);
                    self.lost_at = now;
                    changed.push(identity.node);
                }
                // Of this node itself, or of a member that is still one.
                _ => {}
            }
        }
        if told {
            self.parts = None;
            for id in changed {
                self.follow_swim(id, now);
            }
            self.refresh_config(now, out);
        }
    }

    /// News do not wait for SWIM's next round of gossip, so that they are everywhere within few hops; where they come thick and
    /// fast, most of them do, and so do those that take an older one's place.
    fn tell_news_at_once(&mut self, now: Instant) {
        let backlog = self.swim.updates_backlog();
        if backlog > self.backlog && now >= self.told_at + AT_ONCE_EVERY {
            self.told_at = now;
            let _refused = self.swim.gossip(&mut self.runtime);
        }
        self.backlog = self.swim.updates_backlog();
    }

    /// Takes a peer for what SWIM takes it for; says whether it was something else before.
    pub(super) fn follow_swim(&mut self, id: NodeId, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let standing = match (peer.standing, self.active.contains(&id)) {
            (Standing::Pending | Standing::Down, true) => Standing::Alive,
            (Standing::Alive, false) => Standing::Down,
            (Standing::Alive, true) | (Standing::Pending | Standing::Down, false) => return false,
        };
        (peer.standing, peer.since) = (standing, now);
        self.pending.remove(&id);
        self.lost += u64::from(standing == Standing::Down);
        true
    }

    /// Makes the configuration anew; where that has just been done, a little later, for what has changed meanwhile, too.
    pub(super) fn refresh_config(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.config_stale = now < self.config_made + self.config_interval();
        if self.config_stale {
            return;
        }
        self.config_made = now;
        let alive =
            self.peers.values().filter(|peer| peer.standing == Standing::Alive).map(|peer| &peer.facts);
        let config =
            ClusterConfig::of(&self.cluster_name, self.cluster, &self.settings, alive.chain([&self.me]));
        if config != self.config {
            self.config = config.clone();
            out.push(Output::Config(config));
        }
    }

    pub(super) fn forget_old(&mut self, now: Instant, out: &mut Vec<Output>) {
        let old: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| match peer.standing {
                Standing::Pending => now.saturating_sub(peer.last_heard) > PENDING_FOR,
                Standing::Alive => false,
                Standing::Down => now.saturating_sub(peer.since) > DOWN_FOR,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.forget_peer(id, out);
        }
    }

    /// Nothing is known of it any more.
    pub(super) fn forget_peer(&mut self, id: NodeId, out: &mut Vec<Output>) {
        self.loads.remove(&id);
        self.pending.remove(&id);
        self.parts = None;
        if let Some(peer) = self.peers.remove(&id) {
            out.push(Output::Forget(peer.facts));
        }
    }
}
