//! After the nodes answer: until each of them lists all the others.

use crate::cluster::create::Nascent;
use crate::cluster::node::Node;
use crate::cluster::patience::Patience;
use crate::cluster::state::Plan;
use crate::progress::Progress;
use anyhow::{Result, bail};
use brant_types::agent::{ClusterView, NodeState};
use std::time::Duration;

/// From the last node's answer until all have joined, on a PC of today.
const JOINING: Duration = Duration::from_secs(15);

/// Waits until the cluster is one. A cluster that is not is worth a look, so it is left running and only said.
///
/// # Errors
/// Ctrl-C.
pub(crate) fn wait(nascent: &Nascent, plan: &Plan, booted: Duration) -> Result<()> {
    let patience = Patience::measured(booted);
    let nodes = Node::all(nascent.cluster(), plan, patience);
    let progress = Progress::new();
    let stage = progress.stage("waiting for the nodes to find each other");
    match lists(&nodes, patience) {
        Ok(_lists) => stage.done("each lists all"),
        Err(error) => {
            crate::interrupt::check()?;
            stage.done(&format!("not all have: {error:#}"));
        }
    }
    Ok(())
}

/// What each node lists, once all of them list the same living nodes, as many as there are.
///
/// # Errors
/// Who lists something else, at the deadline.
pub(crate) fn lists(nodes: &[Node], patience: Patience) -> Result<Vec<ClusterView>> {
    patience.wait(JOINING, || {
        let views: Vec<ClusterView> = nodes.iter().map(Node::nodes).collect::<Result<_>>()?;
        for (node, view) in nodes.iter().zip(&views) {
            let alive = view.nodes.iter().filter(|member| member.state == NodeState::Alive).count();
            if alive != nodes.len() {
                bail!("{} lists {alive} living nodes, not {}", node.name, nodes.len());
            }
            if view.nodes.iter().map(|member| member.id).ne(views[0].nodes.iter().map(|member| member.id)) {
                bail!("{} lists other nodes than {}", node.name, nodes[0].name);
            }
        }
        Ok(views)
    })
}
