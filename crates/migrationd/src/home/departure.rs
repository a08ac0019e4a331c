//! What is done to a process that leaves its place on its home node: one piece of work after the other, in the order
//! that the machine says ([`Work`]), on a thread of its own.
//!
//! Whatever is said here changes nothing of who may run the process: that is the record's, and the keeper's.

use super::frozen::Frozen;
use super::keeper::Event;
use super::memory;
use super::pipes::Pipes;
use super::takeover::{Redirected, Was};
use crate::dump::{self, Image, Subject};
use crate::fault::Place;
use crate::inspect;
use crate::node::Node;
use anyhow::{Context, Result, bail};
use brant_migration::obstacle::{Migratable, Obstacle};
use brant_migration::protocol::SessionId;
use brant_migration::rounds::Round;
use brant_migration::session::home::{Saved, Stay, Work};
use brant_migration::session::{Ticket, Why};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// What is learnt on the way.
#[derive(Debug)]
pub(crate) enum Fact {
    /// So much memory was sent, while the process ran or, the last time, while it stood still.
    Round(Round),
    /// The rest of the image had so many bytes.
    Rest(u64),
    /// It stands still.
    Frozen {
        /// Since then.
        since: Instant,
        /// Signals that are pending for it, one bit each.
        pending: u64,
        /// Whether a signal had stopped it before.
        stopped: bool,
        /// What it shares with those that stay.
        pipes: Pipes,
    },
}

/// How a piece of work went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done.
    Done(Option<Saved>),
    /// It failed.
    Failed(Why),
    /// What the frozen process is by now keeps it here.
    Obstacle(Obstacle),
}

impl From<Result<Option<Saved>>> for Outcome {
    fn from(result: Result<Option<Saved>>) -> Self {
        match result {
            Ok(saved) => Self::Done(saved),
            Err(error) => match error.downcast::<Obstacle>() {
                Ok(obstacle) => Self::Obstacle(obstacle),
                Err(error) => Self::Failed(Why::Failed(format!("{error:#}"))),
            },
        }
    }
}

/// The process that leaves, and what was made of it so far.
pub(super) struct Departure {
    pub(super) node: Node,
    pub(super) pid: i32,
    /// What was offered; nothing where an earlier daemon did that.
    pub(super) offered: Option<Migratable>,
    pub(super) arguments: Vec<Vec<u8>>,
    pub(super) frozen: Option<Frozen>,
    pub(super) events: Sender<Event>,
    /// The stay that its image is made for.
    session: Option<SessionId>,
    image: Option<Image>,
    link: Option<TcpStream>,
    named_memory: Vec<String>,
    stopped: bool,
    was: Option<Was>,
    redirected: Option<Redirected>,
    committed: bool,
}

/// Works on a thread of its own; what comes of it is told to the keeper.
pub(super) struct Worker(Sender<(Ticket, Work)>);

impl Worker {
    /// Begins; it ends when this is dropped, after the work that is under way.
    pub(super) fn begin(departure: Departure) -> Result<Self> {
        let (orders, inbox) = channel();
        std::thread::Builder::new()
            .name(format!("move {}", departure.pid))
            .spawn(move || departure.work(&inbox))
            .context("starting a thread")?;
        Ok(Self(orders))
    }

    /// The next piece of work.
    pub(super) fn order(&self, ticket: Ticket, work: Work) {
        let _ending = self.0.send((ticket, work));
    }
}

impl Departure {
    /// Of a process that runs here.
    pub(super) fn of(
        node: &Node,
        offered: Migratable,
        arguments: Vec<Vec<u8>>,
        events: Sender<Event>,
    ) -> Self {
        let pid = offered.pid();
        Self { offered: Some(offered), arguments, ..Self::found(node, pid, None, events) }
    }

    /// Of one that an earlier daemon has left as it is.
    pub(super) fn found(node: &Node, pid: i32, frozen: Option<Frozen>, events: Sender<Event>) -> Self {
        Self {
            node: node.clone(),
            pid,
            offered: None,
            arguments: Vec::new(),
            frozen,
            events,
            session: None,
            image: None,
            link: None,
            named_memory: Vec::new(),
            stopped: false,
            was: None,
            redirected: None,
            committed: false,
        }
    }

    fn work(mut self, inbox: &Receiver<(Ticket, Work)>) {
        for (ticket, work) in inbox {
            let name = format!("{work:?}");
            let name = name.split(['(', ' ']).next().unwrap_or_default();
            tracing::debug!(pid = self.pid, work = name, "at work");
            let outcome = Outcome::from(self.perform(work));
            if self.events.send(Event::Worked(ticket, outcome)).is_err() {
                return;
            }
        }
    }

    fn perform(&mut self, work: Work) -> Result<Option<Saved>> {
        match work {
            Work::PreCopy(stay) => self.pre_copy(stay)?,
            Work::Freeze => self.freeze()?,
            Work::Dump => self.dump()?,
            Work::SendImage(_) => self.send()?,
            Work::Save => return self.save().map(Some),
            Work::Redirect => self.redirect()?,
            Work::BecomeDeputy => self.become_deputy()?,
            Work::PutBack(saved) => self.put_back(&saved)?,
            Work::LetGo => self.let_go(),
            // The keeper's own.
            Work::Record(_) | Work::EndDeputy(_) => {}
        }
        Ok(None)
    }

    fn pre_copy(&mut self, stay: Stay) -> Result<()> {
        Place::Negotiated.pass()?;
        let (link, _) = dump::connect(&self.node, stay.node, stay.session)?;
        let link = self.link.insert(link);
        let subject = Subject::at_home(self.pid, stay.session);
        let image = self.image.insert(Image::begin(subject).context("preparing its image")?);
        self.session = Some(stay.session);
        let offered = self.offered.as_ref().context("nothing was offered")?;
        // One that Ctrl-Z has stopped does not write to its memory any more.
        let running_kib = if offered.stopped { 0 } else { inspect::resident_kib(&offered.members) };
        let rounds = dump::pre_copy(image, running_kib, link);
        for round in rounds.context("copying its memory while it runs")? {
            self.tell(Fact::Round(round));
        }
        Place::Precopied.pass()
    }

    fn freeze(&mut self) -> Result<()> {
        let since = Instant::now();
        let session = self.session.context("no image was begun")?;
        self.frozen = Some(Frozen::freeze(self.pid, session).context("freezing it")?);
        Place::Frozen.pass()?;
        // Frozen, it cannot change any more: what it opened since it was looked at is seen now.
        let now = inspect::migratable(self.pid)?;
        if !self.offered.as_ref().is_some_and(|offered| now.has_the_ties_of(offered)) {
            return Err(Obstacle::Changing.into());
        }
        let pending = inspect::pending_signals(self.pid);
        let pipes = Pipes::copy(&now).context("copying its pipes")?;
        self.stopped = now.stopped;
        self.named_memory = now.named_memory;
        self.tell(Fact::Frozen { since, pending, stopped: now.stopped, pipes });
        Ok(())
    }

    fn dump(&mut self) -> Result<()> {
        let (image, link, frozen) = self.at_hand()?;
        let last = image.make(frozen.group(), link).context("making its image")?;
        self.tell(Fact::Round(last));
        Place::Dumped.pass()
    }

    fn send(&mut self) -> Result<()> {
        let names = self.named_memory.clone();
        let (image, link, _) = self.at_hand()?;
        let named = memory::send(link, &names).context("sending its shared memory")?;
        let rest = image.send(link).context("sending its image")?;
        self.tell(Fact::Rest(named + rest));
        Ok(())
    }

    fn at_hand(&mut self) -> Result<(&mut Image, &mut TcpStream, &Frozen)> {
        match (&mut self.image, &mut self.link, &self.frozen) {
            (Some(image), Some(link), Some(frozen)) => Ok((image, link, frozen)),
            _ => bail!("the process does not stand still, or has no image"),
        }
    }

    fn save(&mut self) -> Result<Saved> {
        Place::Restored.pass()?;
        let was = Was::look(self.pid, &self.arguments).context("looking at what it does")?;
        let saved = Saved(was.to_bytes());
        self.was = Some(was);
        Ok(saved)
    }

    fn redirect(&mut self) -> Result<()> {
        let was = self.was.take().context("nobody looked at what it does")?;
        let frozen = self.frozen.as_ref().context("it does not stand still")?;
        let redirected = was.redirect(frozen, &self.arguments, self.stopped);
        self.redirected = Some(redirected.context("putting its deputy in its place")?);
        Place::Redirected.pass()
    }

    fn become_deputy(&mut self) -> Result<()> {
        let redirected = self.redirected.take().context("it was not redirected")?;
        let frozen = self.frozen.as_ref().context("it does not stand still")?;
        redirected.become_deputy(frozen)?;
        frozen.end_descendants();
        self.committed = true;
        // Too late to count as failed: it is the deputy.
        let _only_an_end_here = Place::Committed.pass();
        Ok(())
    }

    fn put_back(&mut self, saved: &Saved) -> Result<()> {
        // What was half done is known by what was saved.
        self.redirected = None;
        Was::from_bytes(&saved.0).context("understanding what was saved")?.put_back()
    }

    /// The process runs here as what it is, process or deputy.
    fn let_go(&mut self) {
        self.redirected = None;
        self.image = None;
        self.link = None;
        if let Some(frozen) = self.frozen.take() {
            frozen.release();
        }
        if self.committed {
            memory::remove(&std::mem::take(&mut self.named_memory));
        }
    }

    fn tell(&self, fact: Fact) {
        let _keeper_gone = self.events.send(Event::Fact(fact));
    }
}
