//! The shared cluster configuration, `/etc/brant/cluster.toml`: the same bytes on every node that agrees.

use crate::node::{ClusterId, LONGEST_NAME, NodeFacts, NodeId};
use crate::processor::Features;
use crate::settings::Settings;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// Where the shared configuration lives on a node.
pub const CLUSTER_TOML: &str = "/etc/brant/cluster.toml";

/// The settings of the cluster, and its members in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// The cluster's name, for people.
    pub cluster: String,
    /// A digest of the rest: equal revisions are equal configurations.
    pub revision: String,
    /// What holds on all of them.
    #[serde(default)]
    pub settings: Settings,
    /// The members.
    #[serde(default, rename = "node")]
    pub nodes: Vec<NodeEntry>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its id.
    pub id: NodeId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// Its address on the overlay network.
    pub overlay: Ipv6Addr,
    /// Its WireGuard public key, base64.
    pub key: String,
    /// Processors.
    pub cores: u16,
    /// Memory, KiB.
    pub memory_kib: u64,
    /// One core's measured speed, thousands of rounds a second.
    pub speed: u32,
    /// What its image was built from.
    pub image_id: String,
    /// Its processor's features.
    pub cpu: Features,
}

impl ClusterConfig {
    /// The configuration that these settings and members make; their order does not matter.
    ///
    /// Where two nodes claim one name, the lower id keeps it and the others append the start of their ids, so much of them that
    /// all names differ.
    pub fn of<'a>(
        cluster: &str,
        id: ClusterId,
        settings: &Settings,
        members: impl IntoIterator<Item = &'a NodeFacts>,
    ) -> Self {
        let mut facts: Vec<&NodeFacts> = members.into_iter().collect();
        facts.sort_by_key(|node| node.id);
        facts.dedup_by_key(|node| node.id);
        let mut names = BTreeSet::new();
        let nodes: Vec<NodeEntry> = facts
            .into_iter()
            .map(|node| {
                let name = name_among(&names, node);
                names.insert(name.clone());
                NodeEntry {
                    id: node.id,
                    name,
                    overlay: id.overlay_address(node.id),
                    key: node.key.to_base64(),
                    cores: node.cores,
                    memory_kib: node.memory_kib,
                    speed: node.speed,
                    image_id: node.image_id.clone(),
                    cpu: node.cpu,
                }
            })
            .collect();
        let mut config =
            Self { cluster: cluster.to_owned(), revision: String::new(), settings: settings.clone(), nodes };
        // Of a binary form: the text of a thousand nodes would be made often, and mostly for this.
        let bytes =
            postcard::to_allocvec(&config).unwrap_or_else(|_| unreachable!("plain data, growing buffer"));
        let digest = Sha256::digest(&bytes);
        config.revision = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        config
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        let body = toml::to_string(self).unwrap_or_else(|_| unreachable!("strings, numbers and tables only"));
        format!(
            "# Written by node-agent; the same bytes on every node. Settings may be changed here or by `brant set`, and hold\n\
             # on all nodes; other changes made by hand are overwritten.\n{body}"
        )
    }

    /// The member with this name, or with an id that starts with this text.
    pub fn find(&self, name: &str) -> Option<&NodeEntry> {
        self.nodes.iter().find(|node| node.name == name).or_else(|| {
            let mut matching =
                self.nodes.iter().filter(|node| name.len() >= 4 && node.id.to_string().starts_with(name));
            matching.next().filter(|_| matching.next().is_none())
        })
    }
}

/// What this node is called beside those that have their names already.
fn name_among(taken: &BTreeSet<String>, node: &NodeFacts) -> String {
    let id = node.id.to_string();
    let longer = [4, 8, id.len()].into_iter().map(|length| {
        let base = &node.name[..node.name.len().min(LONGEST_NAME - 1 - length)];
        format!("{base}-{}", &id[..length])
    });
    let mut names = std::iter::once(node.name.clone()).chain(longer);
    // No two ids are equal; only a name that was chosen to look like this can be in the way.
    names.find(|name| !taken.contains(name)).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::node::is_node_name;
    use crate::settings::Key;

    fn facts(seed: u8, name: &str) -> NodeFacts {
        NodeFacts { name: name.to_owned(), ..NodeFacts::sample(seed) }
    }

    #[test]
    fn the_same_members_in_any_order_make_the_same_bytes() {
        let (a, b, c) = (facts(1, "a"), facts(2, "b"), facts(3, "c"));
        let id = ClusterId([0; 8]);
        let mut settings = Settings::default();
        settings.set(Key::Balance, Some("off".to_owned()), a.id).unwrap();
        settings.set(Key::BalanceAfter, None, b.id).unwrap();
        let one = ClusterConfig::of("x", id, &settings, [&a, &b, &c]).to_toml();
        let two = ClusterConfig::of("x", id, &settings, [&c, &a, &b, &a]).to_toml();
        assert_eq!(one, two);
        assert_ne!(one, ClusterConfig::of("x", id, &settings, [&a, &b]).to_toml());
        assert_ne!(one, ClusterConfig::of("x", id, &Settings::default(), [&a, &b, &c]).to_toml());
        let read = toml::from_str::<ClusterConfig>(&one).unwrap();
        assert_eq!((read.nodes.len(), read.settings), (3, settings));
    }

    #[test]
    fn names_that_are_made_unique_are_names() {
        let long = "a".repeat(LONGEST_NAME);
        let mut all: Vec<NodeFacts> = (1..20).map(|seed| facts(seed, &long)).collect();
        // Some are called what others would be.
        let id = all[3].id.to_string();
        all.extend([facts(30, &format!("{}-{}", &long[..58], &id[..4])), facts(31, &id)]);
        let config = ClusterConfig::of("x", ClusterId([0; 8]), &Settings::default(), &all);
        assert!(config.nodes.iter().all(|node| is_node_name(&node.name)));
        let names: BTreeSet<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn names_are_made_unique() {
        let config = ClusterConfig::of(
            "x",
            ClusterId([0; 8]),
            &Settings::default(),
            [&facts(1, "owl"), &facts(2, "owl")],
        );
        assert_ne!(config.nodes[0].name, config.nodes[1].name);
        assert!(config.find("owl").is_some());
    }
}
