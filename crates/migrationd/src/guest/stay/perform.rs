//! What the machine says, done: words are sent, and work is begun.

use super::{Event, Stay, failed};
use crate::guest::capsule;
use crate::guest::departure::Departure;
use crate::guest::work;
use anyhow::Result;
use brant_migration::protocol::{Progress, SessionId, ToCapsule, ToHome};
use brant_migration::session::host::{Action, Work};
use brant_migration::session::{Ticket, Why};
use brant_types::node::NodeId;
use std::thread::JoinHandle;

impl Stay {
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(letter) => {
                    if let Some(link) = &self.link {
                        link.say_if_room(&ToHome::Letter(letter));
                    }
                }
                Action::Do(ticket, work) => self.begin_work(ticket, work),
                Action::Prolong(until) => {
                    if let Some(capsule) = &self.capsule {
                        capsule.say(&ToCapsule::Until(until));
                    }
                }
                Action::Forget => self.over = true,
            }
        }
    }

    fn begin_work(&mut self, ticket: Ticket, work: Work) {
        tracing::debug!(session = %self.offer.session, ?work, "at work");
        match work {
            Work::Prepare => {
                let (daemon, offer, inbox) = (self.daemon.clone(), self.offer.clone(), self.inbox.clone());
                self.awaited = Some((ticket, work));
                self.preparing = self
                    .apart(ticket, move || Event::Prepared(ticket, work::prepare(&daemon, &offer, &inbox)));
            }
            Work::Restore => self.ask_capsule(ticket, work, &ToCapsule::Restore),
            Work::Release => self.ask_capsule(ticket, work, &ToCapsule::Release),
            Work::PreCopy { next, to } if self.filled => self.pre_copy(ticket, next, to),
            // Only memory that is all there can be dumped.
            Work::PreCopy { .. } => self.awaited = Some((ticket, work)),
            Work::Freeze => {
                self.tell_progress(Progress::Freezing);
                self.ask_capsule(ticket, work, &ToCapsule::Depart);
            }
            Work::Dump => {
                let group = capsule::work_group_of(self.offer.session);
                self.lend_departure(ticket, work, move |departure| departure.dump(group.path()));
            }
            Work::SendImage { .. } => self.lend_departure(ticket, work, Departure::send),
            Work::Thaw => self.ask_capsule(ticket, work, &ToCapsule::Stay),
            Work::Clear => {
                self.awaited = None;
                self.meter = None;
                if let Some(departure) = self.departure.take() {
                    departure.remember(&self.offer, &self.daemon.node.name());
                }
                let (daemon, offer, capsule) = (self.daemon.clone(), self.offer.clone(), self.capsule.take());
                let preparing = self.preparing.take();
                self.apart(ticket, move || {
                    // What is still being made would else be left.
                    let _panicked = preparing.map(JoinHandle::join);
                    Event::Worked(ticket, work::clear(&daemon, &offer, capsule).map_err(failed))
                });
            }
        }
    }

    pub(super) fn pre_copy(&self, ticket: Ticket, next: SessionId, to: NodeId) {
        let (node, offer, inbox) = (self.daemon.node.clone(), self.offer.clone(), self.inbox.clone());
        self.apart(ticket, move || match Departure::pre_copy(&node, &offer, (next, to), inbox) {
            Ok(departure) => {
                Event::Departure(ticket, Work::PreCopy { next, to }, Box::new(departure), Ok(()))
            }
            Err(error) => Event::Worked(ticket, Err(failed(error))),
        });
    }

    fn lend_departure(
        &mut self,
        ticket: Ticket,
        work: Work,
        perform: impl FnOnce(&mut Departure) -> Result<()> + Send + 'static,
    ) {
        let Some(mut departure) = self.departure.take() else {
            return self.later(Event::Worked(ticket, Err(Why::Failed("nothing was begun".to_owned()))));
        };
        self.apart(ticket, move || {
            let outcome = perform(&mut departure).map_err(failed);
            Event::Departure(ticket, work, departure, outcome)
        });
    }

    pub(super) fn ask_capsule(&mut self, ticket: Ticket, work: Work, word: &ToCapsule) {
        match &self.capsule {
            Some(capsule) => {
                capsule.say(word);
                self.awaited = Some((ticket, work));
            }
            None => self.later(Event::Worked(ticket, Err(Why::CapsuleEnded))),
        }
    }

    /// Does something long on a thread of its own.
    fn apart(&self, ticket: Ticket, work: impl FnOnce() -> Event + Send + 'static) -> Option<JoinHandle<()>> {
        let inbox = self.inbox.clone();
        let spawned = std::thread::Builder::new().name("stay's work".to_owned()).spawn(move || {
            let _stay_is_over = inbox.send(work());
        });
        spawned.map_err(|error| self.later(Event::Worked(ticket, Err(failed(error.into()))))).ok()
    }

    pub(super) fn later(&self, event: Event) {
        let _held_here = self.inbox.send(event);
    }
}
