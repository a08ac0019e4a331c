//! Services: each in a control group of its own, started again when it ends, its words kept.

use super::backoff::Backoff;
use super::log::Log;
use super::{Interest, describe, prepare};
use crate::{OWN_PROGRAM, report};
use anyhow::{Context, Result};
use brant_sys::cgroup::Cgroup;
use brant_sys::child::Tool;
use brant_types::exec::PORT_PREFIX;
use rustix::event::PollFlags;
use rustix::process::WaitStatus;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a service whose condition does not hold is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// One time on all nodes.
const CHRONYD: &str = "/usr/sbin/chronyd";
/// The other nodes' files.
const AUTOMOUNT: &str = "/usr/sbin/automount";

/// One service.
#[derive(Debug)]
pub(super) struct Service {
    name: &'static str,
    command: &'static [&'static str],
    wanted: fn() -> bool,
    group: Cgroup,
    log: Log,
    backoff: Backoff,
    state: State,
}

#[derive(Debug)]
enum State {
    Running {
        id: i32,
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// The node ends.
    Over,
}

/// The services of a compute node, in the order in which they start.
pub(super) fn all() -> Result<Vec<Service>> {
    let always: fn() -> bool = || true;
    [
        ("exec-service", &["/usr/lib/brant/exec-service"] as &[&str], has_exec_port as fn() -> bool),
        ("node-agent", &["/usr/lib/brant/node-agent"], always),
        ("network", &[OWN_PROGRAM, "network"], always),
        ("migrationd", &["/usr/lib/brant/migrationd"], always),
        ("chronyd", &[CHRONYD, "-d", "-F", "1"], || Path::new(CHRONYD).exists()),
        ("automount", &[AUTOMOUNT, "--foreground", "--dont-check-daemon"], || Path::new(AUTOMOUNT).exists()),
        ("devices", &[OWN_PROGRAM, "devices"], always),
        ("medium", &[OWN_PROGRAM, "medium"], reads_a_medium),
    ]
    .into_iter()
    .map(|(name, command, wanted)| Service::new(name, command, wanted))
    .collect()
}

/// Whether the root is read from a medium, and checked meanwhile.
fn reads_a_medium() -> bool {
    Path::new("/dev/dm-0").exists()
}

/// Whether the hypervisor offers a port to run commands through.
fn has_exec_port() -> bool {
    fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten().any(|port| {
        fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.starts_with(PORT_PREFIX))
    })
}

impl Service {
    fn new(name: &'static str, command: &'static [&'static str], wanted: fn() -> bool) -> Result<Self> {
        Ok(Self {
            name,
            command,
            wanted,
            group: Cgroup::create(Path::new(prepare::SERVICES).join(name))?,
            log: Log::at(Path::new(prepare::LOGS).join(format!("{name}.log"))),
            backoff: Backoff::for_services(),
            state: State::Waiting { until: Instant::now() },
        })
    }

    /// When it wants to be started.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } | State::Over => None,
        }
    }

    /// Starts it when its time has come.
    pub(super) fn start_if_due(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.state = if !(self.wanted)() {
            State::Waiting { until: now + LOOK_AGAIN }
        } else {
            match self.start() {
                Ok(id) => State::Running { id, since: now },
                Err(error) => {
                    report::complain(&format!("starting the service `{}`: {error:#}", self.name));
                    State::Waiting { until: now + self.backoff.after(Duration::ZERO) }
                }
            }
        };
    }

    fn start(&mut self) -> Result<i32> {
        let processes = self.group.path().join("cgroup.procs");
        let processes = File::options().write(true).open(processes).context("opening its control group")?;
        let said = self.log.pipe().context("opening a pipe for its words")?;
        let running = Tool::new(self.command[0])
            .args(&self.command[1..])
            .env_clear()
            .env("PATH", crate::power::SEARCH_PATH)
            .env("LANG", "C.UTF-8")
            .cwd("/")
            .stdout(said.try_clone().context("opening a pipe for its words")?)
            .stderr(said)
            .own_group()
            .in_cgroup(processes)
            .spawn()?;
        Ok(running.id().cast_signed())
    }

    /// Whether this process is the service.
    pub(super) fn runs_as(&self, process: i32) -> bool {
        matches!(self.state, State::Running { id, .. } if id == process)
    }

    /// It has ended, and will be started again.
    pub(super) fn ended(&mut self, status: WaitStatus, now: Instant) {
        self.log.pump();
        if let State::Running { since, .. } = self.state {
            let wait = self.backoff.after(now.saturating_duration_since(since));
            report::complain(&format!(
                "the service `{}` ended with {} and starts again in {:.1} s; last it said: {}",
                self.name,
                describe(status),
                wait.as_secs_f64(),
                self.log.last_line()
            ));
            self.state = State::Waiting { until: now + wait };
        }
    }

    /// From now on it is not started any more.
    pub(super) fn retire(&mut self) {
        self.state = State::Over;
    }

    /// What to wait for.
    pub(super) fn interests(&self) -> Vec<Interest<'_>> {
        self.log.waits_for().map(|fd| (fd, PollFlags::IN)).collect()
    }

    /// Takes what it has said.
    pub(super) fn pump(&mut self) {
        self.log.pump();
    }
}
