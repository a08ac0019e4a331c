//! Which processes wait for a time to come: a move cuts such a wait short, or lets it begin anew.

use super::tree::threads;
use std::fs;

/// System calls that have a time limit as this argument (counted from 0), a null pointer or -1 being none: poll 2,
/// select 4, nanosleep 0, clock_nanosleep 2, epoll_wait 3, pselect6 4, ppoll 2, epoll_pwait 3, rt_sigtimedwait 2,
/// semtimedop 3, epoll_pwait2 3.
const LIMITED: [(u64, usize); 11] = [
    (7, 2),
    (23, 4),
    (35, 0),
    (230, 2),
    (232, 3),
    (270, 4),
    (271, 2),
    (281, 3),
    (128, 2),
    (220, 3),
    (441, 3),
];
/// A wait that was interrupted and goes on: restart_syscall.
const RESTARTED: u64 = 219;

/// Whether one of its threads does.
pub fn sleeps_until_a_time(pid: i32) -> bool {
    threads(pid).into_iter().any(|thread| {
        let call = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).unwrap_or_default();
        has_limit(&call)
    })
}

/// System calls in which a shell waits for what it has started: wait4, waitid, and rt_sigsuspend until `SIGCHLD`.
const WAITS: [&str; 3] = ["61", "247", "130"];

/// Whether it waits for a child to end.
pub(super) fn waits_for_a_child(pid: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    call.split_ascii_whitespace().next().is_some_and(|number| WAITS.contains(&number))
}

/// Judges a line of `/proc/PID/task/TID/syscall`: the call's number and its arguments.
fn has_limit(call: &str) -> bool {
    let words: Vec<&str> = call.split_ascii_whitespace().collect();
    let Some(number) = words.first().and_then(|word| word.parse::<u64>().ok()) else { return false };
    if number == RESTARTED {
        return true;
    }
    let Some((_, argument)) = LIMITED.iter().find(|(limited, _)| *limited == number) else { return false };
    let value =
        words.get(argument + 1).and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    // -1 as a 32-bit number may stand there with or without its upper half.
    value.is_some_and(|value| value != 0 && value as u32 != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waits_with_a_limit_count() {
        assert!(has_limit("230 0x0 0x0 0x7ffd8b1a 0x0 0x0 0x0 0x7ffd 0x7f21"));
        assert!(has_limit("7 0x7ffd 0x2 0x1388 0x0 0x0 0x0 0x7ffd 0x7f21"));
        assert!(!has_limit("7 0x7ffd 0x2 0xffffffff 0x0 0x0 0x0 0x7ffd 0x7f21"), "for ever");
        assert!(!has_limit("270 0x1 0x7ffd 0x0 0x0 0x0 0x0 0x7ffd 0x7f21"), "for ever");
        assert!(!has_limit("0 0x0 0x7ffd 0x400 0x0 0x0 0x0 0x7ffd 0x7f21"), "a read");
        assert!(!has_limit("61 0xffffffff 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f21"), "wait4");
        assert!(!has_limit("running"));
    }

    #[test]
    fn a_sleeping_process_is_seen() {
        let sleep = brant_sys::child::Tool::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(sleep.id()).unwrap();
        let start = std::time::Instant::now();
        while !sleeps_until_a_time(pid) && start.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        assert!(sleeps_until_a_time(pid));
        sleep.kill();
    }
}
