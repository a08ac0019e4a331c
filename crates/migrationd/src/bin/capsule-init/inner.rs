//! PID 1 of the capsule.
//!
//! ```text
//! (prepared)
//!     │ the image is complete
//! Restoring ──CRIU's hook──▶ Held ──Resume──▶ Releasing ──CRIU ends──▶ Running ──all have ended──▶ Emptying ─▶ (over)
//!     └────────CRIU fails──────┴─────────────────┴─▶ Failed is said,    Depart│ ▲ Stay
//!                                 everything here dies with PID 1            ▼ │
//!                                                                      Departed ──Left─▶ (over)
//! ```
//!
//! Memory may be filled in from the image until some time after Running has begun.
//! While others go on after the first process has ended, the stage stays Running. Emptying sends what they wrote last.

use crate::departure::{self, Departed, Luggage};
use crate::hook;
use crate::members;
use crate::offsets::Offsets;
use crate::restore::{self, Restore};
use crate::root;
use crate::streams::{self, Made, OnDemand, Pipes};
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{End, FromTarget, ToTarget};
use brant_migrationd::criu;
use brant_migrationd::guest::capsule::Setup;
use brant_migrationd::outbox::Outbox;
use brant_migrationd::streams::Streams;
use brant_migrationd::wire;
use brant_sys::child::Running;
use brant_sys::process::{self, Change, ChildChange};
use brant_sys::signal::{self, SignalQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often it is looked what the processes wait for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// The same, while many events come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

enum Stage {
    Restoring,
    Held(UnixStream),
    Releasing,
    Running,
    Departed(Departed),
    Emptying,
}

struct Capsule {
    pid: i32,
    /// The first process's group, in here.
    group: i32,
    control: UnixStream,
    outbox: Outbox,
    hook: UnixListener,
    terminal: Terminal,
    streams: Streams,
    on_demand: Vec<OnDemand>,
    pipes: Pipes,
    offsets: Offsets,
    changes: SignalQueue,
    criu: Running,
    filler: Option<Running>,
    departs_when_filled: bool,
    has_named_memory: bool,
    stage: Stage,
    end: Option<End>,
    wanted_input: bool,
    had_family: bool,
    looked: Instant,
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
    let terminal = Terminal::open(setup.user, setup.terminal)?;
    wire::send(&mut control, &FromTarget::Prepared).context("speaking to migrationd")?;
    match wire::receive(&mut control).context("waiting for the image")? {
        Some(ToTarget::Restore) => {}
        other => bail!("did not expect {other:?}"),
    }
    root::named_memory(setup)?;
    let luggage = Luggage::unpack(Path::new(root::IMAGES))?;
    let Made { streams, ends, on_demand, pipes } =
        streams::make(&setup.streams, setup.user, terminal.output()?, luggage)?;
    let Restore { criu, filler } = restore::start(&terminal, ends)?;
    Ok(Capsule {
        pid: setup.pid,
        group: 0,
        control,
        outbox: Outbox::default(),
        hook,
        terminal,
        streams,
        on_demand,
        pipes,
        offsets: Offsets::of(&setup.shared_files),
        changes,
        criu,
        filler,
        departs_when_filled: false,
        has_named_memory: !setup.named_memory.is_empty(),
        stage: Stage::Restoring,
        end: None,
        wanted_input: false,
        had_family: false,
        looked: Instant::now(),
    })
}

impl Capsule {
    fn run(mut self) -> Result<()> {
        loop {
            let [spoken_to, hooked] = self.wait()?;
            if hooked {
                self.hold()?;
            }
            if spoken_to {
                match wire::receive(&mut self.control).context("listening to migrationd")? {
                    Some(word) => self.obey(word)?,
                    // Nobody left to run for: all that is in here ends with PID 1.
                    None => return Ok(()),
                }
            }
            if !matches!(self.stage, Stage::Departed(_)) {
                for word in self.streams.serve() {
                    self.say(&FromTarget::Stream(word))?;
                }
            }
            while self.changes.take().context("reading signals")?.is_some() {}
            for change in members::reap()? {
                self.note(change)?;
            }
            if matches!(self.stage, Stage::Running) && self.looked.elapsed() >= LOOK_EVERY {
                self.look()?;
            }
            if matches!(self.stage, Stage::Emptying) && self.streams.is_read() {
                return self.finish();
            }
            self.outbox.flush(&self.control).context("speaking to migrationd")?;
        }
    }

    /// Waits for something to do: whether migrationd speaks, whether CRIU has reached its hook.
    fn wait(&self) -> Result<[bool; 2]> {
        let outgoing = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let mut fds = vec![
            PollFd::new(&self.control, PollFlags::IN | outgoing),
            PollFd::new(&self.changes, PollFlags::IN),
            PollFd::new(&self.hook, PollFlags::IN),
        ];
        fds.extend(self.streams.poll_fds());
        match poll(&mut fds, Some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting"),
        }
        let spoken_to = fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok([spoken_to, matches!(self.stage, Stage::Restoring) && !fds[2].revents().is_empty()])
    }

    fn say(&mut self, word: &FromTarget) -> Result<()> {
        self.outbox.say(word).context("speaking to migrationd")
    }

    fn hold(&mut self) -> Result<()> {
        let (criu, _) = self.hook.accept().context("taking CRIU's hook")?;
        self.terminal.make_transparent()?;
        self.offsets.take_hold()?;
        self.stage = Stage::Held(criu);
        self.say(&FromTarget::RestoredStopped)
    }

    fn obey(&mut self, word: ToTarget) -> Result<()> {
        match word {
            ToTarget::Resume => match std::mem::replace(&mut self.stage, Stage::Releasing) {
                Stage::Held(mut criu) => criu.write_all(b"g").context("letting CRIU go on"),
                _ => bail!("told to resume a process that is not held"),
            },
            ToTarget::Depart(_) => self.depart(),
            ToTarget::Stay => self.stay(),
            ToTarget::Signal(signal) => members::deliver(self.pid, signal),
            ToTarget::SignalGroup(signal) => {
                let group = members::of_group(&members::all(&self.helpers()), self.group);
                group.into_iter().try_for_each(|pid| members::deliver(pid, signal))
            }
            ToTarget::Input(bytes) => self.terminal.write(&bytes),
            ToTarget::Resize(size) => self.terminal.resize(size),
            ToTarget::Stream(word) => {
                self.on_demand.iter_mut().for_each(|stream| stream.came(&word));
                self.streams.take(word);
                Ok(())
            }
            other => bail!("did not expect {other:?}"),
        }
    }

    /// Makes the process ready to leave; what fails is undone.
    fn depart(&mut self) -> Result<()> {
        if self.filler.is_some() {
            // Only memory that is all there can be dumped.
            self.departs_when_filled = true;
            return Ok(());
        }
        if !matches!(self.stage, Stage::Running) || self.end.is_some() {
            return self.say(&FromTarget::DepartureFailed("it is just ending".to_owned()));
        }
        if self.has_named_memory {
            let why = "shared memory with a name moves once only";
            return self.say(&FromTarget::DepartureFailed(why.to_owned()));
        }
        let dumped = departure::freeze().and_then(|()| {
            for word in self.streams.drain() {
                self.say(&FromTarget::Stream(word))?;
            }
            self.tell_offsets()?;
            departure::dump(self.pid, &mut self.streams, &self.pipes)
        });
        match dumped {
            Ok(departed) => {
                self.stage = Stage::Departed(departed);
                self.say(&FromTarget::Departing)
            }
            Err(error) => {
                departure::thaw()?;
                self.say(&FromTarget::DepartureFailed(format!("{error:#}")))
            }
        }
    }

    /// It does not leave after all; one that has not departed yet never will for that hop.
    fn stay(&mut self) -> Result<()> {
        self.departs_when_filled = false;
        match std::mem::replace(&mut self.stage, Stage::Running) {
            Stage::Departed(departed) => {
                departed.undo(&mut self.streams, &self.pipes)?;
                departure::thaw()
            }
            other => {
                self.stage = other;
                Ok(())
            }
        }
    }

    /// Processes of our own in here.
    fn helpers(&self) -> Vec<i32> {
        let ids = [Some(self.criu.id()), self.filler.as_ref().map(Running::id)];
        ids.into_iter().flatten().filter_map(|id| i32::try_from(id).ok()).collect()
    }

    /// Notes what became of a child.
    fn note(&mut self, change: ChildChange) -> Result<()> {
        if i64::from(change.pid) == i64::from(self.criu.id()) {
            return self.note_criu(change.change);
        }
        if self.filler.as_ref().is_some_and(|filler| i64::from(change.pid) == i64::from(filler.id())) {
            return self.note_filler(change.change);
        }
        if change.pid != self.pid || self.end.is_some() {
            return Ok(());
        }
        let end = match change.change {
            Change::Stopped(signal) => return self.say(&FromTarget::Stopped(signal)),
            Change::Continued => return self.say(&FromTarget::Continued),
            Change::Exited(status) => End::Exited(status),
            Change::Killed(signal) => End::Killed(signal),
        };
        if !matches!(self.stage, Stage::Running | Stage::Releasing) {
            bail!("the restored process ended before it was let go");
        }
        self.end = Some(end);
        self.look_for_survivors(true)
    }

    fn note_criu(&mut self, change: Change) -> Result<()> {
        match (change, &self.stage) {
            (Change::Exited(0), Stage::Releasing) => {
                self.stage = Stage::Running;
                self.group = members::group_of(self.pid).unwrap_or(self.pid);
                self.say(&FromTarget::Resumed)?;
                if self.filler.is_none() {
                    self.say(&FromTarget::Filled)?;
                }
                // It may have ended before CRIU did.
                self.look_for_survivors(true)
            }
            (Change::Exited(0), _) => bail!("CRIU ended without waiting"),
            (Change::Stopped(_) | Change::Continued, _) => Ok(()),
            (change, _) => {
                let last = criu::errors(&Path::new(root::IMAGES).join("restore.log"));
                bail!("CRIU did not restore it ({change:?}): {last}")
            }
        }
    }

    /// Notes that the memory is all there, or never will be.
    fn note_filler(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Stopped(_) | Change::Continued => Ok(()),
            Change::Exited(0) if matches!(self.stage, Stage::Running | Stage::Releasing) => {
                self.filler = None;
                restore::make_huge(self.pid);
                self.say(&FromTarget::Filled)?;
                if std::mem::take(&mut self.departs_when_filled) { self.depart() } else { Ok(()) }
            }
            // Nobody's memory is left to fill.
            _ if self.end.is_some() => {
                self.filler = None;
                self.say(&FromTarget::Filled)
            }
            change => bail!("the process's memory cannot be filled any more: {change:?}"),
        }
    }

    /// Once the first process has ended: goes on for those it has left behind, or empties the streams.
    fn look_for_survivors(&mut self, just_ended: bool) -> Result<()> {
        let (Some(end), Stage::Running) = (self.end, &self.stage) else { return Ok(()) };
        if just_ended {
            self.tell_offsets()?;
        }
        if members::all(&self.helpers()).is_empty() {
            self.tell_offsets()?;
            // With nobody on the other side, the terminal comes to an end, too.
            self.terminal.let_go();
            self.stage = Stage::Emptying;
            return Ok(());
        }
        if just_ended { self.say(&FromTarget::LeaderEnded(end)) } else { Ok(()) }
    }

    /// Tells of shared files in which the process has come further.
    fn tell_offsets(&mut self) -> Result<()> {
        for (file, offset) in self.offsets.news() {
            self.say(&FromTarget::Offset(file, offset))?;
        }
        Ok(())
    }

    /// Says the last word, after everything that was written.
    fn finish(mut self) -> Result<()> {
        let end = self.end.context("finishing before the process has ended")?;
        self.say(&FromTarget::Ended(end))?;
        while !self.outbox.is_empty() {
            self.outbox.flush(&self.control).context("speaking to migrationd")?;
            let mut fds = [PollFd::new(&self.control, PollFlags::OUT)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("waiting for migrationd"),
            }
        }
        Ok(())
    }

    /// Looks what the processes are doing: who is left, who waits for the terminal or a pipe.
    fn look(&mut self) -> Result<()> {
        self.looked = Instant::now();
        self.look_for_survivors(false)?;
        let all = members::all(&self.helpers());
        let wants = members::want_terminal(&all);
        if wants != self.wanted_input {
            self.wanted_input = wants;
            self.say(&FromTarget::WantsInput(wants))?;
        }
        let has_family = members::of_group(&all, self.group).len() > 1;
        if has_family != self.had_family {
            self.had_family = has_family;
            self.say(&FromTarget::Family(has_family))?;
        }
        let mut on_demand = std::mem::take(&mut self.on_demand);
        for stream in &mut on_demand {
            let wish = members::wish(&all, &stream.name(), OnDemand::taste());
            if let Some(word) = stream.ask(wish) {
                self.say(&FromTarget::Stream(word))?;
            }
        }
        self.on_demand = on_demand;
        Ok(())
    }
}
