//! What goes wrong on purpose: faults in the middle of a move, and what befalls a process that is away. Afterwards all
//! nodes agree on where it is, and nothing is left where it is not.

use super::case::{Happening, Whose};
use super::trial::MOVE;
use crate::cluster::node::{Node, ROOT};
use crate::cluster::patience::Patience;
use anyhow::{Context, Result, bail, ensure};
use brant_qemu::qmp::Qmp;
use brant_types::migration::{ProcessState, ProcessView};
use std::thread;
use std::time::Duration;

/// Where a fault is asked for.
const FAULT: &str = "/run/brant/fault";
/// How long it may take until all agree: a lease, the margin, and the time to remove everything.
const AGREEMENT: Duration = Duration::from_secs(40);
/// What a node has of processes that are not at home where they run, or do not run where they are at home.
const LEFT: &str = "find /run/brant/journal -type f 2>/dev/null; \
                    find /run/brant/dumps /run/brant/images /run/brant/stays /sys/fs/cgroup/brant/jobs \
                    /sys/fs/cgroup/brant/capsules -mindepth 1 -maxdepth 1 -type d 2>/dev/null || true";
/// What a node has made of processes to move on, though none does.
const DEPARTURES: &str = "find /run/brant/images -mindepth 2 -path '*-departure/*' 2>/dev/null || true";

/// Tries a move with a fault in it; afterwards all daemons are there again, and all nodes agree.
pub(super) fn fail(machines: &[Node], fault: &str, pid: &str, to: &str, patience: Patience) -> Result<()> {
    let (whose, place) =
        fault.split_once(' ').with_context(|| format!("understanding the fault `{fault}`"))?;
    let home = &machines[0];
    let node = match whose {
        "home" => home,
        "target" => named(machines, to)?,
        "host" => {
            named(machines, &away(home, pid)?.with_context(|| format!("process {pid} is not away"))?.node)?
        }
        _ => bail!("`{whose}` is none of home, host and target"),
    };
    let filling = match place {
        "run-full" => Some(FILL_RUN),
        "memory-full" => Some(FILL_MEMORY),
        _ => None,
    };
    if let Some(filling) = filling {
        let filled = fill(machines, (node, filling), pid, to, patience);
        return filled.with_context(|| format!("with the fault `{fault}`"));
    }
    node.shell(ROOT, &format!("echo {place} > {FAULT}"))?;
    // The daemon that is asked may be the one that ends; what changes at that very moment is asked again.
    let command = format!("brant migrate --json {pid} {to} 2>&1 || true");
    patience.wait(MOVE, || {
        let said = home.shell_within(ROOT, &command, b"", patience.of(MOVE))?;
        let happened = node.shell(ROOT, &format!("test -e {FAULT} && echo no || echo yes"))?;
        ensure!(happened.trim() == "yes", "the fault `{fault}` has not happened: {}", said.trim());
        Ok(())
    })?;
    agree(machines, pid, patience).with_context(|| format!("after the fault `{fault}`"))
}

/// Takes all room in `/run`.
const FILL_RUN: &str = "head -c 1T /dev/zero > /run/brant/filler 2>/dev/null; test -s /run/brant/filler";
/// Takes all memory but for 24 MiB, which is less than any process needs to come.
const FILL_MEMORY: &str = "mkdir -p /run/brant/filling && mount -t tmpfs -o size=100% tmpfs /run/brant/filling; \
                           kib=$(sed -n 's/MemAvailable: *\\([0-9]*\\).*/\\1/p' /proc/meminfo); \
                           head -c $((kib - 24576))K /dev/zero > /run/brant/filling/filler";
/// So little is left then, KiB.
const LITTLE_KIB: u64 = 32_768;
/// Undoes either.
const EMPTY: &str = "rm -f /run/brant/filler; umount /run/brant/filling 2>/dev/null; \
                     rmdir /run/brant/filling 2>/dev/null; true";

/// Tries a move while one of the nodes has no room: it stays, and nothing else happens.
fn fill(
    machines: &[Node],
    (node, filling): (&Node, &str),
    pid: &str,
    to: &str,
    patience: Patience,
) -> Result<()> {
    node.shell(ROOT, filling)?;
    if filling == FILL_MEMORY {
        patience.wait(AGREEMENT, || {
            let nodes = node.nodes()?.nodes;
            let free = nodes.iter().find(|it| it.me).and_then(|it| it.load).map(|load| load.memory_free_kib);
            ensure!(
                free.is_some_and(|free| free < LITTLE_KIB),
                "{} still says that it has memory",
                node.name
            );
            Ok(())
        })?;
    }
    let command = format!("brant migrate --json {pid} {to} 2>&1 || true");
    let said = machines[0].shell_within(ROOT, &command, b"", patience.of(MOVE));
    node.shell(ROOT, EMPTY)?;
    let said = said?;
    ensure!(said.contains("\"stayed\""), "expected that it stays, and read: {}", said.trim());
    agree(machines, pid, patience)
}

/// Lets something happen to a process that is away, and waits until all nodes agree.
pub(super) fn befall(machines: &[Node], happening: &Happening, pid: &str, patience: Patience) -> Result<()> {
    let home = &machines[0];
    let at = away(home, pid)?.with_context(|| format!("process {pid} is not away"))?;
    let host = named(machines, &at.node)?;
    let former = || machines.iter().find(|node| node.name != home.name && node.name != host.name);
    match happening {
        Happening::DaemonEnds(whose) => {
            let concerned = match whose {
                Whose::Home => vec![home],
                Whose::Host => vec![host],
                Whose::Both => vec![home, host],
            };
            for node in concerned {
                node.shell(ROOT, "pkill -KILL -x migrationd")?;
            }
        }
        Happening::CableOut(seconds) => {
            let mut qmp = Qmp::connect(&host.folder).context("speaking to the host's machine")?;
            qmp.plug_network(false).context("pulling the host's cable")?;
            // Not a wait for something: this is how long it is out.
            thread::sleep(Duration::from_secs(*seconds));
            qmp.plug_network(true).context("plugging the host's cable in")?;
        }
        Happening::MoveWithFault(fault) => {
            let other = former().context("finding another node")?.shell(ROOT, "hostname")?;
            return fail(machines, fault, pid, other.trim(), patience);
        }
        Happening::PowerOut | Happening::FormerPowerOut => {}
    }
    let out = match happening {
        Happening::PowerOut => Some(host),
        Happening::FormerPowerOut => Some(former().context("finding the node where it was")?),
        Happening::DaemonEnds(_) | Happening::CableOut(_) | Happening::MoveWithFault(_) => None,
    };
    if let Some(out) = out {
        Qmp::connect(&out.folder).and_then(Qmp::cut_power).context("cutting a node's power")?;
    }
    let is_left = |node: &&Node| out.is_none_or(|out| out.name != node.name);
    let rest: Vec<Node> = machines.iter().filter(is_left).cloned().collect();
    agree(&rest, pid, patience).with_context(|| format!("after {happening:?}"))
}

/// Waits until every node says the same of a process of the first one: where it is, and that nothing of it is elsewhere.
fn agree(machines: &[Node], pid: &str, patience: Patience) -> Result<()> {
    patience.wait(AGREEMENT, || {
        let at = away(&machines[0], pid)?;
        for node in machines {
            let name = node.shell(ROOT, "hostname")?;
            let is_guest =
                |view: &ProcessView| view.state == ProcessState::Guest && view.pid.to_string() == pid;
            let guest = node.processes()?.processes.iter().any(is_guest);
            let should = at.as_ref().is_some_and(|view| view.node == name.trim());
            ensure!(guest == should, "{} says {guest} to whether it runs there, home {should}", name.trim());
            let departure = node.shell(ROOT, DEPARTURES)?;
            ensure!(departure.trim().is_empty(), "{} still has a departure: {}", node.name, departure.trim());
            let left = node.shell(ROOT, LEFT)?;
            if at.is_none() && !left.trim().is_empty() {
                bail!("something is left on {}: {}", node.name, left.trim());
            }
        }
        Ok(())
    })
}

fn away(home: &Node, pid: &str) -> Result<Option<ProcessView>> {
    let mut all = home.processes()?.processes.into_iter();
    Ok(all.find(|view| view.state == ProcessState::Away && view.pid.to_string() == pid))
}

fn named<'a>(machines: &'a [Node], name: &str) -> Result<&'a Node> {
    let found = machines.iter().find(|node| node.shell(ROOT, "hostname").is_ok_and(|it| it.trim() == name));
    found.with_context(|| format!("finding the node `{name}`"))
}
