//! The checks see every fault that is built in, and find none where none is.

use super::plan::{Happening, Micros, NODES, Plan, SECOND};
use super::random::Random;
use super::truth::{Ending, Task};
use super::world::World;
use super::{EVERY_FAULTY, Faulty, live_through, run, trace};

/// In an ordinary test run; `cargo xtask simulate` runs as many as one likes.
const SCHEDULES: u64 = 2000;
/// The most that it may take to find a built-in fault.
const ENOUGH: u64 = 3000;

#[test]
fn a_process_is_never_lost_and_never_twice() {
    let (mut moved, mut stayed, mut lost) = (0, 0, 0);
    for seed in 0..SCHEDULES {
        let outcome = run(seed, None);
        if let Some(violation) = outcome.violation {
            let (_, lines) = trace(seed, None);
            panic!("{}\nseed {seed}: {violation}", lines.join("\n"));
        }
        moved += outcome.moved;
        stayed += outcome.stayed;
        lost += u32::from(outcome.lost);
    }
    // A world in which nothing moves, or nothing fails, would prove nothing.
    assert!(moved > 1000 && stayed > 500 && lost > 20, "{moved} moved, {stayed} stayed, {lost} lost");
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    assert_eq!(trace(7, None), trace(7, None));
    assert_ne!(trace(7, None).1, trace(8, None).1);
}

/// A world in which nothing fails but what is given.
fn script(happenings: &[(Micros, Happening)]) -> World {
    let plan = Plan {
        happenings: happenings.to_vec(),
        loss: 0,
        doubled: 0,
        late: 0,
        work_fails: 0,
        record_fails: 0,
        rates: [0; NODES],
        offsets: [0; NODES],
    };
    World::with(plan, Random::new(1), None, false)
}

const MOVE_TO_1: (Micros, Happening) = (SECOND, Happening::Move(1));

#[test]
fn a_cut_shorter_than_the_lease_changes_nothing() {
    let mut world = script(&[MOVE_TO_1, (10 * SECOND, Happening::Cut(0, 1, 10 * SECOND))]);
    live_through(&mut world);
    assert_eq!((world.violation, world.moved, world.home.ending), (None, 1, Some(Ending::Proper)));
}

#[test]
fn after_a_longer_cut_the_host_is_clean_before_the_deputy_ends() {
    let mut world = script(&[MOVE_TO_1, (10 * SECOND, Happening::Cut(0, 1, 60 * SECOND))]);
    world.run_until(25 * SECOND);
    assert_eq!((world.violation.clone(), world.home.ending), (None, Some(Ending::Lost)));
    assert!(world.nodes[1].is_clean());
}

#[test]
fn a_node_in_the_middle_may_lose_its_power_without_effect() {
    let mut world = script(&[
        MOVE_TO_1,
        (5 * SECOND, Happening::Move(2)),
        (10 * SECOND, Happening::PowerLoss(1)),
        (12 * SECOND, Happening::Move(0)),
        (16 * SECOND, Happening::PowerLoss(2)),
    ]);
    live_through(&mut world);
    assert_eq!((world.violation, world.moved, world.home.ending), (None, 3, Some(Ending::Proper)));
}

#[test]
fn when_home_loses_its_power_its_capsules_end_with_the_lease() {
    let mut world = script(&[MOVE_TO_1, (10 * SECOND, Happening::PowerLoss(0))]);
    world.run_until(15 * SECOND);
    assert!(!world.nodes[1].is_clean());
    world.run_until(25 * SECOND);
    assert!(world.nodes[1].is_clean());
}

#[test]
fn when_the_host_dies_the_deputy_ends() {
    let mut world = script(&[MOVE_TO_1, (10 * SECOND, Happening::PowerLoss(1))]);
    world.run_until(20 * SECOND);
    assert!(matches!(world.home.task, Task::Deputy { .. }));
    world.run_until(25 * SECOND);
    assert_eq!(world.home.ending, Some(Ending::Lost));
}

#[test]
fn a_deputy_that_is_killed_takes_its_process_along() {
    let mut world = script(&[MOVE_TO_1, (10 * SECOND, Happening::UserKills)]);
    world.run_until(12 * SECOND);
    assert!(world.nodes[1].is_clean());
    assert_eq!(world.home.record, None);
}

#[test]
fn every_built_in_fault_is_found() {
    // These need several things to go wrong together, and up to some ten thousand schedules; that is for the optimised
    // run (`cargo xtask simulate --faulty every`).
    let rare = |faulty: &Faulty| matches!(faulty, Faulty::ThawsWhenSendingFails | Faulty::LeaseFromArrival);
    let missed: Vec<Faulty> = EVERY_FAULTY
        .into_iter()
        .filter(|faulty| !rare(faulty))
        .filter(|faulty| (0..ENOUGH).all(|seed| run(seed, Some(*faulty)).violation.is_none()))
        .collect();
    assert!(missed.is_empty(), "not found in {ENOUGH} schedules: {missed:?}");
}
