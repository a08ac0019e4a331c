//! Whom another member takes for dead, and this node does not: it is asked itself, and counts as dead here only if it stays silent.
//!
//! ```text
//! alive ──another has it down──▶ doubted ──a word of it──▶ alive
//!                                   │ asked each second; 5 s of silence
//!                                   └──▶ down, here; who hears of that asks as well
//! ```
//! Another's word alone must not do it: to SWIM that is final at once, and one that had been cut off for a while, and took
//! all others for dead, would have them lost everywhere.

use super::{Instant, Membership, Output};
use crate::swim::SwimIdentity;
use crate::wire::Message;
use brant_types::node::NodeId;
use foca::{Member, State};
use std::time::Duration;

/// How long a node may be silent that is asked.
const SILENCE: Duration = Duration::from_secs(5);
/// Most nodes that are asked at a time.
const MOST: usize = 64;

impl Membership {
    /// Another one has this identity of a node down.
    pub(super) fn doubt(&mut self, now: Instant, dead: SwimIdentity) {
        let known = self.active.contains(&dead.node) && self.peers.contains_key(&dead.node);
        if known && self.doubted.len() < MOST {
            self.doubted.entry(dead.node).or_insert((dead.renewal, now));
        }
    }

    /// Each second: asks those that are doubted, and lets those go that have been silent for too long.
    pub(super) fn ask_the_doubted(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut silent = Vec::new();
        for (node, (renewal, since)) in std::mem::take(&mut self.doubted) {
            let Some(peer) = self.peers.get(&node) else { continue };
            if peer.last_heard > since || !self.active.contains(&node) {
                continue;
            }
            if now >= since + SILENCE {
                silent.push(SwimIdentity { node, renewal });
            } else {
                let to = peer.heard_at;
                self.doubted.insert(node, (renewal, since));
                out.push(Output::Send { to, datagram: self.sealed_beacon(true) });
            }
        }
        if !silent.is_empty() {
            let down = silent.into_iter().map(|identity| Member::new(identity, 0, State::Down));
            // Not told on: whoever compares with this node asks for itself.
            let _refused = self.swim.apply_many(down, false, &mut self.runtime);
            self.drain_swim(now, out);
        }
    }

    /// Says hello to some that this node has down, and another has not: they hear what they are taken for, and come back. Where
    /// they are that were never heard here, the other one is asked.
    pub(super) fn greet_the_dead(
        &mut self,
        now: Instant,
        (by, alive): (NodeId, &[NodeId]),
        out: &mut Vec<Output>,
    ) {
        let down = self.swim.iter_membership_state().filter(|member| member.state() == State::Down);
        let down = down.map(|member| *member.id()).filter(|identity| {
            // An earlier identity of this node itself is down, too.
            identity.node != self.me.id && alive.contains(&identity.node)
        });
        let some: Vec<SwimIdentity> = down.take(super::agreement::MOST_ASKED).collect();
        let (heard, unheard): (Vec<SwimIdentity>, Vec<SwimIdentity>) =
            some.into_iter().partition(|identity| self.peers.contains_key(&identity.node));
        for identity in heard {
            let _refused = self.swim.announce(identity, &mut self.runtime);
        }
        if !unheard.is_empty() {
            let unheard = unheard.into_iter().map(|identity| identity.node).collect();
            self.answer(by, Message::Who(unheard), out);
        }
        self.drain_swim(now, out);
    }
}
