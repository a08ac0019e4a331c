//! What this node says of itself.

use anyhow::{Context, Result};
use brant_types::boot::BootFacts;
use brant_types::meminfo;
use brant_types::node::{NodeFacts, NodeId, WireGuardKey};
use brant_types::ports;
use brant_types::processor::Features;
use std::time::{Duration, Instant};

/// Seconds since the kernel started.
pub(super) fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

/// Gathers the facts; takes some 50 ms, for the speed is measured.
pub(super) fn gather(boot: &BootFacts, key: WireGuardKey) -> Result<NodeFacts> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").context("reading `/proc/cpuinfo`")?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").context("reading `/proc/meminfo`")?;
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    Ok(NodeFacts {
        id: NodeId::of(&key),
        name: boot.host_name.clone(),
        key,
        port: ports::WIREGUARD,
        cores: u16::try_from(cores.max(1)).unwrap_or(u16::MAX),
        memory_kib: meminfo::field(&meminfo, "MemTotal").unwrap_or(0),
        speed: speed(),
        image_id: boot.image_id.clone(),
        cpu: Features::of_cpuinfo(&cpuinfo),
    })
}

/// Thousands of rounds a second of a loop of dependent integer work; the best of several short runs, so that other
/// work on the node does not count.
fn speed() -> u32 {
    const ROUNDS: u32 = 200_000;
    let best = (0..8)
        .map(|seed| {
            let start = Instant::now();
            let mut state = std::hint::black_box(seed + 1_u64);
            for _ in 0..ROUNDS {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
            }
            std::hint::black_box(state);
            start.elapsed().max(Duration::from_micros(1))
        })
        .min();
    best.map_or(0, |time| (f64::from(ROUNDS) / time.as_secs_f64() / 1000.0) as u32)
}
