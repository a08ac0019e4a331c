//! Datagrams from the link: as they are, and sealed with the cluster's key, as from a node that has gone mad.
#![no_main]

use brant_membership::core::Membership;
use brant_membership::seal::Sealer;
use brant_membership::wire::{Envelope, Message};
use brant_types::node::NodeFacts;
use brant_types::secret::ClusterSecret;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let secret = ClusterSecret::from_bytes([7; 32]);
    let sealer = Sealer::new(&secret);
    let mut now = Duration::from_secs(1);
    let mut node = Membership::new("test", &secret, NodeFacts::sample(1), 0, [3; 32], now);
    let from = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7477, 0, 1);
    node.datagram(now, from, bytes);
    node.datagram(now, from, &sealer.seal([9; 24], bytes));
    // A peer that is known, so that SWIM listens to it.
    let them = NodeFacts::sample(2);
    let beacon = Message::Beacon { facts: them.clone(), renewal: 0, addresses: Vec::new(), asks: false };
    // And whatever else it may say.
    let said = postcard::from_bytes::<Message>(bytes).ok();
    let messages = [beacon, Message::Swim(bytes.to_vec())].into_iter().chain(said);
    for (sequence, message) in messages.enumerate() {
        let envelope = Envelope { from: them.id, sequence: sequence as u64 + 1, message };
        if let Ok(plain) = postcard::to_allocvec(&envelope) {
            node.datagram(now, from, &sealer.seal([9; 24], &plain));
        }
    }
    for _ in 0..4 {
        now += Duration::from_secs(2);
        node.tick(now);
    }
});
