//! Ctrl-C and `kill`: the running child ends at once, and the work then unwinds by the ordinary error path,
//! which removes everything half done.

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

static RECEIVED: OnceLock<Signal> = OnceLock::new();
static GROUPS: Mutex<BTreeMap<i32, End>> = Mutex::new(BTreeMap::new());

/// What a signal does to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is killed.
    Killed,
    /// It gets the same signal, and clears up behind itself.
    Told,
}

/// The work was told to stop.
#[derive(Debug, thiserror::Error)]
#[error("told to stop")]
pub(crate) struct Interrupted;

/// Starts to watch for SIGINT, SIGTERM and SIGHUP. To be called before any other thread exists.
pub(crate) fn watch() {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    if signals.thread_block().is_err() {
        return; // the signals keep their default action: this process ends, and its children with it
    }
    std::thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            if RECEIVED.set(signal).is_err() {
                // The second time somebody is in a hurry; children die with this process.
                std::process::exit(128 + signal as i32);
            }
            for (group, end) in groups().iter() {
                end_group(*group, *end, signal);
            }
        }
    });
}

/// The signal that asked this process to stop, if one did.
pub(crate) fn received() -> Option<Signal> {
    RECEIVED.get().copied()
}

/// To be called now and then in long work.
///
/// # Errors
/// [`Interrupted`] once a signal has been received.
pub(crate) fn check() -> Result<(), Interrupted> {
    received().map_or(Ok(()), |_| Err(Interrupted))
}

/// While this lives, a signal ends the process group of the child, or is passed on to it.
#[derive(Debug)]
pub(crate) struct Registered(i32);

impl Registered {
    /// Registers a child that leads a process group of its own; a signal kills the group.
    pub(crate) fn new(child: u32) -> Self {
        Self::with(child, End::Killed)
    }

    /// The same; the group gets the signal that came.
    pub(crate) fn told(child: u32) -> Self {
        Self::with(child, End::Told)
    }

    fn with(child: u32, end: End) -> Self {
        let group = i32::try_from(child).unwrap_or(0);
        groups().insert(group, end);
        if let Some(signal) = received() {
            end_group(group, end, signal);
        }
        Self(group)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        groups().remove(&self.0);
    }
}

fn groups() -> MutexGuard<'static, BTreeMap<i32, End>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_group(group: i32, end: End, signal: Signal) {
    let signal = match end {
        End::Killed => Signal::SIGKILL,
        End::Told => signal,
    };
    let _already_gone = killpg(Pid::from_raw(group), signal);
}
