//! `brant-image smoke`: the main job, on a cluster of machines, with everything that must hold of it.
//!
//! A year of daily web-server logs, a regular expression on each line: four such jobs are started on one node, in an
//! ordinary shell, and the cluster makes them faster without anybody noticing anything else. [`CLUSTER`] and [`MOVES`] are the test.

mod args;
mod cluster_steps;
mod figures;
mod guest_steps;
mod host_load;
mod ideal;
mod job_steps;
mod people_steps;
mod tie_steps;
mod workload;

pub(crate) use args::SmokeArgs;

use crate::cluster::create;
use crate::cluster::evidence::Evidence;
use crate::cluster::node::Node;
use crate::cluster::patience::Patience;
use crate::cluster::stage::{Stage, Wanted};
use crate::cluster::state::Cluster;
use crate::cluster::terminal::Terminal;
use crate::progress::{Progress, Step};
use anyhow::{Context, Result};
use figures::Figures;
use host_load::Ticks;
use std::io::Write;
use workload::Jobs;

/// The test, in order: what holds of the cluster itself.
const CLUSTER: &[Step<Run>] = &[
    ("every node lists every other one, and nobody typed anything", cluster_steps::nodes_list_each_other),
    ("`cluster.toml` is the same bytes on every node", cluster_steps::configuration_is_equal),
    ("a setting made on one node holds on all, and a broken file on none", cluster_steps::settings_hold),
    ("ordinary users cannot speak to other nodes' daemons", cluster_steps::users_are_kept_off),
    ("the part of node-agent that hears the LAN has no rights", cluster_steps::agent_has_no_rights),
    ("each node's files are below /cluster, with everybody's own rights", people_steps::files_of_others),
    ("all clocks agree, one that was set wrong, too", people_steps::clocks_agree),
    ("ssh goes from node to node and asks nothing", people_steps::ssh_works),
];

/// And then what processes do on it.
const MOVES: &[Step<Run>] = &[
    ("node1 gets four days of logs", job_steps::write_logs),
    ("four jobs that nobody moves give the counts and the time of one node", job_steps::run_unmoved),
    ("four jobs and a ticker start in a shell on a terminal of node1", job_steps::start_in_a_shell),
    ("the balancer moves at least two of the jobs to other nodes", job_steps::balancer_moves_jobs),
    ("the ticker is moved by hand", job_steps::move_the_ticker),
    ("the shell sees the same processes, and none stopped", job_steps::shell_sees_the_same_processes),
    ("all jobs end, each with exit status 0", job_steps::jobs_end_well),
    ("at least two jobs have computed mostly on other nodes", job_steps::jobs_computed_elsewhere),
    ("the counts are those of the unmoved run, and no job was started again", job_steps::counts_are_equal),
    ("the ticker's lines are all there, once each, in order", job_steps::ticker_lost_nothing),
    ("a guest cannot starve its host, nor reach what is the host's own", guest_steps::guests_are_confined),
    ("signals sent at home reach processes that are away", tie_steps::signals_reach_it),
    ("a home node that loses its power takes its guests along", tie_steps::home_takes_its_guests_along),
];

/// What the steps know of each other.
struct Run {
    nodes: Vec<Node>,
    patience: Patience,
    job_seconds: u32,
    host: ideal::Host,
    keeper: Option<i32>,
    jobs_began: Ticks,
    jobs: Option<Jobs>,
    terminal: Option<Terminal>,
    figures: Figures,
    /// Whether the cluster is somebody else's.
    attached: bool,
}

impl Run {
    /// The node where the person sits.
    fn home(&self) -> &Node {
        &self.nodes[0]
    }

    fn jobs(&self) -> Result<&Jobs> {
        self.jobs.as_ref().context("looking for the jobs: no earlier step has begun them")
    }

    fn terminal(&self) -> Result<&Terminal> {
        self.terminal.as_ref().context("looking for the terminal: no earlier step has opened one")
    }
}

/// Starts a cluster, does the main job on it, and prints the figures.
///
/// # Errors
/// The step that did not hold, and what was seen.
pub(crate) fn run(args: &SmokeArgs) -> Result<()> {
    let SmokeArgs { name, machines, dhcp, attach, .. } = args;
    let stage = Stage::set(&Wanted { name, machines, dhcp: *dhcp, attach: *attach })?;
    let mut run = begin(&stage, args);
    let progress = Progress::new();
    let moves = if args.cluster_only { &[] } else { MOVES };
    if let Err(error) = progress.go_through(&[CLUSTER, moves].concat(), &mut run) {
        evidence(&run, &stage.cluster).show();
        stage.end(args.keep_failed);
        return Err(error);
    }
    stage.end(false);
    if args.cluster_only {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", run.figures.table(run.host, args)).context("printing the figures")
}

fn begin(stage: &Stage, args: &SmokeArgs) -> Run {
    Run {
        nodes: stage.nodes(),
        patience: stage.patience(),
        job_seconds: args.job_seconds,
        host: ideal::Host {
            nodes: u32::try_from(stage.plan.nodes.len()).unwrap_or(u32::MAX),
            cpus: stage.plan.cpus,
            processors: create::processors(),
        },
        keeper: stage.cluster.keeper().ok().flatten(),
        jobs_began: Ticks::default(),
        jobs: None,
        terminal: None,
        attached: args.attach,
        figures: Figures::new(&stage.plan),
    }
}

/// All that may help to understand a failure: of the nodes, of the jobs, and of the terminal they were started on.
fn evidence(run: &Run, cluster: &Cluster) -> Evidence {
    let mut evidence = Evidence::of(&run.nodes, cluster);
    for pid in run.jobs.iter().flat_map(|jobs| jobs.pids.iter().chain([&jobs.ticker])) {
        evidence.ask(run.home(), &format!("brant why {pid} 2>&1 || true"));
    }
    if let Some(terminal) = &run.terminal {
        evidence.add_end("the shell's terminal", &terminal.text_from(0));
    }
    evidence
}
