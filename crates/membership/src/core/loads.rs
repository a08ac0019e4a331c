//! Spreading load figures: a datagram of fixed size to a few random members, once a second.

use super::{Membership, Output, Standing};
use crate::wire::{LoadNews, MOST_LOADS, Message};
use rand::RngExt;
use std::net::SocketAddrV6;

/// To how many random members the figures go each time (Amar et al. 2009: a constant is enough).
const LOAD_FANOUT: usize = 3;

impl Membership {
    pub(super) fn hear_loads(&mut self, news: Vec<LoadNews>) {
        for item in news.into_iter().take(MOST_LOADS) {
            let known = self.peers.contains_key(&item.node);
            let newer = self.loads.get(&item.node).is_none_or(|old| old.sample < item.sample);
            if known && newer && item.node != self.me.id {
                self.loads.insert(item.node, item);
            }
        }
    }

    pub(super) fn send_loads(&mut self, out: &mut Vec<Output>) {
        let chosen = self.some_members(LOAD_FANOUT);
        if chosen.is_empty() {
            return;
        }
        // Own figures always; of the others a random part, so that the datagram stays of fixed size.
        let mut news: Vec<LoadNews> =
            self.loads.values().filter(|news| news.node != self.me.id).copied().collect();
        while news.len() >= MOST_LOADS {
            let gone = self.rng.random_range(0..news.len());
            news.swap_remove(gone);
        }
        news.extend(self.loads.get(&self.me.id));
        for to in chosen {
            let datagram = self.seal(Message::Loads(news.clone()));
            out.push(Output::Send { to, datagram });
        }
    }

    /// Where some members were heard last, drawn at random.
    pub(super) fn some_members(&mut self, most: usize) -> Vec<SocketAddrV6> {
        let alive = self.peers.values().filter(|peer| peer.standing == Standing::Alive);
        let mut alive: Vec<SocketAddrV6> = alive.map(|peer| peer.heard_at).collect();
        (0..most.min(alive.len())).map(|_| alive.swap_remove(self.rng.random_range(0..alive.len()))).collect()
    }
}
