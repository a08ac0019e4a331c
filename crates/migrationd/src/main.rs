//! `migrationd`: moves processes between the nodes of a cluster.

use anyhow::{Context, Result};
use brant_migrationd::guest::Arrivals;
use brant_migrationd::home::{self, Daemon, can_track_memory, recover};
use brant_migrationd::node::Node;
use brant_migrationd::registry::Registry;
use brant_migrationd::{balance, guest, link, users};
use brant_sys::child::Tool;
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    recover();
    home::remove_leftovers();
    guest::end_leftovers();
    guest::remove_leftovers();
    let node = Node::follow()?;
    let registry = Registry::start().context("starting the registry")?;
    let daemon = Daemon { node, registry, arrivals: Arrivals::default() };
    let users = users::listen()?;
    warm_up();
    let overlay = daemon.node.me()?.overlay;
    let (for_guests, for_balance) = (daemon.clone(), daemon.clone());
    std::thread::Builder::new()
        .name("guests".to_owned())
        .spawn(move || guest::serve(&for_guests, &link::listen(overlay)))
        .context("starting a thread")?;
    std::thread::Builder::new()
        .name("balance".to_owned())
        .spawn(move || balance::run(&for_balance))
        .context("starting a thread")?;
    users::serve(&daemon, &users);
    Ok(())
}

/// Pays CRIU's fixed costs before the first move: what it can do is tried out once and kept in `/run/criu.kdat`, and
/// the socket diagnosis modules are loaded. Neither is needed for a move to work.
fn warm_up() {
    let modules = ["unix_diag", "tcp_diag", "udp_diag", "inet_diag", "netlink_diag", "nfsv4"];
    if let Err(error) = Tool::new("modprobe").arg("-a").args(modules).run() {
        tracing::warn!("loading modules: {error:#}");
    }
    if let Err(error) = Tool::new("criu").arg("check").run() {
        tracing::warn!("asking CRIU what it can do: {error:#}");
    }
    can_track_memory();
}
