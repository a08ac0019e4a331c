//! Whose clock is followed.

use super::*;

/// Five nodes, of which the lowest is not on yet; their places by their ids, and whose clock they follow.
fn without_the_lowest() -> (Lan, Vec<usize>, String) {
    let mut lan = Lan::of(&[7; 5]);
    let mut order: Vec<usize> = (0..lan.nodes.len()).collect();
    order.sort_by_key(|at| lan.nodes[*at].1.me());
    lan.nodes[order[0]].2 = false;
    lan.run(10);
    let first = clock(&lan);
    (lan, order, first)
}

fn clock(lan: &Lan) -> String {
    let of = |(_, core, _): &(SocketAddrV6, Membership, bool)| core.settings().value(Key::Clock).to_owned();
    let all: BTreeSet<String> = lan.nodes.iter().filter(|node| node.2).map(of).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.first().cloned().unwrap()
}

#[test]
fn all_follow_one_clock_newcomers_too_and_another_when_it_goes() {
    let (mut lan, order, first) = without_the_lowest();
    assert_eq!(lan.nodes[order[1]].1.me().to_string(), first);
    lan.nodes[order[0]].2 = true;
    lan.run(20);
    assert_eq!(clock(&lan), first);
    lan.nodes[order[1]].2 = false;
    lan.run(20);
    assert_eq!(clock(&lan), lan.nodes[order[0]].1.me().to_string());
    let mut alone = Lan::of(&[7]);
    alone.run(10);
    assert_eq!(clock(&alone), "none");
}

#[test]
fn who_does_not_know_what_others_follow_leaves_their_clock_alone() {
    let (mut lan, order, first) = without_the_lowest();
    lan.nodes[order[0]].2 = true;
    lan.unset = Some(order[0]);
    lan.run(10);
    let own = |lan: &Lan| lan.nodes[order[0]].1.settings().value(Key::Clock).to_owned();
    assert_eq!((lan.members(order[0]), own(&lan).as_str()), (5, "none"));
    lan.unset = None;
    lan.run(10);
    assert_eq!(clock(&lan), first);
    // Alone for a while it hears nothing of a change, and is the lowest of all when it is back.
    lan.nodes[order[0]].2 = false;
    lan.run(10);
    lan.nodes[order[1]].2 = false;
    lan.run(20);
    let second = clock(&lan);
    lan.nodes[order[0]].2 = true;
    lan.unset = Some(order[0]);
    lan.run(10);
    assert_eq!(own(&lan), first);
    lan.unset = None;
    lan.run(10);
    assert_eq!(clock(&lan), second);
}

#[test]
fn who_has_not_met_the_one_that_others_follow_leaves_their_clock_alone() {
    let (mut lan, order, first) = without_the_lowest();
    lan.nodes[order[0]].2 = true;
    lan.unheard = Some((order[0], order[1]));
    lan.run(10);
    assert_eq!((lan.members(order[0]), clock(&lan)), (4, first.clone()));
    lan.unheard = None;
    lan.run(20);
    assert_eq!((lan.members(order[0]), clock(&lan)), (5, first));
}
