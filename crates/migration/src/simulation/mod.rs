//! A world in which everything goes wrong: the machines of [`crate::session`] under schedules drawn from a seed.
//!
//! Three nodes, one process that moves between them; letters, words and images that are lost, late, doubled or
//! overtaken; links that are cut; daemons that are killed between any two steps, or in the middle of one, and start
//! again; nodes without power; CRIU, ptrace, execve and disks that fail. What is really there (`truth`) is apart from
//! what the machines believe, and `check` looks only at the truth:
//!
//! - at no instant can two copies run; none can while the process is counted as lost;
//! - in the end one runs, unless the node that had the only one died or its lease ran out for a reason;
//! - no process is left frozen, no capsule (with its mounts and its group), image or record is left;
//! - what is typed and shown comes in order, none lost, none twice;
//! - the deputy ends, as its process does.
//!
//! A seed gives the same schedule each time; [`trace`] tells it line by line.

mod check;
mod fate;
mod net;
mod plan;
mod random;
mod shell_home;
mod shell_host;
#[cfg(test)]
mod tests;
mod truth;
mod world;

use plan::{ENDING, Micros, SECOND, SETTLING};
pub use plan::{EVERY_FAULTY, Faulty};
use world::World;

/// What came of one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was wrong, if anything was.
    pub violation: Option<String>,
    /// Moves that arrived.
    pub moved: u32,
    /// Moves that did not.
    pub stayed: u32,
    /// Whether the process was lost, for a good reason.
    pub lost: bool,
    /// How many things happened.
    pub events: u64,
}

/// Runs one schedule.
pub fn run(seed: u64, faulty: Option<Faulty>) -> Outcome {
    let mut world = World::new(seed, faulty, false);
    live_through(&mut world);
    outcome(&world)
}

/// Runs one schedule, and tells all that happened.
pub fn trace(seed: u64, faulty: Option<Faulty>) -> (Outcome, Vec<String>) {
    let mut world = World::new(seed, faulty, true);
    live_through(&mut world);
    (outcome(&world), world.traced())
}

fn outcome(world: &World) -> Outcome {
    Outcome {
        violation: world.violation.clone(),
        moved: world.moved,
        stayed: world.stayed,
        lost: world.home.ending == Some(truth::Ending::Lost),
        events: world.events,
    }
}

fn live_through(world: &mut World) {
    world.run_until(world.plan.whole_at());
    world.whole = true;
    // Some are watched for longer than it takes them to settle: whether they stay so.
    let patient = world.random.chance(100);
    wait_until(world, SETTLING, patient, World::unsettled);
    world.finishing = true;
    world.trace(|| "--- the process comes to its end".to_owned());
    wait_until(world, ENDING, patient, World::unfinished);
}

fn wait_until(world: &mut World, longest: Micros, patient: bool, not_yet: fn(&World) -> Option<String>) {
    let deadline = world.now + longest;
    while world.violation.is_none() {
        if world.now >= deadline || (!patient && not_yet(world).is_none()) {
            if let Some(why) = not_yet(world) {
                world.violate(|| why);
            }
            return;
        }
        world.run_until(world.now + SECOND);
    }
}
