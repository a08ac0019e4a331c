//! What is inside a sealed datagram, in postcard's encoding. Variants are only ever appended.

use brant_types::agent::Load;
use brant_types::node::{NodeFacts, NodeId};
use brant_types::settings::Setting;
use serde::{Deserialize, Serialize};

/// Most load figures in one datagram.
pub const MOST_LOADS: usize = 24;

/// A message and who sent it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// Its counter of messages, from 1; each number is taken once.
    pub sequence: u64,
    /// What it says.
    pub message: Message,
}

/// What nodes say to one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// "I am here": to everybody on the link.
    Beacon {
        /// Who.
        facts: NodeFacts,
        /// Its current SWIM identity's number.
        renewal: u32,
    },
    /// One packet of the SWIM protocol.
    Swim(Vec<u8>),
    /// The freshest load figures that the sender knows of.
    Loads(Vec<LoadNews>),
    /// All settings of the cluster that the sender knows.
    Settings(Vec<(String, Setting)>),
    /// Their digest: whoever has others sends them.
    SettingsDigest(u64),
}

/// One node's load, as told by itself at some time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadNews {
    /// Whose.
    pub node: NodeId,
    /// That node's counter of samples.
    pub sample: u64,
    /// The figures.
    pub load: Load,
}
