//! The steps about the cluster itself.

use crate::cluster::joining;
use crate::cluster::node::ROOT;
use crate::smoke::Run;
use anyhow::{Context, Result, bail};
use brant_types::agent::ClusterView;
use std::collections::BTreeSet;
use std::time::Duration;

/// Until the last change is on all nodes, on a PC of today.
const AGREEING: Duration = Duration::from_secs(15);

/// Waits until each node's list is complete, and notes when each has joined.
pub(crate) fn nodes_list_each_other(run: &mut Run) -> Result<String> {
    let views = joining::lists(&run.nodes, run.patience)?;
    let own: BTreeSet<String> = views.iter().filter_map(own_name).collect();
    if own.len() != run.nodes.len() {
        bail!("the nodes are not {} different ones: {own:?}", run.nodes.len());
    }
    for (node, view) in run.nodes.iter().zip(&views) {
        let name = own_name(view).with_context(|| format!("finding {} in its own list", node.name))?;
        let joined = view.joined_at.with_context(|| format!("asking {} when it has joined", node.name))?;
        run.figures.joined.push((node.name, name, joined));
    }
    Ok(own.into_iter().collect::<Vec<_>>().join(", "))
}

fn own_name(view: &ClusterView) -> Option<String> {
    view.nodes.iter().find(|member| member.me).map(|member| member.name.clone())
}

/// Waits until the configuration that all nodes have written is one.
pub(crate) fn configuration_is_equal(run: &mut Run) -> Result<String> {
    run.patience.wait(AGREEING, || {
        let mut digests = Vec::new();
        for node in &run.nodes {
            let said =
                node.shell(ROOT, "sha256sum < /etc/brant/cluster.toml && grep -c . /etc/brant/cluster.toml")?;
            digests.push((node.name, said.trim_end().replace('\n', ", lines: ")));
        }
        let (_, first) = &digests[0];
        if let Some((node, other)) = digests.iter().find(|(_, digest)| digest != first) {
            bail!("{} has {first}, {node} has {other}", run.home().name);
        }
        Ok(first.chars().take(12).collect())
    })
}
