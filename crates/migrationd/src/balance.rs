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
        if view.nodes.len() < 2 || !view.settings.balances() {
            continue;
        }
        let mut candidates: Vec<Candidate> = inspect::candidates();
        candidates.retain(|candidate| candidate.runnable);
        let Some(order) = balancer.decide(now, &view, &candidates) else { continue };
        // Looking closely at a process costs, so only the chosen one is looked at.
        let unit = match movable(order) {
            Ok(unit) => unit,
            Err(why) => {
                tracing::debug!(pid = order.pid, "the balancer leaves a process where it is: {why}");
                balancer.failed(now, order);
                continue;
            }
        };
        let to = view.nodes.iter().find(|node| node.id == order.to).map_or("?", |node| &node.name);
        tracing::info!(pid = unit.pid, %to, "the balancer moves a process");
        balancer.started(now, order);
        under_way = carry_out(daemon, unit).map(|answer| (order, answer));
    }
}

/// The order for what has to move together with the chosen process.
fn movable(order: Order) -> Result<Order, String> {
    let unit = inspect::unit(order.pid).map_err(|obstacle| obstacle.to_string())?;
    // A sleep with a time limit is cut short by a move; nobody asked for that.
    match unit.members.iter().find(|pid| inspect::sleeps_until_a_time(**pid)) {
        Some(sleeper) => Err(format!("its process {sleeper} sleeps until a time")),
        None => Ok(Order { pid: unit.pid(), ..order }),
    }
}
