//! What was found out about a process and all that descends from it, before a move.

use std::collections::BTreeMap;

/// A process with its descendants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFacts {
    /// The process first, then its descendants.
    pub members: Vec<ProcessFacts>,
    /// Pipes of the members that processes outside hold too.
    pub outside_pipes: BTreeMap<u64, OutsideEnds>,
}

/// Who outside the tree holds a pipe's ends: any one process for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutsideEnds {
    /// Holds its reading end.
    pub reader: Option<i32>,
    /// Holds its writing end.
    pub writer: Option<i32>,
}

/// One process of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its process id.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// Its owner: real, effective, saved.
    pub uids: [u32; 3],
    /// Whether it belongs to a login or exec session.
    pub in_session: bool,
    /// Whether it is a session leader (a login shell).
    pub session_leader: bool,
    /// Whether it is a zombie.
    pub zombie: bool,
    /// Whether its first thread has ended, and others have not.
    pub first_thread_gone: bool,
    /// Whether a signal has stopped it (Ctrl-Z).
    pub stopped: bool,
    /// Who traces it; 0 is nobody.
    pub tracer: i32,
    /// Whether a seccomp filter is on.
    pub seccomp: bool,
    /// Whether it can never gain privileges again, which is what a program needs to confine itself with Landlock.
    pub no_new_privileges: bool,
    /// Effective capabilities.
    pub capabilities: u64,
    /// Whether all its namespaces are the node's own.
    pub own_namespaces: bool,
    /// Whether it runs 64-bit code.
    pub wide: bool,
    /// Whether its scheduling class is one for real time.
    pub real_time: bool,
    /// Whether it holds file locks.
    pub locks: bool,
    /// Locked memory, KiB.
    pub locked_memory_kib: u64,
    /// Whether its root is the node's.
    pub own_root: bool,
    /// Its working folder, where a capsule would not have that.
    pub strange_folder: Option<String>,
    /// Open descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Mappings that need a word.
    pub mappings: Vec<Mapping>,
    /// Whether its deputy is what runs here: it has moved already.
    pub away: bool,
    /// Whether it is a guest from another node.
    pub guest: bool,
}

/// One open descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What is behind it.
    pub what: Opened,
}

/// What is behind a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A file or folder on the root file system.
    File {
        /// Its path.
        path: String,
        /// Who outside shares the same open file, offset and all.
        shared: Option<Sharer>,
        /// Whether it is open for writing and for nothing else.
        only_writes: bool,
        /// Where its name is gone: what is known of the nameless file.
        deleted: Option<Nameless>,
    },
    /// A file in memory: a memfd, or under `/dev/shm`.
    Memory {
        /// Its name.
        path: String,
        /// A process outside that uses it too.
        shared_with: Option<i32>,
    },
    /// The terminal of its session, by its own name.
    Terminal(String),
    /// `/dev/tty`.
    ControllingTerminal,
    /// A device without state: null, zero, full, random, urandom.
    PlainDevice,
    /// Part of an event loop: epoll, eventfd, timerfd, signalfd.
    EventLoop {
        /// A process outside that shares it.
        shared_with: Option<i32>,
    },
    /// A pipe.
    Pipe {
        /// Its number, for all who hold it.
        inode: u64,
        /// Whether this is the end for writing.
        writes: bool,
        /// Whether it keeps packets apart (`O_DIRECT`).
        packets: bool,
    },
    /// A pipe with a name.
    Fifo {
        /// The name.
        path: String,
        /// A process outside that has it open.
        shared_with: Option<i32>,
    },
    /// A connected local socket.
    Pair {
        /// Whether its other end belongs to the tree, and nobody outside holds either.
        inside: bool,
    },
    /// Any other socket, by its kind.
    Socket(String),
    /// An io_uring.
    IoUring,
    /// It watches files: inotify, fanotify.
    Watch,
    /// A device with a state of its own.
    Device(String),
    /// A file on `/proc`, `/sys`, `/run` or another mount that a capsule does not have.
    ForeignMount(String),
    /// Anything else, by the kernel's name for it.
    Other(String),
}

/// Who shares an open file with the tree, and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharer {
    /// The process.
    pub pid: i32,
    /// Its descriptor.
    pub number: i32,
    /// Whether all who share it are ancestors that wait for a child to end, as in `while read f; do job $f; done < list`.
    pub waits: bool,
}

/// A file without a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nameless {
    /// Whether it has another name that is not known.
    pub linked: bool,
    /// Its length, KiB.
    pub kib: u64,
}

/// A mapping that is not simply a file of the root or private memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// System V shared memory.
    SystemV,
    /// Shared memory that a process outside has mapped or open too.
    Shared {
        /// Its name.
        path: String,
        /// The process.
        with: i32,
    },
    /// Memory under `/dev/shm` that has another name than the one it was made under.
    Renamed(String),
    /// Shared memory with a name under `/dev/shm` that only the tree uses.
    Named(String),
    /// A file on a mount that a capsule does not have.
    ForeignMount(String),
}
