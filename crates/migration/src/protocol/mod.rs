//! What the daemons, the capsule and the deputy say to each other: postcard messages in frames.
//!
//! ```text
//!             ToDeputy             ToHost, ToHome            ToCapsule
//!  deputy ◀────────────▶ home ◀──────────────────▶ host ◀────────────────▶ capsule-init
//!            FromDeputy    └───── ImagePart ────────▶      FromCapsule
//! ```
//!
//! Inside of them, deputy and capsule speak to each other from end to end, in [`relay::Packet`]s of [`ToProcess`] and
//! [`FromProcess`].
//!
//! [`relay::Packet`]: crate::session::relay::Packet

mod capsule;
mod deputy;
mod image;
mod link;
mod process;

pub use capsule::{FromCapsule, ToCapsule};
pub use deputy::{FromDeputy, Hello, ToDeputy};
pub use image::{ImageAnswer, ImagePart};
pub use link::{Opening, Progress, ToHome, ToHost};
pub use process::{FromProcess, ToProcess};

use crate::stream::Stream;
use brant_types::node::NodeId;
use brant_types::processor::Features;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The protocol's version; both ends must speak the same.
pub const VERSION: u16 = 5;
/// The longest message, bytes.
pub const MOST: usize = 1 << 20;
/// How much of an image file goes into one message, bytes.
pub const CHUNK: usize = 256 << 10;
/// How much of a process's memory follows one message, bytes.
pub const MOST_CONTENTS: usize = 1 << 20;
/// How many runs of pages are in one message.
pub const MOST_RUNS: usize = 4096;

/// What the deputy types into a terminal in line mode for its end of file, or to end a line without a line feed.
pub const END_OF_FILE: u8 = 4;

/// One stay of one process on another node; random, made by the home node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// What a move is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// [`VERSION`].
    pub version: u16,
    /// The session.
    pub session: SessionId,
    /// The process; it keeps this number.
    pub pid: i32,
    /// Its home node.
    pub home: NodeId,
    /// The home node's host name.
    pub home_name: String,
    /// What the home node's image was built from.
    pub image_id: String,
    /// The processor features that it may rely on: those of each node where it has run.
    pub cpu: Features,
    /// Whether nothing under `/usr` was changed on the home node.
    pub usr_untouched: bool,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// The process's name.
    pub comm: String,
    /// Its arguments.
    pub args: String,
    /// Its owner.
    pub uid: u32,
    /// The terminal's size, where the process has one.
    pub terminal: Option<Size>,
    /// Pipes to processes that stay at home.
    pub streams: Vec<Stream>,
    /// Shared memory that moves along.
    pub named_memory: Vec<NamedMemory>,
    /// Open files whose offset is awaited at home.
    pub shared_files: Vec<SharedFile>,
    /// Pipes with a name, by their paths.
    pub named_pipes: Vec<String>,
    /// Whether a signal has stopped it (Ctrl-Z), so that it comes stopped.
    pub stopped: bool,
    /// The lease that home grants.
    pub lease: Duration,
}

/// An open file of a process whose offset others at home go on from when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFile {
    /// The process.
    pub pid: i32,
    /// Its descriptor.
    pub number: i32,
}

/// A file under `/dev/shm` that moves with the processes that use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedMemory {
    /// Its name in that folder.
    pub name: String,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

impl NamedMemory {
    /// The file beside the image that holds its content; the first has number 0.
    pub fn file_name(number: usize) -> String {
        format!("named-memory-{number}")
    }
}

/// Why a target does not take a process. The process was not touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Another protocol.
    #[error("it speaks version {theirs} of the migration protocol, this node {ours}")]
    Version {
        /// The target's.
        theirs: u16,
        /// The home node's.
        ours: u16,
    },
    /// Another image.
    #[error("it was booted from another image")]
    Image,
    /// Fewer processor features.
    #[error("its processor lacks what the process may have found where it ran before: {}", .missing.join(" "))]
    Processor {
        /// What it lacks, in the words of `/proc/cpuinfo`.
        missing: Vec<String>,
    },
    /// Too little memory.
    #[error("it has {free_kib} KiB of memory free, and {needed_kib} KiB are needed")]
    Memory {
        /// What is there.
        free_kib: u64,
        /// What is needed.
        needed_kib: u64,
    },
    /// It does not know the home node.
    #[error("it does not see this node as a member of the cluster")]
    Stranger,
    /// The home node's files cannot be reached.
    #[error("it cannot reach this node's files: {0}")]
    Files(String),
    /// No capsule could be prepared.
    #[error("it could not prepare a place for the process: {0}")]
    Capsule(String),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
}
