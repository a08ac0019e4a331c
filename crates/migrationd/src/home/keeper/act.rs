//! What the machine says, done.

use super::Keeper;
use crate::home::Stayed;
use crate::home::departure::Outcome;
use crate::home::journal::{self, Entry};
use crate::home::keeper::Event;
use anyhow::{Context, Result};
use brant_migration::protocol::{ToDeputy, ToHost};
use brant_migration::session::home::{self, Action, Record, Stay, Work};
use brant_migration::session::letter::{FromHome, Letter, Order};
use brant_migration::session::{Ticket, Why};
use brant_types::migration::ProcessState;
use brant_types::node::NodeId;

impl Keeper {
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(node, letter) => self.send(node, letter),
                Action::Do(ticket, work) => self.begin_work(ticket, work),
                Action::Answer(answer) => self.answer(answer),
                Action::Forget => self.over = true,
            }
        }
    }

    fn send(&mut self, node: NodeId, letter: Letter<FromHome>) {
        let session = letter.session;
        self.note_order(letter.body.order);
        let word = if letter.body.order == Order::Prepare {
            let mut offer = self.offer.clone();
            offer.session = session;
            offer.stopped = self.stopped;
            ToHost::Offer(letter, Box::new(offer))
        } else {
            ToHost::Letter(letter)
        };
        self.hosts.send(session, node, word);
    }

    fn begin_work(&mut self, ticket: Ticket, work: Work) {
        if let Some(journey) = &mut self.journey {
            match &work {
                Work::PreCopy(_) => journey.step("negotiated"),
                Work::Save => journey.step("restored"),
                _ => {}
            }
        }
        let done = match &work {
            Work::Record(record) => Some(self.record(record.clone())),
            Work::EndDeputy(why) => {
                self.lose(why);
                Some(Ok(()))
            }
            // One that a signal has stopped becomes its deputy when it goes on. So it is the record that decides.
            Work::BecomeDeputy if self.stopped => match self.commit_in_writing() {
                Ok(()) => None,
                failed => Some(failed),
            },
            _ => None,
        };
        self.busy = Some((ticket, work.clone()));
        match done {
            Some(outcome) => {
                let _held_here = self.inbox.send(Event::Worked(ticket, outcome.map(|()| None).into()));
            }
            None => self.worker.order(ticket, work),
        }
    }

    pub(super) fn worked(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some((_, work)) = self.busy.take_if(|(busy, _)| *busy == ticket) else { return };
        let event = match outcome {
            Outcome::Done(None) => {
                self.done(&work);
                home::Event::Done(ticket)
            }
            Outcome::Done(Some(saved)) => {
                self.saved = Some(saved.clone());
                home::Event::Saved(ticket, saved)
            }
            Outcome::Failed(why) => {
                tracing::info!(pid = self.offer.pid, ?work, "a piece of work failed: {why}");
                self.failed(&work);
                home::Event::Failed(ticket, why)
            }
            Outcome::Obstacle(obstacle) => {
                let why = Why::Failed(obstacle.to_string());
                if let Some(journey) = &mut self.journey {
                    journey.stayed = Some(Stayed::from(obstacle));
                }
                home::Event::Failed(ticket, why)
            }
        };
        self.tell(event);
    }

    fn done(&mut self, work: &Work) {
        let step = match work {
            Work::PreCopy(_) => "precopied",
            Work::Freeze => "frozen",
            Work::Dump => "dumped",
            Work::SendImage(_) => "sent",
            Work::BecomeDeputy => "committed",
            Work::Record(Some(Record::Away { stay })) if !self.is_host(stay.session) => "committed",
            _ => return,
        };
        if let Some(journey) = &mut self.journey {
            journey.step(step);
        }
        if *work == Work::BecomeDeputy {
            let to = self.journey.as_ref().map(|journey| journey.to().to_owned());
            self.show(|view| {
                view.state = ProcessState::Away;
                view.node = to.unwrap_or_else(|| std::mem::take(&mut view.node));
            });
        }
    }

    /// What was decided in writing, and then could not be done, is taken back in writing.
    fn failed(&mut self, work: &Work) {
        if let (Work::BecomeDeputy, true, Some(saved), Some(stay)) =
            (work, self.stopped, self.saved.clone(), self.target)
            && let Err(error) = self.record(Some(Record::Leaving { stay, saved }))
        {
            tracing::error!("taking a commit back: {error:#}");
        }
    }

    fn commit_in_writing(&mut self) -> Result<()> {
        let stay = self.target.context("committing to a stay that was not noted")?;
        self.record(Some(Record::Away { stay }))
    }

    fn record(&mut self, record: Option<Record>) -> Result<()> {
        match record {
            None => {
                journal::remove(self.offer.pid)?;
                self.written = None;
            }
            Some(record) => {
                let (Record::Leaving { stay, .. } | Record::Away { stay }) = &record;
                self.target = Some(*stay);
                journal::write(&self.entry(record.clone()))?;
                self.written = Some(record);
            }
        }
        Ok(())
    }

    fn entry(&self, record: Record) -> Entry {
        Entry {
            record,
            offer: self.offer.clone(),
            started: self.started,
            stopped: self.stopped,
            hello: self.hello.clone(),
            deputy: self.task.pid,
            deputy_started: self.task.started,
            view: self.view.clone(),
        }
    }

    /// Something of the entry has changed, but not the decision.
    pub(super) fn rewrite_entry(&mut self) {
        if let Some(record) = self.written.clone()
            && let Err(error) = journal::write(&self.entry(record))
        {
            tracing::error!("writing who stands for a process: {error:#}");
        }
    }

    /// The process is lost; its deputy says so and ends, now or when it comes.
    fn lose(&mut self, why: &Why) {
        if *why == Why::Over {
            // Its deputy has heard so before, and is about to end in the same way.
            return;
        }
        tracing::warn!(pid = self.offer.pid, "a process away from home is lost: {why}");
        match &self.deputy {
            Some(deputy) => deputy.say(&ToDeputy::Lost(why.to_string())),
            None => self.farewell = Some(why.to_string()),
        }
    }

    fn answer(&mut self, answer: Result<Stay, Why>) {
        let Some(journey) = self.journey.take() else { return };
        let pid = self.offer.pid;
        match answer {
            Ok(stay) => {
                // Programs ask the processor what it can do when they are loaded, some only when they first need it, and
                // keep to that.
                let cpu = self.daemon.node.by_id(stay.node).map(|host| host.cpu).unwrap_or_default();
                self.offer.cpu = self.offer.cpu.union(cpu);
                let record = journey.arrive(&self.view);
                let (to, frozen_ms, bytes) = (&record.to, record.frozen_ms, record.bytes);
                tracing::info!(pid, %to, frozen_ms, bytes, steps = ?record.steps, "a process has moved");
                self.show(|view| {
                    view.node.clone_from(&record.to);
                    view.state = ProcessState::Away;
                    view.moves.push(record);
                });
                self.rewrite_entry();
            }
            Err(why) => journey.stay(&self.view, why),
        }
    }
}
