//! Ctrl-C and `kill`: the running child ends at once, and the work then unwinds by the ordinary error path,
//! which removes everything half done.

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, Signal as Kill, kill_process_group};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

static RECEIVED: OnceLock<Signal> = OnceLock::new();
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

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
            for group in groups().iter() {
                end_group(*group);
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

/// While this lives, a signal ends the process group of the child.
#[derive(Debug)]
pub(crate) struct Registered(i32);

impl Registered {
    /// Registers a child that leads a process group of its own.
    pub(crate) fn new(child: u32) -> Self {
        let group = i32::try_from(child).unwrap_or(0);
        groups().insert(group);
        if received().is_some() {
            end_group(group);
        }
        Self(group)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        groups().remove(&self.0);
    }
}

fn groups() -> MutexGuard<'static, BTreeSet<i32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_group(group: i32) {
    if let Some(pid) = Pid::from_raw(group) {
        let _already_gone = kill_process_group(pid, Kill::KILL);
    }
}
