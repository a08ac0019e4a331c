//! Clusters of any size under a virtual clock: how soon they agree, what that costs, how soon a dead node is noticed, and
//! how often a living one is taken for dead.

mod lan;

use crate::core::Instant;
use lan::Lan;
use std::time::Duration;

/// What a cluster of this size has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Nodes.
    pub nodes: usize,
    /// Of 1000 datagrams, how many were lost.
    pub loss: u32,
    /// From the last power-on until all agreed; none within the limit.
    pub agreed: Option<Duration>,
    /// Bytes per second that a node sends when all is quiet: the mean, and that of the busiest.
    pub rate: (f64, f64),
    /// From a node's death until the first, and until all others, listed it no more: the medians of some deaths.
    pub noticed: (Duration, Duration),
    /// Living nodes that were taken for dead while all was quiet.
    pub false_alarms: u64,
    /// How long that was.
    pub quiet: Duration,
    /// From the healing of a cut into halves until all agreed again.
    pub healed: Option<Duration>,
}

/// How large, how bad, how long.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Nodes.
    pub nodes: usize,
    /// Of 1000 datagrams, how many are lost.
    pub loss: u32,
    /// How long to look for false alarms.
    pub quiet: Duration,
    /// How many nodes die, one after the other.
    pub deaths: usize,
    /// What chance is drawn from.
    pub seed: u64,
}

const LOOK: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(300);
/// How long a cut lasts.
const CUT: Duration = Duration::from_secs(60);

/// Runs one cluster through power-on, quiet, deaths and a cut.
pub fn run(scenario: &Scenario) -> Report {
    let Scenario { nodes, loss, quiet, deaths, seed } = *scenario;
    let spread = Duration::from_secs(3);
    let mut lan = Lan::new(nodes, spread, loss, seed);
    lan.run(spread);
    let agreed = until_agreed(&mut lan);
    // What the beginning costs is over by then.
    lan.run(Duration::from_secs(30));
    let before: Vec<u64> = lan.pcs.iter().map(|pc| pc.sent).collect();
    let false_alarms = watch(&mut lan, quiet);
    let sent =
        lan.pcs.iter().zip(&before).map(|(pc, before)| (pc.sent - before) as f64 / quiet.as_secs_f64());
    let sent: Vec<f64> = sent.collect();
    let rate = (sent.iter().sum::<f64>() / nodes as f64, sent.iter().copied().fold(0.0, f64::max));
    let deaths: Vec<(Duration, Duration)> = (0..deaths).map(|death| die(&mut lan, death % nodes)).collect();
    lan.cut = true;
    lan.run(CUT);
    lan.cut = false;
    let healed = until_agreed(&mut lan);
    let noticed = (median(deaths.iter().map(|death| death.0)), median(deaths.iter().map(|death| death.1)));
    Report { nodes, loss, agreed, rate, noticed, false_alarms, quiet, healed }
}

/// How long until all agree.
fn until_agreed(lan: &mut Lan) -> Option<Duration> {
    let begin = lan.now;
    while lan.now - begin < LIMIT {
        if lan.agree() {
            return Some(lan.now - begin);
        }
        lan.run(LOOK);
    }
    None
}

/// How many living nodes are missing in a list, counted when they become so.
fn watch(lan: &mut Lan, time: Duration) -> u64 {
    let end: Instant = lan.now + time;
    let lost = |lan: &Lan| lan.pcs.iter().map(|pc| pc.core.lost()).sum::<u64>();
    let before = lost(lan);
    lan.run_until(end);
    lost(lan) - before
}

/// Lets a node die and come back; how long until the first and until all others knew.
fn die(lan: &mut Lan, at: usize) -> (Duration, Duration) {
    let begin = lan.now;
    lan.switch_off(at);
    let others = lan.pcs.iter().filter(|pc| pc.on).count();
    let mut first = None;
    while lan.now - begin < LIMIT && lan.without(at) < others {
        lan.run(LOOK);
        if lan.without(at) > 0 {
            first.get_or_insert(lan.now - begin);
        }
    }
    let all = lan.now - begin;
    lan.switch_on(at);
    until_agreed(lan);
    lan.run(Duration::from_secs(10));
    (first.unwrap_or(all), all)
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
