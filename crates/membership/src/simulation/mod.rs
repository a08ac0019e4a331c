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
    /// From the moment when such a node was switched on again until all agreed: the longest of these times.
    pub returned: Option<Duration>,
    /// Living nodes that were taken for dead while all was quiet.
    pub false_alarms: u64,
    /// How long that was.
    pub quiet: Duration,
    /// From the healing of a cut into halves until all agreed again.
    pub healed: Option<Duration>,
    /// From the moment when a node's cable was plugged in again, after it had been out for a while, until all agreed.
    pub replugged: Option<Duration>,
    /// Living nodes that were taken for dead meanwhile, and after some had stood still.
    pub lost: u64,
    /// From the end of a minute of coming and going until all agreed again.
    pub churned: Option<Duration>,
    /// From the moment when a tenth of the clocks jumped ahead by an hour until nobody disagreed any more.
    pub jumped: Option<Duration>,
    /// From the moment when a tenth of the nodes went on, after they had stood still for a minute, until all agreed.
    pub resumed: Option<Duration>,
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
/// How long a cable is out.
const PULLED: Duration = Duration::from_secs(20);

/// How long nodes come and go, how often, and how long they are gone.
const CHURN: Duration = Duration::from_secs(60);
const CHURN_EVERY: Duration = Duration::from_secs(5);
const GONE_FOR: usize = 3;
/// By how much clocks jump.
const JUMP: Duration = Duration::from_secs(3600);
/// How long to look what comes of that.
const AFTERMATH: Duration = Duration::from_secs(15);
/// How long PCs stand still.
const SLEEP: Duration = Duration::from_secs(60);

/// Runs one cluster through power-on, quiet, deaths, a cut, coming and going, and clocks that jump or stand still.
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
    let deaths: Vec<Death> = (0..deaths).map(|death| die(&mut lan, death % nodes)).collect();
    lan.cut = true;
    lan.run(CUT);
    lan.cut = false;
    let (healed, lost_healing) = counting_lost(&mut lan, until_agreed);
    let (replugged, lost_replugging) = replug(&mut lan);
    let churned = churn(&mut lan);
    let some: Vec<usize> = (0..nodes.div_ceil(10)).collect();
    lan.run(Duration::from_secs(10));
    some.iter().for_each(|at| lan.jump(*at, JUMP));
    let jumped = until_settled(&mut lan);
    some.iter().for_each(|at| lan.switch_off(*at));
    lan.run(SLEEP);
    some.iter().for_each(|at| lan.resume(*at));
    let (resumed, lost_resuming) = counting_lost(&mut lan, until_agreed);
    let lost = lost_healing + lost_replugging + lost_resuming;
    let noticed =
        (median(deaths.iter().map(|death| death.first)), median(deaths.iter().map(|death| death.all)));
    let returned = deaths.iter().map(|death| death.returned).collect::<Option<Vec<_>>>();
    let returned = returned.map(|times| times.into_iter().max().unwrap_or_default());
    Report {
        nodes,
        loss,
        agreed,
        rate,
        noticed,
        returned,
        false_alarms,
        quiet,
        healed,
        replugged,
        lost,
        churned,
        jumped,
        resumed,
    }
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

/// How long it took until the last disagreement was over, if there was any: what a shock does is seen only a little later.
fn until_settled(lan: &mut Lan) -> Option<Duration> {
    let begin = lan.now;
    let mut disagreed = Duration::ZERO;
    while lan.now - begin < AFTERMATH {
        lan.run(LOOK);
        if !lan.agree() {
            disagreed = lan.now - begin;
        }
    }
    until_agreed(lan).map(|more| if more.is_zero() { disagreed } else { AFTERMATH + more })
}

/// How many living nodes are missing in a list, counted when they become so.
fn watch(lan: &mut Lan, time: Duration) -> u64 {
    let end: Instant = lan.now + time;
    counting_lost(lan, |lan| lan.run_until(end)).1
}

fn counting_lost<T>(lan: &mut Lan, happening: impl FnOnce(&mut Lan) -> T) -> (T, u64) {
    let lost = |lan: &Lan| lan.pcs.iter().map(|pc| pc.core.lost()).sum::<u64>();
    let before = lost(lan);
    let outcome = happening(lan);
    (outcome, lost(lan) - before)
}

/// How long it took until the first of the others knew that a node had died, until all of them did, and until all agreed
/// when it was on again.
struct Death {
    first: Duration,
    all: Duration,
    returned: Option<Duration>,
}

/// Lets a node die and come back.
fn die(lan: &mut Lan, at: usize) -> Death {
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
    let returned = until_agreed(lan);
    lan.run(Duration::from_secs(10));
    Death { first: first.unwrap_or(all), all, returned }
}

/// Pulls the cable of one node, so that it loses all others, and plugs it in again; how long that took, and who was lost.
fn replug(lan: &mut Lan) -> (Option<Duration>, u64) {
    let at = lan.any();
    let halves: Vec<bool> = lan.pcs.iter().map(|pc| pc.beyond).collect();
    lan.pcs.iter_mut().enumerate().for_each(|(index, pc)| pc.beyond = index == at);
    lan.cut = true;
    lan.run(PULLED);
    lan.cut = false;
    let outcome = counting_lost(lan, until_agreed);
    lan.pcs.iter_mut().zip(halves).for_each(|(pc, beyond)| pc.beyond = beyond);
    outcome
}

/// A twentieth of the nodes leaves every few seconds, the half of them without a word, and comes back a little later.
fn churn(lan: &mut Lan) -> Option<Duration> {
    let mut gone = std::collections::VecDeque::new();
    let end = lan.now + CHURN;
    while lan.now < end {
        let mut leaving = Vec::new();
        for turn in 0..lan.pcs.len().div_ceil(20) {
            let at = lan.any();
            if lan.pcs[at].on {
                if turn % 2 == 0 {
                    lan.shut_down(at);
                } else {
                    lan.switch_off(at);
                }
                leaving.push(at);
            }
        }
        gone.push_back(leaving);
        lan.run(CHURN_EVERY);
        if gone.len() >= GONE_FOR {
            gone.pop_front().unwrap_or_default().into_iter().for_each(|at| lan.switch_on(at));
        }
    }
    gone.into_iter().flatten().for_each(|at| lan.switch_on(at));
    until_agreed(lan)
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
