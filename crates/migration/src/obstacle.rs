//! What keeps a process from moving. Known before anything is frozen, and said in a sentence for its owner.

/// What was found out about a process before a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its process id.
    pub pid: i32,
    /// Its owner: real, effective, saved.
    pub uids: [u32; 3],
    /// Whether it belongs to a login or exec session.
    pub in_session: bool,
    /// Threads.
    pub threads: u32,
    /// Children.
    pub children: u32,
    /// Whether it is a session leader (a login shell).
    pub session_leader: bool,
    /// Whether it is a zombie.
    pub zombie: bool,
    /// Who traces it; 0 is nobody.
    pub tracer: i32,
    /// Whether a seccomp filter is on.
    pub seccomp: bool,
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
    /// Open descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Mappings of files that are not plain files of the root.
    pub strange_mappings: Vec<String>,
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
        /// Another process that shares the same open file, offset and all, and may write to it.
        shared_with: Option<i32>,
        /// Whether its name is gone.
        deleted: bool,
    },
    /// The terminal of its session, by its own name.
    Terminal(String),
    /// `/dev/tty`.
    ControllingTerminal,
    /// A device without state: null, zero, full, random, urandom.
    PlainDevice,
    /// Part of an event loop: epoll, eventfd, timerfd, signalfd.
    EventLoop,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A file on `/proc`, `/sys`, `/run`, `/dev` or another mount that a capsule does not have.
    ForeignMount(String),
    /// Anything else, by the kernel's name for it.
    Other(String),
}

/// A process that can move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migratable {
    pid: i32,
    /// Its terminal's name, where it has one open.
    pub terminal: Option<String>,
}

impl Migratable {
    /// The process.
    pub fn pid(&self) -> i32 {
        self.pid
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
    /// It has children.
    #[error("it has {0} child processes, and whole trees do not move yet")]
    Children(u32),
    /// It has threads.
    #[error("it has {0} threads, and only single-threaded processes move yet")]
    Threads(u32),
    /// Another process traces it.
    #[error("process {0} traces it (a debugger?)")]
    Traced(i32),
    /// It has a seccomp filter.
    #[error("it has confined itself with a seccomp filter")]
    Seccomp,
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
    #[error("descriptor {0} is a socket")]
    Socket(i32),
    /// A pipe.
    #[error("descriptor {0} is a pipe, and pipes do not move yet")]
    Pipe(i32),
    /// The controlling terminal by its general name.
    #[error("descriptor {0} is `/dev/tty`, which does not move yet")]
    ControllingTerminal(i32),
    /// More than one terminal.
    #[error("it has two terminals open, `{0}` and `{1}`")]
    TwoTerminals(String, String),
    /// A file whose name is gone.
    #[error("descriptor {number} is the deleted file `{path}`")]
    Deleted {
        /// The descriptor.
        number: i32,
        /// The former path.
        path: String,
    },
    /// An open file shared with a process that stays.
    #[error("descriptor {number} (`{path}`) is shared with process {with}, which stays here")]
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
            Self::Children(_) => "children",
            Self::Threads(_) => "threads",
            Self::Traced(_) => "traced",
            Self::Seccomp => "seccomp",
            Self::Capabilities => "capabilities",
            Self::Namespaces => "namespaces",
            Self::Narrow => "32_bit",
            Self::RealTime => "real_time",
            Self::Locks => "locks",
            Self::LockedMemory(_) => "locked_memory",
            Self::Socket(_) => "socket",
            Self::Pipe(_) => "pipe",
            Self::ControllingTerminal(_) => "controlling_terminal",
            Self::TwoTerminals(..) => "two_terminals",
            Self::Deleted { .. } => "deleted_file",
            Self::Shared { .. } => "shared_file",
            Self::ForeignMount { .. } => "foreign_mount",
            Self::Mapping(_) => "mapping",
            Self::Other { .. } => "other",
        }
    }

    /// What the owner can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Root => Some("start it as an ordinary user"),
            Self::NotInSession => Some("start it from a login shell"),
            Self::Pipe(_) => Some("read from and write to files instead: `program < input > output`"),
            Self::Shared { .. } => Some("let each program open its own output: `program > output`"),
            Self::Traced(_) => Some("detach the debugger first"),
            Self::Guest(_) => Some("ask on its home node, which `brant ps` names"),
            Self::ForeignMount { .. } => Some("keep its files under /home or /tmp"),
            _ => None,
        }
    }
}

/// Whether a process can move.
///
/// # Errors
/// The first obstacle, the more general ones first.
pub fn judge(facts: &ProcessFacts) -> Result<Migratable, Obstacle> {
    judge_process(facts)?;
    let mut terminal: Option<String> = None;
    for Descriptor { number, what } in &facts.descriptors {
        let number = *number;
        match what {
            Opened::PlainDevice | Opened::EventLoop => {}
            Opened::File { path, deleted: true, .. } => {
                return Err(Obstacle::Deleted { number, path: path.clone() });
            }
            Opened::File { path, shared_with: Some(with), .. } => {
                return Err(Obstacle::Shared { number, path: path.clone(), with: *with });
            }
            Opened::File { .. } => {}
            Opened::Terminal(name) => match &terminal {
                Some(other) if other != name => {
                    return Err(Obstacle::TwoTerminals(other.clone(), name.clone()));
                }
                _ => terminal = Some(name.clone()),
            },
            Opened::ControllingTerminal => return Err(Obstacle::ControllingTerminal(number)),
            Opened::Pipe => return Err(Obstacle::Pipe(number)),
            Opened::Socket => return Err(Obstacle::Socket(number)),
            Opened::ForeignMount(path) => return Err(Obstacle::ForeignMount { number, path: path.clone() }),
            Opened::Other(what) => return Err(Obstacle::Other { number, what: what.clone() }),
        }
    }
    if let Some(path) = facts.strange_mappings.first() {
        return Err(Obstacle::Mapping(path.clone()));
    }
    Ok(Migratable { pid: facts.pid, terminal })
}

fn judge_process(facts: &ProcessFacts) -> Result<(), Obstacle> {
    let refuse = |yes: bool, obstacle: Obstacle| if yes { Err(obstacle) } else { Ok(()) };
    refuse(facts.zombie, Obstacle::Zombie(facts.pid))?;
    refuse(facts.away, Obstacle::Away(facts.pid))?;
    refuse(facts.guest, Obstacle::Guest(facts.pid))?;
    refuse(facts.uids.contains(&0), Obstacle::Root)?;
    refuse(!facts.in_session, Obstacle::NotInSession)?;
    refuse(facts.session_leader, Obstacle::SessionLeader)?;
    refuse(facts.children > 0, Obstacle::Children(facts.children))?;
    refuse(facts.threads > 1, Obstacle::Threads(facts.threads))?;
    refuse(facts.tracer != 0, Obstacle::Traced(facts.tracer))?;
    refuse(facts.seccomp, Obstacle::Seccomp)?;
    refuse(facts.capabilities != 0, Obstacle::Capabilities)?;
    refuse(!facts.own_namespaces, Obstacle::Namespaces)?;
    refuse(!facts.wide, Obstacle::Narrow)?;
    refuse(facts.real_time, Obstacle::RealTime)?;
    refuse(facts.locks, Obstacle::Locks)?;
    refuse(facts.locked_memory_kib > 0, Obstacle::LockedMemory(facts.locked_memory_kib))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> ProcessFacts {
        ProcessFacts {
            pid: 500,
            uids: [1000; 3],
            in_session: true,
            threads: 1,
            children: 0,
            session_leader: false,
            zombie: false,
            tracer: 0,
            seccomp: false,
            capabilities: 0,
            own_namespaces: true,
            wide: true,
            real_time: false,
            locks: false,
            locked_memory_kib: 0,
            descriptors: vec![
                Descriptor { number: 0, what: Opened::Terminal("/dev/pts/1".to_owned()) },
                Descriptor {
                    number: 1,
                    what: Opened::File { path: "/home/a/out".to_owned(), shared_with: None, deleted: false },
                },
                Descriptor { number: 2, what: Opened::Terminal("/dev/pts/1".to_owned()) },
            ],
            strange_mappings: Vec::new(),
            away: false,
            guest: false,
        }
    }

    #[test]
    fn a_plain_job_of_a_shell_can_move() {
        let can = judge(&plain()).unwrap();
        assert_eq!((can.pid(), can.terminal.as_deref()), (500, Some("/dev/pts/1")));
    }

    #[test]
    fn each_obstacle_of_the_process_is_named() {
        type Spoil = fn(&mut ProcessFacts);
        let cases: [(Spoil, &str); 16] = [
            (|f| f.zombie = true, "zombie"),
            (|f| f.away = true, "away"),
            (|f| f.guest = true, "guest"),
            (|f| f.uids[1] = 0, "root"),
            (|f| f.in_session = false, "not_in_session"),
            (|f| f.session_leader = true, "session_leader"),
            (|f| f.children = 2, "children"),
            (|f| f.threads = 3, "threads"),
            (|f| f.tracer = 9, "traced"),
            (|f| f.seccomp = true, "seccomp"),
            (|f| f.capabilities = 1, "capabilities"),
            (|f| f.own_namespaces = false, "namespaces"),
            (|f| f.wide = false, "32_bit"),
            (|f| f.real_time = true, "real_time"),
            (|f| f.locks = true, "locks"),
            (|f| f.locked_memory_kib = 4, "locked_memory"),
        ];
        for (spoil, name) in cases {
            let mut facts = plain();
            spoil(&mut facts);
            assert_eq!(judge(&facts).unwrap_err().name(), name);
        }
    }

    #[test]
    fn each_obstacle_of_a_descriptor_is_named() {
        let file = |shared_with, deleted| Opened::File { path: "/home/a/x".to_owned(), shared_with, deleted };
        let cases = [
            (Opened::Pipe, "pipe"),
            (Opened::Socket, "socket"),
            (Opened::ControllingTerminal, "controlling_terminal"),
            (Opened::Terminal("/dev/pts/2".to_owned()), "two_terminals"),
            (Opened::ForeignMount("/run/x".to_owned()), "foreign_mount"),
            (Opened::Other("anon_inode:[io_uring]".to_owned()), "other"),
            (file(Some(7), false), "shared_file"),
            (file(None, true), "deleted_file"),
        ];
        for (what, name) in cases {
            let mut facts = plain();
            facts.descriptors.push(Descriptor { number: 3, what });
            assert_eq!(judge(&facts).unwrap_err().name(), name);
        }
        let mut facts = plain();
        facts.strange_mappings.push("/SYSV00000000".to_owned());
        assert_eq!(judge(&facts).unwrap_err().name(), "mapping");
    }
}
