//! A small LAN with a clock of its own.

mod agreement;
mod boots;
mod clock;
mod deaf;
mod rotation;

use super::*;
use crate::wire::{Envelope, Message};
use brant_types::agent::NodeState;
use brant_types::node::is_node_name;
use brant_types::settings::Key;
use rand::RngExt;
use std::collections::{BTreeSet, VecDeque};

struct Lan {
    now: Instant,
    nodes: Vec<(SocketAddrV6, Membership, bool)>,
    sent: Vec<(SocketAddrV6, Vec<u8>)>,
    /// Of 100 datagrams, how many are lost.
    loss: u32,
    /// The first node of the half that does not hear the others.
    apart: Option<usize>,
    /// Whether the switch drops multicast: beacons reach the first node only, which the others have for a seed.
    pruned: bool,
    /// The node to which no settings get through.
    unset: Option<usize>,
    /// A node, and the one that it does not hear.
    unheard: Option<(usize, usize)>,
    /// Whether a new secret can be kept.
    keeps: bool,
    rng: StdRng,
}

fn address(n: u16) -> SocketAddrV6 {
    SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, n].into(), 1, 0, 2)
}

impl Lan {
    fn of(secrets: &[u8]) -> Self {
        let nodes = (1_u8..)
            .zip(secrets)
            .map(|(n, secret)| {
                let secret = ClusterSecret::from_bytes([*secret; 32]);
                let core = Membership::new("test", &secret, NodeFacts::sample(n), 0, [n; 32], Duration::ZERO);
                (address(u16::from(n)), core, true)
            })
            .collect();
        Self {
            now: Duration::ZERO,
            nodes,
            sent: Vec::new(),
            loss: 0,
            apart: None,
            pruned: false,
            unset: None,
            unheard: None,
            keeps: true,
            rng: StdRng::from_seed([0; 32]),
        }
    }

    fn run(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(20);
            let mut flying = VecDeque::new();
            for (from, core, on) in &mut self.nodes {
                if *on && core.next_tick() <= self.now {
                    flying.extend(core.tick(self.now).into_iter().map(|output| (*from, output)));
                }
            }
            self.deliver(flying);
        }
    }

    fn deliver(&mut self, mut flying: VecDeque<(SocketAddrV6, Output)>) {
        while let Some((from, output)) = flying.pop_front() {
            if let Output::Secret(secret) = &output {
                let keeper = self.nodes.iter_mut().find(|(address, ..)| *address == from && self.keeps);
                if let Some((address, core, _)) = keeper {
                    let out = core.kept(self.now, &secret.mark());
                    flying.extend(out.into_iter().map(|output| (*address, output)));
                }
            }
            // The overlay leads to a node by its own address, and shows the sender's.
            let overlay = |core: &Membership| core.cluster.overlay_address(core.me());
            let by_overlay = matches!(&output, Output::Send { to, .. } if to.ip().octets()[0] == 0xfd);
            let sender =
                self.nodes.iter().find(|(address, ..)| *address == from).map(|(_, core, _)| overlay(core));
            let half = |address: SocketAddrV6, apart| address.ip().segments()[7] as usize > apart;
            for (to, core, on) in &mut self.nodes {
                let datagram = match &output {
                    Output::Beacon { to_seeds, .. } if self.pruned && *to == address(1) => to_seeds,
                    Output::Beacon { datagram, .. } if !self.pruned => datagram,
                    Output::Send { to: one, datagram } if one == to || *one.ip() == overlay(core) => datagram,
                    _ => continue,
                };
                self.sent.push((from, datagram.clone()));
                let at = |node: usize| address(node as u16 + 1);
                let unheard = self.unheard.is_some_and(|(by, whom)| (*to, from) == (at(by), at(whom)));
                let unset = self.unset.is_some_and(|node| {
                    *to == at(node) && matches!(message_of(core, datagram), Some(Message::Settings(_)))
                });
                let apart = self.apart.is_some_and(|apart| half(from, apart) != half(*to, apart));
                let hears = !(unheard || unset || apart);
                if *on && hears && self.rng.random_range(0..100) >= self.loss {
                    // Own echoes included, as on a looped switch.
                    let mut seen = from;
                    if let (true, Some(sender)) = (by_overlay, sender) {
                        seen.set_ip(sender);
                    }
                    flying.extend(
                        core.datagram(self.now, seen, datagram).into_iter().map(|output| (*to, output)),
                    );
                }
            }
        }
    }

    fn members(&self, node: usize) -> usize {
        self.nodes[node].1.config().nodes.len()
    }
}

fn message_of(core: &Membership, datagram: &[u8]) -> Option<Message> {
    let plain = core.open(datagram).ok()?;
    postcard::from_bytes::<Envelope>(&plain).ok().map(|envelope| envelope.message)
}

#[test]
fn nodes_that_hear_each_other_agree_on_the_same_bytes() {
    let mut lan = Lan::of(&[7; 5]);
    lan.run(5);
    let bytes: BTreeSet<String> = lan.nodes.iter().map(|(_, core, _)| core.config().to_toml()).collect();
    assert_eq!(bytes.len(), 1);
    assert_eq!(lan.members(0), 5);
}

#[test]
fn agreement_survives_loss() {
    let mut lan = Lan::of(&[7; 5]);
    lan.loss = 20;
    lan.run(20);
    assert_eq!((0..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [5; 5]);
}

#[test]
fn a_node_that_falls_silent_goes_down_and_comes_back() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(5);
    lan.nodes[2].2 = false;
    lan.run(15);
    assert_eq!(lan.members(0), 2);
    assert!(lan.nodes[0].1.view(None).nodes.iter().any(|node| node.state == NodeState::Down));
    lan.nodes[2].2 = true;
    lan.run(40);
    assert_eq!((0..3).map(|node| lan.members(node)).collect::<Vec<_>>(), [3; 3]);
}

#[test]
fn nodes_that_hear_only_a_seed_are_introduced_to_each_other() {
    let mut lan = Lan::of(&[7; 5]);
    (lan.pruned, lan.loss) = (true, 10);
    lan.run(15);
    assert_eq!((0..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [5; 5]);
    // The seed is of no more use then.
    lan.nodes[0].2 = false;
    lan.run(20);
    assert_eq!((1..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [4; 4]);
}

#[test]
fn a_beacon_that_asks_is_answered_once() {
    let mut lan = Lan::of(&[7; 2]);
    let asking = lan.nodes[1].1.tick(Duration::ZERO).into_iter().find_map(|output| match output {
        Output::Beacon { to_seeds, .. } => Some(to_seeds),
        _ => None,
    });
    let asking = asking.unwrap();
    let answers = |out: &[Output], to| {
        out.iter().filter(|output| matches!(output, Output::Send { to: at, .. } if *at == to)).count()
    };
    let first = lan.nodes[0].1.datagram(Duration::ZERO, address(2), &asking);
    assert!(answers(&first, address(2)) > 0);
    let recorded = lan.nodes[0].1.datagram(Duration::ZERO, address(99), &asking);
    assert_eq!(answers(&recorded, address(99)), 0);
}

fn set(lan: &mut Lan, node: usize, key: Key, value: &str) {
    let now = lan.now;
    let out = lan.nodes[node].1.set(now, key, Some(value.to_owned())).unwrap();
    let from = lan.nodes[node].0;
    lan.deliver(out.into_iter().map(|output| (from, output)).collect());
}

#[test]
fn a_setting_is_on_all_nodes_soon_and_outlives_its_author() {
    let mut lan = Lan::of(&[7; 5]);
    lan.loss = 30;
    lan.run(10);
    set(&mut lan, 4, Key::Balance, "off");
    lan.run(6);
    assert!(lan.nodes.iter().all(|(_, core, _)| !core.settings().balances()));
    lan.nodes[4].2 = false;
    lan.run(20);
    assert!(lan.nodes[..4].iter().all(|(_, core, _)| !core.settings().balances()));
    // So is going back to what holds by itself.
    let now = lan.now;
    let out = lan.nodes[0].1.set(now, Key::BalanceAfter, Some("9".to_owned())).unwrap();
    let again = lan.nodes[0].1.set(now, Key::BalanceAfter, None).unwrap();
    let from = lan.nodes[0].0;
    lan.deliver(out.into_iter().chain(again).map(|output| (from, output)).collect());
    lan.run(6);
    let back =
        |core: &Membership| core.settings().register(Key::BalanceAfter).is_some_and(|it| it.value.is_none());
    assert!(lan.nodes[..4].iter().all(|(_, core, _)| back(core)));
    // One who comes later hears of it.
    lan.nodes[4].2 = true;
    let secret = ClusterSecret::from_bytes([7; 32]);
    lan.nodes[4].1 = Membership::new("test", &secret, NodeFacts::sample(5), 1, [55; 32], lan.now);
    lan.run(20);
    let bytes: BTreeSet<String> = lan.nodes.iter().map(|(_, core, _)| core.config().to_toml()).collect();
    assert_eq!(bytes.len(), 1);
    assert!(!lan.nodes[4].1.settings().balances());
}

#[test]
fn the_later_change_counts_also_after_both_halves_have_changed_it() {
    let mut lan = Lan::of(&[7; 4]);
    lan.run(5);
    // Apart: each half hears only itself.
    lan.apart = Some(2);
    lan.run(20);
    set(&mut lan, 0, Key::BalanceAfter, "10");
    set(&mut lan, 3, Key::BalanceAfter, "20");
    set(&mut lan, 3, Key::BalanceAfter, "30");
    lan.run(5);
    assert_eq!(lan.nodes[1].1.settings().value(Key::BalanceAfter), "10");
    assert_eq!(lan.nodes[2].1.settings().value(Key::BalanceAfter), "30");
    lan.apart = None;
    lan.run(60);
    assert!(lan.nodes.iter().all(|(_, core, _)| core.settings().value(Key::BalanceAfter) == "30"));
    let bytes: BTreeSet<String> = lan.nodes.iter().map(|(_, core, _)| core.config().to_toml()).collect();
    assert_eq!(bytes.len(), 1);
}

#[test]
fn a_node_that_leaves_is_gone_at_once() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(5);
    let now = lan.now;
    let goodbye = lan.nodes[2].1.leave(now);
    lan.nodes[2].2 = false;
    for output in goodbye {
        if let Output::Send { to, datagram } = output {
            let from = address(3);
            if let Some((_, core, _)) = lan.nodes.iter_mut().find(|(address, _, _)| *address == to) {
                core.datagram(now, from, &datagram);
            }
        }
    }
    lan.run(1);
    assert_eq!(lan.members(0), 2);
}

#[test]
fn clusters_with_different_secrets_share_a_lan_unseen() {
    let mut lan = Lan::of(&[7, 7, 8, 8, 8]);
    lan.run(5);
    assert_eq!((0..5).map(|node| lan.members(node)).collect::<Vec<_>>(), [2, 2, 3, 3, 3]);
    let dropped = lan.nodes[0].1.view(None).dropped;
    assert!(dropped.foreign > 0 && dropped.forged == 0, "{dropped:?}");
}

#[test]
fn replayed_and_damaged_datagrams_are_counted_and_change_nothing() {
    let mut lan = Lan::of(&[7; 2]);
    lan.run(5);
    let before = lan.nodes[0].1.config().clone();
    let heard: Vec<Vec<u8>> =
        lan.sent.iter().filter(|(from, _)| *from == address(2)).map(|(_, d)| d.clone()).collect();
    let elsewhere = address(99);
    for datagram in &heard {
        let out = lan.nodes[0].1.datagram(lan.now, elsewhere, datagram);
        assert!(
            !out.iter().any(|output| matches!(output, Output::Peer { .. } | Output::Config(_))),
            "{out:?}"
        );
        let mut damaged = datagram.clone();
        *damaged.last_mut().unwrap() ^= 1;
        lan.nodes[0].1.datagram(lan.now, elsewhere, &damaged);
        lan.nodes[0].1.datagram(lan.now, elsewhere, b"hello");
    }
    let dropped = lan.nodes[0].1.view(None).dropped;
    assert!(dropped.replayed > 0 && dropped.forged > 0 && dropped.foreign > 0, "{dropped:?}");
    assert_eq!(lan.nodes[0].1.config(), &before);
}

#[test]
fn load_figures_reach_the_others() {
    let mut lan = Lan::of(&[7; 3]);
    lan.run(3);
    lan.nodes[1].1.sample(2500, 1000);
    lan.run(3);
    let view = lan.nodes[0].1.view(None);
    let heard = view.nodes.iter().find(|node| node.name == "node-2").and_then(|node| node.load);
    assert_eq!(heard, Some(Load { runnable_milli: 2500, memory_free_kib: 1000 }));
}

#[path = "../../../../fuzz/damage.rs"]
mod damage;

#[test]
fn no_damaged_message_of_a_member_harms_a_node() {
    let secret = ClusterSecret::from_bytes([1; 32]);
    let sealer = Sealer::new(&secret);
    let beacon =
        Message::Beacon { facts: NodeFacts::sample(2), renewal: 0, addresses: Vec::new(), asks: false };
    let load = LoadNews {
        node: NodeFacts::sample(2).id,
        sample: 1,
        load: Load { runnable_milli: 1, memory_free_kib: 1 },
    };
    let news = crate::wire::MemberNews {
        node: NodeFacts::sample(3).id,
        renewal: 1,
        incarnation: 1,
        down: false,
        facts: 7,
    };
    let members = vec![news, crate::wire::MemberNews { down: true, ..news }];
    let compared = [
        Message::MembersParts(vec![7; 64]),
        Message::MembersOf { parts: u64::MAX, members: members.clone() },
        Message::MembersNews(members),
    ];
    let others = [beacon, Message::Loads(vec![load; 3]), Message::Swim(vec![0; 60])];
    for message in others.into_iter().chain(compared) {
        let envelope = Envelope { from: NodeFacts::sample(2).id, sequence: 1, message };
        let whole = postcard::to_allocvec(&envelope).unwrap();
        let mut node = Membership::new("test", &secret, NodeFacts::sample(1), 0, [1; 32], Duration::ZERO);
        damage::damaged(&whole, 3000, |bytes| {
            node.datagram(Duration::ZERO, address(2), bytes);
            node.datagram(Duration::ZERO, address(2), &sealer.seal([9; 24], bytes));
        });
        assert!(node.config().nodes.iter().all(|node| is_node_name(&node.name)));
    }
}
