//! PID 1 of the capsule.
//!
//! ```text
//! (prepared)
//!     │ the image is complete
//! Restoring ──CRIU's step──▶ Held ──Release──▶ Releasing ──CRIU ends──▶ Running ──all have ended──▶ Emptying ─▶ Over
//!     └────────CRIU fails──────┴─────────────────┴─▶ Failed is said,     Depart│ ▲ Stay     the deputy knows all: (end)
//!                                 everything here dies with PID 1             ▼ │
//!                                                                 Frozen ──Pack──▶ Departed
//! ```
//!
//! From every stage: when the lease is over, it ends, and with it all that is in here. A daemon that ends changes
//! nothing; the next one is told how things stand.
//!
//! Memory may be filled in from the image until some time after Running has begun. While others go on after the first
//! process has ended, the stage stays Running. Emptying sends what they wrote last.

mod begin;
mod children;
mod obey;

pub(crate) use begin::run;

use crate::control::Control;
use crate::departure::{self, Departed, Told};
use crate::members;
use crate::numbers;
use crate::offsets::Offsets;
use crate::restore;
use crate::root;
use crate::streams::{OnDemand, Pipes};
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use brant_migration::criu_request::{self, Answer};
use brant_migration::protocol::{End, FromCapsule, FromProcess, NamedMemory};
use brant_migration::session::host::Found;
use brant_migration::session::lease::Lease;
use brant_migration::session::relay;
use brant_migrationd::clock::{self, PATIENCE};
use brant_migrationd::criu;
use brant_migrationd::streams::Streams;
use brant_sys::child::Running;
use brant_sys::signal::SignalQueue;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often it is looked what the processes wait for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// The same, while many events come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

enum Stage {
    Restoring,
    Held,
    Releasing,
    Running,
    Frozen,
    Departed(Departed),
    Emptying,
    Over,
}

struct Capsule {
    pid: i32,
    /// The first process's group, in here.
    group: i32,
    control: Control,
    lease: Lease,
    words: relay::End<FromProcess>,
    told: Told,
    /// CRIU, as long as it has something to say.
    service: Option<OwnedFd>,
    /// What CRIU opens by its number.
    _images: File,
    terminal: Terminal,
    streams: Streams,
    on_demand: Vec<OnDemand>,
    pipes: Pipes,
    offsets: Offsets,
    changes: SignalQueue,
    criu: Running,
    filler: Option<Running>,
    named_memory: Vec<NamedMemory>,
    stage: Stage,
    end: Option<End>,
    is_stopped: bool,
    looked: Instant,
}

/// What there is to do.
struct Ready {
    visited: bool,
    spoken_to: bool,
    hooked: bool,
}

impl Capsule {
    fn live(&mut self) -> Result<()> {
        loop {
            let Ready { visited, spoken_to, hooked } = self.wait()?;
            if hooked {
                self.hear_criu()?;
            }
            if spoken_to && let Some(word) = self.control.hear() {
                self.obey(word)?;
            }
            if visited {
                self.admit()?;
            }
            self.serve_streams();
            while self.changes.take().context("reading signals")?.is_some() {}
            for change in members::reap()? {
                self.note(change)?;
            }
            if matches!(self.stage, Stage::Running) && self.looked.elapsed() >= LOOK_EVERY {
                self.look();
                departure::thaw_if_frozen()?;
            }
            if matches!(self.stage, Stage::Emptying) && self.streams.is_read() {
                self.stage = Stage::Over;
                let end = self.end.context("finishing before the process has ended")?;
                self.words.say(FromProcess::Ended(end));
            }
            self.send_words()?;
            self.control.flush();
            if matches!(self.stage, Stage::Over) && self.words.all_taken() {
                self.control.say_at_once(&FromCapsule::Over);
                return Ok(());
            }
            // What was said meanwhile may have prolonged it.
            if !spoken_to && self.lease.is_over(clock::now()) {
                // Before anything that could wait: whoever is in here must not outlive the lease.
                departure::kill();
                bail!("nothing was heard from the home node for longer than the lease");
            }
        }
    }

    fn wait(&self) -> Result<Ready> {
        let mut fds = vec![PollFd::new(&self.changes, PollFlags::IN)];
        fds.extend(self.control.poll_fds());
        let control_end = fds.len();
        fds.extend(self.service.as_ref().map(|service| PollFd::new(service, PollFlags::IN)));
        if self.words.has_room() && !matches!(self.stage, Stage::Frozen | Stage::Departed(_)) {
            fds.extend(self.streams.poll_fds());
        }
        match poll(&mut fds, Some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting"),
        }
        let ready = |n: usize| !fds[n].revents().is_empty();
        let in_or_gone = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ok(Ready {
            visited: ready(1),
            spoken_to: control_end > 2 && fds[2].revents().intersects(in_or_gone),
            hooked: self.service.is_some() && ready(control_end),
        })
    }

    /// A daemon has come: it is told how things stand.
    fn admit(&mut self) -> Result<()> {
        self.control.admit()?;
        let found = match self.stage {
            Stage::Restoring => None,
            Stage::Held => Some(Found::Held),
            Stage::Releasing | Stage::Running | Stage::Emptying | Stage::Over => Some(Found::Runs),
            Stage::Frozen | Stage::Departed(_) => Some(Found::Frozen),
        };
        let filled = self.filler.is_none() && !matches!(self.stage, Stage::Restoring | Stage::Held);
        self.words.reattached();
        self.control.say(&FromCapsule::Here { found, until: self.lease.until(), filled })
    }

    fn serve_streams(&mut self) {
        if self.words.has_room() && !matches!(self.stage, Stage::Frozen | Stage::Departed(_)) {
            for word in self.streams.serve() {
                self.words.say(FromProcess::Stream(word));
            }
        }
    }

    /// Sends what the deputy has not taken yet, while the process is here.
    fn send_words(&mut self) -> Result<()> {
        let now = clock::now();
        self.words.tick(now, PATIENCE);
        let here = matches!(self.stage, Stage::Running | Stage::Emptying | Stage::Over);
        if here && self.control.has_daemon() {
            while let Some(packet) = self.words.packet(now) {
                self.control.say(&FromCapsule::Packet(packet))?;
            }
        }
        Ok(())
    }

    /// CRIU has come to one of its steps, or to its end. At one of them it waits for the home node's decision.
    fn hear_criu(&mut self) -> Result<()> {
        let Some(service) = &self.service else { return Ok(()) };
        match restore::hear(service)? {
            Some(Answer::Step(step)) if step == criu_request::HELD => self.hold(),
            Some(Answer::Step(_)) => restore::go_on(service),
            Some(Answer::Restored) => self.begin_to_run(),
            Some(Answer::Failed(why)) => {
                let last = criu::errors(&Path::new(root::IMAGES).join("restore.log"));
                bail!("CRIU did not restore it ({why}): {last}")
            }
            // What became of it is known when it is waited for.
            None => {
                self.service = None;
                Ok(())
            }
        }
    }

    fn hold(&mut self) -> Result<()> {
        self.terminal.make_transparent()?;
        self.terminal.give_foreground(members::group_of(self.pid).unwrap_or(self.pid))?;
        self.offsets.take_hold()?;
        numbers::for_the_guest();
        self.stage = Stage::Held;
        self.control.say(&FromCapsule::Held)
    }

    /// Looks what the processes are doing: who is left, who waits for the terminal or a pipe.
    fn look(&mut self) {
        self.looked = Instant::now();
        self.look_for_survivors(false);
        let all = members::all(&self.helpers());
        let wants = members::want_terminal(&all);
        if std::mem::replace(&mut self.told.wants_input, wants) != wants {
            self.words.say(FromProcess::WantsInput(wants));
        }
        let family = members::of_group(&all, self.group).len() > 1;
        if std::mem::replace(&mut self.told.family, family) != family {
            self.words.say(FromProcess::Family(family));
        }
        let mut on_demand = std::mem::take(&mut self.on_demand);
        for stream in &mut on_demand {
            let wish = members::wish(&all, &stream.name(), OnDemand::taste());
            if let Some(word) = stream.ask(wish) {
                self.words.say(FromProcess::Stream(word));
            }
        }
        self.on_demand = on_demand;
    }
}
