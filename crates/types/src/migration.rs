//! What `migrationd` and `brant` say to each other: one JSON object a line on `/run/brant/migrationd.sock`.
//!
//! The daemon asks the kernel who is at the other end: an owner sees and moves his own processes, root all.

use crate::node::NodeId;
use serde::{Deserialize, Serialize};

/// Where migrationd listens for users.
pub const MIGRATIOND_SOCKET: &str = "/run/brant/migrationd.sock";

/// What a user asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRequest {
    /// The processes that are away from here, or guests here, or were.
    Ps,
    /// Move a process.
    Migrate {
        /// The process, as this node knows it.
        pid: i32,
        /// A node's name, or the start of its id.
        node: String,
    },
    /// The moves that this node has had a part in.
    History,
    /// Whether a process can move, and if not, why.
    Why {
        /// The process, as this node knows it.
        pid: i32,
    },
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserAnswer {
    /// To [`UserRequest::Ps`].
    Processes(ProcessList),
    /// To [`UserRequest::History`].
    History(History),
    /// The process now runs there.
    Moved(MoveRecord),
    /// The process runs on where it was, unharmed.
    Stayed(Refused),
    /// The process could move now.
    CanMove {
        /// The process.
        pid: i32,
        /// How many move together: it and its descendants.
        #[serde(default = "one")]
        members: usize,
        /// One of them that waits until a time; a move cuts such a wait short, or lets it begin anew.
        #[serde(default)]
        sleeper: Option<i32>,
    },
    /// The question itself was no good, or not the asker's to ask.
    Denied(Refused),
}

fn one() -> usize {
    1
}

/// Why not, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The reason's short name, for programs: `socket`, `not_yours`, …
    pub reason: String,
    /// The reason, in a sentence for the process's owner.
    pub message: String,
    /// What the owner can do, where there is something.
    pub hint: Option<String>,
}

/// All that `brant ps` shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessList {
    /// In the order of their process ids.
    pub processes: Vec<ProcessView>,
}

/// A process that has moved, as its home node or its host sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessView {
    /// Its process id, the same everywhere.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// Its arguments.
    pub args: String,
    /// Its owner's name, or number.
    pub user: String,
    /// The owner's number.
    pub uid: u32,
    /// The node where it runs.
    pub node: String,
    /// The node where it was started.
    pub home: String,
    /// Where it stands.
    pub state: ProcessState,
    /// Processor seconds used on its home node.
    pub cpu_seconds_home: f64,
    /// Processor seconds used on other nodes.
    pub cpu_seconds_away: f64,
    /// Every move so far.
    pub moves: Vec<MoveRecord>,
}

/// Where a process that has moved, or was to move, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// A move is under way; the process still is at home.
    Moving,
    /// It runs on another node; this is its home.
    Away,
    /// It runs here; its home is another node.
    Guest,
    /// It has ended.
    Ended,
    /// A move failed; it runs at home.
    Stayed,
}

/// Who asked for a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedBy {
    /// The balancer.
    Balancer,
    /// A person, with `brant migrate`.
    Hand,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// The process.
    pub pid: i32,
    /// The node it went to.
    pub to: String,
    /// That node's id.
    pub to_id: NodeId,
    /// Who asked.
    pub by: MovedBy,
    /// How long the process stood still, milliseconds.
    pub frozen_ms: u64,
    /// How much was sent, bytes.
    pub bytes: u64,
    /// What the time went into: each step's name and its length in milliseconds.
    pub steps: Vec<(String, u64)>,
    /// Each round of memory that was sent while the process ran, and at the end the one that was sent while it stood
    /// still.
    #[serde(default)]
    pub rounds: Vec<RoundRecord>,
}

/// One round of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// Pages sent.
    pub pages: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// From its start until the target had it, milliseconds.
    pub ms: u64,
}

/// All that `brant history` shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The oldest first.
    pub moves: Vec<PastMove>,
}

/// A move that is over, as one of the nodes has seen it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastMove {
    /// When it was over, seconds since 1970 by this node's clock.
    pub at: u64,
    /// The process.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// The owner's number.
    pub uid: u32,
    /// The node where it was started.
    pub home: String,
    /// What this node did.
    pub part: Part,
    /// Where it ran before, as far as this node knows.
    pub from: Option<String>,
    /// Where it went, or was to go.
    pub to: String,
    /// Why it stayed where it was; nothing when it moved.
    pub stayed: Option<String>,
    /// How long it stood still, milliseconds, where this node knows.
    pub frozen_ms: Option<u64>,
    /// How much was sent, bytes, where this node knows.
    pub bytes: Option<u64>,
    /// What the time went into: each step's name and its length in milliseconds.
    pub steps: Vec<(String, u64)>,
    /// Each round of memory.
    pub rounds: Vec<RoundRecord>,
}

/// A node's part in a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The process is at home here: this node decided.
    Home,
    /// It came to stay here.
    Host,
}
