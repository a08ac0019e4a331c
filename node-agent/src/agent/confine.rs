//! How the agent gives up what it does not need, for good: root's rights, new files and sockets, other programs.
//!
//! Whoever takes over the part of a node that hears the LAN is a user whom nothing belongs to, may read what everybody may
//! read, and may go on talking on the sockets that are open. (Linux's no_new_privs, and seccomp with a list of what is
//! allowed.)

use anyhow::{Context, Result};
use brant_types::account::{AGENT_USER, Account};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;
use std::fs;

/// The user that the agent becomes.
fn account() -> Result<Account> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("reading `{path}`"));
    Account::find(&read("/etc/passwd")?, &read("/etc/group")?, AGENT_USER)
        .with_context(|| format!("looking for the user `{AGENT_USER}`, which the builder makes"))
}

/// Becomes a user whom nothing belongs to. Only before there is a second thread, for each has rights of its own.
pub(super) fn give_up_rights() -> Result<()> {
    let account = account()?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    set_thread_groups(&[]).context("leaving root's groups")?;
    set_thread_res_gid(gid, gid, gid).context("leaving root's group")?;
    set_thread_res_uid(uid, uid, uid).context("giving up root's rights")?;
    set_no_new_privs(true).context("forgoing new rights")?;
    seccompiler::apply_filter(&filter()?).context("forgoing system calls")
}

/// What the event loop needs once everything is open: all else is refused, as if it were not permitted.
fn filter() -> Result<BpfProgram> {
    let always = [
        // datagrams and local sockets that are open
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_sendto,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_accept4,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        libc::SYS_shutdown,
        // the event loop
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_wait,
        libc::SYS_futex,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_sched_yield,
        // looking at /proc and /sys
        libc::SYS_close,
        libc::SYS_fcntl,
        libc::SYS_fstat,
        libc::SYS_getdents64,
        libc::SYS_lseek,
        libc::SYS_newfstatat,
        libc::SYS_pread64,
        libc::SYS_readlink,
        libc::SYS_readlinkat,
        libc::SYS_statx,
        // memory, signals, and the end
        libc::SYS_brk,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = always.into_iter().map(|call| (call, vec![])).collect();
    let none_of = |argument: u8, bits: i32| -> Result<SeccompRule> {
        let operator = SeccompCmpOp::MaskedEq(u64::from(bits.unsigned_abs()));
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, 0)?;
        Ok(SeccompRule::new(vec![condition])?)
    };
    // Files for reading only, and no memory that a program could be put into.
    rules.insert(libc::SYS_openat, vec![none_of(2, libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC)?]);
    rules.insert(libc::SYS_mmap, vec![none_of(2, libc::PROT_EXEC)?]);
    rules.insert(libc::SYS_mprotect, vec![none_of(2, libc::PROT_EXEC)?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, TargetArch::x86_64)?;
    Ok(BpfProgram::try_from(filter)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::UdpSocket;

    #[test]
    fn what_is_open_goes_on_and_nothing_new_is_to_be_had() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let scratch = std::env::temp_dir().join(format!("brant-confine-{}", std::process::id()));
        // The rest of the tests keeps its rights: a filter is its thread's.
        let confined = std::thread::spawn(move || {
            seccompiler::apply_filter(&filter().unwrap()).unwrap();
            let sent = socket.send_to(b"x", to).is_ok();
            let read = fs::read_to_string("/proc/self/stat").is_ok();
            let refused = |outcome: std::io::Result<()>| {
                outcome.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
            };
            let write = refused(fs::write(&scratch, "x"));
            let connect = refused(UdpSocket::bind("127.0.0.1:0").map(drop));
            let signal =
                refused(rustix::process::test_kill_process(rustix::process::getpid()).map_err(Into::into));
            (sent, read, write, connect, signal)
        });
        assert_eq!(confined.join().unwrap(), (true, true, true, true, true));
    }
}
