//! PID 1 of the capsule.
//!
//! ```text
//! (prepared)
//!     │ the image is complete
//! Restoring ──CRIU's hook──▶ Held ──Resume──▶ Releasing ──CRIU ends──▶ Running ──the process ends──▶ (over)
//!     └────────CRIU fails──────┴─────────────────┴─▶ Failed is said, everything here dies with PID 1
//! ```
//!
//! Memory may be filled in from the image until some time after `Running` has begun.

use crate::hook;
use crate::restore;
use crate::root;
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{End, FromTarget, ToTarget};
use brant_migrationd::guest::capsule::Setup;
use brant_migrationd::wire;
use brant_sys::child::Running;
use brant_sys::process::{self, Change, ChildChange};
use brant_sys::signal::{self, SignalQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// How often it is looked whether the process waits for input.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Where in the kernel a process sleeps that reads its terminal, or waits for it among others.
const INPUT_WAITS: [&str; 7] =
    ["wait_woken", "n_tty_read", "do_select", "do_sys_poll", "do_poll", "ep_poll", "do_epoll_wait"];
const CPU_EVERY: Duration = Duration::from_secs(1);

enum Stage {
    Restoring,
    Held(UnixStream),
    Releasing,
    Running,
}

struct Capsule {
    pid: i32,
    control: UnixStream,
    hook: UnixListener,
    terminal: Terminal,
    changes: SignalQueue,
    criu: Running,
    filler: Option<Running>,
    stage: Stage,
    wanted_input: bool,
    cpu_told: Instant,
}

/// Restores the process and stays with it to its end.
pub(crate) fn run() -> Result<()> {
    let control = rustix::io::dup(rustix::stdio::stdin()).context("taking the control socket")?;
    let mut control = UnixStream::from(control);
    let setup: Setup =
        wire::receive(&mut control).context("waiting for the set-up")?.context("migrationd went away")?;
    let begun = begin(&setup, control.try_clone().context("sharing the control socket")?);
    let outcome = begun.and_then(Capsule::run);
    if let Err(error) = &outcome {
        let _migrationd_gone = wire::send(&mut control, &FromTarget::Failed(format!("{error:#}")));
    }
    outcome
}

/// Prepares everything, and starts to restore when the image is complete.
fn begin(setup: &Setup, mut control: UnixStream) -> Result<Capsule> {
    root::enter(setup)?;
    // SIGTTOU blocked: the process's group has the terminal, and yet it is this one that sets its modes.
    let changes = SignalQueue::new(&[signal::SIGCHLD, process::SIGTTOU]).context("queueing signals")?;
    let hook = UnixListener::bind(hook::SOCKET).context("listening for CRIU's hook")?;
    let (terminal, slave) = Terminal::open(setup.terminal)?;
    wire::send(&mut control, &FromTarget::Prepared).context("speaking to migrationd")?;
    match wire::receive(&mut control).context("waiting for the image")? {
        Some(ToTarget::Restore) => {}
        other => bail!("did not expect {other:?}"),
    }
    let restore::Restore { criu, filler } = restore::start(slave)?;
    Ok(Capsule {
        pid: setup.pid,
        control,
        hook,
        terminal,
        changes,
        criu,
        filler,
        stage: Stage::Restoring,
        wanted_input: false,
        cpu_told: Instant::now(),
    })
}

impl Capsule {
    fn run(mut self) -> Result<()> {
        loop {
            let mut fds = vec![
                PollFd::new(&self.control, PollFlags::IN),
                PollFd::new(&self.changes, PollFlags::IN),
                PollFd::new(&self.terminal, PollFlags::IN),
            ];
            if matches!(self.stage, Stage::Restoring) {
                fds.push(PollFd::new(&self.hook, PollFlags::IN));
            }
            match poll(&mut fds, Some(&LOOK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("waiting"),
            }
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            if ready[2].contains(PollFlags::IN) {
                self.hand_output_on()?;
            }
            if ready.get(3).is_some_and(|ready| !ready.is_empty()) {
                self.hold()?;
            }
            if !ready[0].is_empty() {
                match wire::receive(&mut self.control).context("listening to migrationd")? {
                    Some(word) => self.obey(word)?,
                    // Nobody left to run for: all that is in here ends with PID 1.
                    None => return Ok(()),
                }
            }
            while self.changes.take().context("reading signals")?.is_some() {}
            while let Some(change) = process::next_change().context("waiting for children")? {
                if self.note(change)? {
                    return Ok(());
                }
            }
            if matches!(self.stage, Stage::Running) {
                self.look()?;
                // A terminal whose slave nobody holds is always "ready"; do not spin on it.
                if ready[2].contains(PollFlags::HUP) && !ready[2].contains(PollFlags::IN) {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    fn say(&mut self, word: &FromTarget) -> Result<()> {
        wire::send(&mut self.control, word).context("speaking to migrationd")
    }

    fn hold(&mut self) -> Result<()> {
        let (criu, _) = self.hook.accept().context("taking CRIU's hook")?;
        self.terminal.make_transparent()?;
        self.stage = Stage::Held(criu);
        self.say(&FromTarget::RestoredStopped)
    }

    fn obey(&mut self, word: ToTarget) -> Result<()> {
        match word {
            ToTarget::Resume => match std::mem::replace(&mut self.stage, Stage::Releasing) {
                Stage::Held(mut criu) => criu.write_all(b"g").context("letting CRIU go on"),
                _ => bail!("told to resume a process that is not held"),
            },
            ToTarget::Signal(signal) => self.deliver(signal),
            ToTarget::Input(bytes) => self.terminal.write(&bytes),
            ToTarget::Resize(size) => self.terminal.resize(size),
            other => bail!("did not expect {other:?}"),
        }
    }

    /// Delivers a signal from home. The process's group has no shell in here and counts as orphaned, so the kernel
    /// would ignore a terminal stop: where the process has not its own handler for it, it is stopped outright.
    fn deliver(&self, number: i32) -> Result<()> {
        let stops = matches!(number, process::SIGTSTP | process::SIGTTIN | process::SIGTTOU);
        let number = if stops && !self.handles(number) { process::SIGSTOP } else { number };
        signal::send(self.pid, number).context("delivering a signal")
    }

    fn handles(&self, number: i32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            u64::from_str_radix(line.trim(), 16).unwrap_or(0)
        };
        (set("SigCgt:") | set("SigIgn:")) & (1 << (number - 1)) != 0
    }

    /// Notes what became of a child; true once the process has ended.
    fn note(&mut self, change: ChildChange) -> Result<bool> {
        if i64::from(change.pid) == i64::from(self.criu.id()) {
            return self.note_criu(change.change).map(|()| false);
        }
        if self.filler.as_ref().is_some_and(|filler| i64::from(change.pid) == i64::from(filler.id())) {
            return self.note_filler(change.change).map(|()| false);
        }
        if change.pid != self.pid {
            return Ok(false);
        }
        let end = match change.change {
            Change::Stopped(signal) => return self.say(&FromTarget::Stopped(signal)).map(|()| false),
            Change::Continued => return self.say(&FromTarget::Continued).map(|()| false),
            Change::Exited(status) => End::Exited(status),
            Change::Killed(signal) => End::Killed(signal),
        };
        if !matches!(self.stage, Stage::Running | Stage::Releasing) {
            bail!("the restored process ended before it was let go");
        }
        // First all that it said, then that it has ended.
        while self.hand_output_on()? {}
        self.say(&FromTarget::CpuTime(change.cpu_micros))?;
        self.say(&FromTarget::Ended(end))?;
        Ok(true)
    }

    fn note_criu(&mut self, change: Change) -> Result<()> {
        match (change, &self.stage) {
            (Change::Exited(0), Stage::Releasing) => {
                self.stage = Stage::Running;
                self.say(&FromTarget::Resumed)?;
                if self.filler.is_none() { self.say(&FromTarget::Filled) } else { Ok(()) }
            }
            (Change::Exited(0), _) => bail!("CRIU ended without waiting"),
            (Change::Stopped(_) | Change::Continued, _) => Ok(()),
            (change, _) => {
                let log =
                    std::fs::read_to_string(format!("{}/restore.log", root::IMAGES)).unwrap_or_default();
                let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error")).collect();
                let last = errors.iter().rev().take(6).rev().copied().collect::<Vec<_>>().join("; ");
                bail!("CRIU did not restore it ({change:?}): {last}")
            }
        }
    }

    /// Notes that the memory is all there, or never will be.
    fn note_filler(&mut self, change: Change) -> Result<()> {
        match (change, &self.stage) {
            (Change::Exited(0), Stage::Running | Stage::Releasing) => {
                self.filler = None;
                restore::make_huge(self.pid);
                self.say(&FromTarget::Filled)
            }
            (Change::Stopped(_) | Change::Continued, _) => Ok(()),
            (change, _) => bail!("the process's memory cannot be filled any more: {change:?}"),
        }
    }

    /// Hands on what the process wrote to its terminal; false when there was nothing.
    fn hand_output_on(&mut self) -> Result<bool> {
        let bytes = self.terminal.read()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        self.say(&FromTarget::Output(bytes))?;
        Ok(true)
    }

    /// Looks what the process is doing: whether it waits for its terminal, and what it has used.
    fn look(&mut self) -> Result<()> {
        let wchan = std::fs::read_to_string(format!("/proc/{}/wchan", self.pid)).unwrap_or_default();
        let wants = INPUT_WAITS.contains(&wchan.trim());
        if wants != self.wanted_input {
            self.wanted_input = wants;
            self.say(&FromTarget::WantsInput(wants))?;
        }
        if self.cpu_told.elapsed() >= CPU_EVERY {
            self.cpu_told = Instant::now();
            if let Some(summary) = brant_migrationd::inspect::summary(self.pid) {
                let micros = u64::try_from(summary.cpu.as_micros()).unwrap_or(u64::MAX);
                self.say(&FromTarget::CpuTime(micros))?;
            }
        }
        Ok(())
    }
}
