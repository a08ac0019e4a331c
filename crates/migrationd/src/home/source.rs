//! One move, from the offer to the process running on the target.

use super::dump::Image;
use super::frozen::Frozen;
use super::journal::Journal;
use super::keeper::{Beginning, Greeting, Keeper, Waiting};
use super::memory;
use super::pipes::Pipes;
use super::precopy;
use super::takeover::{Redirected, Was};
use super::{Daemon, Stayed};
use crate::fault::Place;
use crate::inspect::{self, Summary};
use crate::{link, wire};
use anyhow::{Context, Result, anyhow, bail};
use brant_migration::obstacle::{Migratable, Obstacle};
use brant_migration::protocol::{self, FromTarget, Offer, SessionId, Size, ToTarget};
use brant_migration::rounds::Round;
use brant_migration::steps::{Committed, Move, Negotiated, Offered, RestoredStopped, Resumed};
use brant_sys::pty::window_size;
use brant_types::agent::NodeView;
use brant_types::migration::{MoveRecord, MovedBy, ProcessState, ProcessView};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long the target may take to answer an offer; it may have to mount this node's root first.
const ANSWER: Duration = Duration::from_secs(45);
/// How long the target may take to restore.
const RESTORE: Duration = Duration::from_secs(120);

/// Moves the process, answers, and stays with it until it has ended.
pub(super) fn run(
    daemon: &Daemon,
    pid: i32,
    to: &NodeView,
    by: MovedBy,
    answer: &mpsc::Sender<Result<MoveRecord, Stayed>>,
) {
    let session = new_session();
    let outcome = attempt(daemon, session, pid, to, by);
    match outcome {
        Ok((given, record)) => {
            tracing::info!(pid, to = %to.name, frozen_ms = record.frozen_ms, bytes = record.bytes, "a process has moved");
            let (shown, node) = (record.clone(), to.name.clone());
            daemon.registry.change(session, move |view| {
                view.moves.push(shown);
                view.node = node;
                view.state = ProcessState::Away;
            });
            let _nobody_waits = answer.send(Ok(record));
            match given.take_over(daemon) {
                Ok(keeper) => keeper.keep(),
                Err(error) => {
                    tracing::warn!(pid, "a process away from home is lost: {error:#}");
                    daemon.registry.change(session, |view| view.state = ProcessState::Ended);
                }
            }
        }
        Err(stayed) => {
            tracing::info!(pid, to = %to.name, "a process stayed: {}", stayed.for_owner().message);
            let over = if matches!(stayed, Stayed::LostOnTheWay { .. }) {
                ProcessState::Ended
            } else {
                ProcessState::Stayed
            };
            daemon.registry.change(session, move |view| view.state = over);
            let _nobody_waits = answer.send(Err(stayed));
        }
    }
}

/// A process that runs on the target, and whose deputy is about to come.
struct Given {
    waiting: Waiting,
    greeting: Greeting,
    offer: Offer,
    link: TcpStream,
    journal: Journal,
    early: Vec<FromTarget>,
}

impl Given {
    /// Waits for the deputy, however long a person has it stopped.
    fn take_over(self, daemon: &Daemon) -> Result<Keeper> {
        let Self { waiting, greeting, offer, link, journal, early } = self;
        let stopped = greeting.stopped;
        let deputy = waiting.meet(greeting, &link)?;
        Keeper::begin(Beginning { daemon: daemon.clone(), offer, deputy, link, journal, early, stopped })
    }
}

/// A move under way: what all its steps need.
struct Attempt<'a> {
    session: SessionId,
    migratable: &'a Migratable,
    summary: &'a Summary,
    to: &'a NodeView,
    clock: Instant,
}

fn attempt(
    daemon: &Daemon,
    session: SessionId,
    pid: i32,
    to: &NodeView,
    by: MovedBy,
) -> Result<(Given, MoveRecord), Stayed> {
    let migratable = inspect::migratable(pid)?;
    let summary = inspect::summary(pid).ok_or(Obstacle::NoSuchProcess(pid))?;
    if !daemon.registry.begin(session, shown(daemon, pid, &summary)) {
        return Err(Stayed::Busy(pid));
    }
    let this = Attempt { session, migratable: &migratable, summary: &summary, to, clock: Instant::now() };
    let offered = Move::offered(this.now());
    let (mut link, offer, negotiated) = this.negotiate(daemon, offered)?;
    Place::Negotiated.pass();
    let undone = |doing| move |source: anyhow::Error| Stayed::Undone { doing, source };
    // From here to the commit, every way out drops `link`, and with that the target forgets what it was sent; and it
    // drops `frozen`, where there is one, and with that the process runs on at home.
    let mut image = Image::begin(session).map_err(undone("preparing its image"))?;
    // One that Ctrl-Z has stopped does not write to its memory any more.
    let running_kib = if migratable.stopped { 0 } else { inspect::resident_kib(&migratable.members) };
    let mut rounds = precopy::run(&mut image, pid, running_kib, &mut link)
        .map_err(undone("copying its memory while it runs"))?;
    let negotiated = negotiated.precopied(this.now());
    Place::Precopied.pass();
    let began = this.now();
    let frozen = Frozen::freeze(pid, session).map_err(undone("freezing it"))?;
    let moving = negotiated.frozen(began, this.now());
    Place::Frozen.pass();
    // Frozen, it cannot change any more: what it opened since it was looked at is seen now.
    let now = inspect::migratable(pid)?;
    if !now.has_the_ties_of(&migratable) {
        return Err(Obstacle::Changing.into());
    }
    let pending = inspect::pending_signals(pid);
    let pipes = Pipes::copy(&now).map_err(undone("copying its pipes"))?;
    let dumping = this.now();
    let last = image.make(pid, frozen.group(), &mut link).map_err(undone("making its image"))?;
    let moving = moving.dumped(this.now());
    Place::Dumped.pass();
    rounds.push(Round { pages: last.pages, bytes: last.bytes, took: this.now().saturating_sub(dumping) });
    memory::send(&mut link, &now.named_memory).map_err(undone("sending its shared memory"))?;
    let others = image.send(&mut link).map_err(undone("sending its image"))?;
    let bytes = rounds.iter().map(|round| round.bytes).sum::<u64>() + others;
    let moving = moving.sent(this.now());
    let waiting = Waiting::listen(pid).map_err(undone("preparing for its deputy"))?;
    wait_restored(&mut link).map_err(undone("restoring it on the target"))?;
    let moving = moving.restored(this.now());
    Place::Restored.pass();
    let was = Was::look(pid).map_err(undone("looking at what it does"))?;
    let journal = Journal::redirecting(session, &was).map_err(undone("writing what it is"))?;
    let redirected = was
        .redirect(&frozen, &summary.arguments, now.stopped)
        .map_err(undone("putting its deputy in its place"))?;
    Place::Redirected.pass();
    let moving = this.commit(moving, redirected, &journal, &frozen)?;
    drop(image);
    memory::remove(&now.named_memory);
    let resumed = this.resume(moving, &mut link).map_err(|source| Stayed::LostOnTheWay { source });
    frozen.release();
    let (resumed, early) = resumed?;
    let timeline = resumed.timeline();
    let record = MoveRecord {
        pid,
        to: to.name.clone(),
        to_id: to.id,
        by,
        frozen_ms: millis(timeline.frozen),
        bytes,
        steps: timeline.steps.iter().map(|(name, length)| ((*name).to_owned(), millis(*length))).collect(),
        rounds: rounds.iter().map(precopy::record).collect(),
    };
    let greeting = Greeting { pid, comm: summary.comm.clone(), pending, stopped: now.stopped, pipes };
    Ok((Given { waiting, greeting, offer, link, journal, early }, record))
}

impl Attempt<'_> {
    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn negotiate(
        &self,
        daemon: &Daemon,
        offered: Move<Offered>,
    ) -> Result<(TcpStream, Offer, Move<Negotiated>), Stayed> {
        let undone = |source: anyhow::Error| Stayed::Undone { doing: "negotiating with the target", source };
        let offer = self.offer(daemon).map_err(undone)?;
        let secret = daemon
            .node
            .boot
            .secret
            .as_ref()
            .ok_or_else(|| undone(anyhow!("this node has no cluster secret")))?;
        let link = link::connect(self.to.overlay, secret).map_err(undone)?;
        accepted(&link, self.to, offer.clone())?;
        let negotiated = offered.negotiated(self.now());
        Ok((link, offer, negotiated))
    }

    fn offer(&self, daemon: &Daemon) -> Result<Offer> {
        let me = daemon.node.me()?;
        let terminal = self.migratable.terminal.as_ref().and_then(|name| {
            let size = window_size(std::fs::File::open(name).ok()?)?;
            Some(Size { rows: size.rows, columns: size.columns })
        });
        Ok(Offer {
            version: protocol::VERSION,
            session: self.session,
            pid: self.migratable.pid(),
            moves_on: false,
            home: me.id,
            home_name: daemon.node.boot.host_name.clone(),
            image_id: me.image_id,
            cpu: me.cpu,
            usr_untouched: crate::node::usr_untouched(),
            resident_kib: inspect::resident_kib(&self.migratable.members),
            comm: self.summary.comm.clone(),
            args: self.summary.args.clone(),
            uid: self.summary.uid,
            terminal,
            streams: self.migratable.streams.clone(),
            shared_files: self.migratable.shared_files.clone(),
            named_memory: memory::describe(&self.migratable.named_memory)?,
        })
    }

    /// The only point of decision: until the task is the deputy, it is put back whatever happens; from then on only
    /// the target may run the process. One that Ctrl-Z has stopped becomes the deputy later, so its record decides.
    fn commit(
        &self,
        moving: Move<RestoredStopped>,
        redirected: Redirected,
        journal: &Journal,
        frozen: &Frozen,
    ) -> Result<Move<Committed>, Stayed> {
        let undone = |source: anyhow::Error| Stayed::Undone { doing: "committing the move", source };
        let record = || journal.commit(self.migratable.pid(), &self.to.name);
        if redirected.is_stopped() {
            if let Err(error) = record() {
                redirected.undo().map_err(undone)?;
                return Err(undone(error));
            }
            redirected.become_deputy(frozen).map_err(undone)?;
        } else {
            redirected.become_deputy(frozen).map_err(undone)?;
            // The deputy itself tells as much to a daemon that has to start anew.
            if let Err(error) = record() {
                tracing::warn!("writing that a process has moved: {error:#}");
            }
        }
        frozen.end_descendants();
        Ok(moving.commit(self.now()))
    }

    /// Lets the target run it. What the process says before the target has said that it runs is kept for the deputy.
    fn resume(
        &self,
        moving: Move<Committed>,
        link: &mut TcpStream,
    ) -> Result<(Move<Resumed>, Vec<FromTarget>)> {
        wire::send(link, &ToTarget::Resume).context("telling the target to go on")?;
        let mut early = Vec::new();
        loop {
            match wire::receive(link).context("waiting for the process to run")? {
                Some(FromTarget::Resumed) => return Ok((moving.resumed(self.now()), early)),
                Some(FromTarget::Failed(why)) => bail!("the target says: {why}"),
                Some(word) => early.push(word),
                None => bail!("the target hung up"),
            }
        }
    }
}

/// Offers the process to a node, and waits until it says that it takes it.
pub(super) fn accepted(link: &TcpStream, to: &NodeView, offer: Offer) -> Result<(), Stayed> {
    let undone = |source: anyhow::Error| Stayed::Undone { doing: "negotiating with the target", source };
    let ask = || -> Result<Option<FromTarget>> {
        link.set_read_timeout(Some(ANSWER)).context("setting up the link")?;
        wire::send(&mut &*link, &ToTarget::Offer(Box::new(offer))).context("offering the process")?;
        let answer = wire::receive(&mut &*link).context("waiting for the target's answer")?;
        link.set_read_timeout(Some(RESTORE)).context("setting up the link")?;
        Ok(answer)
    };
    match ask().map_err(undone)? {
        Some(FromTarget::Accepted) => Ok(()),
        Some(FromTarget::Refused(refusal)) => Err(Stayed::Refused { node: to.name.clone(), refusal }),
        other => Err(undone(anyhow!("did not expect {other:?}"))),
    }
}

fn wait_restored(link: &mut TcpStream) -> Result<()> {
    loop {
        match wire::receive(link).context("waiting for the target")? {
            // The target wants to hear something, too: it gives a home node up that is silent, also during the commit.
            Some(FromTarget::RestoredStopped) => {
                return wire::send(link, &ToTarget::StillHere).context("answering the target");
            }
            Some(FromTarget::StillHere) => {
                wire::send(link, &ToTarget::StillHere).context("answering the target")?;
            }
            Some(FromTarget::Failed(why)) => bail!("the target says: {why}"),
            None => bail!("the target hung up"),
            Some(other) => bail!("did not expect {other:?}"),
        }
    }
}

pub(super) fn new_session() -> SessionId {
    let mut bytes = [0; 8];
    // Only equal numbers would do harm, and the clock is a fair second when the kernel has no randomness yet.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        bytes = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_nsec.to_ne_bytes();
    }
    SessionId(u64::from_ne_bytes(bytes))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn shown(daemon: &Daemon, pid: i32, summary: &Summary) -> ProcessView {
    let me = daemon.node.boot.host_name.clone();
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
