//! `/cluster/NAME`: each node's root on each node, mounted by automount when it is entered, and gone when the node is.
//!
//! Soft, unlike the root of a process that is away: who looks at a node that has just gone gets an error within seconds. Whom the
//! cluster has taken for dead is not in the map any more, and what is mounted of it is taken away.

use super::files::replace;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::cluster::ClusterConfig;
use brant_types::node::NodeId;
use std::net::Ipv6Addr;
use std::path::Path;

/// Where the nodes' roots are.
const FOLDER: &str = "/cluster";
/// Read by automount (`overlay/common/etc/auto.master.d/brant.autofs`).
const MAP: &str = "/etc/auto.cluster";
/// Tenths of a second until a question is asked again, and how often: an error comes after some 6 s.
const SOFT: &str = "soft,timeo=20,retrans=1,retry=0";

/// Where this line of `/proc/mounts` has mounted a node that is in the cluster no more, or by a name that is another's now. What
/// is mounted by an old name of its own stays until nobody is there.
fn gone<'a>(line: &'a str, config: &ClusterConfig) -> Option<&'a str> {
    let mut words = line.split(' ');
    let (what, place, kind) = (words.next()?, words.next()?, words.next()?);
    let name = place.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let at = |overlay: Ipv6Addr| what.strip_suffix(":/") == Some(&format!("[{overlay}]"));
    let is_member = config.nodes.iter().any(|node| at(node.overlay));
    let is_anothers = config.nodes.iter().any(|node| node.name == name && !at(node.overlay));
    (kind == "nfs4" && (!is_member || is_anothers)).then_some(place)
}

/// The folder with the nodes' roots.
#[derive(Debug)]
pub(super) struct ClusterFolder {
    me: NodeId,
}

impl ClusterFolder {
    /// Empty as yet.
    pub(super) fn new(me: NodeId) -> Self {
        Self { me }
    }

    /// Lets the map follow the members, and takes away what is mounted of those that have gone.
    pub(super) fn follow(&mut self, config: &ClusterConfig) -> Result<()> {
        replace(Path::new(MAP), &map(config, self.me))?;
        // Looking at the places themselves would wait for the nodes.
        let mounts = std::fs::read_to_string("/proc/self/mounts").context("reading what is mounted")?;
        for place in mounts.lines().filter_map(|line| gone(line, config)) {
            if let Err(error) = Tool::new("umount").args(["-i", "-f", "-l", place]).run() {
                tracing::warn!("taking `{place}` away: {error:#}");
            }
        }
        Ok(())
    }
}

/// automount's map (autofs(5)); `brant` is our `mount.brant`. This node's own root is there without the network.
fn map(config: &ClusterConfig, me: NodeId) -> String {
    let mut text = "# Written by node-agent from cluster.toml.\n".to_owned();
    for node in &config.nodes {
        text += &if node.id == me {
            format!("{} -fstype=bind :/\n", node.name)
        } else {
            format!(
                "{} -fstype=brant,vers=4.2,proto=tcp6,sec=sys,nosuid,nodev,{SOFT} [{}]:/\n",
                node.name, node.overlay
            )
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::{ClusterId, NodeFacts};

    use brant_types::settings::Settings;
    use std::collections::BTreeSet;

    #[test]
    fn others_come_by_the_network_and_softly() {
        let (a, b) = (NodeFacts::sample(1), NodeFacts::sample(2));
        let config = ClusterConfig::of("x", ClusterId([1; 8]), &Settings::default(), [&a, &b]);
        let map = map(&config, a.id);
        let lines: BTreeSet<&str> = map.lines().collect();
        assert!(lines.contains("node-1 -fstype=bind :/"));
        let other = ClusterId([1; 8]).overlay_address(b.id);
        assert_eq!(gone("[fd00::1]:/ /cluster/node-9 nfs4 rw 0 0", &config), Some("/cluster/node-9"));
        for (name, is_gone) in [("node-2", false), ("its-old-name", false), ("node-1", true)] {
            let line = format!("[{other}]:/ /cluster/{name} nfs4 rw 0 0");
            assert_eq!(gone(&line, &config).is_some(), is_gone, "{name}");
        }
        assert_eq!(gone("/etc/auto.cluster /cluster autofs rw 0 0", &config), None);
        assert!(lines.iter().any(|line| line.starts_with("node-2 -fstype=brant,")
            && line.contains(",soft,")
            && line.ends_with(&format!(" [{other}]:/"))));
    }
}
