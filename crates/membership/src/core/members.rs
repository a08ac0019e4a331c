//! What follows from SWIM: who is alive and who is down, and the configuration that the members make.

use super::{DOWN_FOR, Instant, Membership, Output, PENDING_FOR, Standing};
use crate::swim::SwimIdentity;
use crate::wire::Message;
use brant_types::cluster::ClusterConfig;
use brant_types::node::NodeId;
use foca::{OwnedNotification, State, Timer};
use std::collections::BTreeSet;

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
                (Standing::Pending | Standing::Down, true) => {
                    peer.standing = Standing::Alive;
                    peer.since = now;
                    members_changed = true;
                }
                (Standing::Alive, false) => {
                    peer.standing = Standing::Down;
                    peer.since = now;
                    self.lost += 1;
                    members_changed = true;
                }
                _ => {}
            }
        }
        if members_changed {
            self.refresh_config(now, out);
        }
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
            self.loads.remove(&id);
            if let Some(peer) = self.peers.remove(&id) {
                out.push(Output::Forget(peer.facts));
            }
        }
    }
}
