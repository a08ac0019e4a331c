//! `node-agent`: finds the other nodes of the cluster, agrees with them on who is in it, and keeps this node's
//! overlay network, shared configuration, names and exports in step with that.
//!
//! ```text
//! agent, a user of its own                                       │ helper, root
//! links ──▶ beacons, gossip ⇄ membership core ──── requests ─────┼─▶ WireGuard peers, cluster.toml, hosts, NFS export
//! /proc ──▶ load samples ───────▲  ▲  └──▶ views ──▶ agent.sock  │
//! `brant set` ──────────────────┘  └────────────── events ───────┼── an edited cluster.toml, seeds and name of later leases
//! ```
//!
//! Two processes of this program. The agent hears the LAN, and gives up root's rights before it does (`agent/confine`); one
//! task of it owns the membership core. The helper hears only the agent (`door`), and does in order what needs root. When
//! one ends the other does, and the supervisor starts them anew.

mod agent;
mod door;
mod helper;

use anyhow::{Context, Result};
use brant_types::boot::BootFacts;
use std::process::ExitCode;

/// What the agent starts this program with for the other half.
const HELPER: &str = "helper";

/// What `init` has handed over, and the cluster that this node was admitted to since.
fn facts() -> Result<BootFacts> {
    BootFacts::read(|path| std::fs::read_to_string(path)).context("looking what init has handed over")
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    let outcome = match std::env::args().nth(1).as_deref() {
        None => agent::run(),
        Some(HELPER) => helper::run(),
        Some(other) => {
            Err(anyhow::anyhow!("`{other}` is nothing that node-agent does; it takes no argument"))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
