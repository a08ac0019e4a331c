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

fuzz_target!(|bytes: &[u8]| {
    let secret = ClusterSecret::from_bytes([7; 32]);
    let sealer = Sealer::new(&secret);
    let mut pair = Pair::joined(&secret);
    // Half of the words come after a silence.
    if bytes.first().is_some_and(|first| first % 2 == 1) {
        pair.now += Duration::from_secs(3);
        let _unheard = pair.nodes[0].tick(pair.now);
    }
    pair.hear(bytes);
    pair.hear(&sealer.seal([9; 24], bytes));
    // And whatever a member may say.
    let said = postcard::from_bytes::<Message>(bytes).ok();
    let messages = [Message::Swim(bytes.to_vec())].into_iter().chain(said);
    for message in messages {
        pair.said += 1;
        let envelope = Envelope { from: pair.nodes[1].me(), sequence: pair.said, message };
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
    /// The number of the second one's last message.
    said: u64,
}

impl Pair {
    /// They have found each other.
    fn joined(secret: &ClusterSecret) -> Self {
        let now = Duration::from_secs(1);
        let node = |n| Membership::new("test", secret, NodeFacts::sample(n), 0, [n; 32], now);
        let said = u64::try_from(now.as_micros()).unwrap_or_default();
        let mut pair = Self { now, nodes: [node(1), node(2)], said };
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
            let (datagram, messages) = match output {
                Output::Send { datagram, .. } => (datagram, 1),
                // And the same for seeds.
                Output::Beacon { datagram, .. } => (datagram, 2),
                _ => continue,
            };
            self.said += if from == 1 { messages } else { 0 };
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
