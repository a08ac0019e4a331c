//! Nodes, and agents, that begin anew under their key.

use super::*;

#[test]
fn an_agent_that_starts_again_with_its_key_is_back_soon() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(30);
    lan.nodes[2].1 = Membership::new(
        "test",
        &ClusterSecret::from_bytes([7; 32]),
        NodeFacts::sample(3),
        0,
        [99; 32],
        lan.now,
    );
    lan.run(25);
    assert_eq!((0..3).map(|node| lan.members(node)).collect::<Vec<_>>(), [3; 3]);
}

#[test]
fn who_has_forgotten_everybody_need_not_wait_for_slow_beacons() {
    // By then all have said what they say at first, and say no more before the 25th second.
    for incarnation in [0, 1] {
        let mut lan = Lan::of(&[7; 20]);
        lan.run(12);
        let secret = ClusterSecret::from_bytes([7; 32]);
        lan.nodes[4].1 =
            Membership::new("test", &secret, NodeFacts::sample(5), incarnation, [99; 32], lan.now);
        lan.run(11);
        assert_eq!((0..20).map(|node| lan.members(node)).collect::<Vec<_>>(), [20; 20], "{incarnation}");
    }
}

#[test]
fn a_recorded_beacon_of_a_dead_node_has_nobody_speak() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(30);
    let is_beacon =
        |datagram: &[u8]| matches!(message_of(&lan.nodes[0].1, datagram), Some(Message::Beacon { .. }));
    let recorded = lan.sent.iter().rev().find(|(from, datagram)| *from == address(3) && is_beacon(datagram));
    let recorded = recorded.unwrap().1.clone();
    lan.nodes[2].2 = false;
    lan.run(15);
    assert_eq!(lan.members(0), 2);
    let core = &mut lan.nodes[0].1;
    let due = core.next_beacon;
    core.datagram(lan.now, address(3), &recorded);
    assert_eq!(core.next_beacon, due);
}

#[test]
fn a_node_that_boots_anew_under_its_key_is_taken_for_what_it_is_now() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(30);
    let renamed = NodeFacts { name: "another".to_owned(), ..NodeFacts::sample(3) };
    let secret = ClusterSecret::from_bytes([7; 32]);
    // Its clock begins anew, too, so that all it says would be old news without the incarnation.
    let mut anew = Membership::new("test", &secret, renamed.clone(), 1, [99; 32], Duration::ZERO);
    let beacon = anew.tick(Duration::ZERO).into_iter().find_map(|output| match output {
        Output::Beacon { datagram, .. } => Some(datagram),
        _ => None,
    });
    let elsewhere = address(77);
    let now = lan.now;
    let out = lan.nodes[0].1.datagram(now, elsewhere, &beacon.unwrap());
    let expected =
        [Output::Forget(NodeFacts::sample(3)), Output::Peer { facts: renamed, heard_at: elsewhere }];
    assert_eq!(out[..2], expected);
    lan.nodes[0].1.tick(now + Duration::from_secs(1));
    assert!(lan.nodes[0].1.config().find("another").is_some());
}
