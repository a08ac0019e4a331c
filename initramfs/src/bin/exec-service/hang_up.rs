//! What happens to a session whose client is gone, as on a telephone line that was cut.
//!
//! On a terminal the kernel tells the shell, which tells its jobs; only a shell that does not take the hint is killed. A
//! session without a terminal has nobody to do that: all in it get SIGHUP, and SIGKILL those that do not take the hint.
//! Who has detached itself is left alone: by leading a session of its own (`setsid`), or by ignoring SIGHUP (`nohup`).

use brant_sys::cgroup::Cgroup;
use brant_sys::signal::{SIGCONT, SIGHUP, SIGKILL, send};
use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a session may take to end after SIGHUP.
const GRACE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(50);

/// Sees that the child whose terminal has been closed ends, reaps it, and removes the session's control group if it can.
pub(crate) fn after_terminal(mut child: Child, group: Option<&Cgroup>) {
    let since = Instant::now();
    while since.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        sleep(TICK);
    }
    // Their end hangs up what is in the foreground. One that has been reaped is not killed.
    if matches!(child.try_wait(), Ok(None)) {
        for shell in children_of(child.id()).into_iter().filter(|pid| session_of(*pid) == Some(*pid)) {
            let _ended_meanwhile = send(shell, SIGKILL);
        }
        let _ended_meanwhile = child.kill();
    }
    finish(child, group);
}

/// Ends the session that this child leads, reaps the child, and removes the session's control group if it can.
pub(crate) fn without_terminal(mut child: Child, group: Option<&Cgroup>) {
    let Ok(leader) = i32::try_from(child.id()) else { return };
    // A stopped process gets the signal when it goes on.
    signal_all(leader, SIGHUP);
    signal_all(leader, SIGCONT);
    let since = Instant::now();
    while since.elapsed() < GRACE {
        let _reaped_or_running = child.try_wait();
        if attached(leader).is_empty() {
            break;
        }
        sleep(TICK);
    }
    signal_all(leader, SIGKILL);
    finish(child, group);
}

fn finish(mut child: Child, group: Option<&Cgroup>) {
    if let Err(error) = child.wait() {
        eprintln!("exec-service: reaping session {}: {error}", child.id());
    }
    if let Some(group) = group {
        let _detached_processes_are_left = group.remove();
    }
}

/// Where `su` is in between, the shell is among them, and leads the session; a shell's jobs do not.
fn children_of(process: u32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn signal_all(leader: i32, signal: i32) {
    for pid in attached(leader) {
        if let Err(error) = send(pid, signal) {
            eprintln!("exec-service: sending signal {signal} to process {pid}: {error}");
        }
    }
}

/// The living processes of the leader's session that have not detached themselves.
fn attached(leader: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| session_of(*pid) == Some(leader))
        .filter(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            is_alive(&status) && !ignores(&status, SIGHUP)
        })
        .collect()
}

/// From `/proc`, because the system call's answer for kernel threads, 0, is no process id.
fn session_of(pid: i32) -> Option<i32> {
    session_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// After the last parenthesis (a process's name may hold some): state, parent, process group, session.
fn session_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}

fn is_alive(status: &str) -> bool {
    field(status, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

fn ignores(status: &str, signal: i32) -> bool {
    let ignored = field(status, "SigIgn:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn field<'text>(status: &'text str, name: &str) -> Option<&'text str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsleep\nState:\tS (sleeping)\nSigIgn:\t0000000000000001\n";

    #[test]
    fn a_process_that_ignores_the_hang_up_is_seen() {
        assert!(is_alive(STATUS));
        assert!(ignores(STATUS, SIGHUP));
        assert!(!ignores(STATUS, SIGKILL));
        assert!(!ignores("", SIGHUP));
    }

    #[test]
    fn the_session_is_found_behind_any_name() {
        assert_eq!(session_in("7 (a) b (c) S 1 2 3 4 5"), Some(3));
        assert_eq!(session_in("7 (cut"), None);
    }

    #[test]
    fn zombies_are_not_alive() {
        assert!(!is_alive("State:\tZ (zombie)\n"));
        assert!(!is_alive(""));
    }
}
