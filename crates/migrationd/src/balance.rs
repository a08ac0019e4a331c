//! The balancer's shell: looks once a second, and has at most one move under way.

use crate::home::{Daemon, MoveAnswer, carry_out};
use crate::inspect;
use brant_migration::balancer::{Balancer, Candidate, Order};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Balances for as long as the program runs.
pub fn run(daemon: &Daemon) {
    let clock = Instant::now();
    let mut balancer = Balancer::default();
    let mut under_way: Option<(Order, MoveAnswer)> = None;
    loop {
        std::thread::sleep(LOOK_EVERY);
        let now = clock.elapsed();
        if let Some((order, answer)) = &under_way {
            match answer.try_recv() {
                Err(TryRecvError::Empty) => continue,
                Ok(Ok(_)) => balancer.arrived(now, *order),
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => balancer.failed(now, *order),
            }
            under_way = None;
        }
        let view = daemon.node.view();
        if view.nodes.len() < 2 {
            continue;
        }
        let mut candidates: Vec<Candidate> = inspect::candidates();
        // Looking closely at a process costs; only what could be chosen is looked at.
        candidates
            .retain(|candidate| candidate.runnable && candidate.cpu >= brant_migration::balancer::OLD_ENOUGH);
        candidates.retain(|candidate| inspect::migratable(candidate.pid).is_ok());
        let Some(order) = balancer.decide(now, &view, &candidates) else { continue };
        let to = view.nodes.iter().find(|node| node.id == order.to).map_or("?", |node| &node.name);
        tracing::info!(pid = order.pid, %to, "the balancer moves a process");
        balancer.started(now, order);
        under_way = carry_out(daemon, order).map(|answer| (order, answer));
    }
}
