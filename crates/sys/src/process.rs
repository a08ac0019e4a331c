//! What a deputy and a capsule's PID 1 do with processes: be named, be stopped, end by a signal, take note of ends.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub use libc::{SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// This signal stopped it.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// A child's change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildChange {
    /// Which child.
    pub pid: i32,
    /// What became of it.
    pub change: Change,
    /// For a child that ended: the processor time that it and its waited-for children used, microseconds.
    pub cpu_micros: u64,
}

/// The next change of state of any child, if there is one.
///
/// # Errors
/// What the kernel said; having no children is no error.
pub fn next_change() -> io::Result<Option<ChildChange>> {
    let mut status = 0;
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: both structures live through the call; all-zero bytes are a valid rusage.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &raw mut status, options, &raw mut usage), usage)
    };
    if pid == 0 {
        return Ok(None);
    }
    if pid < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    let change = if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Change::Killed(libc::WTERMSIG(status))
    } else if libc::WIFSTOPPED(status) {
        Change::Stopped(libc::WSTOPSIG(status))
    } else {
        Change::Continued
    };
    let micros = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    Ok(Some(ChildChange { pid, change, cpu_micros: micros(usage.ru_utime) + micros(usage.ru_stime) }))
}

/// Gives the caller the name that `ps` and `top` show.
pub fn set_name(name: &str) {
    let mut bytes = [0_u8; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    // SAFETY: the buffer is 16 bytes with a zero at its end, as PR_SET_NAME wants.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Switches the caller's interval timers off; they outlive an execve.
pub fn stop_timers() {
    // SAFETY: all-zero bytes are a valid itimerval, and mean "off".
    unsafe {
        let off: libc::itimerval = std::mem::zeroed();
        for which in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
            libc::setitimer(which, &raw const off, std::ptr::null_mut());
        }
    }
}

/// Lets go of every descriptor that the caller was born with, but for one; the standard ones lead nowhere then.
///
/// The caller must not have opened anything else yet.
///
/// # Errors
/// What the kernel said; some of them may be closed.
pub fn let_go_of_descriptors(but: Option<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    drop(nowhere);
    let kept = but.as_ref().and_then(|kept| libc::c_uint::try_from(kept.as_raw_fd()).ok()).unwrap_or(2);
    for (from, to) in [(3, kept.saturating_sub(1)), (kept + 1, libc::c_uint::MAX)] {
        // SAFETY: no memory is passed; by the caller's word nobody in this program owns one of these descriptors.
        if from <= to && unsafe { libc::close_range(from, to, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(but)
}

/// Takes over every descriptor that the caller was born with, each with its number; the standard ones lead nowhere then.
///
/// The caller must not have opened anything else yet.
///
/// # Errors
/// What the kernel said.
pub fn inherit_descriptors() -> io::Result<Vec<(i32, OwnedFd)>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    let mut inherited = Vec::new();
    // Before any copy is made, which would take the number that the listing itself had.
    for number in numbers.iter().copied().filter(|number| *number > 2) {
        // SAFETY: no memory is passed; a number that is closed by now (the listing's own) is an error and nothing else.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0 {
            // SAFETY: it is open, and by the caller's word nobody in this program owns it.
            inherited.push((number, unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    for number in numbers.into_iter().filter(|number| *number <= 2) {
        // SAFETY: no memory is passed.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        if copy >= 0 {
            // SAFETY: the kernel has just made this descriptor; nobody else owns it.
            inherited.push((number, unsafe { OwnedFd::from_raw_fd(copy) }));
        }
    }
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(inherited)
}

/// What a fork has made of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// It is who it was; this is the child's number.
    Parent(i32),
    /// It is the child.
    Child,
}

/// Makes a second process of the caller, with the same memory and descriptors.
///
/// # Errors
/// What the kernel said; also when the caller has more than one thread, for then its locks could be held for ever.
pub fn fork() -> io::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other("a process with several threads does not fork here"));
    }
    // SAFETY: there is one thread, so nobody else holds a lock or is in the middle of anything.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        child if child > 0 => Ok(Forked::Parent(child)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The caller ends with its parent, by `SIGKILL`.
pub fn end_with_parent() {
    // SAFETY: no memory is passed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Sleeps for ever; only a signal that is not blocked ends the caller.
pub fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: no memory is passed.
        unsafe { libc::pause() };
    }
}

/// Forgets children that have ended, without anybody asking for their status.
pub fn forget_children() {
    // SAFETY: no memory is passed; ignoring SIGCHLD is what keeps zombies away.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Takes a copy of another process's descriptor (pidfd_getfd(2)); needs the right to trace it.
///
/// # Errors
/// What the kernel said.
pub fn take_descriptor(pid: i32, number: i32) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

/// Stops the caller until somebody continues it.
pub fn stop_self() {
    // SAFETY: no memory is passed.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Ends the caller by this signal, without a core file.
pub fn end_by_signal(signal: i32) -> ! {
    // SAFETY: the structures live through the calls; the caller has one thread.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::kill(libc::getpid(), signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
    // A signal whose default is to be ignored does not end anybody; the shell's convention says the same.
    std::process::exit(128 + signal)
}

/// Blocks every signal of the caller that can be blocked, and gives them as a queue.
///
/// # Errors
/// What the kernel said.
pub fn queue_all_signals() -> io::Result<crate::signal::SignalQueue> {
    let all: Vec<i32> =
        (1..=64).filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP | 32 | 33)).collect();
    crate::signal::SignalQueue::new(&all)
}

/// Who is at the other end of a local socket: process, user.
///
/// # Errors
/// What the kernel said.
pub fn peer_of(socket: &std::os::unix::net::UnixStream) -> io::Result<(i32, u32)> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok((credentials.pid.as_raw_nonzero().get(), credentials.uid.as_raw()))
}

/// A process group's and its terminal's foreground: whether the caller is in it.
pub fn in_foreground(terminal: impl std::os::fd::AsFd) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}
