//! What `node-agent` tells on its socket: one JSON object a line.

use crate::migration::Refused;
use crate::node::NodeId;
use crate::processor::Features;
use crate::settings::Settings;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where node-agent listens.
pub const AGENT_SOCKET: &str = "/run/brant/agent.sock";

/// A question to node-agent; any local user may ask, only root may wish for changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentRequest {
    /// One [`ClusterView`], then the connection closes.
    View,
    /// A [`ClusterView`] now, and again whenever it changes or a second has passed.
    Watch,
    /// Changes a setting of the whole cluster, or with no value goes back to what holds by itself; one [`AgentAnswer`],
    /// then the connection closes.
    Set {
        /// The setting's name.
        key: String,
        /// What it becomes.
        value: Option<String>,
    },
    /// Looks for the cluster at this address as well; one [`AgentAnswer`], then the connection closes.
    Join {
        /// Where a node may be.
        address: IpAddr,
    },
    /// Gives the cluster another secret, and all nodes but those that are named; one [`AgentAnswer`], then the connection
    /// closes.
    Rotate {
        /// The names or ids of nodes that are left out.
        without: Vec<String>,
    },
    /// Has this node leave its cluster, forget the secret, and ask to be admitted; one [`AgentAnswer`], then the connection
    /// closes.
    Drop,
    /// Admits a node that has no secret; one [`AgentAnswer`], then the connection closes.
    Admit {
        /// Its name, or its id.
        node: String,
        /// The code that it shows.
        code: String,
    },
}

/// The reason of the refusal that a node answers everything with which is in no cluster.
pub const NOT_ADMITTED: &str = "not_admitted";

/// A node that asks to be admitted; what it says of itself is not proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicantView {
    /// The id that belongs to its key.
    pub id: NodeId,
    /// What it calls itself.
    pub name: String,
    /// Where it was heard.
    pub address: Ipv6Addr,
}

/// A node with this cluster's secret that speaks another version of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherVersion {
    /// Where it was heard.
    pub address: Ipv6Addr,
    /// Its version.
    pub theirs: u8,
    /// This node's.
    pub ours: u8,
}

/// For people, on either side.
impl fmt::Display for OtherVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, theirs, ours } = self;
        write!(
            f,
            "the node at {address} has this cluster's secret, and speaks version {theirs} of the protocol; this one speaks \
             {ours}: start both from the same image"
        )
    }
}

/// How far a new secret has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationView {
    /// How many secrets the cluster had before it.
    pub generation: u32,
    /// How many living nodes are known to have it.
    pub taken: u32,
    /// How many living nodes there are.
    pub of: u32,
}

/// What becomes of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentAnswer {
    /// It is done here; what concerns all nodes is on all within seconds.
    Done,
    /// Nothing has changed.
    Refused(Refused),
}

/// The cluster as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's name.
    pub cluster: String,
    /// The revision of `cluster.toml`.
    pub revision: String,
    /// This node.
    pub me: NodeId,
    /// Seconds of kernel uptime when this node first agreed on a cluster with another node.
    pub joined_at: Option<f64>,
    /// What holds on all nodes.
    #[serde(default)]
    pub settings: Settings,
    /// Why a `cluster.toml` that somebody has edited on this node was not taken, and where it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_edit: Option<String>,
    /// Who asks to be admitted.
    #[serde(default)]
    pub applicants: Vec<ApplicantView>,
    /// Who cannot take part because of its version.
    #[serde(default)]
    pub other_versions: Vec<OtherVersion>,
    /// The change of the secret that is under way.
    #[serde(default)]
    pub rotation: Option<RotationView>,
    /// Datagrams that were not for us, not authentic, or malformed; dropped and counted.
    pub dropped: Dropped,
    /// All members, in the order of their ids.
    pub nodes: Vec<NodeView>,
}

/// Datagrams that were dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// For another cluster, or not a datagram of ours at all.
    pub foreign: u64,
    /// Made with another secret, or changed on the way.
    pub forged: u64,
    /// Authentic, and yet not what it should be.
    pub malformed: u64,
    /// Heard before.
    pub replayed: u64,
}

/// One member as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its address on the overlay.
    pub overlay: Ipv6Addr,
    /// Whether it is this node.
    #[serde(rename = "self")]
    pub me: bool,
    /// Alive or not.
    pub state: NodeState,
    /// Processors.
    pub cores: u16,
    /// Memory, KiB.
    pub memory_kib: u64,
    /// One core's measured speed.
    pub speed: u32,
    /// What its image was built from.
    pub image_id: String,
    /// Its processor's features.
    pub cpu: Features,
    /// Its last known load, if any was heard.
    pub load: Option<Load>,
}

/// Whether a member answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It answers.
    Alive,
    /// It has stopped answering, and the cluster agrees on that.
    Down,
}

/// A node's load, as it tells it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Runnable tasks, in thousandths, over all cores.
    pub runnable_milli: u32,
    /// Memory that could be used without swapping, KiB.
    pub memory_free_kib: u64,
}
