//! The simulated world: three nodes, their daemons' machines, one process, and the queue of what happens when.

use super::plan::{Faulty, Happening, MOST_EVENTS, Micros, NODES, Plan, SECOND};
use super::random::Random;
use super::truth::{HomeTruth, Node, Program, Said, Task, Typed};
use crate::protocol::SessionId;
use crate::session::home::{self, Home, Stay};
use crate::session::host::{self, Host};
use crate::session::letter::{FromHome, FromHost, Incarnation, Letter};
use crate::session::relay::Packet;
use crate::session::{Settings, Ticket, Time};
use brant_types::node::NodeId;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Something that is due.
#[derive(Debug)]
pub(super) enum Due {
    Happening(Happening),
    ToHost(usize, Letter<FromHome>),
    ToHome(usize, Letter<FromHost>),
    RelayToHost(usize, SessionId, Packet<Typed>),
    RelayToHome(usize, SessionId, Packet<Said>),
    /// The copy of an image that was under way when another had arrived.
    LateImage(usize, SessionId, super::truth::Image),
    /// A piece of work that the daemon of this run had begun.
    Work(usize, Incarnation, u64),
    Tick(usize, Incarnation),
    Start(usize),
    LinkWhole,
    CapsuleClock(usize, SessionId),
    DeputyClock,
    /// The process gets on, its owner types, and the ends of the relay look at the time.
    Life,
}

struct Entry(Micros, u64, Due);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

/// Work under way.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Home(Ticket, home::Work),
    Host(SessionId, Ticket, host::Work),
}

/// One node's daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) run: Incarnation,
    pub(super) home: Option<Home>,
    pub(super) hosts: Vec<(SessionId, Host)>,
    pub(super) jobs: Vec<(u64, Job)>,
}

/// The world.
pub(super) struct World {
    pub(super) now: Micros,
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) faulty: Option<Faulty>,
    pub(super) settings: Settings,
    pub(super) nodes: [Node; NODES],
    pub(super) daemons: [Option<Daemon>; NODES],
    pub(super) home: HomeTruth,
    pub(super) whole: bool,
    pub(super) finishing: bool,
    /// Times during which home and a node could not talk: the node, from, to.
    pub(super) hindered: Vec<(usize, Micros, Micros)>,
    /// Stays whose process ended with its node or its lease.
    pub(super) destroyed: Vec<SessionId>,
    pub(super) last_given: Option<SessionId>,
    /// What [`Faulty::PutsBackTooLate`] has not done yet.
    pub(super) put_back_due: bool,
    pub(super) moved: u32,
    pub(super) stayed: u32,
    pub(super) events: u64,
    pub(super) violation: Option<String>,
    trace: Option<Vec<String>>,
    cut_until: [[Micros; NODES]; NODES],
    queue: BinaryHeap<Entry>,
    queued: u64,
    counter: u64,
}

pub(super) fn node_id(index: usize) -> NodeId {
    NodeId::from([index as u8; 8])
}

pub(super) fn index_of(node: NodeId) -> usize {
    usize::from(node.bytes()[0])
}

impl World {
    pub(super) fn new(seed: u64, faulty: Option<Faulty>, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        Self::with(plan, random, faulty, trace)
    }

    pub(super) fn with(plan: Plan, random: Random, faulty: Option<Faulty>, trace: bool) -> Self {
        let settings = Settings { attempt: Duration::from_secs(20), ..Settings::default() };
        let node = || Node { powered: true, ..Node::default() };
        let mut world = Self {
            now: 0,
            random,
            faulty,
            settings,
            nodes: [node(), node(), node()],
            daemons: [None, None, None],
            home: HomeTruth {
                task: Task::Original { program: Program::default(), frozen: false, redirected: false },
                group: false,
                record: None,
                ending: None,
                shown: 0,
                typed: 0,
            },
            whole: false,
            finishing: false,
            hindered: Vec::new(),
            destroyed: Vec::new(),
            last_given: None,
            put_back_due: false,
            moved: 0,
            stayed: 0,
            events: 0,
            violation: None,
            trace: trace.then(Vec::new),
            cut_until: [[0; NODES]; NODES],
            queue: BinaryHeap::new(),
            queued: 0,
            counter: 0,
            plan,
        };
        for (at, happening) in world.plan.happenings.clone() {
            world.after(at, Due::Happening(happening));
        }
        for node in 0..NODES {
            world.after(0, Due::Start(node));
        }
        world.after(0, Due::Life);
        world
    }

    pub(super) fn after(&mut self, delay: Micros, due: Due) {
        self.queued += 1;
        self.queue.push(Entry(self.now + delay, self.queued, due));
    }

    /// Lets everything happen that is due before that time, or until something is wrong.
    pub(super) fn run_until(&mut self, end: Micros) {
        while self.violation.is_none() {
            match self.queue.peek() {
                Some(Entry(at, ..)) if *at < end => {}
                _ => break,
            }
            let Some(Entry(at, _, due)) = self.queue.pop() else { break };
            self.now = at;
            self.events += 1;
            self.happen(due);
            self.check_copies();
            if self.events > MOST_EVENTS {
                self.violate(|| "there is no end of it".to_owned());
            }
        }
        self.now = self.now.max(end);
    }

    pub(super) fn trace(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:3}.{:06} {}", now / SECOND, now % SECOND, line()));
        }
    }

    pub(super) fn traced(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    pub(super) fn is(&self, faulty: Faulty) -> bool {
        self.faulty == Some(faulty)
    }

    pub(super) fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.trace(|| format!("VIOLATION: {what}"));
            self.violation = Some(what);
        }
    }

    /// A number that was not used before.
    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn clock(&self, node: usize) -> Time {
        let skew = self.now as i64 * self.plan.rates[node] / 1_000_000;
        Duration::from_micros(self.plan.offsets[node] + self.now.saturating_add_signed(skew))
    }

    /// How long until that node's clock shows that time.
    pub(super) fn until(&self, node: usize, time: Time) -> Micros {
        let left = time.saturating_sub(self.clock(node)).as_micros() as i64;
        (left * 1_000_000 / (1_000_000 + self.plan.rates[node])) as Micros + 1
    }

    pub(super) fn home_settings(&self) -> Settings {
        if self.is(Faulty::NegativeMargin) {
            return Settings { lease: Duration::from_secs(3), ..self.settings };
        }
        self.settings
    }

    pub(super) fn is_linked(&self, one: usize, other: usize) -> bool {
        one == other || self.cut_until[one][other] <= self.now
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Happening(happening) => self.befall(happening),
            Due::ToHost(node, letter) => self.deliver_to_host(node, letter),
            Due::ToHome(from, letter) => self.deliver_to_home(from, letter),
            Due::RelayToHost(node, session, packet) => self.relay_to_host(node, session, packet),
            Due::RelayToHome(from, session, packet) => self.relay_to_home(from, session, packet),
            Due::LateImage(node, session, image) => {
                let _refused = self.image_arrives(node, session, image);
            }
            Due::Work(node, run, id) => self.finish(node, run, id),
            Due::Tick(node, run) => self.tick(node, run),
            Due::Start(node) => self.start(node),
            Due::LinkWhole => {}
            Due::CapsuleClock(node, session) => self.capsule_clock(node, session),
            Due::DeputyClock => self.deputy_clock(),
            Due::Life => self.live(),
        }
    }

    fn befall(&mut self, happening: Happening) {
        self.trace(|| format!("--- {happening:?}"));
        match happening {
            Happening::Move(to) => self.ask_for_move(to),
            Happening::Cut(one, other, length) => {
                let until = self.cut_until[one][other].max(self.now + length);
                self.cut_until[one][other] = until;
                self.cut_until[other][one] = until;
                if one == 0 || other == 0 {
                    self.hindered.push((one.max(other), self.now, until));
                }
                self.after(length, Due::LinkWhole);
            }
            Happening::Crash(node, length) => self.crash(node, Some(length)),
            Happening::PowerLoss(node) => self.power_loss(node),
            Happening::UserKills => self.user_kills(),
        }
    }

    fn ask_for_move(&mut self, to: usize) {
        let session = SessionId(self.count());
        let stay = Stay { session, node: node_id(to) };
        let (now, settings) = (self.clock(0), self.home_settings());
        let first = self.home.runs_the_original();
        let Some(daemon) = &mut self.daemons[0] else { return };
        if daemon.home.is_none() && (!first || to == 0) {
            return;
        }
        let home = daemon.home.get_or_insert_with(|| Home::new(daemon.run, settings));
        let there = home.host().map(|stay| stay.node);
        if there == Some(stay.node) || (there.is_none() && to == 0) {
            return;
        }
        let mut out = Vec::new();
        let begun = home.move_to(now, stay, &mut out).is_ok();
        self.trace(|| format!("move to node {to} as {session}: {}", if begun { "begun" } else { "busy" }));
        self.perform_home(out);
    }

    fn tick(&mut self, node: usize, run: Incarnation) {
        if self.daemons[node].as_ref().is_none_or(|daemon| daemon.run != run) {
            return;
        }
        if node == 0 {
            self.tell_home(home::Event::Tick);
        }
        let sessions = self.daemons[node].as_ref().map(|daemon| daemon.hosts.len()).unwrap_or_default();
        for position in (0..sessions).rev() {
            let session = self.daemons[node]
                .as_ref()
                .and_then(|daemon| daemon.hosts.get(position).map(|(session, _)| *session));
            if let Some(session) = session {
                self.tell_host(node, session, host::Event::Tick);
            }
        }
        self.after(SECOND, Due::Tick(node, run));
    }

    /// Tells home's machine, if there is one, and does what it says.
    pub(super) fn tell_home(&mut self, event: home::Event) {
        let now = self.clock(0);
        let Some(home) = self.daemons[0].as_mut().and_then(|daemon| daemon.home.as_mut()) else { return };
        let mut out = Vec::new();
        home.step(now, event, &mut out);
        self.perform_home(out);
    }

    /// Tells a stay's machine, if there is one, and does what it says.
    pub(super) fn tell_host(&mut self, node: usize, session: SessionId, event: host::Event) {
        let now = self.clock(node);
        let Some(host) = self.daemons[node]
            .as_mut()
            .and_then(|daemon| daemon.hosts.iter_mut().find(|(other, _)| *other == session))
        else {
            return;
        };
        let mut out = Vec::new();
        host.1.step(now, event, &mut out);
        self.perform_host(node, session, out);
    }
}
