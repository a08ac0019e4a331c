//! Introductions: a member that SWIM knows through others, and of which no beacon was heard (a lost one, a switch that
//! drops multicast, another network), is asked for among the others, and sent a beacon that asks for an answer.
//!
//! ```text
//! A: who is C? ─▶ B: C is at … ─▶ A: beacon, asking ─▶ C: beacon ─▶ A
//! ```
//! What B says makes no peer: only C's own beacon, from where C is, does.

use super::{MOST_ADDRESSES, Membership, Output, Standing};
use crate::wire::{Introduction, Message};
use brant_types::node::NodeId;
use rand::RngExt;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

/// Most members that are asked for, or told of, at a time.
const MOST: usize = 8;
/// How many members are asked each second, each for others.
const ASKED: usize = 12;

impl Membership {
    pub(super) fn ask_for_introductions(&mut self, out: &mut Vec<Output>) {
        let mut unheard =
            self.active.iter().filter(|id| !self.peers.contains_key(id)).copied().collect::<Vec<_>>();
        if unheard.is_empty() {
            return;
        }
        // Others each time: who was asked for in vain may be beyond reach, and hide those behind it.
        let turn = self.rng.random_range(0..unheard.len());
        unheard.rotate_left(turn);
        let asked = self.some_members(ASKED);
        for (to, ids) in asked.into_iter().zip(unheard.chunks(MOST)) {
            let datagram = self.seal(Message::Who(ids.to_vec()));
            out.push(Output::Send { to, datagram });
        }
    }

    pub(super) fn introduce(&mut self, to: NodeId, ids: &[NodeId], out: &mut Vec<Output>) {
        let Some(to) = self.peers.get(&to).map(|peer| peer.heard_at) else { return };
        let known = ids.iter().take(MOST).filter_map(|id| {
            let peer = self.peers.get(id).filter(|peer| peer.standing == Standing::Alive)?;
            Some(Introduction {
                heard_at: (*peer.heard_at.ip(), peer.heard_at.port()),
                addresses: peer.addresses.clone(),
            })
        });
        let known: Vec<Introduction> = known.collect();
        if !known.is_empty() {
            let datagram = self.seal(Message::Introduce(known));
            out.push(Output::Send { to, datagram });
        }
    }

    /// Asks those nodes to answer, wherever they may be.
    pub(super) fn meet(&mut self, from: SocketAddrV6, nodes: &[Introduction], out: &mut Vec<Output>) {
        for node in nodes.iter().take(MOST) {
            let (heard_at, port) = node.heard_at;
            let others = node.addresses.iter().take(MOST_ADDRESSES).map(|address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => *address,
            });
            for address in [heard_at].into_iter().chain(others) {
                // A link-local address means something only on the link that both have.
                let scope = match (is_link_local(address), is_link_local(*from.ip())) {
                    (true, true) => from.scope_id(),
                    (true, false) => continue,
                    (false, _) => 0,
                };
                let to = SocketAddrV6::new(address, port, 0, scope);
                let datagram = self.sealed_beacon(true);
                out.push(Output::Send { to, datagram });
            }
        }
    }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
