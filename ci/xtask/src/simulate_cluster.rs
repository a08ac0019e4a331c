//! `cargo xtask simulate-cluster`: the membership of clusters of several sizes, under a virtual clock.

use anyhow::{Result, ensure};
use brant_membership::simulation::{Report, Scenario, run as simulate};
use std::time::Duration;

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many nodes; may be given several times [default: 3, 30, 300 and 1,000].
    #[arg(long)]
    nodes: Vec<usize>,
    /// Of 100 datagrams, how many are lost; may be given several times [default: 0, 5 and 30].
    #[arg(long)]
    loss: Vec<u32>,
    /// How long to look for false alarms, seconds of the cluster's time.
    #[arg(long, default_value_t = 600)]
    quiet: u64,
    /// How many nodes die, one after the other; what of them is chance needs a dozen.
    #[arg(long, default_value_t = 15)]
    deaths: usize,
    /// What chance is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is held to where no more than this is lost of 100 datagrams.
const ORDINARY_LOSS: u32 = 5;
/// Bytes per second of one node.
const MOST_RATE: f64 = 2000.0;
/// Until all agree after the last power-on, and until all have noticed a death.
const MOST_AGREEING: Duration = Duration::from_secs(10);
const MOST_NOTICING: Duration = Duration::from_secs(5);

/// What others have published, to be read beside the table.
const PUBLISHED: &str = "
published, for comparison:
  SWIM (Das, Gupta, Motivala 2002)  first detection after 1.6 periods of 2 s on average, whatever the size (up to 56 PCs);
                                    2 messages a period and member; no loads, no beacons
  memberlist/Serf, DefaultLANConfig suspicion lasts 4 s x log10(nodes), at least: 5.9 s with 30 nodes, 9.9 s with 300, 12 s
                                    with 1,000; 15 gossip messages a second while there is news
  ScaleCube (SWIM; its wiki, 2018)  1 % loss: news reaches 30 nodes after 2.9 s at 656 B/s each, 200 after 3.6 s at 582 B/s";

/// Runs all of them, and prints one table; fails where nodes did not agree, or a figure is not what was promised.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let or =
        |given: &[usize], usual: &[usize]| if given.is_empty() { usual.to_vec() } else { given.to_vec() };
    let losses: Vec<usize> = arguments.loss.iter().map(|loss| *loss as usize).collect();
    println!(
        "nodes  loss  agreed  B/s/node   max  noticed by one  by all  returned  false alarms      healed  replug  lost   churn    jump  resume"
    );
    let mut broken = Vec::new();
    for nodes in or(&arguments.nodes, &[3, 30, 300, 1000]) {
        for loss in or(&losses, &[0, 5, 30]) {
            let scenario = Scenario {
                nodes,
                loss: u32::try_from(loss * 10)?,
                quiet: Duration::from_secs(arguments.quiet),
                deaths: arguments.deaths,
                seed: arguments.seed,
            };
            let report = simulate(&scenario);
            println!("{}", row(&report));
            broken.extend(promises(&report).map(|what| format!("{nodes} nodes, {loss} %: {what}")));
        }
    }
    println!("{PUBLISHED}");
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

/// What is not as it was promised.
fn promises(report: &Report) -> impl Iterator<Item = &'static str> {
    let ordinary = report.loss / 10 <= ORDINARY_LOSS;
    let agreed = [
        report.agreed,
        report.returned,
        report.healed,
        report.replugged,
        report.churned,
        report.jumped,
        report.resumed,
    ];
    let broken = [
        (agreed.iter().any(Option::is_none), "some nodes did not agree within five minutes"),
        (ordinary && report.agreed.is_some_and(|time| time > MOST_AGREEING), "they took long to agree"),
        (ordinary && report.false_alarms > 0, "a living node was taken for dead"),
        (ordinary && report.lost > 0, "a living node was taken for dead when a cut was over"),
        (ordinary && report.noticed.1 > MOST_NOTICING, "a dead node was noticed late"),
        (ordinary && report.rate.0 > MOST_RATE, "they talk too much"),
    ];
    broken.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, what)| what)
}

fn row(report: &Report) -> String {
    let seconds = |time: Option<Duration>| {
        time.map_or_else(|| "never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    format!(
        "{:5}  {:2} %  {:>6}  {:8.0}  {:4.0}  {:>14}  {:>6}  {:>8}  {:4} in {:4} s  {:>7} {:>7} {:5} {:>7} {:>7} {:>7}",
        report.nodes,
        report.loss / 10,
        seconds(report.agreed),
        report.rate.0,
        report.rate.1,
        seconds(Some(report.noticed.0)),
        seconds(Some(report.noticed.1)),
        seconds(report.returned),
        report.false_alarms,
        report.quiet.as_secs(),
        seconds(report.healed),
        seconds(report.replugged),
        report.lost,
        seconds(report.churned),
        seconds(report.jumped),
        seconds(report.resumed),
    )
}
