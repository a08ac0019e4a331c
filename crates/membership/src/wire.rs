//! What is inside a sealed datagram, in postcard's encoding. Variants are only ever appended; whatever else changes, changes the version.

use brant_types::agent::Load;
use brant_types::node::{NodeFacts, NodeId};
use brant_types::secret::ClusterSecret;
use brant_types::settings::Setting;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// Most load figures in one datagram.
pub const MOST_LOADS: usize = 10;

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
        /// Where it can be reached from other networks.
        addresses: Vec<IpAddr>,
        /// Whether the receiver is asked for a beacon in return.
        asks: bool,
    },
    /// One packet of the SWIM protocol.
    Swim(Vec<u8>),
    /// The freshest load figures that the sender knows of.
    Loads(Vec<LoadNews>),
    /// All settings of the cluster that the sender knows.
    Settings(Vec<(String, Setting)>),
    /// Their digest: whoever has others sends them.
    SettingsDigest(u64),
    /// Where are these? The sender has not heard them itself.
    Who(Vec<NodeId>),
    /// Some of them, where the sender has heard them.
    Introduce(Vec<Introduction>),
    /// The secret that takes the present one's place; believed only when it comes over the overlay.
    Rotation {
        /// The next one.
        secret: ClusterSecret,
        /// Who is not to have it.
        without: Vec<NodeId>,
    },
    /// The sender has kept a secret: a key drawn from it, which nobody else can name.
    Taken([u8; 32]),
    /// A digest of the members that the sender knows: whoever knows others answers with those of all parts.
    MembersDigest(u64),
    /// A digest for each part of all ids: whoever has another for some answers with the members of these.
    MembersParts(Vec<u64>),
    /// All members of some parts that the sender knows, to be completed.
    MembersOf {
        /// A bit for each part.
        parts: u64,
        /// Who is in them.
        members: Vec<MemberNews>,
    },
    /// Of those parts: members that the receiver did not name, and those that it named and that are down.
    MembersNews(Vec<MemberNews>),
}

/// A member, as SWIM knows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MemberNews {
    /// Who.
    pub node: NodeId,
    /// Its identity's number.
    pub renewal: u32,
    /// How often it has refuted a suspicion.
    pub incarnation: u16,
    /// Whether this identity of it is dead for good.
    pub down: bool,
    /// A digest of what it says of itself; 0 where the sender has not heard it.
    pub facts: u32,
}

/// Where a node may be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Introduction {
    /// Address and port that the sender has heard it from.
    pub heard_at: (Ipv6Addr, u16),
    /// What it says itself.
    pub addresses: Vec<IpAddr>,
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
