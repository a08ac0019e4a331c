//! Making a frozen process become its deputy, inside the same task.

use super::frozen::Frozen;
use crate::inspect::{self, DEPUTY};
use anyhow::{Context, Result, bail};
use brant_sys::ptrace::{Before, Held, Program};
use std::path::Path;
use std::time::{Duration, Instant};

/// The most that the deputy is given of the process's arguments, bytes; they are only there for `ps` to show.
const MOST_ARGUMENTS: usize = 32 << 10;
/// How long the execve may take once the process is thawed.
const SOON: Duration = Duration::from_secs(10);

/// A frozen process whose next act is to become the deputy.
pub(super) struct Redirected {
    pid: i32,
    before: Before,
    /// The process's other threads, parked: the execve ends them.
    parked: Vec<(i32, Before)>,
    stopped: bool,
}

impl Redirected {
    /// Redirects it and lets go; it stays frozen, apart from its descendants. Whoever dies now, a thaw makes it the
    /// deputy and runs nothing else.
    pub(super) fn prepare(frozen: &Frozen, pid: i32, arguments: &[Vec<u8>], stopped: bool) -> Result<Self> {
        frozen.set_leader_apart()?;
        let maps =
            std::fs::read_to_string(format!("/proc/{pid}/maps")).context("reading the process's mappings")?;
        let code = Region::find(&maps, |line| line.contains(" r-xp ") && line.contains('/'))
            .context("finding the process's code")?;
        let stack =
            Region::find(&maps, |line| line.ends_with("[stack]")).context("finding the process's stack")?;
        let fits = arguments.iter().map(|argument| argument.len() + 9).sum::<usize>() <= MOST_ARGUMENTS;
        let arguments = if fits { arguments } else { &arguments[..1] };
        let held = Held::seize(pid, pid).context("taking hold of the process")?;
        let program = Program { path: DEPUTY, arguments };
        let before = held.redirect(&program, code.start, stack.start).context("redirecting the process")?;
        held.release().context("letting go of the process")?;
        let mut redirected = Self { pid, before, parked: Vec::new(), stopped };
        if let Err(error) = redirected.park_threads() {
            redirected.undo()?;
            return Err(error);
        }
        Ok(redirected)
    }

    fn park_threads(&mut self) -> Result<()> {
        for thread in inspect::threads(self.pid).into_iter().filter(|thread| *thread != self.pid) {
            let held = Held::seize(self.pid, thread).context("taking hold of a thread")?;
            let before = held.park(&self.before).context("parking a thread")?;
            self.parked.push((thread, before));
            held.release().context("letting go of a thread")?;
        }
        Ok(())
    }

    /// Undoes it; the process is frozen, and is what it was.
    pub(super) fn undo(self) -> Result<()> {
        for (thread, before) in &self.parked {
            let held = Held::seize(self.pid, *thread).context("taking hold of a thread again")?;
            held.unpark(before).context("putting a thread back")?;
            held.release().context("letting go of a thread")?;
        }
        let held = Held::seize(self.pid, self.pid).context("taking hold of the process again")?;
        held.restore(&self.before).context("putting the process back")?;
        held.release().context("letting go of the process")
    }

    /// Thaws it and waits until it is the deputy. Should the kernel have refused the execve, the process spins on one
    /// instruction and has run none of its own code: it is frozen again and put back, as if nothing had happened.
    ///
    /// One that Ctrl-Z has stopped stays stopped: it becomes the deputy with its first instruction after `fg`.
    pub(super) fn become_deputy(self, frozen: &Frozen) -> Result<()> {
        frozen.thaw_leader()?;
        if self.stopped {
            return Ok(());
        }
        let start = Instant::now();
        let exe = format!("/proc/{}/exe", self.pid);
        loop {
            match std::fs::read_link(&exe) {
                Ok(path) if path == Path::new(DEPUTY) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("the process was killed"),
                _ if start.elapsed() > SOON => break,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        frozen.freeze_leader_again()?;
        if std::fs::read_link(&exe).is_ok_and(|path| path == Path::new(DEPUTY)) {
            // Late, but done: there is nothing to put back into.
            return frozen.thaw_leader();
        }
        self.undo()?;
        bail!("the kernel did not let the process become its deputy")
    }
}

struct Region {
    start: u64,
}

impl Region {
    fn find(maps: &str, wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let line = maps.lines().find(|line| wanted(line))?;
        let start = u64::from_str_radix(line.split('-').next()?, 16).ok()?;
        Some(Self { start })
    }
}
