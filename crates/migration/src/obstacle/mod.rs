//! What keeps a process from moving. Known before anything is frozen, and said in a sentence for its owner.
//!
//! [`facts`] is what was found out, [`judge`] the decision.

pub mod facts;
mod judge;
#[cfg(test)]
mod tests;

pub use judge::{MOST_NAMELESS_KIB, judge};

use crate::protocol::SharedFile;
use crate::stream::Stream;

/// A process that can move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migratable {
    pid: i32,
    /// It and all that moves with it, itself first.
    pub members: Vec<i32>,
    /// The terminal's name, where one is open.
    pub terminal: Option<String>,
    /// Pipes to processes that stay.
    pub streams: Vec<Stream>,
    /// Files under `/dev/shm` that move along.
    pub named_memory: Vec<String>,
    /// Open files whose offset belongs to waiting ancestors, too.
    pub shared_files: Vec<SharedFile>,
    /// Pipes with a name that only they have open.
    pub named_pipes: Vec<String>,
    /// Whether a signal has stopped it (Ctrl-Z).
    pub stopped: bool,
}

impl Migratable {
    /// The process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has the same ties to what stays as when the target was asked: its capsule was made for those.
    pub fn has_the_ties_of(&self, offered: &Self) -> bool {
        self.streams == offered.streams
            && self.named_memory == offered.named_memory
            && self.shared_files == offered.shared_files
            && self.named_pipes == offered.named_pipes
            && self.stopped == offered.stopped
    }
}

/// Why a process stays where it is. Nothing was done to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// There is no such process.
    #[error("process {0} does not exist")]
    NoSuchProcess(i32),
    /// It has ended, and waits for its parent.
    #[error("process {0} has ended; only its parent has not taken note yet")]
    Zombie(i32),
    /// It runs on another node already.
    #[error("process {0} runs on another node already")]
    Away(i32),
    /// It is at home elsewhere.
    #[error("process {0} is a guest here; its home node decides about it")]
    Guest(i32),
    /// It belongs to root.
    #[error("it runs as root, and root's processes stay at home")]
    Root,
    /// It was not started from a session.
    #[error("it is not part of a login session; services stay at home")]
    NotInSession,
    /// It is a login shell.
    #[error("it is the leader of its session (a login shell)")]
    SessionLeader,
    /// A process that would move along cannot.
    #[error("its descendant {pid} ({comm}) cannot move: {obstacle}")]
    Descendant {
        /// The descendant.
        pid: i32,
        /// Its name.
        comm: String,
        /// What keeps it.
        obstacle: Box<Self>,
    },
    /// Its first thread has ended, and others have not.
    #[error("its first thread has ended while others go on")]
    FirstThreadGone,
    /// A descendant is stopped.
    #[error("a signal has stopped it")]
    Stopped,
    /// Its ties to others changed just as it was to move.
    #[error("it opened or closed something that others use, too, at this very moment")]
    Changing,
    /// It has another root.
    #[error("it has changed its root folder (chroot)")]
    ChangedRoot,
    /// Its working folder is not on the root file system.
    #[error("its working folder is `{0}`, which exists on this node only")]
    Folder(String),
    /// Another process traces it.
    #[error("process {0} traces it (a debugger?)")]
    Traced(i32),
    /// It has a seccomp filter.
    #[error("it has confined itself with a seccomp filter")]
    Seccomp,
    /// It may have confined itself with Landlock.
    #[error(
        "it has given up privileges for good (no_new_privs), as programs do that confine themselves with Landlock"
    )]
    Landlock,
    /// It has capabilities.
    #[error("it has special capabilities")]
    Capabilities,
    /// It lives in namespaces of its own.
    #[error("it lives in namespaces of its own (a container?)")]
    Namespaces,
    /// 32-bit code.
    #[error("it is a 32-bit program")]
    Narrow,
    /// Real-time scheduling.
    #[error("it has a real-time scheduling class")]
    RealTime,
    /// File locks.
    #[error("it holds a file lock")]
    Locks,
    /// Locked memory.
    #[error("it has locked {0} KiB of memory")]
    LockedMemory(u64),
    /// A socket.
    #[error("descriptor {number} is a socket ({kind})")]
    Socket {
        /// The descriptor.
        number: i32,
        /// What kind of socket.
        kind: String,
    },
    /// A local socket to a process that stays.
    #[error("descriptor {0} is a local socket whose other end stays here")]
    Pair(i32),
    /// A pipe that it holds both ends of, as others do.
    #[error(
        "descriptor {number} is a pipe of which it holds both ends, and process {with}, which stays, another"
    )]
    BothEnds {
        /// The descriptor.
        number: i32,
        /// The other process.
        with: i32,
    },
    /// A pipe in packet mode.
    #[error("descriptor {0} is a pipe that keeps packets apart (O_DIRECT)")]
    Packets(i32),
    /// An io_uring.
    #[error("descriptor {0} is an io_uring, and the kernel's work on it cannot be carried over")]
    IoUring(i32),
    /// inotify, fanotify.
    #[error("descriptor {0} watches files for changes, which other nodes cannot")]
    Watch(i32),
    /// A device.
    #[error("descriptor {number} is the device `{path}` of this node")]
    Device {
        /// The descriptor.
        number: i32,
        /// The device.
        path: String,
    },
    /// System V shared memory.
    #[error("it uses System V shared memory")]
    SystemV,
    /// Shared memory that others use too.
    #[error("it shares the memory `{path}` with process {with}, which stays here")]
    SharedMemory {
        /// The memory's name.
        path: String,
        /// The other process.
        with: i32,
    },
    /// More than one terminal.
    #[error("it has two terminals open, `{0}` and `{1}`")]
    TwoTerminals(String, String),
    /// A file whose name is gone.
    #[error(
        "descriptor {number} is the deleted file `{path}` ({kib} KiB), which is too long or has another name"
    )]
    Deleted {
        /// The descriptor.
        number: i32,
        /// The former path.
        path: String,
        /// Its length, KiB.
        kib: u64,
    },
    /// An open file shared with a process that stays.
    #[error("descriptor {number} (`{path}`) is shared with process {with}, which stays here and goes on")]
    Shared {
        /// The descriptor.
        number: i32,
        /// The path.
        path: String,
        /// The other process.
        with: i32,
    },
    /// A file on a mount that a capsule does not have.
    #[error("descriptor {number} is `{path}`, which exists on this node only")]
    ForeignMount {
        /// The descriptor.
        number: i32,
        /// The path.
        path: String,
    },
    /// A mapping that another node does not have.
    #[error("it has `{0}` mapped into its memory, which exists on this node only")]
    Mapping(String),
    /// Memory that was made under one name and is known by another, as POSIX semaphores are.
    #[error("it uses a semaphore with a name, or other memory of this kind (`{0}`)")]
    Renamed(String),
    /// No other node could run it.
    #[error("no other node was booted from the same image and has all features of this node's processor")]
    NoNode,
    /// Something unknown.
    #[error("descriptor {number} is `{what}`, which cannot move")]
    Other {
        /// The descriptor.
        number: i32,
        /// The kernel's name for it.
        what: String,
    },
}

impl Obstacle {
    /// The short name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoSuchProcess(_) => "no_such_process",
            Self::Zombie(_) => "zombie",
            Self::Away(_) => "away",
            Self::Guest(_) => "guest",
            Self::Root => "root",
            Self::NotInSession => "not_in_session",
            Self::SessionLeader => "session_leader",
            Self::Descendant { obstacle, .. } => obstacle.name(),
            Self::FirstThreadGone => "first_thread_gone",
            Self::Stopped => "stopped",
            Self::Changing => "changing",
            Self::ChangedRoot => "changed_root",
            Self::Folder(_) => "folder",
            Self::Traced(_) => "traced",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::Capabilities => "capabilities",
            Self::Namespaces => "namespaces",
            Self::Narrow => "32_bit",
            Self::RealTime => "real_time",
            Self::Locks => "locks",
            Self::LockedMemory(_) => "locked_memory",
            Self::Socket { .. } => "socket",
            Self::Pair(_) => "local_socket",
            Self::BothEnds { .. } => "both_ends",
            Self::Packets(_) => "packet_pipe",
            Self::IoUring(_) => "io_uring",
            Self::Watch(_) => "file_watch",
            Self::Device { .. } => "device",
            Self::SystemV => "system_v",
            Self::SharedMemory { .. } => "shared_memory",
            Self::TwoTerminals(..) => "two_terminals",
            Self::Deleted { .. } => "deleted_file",
            Self::Shared { .. } => "shared_file",
            Self::ForeignMount { .. } => "foreign_mount",
            Self::Mapping(_) => "mapping",
            Self::Renamed(_) => "named_semaphore",
            Self::NoNode => "no_node",
            Self::Other { .. } => "other",
        }
    }

    /// What the owner can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Descendant { obstacle, .. } => obstacle.hint(),
            Self::Root => Some("start it as an ordinary user"),
            Self::NotInSession => Some("start it from a login shell"),
            Self::SessionLeader => Some("name one of the processes that it has started"),
            Self::Changing => Some("try again"),
            Self::Stopped => Some("let it go on (`kill -CONT`), and try again"),
            Self::BothEnds { .. } | Self::Pair(_) | Self::SharedMemory { .. } => {
                Some("name the parent of both, so that they move together")
            }
            Self::Shared { .. } => Some("let each program open its own output: `program > output`"),
            Self::Traced(_) => Some("detach the debugger first"),
            Self::Guest(_) => Some("ask on its home node, which `brant ps` names"),
            Self::ForeignMount { .. } | Self::Mapping(_) => Some("keep its files under /home or /tmp"),
            Self::Folder(_) => Some("start it from a folder under /home or /tmp"),
            Self::Locks => Some("try again when it has released the lock"),
            Self::IoUring(_) => Some("many programs have an option to do without io_uring"),
            Self::NoNode => Some(
                "`brant nodes` lists them; boot all from one medium, and start work on the oldest PC, for newer ones can do all that it can",
            ),
            Self::Socket { .. } => Some("it can move once it has closed its connections"),
            _ => None,
        }
    }

    /// The process that stays and shares something with this one, where that is the obstacle: together they might move.
    pub fn sharer(&self) -> Option<i32> {
        match self {
            Self::Descendant { obstacle, .. } => obstacle.sharer(),
            Self::Shared { with, .. } | Self::BothEnds { with, .. } | Self::SharedMemory { with, .. } => {
                Some(*with)
            }
            _ => None,
        }
    }
}
