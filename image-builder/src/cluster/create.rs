//! `cluster create`: from arguments to nodes that answer.

use crate::cluster::args::{CreateArgs, FirmwareKind, MachineArgs, NodeName};
use crate::cluster::firmware;
use crate::cluster::joining;
use crate::cluster::keeper::{FAILED, RELEASE, STARTED};
use crate::cluster::state::{Cluster, Clusters, Plan, PlannedNode};
use crate::failure::{Advice, Kind};
use crate::interrupt;
use crate::progress::Progress;
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow};
use brant_qemu::accelerator::Accelerator;
use brant_qemu::exec::{Channel, ExecError};
use brant_qemu::machine::PROGRAM;
use brant_qemu::segment::Segment;
use brant_sys::child::{Running, Tool};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, available_parallelism, sleep};
use std::time::{Duration, Instant};

/// How long one node on a PC of today may take from power-on until it answers.
const NODE_ANSWERS: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(200);
/// How much of a console an error shows.
const TAIL_LINES: usize = 25;

/// Starts a cluster and leaves it running.
///
/// # Errors
/// What failed; then nothing is left of the cluster.
pub(crate) fn run(args: &CreateArgs) -> Result<()> {
    let plan = plan(args)?;
    let patience = args.timeout.map_or_else(|| patience(&plan), Duration::from_secs);
    let nascent = Nascent::start(&plan)?;
    let answered = nascent.wait(&plan, patience)?;
    let booted = answered.iter().map(|(_, took)| *took).max().unwrap_or_default();
    joining::wait(&nascent, &plan, booted)?;
    nascent.release()?;
    let option =
        if plan.name.to_string() == "default" { String::new() } else { format!("--name {} ", plan.name) };
    eprintln!("cluster `{}` runs; try: brant-image cluster exec -t {option}node1", plan.name);
    Ok(())
}

/// Looks everything up that a cluster needs.
///
/// # Errors
/// What is missing, and what to do about it; nothing was started.
pub(crate) fn plan(args: &CreateArgs) -> Result<Plan> {
    let machines = &args.machines;
    let workspace = Workspace::find()?;
    let iso = find_iso(&workspace, machines)?;
    check_qemu()?;
    let uefi = match machines.firmware {
        FirmwareKind::Bios => None,
        FirmwareKind::Uefi => Some(firmware::find(machines.ovmf_dir.as_deref(), &workspace.cache())?),
        FirmwareKind::UefiSecureBoot => Some(firmware::with_keys(machines.ovmf_dir.as_deref())?),
    };
    let segment = Segment::random().context("drawing a network segment")?;
    Ok(Plan {
        name: args.name.clone(),
        iso,
        firmware: machines.firmware,
        uefi,
        boot: machines.boot,
        accelerator: Accelerator::choose(),
        segment,
        dhcp: args.dhcp,
        memory_mib: machines.memory,
        cpus: machines.cpus,
        extras: machines.extras.clone(),
        nodes: NodeName::first(machines.nodes)
            .enumerate()
            .map(|(number, name)| {
                let models = &machines.cpu_models;
                let cpu_model = (!models.is_empty()).then(|| models[number % models.len()].clone());
                PlannedNode { name, mac: mac(segment, name), cpu_model, image: None, segment: None }
            })
            .collect(),
    })
}

/// How long the nodes may take to answer on this host.
pub(crate) fn patience(plan: &Plan) -> Duration {
    let machines = u32::try_from(plan.nodes.len()).unwrap_or(u32::MAX);
    NODE_ANSWERS * plan.accelerator.slowness() * machines.div_ceil(processors()).max(1)
}

/// The host's processors that this program may use.
pub(crate) fn processors() -> u32 {
    u32::try_from(available_parallelism().map_or(1, usize::from)).unwrap_or(1)
}

/// In QEMU's range, and unlike those of other clusters on this host.
fn mac(segment: Segment, node: NodeName) -> String {
    let [_, a, b, _] = segment.group.octets();
    format!("52:54:00:{a:02x}:{b:02x}:{:02x}", node.number())
}

fn find_iso(workspace: &Workspace, machines: &MachineArgs) -> Result<PathBuf> {
    let path = machines.iso.clone().unwrap_or_else(|| workspace.image("compute"));
    let found = fs::canonicalize(&path).and_then(|path| fs::File::open(&path).map(|_readable| path));
    found.map_err(|error| {
        let advice = Advice::new(Kind::Input, format!("opening the image `{}`", path.display()));
        let error =
            anyhow!(error).context(advice.hint("`brant-image build` makes one; `--iso FILE` names another"));
        if path.exists() { error } else { error.context("starting a cluster without an image") }
    })
}

fn check_qemu() -> Result<()> {
    Tool::new(PROGRAM).arg("--version").run().map_err(|error| {
        let advice = Advice::new(Kind::Host, "starting QEMU").hint("sudo apt-get install qemu-system-x86");
        anyhow!(error).context(advice)
    })
}

/// A cluster that ends with this value, unless it is released.
#[derive(Debug)]
pub(crate) struct Nascent {
    cluster: Cluster,
    keeper: Option<Running>,
    lifeline: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Nascent {
    /// Starts the keeper and the machines; the nodes do not answer yet.
    ///
    /// # Errors
    /// What failed; nothing is left.
    pub(crate) fn start(plan: &Plan) -> Result<Self> {
        let cluster = Clusters::find()?.cluster(&plan.name);
        // By this path it is the same program even if a newer one has taken its place on disk.
        let tool = Tool::new("/proc/self/exe").args(["cluster", "keep"]).new_session().outlives_parent();
        let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = tool.spawn().context("starting the cluster's keeper")?;
        let (Some(mut lifeline), Some(answers)) = (keeper.child.stdin.take(), keeper.child.stdout.take())
        else {
            keeper.kill();
            return Err(anyhow!("starting the cluster's keeper: it has no pipes"));
        };
        let plan = serde_json::to_string(plan).context("writing the plan")?;
        let told = writeln!(lifeline, "{plan}");
        let (lifeline, answers) = (Some(lifeline), BufReader::new(answers));
        let mut nascent = Self { cluster, keeper: Some(keeper), lifeline, answers };
        told.context("telling the keeper the plan")?;
        nascent.hear_started()?;
        Ok(nascent)
    }

    fn hear_started(&mut self) -> Result<()> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("hearing from the cluster's keeper")?;
        let answer = answer.trim_end();
        if answer == STARTED {
            return Ok(());
        }
        interrupt::check()?;
        let reason =
            answer.strip_prefix(FAILED).unwrap_or("the keeper ended without a word").replace('\r', "\n");
        Err(anyhow!(reason).context("starting the cluster"))
    }

    /// Its folder on this host.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Waits until every node answers, and returns how long each has taken.
    ///
    /// # Errors
    /// Which node did not, with the end of its console.
    pub(crate) fn wait(&self, plan: &Plan, patience: Duration) -> Result<Vec<(NodeName, Duration)>> {
        let progress = Progress::new();
        let count = plan.nodes.len();
        let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
        let stage = progress.stage(&format!("waiting for {nodes} ({}, {})", plan.firmware, plan.boot));
        let since = Instant::now();
        let answers = self.call_all(plan, patience);
        let mut waiting: Vec<NodeName> = plan.nodes.iter().map(|node| node.name).collect();
        let mut answered = Vec::new();
        while !waiting.is_empty() {
            interrupt::check()?;
            match answers.recv_timeout(TICK) {
                Ok((node, Ok(()))) => {
                    waiting.retain(|other| *other != node);
                    answered.push((node, since.elapsed()));
                    progress.say(&format!("{node} answers after {:.1} s", since.elapsed().as_secs_f64()));
                }
                Ok((node, Err(error))) => return Err(self.with_console(error, node)),
                Err(RecvTimeoutError::Timeout) => stage.detail(&self.doing(&waiting)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(anyhow!("waiting for the nodes: nobody waits any more"));
                }
            }
        }
        stage.done("all answer");
        Ok(answered)
    }

    fn call_all(&self, plan: &Plan, patience: Duration) -> Receiver<(NodeName, Result<()>)> {
        let (sender, receiver) = channel();
        for node in &plan.nodes {
            let (name, sender, cluster) = (node.name, sender.clone(), self.cluster.clone());
            thread::spawn(move || sender.send((name, call(&cluster, name, patience))));
        }
        receiver
    }

    /// What the slow ones last said.
    fn doing(&self, waiting: &[NodeName]) -> String {
        let last = |node: &NodeName| format!("{node}: {}", self.cluster.console_log(*node).tail(1));
        waiting.iter().map(last).collect::<Vec<_>>().join(" | ")
    }

    fn with_console(&self, error: anyhow::Error, node: NodeName) -> anyhow::Error {
        let tail = self.cluster.console_log(node).tail(TAIL_LINES);
        let shown =
            if tail.is_empty() { "it has said nothing".to_owned() } else { format!("it said last:\n{tail}") };
        error.context(format!("waiting for {node}; on its console {shown}\n"))
    }

    /// Lets the cluster live on without this program.
    ///
    /// # Errors
    /// The keeper is gone, and the cluster with it.
    pub(crate) fn release(mut self) -> Result<()> {
        if let Some(mut lifeline) = self.lifeline.take() {
            writeln!(lifeline, "{RELEASE}").context("letting the cluster go")?;
        }
        self.keeper = None;
        Ok(())
    }
}

impl Drop for Nascent {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Some(keeper) = self.keeper.take() {
            // Its output ends when it does, after everything has been taken down.
            let mut rest = Vec::new();
            let _ended = self.answers.read_to_end(&mut rest);
            let _reaped = keeper.wait();
        }
    }
}

/// Waits until one node's exec service answers.
fn call(cluster: &Cluster, node: NodeName, patience: Duration) -> Result<()> {
    let folder: &Path = &cluster.node_folder(node);
    let since = Instant::now();
    loop {
        match Channel::open(folder, patience.saturating_sub(since.elapsed())) {
            Ok(_answered) => return Ok(()),
            Err(ExecError::Off(_) | ExecError::Gone) if since.elapsed() < patience => {
                if let Some(how) = cluster.ended(node) {
                    return Err(anyhow!("the machine ended with {how}"));
                }
                sleep(TICK);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
