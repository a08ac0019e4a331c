//! A process with all that descends from it.

use super::descriptors::{Looker, outside_ends};
use super::holders::Holders;
use super::memory::{Mounts, has_system_v, mappings, on_foreign_mount};
use super::{DEPUTY, Stat, hexadecimal, numbers};
use crate::groups;
use brant_migration::obstacle::facts::{Mapping, ProcessFacts, TreeFacts};
use brant_sys::cgroup::Cgroup;
use std::fs;
use std::path::Path;

/// The process and its descendants, itself first, each parent before its children.
pub fn members(leader: i32) -> Vec<i32> {
    let mut all = vec![leader];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        for thread in threads(pid) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
            let children = children.unwrap_or_default();
            // A number can come up twice when a process changes its parent meanwhile.
            let new = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
            let new: Vec<i32> = new.filter(|child| !all.contains(child)).collect();
            all.extend(new);
        }
    }
    all
}

/// Parent, grandparent and so on, without PID 1.
pub fn ancestors(pid: i32) -> Vec<i32> {
    let parent = |pid: i32| Stat::read(pid).and_then(|stat| i32::try_from(stat.field(4)?).ok());
    std::iter::successors(parent(pid), |pid| parent(*pid)).take_while(|pid| *pid > 1).collect()
}

/// The threads of a process, the first one first.
pub fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut all: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable_by_key(|thread| (*thread != pid, *thread));
    all
}

/// What there is to know of a tree before a move; none when its first process is gone.
pub(super) fn facts(leader: i32) -> Option<TreeFacts> {
    let numbers = members(leader);
    let holders = Holders::scan(&numbers);
    let mounts = Mounts::of(leader);
    let looker = Looker::new(leader, &holders, &mounts);
    let mut members = Vec::new();
    for pid in numbers {
        match process(pid, &looker, &holders) {
            Some(facts) => members.push(facts),
            None if pid == leader => return None,
            // It has ended and been waited for since it was listed.
            None => {}
        }
    }
    let descriptors = members.iter().flat_map(|member| &member.descriptors);
    let outside_pipes = outside_ends(&holders, descriptors);
    Some(TreeFacts { members, outside_pipes })
}

fn process(pid: i32, looker: &Looker<'_>, holders: &Holders) -> Option<ProcessFacts> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let stat = Stat::read(pid)?;
    let one = |name| numbers(&status, name).first().copied().unwrap_or(0);
    let uids = numbers(&status, "Uid");
    let uid = |n: usize| uids.get(n).and_then(|uid| u32::try_from(*uid).ok()).unwrap_or(0);
    let group = Cgroup::of_process(pid).ok()?.path().to_owned();
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let first_ended = matches!(stat.state, 'Z' | 'X');
    let more_threads = one("Threads") > 1;
    let folder = link("cwd").to_string_lossy().into_owned();
    let strange = folder.ends_with(" (deleted)") || on_foreign_mount(&folder);
    Some(ProcessFacts {
        pid,
        comm: stat.comm.clone(),
        uids: [uid(0), uid(1), uid(2)],
        in_session: groups::is_session(&group) || group.starts_with(groups::jobs()),
        session_leader: stat.field(6) == u64::try_from(pid).ok(),
        zombie: first_ended && !more_threads,
        first_thread_gone: first_ended && more_threads,
        stopped: stat.state == 'T',
        tracer: i32::try_from(one("TracerPid")).unwrap_or(0),
        seccomp: one("Seccomp") == 2,
        no_new_privileges: one("NoNewPrivs") == 1,
        capabilities: hexadecimal(&status, "CapEff").unwrap_or(0),
        own_namespaces: first_ended || own_namespaces(pid),
        wide: first_ended || is_wide(pid),
        real_time: stat.field(41).is_some_and(|policy| matches!(policy, 1 | 2 | 6)),
        locks: holds_locks(pid),
        locked_memory_kib: one("VmLck"),
        own_root: first_ended || link("root") == Path::new("/"),
        strange_folder: strange.then_some(folder),
        descriptors: looker.descriptors(pid),
        mappings: if has_system_v(uid(0)) { vec![Mapping::SystemV] } else { mappings(pid, uid(0), holders) },
        away: link("exe") == Path::new(DEPUTY),
        guest: group.starts_with(groups::capsules()),
    })
}

fn own_namespaces(pid: i32) -> bool {
    ["mnt", "pid", "uts", "ipc", "net", "user", "cgroup", "time"].iter().all(|kind| {
        fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
            == fs::read_link(format!("/proc/self/ns/{kind}")).ok()
    })
}

/// The fifth byte of an ELF file says 32 or 64 bits.
fn is_wide(pid: i32) -> bool {
    use std::io::Read;
    let mut head = [0; 5];
    fs::File::open(format!("/proc/{pid}/exe")).and_then(|mut exe| exe.read_exact(&mut head)).is_ok()
        && head[4] == 2
}

fn holds_locks(pid: i32) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    entries.flatten().any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("\nlock:")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_sys::child::Tool;
    use std::time::{Duration, Instant};

    #[test]
    fn this_test_itself_has_the_obstacles_that_it_has() {
        let me = i32::try_from(std::process::id()).unwrap();
        let facts = facts(me).unwrap();
        let leader = &facts.members[0];
        assert!(leader.wide && leader.own_namespaces && leader.own_root);
        assert!(!leader.in_session && !leader.away && !leader.stopped && !leader.zombie);
        assert!(super::facts(0).is_none());
    }

    #[test]
    fn children_and_their_children_belong_to_a_tree() {
        let shell = Tool::new("sh").args(["-c", "sh -c 'sleep 60 & wait' & wait"]).spawn().unwrap();
        let leader = i32::try_from(shell.id()).unwrap();
        let start = Instant::now();
        let found = loop {
            let found = members(leader);
            let last = found.last().and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            if (found.len() == 3 && last.as_deref() == Some("sleep\n"))
                || start.elapsed() > Duration::from_secs(20)
            {
                break found;
            }
            std::thread::yield_now();
        };
        assert_eq!((found.len(), found[0]), (3, leader));
        for pid in found.iter().skip(1) {
            brant_sys::signal::send(*pid, brant_sys::signal::SIGKILL).unwrap();
        }
        shell.kill();
    }
}
