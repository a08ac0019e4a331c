//! What local programs are told of the cluster.

use super::{Membership, Standing};
use brant_types::agent::{ClusterView, NodeState, NodeView};

impl Membership {
    /// The cluster as this node sees it.
    pub fn view(&self, joined_at: Option<f64>) -> ClusterView {
        let shown = self.peers.values().filter(|peer| peer.standing != Standing::Pending);
        let mut nodes: Vec<NodeView> = shown
            .map(|peer| {
                (
                    &peer.facts,
                    if peer.standing == Standing::Alive { NodeState::Alive } else { NodeState::Down },
                )
            })
            .chain([(&self.me, NodeState::Alive)])
            .map(|(facts, state)| NodeView {
                id: facts.id,
                name: self
                    .config
                    .nodes
                    .binary_search_by_key(&facts.id, |entry| entry.id)
                    .map_or(&facts.name, |at| &self.config.nodes[at].name)
                    .clone(),
                overlay: self.cluster.overlay_address(facts.id),
                me: facts.id == self.me.id,
                state,
                cores: facts.cores,
                memory_kib: facts.memory_kib,
                speed: facts.speed,
                image_id: facts.image_id.clone(),
                cpu: facts.cpu,
                load: self.loads.get(&facts.id).map(|news| {
                    let mut load = news.load;
                    if facts.id == self.me.id {
                        load.runnable_milli = self.my_load.own();
                    }
                    load
                }),
            })
            .collect();
        nodes.sort_by_key(|node| node.id);
        ClusterView {
            cluster: self.cluster_name.clone(),
            revision: self.config.revision.clone(),
            me: self.me.id,
            joined_at,
            settings: self.settings.clone(),
            refused_edit: None,
            applicants: Vec::new(),
            other_versions: self.other_versions(),
            rotation: self.rotation(),
            dropped: self.dropped,
            nodes,
        }
    }
}
