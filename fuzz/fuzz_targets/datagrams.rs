//! Datagrams from the link: as they are, and sealed with the cluster's key, as from a member that has gone mad.
#![no_main]

use brant_membership::core::{Membership, Output};
use brant_membership::seal::Sealer;
use brant_membership::wire::{Envelope, Message};
use brant_types::node::NodeFacts;
use brant_types::secret::ClusterSecret;
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

/// Of every message that the member has sent by then, and those that it still sends.
const LATER: u64 = 1 << 60;

fuzz_target!(|bytes: &[u8]| {
    let secret = ClusterSecret::from_bytes([7; 32]);
    let sealer = Sealer::new(&secret);
    let mut pair = Pair::joined(&secret);
    pair.hear(bytes);
    pair.hear(&sealer.seal([9; 24], bytes));
    // And whatever a member may say.
    let said = postcard::from_bytes::<Message>(bytes).ok();
    let messages = [Message::Swim(bytes.to_vec())].into_iter().chain(said);
    for (sequence, message) in messages.enumerate() {
        let envelope = Envelope { from: pair.nodes[1].me(), sequence: LATER + sequence as u64, message };
        if let Ok(plain) = postcard::to_allocvec(&envelope) {
            pair.hear(&sealer.seal([9; 24], &plain));
        }
    }
    for _ in 0..4 {
        pair.goes_on(Duration::from_secs(2));
    }
});

/// Two nodes on a link.
struct Pair {
    now: Duration,
    nodes: [Membership; 2],
}

impl Pair {
    /// They have found each other.
    fn joined(secret: &ClusterSecret) -> Self {
        let now = Duration::from_secs(1);
        let node = |n| Membership::new("test", secret, NodeFacts::sample(n), 0, [n; 32], now);
        let mut pair = Self { now, nodes: [node(1), node(2)] };
        for _ in 0..4 {
            pair.goes_on(Duration::from_millis(500));
        }
        assert_eq!(pair.nodes[0].config().nodes.len(), 2, "they have not found each other");
        pair
    }

    /// The first one hears this from where the second one is.
    fn hear(&mut self, datagram: &[u8]) {
        let _unanswered = self.nodes[0].datagram(self.now, address(1), datagram);
    }

    fn goes_on(&mut self, time: Duration) {
        self.now += time;
        let mut flying = VecDeque::new();
        for (from, node) in self.nodes.iter_mut().enumerate() {
            flying.extend(node.tick(self.now).into_iter().map(|output| (from, output)));
        }
        // Who answers every answer is cut off.
        for _ in 0..100 {
            let Some((from, output)) = flying.pop_front() else { return };
            let (Output::Send { datagram, .. } | Output::Beacon { datagram, .. }) = output else { continue };
            let to = 1 - from;
            let answers = self.nodes[to].datagram(self.now, address(from), &datagram);
            flying.extend(answers.into_iter().map(|output| (to, output)));
        }
    }
}

fn address(node: usize) -> SocketAddrV6 {
    let own = u16::try_from(node).unwrap_or_default() + 1;
    SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, own), 7477, 0, 1)
}
