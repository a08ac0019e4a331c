//! `node-agent`: finds the other nodes of the cluster, agrees with them on who is in it, and keeps this node's
//! overlay network, shared configuration, names and exports in step with that.
//!
//! ```text
//! links ──▶ beacons, gossip ⇄ membership core ──▶ worker: WireGuard peers, cluster.toml, hosts, NFS export
//! /proc ──▶ load samples ──────▲  ▲   └─────────▶ views ──▶ /run/brant/agent.sock
//! `brant set`, an edited cluster.toml ┘
//! ```
//!
//! One task owns the membership core; one thread carries out, in order, what needs other programs.

mod addresses;
mod facts;
mod files;
mod firewall;
mod identity;
mod links;
mod load;
mod nfs;
mod overlay;
mod service;
mod shared_file;
mod socket;
mod wish;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    // A node that computes must not be taken for dead; the agent itself hardly computes.
    if let Err(errno) = rustix::process::nice(-10) {
        tracing::warn!(%errno, "going before the node's other processes");
    }
    match service::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
