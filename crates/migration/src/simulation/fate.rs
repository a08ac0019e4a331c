//! Daemons die and come back, nodes lose their power, leases end, and meanwhile the process lives.

use super::plan::{Faulty, Micros, SECOND};
use super::truth::{Ending, Node, Said, Stage, Task};
use super::world::{Daemon, Due, Job, World};
use crate::protocol::SessionId;
use crate::session::Why;
use crate::session::home::{Found as FoundTask, Home};
use crate::session::host::{self, Found, Host};
use crate::session::letter::Incarnation;

impl World {
    /// Kills a daemon; what it was doing has happened or has not, and nobody is told.
    pub(super) fn crash(&mut self, node: usize, start_after: Option<Micros>) {
        let Some(daemon) = self.daemons[node].take() else { return };
        for (_, job) in daemon.jobs {
            if self.random.chance(500) {
                self.trace(|| format!("node {node} had just done {job:?}"));
                match job {
                    Job::Home(_, work) => drop(self.effect_at_home(&work)),
                    Job::Host(session, _, work) => drop(self.effect_at_host(node, session, work)),
                }
            }
        }
        if node == 0 {
            self.put_back_due = false;
            let now = self.now;
            if let Task::Deputy { alone_since, .. } = &mut self.home.task {
                *alone_since = Some(now);
            }
            self.watch_deputy();
        }
        let Some(length) = start_after else { return };
        // A daemon that is missing keeps home and the node from each other; home's keeps it from all of them.
        let until = self.now + length;
        for other in (0..self.nodes.len()).filter(|other| node == 0 || *other == node) {
            self.hindered.push((other, self.now, until));
        }
        self.after(length, Due::Start(node));
    }

    pub(super) fn power_loss(&mut self, node: usize) {
        self.crash(node, None);
        let lost = std::mem::take(&mut self.nodes[node]);
        let whole = |stage| !matches!(stage, Stage::Empty | Stage::Dead);
        let ended = lost.capsules.iter().filter(|capsule| whole(capsule.stage));
        self.destroyed.extend(ended.map(|capsule| capsule.session));
        if node == 0 {
            self.home.task = Task::Gone;
            self.home.record = None;
            self.home.group = false;
            self.hindered.extend((0..self.nodes.len()).map(|other| (other, self.now, Micros::MAX)));
        }
    }

    pub(super) fn user_kills(&mut self) {
        if self.home_is_on() && !matches!(self.home.task, Task::Gone) {
            self.end_task(Ending::Killed);
        }
    }

    pub(super) fn home_is_on(&self) -> bool {
        self.nodes[0].powered
    }

    /// Starts a daemon: it finds what is there, and nothing else.
    pub(super) fn start(&mut self, node: usize) {
        if !self.nodes[node].powered || self.daemons[node].is_some() {
            return;
        }
        let run = Incarnation(u64::try_from(self.clock(node).as_nanos()).unwrap_or(u64::MAX));
        self.trace(|| format!("node {node}'s daemon starts"));
        self.daemons[node] = Some(Daemon { run, home: None, hosts: Vec::new(), jobs: Vec::new() });
        let phase = self.random.between(0, SECOND);
        self.after(phase, Due::Tick(node, run));
        if node == 0 {
            self.recover_home(run);
        }
        self.recover_hosts(node, run);
    }

    fn recover_home(&mut self, run: Incarnation) {
        if let Task::Deputy { alone_since, .. } = &mut self.home.task {
            *alone_since = None;
        }
        let mut record = self.home.record.clone();
        let leftovers = self.home.group || self.nodes[0].dumps.iter().any(|(leaving, _)| leaving.is_none());
        if record.is_none() && !leftovers && !matches!(self.home.task, Task::Deputy { .. }) {
            return;
        }
        let forgetful = self.is(Faulty::ThawsWithoutPuttingBack);
        let found = match &mut self.home.task {
            Task::Original { frozen, .. } => {
                *frozen |= record.is_some();
                if forgetful && self.home.record.take().is_some() {
                    record = None;
                }
                FoundTask::Frozen
            }
            Task::Deputy { .. } => FoundTask::Deputy,
            Task::Gone => FoundTask::Nothing,
        };
        self.trace(|| format!("home finds {record:?} and {found:?}"));
        let (now, settings, mut out) = (self.clock(0), self.home_settings(), Vec::new());
        let home = Home::recover(now, record, found, run, settings, &mut out);
        if let Some(daemon) = &mut self.daemons[0] {
            daemon.home = Some(home);
        }
        self.perform_home(out);
    }

    fn recover_hosts(&mut self, node: usize, run: Incarnation) {
        let drops = self.is(Faulty::DropsHeldOnRestart);
        let (now, settings) = (self.clock(node), self.settings);
        let thaws = self.is(Faulty::ThawsOnRestart);
        let place = &mut self.nodes[node];
        for capsule in place.capsules.iter_mut().filter(|capsule| thaws && capsule.stage == Stage::Frozen) {
            capsule.stage = Stage::Runs;
        }
        let found: Vec<_> = place
            .capsules
            .iter()
            .filter_map(|capsule| {
                let found = match capsule.stage {
                    Stage::Held if drops => return None,
                    Stage::Held => Found::Held,
                    Stage::Runs | Stage::Ended => Found::Runs,
                    Stage::Frozen => Found::Frozen,
                    Stage::Empty | Stage::Dead => return None,
                };
                Some((capsule.session, found, capsule.lease))
            })
            .collect();
        let kept = |session: SessionId| found.iter().any(|(other, ..)| *other == session);
        let held = |session: SessionId| {
            found.iter().any(|(other, found, _)| *other == session && *found == Found::Held)
        };
        place.capsules.retain(|capsule| kept(capsule.session));
        place.received.retain(|(session, _)| held(*session));
        place.dumps.retain(|(leaving, _)| leaving.is_none());
        for (session, found, lease) in found {
            let mut out = Vec::new();
            let host = Host::recover(now, session, found, lease, run, settings, &mut out);
            if let Some(daemon) = &mut self.daemons[node] {
                daemon.hosts.push((session, host));
            }
            self.perform_host(node, session, out);
        }
    }

    /// A capsule looks at its lease.
    pub(super) fn capsule_clock(&mut self, node: usize, session: SessionId) {
        let now = self.clock(node);
        let daemon_only = self.is(Faulty::NoLeaseInCapsule);
        let Some(capsule) = self.nodes[node].capsule(session) else { return };
        if capsule.stage == Stage::Dead || daemon_only {
            return;
        }
        if !capsule.lease.is_over(now) {
            let until = capsule.lease.until();
            let wait = self.until(node, until);
            self.after(wait, Due::CapsuleClock(node, session));
            return;
        }
        let whole = capsule.stage != Stage::Empty;
        capsule.stage = Stage::Dead;
        self.trace(|| format!("the lease of {session} at node {node} is over"));
        if whole {
            self.destroyed.push(session);
            self.check_hindrance(node, session);
        }
        self.tell_host(node, session, host::Event::CapsuleEnded(Why::CapsuleEnded));
    }

    /// A deputy whose daemon has gone waits for it, but not for ever.
    pub(super) fn watch_deputy(&mut self) {
        if let Task::Deputy { alone_since: Some(_), .. } = self.home.task {
            let wait = self.until(0, self.clock(0) + self.deputy_patience());
            self.after(wait, Due::DeputyClock);
        }
    }

    pub(super) fn deputy_clock(&mut self) {
        let Task::Deputy { alone_since: Some(since), .. } = self.home.task else { return };
        // An earlier absence may have been shorter than this event took to come.
        let patience = Micros::try_from(self.deputy_patience().as_micros()).unwrap_or(Micros::MAX);
        if self.now >= since + patience - patience / 50 {
            self.lose_deputy();
        }
    }

    /// The process gets on, its owner types, and the ends of the relay look at the time.
    pub(super) fn live(&mut self) {
        let wait = self.random.between(SECOND / 2, 3 * SECOND / 2);
        self.after(wait, Due::Life);
        if self.home.runs_the_original() {
            self.live_at_home();
        }
        if matches!(self.home.task, Task::Deputy { .. }) {
            let (now, types) = (self.clock(0), !self.finishing && self.random.chance(400));
            let patience = self.settings.word_every;
            if let Task::Deputy { relay, .. } = &mut self.home.task {
                if types && relay.has_room() {
                    self.home.typed += 1;
                    relay.say(self.home.typed);
                }
                relay.tick(now, patience);
            }
            self.pump_deputy();
        }
        for node in 0..self.nodes.len() {
            self.live_at(node);
        }
    }

    fn live_at_home(&mut self) {
        let typed = self.home.typed;
        if self.finishing {
            self.end_task(Ending::Proper);
        } else if let Task::Original { program, .. } = &mut self.home.task {
            if program.heard != typed {
                let heard = program.heard;
                self.violate(|| format!("at home again, the process has heard {heard} of {typed}"));
                return;
            }
            program.heard += 1;
            program.said += 1;
            let said = program.said;
            self.home.typed += 1;
            self.show(said);
        }
    }

    fn live_at(&mut self, node: usize) {
        let (now, patience, finishing) = (self.clock(node), self.settings.word_every, self.finishing);
        let mut sessions = Vec::new();
        for capsule in &mut self.nodes[node].capsules {
            match capsule.stage {
                Stage::Runs if finishing => {
                    capsule.stage = Stage::Ended;
                    capsule.relay.say(Said::Ended);
                }
                Stage::Runs if capsule.relay.has_room() => {
                    capsule.program.said += 1;
                    capsule.relay.say(Said::Output(capsule.program.said));
                }
                Stage::Runs | Stage::Ended => {}
                _ => continue,
            }
            capsule.relay.tick(now, patience);
            sessions.push(capsule.session);
        }
        for session in sessions {
            self.pump_capsule(node, session);
        }
    }
}

impl Node {
    /// Whether a process is frozen here.
    pub(super) fn has_frozen(&self) -> bool {
        self.capsules.iter().any(|capsule| matches!(capsule.stage, Stage::Frozen | Stage::Held))
    }
}
