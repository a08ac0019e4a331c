//! The balancer: which process should move where. It only proposes; the move itself may refuse.
//!
//! Load is runnable work per core, divided by the core's speed. A move must leave the process better off by a margin
//! (openMosix's rule of 130 %), so that equal nodes do not throw work at each other.

use brant_types::agent::{ClusterView, NodeState, NodeView};
use brant_types::node::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

/// The least time between two moves away from one node.
pub const BETWEEN_MOVES: Duration = Duration::from_secs(2);
/// How long a process stays put after a move failed for it.
pub const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// How long a target's figures are corrected for a process that was sent there: what it tells rises meanwhile.
pub const IN_FLIGHT: Duration = Duration::from_secs(4);
/// How much better the target must be, in per cent of the load that the process would see there.
const MARGIN: u64 = 130;

/// A process that could move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its process id.
    pub pid: i32,
    /// Processor time used so far.
    pub cpu: Duration,
    /// Whether it computes at this moment; sleeping processes are never moved by the balancer, for a move would
    /// restart or interrupt a sleep.
    pub runnable: bool,
    /// Resident memory, KiB.
    pub resident_kib: u64,
}

/// A proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Which process.
    pub pid: i32,
    /// Where to.
    pub to: NodeId,
}

/// What the balancer remembers between two looks.
#[derive(Debug, Default)]
pub struct Balancer {
    last_move: Option<Duration>,
    failed: BTreeMap<i32, Duration>,
    sent: Vec<(Duration, NodeId)>,
}

impl Balancer {
    /// Proposes at most one move.
    pub fn decide(&mut self, now: Duration, view: &ClusterView, candidates: &[Candidate]) -> Option<Order> {
        self.failed.retain(|_, since| now.saturating_sub(*since) < AFTER_FAILURE);
        self.sent.retain(|(since, _)| now.saturating_sub(*since) < IN_FLIGHT);
        if self.last_move.is_some_and(|last| now.saturating_sub(last) < BETWEEN_MOVES) {
            return None;
        }
        if !view.settings.balances() {
            return None;
        }
        // Less is not worth a move.
        let old_enough = view.settings.balance_after();
        let home = view.nodes.iter().find(|node| node.me)?;
        let home_load = cost(home, home, u64::from(home.load?.runnable_milli));
        // Of those that may go, the one that has computed most: it is the likeliest to go on (Harchol-Balter 1997).
        let candidate = candidates
            .iter()
            .filter(|candidate| {
                candidate.runnable && candidate.cpu >= old_enough && !self.failed.contains_key(&candidate.pid)
            })
            .max_by_key(|candidate| (candidate.cpu, -candidate.pid))?;
        let (target_load, target) = view
            .nodes
            .iter()
            .filter(|node| fits(home, node, candidate))
            .filter_map(|node| Some((self.cost_with_one_more(home, node)?, node)))
            .min_by_key(|(cost, node)| (*cost, node.id))?;
        (target_load * MARGIN / 100 < home_load).then_some(Order { pid: candidate.pid, to: target.id })
    }

    /// A move begins.
    pub fn started(&mut self, now: Duration, order: Order) {
        self.last_move = Some(now);
        self.sent.push((now, order.to));
    }

    /// A move came to nothing: the process is left alone for a while.
    pub fn failed(&mut self, now: Duration, order: Order) {
        self.failed.insert(order.pid, now);
        self.sent.retain(|(_, to)| *to != order.to);
    }

    /// A move has succeeded: from now on the target's figures begin to tell.
    pub fn arrived(&mut self, now: Duration, order: Order) {
        self.last_move = Some(now);
        self.sent.push((now, order.to));
    }

    fn cost_with_one_more(&self, home: &NodeView, node: &NodeView) -> Option<u64> {
        let on_their_way = self.sent.iter().filter(|(_, to)| *to == node.id).count() as u64;
        // A process that has arrived is in the figures as well: the greater of the two views counts it once.
        let told = u64::from(node.load?.runnable_milli);
        Some(cost(home, node, told.max(on_their_way * 1000) + 1000))
    }
}

/// The living node, this one among them, where one more process would feel the least load.
pub fn least_loaded(view: &ClusterView, resident_kib: u64) -> Option<&NodeView> {
    let me = view.nodes.iter().find(|node| node.me)?;
    let candidate = Candidate { pid: 0, cpu: Duration::ZERO, runnable: true, resident_kib };
    let nodes = view.nodes.iter().filter(|node| node.me || fits(me, node, &candidate));
    nodes
        .filter_map(|node| Some((cost(me, node, u64::from(node.load?.runnable_milli) + 1000), node)))
        .min_by_key(|(cost, node)| (*cost, node.id))
        .map(|(_, node)| node)
}

fn fits(home: &NodeView, node: &NodeView, candidate: &Candidate) -> bool {
    let room = node.load.is_some_and(|load| load.memory_free_kib > 3 * candidate.resident_kib + 65_536);
    !node.me
        && node.state == NodeState::Alive
        && node.image_id == home.image_id
        && node.cpu.include(home.cpu)
        && room
}

/// Load per core, as this node's processor would feel it; only its order and its ratios mean something.
fn cost(home: &NodeView, node: &NodeView, runnable_milli: u64) -> u64 {
    let (ours, theirs) = (u64::from(home.speed.max(1)), u64::from(node.speed.max(1)));
    // Within half of each other, a difference may be no more than what else ran while it was measured.
    let alike = 2 * ours <= 3 * theirs && 2 * theirs <= 3 * ours;
    let per_core = runnable_milli * 1000 / u64::from(node.cores.max(1));
    if alike { per_core } else { per_core * ours / theirs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::agent::{Dropped, Load};
    use brant_types::processor::Features;
    use brant_types::settings::{Key, Settings};

    fn node(n: u8, me: bool, runnable: u32) -> NodeView {
        NodeView {
            id: NodeId::from([n; 8]),
            name: format!("n{n}"),
            overlay: std::net::Ipv6Addr::LOCALHOST,
            me,
            state: NodeState::Alive,
            cores: 1,
            memory_kib: 1 << 20,
            speed: 100_000,
            image_id: "i".to_owned(),
            cpu: Features::of_cpuinfo("flags: sse2"),
            load: Some(Load { runnable_milli: runnable * 1000, memory_free_kib: 1 << 19 }),
        }
    }

    fn view(loads: &[u32]) -> ClusterView {
        let nodes = (1_u8..).zip(loads).map(|(n, load)| node(n, n == 1, *load)).collect();
        ClusterView {
            cluster: "x".to_owned(),
            revision: "r".to_owned(),
            me: NodeId::from([1; 8]),
            joined_at: None,
            settings: Settings::default(),
            refused_edit: None,
            applicants: Vec::new(),
            other_versions: Vec::new(),
            rotation: None,
            dropped: Dropped::default(),
            nodes,
        }
    }

    fn job(pid: i32, seconds: u64) -> Candidate {
        Candidate { pid, cpu: Duration::from_secs(seconds), runnable: true, resident_kib: 4096 }
    }

    const T: Duration = Duration::from_secs(100);

    #[test]
    fn four_jobs_on_one_of_three_nodes_spread_to_two_one_one() {
        let mut balancer = Balancer::default();
        let jobs = [job(1, 9), job(2, 8), job(3, 7), job(4, 6)];
        let first = balancer.decide(T, &view(&[4, 0, 0]), &jobs).unwrap();
        balancer.started(T, first);
        assert_eq!(
            balancer.decide(T + Duration::from_secs(1), &view(&[4, 0, 0]), &jobs[1..]),
            None,
            "not so fast"
        );
        let later = T + Duration::from_secs(3);
        let second = balancer.decide(later, &view(&[3, 0, 0]), &jobs[1..]).unwrap();
        balancer.started(later, second);
        assert_ne!(first.to, second.to);
        let end = later + Duration::from_secs(10);
        assert_eq!(balancer.decide(end, &view(&[2, 1, 1]), &jobs[2..]), None);
    }

    #[test]
    fn a_single_job_stays_where_it_is() {
        assert_eq!(Balancer::default().decide(T, &view(&[1, 0, 0]), &[job(1, 100)]), None);
    }

    #[test]
    fn young_sleeping_and_failed_processes_are_left_alone() {
        let mut balancer = Balancer::default();
        let busy = view(&[4, 0]);
        assert_eq!(balancer.decide(T, &busy, &[job(1, 2)]), None);
        assert_eq!(balancer.decide(T, &busy, &[Candidate { runnable: false, ..job(1, 9) }]), None);
        let order = balancer.decide(T, &busy, &[job(1, 9)]).unwrap();
        balancer.started(T, order);
        balancer.failed(T, order);
        let soon = T + Duration::from_secs(5);
        assert_eq!(balancer.decide(soon, &busy, &[job(1, 9)]), None);
        assert!(balancer.decide(soon, &busy, &[job(1, 9), job(2, 5)]).is_some());
        assert!(balancer.decide(T + AFTER_FAILURE, &busy, &[job(1, 9)]).is_some());
    }

    #[test]
    fn the_clusters_settings_are_followed() {
        let mut view = view(&[4, 0]);
        let mut set = |key, value: &str| {
            view.settings.set(key, Some(value.to_owned()), view.me).unwrap();
            Balancer::default().decide(T, &view, &[job(1, 9)])
        };
        assert_eq!(set(Key::BalanceAfter, "10"), None);
        assert!(set(Key::BalanceAfter, "9").is_some());
        assert_eq!(set(Key::Balance, "off"), None);
    }

    #[test]
    fn nodes_that_are_down_different_or_full_get_nothing() {
        for spoil in [
            |node: &mut NodeView| node.state = NodeState::Down,
            |node: &mut NodeView| node.image_id = "other".to_owned(),
            |node: &mut NodeView| node.cpu = Features::default(),
            |node: &mut NodeView| node.load = Some(Load { runnable_milli: 0, memory_free_kib: 10_000 }),
            |node: &mut NodeView| node.load = None,
        ] {
            let mut view = view(&[4, 0]);
            spoil(&mut view.nodes[1]);
            assert_eq!(Balancer::default().decide(T, &view, &[job(1, 9)]), None);
        }
    }

    #[test]
    fn the_least_loaded_node_may_be_this_one() {
        let name = |view: &ClusterView| least_loaded(view, 4096).map(|node| node.name.clone());
        assert_eq!(name(&view(&[1, 3, 2])).as_deref(), Some("n1"));
        assert_eq!(name(&view(&[3, 3, 2])).as_deref(), Some("n3"));
        assert_eq!(name(&view(&[])), None);
    }

    #[test]
    fn a_node_with_more_cores_takes_more() {
        let mut view = view(&[2, 1]);
        assert_eq!(Balancer::default().decide(T, &view, &[job(1, 9)]), None);
        view.nodes[1].cores = 4;
        assert!(Balancer::default().decide(T, &view, &[job(1, 9)]).is_some());
    }

    #[test]
    fn a_much_faster_node_takes_a_lone_job_and_a_slightly_faster_one_does_not() {
        let mut view = view(&[1, 0]);
        view.nodes[1].speed = 140_000;
        assert_eq!(Balancer::default().decide(T, &view, &[job(1, 9)]), None);
        view.nodes[1].speed = 300_000;
        assert!(Balancer::default().decide(T, &view, &[job(1, 9)]).is_some());
    }
}
