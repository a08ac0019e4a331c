//! The cluster's secret is changed while the cluster runs.

use super::*;
use crate::wire::Envelope;

/// What each living node has for a secret.
fn generations(lan: &Lan) -> BTreeSet<(u32, String)> {
    let of =
        |(_, core, _): &(SocketAddrV6, Membership, bool)| (core.secret.generation(), core.secret.reveal());
    lan.nodes.iter().filter(|node| node.2).map(of).collect()
}

fn rotate(lan: &mut Lan, node: usize, seed: u8, without: &[NodeId]) {
    let (address, core, _) = &mut lan.nodes[node];
    let out = core.rotate(lan.now, [seed; 32], without).unwrap();
    assert!(out.iter().any(|output| matches!(output, Output::Secret(secret) if secret.generation() == 1)));
    let out = out.into_iter().map(|output| (*address, output)).collect();
    lan.deliver(out);
}

#[test]
fn all_get_another_secret_and_nobody_goes_down() {
    let mut lan = Lan::of(&[7; 5]);
    lan.loss = 10;
    lan.run(10);
    let lost: u64 = lan.nodes.iter().map(|(_, core, _)| core.lost()).sum();
    let cluster = lan.nodes[0].1.cluster;
    rotate(&mut lan, 2, 50, &[]);
    assert_eq!(lan.nodes[2].1.rotate(lan.now, [51; 32], &[]).unwrap_err(), NoRotation::UnderWay);
    lan.run(4);
    let view = lan.nodes[2].1.view(None).rotation.unwrap();
    assert_eq!((view.generation, view.taken, view.of), (1, 5, 5));
    lan.run(10);
    assert_eq!(generations(&lan).len(), 1);
    assert_eq!(generations(&lan).first().unwrap().0, 1);
    lan.run(80);
    assert!(lan.nodes.iter().all(|(_, core, _)| core.cluster == cluster && core.rotation().is_none()));
    assert_eq!((0..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [5; 5]);
    assert_eq!(lan.nodes.iter().map(|(_, core, _)| core.lost()).sum::<u64>(), lost);
    // Who has the old one is nobody any more.
    let secret = ClusterSecret::from_bytes([7; 32]);
    let mut old = Membership::new("test", &secret, NodeFacts::sample(9), 0, [9; 32], lan.now);
    let before = lan.nodes[0].1.view(None).dropped.forged;
    for output in old.tick(lan.now) {
        if let Output::Beacon { datagram, .. } = output {
            lan.nodes[0].1.datagram(lan.now, address(9), &datagram);
        }
    }
    assert!(lan.nodes[0].1.view(None).dropped.forged > before);
}

#[test]
fn who_was_cut_off_when_it_was_told_still_hears_of_it() {
    let mut lan = Lan::of(&[7; 4]);
    lan.run(10);
    // The last node hears nothing for a while.
    lan.apart = Some(3);
    rotate(&mut lan, 0, 50, &[]);
    lan.run(12);
    assert_eq!(lan.nodes[3].1.secret.generation(), 0);
    lan.apart = None;
    lan.run(100);
    assert_eq!(generations(&lan).len(), 1);
    assert_eq!((0..4).map(|node| lan.members(node)).collect::<Vec<_>>(), [4; 4]);
}

#[test]
fn one_that_is_left_out_stays_out() {
    let mut lan = Lan::of(&[7; 4]);
    lan.run(10);
    let out = lan.nodes[3].1.me();
    assert_eq!(lan.nodes[3].1.rotate(lan.now, [1; 32], &[out]).unwrap_err(), NoRotation::Oneself);
    let nobody = NodeId::from([9; 8]);
    assert_eq!(lan.nodes[0].1.rotate(lan.now, [1; 32], &[nobody]).unwrap_err(), NoRotation::NoSuchNode);
    rotate(&mut lan, 0, 50, &[out]);
    lan.run(3);
    // At once, also while the old secret is still opened.
    assert_eq!((0..3).map(|node| lan.members(node)).collect::<Vec<_>>(), [3; 3]);
    lan.run(100);
    assert_eq!((0..3).map(|node| lan.members(node)).collect::<Vec<_>>(), [3; 3]);
    assert_eq!(lan.members(3), 1);
    assert_eq!(lan.nodes[3].1.secret.generation(), 0);
    let with_it: BTreeSet<u32> = lan.nodes[..3].iter().map(|(_, core, _)| core.secret.generation()).collect();
    assert_eq!(with_it, BTreeSet::from([1]));
}

#[test]
fn nobody_waits_in_hiding_for_a_new_secret() {
    let mut lan = Lan::of(&[7; 4]);
    // The last one has the secret, is a peer of all, and answers nothing: it is no member that anybody sees.
    lan.nodes[3].2 = false;
    lan.run(10);
    lan.nodes[3].2 = true;
    lan.run(1);
    rotate(&mut lan, 0, 50, &[]);
    lan.run(100);
    assert_eq!(lan.nodes[3].1.secret.generation(), 0);
    assert_eq!((0..3).map(|node| lan.members(node)).collect::<Vec<_>>(), [3; 3]);
}

#[test]
fn of_two_that_are_made_at_one_time_all_take_the_same() {
    let mut lan = Lan::of(&[7; 5]);
    lan.run(10);
    rotate(&mut lan, 0, 50, &[]);
    // What the second has heard meanwhile does not count here: it begins in the same moment.
    lan.nodes[4].1.rotation = super::super::rotation::Rotation::Still;
    rotate(&mut lan, 4, 51, &[]);
    lan.run(100);
    assert_eq!(generations(&lan).len(), 1);
    assert_eq!((0..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [5; 5]);
}

#[test]
fn the_word_of_somebody_on_the_lan_is_not_taken() {
    let mut lan = Lan::of(&[7; 2]);
    lan.run(10);
    let secret = ClusterSecret::from_bytes([7; 32]);
    // He has the secret, as whoever has found a stick, and plays node 2.
    let sealer = Sealer::new(&secret);
    let message = Message::Rotation { secret: secret.successor([66; 32]), without: Vec::new() };
    let envelope = Envelope { from: lan.nodes[1].1.me(), sequence: u64::MAX / 2, message };
    let datagram = sealer.seal([1; 24], &postcard::to_allocvec(&envelope).unwrap());
    let now = lan.now;
    lan.nodes[0].1.datagram(now, address(2), &datagram);
    lan.run(10);
    assert_eq!(lan.nodes[0].1.secret.generation(), 0);
}

#[test]
fn who_has_not_kept_it_tells_nobody_and_goes_back() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(10);
    lan.keeps = false;
    rotate(&mut lan, 0, 50, &[]);
    lan.run(4);
    assert_eq!(lan.nodes[0].1.rotation().unwrap().taken, 0);
    assert!(lan.nodes[1].1.rotation().is_none());
    lan.run(30);
    assert!(lan.nodes[0].1.rotation().is_none());
    assert_eq!(lan.nodes[0].1.secret.generation(), 0);
    assert_eq!((0..3).map(|node| lan.members(node)).collect::<Vec<_>>(), [3; 3]);
}

#[test]
fn who_has_not_kept_it_does_not_say_that_it_has_it() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(10);
    let mark = lan.nodes[0].1.secret.successor([50; 32]).mark();
    lan.keeps = false;
    rotate(&mut lan, 0, 50, &[]);
    let told = lan.nodes[0].1.kept(lan.now, &mark);
    lan.deliver(told.into_iter().map(|output| (address(1), output)).collect());
    lan.run(2);
    assert_eq!(lan.nodes[0].1.rotation().unwrap().taken, 1);
    // It is told of it again until it has.
    assert!(lan.nodes[1].1.kept(lan.now, "another").is_empty());
    let told = lan.nodes[2].1.kept(lan.now, &mark);
    lan.deliver(told.into_iter().map(|output| (address(3), output)).collect());
    lan.run(2);
    assert_eq!(lan.nodes[0].1.rotation().unwrap().taken, 2);
}
