//! Making a frozen process become its deputy, inside the same task.

use super::frozen::Frozen;
use crate::inspect::{self, DEPUTY};
use anyhow::{Context, Result, bail};
use brant_sys::ptrace::{BEFORE_LENGTH, Before, Covered, Held, Program};
use std::path::Path;
use std::time::{Duration, Instant};

/// The most that the deputy is given of the process's arguments, bytes; they are only there for `ps` to show.
const MOST_ARGUMENTS: usize = 32 << 10;
/// How long the execve may take once the process is thawed.
const SOON: Duration = Duration::from_secs(10);

/// What a frozen process was before it was redirected: each of its threads, the first one first.
pub(super) struct Was {
    pid: i32,
    threads: Vec<(i32, Before)>,
    covered: Covered,
}

/// A frozen process whose next act is to become the deputy.
pub(super) struct Redirected {
    was: Was,
    stopped: bool,
}

impl Was {
    /// Looks at it, and at where the deputy's arguments will be; nothing is changed.
    pub(super) fn look(pid: i32, arguments: &[Vec<u8>]) -> Result<Self> {
        let maps = maps(pid)?;
        let code = Region::find(&maps, |line| line.contains(" r-xp ") && line.contains('/'))
            .context("finding the process's code")?;
        // The far end of the first stack: a thread may have its own anywhere (Go's goroutines), this one is always there.
        let stack = Region::find(&maps, |line| line.ends_with("[stack]")).context("finding its stack")?;
        let (mut threads, mut covered) = (Vec::new(), None);
        for thread in inspect::threads(pid) {
            let held = Held::seize(pid, thread).context("taking hold of a thread")?;
            threads.push((thread, held.look(code.start).context("looking at a thread")?));
            if thread == pid {
                covered = Some(held.cover(&deputy(arguments), stack.start).context("looking at its stack")?);
            }
            held.release().context("letting go of a thread")?;
        }
        let covered = covered.context("the process has no first thread any more")?;
        Ok(Self { pid, threads, covered })
    }

    /// Makes its next act to become the deputy, and lets go; it stays frozen, apart from its descendants. Whoever dies
    /// now, a thaw makes it the deputy and runs nothing else.
    pub(super) fn redirect(
        self,
        frozen: &Frozen,
        arguments: &[Vec<u8>],
        stopped: bool,
    ) -> Result<Redirected> {
        frozen.set_leader_apart()?;
        let redirected = Redirected { was: self, stopped };
        if let Err(error) = redirected.was.change(arguments) {
            redirected.undo()?;
            return Err(error);
        }
        Ok(redirected)
    }

    fn change(&self, arguments: &[Vec<u8>]) -> Result<()> {
        for (thread, before) in &self.threads {
            let held = Held::seize(self.pid, *thread).context("taking hold of a thread")?;
            if *thread == self.pid {
                held.redirect(before, &deputy(arguments), &self.covered)
                    .context("redirecting the process")?;
            } else {
                held.park(before).context("parking a thread")?;
            }
            held.release().context("letting go of a thread")?;
        }
        Ok(())
    }

    /// Puts the frozen process back; it is what it was.
    pub(super) fn put_back(&self) -> Result<()> {
        for (thread, before) in self.threads.iter().rev() {
            let held = Held::seize(self.pid, *thread).context("taking hold of a thread again")?;
            if *thread == self.pid { held.restore(before, &self.covered) } else { held.unpark(before) }
                .context("putting a thread back")?;
            held.release().context("letting go of a thread")?;
        }
        Ok(())
    }

    /// As bytes, for the journal.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let thread =
            |(thread, before): &(i32, Before)| [&thread.to_ne_bytes()[..], &before.to_bytes()].concat();
        let covered = self.covered.to_bytes();
        let length = u32::try_from(covered.len()).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
        [length, covered].into_iter().flatten().chain(self.threads.iter().flat_map(thread)).collect()
    }

    /// From the journal.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let thread = |part: &[u8]| {
            let (thread, before) = part.split_at_checked(4)?;
            Some((i32::from_ne_bytes(thread.try_into().ok()?), Before::from_bytes(before)?))
        };
        let (length, bytes) = bytes.split_at_checked(4)?;
        let length = usize::try_from(u32::from_ne_bytes(length.try_into().ok()?)).ok()?;
        let (covered, bytes) = bytes.split_at_checked(length)?;
        let covered = Covered::from_bytes(covered)?;
        let threads = bytes.chunks(4 + BEFORE_LENGTH).map(thread).collect::<Option<Vec<_>>>()?;
        Some(Self { pid: threads.first()?.0, threads, covered })
    }
}

impl Redirected {
    /// Undoes it; the process is frozen, and is what it was.
    pub(super) fn undo(self) -> Result<()> {
        self.was.put_back()
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
        let exe = format!("/proc/{}/exe", self.was.pid);
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

/// The deputy with the process's arguments; only its name where they are too many.
fn deputy(arguments: &[Vec<u8>]) -> Program<'_> {
    let fits = arguments.iter().map(|argument| argument.len() + 9).sum::<usize>() <= MOST_ARGUMENTS;
    Program { path: DEPUTY, arguments: if fits { arguments } else { &arguments[..1] } }
}

fn maps(pid: i32) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).context("reading the process's mappings")
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
