//! Making a frozen process become its deputy, inside the same task.

use super::frozen::Frozen;
use crate::inspect::DEPUTY;
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
}

impl Redirected {
    /// Redirects it and lets go; it stays frozen. Whoever dies now, a thaw makes it the deputy and runs nothing else.
    pub(super) fn prepare(pid: i32, arguments: &[Vec<u8>]) -> Result<Self> {
        let maps =
            std::fs::read_to_string(format!("/proc/{pid}/maps")).context("reading the process's mappings")?;
        let code = Region::find(&maps, |line| line.contains(" r-xp ") && line.contains('/'))
            .context("finding the process's code")?;
        let stack =
            Region::find(&maps, |line| line.ends_with("[stack]")).context("finding the process's stack")?;
        let fits = arguments.iter().map(|argument| argument.len() + 9).sum::<usize>() <= MOST_ARGUMENTS;
        let arguments = if fits { arguments } else { &arguments[..1] };
        let held = Held::seize(pid).context("taking hold of the process")?;
        let program = Program { path: DEPUTY, arguments };
        let before = held.redirect(&program, code.start, stack.start).context("redirecting the process")?;
        held.release().context("letting go of the process")?;
        Ok(Self { pid, before })
    }

    /// Undoes it; the process is frozen, and is what it was.
    pub(super) fn undo(self) -> Result<()> {
        let held = Held::seize(self.pid).context("taking hold of the process again")?;
        held.restore(&self.before).context("putting the process back")?;
        held.release().context("letting go of the process")
    }

    /// Thaws it and waits until it is the deputy. Should the kernel have refused the execve, the process spins on one
    /// instruction and has run none of its own code: it is frozen again and put back, as if nothing had happened.
    pub(super) fn become_deputy(self, frozen: &Frozen) -> Result<()> {
        frozen.thaw()?;
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
        frozen.freeze_again()?;
        if std::fs::read_link(&exe).is_ok_and(|path| path == Path::new(DEPUTY)) {
            // Late, but done: there is nothing to put back into.
            return frozen.thaw();
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
