//! Between home's daemon and a deputy, on a local socket that the daemon listens at: the daemon may end and come back,
//! the deputy goes on.

use super::{FromProcess, SharedFile, ToProcess};
use crate::session::relay::Packet;
use crate::stream::Stream;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who a deputy stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The process's name.
    pub comm: String,
    /// Signals that were pending when the process was dumped, one bit each: they went with it.
    pub pending: u64,
    /// The process's pipes.
    pub streams: Vec<Stream>,
    /// Its shared files.
    pub shared_files: Vec<SharedFile>,
    /// Whether a signal had stopped the process: then its deputy is there because somebody has continued it.
    pub stopped: bool,
    /// The lease that home has granted its host.
    pub lease: Duration,
    /// Whether a descriptor follows for each stream, then for each shared file. Where the daemon that had them has
    /// ended, none does, and the deputy looks among those that it was born with.
    pub descriptors: bool,
}

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDeputy {
    /// To a deputy that was not greeted yet.
    Hello(Hello),
    /// From the capsule.
    Packet(Packet<FromProcess>),
    /// There is a new way to the capsule: what was under way to it may be lost.
    Reattached,
    /// The process is lost, for this reason.
    Lost(String),
}

/// From the deputy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDeputy {
    /// It is there; comes first on each connection.
    Here {
        /// The number of the process that it stands for. It is its own, unless others go on after that one's end.
        pid: i32,
        /// Whether it was greeted before.
        greeted: bool,
    },
    /// For the capsule.
    Packet(Packet<ToProcess>),
}
