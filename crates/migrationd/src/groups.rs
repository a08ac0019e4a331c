//! Control groups: where logins live, where processes stand while they are moved, where guests' capsules are.
//!
//! On a node that our own `init` runs, everything is below one group of ours. Where systemd runs, logind makes a scope
//! for each login, and what is ours is below the group that systemd has delegated to `brant-migrationd.service`.

use crate::system;
use brant_sys::cgroup::Cgroup;
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

/// Lets groups below capsules be limited.
pub(crate) fn hand_down(controllers: &[&str]) -> Result<(), brant_sys::cgroup::CgroupError> {
    Cgroup::at(ours()).hand_down(controllers)?;
    Cgroup::create(capsules())?.hand_down(controllers)
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
    fn a_login_of_our_own_init_is_a_group_below_the_sessions() {
        assert!(is_session(&sessions().join("tty1")));
        assert!(!is_session(&sessions()));
    }
}
