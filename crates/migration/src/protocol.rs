//! What the home node's and the target's migrationd, the capsule and the deputy say to each other: postcard messages
//! behind a length. Variants are only ever appended.

use crate::pagemap::{Owner, Run};
use crate::stream::{Stream, StreamWord};
use brant_types::node::NodeId;
use serde::{Deserialize, Serialize};
use std::net::Ipv6Addr;

/// The protocol's version; both ends must speak the same.
pub const VERSION: u16 = 2;
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
    /// Whether the image comes from a third node, on a connection of its own.
    pub moves_on: bool,
    /// Its home node.
    pub home: NodeId,
    /// The home node's host name.
    pub home_name: String,
    /// What the home node's image was built from.
    pub image_id: String,
    /// A digest of the home node's processor features.
    pub cpu: String,
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

/// From the home node to the target, and on to the capsule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToTarget {
    /// May this process come?
    Offer(Box<Offer>),
    /// An image file begins.
    File {
        /// Its name, without any folder.
        name: String,
        /// Its length, bytes.
        size: u64,
    },
    /// The next part of that file.
    Data(Vec<u8>),
    /// All files are sent: restore, and hold it stopped.
    Restore,
    /// The home node has committed: let it run.
    Resume,
    /// The move is off: forget everything.
    Discard,
    /// A signal for the process.
    Signal(i32),
    /// What was typed.
    Input(Vec<u8>),
    /// The terminal has another size.
    Resize(Size),
    /// End it now: its deputy has died.
    Kill,
    /// Nothing to say, but still here.
    StillHere,
    /// A signal for the process's whole group.
    SignalGroup(i32),
    /// Something happens to a stream.
    Stream(StreamWord),
    /// Freeze it, and send its image to this node, for this session: it moves on.
    Depart(Destination),
    /// It has moved on: end what is here.
    Left,
    /// It does not move on: let it go on here.
    Stay,
    /// From the node where the process was: its image for this session follows.
    Image(SessionId),
    /// Memory, as it is dumped. Behind this message, and not part of it, come the contents of those runs that have
    /// any, at most [`MOST_CONTENTS`] bytes: whatever would look at each byte costs more than sending it.
    Pages {
        /// Whose.
        owner: Owner,
        /// Which, at most [`MOST_RUNS`].
        runs: Vec<Run>,
    },
    /// That was a round while the process runs; to be answered once it is merged.
    RoundOver,
    /// That was the last round: what was not in it is no more.
    LastRoundOver {
        /// Pages that must be there when the process starts, by process and address: those its stacks are at.
        eager: Vec<(u64, u64)>,
    },
}

/// Where a process moves on to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The node, on the overlay.
    pub overlay: Ipv6Addr,
    /// The stay there.
    pub session: SessionId,
}

/// From the target (or the capsule on it) to the home node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromTarget {
    /// It may come; the capsule is being prepared.
    Accepted,
    /// It may not.
    Refused(Refusal),
    /// Restored, and held before its first instruction.
    RestoredStopped,
    /// Something went wrong, and everything here is undone.
    Failed(String),
    /// It runs.
    Resumed,
    /// Something happens to a stream.
    Stream(StreamWord),
    /// Whether it waits for input from its terminal.
    WantsInput(bool),
    /// It was stopped by this signal.
    Stopped(i32),
    /// It goes on.
    Continued,
    /// What it has used here so far.
    Used {
        /// Processor time, microseconds.
        cpu_micros: u64,
        /// Memory at this moment, KiB.
        memory_kib: u64,
    },
    /// It has ended, with all that moved along or was born here; nothing of it is left here.
    Ended(End),
    /// Nothing to say, but still here.
    StillHere,
    /// Its first process has ended; others go on.
    LeaderEnded(End),
    /// Whether its group has more than one process.
    Family(bool),
    /// How far the process has come in a shared file: its place in the offer's list, and the offset in bytes.
    Offset(u16, u64),
    /// It stands still and its image is made, for it to move on.
    Departing,
    /// It could not move on, for this reason, and goes on here.
    DepartureFailed(String),
    /// From the capsule only: it stands, and waits for the image.
    Prepared,
    /// From the capsule only: the process's memory is all there, and the image is not needed any more.
    Filled,
    /// A round of memory has been merged.
    Merged,
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
    /// Other processor features.
    #[error("its processor has other features")]
    Processor,
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

/// From migrationd to the deputy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDeputy {
    /// Who it stands for; comes first.
    Hello {
        /// The process's name.
        comm: String,
        /// Signals that were pending when the process was dumped, one bit each: they went with it.
        pending: u64,
        /// The process's pipes; a descriptor for each follows, in this order.
        streams: Vec<Stream>,
        /// How many shared files it has; a descriptor for each follows.
        shared_files: u16,
    },
    /// Something happens to a stream.
    Stream(StreamWord),
    /// Whether the process waits for input.
    WantsInput(bool),
    /// The process was stopped by this signal: stop as well.
    Stopped(i32),
    /// End the same way.
    Ended(End),
    /// The process is lost, for this reason.
    Lost(String),
    /// End the same way, but leave a relay for what goes on.
    LeaderEnded(End),
    /// Whether the process's group has more than one process now.
    Family(bool),
    /// Set the offset of a shared file.
    Offset(u16, u64),
}

/// From the deputy to migrationd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDeputy {
    /// A signal came.
    Signal(i32),
    /// Something was typed.
    Input(Vec<u8>),
    /// The terminal has another size.
    Resize(Size),
    /// A signal came to the whole group.
    SignalGroup(i32),
    /// Something happens to a stream.
    Stream(StreamWord),
}
