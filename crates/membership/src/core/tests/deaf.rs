//! Who was cut off does no harm when it is back.

use super::*;

#[test]
fn a_node_that_was_cut_off_makes_nobody_lose_another() {
    for seconds in 1..12 {
        let mut lan = Lan::of(&[7; 5]);
        lan.loss = 5;
        lan.run(10);
        lan.apart = Some(4);
        lan.run(seconds);
        lan.apart = None;
        lan.run(15);
        assert_eq!((0..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [5; 5], "{seconds} s");
        // The one that was cut off, and no other.
        assert!(lan.nodes[..4].iter().all(|(_, core, _)| core.lost() <= 1), "{seconds} s");
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
