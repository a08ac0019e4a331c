//! What `/proc` says of a process and its descendants, as the pure judge wants it.

mod descriptors;
mod holders;
mod memory;
mod sleep;
mod sockets;
mod tree;

pub use sleep::sleeps_until_a_time;
pub use tree::{ancestors, members, threads};

use crate::groups;
use brant_migration::balancer::Candidate;
use brant_migration::obstacle::{Migratable, Obstacle, judge};
use brant_migration::stream::{Direction, Home, Stream};
use holders::{Holder, OpenInfo, open_descriptors};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The deputy's program.
pub const DEPUTY: &str = "/usr/lib/brant/deputy";

/// What is shown of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub comm: String,
    /// Its arguments, separated by spaces.
    pub args: String,
    /// Its arguments as they are.
    pub arguments: Vec<Vec<u8>>,
    /// Its owner.
    pub uid: u32,
    /// Processor time used.
    pub cpu: Duration,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// Whether it computes at this moment.
    pub runnable: bool,
    /// When it started, in clock ticks since boot: with the number, its identity.
    pub started: u64,
}

impl Summary {
    /// Whether it was started less than this time ago.
    pub fn is_younger_than(&self, age: Duration) -> bool {
        // A tick is 10 ms for every program, whatever the kernel's own are (USER_HZ).
        crate::clock::now().saturating_sub(Duration::from_millis(self.started * 10)) < age
    }
}

/// Whether this process can move now, with all that descends from it.
///
/// # Errors
/// The first obstacle.
pub fn migratable(pid: i32) -> Result<Migratable, Obstacle> {
    judge(&tree::facts(pid).ok_or(Obstacle::NoSuchProcess(pid))?)
}

/// The process to move when this one computes: itself, or the nearest ancestor that everything it shares moves with.
///
/// # Errors
/// The obstacle of the last one tried.
pub fn unit(pid: i32) -> Result<Migratable, Obstacle> {
    let mut candidate = pid;
    loop {
        match migratable(candidate) {
            Err(obstacle) if obstacle.sharer().is_some() => {
                let parent = Stat::read(candidate).and_then(|stat| i32::try_from(stat.field(4)?).ok());
                // A login shell, and what is above it, never moves.
                match parent.filter(|parent| *parent > 1 && !is_session_leader(*parent)) {
                    Some(parent) => candidate = parent,
                    None => return Err(obstacle),
                }
            }
            other => return other,
        }
    }
}

fn is_session_leader(pid: i32) -> bool {
    Stat::read(pid).is_none_or(|stat| stat.field(6) == u64::try_from(pid).ok())
}

/// What is shown of a process; none if it is gone.
pub fn summary(pid: i32) -> Option<Summary> {
    let stat = Stat::read(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<Vec<u8>> =
        raw.strip_suffix(&[0]).unwrap_or(&raw).split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let args =
        arguments.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect::<Vec<_>>().join(" ");
    Some(Summary {
        comm: stat.comm.clone(),
        args,
        arguments,
        uid: numbers(&status, "Uid").first().copied().and_then(|uid| u32::try_from(uid).ok())?,
        cpu: stat.cpu(),
        resident_kib: numbers(&status, "VmRSS").first().copied().unwrap_or(0),
        runnable: stat.state == 'R',
        started: stat.field(22)?,
    })
}

/// The processes of sessions that compute, for the balancer.
pub fn candidates() -> Vec<Candidate> {
    let sessions = groups::all_sessions();
    let pids = sessions.iter().flat_map(|session| session.processes().unwrap_or_default());
    pids.filter_map(|pid| {
        let stat = Stat::read(pid)?;
        let resident_kib = stat.field(24)? * 4;
        (!is_deputy(pid)).then(|| Candidate {
            pid,
            cpu: stat.cpu(),
            runnable: stat.state == 'R',
            resident_kib,
        })
    })
    .collect()
}

/// Memory of these processes, KiB; what they share counts once for each, so it is not too little.
pub fn resident_kib(members: &[i32]) -> u64 {
    members.iter().filter_map(|pid| summary(*pid)).map(|summary| summary.resident_kib).sum()
}

/// Whether a signal has stopped it (Ctrl-Z).
pub fn is_stopped(pid: i32) -> bool {
    Stat::read(pid).is_some_and(|stat| stat.state == 'T')
}

/// Whether it is a deputy.
pub fn is_deputy(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(DEPUTY))
}

/// Whether it is gone, or has ended and waits for its parent. Where that cannot be found out, it is not known to be.
pub fn has_ended(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => Stat::parse(&text).is_some_and(|stat| matches!(stat.state, 'Z' | 'X')),
        Err(error) => {
            let gone = [rustix::io::Errno::NOENT, rustix::io::Errno::SRCH].map(|errno| errno.raw_os_error());
            error.raw_os_error().is_some_and(|error| gone.contains(&error))
        }
    }
}

/// When it started, in clock ticks since boot: with the number, its identity.
pub fn started(pid: i32) -> Option<u64> {
    Stat::read(pid)?.field(22)
}

/// Its number in the innermost PID namespace that it is in; the same as ours for one that is not in a capsule.
pub fn innermost_number(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    numbers(&status, "NSpid").last().copied()?.try_into().ok()
}

/// Its parent.
pub fn parent(pid: i32) -> Option<i32> {
    Stat::read(pid)?.field(4)?.try_into().ok()
}

/// One of these processes that holds the process's end of a stream, and its descriptor.
pub fn holder_of(members: &[i32], stream: &Stream) -> Option<(i32, i32)> {
    let name = match &stream.home {
        Home::Pipe(inode) => format!("pipe:[{inode}]"),
        Home::File(path) => path.clone(),
    };
    let all = members.iter().flat_map(|pid| {
        open_descriptors(*pid).into_iter().map(move |(number, target)| (Holder { pid: *pid, number }, target))
    });
    let mut ends = all.filter(|(_, target)| *target == name);
    let wanted = |holder: &Holder| OpenInfo::read(*holder).writes() == (stream.direction == Direction::Out);
    ends.find(|(holder, _)| wanted(holder)).map(|(holder, _)| (holder.pid, holder.number))
}

/// Signals that are pending for a process, one bit each.
pub fn pending_signals(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["SigPnd", "ShdPnd"].iter().filter_map(|name| hexadecimal(&status, name)).fold(0, |all, some| all | some)
}

/// `/proc/PID/stat`, taken apart.
struct Stat {
    comm: String,
    state: char,
    /// From field 3 on.
    rest: Vec<String>,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name stands in brackets and may itself contain anything.
    fn parse(text: &str) -> Option<Self> {
        let comm = text.get(text.find('(')? + 1..text.rfind(')')?)?.to_owned();
        let rest: Vec<String> =
            text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().map(str::to_owned).collect();
        let state = rest.first()?.chars().next()?;
        Some(Self { comm, state, rest })
    }

    /// A field by its number in proc_pid_stat(5).
    fn field(&self, number: usize) -> Option<u64> {
        self.rest.get(number - 3)?.parse().ok()
    }

    /// User and system time; the clock ticks 100 times a second on every Linux for PCs.
    fn cpu(&self) -> Duration {
        let ticks = self.field(14).unwrap_or(0) + self.field(15).unwrap_or(0);
        Duration::from_millis(10 * ticks)
    }
}

fn numbers(status: &str, name: &str) -> Vec<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn hexadecimal(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_taken_whole() {
        let stat = Stat::parse("12 (a) b (c) R 1 12 12 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 777 0 99").unwrap();
        assert_eq!((stat.comm.as_str(), stat.state), ("a) b (c", 'R'));
        assert_eq!(stat.cpu(), Duration::from_secs(3));
        assert_eq!(stat.field(22), Some(777));
    }
}
