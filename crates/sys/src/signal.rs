//! Signals as something to read (signalfd), for programs that live in one poll loop.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

/// Signal numbers that callers name.
pub use libc::{
    SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// The size of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// A signal that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel itself has sent it: a key typed at the terminal, a hang-up.
    pub by_kernel: bool,
    /// The process that has sent it, where one has.
    pub sender: i32,
}

/// Signals that are blocked and delivered by reading.
#[derive(Debug)]
pub struct SignalQueue {
    file: File,
}

impl SignalQueue {
    /// Blocks these signals for the calling thread and its later children threads, and queues them here.
    ///
    /// Child processes started through [`crate::child::Tool`] start with nothing blocked.
    ///
    /// # Errors
    /// What the kernel said; then nothing is blocked.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        // SAFETY: `set` is initialised by sigemptyset before any other use, and lives through the calls.
        let fd = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
            if fd < 0 || libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            fd
        };
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        Ok(Self { file: unsafe { File::from_raw_fd(fd) } })
    }

    /// The next signal's number, if one has come; equal ones may have been merged by the kernel.
    ///
    /// # Errors
    /// What the kernel said, an empty queue excepted.
    pub fn take(&mut self) -> io::Result<Option<i32>> {
        Ok(self.take_with_sender()?.map(|received| received.signal))
    }

    /// The same, with what the kernel knows of its sender.
    ///
    /// # Errors
    /// What the kernel said, an empty queue excepted.
    pub fn take_with_sender(&mut self) -> io::Result<Option<Received>> {
        let mut record = [0_u8; RECORD];
        // `ssi_signo`, `ssi_errno`, `ssi_code` and `ssi_pid` come first, four bytes each.
        let field = |record: &[u8], n: usize| {
            record[4 * n..][..4].try_into().map(i32::from_ne_bytes).unwrap_or_default()
        };
        match self.file.read(&mut record) {
            Ok(RECORD) => Ok(Some(Received {
                signal: field(&record, 0),
                by_kernel: field(&record, 2) == libc::SI_KERNEL,
                sender: field(&record, 3),
            })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Sends a signal to every process but the caller and PID 1; finding nobody is fine.
///
/// # Errors
/// What the kernel said.
pub fn send_to_all(signal: i32) -> io::Result<()> {
    send(-1, signal)
}

/// Sends a signal to one process; one that is gone is fine.
///
/// # Errors
/// What the kernel said.
pub fn send(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_oneself_is_read_from_the_queue() {
        let mut queue = SignalQueue::new(&[SIGWINCH]).unwrap();
        assert_eq!(queue.take().unwrap(), None);
        // SAFETY: no memory is passed; the signal goes to this thread, which has blocked it.
        unsafe { libc::raise(SIGWINCH) };
        let me = i32::try_from(std::process::id()).unwrap();
        let expected = Received { signal: SIGWINCH, by_kernel: false, sender: me };
        assert_eq!(queue.take_with_sender().unwrap(), Some(expected));
        assert_eq!(queue.take().unwrap(), None);
    }
}
