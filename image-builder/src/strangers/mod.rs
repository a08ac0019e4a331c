//! `brant-image strangers`: a cluster, and on its LAN a machine without the secret. [`STEPS`] is the test.

mod admission;
mod attacks;
mod leaving;

use crate::build::programs;
use crate::cluster::args::{ClusterName, CreateArgs, MachineArgs};
use crate::cluster::create::{self, Nascent};
use crate::cluster::evidence::Evidence;
use crate::cluster::node::Node;
use crate::cluster::patience::Patience;
use crate::progress::{Progress, Step};
use crate::site;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use brant_types::agent::NodeState;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Until something is known on all nodes, on a PC of today.
const AGREEING: Duration = Duration::from_secs(30);

/// Arguments of `strangers`.
#[derive(Debug, Args)]
pub(crate) struct StrangersArgs {
    /// The image [default: what `build` made last].
    #[arg(long, value_name = "FILE")]
    iso: Option<PathBuf>,
    /// How many seconds the machine without the secret floods the others.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    flood_seconds: u32,
    /// The name of the cluster that is started for it.
    #[arg(short = 'n', long, default_value = "strangers")]
    name: ClusterName,
    /// Leave the cluster running when a step has failed, to look at it.
    #[arg(long)]
    keep_failed: bool,
}

const STEPS: &[Step<Run>] = &[
    ("who has no secret is no member, asks, and shows a code", admission::asks),
    ("no port but Brant's own three is to be found on the LAN", attacks::finds_no_port),
    ("floods, replays and nonsense change nothing", attacks::floods),
    ("the secret is changed, and the members go on", leaving::secret_is_changed),
    ("a wrong code gets nothing", admission::wrong_code),
    ("the right code admits, and it joins", admission::right_code),
    ("a node of another version is told of, and changes nothing", attacks::another_version),
    ("a node that is left out stays out, and what is away goes on", leaving::is_left_out),
    ("it drops its secret, asks, and is admitted again", leaving::drops_its_secret),
];

/// Two members, and one who is none.
struct Run {
    members: Vec<Node>,
    stranger: Node,
    patience: Patience,
    /// What the stranger has for a tool, on this host.
    tool: PathBuf,
    flood_seconds: u32,
}

/// Starts the machines and goes through the steps.
///
/// # Errors
/// The step that did not hold, and what was seen.
pub(crate) fn run(args: &StrangersArgs) -> Result<()> {
    let workspace = Workspace::find()?;
    let progress = Progress::new();
    let stage = progress.stage("compiling what a stranger can do");
    let tool = programs::compile(&workspace, &["stranger"], &stage)?.join("stranger");
    stage.done("");
    let machines = MachineArgs::plain(args.iso.clone(), 3, 1024);
    let mut plan =
        create::plan(&CreateArgs { name: args.name.clone(), machines, dhcp: false, timeout: None })?;
    let bare = workspace.cache().join(format!("{}-without-secret.iso", args.name));
    site::without_secret(&plan.iso, &bare)?;
    if let Some(last) = plan.nodes.last_mut() {
        last.image = Some(bare.clone());
    }
    let nascent = Nascent::start(&plan);
    // The machine has it open, or there is none.
    let _of_no_use_any_more = std::fs::remove_file(bare);
    let nascent = nascent?;
    let answered = nascent.wait(&plan, create::patience(&plan))?;
    let patience = Patience::of_slowest(&answered);
    let mut members = Node::all(nascent.cluster(), &plan, patience);
    let stranger = members.pop().context("finding the machine without the secret")?;
    let mut run = Run { members, stranger, patience, tool, flood_seconds: args.flood_seconds };
    let outcome = progress.go_through(STEPS, &mut run);
    if outcome.is_err() {
        run.members.push(run.stranger);
        Evidence::of(&run.members, nascent.cluster()).show();
    }
    if outcome.is_err() && args.keep_failed && crate::interrupt::received().is_none() {
        nascent.release().context("letting the cluster go")?;
        eprintln!("cluster `{}` is left running", args.name);
    }
    outcome
}

impl Run {
    /// Every member lists so many living nodes.
    fn lists(&self, nodes: &[&Node], count: usize) -> Result<()> {
        for node in nodes {
            let view = node.nodes()?;
            let alive = view.nodes.iter().filter(|member| member.state == NodeState::Alive).count();
            ensure!(alive == count, "{} lists {alive} living nodes, not {count}", node.name);
        }
        Ok(())
    }

    fn both(&self) -> Vec<&Node> {
        self.members.iter().collect()
    }
}
