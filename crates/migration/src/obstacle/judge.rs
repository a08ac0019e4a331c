//! From facts to a decision: can this tree move, and with which ties to those that stay?

use super::facts::{Descriptor, Mapping, Opened, OutsideEnds, ProcessFacts, Sharer, TreeFacts};
use super::{Migratable, Obstacle};
use crate::protocol::SharedFile;
use crate::stream::{Direction, Home, Stream};
use std::collections::{BTreeMap, BTreeSet};

/// Nameless files travel inside the image, so they must be small, KiB.
pub const MOST_NAMELESS_KIB: u64 = 64 << 10;

/// Whether a process can move with all that descends from it.
///
/// # Errors
/// The first obstacle, the more general ones first, those of the process itself before its descendants'.
pub fn judge(facts: &TreeFacts) -> Result<Migratable, Obstacle> {
    let mut ties = Ties::default();
    let leader = facts.members.first().map_or(0, |leader| leader.pid);
    for member in &facts.members {
        let outcome = judge_process(member, member.pid == leader)
            .and_then(|()| {
                member.descriptors.iter().try_for_each(|descriptor| ties.add(member.pid, descriptor))
            })
            .and_then(|()| member.mappings.iter().try_for_each(|mapping| ties.map(mapping)));
        match outcome {
            Ok(()) => {}
            Err(obstacle) if member.pid == leader => return Err(obstacle),
            Err(obstacle) => {
                return Err(Obstacle::Descendant {
                    pid: member.pid,
                    comm: member.comm.clone(),
                    obstacle: Box::new(obstacle),
                });
            }
        }
    }
    ties.check_memory()?;
    let streams = ties.streams(&facts.outside_pipes)?;
    Ok(Migratable {
        pid: leader,
        members: facts.members.iter().map(|member| member.pid).collect(),
        terminal: ties.terminal,
        streams,
        named_memory: ties.named_memory.into_iter().collect(),
        shared_files: ties.shared_files,
        named_pipes: ties.named_pipes.into_iter().collect(),
        stopped: facts.members.first().is_some_and(|leader| leader.stopped),
    })
}

fn judge_process(facts: &ProcessFacts, leads: bool) -> Result<(), Obstacle> {
    let refuse = |yes: bool, obstacle: Obstacle| if yes { Err(obstacle) } else { Ok(()) };
    if facts.zombie && !leads {
        // It travels as what it is: an exit status that its parent has not asked for yet.
        return Ok(());
    }
    refuse(facts.zombie, Obstacle::Zombie(facts.pid))?;
    refuse(facts.away, Obstacle::Away(facts.pid))?;
    refuse(facts.guest, Obstacle::Guest(facts.pid))?;
    refuse(facts.uids.contains(&0), Obstacle::Root)?;
    refuse(!facts.in_session, Obstacle::NotInSession)?;
    refuse(facts.session_leader && leads, Obstacle::SessionLeader)?;
    refuse(facts.first_thread_gone, Obstacle::FirstThreadGone)?;
    refuse(facts.stopped && !leads, Obstacle::Stopped)?;
    refuse(facts.tracer != 0, Obstacle::Traced(facts.tracer))?;
    refuse(facts.seccomp, Obstacle::Seccomp)?;
    // Whether it did is not to be seen; a dump would fail, or the confinement would be gone where it goes on.
    refuse(facts.no_new_privileges, Obstacle::Landlock)?;
    refuse(facts.capabilities != 0, Obstacle::Capabilities)?;
    refuse(!facts.own_namespaces, Obstacle::Namespaces)?;
    refuse(!facts.own_root, Obstacle::ChangedRoot)?;
    refuse(!facts.wide, Obstacle::Narrow)?;
    refuse(facts.real_time, Obstacle::RealTime)?;
    refuse(facts.locks, Obstacle::Locks)?;
    refuse(facts.locked_memory_kib > 0, Obstacle::LockedMemory(facts.locked_memory_kib))?;
    facts.strange_folder.as_ref().map_or(Ok(()), |path| Err(Obstacle::Folder(path.clone())))
}

/// What ties the tree to what stays, gathered from all members.
#[derive(Default)]
struct Ties {
    terminal: Option<String>,
    named_memory: BTreeSet<String>,
    open_memory: BTreeMap<String, i32>,
    shared_files: Vec<SharedFile>,
    named_pipes: BTreeSet<String>,
    /// Each file, and whose open file it is where others write to it meanwhile.
    files: BTreeMap<String, Option<(i32, i32)>>,
    /// Which ends of each pipe the members hold: reading, writing; and the first descriptor seen.
    pipes: BTreeMap<u64, Ends>,
}

struct Ends {
    reads: bool,
    writes: bool,
    number: i32,
}

impl Ties {
    fn add(&mut self, pid: i32, Descriptor { number, what }: &Descriptor) -> Result<(), Obstacle> {
        let number = *number;
        let shared = |path: &String, with: i32| Obstacle::Shared { number, path: path.clone(), with };
        match what {
            // `/dev/tty` is whatever terminal the session has, here or there.
            Opened::PlainDevice
            | Opened::ControllingTerminal
            | Opened::EventLoop { shared_with: None }
            | Opened::Pair { inside: true } => {}
            Opened::EventLoop { shared_with: Some(with) } => {
                return Err(shared(&"an event counter".to_owned(), *with));
            }
            Opened::Memory { path, shared_with: Some(with) }
            | Opened::Fifo { path, shared_with: Some(with) } => return Err(shared(path, *with)),
            // Written at home, one after the other, whoever else writes: the offset is one for all.
            Opened::File { path, shared: Some(with), only_writes: true, deleted: None } => {
                self.note_use(path, Some((with.pid, with.number)), number)?;
            }
            // They go on from where it has ended.
            Opened::File { path, shared: Some(Sharer { waits: true, .. }), deleted: None, .. } => {
                self.note_use(path, None, number)?;
                self.shared_files.push(SharedFile { pid, number });
            }
            Opened::File { path, shared: Some(with), .. } => return Err(shared(path, with.pid)),
            Opened::File { path, deleted: Some(nameless), .. } => {
                if nameless.linked || nameless.kib > MOST_NAMELESS_KIB {
                    return Err(Obstacle::Deleted { number, path: path.clone(), kib: nameless.kib });
                }
            }
            Opened::File { path, .. } => self.note_use(path, None, number)?,
            Opened::Fifo { path, .. } => {
                self.named_pipes.insert(path.clone());
            }
            Opened::Memory { path, .. } => {
                self.open_memory.insert(path.clone(), number);
            }
            Opened::Terminal(name) => match &self.terminal {
                Some(other) if other != name => {
                    return Err(Obstacle::TwoTerminals(other.clone(), name.clone()));
                }
                _ => self.terminal = Some(name.clone()),
            },
            Opened::Pipe { packets: true, .. } => return Err(Obstacle::Packets(number)),
            Opened::Pipe { inode, writes, .. } => {
                let ends = self.pipes.entry(*inode).or_insert(Ends { reads: false, writes: false, number });
                ends.writes |= *writes;
                ends.reads |= !*writes;
            }
            Opened::Pair { inside: false } => return Err(Obstacle::Pair(number)),
            Opened::Socket(kind) => return Err(Obstacle::Socket { number, kind: kind.clone() }),
            Opened::IoUring => return Err(Obstacle::IoUring(number)),
            Opened::Watch => return Err(Obstacle::Watch(number)),
            Opened::Device(path) => return Err(Obstacle::Device { number, path: path.clone() }),
            Opened::ForeignMount(path) => return Err(Obstacle::ForeignMount { number, path: path.clone() }),
            Opened::Other(what) => return Err(Obstacle::Other { number, what: what.clone() }),
        }
        Ok(())
    }

    fn map(&mut self, mapping: &Mapping) -> Result<(), Obstacle> {
        match mapping {
            Mapping::SystemV => Err(Obstacle::SystemV),
            Mapping::Shared { path, with } => Err(Obstacle::SharedMemory { path: path.clone(), with: *with }),
            Mapping::ForeignMount(path) => Err(Obstacle::Mapping(path.clone())),
            Mapping::Renamed(path) => Err(Obstacle::Renamed(path.clone())),
            Mapping::Named(path) => self.keep_memory(path),
        }
    }

    /// The image tells open files apart by their paths, so each path must be used in one way only.
    fn note_use(&mut self, path: &str, written_by: Option<(i32, i32)>, number: i32) -> Result<(), Obstacle> {
        let before = self.files.insert(path.to_owned(), written_by);
        match before.filter(|before| *before != written_by) {
            None => Ok(()),
            Some(before) => {
                let with = written_by.or(before).map_or(0, |(with, _)| with);
                Err(Obstacle::Shared { number, path: path.to_owned(), with })
            }
        }
    }

    /// Memory with a name that is only read and written like a file is a file, whose reader may come later.
    fn check_memory(&self) -> Result<(), Obstacle> {
        let named = |path: &&String| path.starts_with("/dev/shm/") && !path.ends_with(" (deleted)");
        let mapped =
            |path: &str| self.named_memory.iter().any(|name| path.strip_prefix("/dev/shm/") == Some(name));
        match self.open_memory.iter().find(|(path, _)| named(path) && !mapped(path)) {
            Some((path, number)) => Err(Obstacle::ForeignMount { number: *number, path: path.clone() }),
            None => Ok(()),
        }
    }

    /// Memory that still has its name must have it on the other side, too.
    fn keep_memory(&mut self, path: &str) -> Result<(), Obstacle> {
        match path.strip_prefix("/dev/shm/") {
            Some(_) if path.ends_with(" (deleted)") => {}
            Some(name) if name.contains('/') => return Err(Obstacle::Mapping(path.to_owned())),
            Some(name) => {
                self.named_memory.insert(name.to_owned());
            }
            None => {}
        }
        Ok(())
    }

    /// The ways out of the tree: pipes in the order of their numbers, then files in that of their paths.
    fn streams(&self, outside: &BTreeMap<u64, OutsideEnds>) -> Result<Vec<Stream>, Obstacle> {
        let mut streams = Vec::new();
        for (inode, ends) in &self.pipes {
            let Some(others) = outside.get(inode) else { continue };
            let Some(with) = others.reader.or(others.writer) else { continue };
            let direction = match (ends.reads, ends.writes) {
                (true, true) => return Err(Obstacle::BothEnds { number: ends.number, with }),
                (true, false) => Direction::In,
                _ => Direction::Out,
            };
            streams.push(Stream {
                home: Home::Pipe(*inode),
                direction,
                shared: direction == Direction::In && others.reader.is_some(),
            });
        }
        let written = self.files.iter().filter(|(_, written_by)| written_by.is_some());
        streams.extend(written.map(|(path, _)| Stream {
            home: Home::File(path.clone()),
            direction: Direction::Out,
            shared: false,
        }));
        Ok(streams)
    }
}
