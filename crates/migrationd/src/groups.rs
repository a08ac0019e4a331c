//! Control groups: where logins live, where processes stand while they are moved, where guests' capsules are.
//!
//! On a node that our own `init` runs, everything is below one group of ours. Where systemd runs, logind makes a scope
//! for each login, and what is ours is below the group that systemd has delegated to `brant-migrationd.service`.

use crate::system;
use anyhow::{Context, Result};
use brant_sys::cgroup::Cgroup;
use brant_types::meminfo;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Ours, made by `init`.
const OURS: &str = "/sys/fs/cgroup/brant";
/// Ours, delegated by systemd; `overlay/systemd` has the unit.
const DELEGATED: &str = "/sys/fs/cgroup/brant.slice/brant-migrationd.service";
/// Where logind keeps users' groups.
const USERS: &str = "/sys/fs/cgroup/user.slice";

fn ours() -> &'static Path {
    static FOUND: OnceLock<&'static Path> = OnceLock::new();
    FOUND.get_or_init(|| Path::new(if system::is_systemd() { DELEGATED } else { OURS }))
}

/// Logins and exec sessions of a node without logind, one group for each.
pub(crate) fn sessions() -> PathBuf {
    ours().join("sessions")
}

/// Processes that are being moved, one group for each tree.
pub(crate) fn jobs() -> PathBuf {
    ours().join("jobs")
}

/// Guests' capsules, one group for each.
pub(crate) fn capsules() -> PathBuf {
    ours().join("capsules")
}

/// What all guests together leave free of what this node's own have not taken: an eighth of its memory.
const KEPT_BACK: u64 = 8;
/// Against the usual 100 of everything else on a node.
const WEIGHT: &str = "50";
/// How many tasks one guest, with all that it starts, may have on a node with enough memory for so many.
const MOST_TASKS: u64 = 4096;
/// For how much of guests' memory one task is allowed, KiB: more than an empty one takes, so that they do not fill it.
const TASK: u64 = 512;

/// What guests may have of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    /// All together, KiB.
    memory: u64,
    /// Each.
    tasks: u64,
}

impl Share {
    /// Of a node with so much memory, of which so much is free, and so much is its guests' already (KiB).
    fn of(total: u64, available: u64, guests: u64) -> Self {
        let memory = (available + guests).saturating_sub(total / KEPT_BACK);
        // Never less than they have: who came first is not to be killed for who comes later.
        let memory = memory.max(guests).max(total / 16).min(total - total / KEPT_BACK);
        Self { memory, tasks: (memory / TASK).clamp(256, MOST_TASKS) }
    }
}

/// Limits what all guests together may have of this node, and what the one in this group may start.
pub(crate) fn limit(guest: &Cgroup) -> Result<()> {
    let controllers = ["cpu", "memory", "pids"];
    Cgroup::at(ours()).hand_down(&controllers)?;
    let guests = Cgroup::create(capsules())?;
    guests.hand_down(&controllers)?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").context("reading `/proc/meminfo`")?;
    let field = |name| meminfo::field(&meminfo, name).context("looking how much memory there is");
    let own = of_their_own(&guests.get("memory.stat")?) / 1024;
    let share = Share::of(field("MemTotal")?, field("MemAvailable")?, own);
    guests.set("cpu.weight", WEIGHT)?;
    guests.set("memory.max", &format!("{}K", share.memory))?;
    guest.set("pids.max", &share.tasks.to_string())?;
    Ok(())
}

/// What a group has that cannot be let go, bytes: not what is only kept of files (`memory.stat`, cgroup-v2).
fn of_their_own(stat: &str) -> u64 {
    let field = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    ["anon", "shmem", "kernel"].into_iter().map(field).sum()
}

/// Whether a login, and not a service, is in this group.
pub(crate) fn is_session(group: &Path) -> bool {
    (group.starts_with(sessions()) && group != sessions()) || is_login_scope(group)
}

/// `user-UID.slice/session-N.scope`, or a scope that a terminal program has made below the user's own manager; what is
/// in a `.service` was not started by a person, nor was the manager itself, which is in `init.scope`.
fn is_login_scope(group: &Path) -> bool {
    group.starts_with(USERS)
        && group.extension().is_some_and(|extension| extension == "scope")
        && !group.ends_with("init.scope")
}

/// Every group that a login is in.
pub(crate) fn all_sessions() -> Vec<Cgroup> {
    let mut found = Vec::new();
    for top in [sessions(), PathBuf::from(USERS)] {
        gather(&Cgroup::at(top), &mut found);
    }
    found
}

fn gather(group: &Cgroup, found: &mut Vec<Cgroup>) {
    for name in group.children().unwrap_or_default() {
        let child = group.child(&name);
        gather(&child, found);
        if is_session(child.path()) {
            found.push(child);
        }
    }
}

/// The session that a process is in, to put it back where it was.
pub(crate) fn session_of(pid: i32) -> Option<Cgroup> {
    let group = Cgroup::of_process(pid).ok()?;
    is_session(group.path()).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_told_from_services() {
        let logins =
            ["user-1000.slice/session-3.scope", "user-1000.slice/user@1000.service/app.slice/xterm-7.scope"];
        for login in logins {
            assert!(is_session(&Path::new(USERS).join(login)), "{login}");
        }
        let others = [
            "user-1000.slice/user@1000.service/app.slice/gpg-agent.service",
            "user-1000.slice/user@1000.service/init.scope",
            "user-1000.slice",
        ];
        for other in others {
            assert!(!is_session(&Path::new(USERS).join(other)), "{other}");
        }
        assert!(!is_session(Path::new("/sys/fs/cgroup/system.slice/cron.service")));
        assert!(!is_session(Path::new("/sys/fs/cgroup/init.scope")));
    }

    #[test]
    fn guests_get_what_is_free_but_an_eighth() {
        let gib = 1 << 20;
        assert_eq!(Share::of(8 * gib, 7 * gib, 0), Share { memory: 6 * gib, tasks: 4096 });
        // What they have already is theirs to keep.
        assert_eq!(Share::of(8 * gib, 4 * gib, 3 * gib), Share { memory: 6 * gib, tasks: 4096 });
        assert_eq!(Share::of(gib, gib * 3 / 4, 0), Share { memory: gib * 5 / 8, tasks: 1280 });
        assert_eq!(Share::of(gib, 0, 0), Share { memory: gib / 16, tasks: 256 });
        assert_eq!(Share::of(gib, 0, gib / 2).memory, gib / 2);
        assert_eq!(of_their_own("anon 10\nfile 500\nkernel 3\nkernel_stack 100\nshmem 2\n"), 15);
    }

    #[test]
    fn a_login_of_our_own_init_is_a_group_below_the_sessions() {
        assert!(is_session(&sessions().join("tty1")));
        assert!(!is_session(&sessions()));
    }
}
