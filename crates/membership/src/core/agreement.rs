//! Comparing who is a member. Rumours are quick, but who has missed one does not hear it again; so each node compares digests
//! with one other from time to time, and where they are not equal, both complete what they know of some parts of all ids in
//! which they differ (Demers et al. 1987: anti-entropy; memberlist's push and pull compares whole lists).
//!
//! ```text
//! A: digest ─▶ B: a digest for each part ─▶ A: the members of some parts ─▶ B takes them; whom A lacks, who may be down ─▶ A
//! ```
//! Where they have heard different things of a node (it has another name by now), both ask it for a beacon.
//!
//! Only living members are compared, and who is down is told only to who takes it for alive, and to it no more than a doubt: so
//! each forgets the dead at its own time.

use super::beacons::BEACONS_AT_FIRST;
use super::{Instant, Membership, Output};
use crate::swim::SwimIdentity;
use crate::wire::{MemberNews, Message};
use brant_types::node::{NodeFacts, NodeId};
use foca::{Member, State};
use rand::RngExt;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddrV6;

/// How many parts all ids fall into: so many that one part of a thousand nodes is small.
const PARTS: usize = 64;
/// Most members in one datagram: some 1,000 bytes.
const MOST: usize = 56;
/// Most nodes that are asked at a time to speak for themselves.
pub(super) const MOST_ASKED: usize = 8;

/// A digest for each part of all ids.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts([u64; PARTS]);

impl Parts {
    fn of(members: impl Iterator<Item = MemberNews>) -> Self {
        let mut parts = [0; PARTS];
        for news in members {
            parts[part_of(news.node)] ^= mixed(&news);
        }
        Self(parts)
    }

    fn digest(&self) -> u64 {
        self.0.iter().fold(0, |all, part| (all ^ part).wrapping_mul(ODD))
    }
}

/// The golden ratio's fraction; odd, so that nothing is lost when it multiplies.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn part_of(node: NodeId) -> usize {
    usize::from(node.bytes()[0]) % PARTS
}

/// Members mean each other no harm, and ids are digests already: mixing is enough.
fn mixed(news: &MemberNews) -> u64 {
    let said = u64::from(news.renewal) << 32 | u64::from(news.facts);
    let mixed = (u64::from_le_bytes(news.node.bytes()) ^ said.wrapping_mul(ODD)).wrapping_mul(ODD);
    mixed ^ (mixed >> 32)
}

/// A digest of what a node says of itself; never 0.
pub(super) fn mark_of(facts: &NodeFacts) -> u32 {
    let bytes = postcard::to_allocvec(facts).unwrap_or_else(|_| unreachable!("plain data, growing buffer"));
    let digest = Sha256::digest(&bytes);
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1)
}

impl Membership {
    /// Tells one member a digest: of the settings, or of the members, by turns; a newcomer both, for it knows the least.
    pub(super) fn compare_with_one(&mut self, out: &mut Vec<Output>) {
        let is_new = self.beacons_sent < BEACONS_AT_FIRST;
        self.compares_members = !self.compares_members;
        let members =
            (is_new || self.compares_members).then(|| Message::MembersDigest(self.parts().digest()));
        let settings =
            (is_new || !self.compares_members).then(|| Message::SettingsDigest(self.settings.digest()));
        for digest in members.into_iter().chain(settings) {
            for to in self.some_members(1) {
                out.push(Output::Send { to, datagram: self.seal(digest.clone()) });
            }
        }
    }

    pub(super) fn hear_members_digest(&mut self, from: NodeId, digest: u64, out: &mut Vec<Output>) {
        if digest != self.parts().digest() {
            let parts = self.parts().0.to_vec();
            self.answer(from, Message::MembersParts(parts), out);
        }
    }

    pub(super) fn hear_members_parts(&mut self, from: NodeId, theirs: &[u64], out: &mut Vec<Output>) {
        let ours = self.parts().0;
        let mut differing: Vec<usize> = (0..PARTS)
            .filter(|part| theirs.get(*part).is_some_and(|theirs| *theirs != ours[*part]))
            .collect();
        let mut by_part: BTreeMap<usize, Vec<MemberNews>> = BTreeMap::new();
        for news in self.known() {
            by_part.entry(part_of(news.node)).or_default().push(news);
        }
        let (mut parts, mut members) = (0, Vec::new());
        while !differing.is_empty() {
            let part = differing.swap_remove(self.rng.random_range(0..differing.len()));
            let more = by_part.remove(&part).unwrap_or_default();
            if parts != 0 && members.len() + more.len() > MOST {
                break;
            }
            parts |= 1 << part;
            members.extend(more);
        }
        members.truncate(MOST);
        if parts != 0 {
            self.answer(from, Message::MembersOf { parts, members }, out);
        }
    }

    pub(super) fn hear_members_of(
        &mut self,
        now: Instant,
        from: NodeId,
        (parts, theirs): (u64, &[MemberNews]),
        out: &mut Vec<Output>,
    ) {
        let theirs = &theirs[..theirs.len().min(MOST)];
        self.hear_members_news(now, from, theirs, out);
        let named: BTreeMap<NodeId, &MemberNews> = theirs.iter().map(|news| (news.node, news)).collect();
        let lacks = self.known().filter(|news| {
            parts & 1 << part_of(news.node) != 0
                && named
                    .get(&news.node)
                    .is_none_or(|theirs| theirs.renewal < news.renewal || differ(theirs.facts, news.facts))
        });
        let down = self.swim.iter_membership_state().filter(|member| {
            let theirs = named.get(&member.id().node);
            member.state() == State::Down
                && theirs.is_some_and(|theirs| theirs.renewal <= member.id().renewal)
        });
        let down = down.map(|member| MemberNews { down: true, ..self.told(member) });
        let news: Vec<MemberNews> = lacks.chain(down).take(MOST).collect();
        if !news.is_empty() {
            self.answer(from, Message::MembersNews(news), out);
        }
        let alive: Vec<NodeId> = theirs.iter().filter(|news| !news.down).map(|news| news.node).collect();
        self.greet_the_dead(now, (from, &alive), out);
    }

    /// Tells SWIM who is alive by another's knowledge, as if it were a rumour; has those speak for themselves of whom the other
    /// one has heard something else, or that it has down.
    pub(super) fn hear_members_news(
        &mut self,
        now: Instant,
        from: NodeId,
        news: &[MemberNews],
        out: &mut Vec<Output>,
    ) {
        let news = &news[..news.len().min(MOST)];
        let mut members = Vec::new();
        for news in news {
            let identity = SwimIdentity { node: news.node, renewal: news.renewal };
            if self.left_out.contains(&news.node) {
                continue;
            }
            if news.down && news.node != self.me.id {
                self.doubt(now, identity);
            } else {
                // Who is taken for dead itself comes back by another identity.
                let state = if news.down { State::Down } else { State::Alive };
                members.push(Member::new(identity, news.incarnation, state));
            }
        }
        let _refused = self.swim.apply_many(members.into_iter(), true, &mut self.runtime);
        self.drain_swim(now, out);
        let otherwise = news.iter().filter(|news| differ(news.facts, self.mark(news.node)));
        let (own, others): (Vec<NodeId>, Vec<NodeId>) =
            otherwise.map(|news| news.node).partition(|node| *node == self.me.id);
        let asked = others.iter().filter_map(|node| Some((self.peers.get(node)?.heard_at, true)));
        let told = self.peers.get(&from).filter(|_| !own.is_empty()).map(|peer| (peer.heard_at, false));
        let beacons: Vec<(SocketAddrV6, bool)> = told.into_iter().chain(asked.take(MOST_ASKED)).collect();
        for (to, asks) in beacons {
            out.push(Output::Send { to, datagram: self.sealed_beacon(asks) });
        }
    }

    fn parts(&mut self) -> &Parts {
        let parts = self.parts.take().unwrap_or_else(|| Parts::of(self.known()));
        self.parts.insert(parts)
    }

    /// Who is alive, and by which identity, this node included.
    fn known(&self) -> impl Iterator<Item = MemberNews> {
        let me = MemberNews {
            node: self.me.id,
            renewal: self.swim.identity().renewal,
            incarnation: 0,
            down: false,
            facts: self.mark(self.me.id),
        };
        self.swim.iter_members().map(|member| self.told(member)).chain([me])
    }

    fn told(&self, member: &Member<SwimIdentity>) -> MemberNews {
        let SwimIdentity { node, renewal } = *member.id();
        MemberNews { node, renewal, incarnation: member.incarnation(), down: false, facts: self.mark(node) }
    }

    fn mark(&self, node: NodeId) -> u32 {
        if node == self.me.id { mark_of(&self.me) } else { self.peers.get(&node).map_or(0, |peer| peer.mark) }
    }

    pub(super) fn answer(&mut self, to: NodeId, message: Message, out: &mut Vec<Output>) {
        if let Some(to) = self.peers.get(&to).map(|peer| peer.heard_at) {
            out.push(Output::Send { to, datagram: self.seal(message) });
        }
    }
}

/// Whether two have heard different things of one node; who has heard nothing asks by other ways.
fn differ(theirs: u32, ours: u32) -> bool {
    theirs != ours && theirs != 0 && ours != 0
}
