//! The processes in the capsule: who they are, what they wait for, and how signals from home reach them.

use crate::departure;
use anyhow::{Context, Result};
use brant_migrationd::inspect::threads;
use brant_sys::process::{self, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
use brant_sys::signal;

/// Where in the kernel a process sleeps that reads its terminal, or waits for it among others.
const INPUT_WAITS: [&str; 7] =
    ["wait_woken", "n_tty_read", "do_select", "do_sys_poll", "do_poll", "ep_poll", "do_epoll_wait"];
/// System calls that read from one descriptor, their first argument: read and readv.
const READ: u64 = 0;
const READV: u64 = 19;
/// System calls that wait for several: poll, select, epoll_wait, pselect6, ppoll, epoll_pwait, epoll_pwait2.
const MANY: [u64; 7] = [7, 23, 232, 270, 271, 281, 441];

/// The process and what has come of it, but for our own helpers. A CRIU that dumps them is in another group.
pub(crate) fn all(helpers: &[i32]) -> Vec<i32> {
    let members = departure::members().into_iter();
    members.filter(|pid| !helpers.contains(pid) && !is_zombie(*pid)).collect()
}

/// Whether some do not descend from this one any more: their parent has ended, and they were left to PID 1.
pub(crate) fn has_orphans(all: &[i32], leader: i32) -> bool {
    all.iter().any(|pid| *pid != leader && parent_of(*pid) == Some(1))
}

fn parent_of(pid: i32) -> Option<i32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// Those of them that are in a process group.
pub(crate) fn of_group(all: &[i32], group: i32) -> Vec<i32> {
    all.iter().copied().filter(|pid| group_of(*pid) == Some(group)).collect()
}

/// A process's group.
pub(crate) fn group_of(pid: i32) -> Option<i32> {
    stat(pid)?.split(' ').nth(2)?.parse().ok()
}

/// Delivers a signal from home. The process's group has no shell in here and counts as orphaned, so the kernel would
/// ignore a terminal stop: where the process has not its own handler for it, it is stopped outright.
pub(crate) fn deliver(pid: i32, number: i32) -> Result<()> {
    let stops = matches!(number, SIGTSTP | SIGTTIN | SIGTTOU);
    let number = if stops && !handles(pid, number) { SIGSTOP } else { number };
    signal::send(pid, number).context("delivering a signal")
}

/// Whether one of them waits for its terminal.
pub(crate) fn want_terminal(all: &[i32]) -> bool {
    all.iter().any(|pid| {
        let waits = |thread: &i32| {
            let wchan =
                std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/wchan")).unwrap_or_default();
            INPUT_WAITS.contains(&wchan.trim())
        };
        threads(*pid).iter().any(waits)
            && has_open(*pid, |target| target.starts_with("/dev/pts/") || target == "/dev/tty")
    })
}

/// How much one of them wants to read from this pipe at this moment; `taste` where it does not say.
pub(crate) fn wish(all: &[i32], pipe: &str, taste: u32) -> Option<u32> {
    all.iter().find_map(|pid| threads(*pid).into_iter().find_map(|thread| wish_of(*pid, thread, pipe, taste)))
}

fn wish_of(pid: i32, thread: i32, pipe: &str, taste: u32) -> Option<u32> {
    // The call's number and its arguments; "running" when it is in none.
    let call = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).ok()?;
    let mut words = call.split_ascii_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok();
    if MANY.contains(&number) {
        return has_open(pid, |target| target == pipe).then_some(taste);
    }
    let (descriptor, _buffer, count) = (argument()?, argument()?, argument()?);
    let target = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    match number {
        _ if target.to_str() != Some(pipe) => None,
        READ => Some(u32::try_from(count).unwrap_or(u32::MAX)),
        READV => Some(taste),
        _ => None,
    }
}

fn has_open(pid: i32, wanted: impl Fn(&str) -> bool) -> bool {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(&wanted))
}

/// The path of a descriptor by which some process holds this.
pub(crate) fn holder(name: &str) -> Option<String> {
    all(&[]).into_iter().find_map(|pid| {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut paths = entries.map(|entry| entry.path());
        let found = paths.find(|path| std::fs::read_link(path).is_ok_and(|to| to.to_str() == Some(name)))?;
        found.to_str().map(str::to_owned)
    })
}

fn handles(pid: i32, number: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        u64::from_str_radix(line.trim(), 16).unwrap_or(0)
    };
    (set("SigCgt:") | set("SigIgn:")) & (1 << (number - 1)) != 0
}

fn is_zombie(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| stat.starts_with(['Z', 'X']))
}

/// What `/proc/PID/stat` says from the state on.
fn stat(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.get(text.rfind(')')? + 2..)?.to_owned())
}

/// What has become of children since the last time.
pub(crate) fn reap() -> Result<Vec<process::ChildChange>> {
    let mut changes = Vec::new();
    while let Some(change) = process::next_change().context("waiting for children")? {
        changes.push(change);
    }
    Ok(changes)
}
