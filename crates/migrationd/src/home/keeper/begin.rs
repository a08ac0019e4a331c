//! Beginning to keep a process: one that is to move for the first time, or one that an earlier daemon has left.

use super::hosts::Hosts;
use super::journey::Journey;
use super::{Event, Keeper, Task, Used};
use crate::clock;
use crate::home::departure::{Departure, Worker};
use crate::home::frozen::Frozen;
use crate::home::journal::Entry;
use crate::home::{Daemon, Stayed, Wish, memory, new_session};
use crate::inspect::{self, Summary};
use anyhow::{Context, Result};
use brant_migration::obstacle::{Migratable, Obstacle};
use brant_migration::protocol::{self, Hello, Offer, Size};
use brant_migration::session::Settings;
use brant_migration::session::home::{Action, Found, Home, Record, Stay};
use brant_sys::pty::window_size;
use brant_types::migration::{ProcessState, ProcessView};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Keeps a process that is to move for the first time, until it has ended or runs here as before.
pub(in crate::home) fn begin(daemon: &Daemon, pid: i32, wish: Wish) {
    match prepare(daemon, pid, &wish) {
        Ok((mut keeper, first)) => {
            keeper.journey = Some(Journey::begin(wish, &keeper.view));
            keeper.keep(first);
        }
        Err(stayed) => {
            tracing::info!(pid, to = %wish.to.name, "a process stayed: {}", stayed.for_owner().message);
            let _nobody_waits = wish.answer.send(Err(stayed));
        }
    }
}

fn prepare(daemon: &Daemon, pid: i32, wish: &Wish) -> Result<(Keeper, Vec<Action>), Stayed> {
    let not_begun = |source: anyhow::Error| Stayed::NotBegun { source };
    let migratable = inspect::migratable(pid)?;
    let summary = inspect::summary(pid).ok_or(Obstacle::NoSuchProcess(pid))?;
    let offer = offer(daemon, &migratable, &summary).map_err(not_begun)?;
    let (inbox, events) = channel();
    let view = view(daemon, pid, &summary);
    let stopped = migratable.stopped;
    let task = Task { pid, started: summary.started };
    let kin = migratable.members.iter().copied().chain(inspect::ancestors(pid)).collect();
    let departure = Departure::of(&daemon.node, migratable, summary.arguments, inbox.clone());
    let worker = Worker::begin(departure).map_err(not_begun)?;
    if !daemon.registry.begin(offer.session, view.clone(), kin) {
        return Err(Stayed::Busy(pid));
    }
    daemon.registry.take_orders(offer.session, inbox.clone());
    let mut home = Home::new(clock::incarnation(), clock::settings(offer.lease));
    let stay = Stay { session: offer.session, node: wish.to.id };
    let mut first = Vec::new();
    home.move_to(clock::now(), stay, &mut first).map_err(|_| Stayed::Busy(pid))?;
    let hello = Hello {
        comm: summary.comm,
        pending: 0,
        streams: offer.streams.clone(),
        shared_files: offer.shared_files.clone(),
        stopped,
        lease: offer.lease,
        descriptors: false,
    };
    let parts =
        Parts { view, offer, task, started: task.started, home, worker, hello, stopped, inbox, events };
    Ok((parts.put_together(daemon), first))
}

/// Keeps a process that an earlier daemon has left, on a thread of its own.
pub(in crate::home) fn find(daemon: &Daemon, entry: Entry, found: Found, frozen: Frozen) -> Result<()> {
    let Entry { record, offer, started, stopped, hello, deputy, deputy_started, mut view } = entry;
    let (inbox, events) = channel();
    let (Record::Leaving { stay, .. } | Record::Away { stay }) = &record;
    let stay = *stay;
    if found == Found::Deputy {
        view.state = ProcessState::Away;
        view.node = daemon.node.by_id(stay.node).map_or(view.node, |node| node.name);
    }
    let task = Task { pid: deputy, started: deputy_started };
    let departure = Departure::found(&daemon.node, offer.pid, Some(frozen), inbox.clone());
    let worker = Worker::begin(departure)?;
    daemon.registry.begin(offer.session, view.clone(), Vec::new());
    daemon.registry.take_orders(offer.session, inbox.clone());
    let (mut first, written) = (Vec::new(), record.clone());
    let (me, settings) = (clock::incarnation(), clock::settings(offer.lease));
    let home = Home::recover(clock::now(), Some(record), found, me, settings, &mut first);
    let parts = Parts { view, offer, task, started, home, worker, hello, stopped, inbox, events };
    let mut keeper = parts.put_together(daemon);
    keeper.target = Some(stay);
    keeper.written = Some(written);
    std::thread::Builder::new()
        .name(format!("keeper {}", task.pid))
        .spawn(move || keeper.keep(first))
        .context("starting a thread")?;
    Ok(())
}

/// What differs between the two ways to begin.
struct Parts {
    view: ProcessView,
    offer: Offer,
    task: Task,
    started: u64,
    home: Home,
    worker: Worker,
    hello: Hello,
    stopped: bool,
    inbox: Sender<Event>,
    events: Receiver<Event>,
}

impl Parts {
    fn put_together(self, daemon: &Daemon) -> Keeper {
        let Self { view, offer, task, started, home, worker, hello, stopped, inbox, events } = self;
        Keeper {
            shown: offer.session,
            hosts: Hosts::new(daemon.node.clone(), inbox.clone()),
            daemon: daemon.clone(),
            view,
            offer,
            task,
            started,
            home,
            worker,
            busy: None,
            saved: None,
            target: None,
            written: None,
            hello,
            pipes: None,
            stopped,
            deputy: None,
            visits: 0,
            farewell: None,
            journey: None,
            used: Used::default(),
            events,
            inbox,
            over: false,
        }
    }
}

fn offer(daemon: &Daemon, migratable: &Migratable, summary: &Summary) -> Result<Offer> {
    let me = daemon.node.me()?;
    let terminal = migratable.terminal.as_ref().and_then(|name| {
        let size = window_size(std::fs::File::open(name).ok()?)?;
        Some(Size { rows: size.rows, columns: size.columns })
    });
    Ok(Offer {
        version: protocol::VERSION,
        session: new_session(),
        pid: migratable.pid(),
        home: me.id,
        // What its programs take it for: the capsule has this name.
        home_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        image_id: me.image_id,
        cpu: me.cpu,
        usr_untouched: daemon.node.usr_untouched(),
        resident_kib: inspect::resident_kib(&migratable.members),
        comm: summary.comm.clone(),
        args: summary.args.clone(),
        uid: summary.uid,
        terminal,
        streams: migratable.streams.clone(),
        shared_files: migratable.shared_files.clone(),
        named_memory: memory::describe(&migratable.named_memory)?,
        named_pipes: migratable.named_pipes.clone(),
        stopped: migratable.stopped,
        lease: lease(daemon),
    })
}

/// What this node was booted with, or the usual.
fn lease(daemon: &Daemon) -> Duration {
    let seconds = daemon.node.boot.migration_lease;
    seconds.map_or(Settings::default().lease, |seconds| Duration::from_secs(seconds.into()))
}

fn view(daemon: &Daemon, pid: i32, summary: &Summary) -> ProcessView {
    let me = daemon.node.name();
    ProcessView {
        pid,
        comm: summary.comm.clone(),
        args: summary.args.clone(),
        user: crate::users::name_of(summary.uid),
        uid: summary.uid,
        node: me.clone(),
        home: me,
        state: ProcessState::Moving,
        cpu_seconds_home: summary.cpu.as_secs_f64(),
        cpu_seconds_away: 0.0,
        moves: Vec::new(),
    }
}
