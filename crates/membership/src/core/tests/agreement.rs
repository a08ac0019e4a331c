//! Who has missed something hears of it when it compares what it knows.

use super::*;
use crate::wire::MemberNews;

fn said(core: &Membership, out: &[Output]) -> Vec<Message> {
    let opened = out.iter().filter_map(|output| match output {
        Output::Send { datagram, .. } => core.open(datagram).ok(),
        _ => None,
    });
    opened.filter_map(|plain| postcard::from_bytes::<Envelope>(&plain).ok()).map(|it| it.message).collect()
}

fn told(core: &mut Membership, by: NodeId, members: &[MemberNews]) -> Vec<MemberNews> {
    let mut out = Vec::new();
    core.hear_members_of(Duration::from_secs(99), by, (u64::MAX, members), &mut out);
    let news = said(core, &out).into_iter().find_map(|message| match message {
        Message::MembersNews(news) => Some(news),
        _ => None,
    });
    news.unwrap_or_default()
}

#[test]
fn another_name_is_on_all_nodes_whatever_gets_lost() {
    for pruned in [false, true] {
        let mut lan = Lan::of(&[7; 5]);
        (lan.loss, lan.pruned) = (20, pruned);
        lan.run(30);
        let now = lan.now;
        let out = lan.nodes[3].1.rename(now, "attic");
        let from = lan.nodes[3].0;
        lan.deliver(out.into_iter().map(|output| (from, output)).collect());
        lan.run(40);
        for (_, core, _) in &lan.nodes {
            assert!(core.config().nodes.iter().any(|node| node.name == "attic"), "pruned: {pruned}");
        }
        let revisions: BTreeSet<&str> =
            lan.nodes.iter().map(|(_, core, _)| core.config().revision.as_str()).collect();
        assert_eq!(revisions.len(), 1);
    }
}

#[test]
fn what_is_no_name_for_a_node_is_not_taken() {
    let mut lan = Lan::of(&[7]);
    for name in ["", "Attic", "a.b", "localhost", "-a"] {
        assert_eq!(lan.nodes[0].1.rename(Duration::ZERO, name), []);
    }
}

#[test]
fn who_lacks_members_is_told_of_them_and_of_the_dead_only_whom_it_takes_for_alive() {
    let mut lan = Lan::of(&[7; 4]);
    lan.run(10);
    let (first, dead) = (lan.nodes[0].1.me(), lan.nodes[3].1.me());
    let all = told(&mut lan.nodes[1].1, first, &[]);
    assert_eq!(all.len(), 4);
    assert_eq!(told(&mut lan.nodes[1].1, first, &all), []);
    lan.nodes[3].2 = false;
    lan.run(15);
    assert_eq!(told(&mut lan.nodes[1].1, first, &[]).len(), 3);
    let news = told(&mut lan.nodes[1].1, first, &all);
    let down: Vec<NodeId> = news.iter().filter(|news| news.down).map(|news| news.node).collect();
    assert_eq!(down, [dead]);
}

#[test]
fn that_another_takes_a_node_for_alive_brings_nobody_back() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(10);
    let first = lan.nodes[0].1.me();
    let all = told(&mut lan.nodes[1].1, first, &[]);
    lan.nodes[2].2 = false;
    lan.run(15);
    told(&mut lan.nodes[1].1, first, &all);
    assert_eq!(lan.members(1), 2);
    // Nor does it harm this node to be taken for dead: it says that it is alive.
    let me = lan.nodes[1].1.me();
    let dead = MemberNews { node: me, renewal: 0, incarnation: 0, down: true, facts: 0 };
    told(&mut lan.nodes[1].1, first, &[dead]);
    lan.run(5);
    assert_eq!((lan.members(0), lan.members(1)), (2, 2));
}
