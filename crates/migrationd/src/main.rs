//! `migrationd`: moves processes between the nodes of a cluster.

use anyhow::{Context, Result};
use brant_migrationd::dump;
use brant_migrationd::guest::Stays;
use brant_migrationd::home::{self, Daemon};
use brant_migrationd::node::Node;
use brant_migrationd::registry::Registry;
use brant_migrationd::{balance, guest, link, users};
use brant_sys::child::Tool;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;

/// How many descriptors may be open.
const MOST_DESCRIPTORS: u64 = 65_536;

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
    if let Err(error) = allow_descriptors() {
        tracing::warn!("allowing many open descriptors: {error:#}");
    }
    dump::remove_leftovers();
    let node = Node::follow()?;
    let registry = Registry::start().context("starting the registry")?;
    let daemon = Daemon { node, registry, stays: Stays::default() };
    let deputies = home::listen_for_deputies()?;
    // Before anybody can ask for something: what an earlier daemon has left.
    home::recover(&daemon);
    guest::recover(&daemon);
    let users = users::listen()?;
    apart("deputies", &daemon, move |daemon| home::serve_deputies(daemon, &deputies))?;
    apart("guests", &daemon, |daemon| {
        if let Ok(me) = daemon.node.me() {
            guest::serve(daemon, &link::listen(me.overlay));
        }
    })?;
    warm_up();
    apart("balance", &daemon, balance::run)?;
    users::serve(&daemon, &users);
    Ok(())
}

/// Each process that is away, and each guest, needs some; the usual limit is for programs with few.
fn allow_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(MOST_DESCRIPTORS, |maximum| maximum.min(MOST_DESCRIPTORS));
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }).context("asking the kernel")
}

fn apart(name: &str, daemon: &Daemon, work: impl FnOnce(&Daemon) + Send + 'static) -> Result<()> {
    let daemon = daemon.clone();
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&daemon));
    spawned.map(drop).context("starting a thread")
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
    dump::can_track_memory();
}
