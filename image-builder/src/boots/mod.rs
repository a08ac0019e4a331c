//! `brant-image boots`: one machine after the other, started from an image in each of the ways that people start it.

mod dhcp;
mod keeping;
mod lan;
mod menu;
mod mishap;
mod ways;

use crate::cluster::args::{BootMedium, ClusterName, CreateArgs, MachineArgs};
use crate::cluster::create::{self, Nascent};
use crate::cluster::node::{Node, ROOT};
use crate::cluster::patience::Patience;
use crate::cluster::state::Plan;
use crate::failure::{Advice, Kind};
use crate::host;
use crate::iso9660::Image;
use crate::progress::Progress;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use brant_qemu::machine::Extras;
use brant_qemu::qmp::Qmp;
use brant_types::agent::NodeState;
use clap::Args;
use lan::Lan;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ways::{Images, Twist, WAYS, Way};

/// From the first answer until the node has joined, on a PC of today.
const JOINING: Duration = Duration::from_secs(15);
/// From the start until a sentence is on the console, on a PC of today.
const SAYING: Duration = Duration::from_secs(60);
/// From joining until the desktop is there, on a PC of today.
const DESKTOP: Duration = Duration::from_secs(30);
/// What an image needs that stays on its medium, and one that does not, MiB.
const MEMORY: u32 = 1024;
/// What one needs that has fetched all of it into memory, MiB.
const MEMORY_FOR_ALL: u32 = 2048;

/// Arguments of `boots`.
#[derive(Debug, Args)]
pub(crate) struct BootsArgs {
    /// The image [default: what `build` made last].
    #[arg(long, value_name = "FILE")]
    iso: Option<PathBuf>,
    /// Only these ways.
    #[arg(long, value_name = "WAY", value_delimiter = ',')]
    only: Vec<String>,
    /// Only the ways that are part of every test run.
    #[arg(long)]
    quick: bool,
    /// The name of the clusters of one machine that are started for it.
    #[arg(short = 'n', long, default_value = "boots")]
    name: ClusterName,
}

/// Starts a machine in each way and prints what came of it.
///
/// # Errors
/// A way that did not end as it must; all the others have been tried.
pub(crate) fn run(args: &BootsArgs) -> Result<()> {
    let workspace = Workspace::find()?;
    let iso = args.iso.clone().unwrap_or_else(|| workspace.image("compute"));
    let iso = fs::canonicalize(&iso).with_context(|| format!("opening the image `{}`", iso.display()))?;
    let images = images(&iso)?;
    let chosen = choose(args, images)?;
    let progress = Progress::new();
    let mut rows = Vec::new();
    for (number, way) in chosen.iter().enumerate() {
        let stage = progress.stage(&format!("{} of {}: {}", number + 1, chosen.len(), way.name));
        let since = Instant::now();
        let outcome = start(args, &workspace, &iso, way);
        crate::interrupt::check()?;
        let took = since.elapsed().as_secs_f64();
        let said = match &outcome {
            Ok(what) => what.clone(),
            Err(error) => format!("WRONG: {error:#}"),
        };
        stage.done(said.lines().next().unwrap_or_default());
        rows.push((way.name, said, took, outcome.is_ok()));
    }
    let mut out = std::io::stdout().lock();
    for (name, said, took, _) in &rows {
        writeln!(out, "{name:22}  {took:6.1} s  {said}").context("printing what came of it")?;
    }
    let wrong = rows.iter().filter(|(.., right)| !right).count();
    if wrong > 0 {
        bail!("{wrong} of {} ways did not end as they must", rows.len());
    }
    Ok(())
}

fn choose(args: &BootsArgs, images: Images) -> Result<Vec<Way>> {
    let fitting = WAYS.iter().filter(|way| way.images == Images::All || way.images == images);
    if let Some(stranger) = args.only.iter().find(|name| WAYS.iter().all(|way| way.name != **name)) {
        let names: Vec<&str> = WAYS.iter().map(|way| way.name).collect();
        let advice = Advice::new(Kind::Input, format!("there is no way `{stranger}`"));
        return Err(advice.hint(format!("there are: {}", names.join(", "))).error());
    }
    let wanted = |way: &&Way| {
        (args.only.is_empty() || args.only.iter().any(|name| name == way.name)) && (!args.quick || way.quick)
    };
    let (possible, impossible): (Vec<Way>, Vec<Way>) =
        fitting.filter(wanted).partition(|way| way.network.is_none() || host::is_root());
    if !impossible.is_empty() {
        let names: Vec<&str> = impossible.iter().map(|way| way.name).collect();
        eprintln!("only root can serve a network, so these are left out: {}", names.join(", "));
    }
    Ok(possible)
}

/// Whether the image stays on its medium.
fn images(iso: &Path) -> Result<Images> {
    let file = File::open(iso).with_context(|| format!("opening the image `{}`", iso.display()))?;
    let image = Image::open(&file)?;
    let stays = crate::netboot::root_on_medium(&image)?.is_some();
    Ok(if stays { Images::OnMedium } else { Images::InMemory })
}

fn start(args: &BootsArgs, workspace: &Workspace, iso: &Path, way: &Way) -> Result<String> {
    let prepared = mishap::prepare(way.twist, iso, &workspace.cache())?;
    let memory = way.memory.unwrap_or(if matches!(way.boot, BootMedium::Network | BootMedium::NetworkUrl) {
        MEMORY_FOR_ALL
    } else {
        MEMORY
    });
    let machines = MachineArgs {
        firmware: way.firmware,
        boot: way.boot,
        extras: Extras {
            spare_network: matches!(way.twist, Twist::SpareNetwork | Twist::Bond),
            second_stick: prepared.second().map(Path::to_owned),
            writable: matches!(way.twist, Twist::Kept | Twist::KeptEncrypted),
        },
        ..MachineArgs::plain(Some(prepared.image().to_owned()), 1, memory)
    };
    let plan = create::plan(&CreateArgs { name: args.name.clone(), machines, dhcp: false, timeout: None })?;
    let lan = |kind| Lan::begin(kind, plan.segment, iso, &workspace.cache());
    let mut until_the_end = way.network.map(lan).transpose()?;
    let nascent = Nascent::start(&plan)?;
    if way.twist == Twist::Bond {
        let folder = nascent.cluster().node_folder(plan.nodes.first().context("finding the machine")?.name);
        // Long before its kernel looks.
        Qmp::connect(&folder).and_then(|mut qmp| qmp.plug_spare_network(false)).context("pulling a cable")?;
    }
    match way.twist {
        Twist::FlippedBit => says(&nascent, &plan, mishap::DAMAGED),
        Twist::NoMedium => says(&nascent, &plan, "has not been found yet"),
        Twist::Verified | Twist::VerifiedStick => says(&nascent, &plan, "This medium is whole"),
        Twist::Kept => keeping::twice(nascent, &plan, (way, false), until_the_end.as_ref()),
        Twist::KeptEncrypted => keeping::twice(nascent, &plan, (way, true), until_the_end.as_ref()),
        Twist::DhcpChanges => {
            let (node, patience) = joined(&nascent, &plan)?;
            dhcp::changes(&node, patience, until_the_end.as_mut().context("finding the network")?)
        }
        Twist::Menu => menu::choose(&nascent, &plan, way, &workspace.cache()),
        Twist::None
        | Twist::SecureBoot
        | Twist::Pulled
        | Twist::SpareNetwork
        | Twist::TwoMedia
        | Twist::InAFile
        | Twist::DamagedBeside
        | Twist::FixedAddress
        | Twist::Bond
        | Twist::EditedStick => joins(&nascent, &plan, way),
    }
}

/// Waits until the words are on the console.
fn says(nascent: &Nascent, plan: &Plan, words: &str) -> Result<String> {
    let name = plan.nodes.first().context("finding the machine")?.name;
    let log = nascent.cluster().node_folder(name).join(brant_qemu::machine::CONSOLE_LOG);
    let within = SAYING * plan.accelerator.slowness();
    let since = Instant::now();
    loop {
        crate::interrupt::check()?;
        let said = fs::read(&log).unwrap_or_default();
        if let Some(line) = String::from_utf8_lossy(&said).lines().find(|line| line.contains(words)) {
            return Ok(format!("says: {}", line.trim()));
        }
        ensure!(
            since.elapsed() < within,
            "`{words}` is not on the console after {} s; there is: {}",
            within.as_secs(),
            nascent.cluster().console_log(name).tail(3)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the node has joined.
fn joined(nascent: &Nascent, plan: &Plan) -> Result<(Node, Patience)> {
    let answered = nascent.wait(plan, create::patience(plan))?;
    let (name, took) = *answered.first().context("hearing from the machine")?;
    let patience = Patience::measured(took);
    let node = Node::of(nascent.cluster(), name, patience);
    patience.wait(JOINING, || {
        let alive =
            node.nodes()?.nodes.into_iter().filter(|member| member.me && member.state == NodeState::Alive);
        ensure!(alive.count() == 1, "the node is not a member yet");
        Ok(())
    })?;
    Ok((node, patience))
}

/// Waits until the node has joined, and then for what is special.
fn joins(nascent: &Nascent, plan: &Plan, way: &Way) -> Result<String> {
    let (node, patience) = joined(nascent, plan)?;
    match way.twist {
        Twist::SecureBoot => {
            let said = node.shell(ROOT, "dmesg | grep -i 'secure boot' || true")?;
            ensure!(said.contains("Secure boot enabled"), "the kernel says of Secure Boot: {}", said.trim());
            Ok("joined, with Secure Boot on".to_owned())
        }
        Twist::Pulled => {
            Qmp::connect(&node.folder).and_then(|mut qmp| qmp.pull_stick()).context("pulling the stick")?;
            patience.wait(JOINING, || {
                let left = node.shell(ROOT, "ls /sys/class/block | grep '^sd' || true")?;
                ensure!(left.is_empty(), "the stick is still there");
                Ok(())
            })?;
            node.shell(
                ROOT,
                "echo 3 > /proc/sys/vm/drop_caches; cat /usr/bin/* > /dev/null; brant nodes > /dev/null",
            )?;
            Ok("joined, and went on without its stick".to_owned())
        }
        Twist::SpareNetwork => {
            Qmp::connect(&node.folder)
                .and_then(|mut qmp| qmp.plug_spare_network(false))
                .context("pulling a cable")?;
            patience.wait(JOINING, || {
                let carriers = node.shell(ROOT, "cat /sys/class/net/e*/carrier | sort | tr -d '\\n'")?;
                ensure!(carriers == "01", "the cables are {carriers}");
                Ok(())
            })?;
            node.nodes()?;
            Ok("joined, with one of two cables".to_owned())
        }
        Twist::DamagedBeside => {
            let said = node.shell(ROOT, "dmesg | grep 'looking for another medium' || true")?;
            ensure!(said.contains("is damaged"), "it has not met the damaged one");
            Ok("joined from the other one".to_owned())
        }
        Twist::FixedAddress => {
            let said = node.shell(ROOT, "ip -4 -o address; ip -4 route; cat /etc/resolv.conf")?;
            for wanted in ["10.9.8.7/24", "default via 10.9.8.1", "nameserver 10.9.8.2"] {
                ensure!(said.contains(wanted), "there is no `{wanted}` in: {said}");
            }
            ensure!(!said.contains("169.254."), "it has taken another address besides: {said}");
            Ok("joined, with the address that it was told".to_owned())
        }
        Twist::Bond => {
            let address = patience.wait(JOINING, || {
                let said = node.shell(ROOT, "ip -4 -o address show scope global | awk '{ print $2, $4 }'")?;
                ensure!(said.starts_with("bond0 10.88.0.1") && said.lines().count() == 1, "it has: {said}");
                Ok(said.trim().to_owned())
            })?;
            let inside = node
                .shell(ROOT, "cat /sys/class/net/bond0/bonding/slaves /sys/class/net/bond0/bonding/mode")?;
            ensure!(inside == "eth0 eth1\nactive-backup 1\n", "in the bond are: {inside}");
            listens_on(&node, patience, "bond0")?;
            Ok(format!("joined, with {address}"))
        }
        Twist::EditedStick => {
            let name = node.shell(ROOT, "hostname")?;
            ensure!(name.trim() == mishap::EDITED_NAME, "the node is called {}", name.trim());
            listens_on(&node, patience, mishap::EDITED_LINK)?;
            Ok(format!("joined, as `{}` and with the VLAN, as its stick says", name.trim()))
        }
        _ => Ok(desktop(&node, patience)?.map_or("joined".to_owned(), |what| format!("joined, {what}"))),
    }
}

/// Waits until others are looked for on this link: besides the kernel the agent has joined its group of all hosts.
fn listens_on(node: &Node, patience: Patience, link: &str) -> Result<()> {
    let users = format!("awk '$2 == \"{link}\" && $3 ~ /^ff020*1$/ {{ print $4 }}' /proc/net/igmp6");
    patience.wait(JOINING, || {
        let users = node.shell(ROOT, &users)?;
        ensure!(users.trim() == "2", "on {link} all hosts' group has {} users, not 2", users.trim());
        Ok(())
    })
}

/// Where the image has a desktop: waits until it is there, with the browser that shows the cluster.
fn desktop(node: &Node, patience: Patience) -> Result<Option<String>> {
    if node.shell(ROOT, "test -e /usr/lib/brant/desktop && echo yes || true")?.is_empty() {
        return Ok(None);
    }
    patience.wait(DESKTOP, || {
        for program in ["Xorg", "icewm", "netsurf-gtk"] {
            node.shell(ROOT, &format!("pgrep -x {program}"))
                .with_context(|| format!("looking for {program}"))?;
        }
        // What the browser shows: this node is on it.
        node.shell(ROOT, "grep -q \"$(hostname)\" /run/user/*/cluster.html").context("looking at its page")
    })?;
    Ok(Some("with a window manager, and a browser that shows the cluster".to_owned()))
}
