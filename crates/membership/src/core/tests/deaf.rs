//! Who was cut off does no harm when it is back.

use super::*;

/// Cuts the last one off for some time, and looks what becomes of all; how often it was lost by any other.
fn cut_off(nodes: usize, offset: u64, millis: u64) -> u64 {
    let mut lan = Lan::of(&vec![7; nodes]);
    lan.run_for(Duration::from_millis(10_000 + offset));
    lan.apart = Some(nodes - 1);
    lan.run_for(Duration::from_millis(millis));
    lan.apart = None;
    let others = nodes - 1;
    for _ in 0..100 {
        lan.run_for(Duration::from_millis(100));
        for (_, core, _) in &lan.nodes[..others] {
            let named = |id| core.config().nodes.iter().any(|node| node.id == id);
            let all = lan.nodes[..others].iter().all(|node| named(node.1.me()));
            assert!(all, "after {millis} ms one of the others was lost, offset {offset}");
        }
    }
    assert!((0..nodes).all(|node| lan.members(node) == nodes), "{millis} ms, offset {offset}");
    lan.nodes[..others].iter().map(|(_, core, _)| core.lost()).max().unwrap_or_default()
}

#[test]
fn a_node_that_was_cut_off_makes_nobody_lose_another() {
    for millis in [1500, 3700, 4200, 4700, 5200, 6000, 9000, 12_000] {
        assert!(cut_off(5, millis % 900, millis) <= 1);
    }
    // In a larger cluster some have not lost it when it is back.
    for offset in [340, 850] {
        assert!(cut_off(30, offset, 4700) <= 1);
    }
}

#[test]
fn who_is_back_before_a_verdict_is_due_is_lost_by_nobody() {
    for millis in [2000, 2400, 2800, 3200] {
        for offset in [0, 170, 340, 510] {
            assert_eq!(cut_off(5, offset, millis), 0, "{millis} ms, offset {offset}");
        }
    }
}

#[test]
fn of_two_the_other_one_is_noticed_within_five_seconds() {
    let mut lan = Lan::of(&[7; 2]);
    lan.run(10);
    lan.nodes[1].2 = false;
    lan.run(5);
    assert_eq!(lan.members(0), 1);
}

#[test]
fn recorded_words_of_strangers_keep_no_dead_node_alive() {
    let mut lan = Lan::of(&[7; 4]);
    // Two that leave for good before the first one hears of them.
    lan.nodes[0].2 = false;
    lan.nodes[1].2 = false;
    lan.run(30);
    let core = &lan.nodes[0].1;
    let beacons = lan
        .sent
        .iter()
        .filter(|(_, datagram)| matches!(message_of(core, datagram), Some(Message::Beacon { .. })));
    let recorded: Vec<(SocketAddrV6, Vec<u8>)> = beacons.cloned().collect();
    for (at, on) in [(0, true), (1, true), (2, false), (3, false)] {
        lan.nodes[at].2 = on;
    }
    lan.run(10);
    assert_eq!(lan.members(0), 2);
    lan.nodes[1].2 = false;
    let mut words = recorded.into_iter();
    for _ in 0..5 {
        lan.run_for(Duration::from_millis(2200));
        for (from, word) in words.by_ref().take(2) {
            let now = lan.now;
            lan.nodes[0].1.datagram(now, from, &word);
        }
    }
    assert!(words.next().is_some() && lan.members(0) == 1);
}
