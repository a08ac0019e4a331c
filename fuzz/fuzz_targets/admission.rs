//! What anybody on the link says to a node that wants to be admitted, and to one that admits.
#![no_main]

use brant_membership::admission::{Admissions, Applicant, Code, Wants};
use brant_types::boot::Admitted;
use brant_types::node::NodeFacts;
use brant_types::secret::ClusterSecret;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let now = Duration::from_secs(1);
    let from = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 4727, 0, 1);
    let secret = ClusterSecret::from_bytes([7; 32]);
    let mut member = Admissions::new(Admitted { cluster: "lab".to_owned(), secret });
    let (mut applicant, _) = Applicant::new(NodeFacts::sample(1), [2; 32], now);
    for want in applicant.tick(now, [3; 32]) {
        if let Wants::Beacon(datagram) = want {
            member.datagram(now, from, &datagram);
        }
    }
    let code = Code::typed("1234-5678").expect("eight digits");
    let (_, _, begin) = member.begin(now, "node-1", &code, [4; 32]).expect("it asks");
    applicant.datagram(now, from, &begin, [5; 32]);
    // In the midst of an attempt, with and without what such a datagram begins with.
    for datagram in [bytes.to_vec(), [&b"BRNA\x01"[..], bytes].concat()] {
        let wants = applicant.datagram(now, from, &datagram, [6; 32]);
        assert!(!wants.iter().any(|want| matches!(want, Wants::Join(_))));
        assert!(member.datagram(now, from, &datagram).send.is_empty());
    }
});
