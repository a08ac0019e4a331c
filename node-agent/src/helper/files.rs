//! The files that follow the membership: `/etc/hosts` here, `cluster.toml` in `shared_file`.

use anyhow::{Context, Result};
use brant_types::cluster::ClusterConfig;
use brant_types::node::NodeId;
use std::io::Write as _;
use std::path::Path;

/// Writes `/etc/hosts`.
pub(super) fn write_hosts(config: &ClusterConfig, me: NodeId) -> Result<()> {
    replace(Path::new("/etc/hosts"), &hosts(config, me))
}

fn hosts(config: &ClusterConfig, me: NodeId) -> String {
    let mut text =
        "# Written by node-agent from cluster.toml.\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
            .to_owned();
    for node in &config.nodes {
        text.push_str(&format!("{} {name} {name}.brant\n", node.overlay, name = node.name));
    }
    // A name that lost against a twin must still resolve here, or sudo and others complain at each call.
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if let Some(node) = config.nodes.iter().find(|node| node.id == me && node.name != own.trim()) {
        text.push_str(&format!("{} {}\n", node.overlay, own.trim()));
    }
    text
}

/// Replaces a file in one step.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let whole = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let next = path.with_extension("next");
        let mut file = std::fs::File::create(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    whole().with_context(|| format!("writing `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::{ClusterId, NodeFacts};

    use brant_types::settings::Settings;

    #[test]
    fn every_node_has_a_line_with_both_names() {
        let facts = NodeFacts { name: "quiet-heron".to_owned(), ..NodeFacts::sample(1) };
        let config = ClusterConfig::of("x", ClusterId([1; 8]), &Settings::default(), [&facts]);
        let line = format!("{} quiet-heron quiet-heron.brant\n", config.nodes[0].overlay);
        assert!(hosts(&config, facts.id).contains(&line));
    }
}
