//! One time in the cluster: chronyd follows the node that the setting `clock` names, and that node its own clock, or the
//! time servers that DHCP names (option 42), and the internet's, where those can be reached.
//!
//! chronyd starts at its own time, and may be started anew: what it was told is looked after each second.

use super::files::replace;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::cluster::ClusterConfig;
use brant_types::node::{ClusterId, NodeId};
use brant_types::settings::Key;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Read by chronyd (`overlay/common/etc/chrony/chrony.conf`).
const SOURCES: &str = "/run/brant/clock/cluster.sources";
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CONTROL: &str = "/run/chrony/chronyd.sock";
/// What a node says of its own clock's distance from the truth, for want of a better one.
const STRATUM: &str = "8";

/// Whom a node follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// Nobody else: others follow this one, or nobody is there.
    Itself,
    /// This node.
    Node(Ipv6Addr),
}

/// What is wished of chronyd.
#[derive(Debug)]
enum Wish {
    Follow(Follows),
    /// These tell the time on the LAN.
    Ask(Vec<Ipv4Addr>),
}

/// Who tells chronyd; it may take its time to answer, and nothing else waits for it.
#[derive(Debug)]
pub(super) struct Clock {
    me: NodeId,
    wishes: Sender<Wish>,
}

impl Clock {
    /// Looks after chronyd from now on.
    pub(super) fn start(cluster: ClusterId, me: NodeId) -> Result<Self> {
        let (wishes, wished) = mpsc::channel();
        std::thread::Builder::new()
            .name("clock".to_owned())
            .spawn(move || look_after(cluster, &wished))
            .context("starting a thread")?;
        Ok(Self { me, wishes })
    }

    /// Takes the cluster's word for whom to follow.
    pub(super) fn follow(&self, config: &ClusterConfig) {
        let _the_helper_ends = self.wishes.send(Wish::Follow(whom(config, self.me)));
    }

    /// Has these asked for the time, where it is not another node's.
    pub(super) fn ask(&self, servers: Vec<Ipv4Addr>) {
        let _the_helper_ends = self.wishes.send(Wish::Ask(servers));
    }
}

fn whom(config: &ClusterConfig, me: NodeId) -> Follows {
    let reference = config.settings.value(Key::Clock).parse::<NodeId>().ok();
    let node = config.nodes.iter().find(|node| Some(node.id) == reference && node.id != me);
    node.map_or(Follows::Itself, |node| Follows::Node(node.overlay))
}

fn look_after(cluster: ClusterId, wished: &Receiver<Wish>) {
    let mut wanted = (Follows::Itself, Vec::new());
    // What was told, and to which chronyd: a new one knows nothing of it.
    let mut told = None;
    loop {
        match wished.recv_timeout(LOOK_EVERY) {
            Ok(Wish::Follow(whom)) => wanted.0 = whom,
            Ok(Wish::Ask(servers)) => wanted.1 = servers,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(chronyd) = stamp() else { continue };
        let now = Some((wanted.clone(), chronyd));
        if told != now {
            match tell(cluster, &wanted) {
                Ok(()) => told = now,
                Err(error) => tracing::debug!("{error:#}"),
            }
        }
    }
}

/// Which file, and since when: each chronyd makes its own.
type Stamp = (u64, i64, i64);

fn stamp() -> Option<Stamp> {
    let about = std::fs::metadata(CONTROL).ok()?;
    Some((about.ino(), about.ctime(), about.ctime_nsec()))
}

fn tell(cluster: ClusterId, (whom, servers): &(Follows, Vec<Ipv4Addr>)) -> Result<()> {
    replace(Path::new(SOURCES), &sources(*whom, servers))?;
    let own = *whom == Follows::Itself;
    let local = if own { format!("local stratum {STRATUM}") } else { "local off".to_owned() };
    let network = format!("allow {}/64", cluster.network());
    for command in [&network, &local, "reload sources"] {
        command_chronyd(command)?;
    }
    Ok(())
}

/// Follows and serves nobody of a cluster that this node has left.
pub(super) fn forget() -> Result<()> {
    if !Path::new(SOURCES).exists() {
        return Ok(());
    }
    replace(Path::new(SOURCES), &sources(Follows::Itself, &[]))?;
    ["deny all", "local off", "reload sources"].into_iter().try_for_each(command_chronyd)
}

fn command_chronyd(command: &str) -> Result<()> {
    Tool::new("chronyc")
        .args(["-h", CONTROL])
        .args(command.split(' '))
        .run()
        .with_context(|| format!("telling chronyd `{command}`"))
}

fn sources(follows: Follows, servers: &[Ipv4Addr]) -> String {
    match follows {
        Follows::Itself => {
            let near: String =
                servers.iter().map(|server| format!("server {server} iburst prefer\n")).collect();
            format!(
                "# Written by node-agent: the LAN's time, and the internet's, where they can be reached.\n\
                 {near}pool 2.debian.pool.ntp.org iburst\n"
            )
        }
        Follows::Node(address) => format!(
            "# Written by node-agent: the node whose clock the cluster follows.\n\
             server {address} iburst minpoll 2 maxpoll 5 trust prefer\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::NodeFacts;

    use brant_types::settings::Settings;

    #[test]
    fn all_but_the_named_node_follow_it() {
        let (a, b) = (NodeFacts::sample(1), NodeFacts::sample(2));
        let cluster = ClusterId([1; 8]);
        let mut settings = Settings::default();
        let config = |settings: &Settings| ClusterConfig::of("x", cluster, settings, [&a, &b]);
        assert_eq!(whom(&config(&settings), a.id), Follows::Itself);
        settings.set(Key::Clock, Some(b.id.to_string()), b.id).unwrap();
        assert_eq!(whom(&config(&settings), a.id), Follows::Node(cluster.overlay_address(b.id)));
        settings.set(Key::Clock, Some(a.id.to_string()), b.id).unwrap();
        assert_eq!(whom(&config(&settings), a.id), Follows::Itself);
    }
}
