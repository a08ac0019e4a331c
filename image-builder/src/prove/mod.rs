//! `brant-image prove`: programs run twice on a node, once left alone and once moved while they run; everything that
//! comes out must be the same. The cases are data: `ci/workloads/transparency.toml`, `ci/workloads/corpus.toml`.

mod case;
mod dialogue;
mod files;
mod happening;
mod moments;
mod outcome;
mod trial;

use crate::cluster::args::{ClusterName, MachineArgs};
use crate::cluster::evidence::Evidence;
use crate::cluster::joining;
use crate::cluster::node::{Node, ROOT};
use crate::cluster::patience::Patience;
use crate::cluster::stage::{Stage, Wanted};
use crate::failure::{Advice, Kind};
use crate::progress::Progress;
use anyhow::{Context, Result, ensure};
use case::Cases;
use clap::Args;
use moments::Moments;
use outcome::Outcome;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Until a setting is on all nodes, on a PC of today.
const HEARD: Duration = Duration::from_secs(15);

/// Arguments of `prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The cases, TOML files; one cluster serves them all.
    #[arg(value_name = "FILE", required = true)]
    cases: Vec<PathBuf>,
    /// Only these cases.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Only the cases that are marked as quick.
    #[arg(long)]
    quick: bool,
    /// What the random moments are drawn from [default: another one each time; it is printed].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    #[command(flatten)]
    machines: MachineArgs,
    /// The name of the cluster that is started for it.
    #[arg(short = 'n', long, default_value = "prove")]
    name: ClusterName,
    /// Use the running cluster NAME, and leave it running, instead of starting one.
    #[arg(long)]
    attach: bool,
    /// Leave the cluster running when a case has failed, to look at it.
    #[arg(long)]
    keep_failed: bool,
}

/// Runs the cases and prints what became of each.
///
/// # Errors
/// A case that did not come out right; all the others have run.
pub(crate) fn run(args: &ProveArgs) -> Result<()> {
    let cases = Cases::read(&args.cases)?.choose(&args.only, args.quick)?;
    let ProveArgs { name, machines, attach, .. } = args;
    let stage = Stage::set(&Wanted { name, machines, dhcp: false, attach: *attach })?;
    let nodes = stage.nodes();
    let balance =
        prepare(&nodes, stage.patience()).inspect_err(|_why| Evidence::of(&nodes, &stage.cluster).show())?;
    files::put(&nodes[0], &cases)?;
    let progress = Progress::new();
    let seed = args.seed.unwrap_or_else(now);
    if cases.list.iter().any(|case| case.at_random) {
        progress.say(&format!("the moments are drawn with --seed {seed}"));
    }
    let mut moments = Moments::new(seed);
    let mut outcomes = Vec::new();
    for (number, case) in cases.list.iter().enumerate() {
        let shown = progress.stage(&format!("{:2} of {}: {}", number + 1, cases.list.len(), case.name));
        let outcome = trial::run(case, &nodes, stage.patience(), &mut moments);
        if !outcome.as_ref().is_ok_and(Outcome::is_right) {
            Evidence::of(&nodes, &stage.cluster).show();
        }
        let outcome = outcome?;
        shown.done(&outcome.to_string());
        outcomes.push((case.name.clone(), outcome));
    }
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.is_right()).count();
    if *attach {
        set_balance(&nodes, stage.patience(), balance.trim())?;
    }
    stage.end(failed > 0 && args.keep_failed);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", outcome::table(&outcomes)).context("printing the outcomes")?;
    if failed > 0 {
        let what = format!("{failed} of {} cases did not come out right", outcomes.len());
        let hint = "`--only NAME --keep-failed` runs one, and leaves the cluster to be looked at";
        return Err(Advice::new(Kind::Other, what).hint(hint).error());
    }
    Ok(())
}

/// Has the nodes ready for the cases; gives whether processes moved by themselves before.
fn prepare(nodes: &[Node], patience: Patience) -> Result<String> {
    joining::lists(nodes, patience)?;
    // The cases say what moves when; smoke is where the balancer does.
    let balance = nodes[0].shell(ROOT, "brant set balance")?;
    set_balance(nodes, patience, "off")?;
    Ok(balance)
}

/// Sets on all nodes whether processes move by themselves.
fn set_balance(nodes: &[Node], patience: Patience, value: &str) -> Result<()> {
    let first = nodes.first().context("finding a node")?;
    first.shell(ROOT, &format!("brant set balance {value}"))?;
    patience.wait(HEARD, || {
        for node in nodes {
            let said = node.shell(ROOT, "brant set balance")?;
            ensure!(said.trim() == value, "on {} the balancer is {}", node.name, said.trim());
        }
        Ok(())
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
