//! A guest moves on: its memory goes straight to the next node in rounds while it runs, and the rest of its image while
//! it stands still. Each piece of work is done on a thread of its own, which the departure is lent to.

use super::capsule;
use super::place;
use super::stay::Event;
use crate::dump::{self, Image, Subject};
use crate::fault::Place;
use crate::history::{self, Steps};
use crate::inspect;
use crate::node::Node;
use anyhow::{Context, Result};
use brant_migration::protocol::{Offer, Progress, SessionId};
use brant_migration::rounds::Round;
use brant_types::migration::{Part, PastMove, RoundRecord};
use brant_types::node::NodeId;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

/// One that leaves, what was made of it so far, and the way to where it goes. What the capsule has packed is not removed
/// with it.
#[derive(Debug)]
pub(super) struct Departure {
    image: Image,
    link: TcpStream,
    /// What the capsule packs is there.
    folder: PathBuf,
    /// The name of the node that it goes to.
    to: String,
    sent: bool,
    stay: Sender<Event>,
    steps: Steps,
    rounds: Vec<RoundRecord>,
    bytes: u64,
}

impl Departure {
    /// Connects to the next node, and sends the process's memory while it runs.
    ///
    /// # Errors
    /// The process runs on here; what may have come there is of no use.
    pub(super) fn pre_copy(
        node: &Node,
        offer: &Offer,
        (next, to): (SessionId, NodeId),
        stay: Sender<Event>,
    ) -> Result<Self> {
        let steps = Steps::begin();
        Place::Negotiated.pass()?;
        let (mut link, to) = dump::connect(node, to, next)?;
        let folder = place::departure(offer.session);
        let (group, work) = (capsule::group_of(offer.session), capsule::work_group_of(offer.session));
        let subject = Subject::in_capsule(offer.pid, group, &work, &folder)?;
        let pid = subject.pid();
        // One that a signal has stopped does not write to its memory any more.
        let running_kib =
            if inspect::is_stopped(pid) { 0 } else { inspect::resident_kib(&inspect::members(pid)) };
        let mut image = Image::begin(subject).context("preparing its image")?;
        let rounds = dump::pre_copy(&mut image, running_kib, &mut link);
        let rounds = rounds.context("copying its memory while it runs")?;
        let mut departure =
            Self { image, link, folder, to: to.name, sent: false, stay, steps, rounds: Vec::new(), bytes: 0 };
        rounds.iter().for_each(|round| departure.sent_round(round));
        departure.steps.step("precopied");
        Place::Precopied.pass()?;
        Ok(departure)
    }

    /// Sends the rest of its memory, now that it stands still, and makes the rest of its image.
    ///
    /// # Errors
    /// The process stands still; what may have come there is of no use.
    pub(super) fn dump(&mut self, work: &Path) -> Result<()> {
        self.steps.step("frozen");
        Place::Frozen.pass()?;
        let last = self.image.make(work, &mut self.link).context("making its image")?;
        self.sent_round(&last);
        Place::Dumped.pass()
    }

    /// Sends the rest of its image, and what the capsule has packed.
    ///
    /// # Errors
    /// The process stands still; all of it may have come there nevertheless.
    pub(super) fn send(&mut self) -> Result<()> {
        self.steps.step("dumped");
        self.tell(Progress::Dumped);
        let packed =
            dump::send_files(&mut self.link, &self.folder, |_| true).context("sending what goes along")?;
        let rest = self.image.send(&mut self.link).context("sending its image")?;
        self.bytes += packed + rest;
        self.steps.step("sent");
        self.sent = true;
        self.tell(Progress::Sent { bytes: packed + rest });
        Ok(())
    }

    /// Writes down that it has left, if it has.
    pub(super) fn remember(self, offer: &Offer, here: &str) {
        if !self.sent {
            return;
        }
        let to = self.to;
        tracing::info!(pid = offer.pid, home = %offer.home_name, %to, steps = ?self.steps.done(), "a process has moved on");
        history::add(&PastMove {
            at: history::now(),
            pid: offer.pid,
            comm: offer.comm.clone(),
            uid: offer.uid,
            home: offer.home_name.clone(),
            part: Part::Host,
            from: Some(here.to_owned()),
            to,
            stayed: None,
            frozen_ms: None,
            bytes: Some(self.bytes),
            steps: self.steps.done().to_vec(),
            rounds: self.rounds,
        });
    }

    fn sent_round(&mut self, round: &Round) {
        let record = dump::record(round);
        self.bytes += record.bytes;
        self.rounds.push(record);
        self.tell(Progress::Round(record));
    }

    fn tell(&self, progress: Progress) {
        let _stay_is_over = self.stay.send(Event::Progress(progress));
    }
}
