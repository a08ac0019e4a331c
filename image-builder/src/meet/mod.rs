//! `brant-image meet`: nodes that find each other, on networks as they are: with and without DHCP, behind a switch that drops
//! all multicast, on a VLAN, and from a network that only an address leads to.

use crate::cluster::args::{BootMedium, ClusterName, CreateArgs, MachineArgs};
use crate::cluster::create::{self, Nascent};
use crate::cluster::evidence::Evidence;
use crate::cluster::node::{Node, ROOT};
use crate::cluster::patience::Patience;
use crate::cluster::state::Plan;
use crate::progress::Progress;
use crate::site;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use brant_qemu::segment::Segment;
use brant_qemu::switch::{Passes, Switch};
use brant_types::agent::{ClusterView, NodeState};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Until all know all, on a PC of today.
const MEETING: Duration = Duration::from_secs(60);
/// The number of the VLAN.
const VLAN: u16 = 5;
/// Long enough for whatever could leak through to have done so.
const APART: Duration = Duration::from_secs(10);

/// Arguments of `meet`.
#[derive(Debug, Args)]
pub(crate) struct MeetArgs {
    /// The image [default: what `build` made last].
    #[arg(long, value_name = "FILE")]
    iso: Option<PathBuf>,
    /// How many machines.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(3..=32))]
    nodes: u8,
    /// Only on these networks.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Network>,
    /// The name of the cluster that is started for it.
    #[arg(short = 'n', long, default_value = "meet")]
    name: ClusterName,
}

/// What is between the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    /// One segment.
    Plain,
    /// One segment with a DHCP server.
    Dhcp,
    /// A switch that drops all multicast.
    Pruned,
    /// A switch that lets nothing through but one VLAN, which each node is told of by a kernel argument.
    Vlan,
    /// One node in another network, which `brant join` has to lead to.
    Far,
}

/// Starts the nodes on each network, and prints how long they took.
///
/// # Errors
/// The network on which they did not find each other, and what each has listed.
pub(crate) fn run(args: &MeetArgs) -> Result<()> {
    let chosen = |network: &Network| args.only.is_empty() || args.only.contains(network);
    let mut rows = Vec::new();
    for network in Network::value_variants().iter().copied().filter(chosen) {
        let (answered, agreed) =
            meet(args, network).with_context(|| format!("on the network `{network:?}`"))?;
        rows.push((network, answered, agreed));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "nodes  network  all answer  all agree after that").context("printing")?;
    for (network, answered, agreed) in rows {
        let name = format!("{network:?}").to_lowercase();
        let (answered, agreed) = (answered.as_secs_f64(), agreed.as_secs_f64());
        writeln!(out, "{:5}  {name:7}  {answered:8.1} s  {agreed:18.1} s", args.nodes).context("printing")?;
    }
    Ok(())
}

/// How long until all have answered, and from then until all agree.
fn meet(args: &MeetArgs, network: Network) -> Result<(Duration, Duration)> {
    let mut plan = plan(args, network)?;
    let segments: Vec<Segment> = match network {
        Network::Plain | Network::Dhcp => Vec::new(),
        Network::Pruned | Network::Vlan => {
            (0..args.nodes).map(|_| Segment::random()).collect::<Result<_, _>>()?
        }
        Network::Far => vec![plan.segment, Segment::random()?],
    };
    match network {
        Network::Plain | Network::Dhcp => {}
        Network::Pruned | Network::Vlan => {
            plan.nodes.iter_mut().zip(&segments).for_each(|(node, segment)| node.segment = Some(*segment));
        }
        Network::Far => {
            plan.nodes.last_mut().context("finding the last node")?.segment = segments.last().copied();
        }
    }
    let passes = match network {
        Network::Vlan => Passes::Vlan(VLAN),
        Network::Far => Passes::OneToOne,
        Network::Plain | Network::Dhcp | Network::Pruned => Passes::NoMulticast,
    };
    let switch = (!segments.is_empty()).then(|| Switch::between(&segments, passes));
    let _until_the_end = switch.transpose().context("making a switch")?;
    let since = Instant::now();
    let nascent = start(args, network, &mut plan)?;
    let answers = nascent.wait(&plan, create::patience(&plan))?;
    let answered = since.elapsed();
    let patience = Patience::of_slowest(&answers);
    let nodes = Node::all(nascent.cluster(), &plan, patience);
    let stage = Progress::new().stage("waiting until all agree");
    let agreed = until_all_agree(network, &nodes, patience);
    let agreed = agreed.inspect_err(|_why| Evidence::of(&nodes, nascent.cluster()).show())?;
    stage.done(&format!("{:.1} s", agreed.as_secs_f64()));
    Ok((answered, agreed))
}

/// Starts the machines, from an image that says what they have to know of this network.
fn start(args: &MeetArgs, network: Network, plan: &mut Plan) -> Result<Nascent> {
    if network != Network::Vlan {
        return Nascent::start(plan);
    }
    let told = Workspace::find()?.cache().join(format!("{}-vlan.iso", args.name));
    site::with_argument(&plan.iso, &told, &format!("vlan=eth0.{VLAN}:eth0"))?;
    plan.nodes.iter_mut().for_each(|node| node.image = Some(told.clone()));
    let nascent = Nascent::start(plan);
    // The machines have it open, or there are none.
    let _of_no_use_any_more = std::fs::remove_file(told);
    nascent
}

/// How long that takes, on the far network from `brant join` on.
fn until_all_agree(network: Network, nodes: &[Node], patience: Patience) -> Result<Duration> {
    let mut since = Instant::now();
    if network == Network::Far {
        let (far, near) = nodes.split_last().context("finding the far node")?;
        patience.wait(MEETING, || agree(near))?;
        join(far, nodes, patience)?;
        since = Instant::now();
    }
    patience.wait(MEETING, || agree(nodes))?;
    Ok(since.elapsed())
}

/// The far node is alone, for as long as nobody has told it an address; then somebody does.
fn join(far: &Node, nodes: &[Node], patience: Patience) -> Result<()> {
    let until = Instant::now() + APART;
    while Instant::now() < until {
        let alone = alive(&far.nodes()?);
        ensure!(alone == 1, "the far node has found {} others by itself", alone - 1);
        std::thread::sleep(Duration::from_secs(1));
    }
    let near = nodes.first().context("finding a near node")?;
    let said = near.shell(ROOT, "ip -4 -o address show scope link; ip -4 -o address show scope global")?;
    let address = said.split_whitespace().nth(3).and_then(|word| word.split('/').next());
    let address = address.with_context(|| format!("finding an address of {}: {said}", near.name))?;
    let said = far.shell_within(ROOT, &format!("brant join {address} 2>&1"), b"", patience.of(MEETING))?;
    ensure!(said.contains("joined"), "`brant join {address}` says: {}", said.trim());
    Ok(())
}

fn plan(args: &MeetArgs, network: Network) -> Result<Plan> {
    let machines =
        MachineArgs { boot: BootMedium::Usb, ..MachineArgs::plain(args.iso.clone(), args.nodes, 512) };
    let dhcp = network == Network::Dhcp;
    create::plan(&CreateArgs { name: args.name.clone(), machines, dhcp, timeout: None })
}

/// Every node lists all as alive, and the configurations are the same bytes.
fn agree(nodes: &[Node]) -> Result<()> {
    let mut digests = Vec::new();
    for node in nodes {
        let view = node.nodes()?;
        if alive(&view) != nodes.len() {
            bail!("{} lists {} living nodes, not {}", node.name, alive(&view), nodes.len());
        }
        digests.push(view.revision);
    }
    digests.dedup();
    ensure!(digests.len() == 1, "there are {} configurations", digests.len());
    Ok(())
}

fn alive(view: &ClusterView) -> usize {
    view.nodes.iter().filter(|node| node.state == NodeState::Alive).count()
}
