//! `cargo xtask simulate`: the migration protocol under random schedules of loss, delay, cuts, crashes and failures.

use anyhow::{Result, bail};
use brant_migration::simulation::{EVERY_FAULTY, Faulty, Outcome, run as schedule, trace};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::Instant;

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many schedules to run.
    #[arg(long, default_value_t = 100_000)]
    schedules: u64,
    /// The first schedule's seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run only the schedule of this seed, and tell all that happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Build a fault into the protocol: how many schedules until it is found? `every` tries all of them.
    #[arg(long)]
    faulty: Option<String>,
}

/// Runs the schedules; fails with the first seed, if any, at which something was wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let faulties = faulties(arguments.faulty.as_deref())?;
    match (arguments.seed, &faulties[..]) {
        (Some(seed), _) => tell(seed, faulties.first().copied()),
        (None, []) => prove(arguments),
        (None, faulties) => faulties.iter().try_for_each(|faulty| find(arguments, *faulty)),
    }
}

fn faulties(name: Option<&str>) -> Result<Vec<Faulty>> {
    let Some(name) = name else { return Ok(Vec::new()) };
    let named: Vec<Faulty> = EVERY_FAULTY
        .into_iter()
        .filter(|faulty| name == "every" || format!("{faulty:?}").eq_ignore_ascii_case(name))
        .collect();
    if named.is_empty() {
        bail!("there is no fault `{name}`; there are `every` and {EVERY_FAULTY:?}");
    }
    Ok(named)
}

fn tell(seed: u64, faulty: Option<Faulty>) -> Result<()> {
    let (outcome, lines) = trace(seed, faulty);
    for line in lines {
        println!("{line}");
    }
    match outcome.violation {
        Some(violation) => bail!("seed {seed}: {violation}"),
        None => Ok(()),
    }
}

/// The first schedule in which something is wrong, if any, and what came of all of them.
fn prove(arguments: &Arguments) -> Result<()> {
    let begin = Instant::now();
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first.saturating_add(arguments.schedules);
    let workers = available_parallelism().map_or(1, usize::from);
    let mut sums = [0_u64; 4];
    let mut wrong: Option<(u64, String)> = None;
    let results: Vec<_> = scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&next, end))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if results.len() < workers {
        bail!("a schedule has panicked; the message above names the place");
    }
    for (counted, found) in results {
        sums.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
        if let Some(found) = found
            && wrong.as_ref().is_none_or(|wrong| found.0 < wrong.0)
        {
            wrong = Some(found);
        }
    }
    if let Some((seed, violation)) = wrong {
        bail!(
            "seed {seed}: {violation}\nhint: `cargo xtask simulate --seed {seed}` tells how it came to that"
        );
    }
    let [moved, stayed, lost, events] = sums;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{} schedules from seed {}: {moved} moves arrived, {stayed} did not, {lost} processes were lost with their node or lease",
        arguments.schedules, arguments.first
    );
    println!("{events} events in {seconds:.1} s, {:.0} schedules/s", arguments.schedules as f64 / seconds);
    Ok(())
}

fn work(next: &AtomicU64, end: u64) -> ([u64; 4], Option<(u64, String)>) {
    let mut sums = [0; 4];
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (sums, None);
        }
        let Outcome { violation, moved, stayed, lost, events } = schedule(seed, None);
        if let Some(violation) = violation {
            // The others need not go on; what they have begun may still find a lower seed.
            next.store(end, Ordering::Relaxed);
            return (sums, Some((seed, violation)));
        }
        let counted = [u64::from(moved), u64::from(stayed), u64::from(lost), events];
        sums.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
    }
}

fn find(arguments: &Arguments, faulty: Faulty) -> Result<()> {
    for tried in 0..arguments.schedules {
        let seed = arguments.first + tried;
        if let Some(violation) = schedule(seed, Some(faulty)).violation {
            println!("{faulty:?}: found after {} schedules (seed {seed}): {violation}", tried + 1);
            return Ok(());
        }
    }
    bail!("{faulty:?} was not found in {} schedules", arguments.schedules)
}
