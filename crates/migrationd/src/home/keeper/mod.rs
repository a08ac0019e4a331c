//! The owner of one process that moves or is away: of its machine, its record, its deputy and the links to its hosts.
//! It hears everybody in turn, and does what the machine says.
//!
//! The machine and its states are drawn in [`brant_migration::session::home`]. Words between deputy and capsule pass
//! through here unread.

mod act;
mod begin;
mod deputy;
mod hosts;
mod journey;

pub(super) use begin::{begin, find};
pub use deputy::{listen_for_deputies, serve_deputies};

use super::departure::{Fact, Outcome, Worker};
use super::pipes::Pipes;
use super::{Daemon, Stayed, Wish, new_session};
use crate::clock::{self, TICK};
use crate::{dump, inspect};
use brant_migration::protocol::{Hello, Offer, Progress, SessionId, ToDeputy, ToHome, ToHost, ToProcess};
use brant_migration::session::Ticket;
use brant_migration::session::home::{self, Home, Record, Saved, Stay, Work};
use brant_migration::session::letter::{Order, Standing, dismissal};
use brant_migration::session::relay::Packet;
use brant_types::migration::{ProcessState, ProcessView};
use deputy::{Deputy, Visitor};
use hosts::Hosts;
use journey::Journey;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

/// What a keeper hears.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody wants the process on another node.
    Wish(Box<Wish>),
    /// A piece of work is over.
    Worked(Ticket, Outcome),
    /// Something was learnt on the way.
    Fact(Fact),
    /// The deputy has come.
    Deputy(Visitor),
    /// From the deputy on that connection, for the process.
    FromDeputy(u64, Packet<ToProcess>),
    /// That connection to the deputy is over.
    DeputyGone(u64),
    /// A node was called for this stay, and has answered, or not.
    Dialled(SessionId, anyhow::Result<TcpStream>),
    /// From the host of that stay.
    Host(SessionId, ToHome),
    /// That link to the host of that stay is broken.
    Broken(SessionId, u64),
}

/// The task on this node that is, or stands for, the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Task {
    pid: i32,
    /// In clock ticks since boot: with the number, its identity.
    started: u64,
}

impl Task {
    fn has_ended(self) -> bool {
        inspect::has_ended(self.pid)
            || inspect::started(self.pid).is_some_and(|started| started != self.started)
    }
}

/// The owner.
struct Keeper {
    daemon: Daemon,
    /// What is shown of the process is kept under this name.
    shown: SessionId,
    view: ProcessView,
    /// The newest offer; each stay's has a name of its own.
    offer: Offer,
    task: Task,
    /// The process's own start.
    started: u64,
    home: Home,
    worker: Worker,
    /// Work that the worker is at.
    busy: Option<(Ticket, Work)>,
    /// What the task was, once that is known.
    saved: Option<Saved>,
    /// The stay that the newest record names, and that record as it was written.
    target: Option<Stay>,
    written: Option<Record>,
    hosts: Hosts,
    hello: Hello,
    /// What the deputy is given, until it has come.
    pipes: Option<Pipes>,
    stopped: bool,
    deputy: Option<Deputy>,
    visits: u64,
    /// What the deputy is to be told when it comes.
    farewell: Option<String>,
    journey: Option<Journey>,
    /// What it had used on hosts that it has left, and on this one, microseconds.
    used: Used,
    events: Receiver<Event>,
    inbox: Sender<Event>,
    over: bool,
}

/// Processor time used away from home, microseconds.
#[derive(Debug, Default)]
struct Used {
    before: u64,
    here: u64,
    session: Option<SessionId>,
}

impl Used {
    /// What a host says; gives the sum.
    fn note(&mut self, session: SessionId, micros: u64) -> u64 {
        if self.session != Some(session) {
            self.before += std::mem::take(&mut self.here);
            self.session = Some(session);
        }
        self.here = micros;
        self.before + self.here
    }
}

impl Keeper {
    /// Keeps the process until it has ended on both sides, or runs here again as before.
    fn keep(mut self, first: Vec<home::Action>) {
        self.perform(first);
        let mut next = Instant::now() + TICK;
        while !self.over {
            match self.events.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next {
                next = Instant::now() + TICK;
                self.tick();
            }
        }
        let over =
            if self.view.state == ProcessState::Moving { ProcessState::Stayed } else { ProcessState::Ended };
        self.show(|view| view.state = over);
        // Whoever asked meanwhile hears that there is nothing to move any more, when their question is dropped.
    }

    fn tick(&mut self) {
        self.hosts.redial();
        if self.task.has_ended() {
            return self.task_gone();
        }
        // SIGSTOP cannot be caught: a deputy that was stopped so is seen to be.
        if self.home.host().is_some() && inspect::is_stopped(self.task.pid) {
            self.to_host(&ToHost::Stop);
        }
        self.tell(home::Event::Tick);
    }

    fn task_gone(&mut self) {
        if self.view.state == ProcessState::Away {
            self.show(|view| view.state = ProcessState::Ended);
        }
        self.tell(home::Event::TaskGone);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Wish(wish) => self.wish(*wish),
            Event::Worked(ticket, outcome) => self.worked(ticket, outcome),
            Event::Fact(fact) => self.learn(fact),
            Event::Deputy(visitor) => self.receive(visitor),
            Event::FromDeputy(number, packet) => {
                if self.deputy.as_ref().is_some_and(|deputy| deputy.number == number) {
                    self.to_host(&ToHost::Packet(packet));
                }
            }
            Event::DeputyGone(number) => {
                if self.deputy.take_if(|deputy| deputy.number == number).is_some() && self.task.has_ended() {
                    self.task_gone();
                }
            }
            Event::Dialled(session, answer) => {
                let up = self.hosts.dialled(session, answer);
                if up && self.is_host(session) {
                    self.to_deputy(&ToDeputy::Reattached);
                }
            }
            Event::Broken(session, number) => self.hosts.broken(session, number),
            Event::Host(session, ToHome::Letter(letter)) => {
                if letter.session != session {
                    return;
                }
                self.note(&letter.body.standing, session);
                if self.home.knows(session) {
                    self.tell(home::Event::Letter(letter));
                } else if let Some(answer) = dismissal(&letter, clock::incarnation()) {
                    self.hosts.hand_on(session, &ToHost::Letter(answer));
                }
            }
            Event::Host(session, ToHome::Packet(packet)) => {
                if self.is_host(session) {
                    self.to_deputy(&ToDeputy::Packet(packet));
                }
            }
            Event::Host(session, ToHome::Progress(progress)) => {
                if self.is_host(session) {
                    self.note_progress(progress);
                }
            }
            Event::Host(session, ToHome::Used { cpu_micros, memory_kib }) => {
                if self.is_host(session) {
                    self.offer.resident_kib = memory_kib;
                    let seconds = self.used.note(session, cpu_micros) as f64 / 1e6;
                    self.show(|view| view.cpu_seconds_away = seconds);
                }
            }
        }
    }

    /// Somebody wants it elsewhere.
    fn wish(&mut self, wish: Wish) {
        let stay = Stay { session: new_session(), node: wish.to.id };
        let (mut out, now) = (Vec::new(), clock::now());
        // One that never left is looked at anew when what was begun for it before is gone.
        if self.home.host().is_none()
            || self.journey.is_some()
            || self.home.move_to(now, stay, &mut out).is_err()
        {
            let _nobody_waits = wish.answer.send(Err(Stayed::Busy(self.offer.pid)));
            return;
        }
        self.journey = Some(Journey::begin(wish, &self.view));
        self.perform(out);
    }

    /// A deputy has come: the first time, or from a daemon that has ended, or one that stands for those who go on.
    fn receive(&mut self, visitor: Visitor) {
        let Visitor { pid, uid, greeted, .. } = visitor;
        let is_ours = pid == self.task.pid || inspect::parent(pid) == Some(self.task.pid);
        let Some(started) = inspect::started(pid).filter(|_| is_ours && uid == self.offer.uid) else {
            return;
        };
        self.visits += 1;
        let pipes = self.pipes.as_ref();
        match Deputy::take(visitor, self.visits, &self.hello, pipes, &self.inbox) {
            Ok(deputy) => {
                self.pipes = None;
                if let Some(why) = self.farewell.take() {
                    deputy.say(&ToDeputy::Lost(why));
                }
                self.deputy = Some(deputy);
            }
            Err(error) => {
                tracing::warn!(pid, "taking a deputy in: {error:#}");
                return;
            }
        }
        tracing::debug!(pid, greeted, "a deputy has come");
        let task = Task { pid, started };
        if task != self.task {
            self.task = task;
            self.rewrite_entry();
        }
        // One that stands for those who go on waits for this word: from now on it is the one that counts.
        if let Some(deputy) = &self.deputy {
            deputy.say(&ToDeputy::Reattached);
        }
        self.to_host(&ToHost::Reattached);
    }

    /// What a host's standing says of the move under way.
    fn note(&mut self, standing: &Standing, session: SessionId) {
        if *standing == Standing::Held
            && !self.is_host(session)
            && let Some(journey) = &mut self.journey
        {
            journey.step("restored");
        }
    }

    /// A host says how far one is that moves on from there.
    fn note_progress(&mut self, progress: Progress) {
        let Some(journey) = &mut self.journey else { return };
        match progress {
            Progress::Round(round) => journey.round(round),
            Progress::Freezing => {
                journey.step("precopied");
                journey.froze(Instant::now());
            }
            Progress::Dumped => journey.step("frozen and dumped"),
            Progress::Sent { bytes } => {
                journey.step("sent");
                journey.rest(bytes);
            }
        }
    }

    fn learn(&mut self, fact: Fact) {
        match (fact, &mut self.journey) {
            (Fact::Round(round), Some(journey)) => journey.round(dump::record(&round)),
            (Fact::Rest(bytes), Some(journey)) => journey.rest(bytes),
            (Fact::Frozen { since, pending, stopped, pipes }, journey) => {
                if let Some(journey) = journey {
                    journey.froze(since);
                }
                self.stopped = stopped;
                self.hello.pending = pending;
                self.hello.stopped = stopped;
                self.pipes = Some(pipes);
            }
            _ => {}
        }
    }

    fn tell(&mut self, event: home::Event) {
        let host = self.home.host();
        let mut out = Vec::new();
        self.home.step(clock::now(), event, &mut out);
        self.perform(out);
        if self.home.host() != host {
            // What was on its way to the host before is not known to have arrived.
            self.to_deputy(&ToDeputy::Reattached);
        }
        let home = &self.home;
        self.hosts.retain(|session| home.knows(session));
    }

    fn is_host(&self, session: SessionId) -> bool {
        self.home.host().is_some_and(|stay| stay.session == session)
    }

    fn to_host(&self, word: &ToHost) {
        if let Some(stay) = self.home.host() {
            self.hosts.hand_on(stay.session, word);
        }
    }

    fn to_deputy(&self, word: &ToDeputy) {
        if let Some(deputy) = &self.deputy {
            deputy.hand_on(word);
        }
    }

    /// Changes what is shown of the process.
    fn show(&mut self, change: impl FnOnce(&mut ProcessView)) {
        change(&mut self.view);
        let view = self.view.clone();
        self.daemon.registry.change(self.shown, move |shown| *shown = view);
    }

    /// The step that an order to a host is part of.
    fn note_order(&mut self, order: Order) {
        if let (Order::Depart { .. }, Some(journey)) = (order, &mut self.journey) {
            journey.step("negotiated");
        }
    }
}
