//! PID 1 of the running node: services, logins, orphans, and the orderly end.
//!
//! One thread and one poll loop do everything. No other thread starts or waits for children, so none can snatch
//! another's exit status, and the death signal of a child can only come from PID 1's own end.
//!
//! ```text
//! prepare → turn, turn, turn … → (a signal asks for the end) → sessions, services, everybody → flush → reboot(2)
//! ```

mod backoff;
pub(crate) mod console;
mod ending;
mod greeting;
mod log;
mod login;
mod prepare;
mod service;

use crate::consoles;
use crate::power::Ending;
use crate::report;
use crate::rescue::Step;
use anyhow::{Context, Result};
use brant_sys::cgroup::Cgroup;
use brant_sys::signal::{self, SignalQueue};
use brant_types::account::Account;
use login::{Door, Login};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use service::Service;
use std::fs;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

pub(crate) use ending::flush;

const SIGNALS: [i32; 5] =
    [signal::SIGCHLD, signal::SIGTERM, signal::SIGINT, signal::SIGUSR1, signal::SIGUSR2];

/// A descriptor that a part of the supervisor waits for.
type Interest<'a> = (BorrowedFd<'a>, PollFlags);

/// Everything that PID 1 looks after.
struct Supervisor {
    signals: SignalQueue,
    services: Vec<Service>,
    logins: Vec<Login>,
    asked: Option<Ending>,
}

/// Runs the node until somebody ends it; returns only when something is badly wrong.
pub(crate) fn run() -> Result<()> {
    prepare::node().context(Step {
        doing: "preparing the running node",
        remedy: "Restart the PC; if it fails again, write the image to the medium anew.",
    })?;
    let mut supervisor = Supervisor::start()?;
    loop {
        supervisor.turn(Duration::MAX)?;
        if let Some(ending) = supervisor.asked.take() {
            supervisor.end(ending)?;
        }
    }
}

impl Supervisor {
    fn start() -> Result<Self> {
        let signals = SignalQueue::new(&SIGNALS).context("taking signals")?;
        let services = service::all()?;
        let account = account(&crate::facts::image()?.console_user)?;
        let door = Door::Shell { account, sessions: Cgroup::at(prepare::SESSIONS) };
        let active = consoles::active();
        let mut logins: Vec<Login> = Vec::new();
        for name in &active {
            logins.push(Login::at_once(name, &door, greeting::now)?);
        }
        for name in consoles::more_screens(&active) {
            logins.push(Login::when_a_key_is_pressed(name, &door, greeting::now)?);
        }
        Ok(Self { signals, services, logins, asked: None })
    }

    /// Starts what is due, waits until something happens (or the time is over), and deals with it.
    fn turn(&mut self, at_most: Duration) -> Result<()> {
        let now = Instant::now();
        self.services.iter_mut().for_each(|service| service.start_if_due(now));
        self.logins.iter_mut().for_each(|login| login.start_if_due(now));
        let due = self
            .services
            .iter()
            .filter_map(Service::due)
            .chain(self.logins.iter().filter_map(Login::due))
            .min();
        let patience = due.map_or(at_most, |due| at_most.min(due.saturating_duration_since(now)));
        let (services, logins) = self.wait(patience)?;
        for at in services {
            self.services[at].pump();
        }
        for at in logins {
            self.logins[at].pump();
        }
        while let Some(number) = self.signals.take().context("taking a signal")? {
            self.asked = self.asked.or(Ending::of_signal(number));
        }
        self.reap()
    }

    /// Which services and which logins have something to do.
    fn wait(&self, patience: Duration) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut owners: Vec<(bool, usize)> = vec![(false, usize::MAX)];
        let services = self.services.iter().enumerate().map(|(at, service)| (true, at, service.interests()));
        let logins = self.logins.iter().enumerate().map(|(at, login)| (false, at, login.interests()));
        for (is_service, at, interests) in services.chain(logins) {
            for (fd, flags) in interests {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                owners.push((is_service, at));
            }
        }
        let timeout = Timespec {
            tv_sec: patience.as_secs().min(3600).cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for something to happen"),
        }
        let ready = || fds.iter().zip(&owners).skip(1).filter(|(fd, _)| !fd.revents().is_empty());
        let of = |wanted: bool| {
            let mut found: Vec<usize> = ready()
                .filter(|(_, (is_service, _))| *is_service == wanted)
                .map(|(_, (_, at))| *at)
                .collect();
            found.dedup();
            found
        };
        Ok((of(true), of(false)))
    }

    /// Takes the exit status of every child that has ended, orphans of others included.
    fn reap(&mut self) -> Result<()> {
        let now = Instant::now();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((id, status))) => self.ended(id.as_raw_nonzero().get(), status, now),
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("reaping a child"),
            }
        }
    }

    fn ended(&mut self, id: i32, status: WaitStatus, now: Instant) {
        if let Some(service) = self.services.iter_mut().find(|service| service.runs_as(id)) {
            service.ended(status, now);
        } else if let Some(login) = self.logins.iter_mut().find(|login| login.runs_as(id)) {
            login.ended(now);
        }
    }
}

/// The user of the consoles.
fn account(user: &str) -> Result<Account> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("reading `{path}`"));
    Account::find(&read("/etc/passwd")?, &read("/etc/group")?, user)
        .with_context(|| format!("looking for the user `{user}` on this image"))
}

/// "exit status N" or "signal N".
fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => format!("signal {number}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

/// For what a node can live without: the error goes to the log, the rest goes on.
pub(crate) fn tolerate(doing: &str, outcome: Result<(), impl Into<anyhow::Error>>) {
    if let Err(error) = outcome {
        report::complain(&format!("{:#}", error.into().context(doing.to_owned())));
    }
}
