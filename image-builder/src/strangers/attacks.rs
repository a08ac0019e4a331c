//! What somebody on the LAN can try, and what it comes to.

use super::{AGREEING, Run};
use crate::cluster::node::{Node, ROOT};
use anyhow::{Context, Result, ensure};
use brant_types::boot::KEPT;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Where the tool lies in the stranger's machine.
const TOOL: &str = "/tmp/stranger";
/// How long a scan of all ports may take on a PC of today.
const SCAN: Duration = Duration::from_secs(120);
/// What the agent may have in memory, KiB, whatever comes.
const MOST_MEMORY: u64 = 32 * 1024;

/// Knocks at every TCP port of a member.
pub(super) fn finds_no_port(run: &mut Run) -> Result<String> {
    let tool = std::fs::read(&run.tool).with_context(|| format!("reading `{}`", run.tool.display()))?;
    run.stranger.shell_within(
        ROOT,
        &format!("cat > {TOOL}; chmod 755 {TOOL}"),
        &tool,
        run.patience.of(SCAN),
    )?;
    let (address, index) = target(run)?;
    let script = format!("{TOOL} scan {address} {index}");
    let said = run.stranger.shell_within(ROOT, &script, b"", run.patience.of(SCAN))?;
    let found: Value = serde_json::from_str(&said).with_context(|| format!("reading {said}"))?;
    ensure!(found["open"] == Value::Array(Vec::new()), "open on the LAN: {}", found["open"]);
    // It was there, and could have been found.
    let neighbour = run.stranger.shell(ROOT, &format!("ip -6 neighbour show {address}"))?;
    ensure!(neighbour.contains("lladdr"), "the member is not at {address}: {}", neighbour.trim());
    let udp = run.members[0]
        .shell(ROOT, "ss -Hlun | awk '{print $4}' | sed 's/.*://' | sort -un | tr '\\n' ' '")?;
    Ok(format!(
        "65,535 TCP ports in {} s: none open, no answer from {}; UDP sockets there: {}",
        found["seconds"],
        found["silent"],
        udp.trim()
    ))
}

/// Says what it likes as fast as it can, and looks at the members meanwhile.
pub(super) fn floods(run: &mut Run) -> Result<String> {
    let (address, index) = target(run)?;
    let before = Usage::of(&run.members[0])?;
    let script = format!("{TOOL} flood {} {address} {index} > /tmp/flood.json 2>&1 &", run.flood_seconds);
    run.stranger.shell(ROOT, &script)?;
    let since = Instant::now();
    // It listens first, and then goes on for as long as it was told, by a clock that may be slow.
    let most = run.patience.of(Duration::from_secs(u64::from(run.flood_seconds) + 40));
    let said = loop {
        run.lists(&run.both(), run.members.len())?;
        let said = run.stranger.shell(ROOT, "cat /tmp/flood.json")?;
        if !said.trim().is_empty() {
            break said;
        }
        ensure!(since.elapsed() < most, "the flood does not end");
    };
    let counts: Value = serde_json::from_str(&said).with_context(|| format!("reading {said}"))?;
    let after = Usage::of(&run.members[0])?;
    run.patience.wait(AGREEING, || run.lists(&run.both(), run.members.len()))?;
    ensure!(after.process == before.process, "node-agent did not outlive the flood");
    ensure!(after.memory < MOST_MEMORY, "node-agent has {} KiB of memory after the flood", after.memory);
    let view = run.members[0].nodes()?;
    let dropped = view.dropped;
    ensure!(dropped.forged + dropped.foreign + dropped.replayed > 0, "none of it was counted");
    Ok(format!(
        "{} a second (replayed {}, damaged {}, made up {}, admission {}, handshakes {}); dropped {} forged, {} foreign, {} replayed; \
         memory {} to {} KiB, {:.1} s of processor in {:.1} s",
        counts["a_second"],
        counts["replayed"],
        counts["damaged"],
        counts["made_up"],
        counts["admission"],
        counts["handshakes"],
        dropped.forged,
        dropped.foreign,
        dropped.replayed,
        before.memory,
        after.memory,
        after.processor - before.processor,
        after.at - before.at,
    ))
}

/// With the secret that the stranger has by now: a word in the next version of the protocol.
pub(super) fn another_version(run: &mut Run) -> Result<String> {
    let (_, index) = target(run)?;
    run.stranger.shell(ROOT, &format!("{TOOL} version {KEPT} {index}"))?;
    run.patience.wait(AGREEING, || {
        for member in &run.members {
            let said = member.shell(ROOT, "brant nodes 2>&1; dmesg | grep 'of the protocol' || true")?;
            let told = said.matches("start both from the same image").count();
            ensure!(told >= 2, "{} says of the other version: {}", member.name, said.trim());
        }
        Ok(())
    })?;
    run.lists(&run.both(), run.members.len() + 1)?;
    let said = run.members[0].shell(ROOT, "brant nodes 2>&1 > /dev/null")?;
    Ok(said.trim().to_owned())
}

/// What the part of node-agent that hears the LAN has used.
struct Usage {
    process: u32,
    /// KiB.
    memory: u64,
    /// Seconds.
    processor: f64,
    /// The node's own clock, seconds.
    at: f64,
}

impl Usage {
    fn of(node: &Node) -> Result<Self> {
        let script = "for pid in $(pidof node-agent); do grep -q '^Seccomp:.2' /proc/$pid/status || continue; \
                      echo $pid $(awk '/^VmRSS/ {print $2}' /proc/$pid/status) $(awk '{print $14 + $15}' /proc/$pid/stat) \
                      $(cut -d' ' -f1 /proc/uptime); done";
        let said = node.shell(ROOT, script)?;
        let words: Vec<&str> = said.split_whitespace().collect();
        let [process, memory, ticks, at] = words[..] else {
            anyhow::bail!("looking for node-agent on {}: {said}", node.name);
        };
        let ticks: f64 = ticks.parse().context("reading its time")?;
        Ok(Self {
            process: process.parse().context("reading its number")?,
            memory: memory.parse().context("reading its memory")?,
            processor: ticks / 100.0,
            at: at.parse().context("reading the time")?,
        })
    }
}

/// A member's address on the LAN, and the stranger's link to it.
fn target(run: &Run) -> Result<(String, String)> {
    let said = run.members[0].shell(ROOT, "ip -6 -o address show scope link")?;
    let address = said.split_whitespace().nth(3).and_then(|word| word.split('/').next());
    let address = address.with_context(|| format!("finding a member's address: {said}"))?.to_owned();
    let index = run.stranger.shell(ROOT, "cat /sys/class/net/e*/ifindex | head -1")?;
    Ok((address, index.trim().to_owned()))
}
