//! Between home and a host: one connection for each stay, made by home, and made again when it breaks.

use super::{FromProcess, Offer, SessionId, ToProcess};
use crate::session::letter::{FromHome, FromHost, Letter};
use crate::session::relay::Packet;
use brant_types::migration::RoundRecord;
use serde::{Deserialize, Serialize};

/// How a connection between two daemons begins, by whoever has made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// What home and host have to say to each other about that stay follows.
    Stay(SessionId),
    /// The image of a process for that stay follows.
    Image(SessionId),
}

/// From home to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// What is to be.
    Letter(Letter<FromHome>),
    /// The same, where it asks the host to take a process: this one.
    Offer(Letter<FromHome>, Box<Offer>),
    /// From the deputy.
    Packet(Packet<ToProcess>),
    /// There is a new way to the deputy: what was under way to it may be lost.
    Reattached,
    /// The deputy was stopped in a way that it cannot tell of (SIGSTOP): the process is to stop, too.
    Stop,
}

/// From a host to home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHome {
    /// How it stands.
    Letter(Letter<FromHost>),
    /// From the capsule.
    Packet(Packet<FromProcess>),
    /// What the process has used here so far.
    Used {
        /// Processor time, microseconds.
        cpu_micros: u64,
        /// Memory at this moment, KiB.
        memory_kib: u64,
    },
    /// How far one is that moves on from there.
    Progress(Progress),
}

/// How far a departure is, for people to look at; nothing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// So much memory was sent.
    Round(RoundRecord),
    /// From now on it stands still.
    Freezing,
    /// Its image is made.
    Dumped,
    /// The rest of its image is sent.
    Sent {
        /// How large that was, bytes.
        bytes: u64,
    },
}
