//! One stay of a process on this node: the owner of its machine, who hears everybody in turn and does what it says.
//!
//! The machine and its states are drawn in [`brant_migration::session::host`].

mod begin;
mod perform;

pub(super) use begin::{begin, find};

use super::arrival::Arrival;
use super::capsule::Capsule;
use super::departure::Departure;
use super::meter::Meter;
use super::place;
use crate::clock::{self, TICK};
use crate::fault::Place;
use crate::home::Daemon;
use crate::outlet::Outlet;
use anyhow::Result;
use brant_migration::protocol::{FromCapsule, Offer, Progress, ToCapsule, ToHome, ToHost};
use brant_migration::session::host::{self, Action, Host, Work};
use brant_migration::session::{Ticket, Why};
use brant_types::migration::ProcessState;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

/// What a stay hears.
#[derive(Debug)]
pub(super) enum Event {
    /// There is a new way to home.
    Link(Arc<Outlet>),
    /// From home.
    Word(ToHost),
    /// From the capsule.
    Capsule(FromCapsule),
    /// The capsule has ended, or does not speak any more.
    CapsuleGone,
    /// The image is whole, or will not come.
    Image(Result<(), Why>),
    /// The capsule stands, or cannot.
    Prepared(Ticket, Result<Capsule, Why>),
    /// Another piece of work is done, or cannot be.
    Worked(Ticket, Result<(), Why>),
    /// The departure has come so far.
    Progress(Progress),
    /// It was lent to a piece of work, which is done, or cannot be.
    Departure(Ticket, Work, Box<Departure>, Result<(), Why>),
}

/// The owner of a stay.
struct Stay {
    daemon: Daemon,
    offer: Offer,
    host: Host,
    link: Option<Arc<Outlet>>,
    capsule: Option<Capsule>,
    /// The piece of work that a thread or the capsule is at.
    awaited: Option<(Ticket, Work)>,
    preparing: Option<JoinHandle<()>>,
    meter: Option<Meter>,
    arrival: Arrival,
    /// Whether its memory is all there: before that it cannot leave.
    filled: bool,
    departure: Option<Box<Departure>>,
    /// Whether the capsule had ended before it was known to stand.
    gone_early: bool,
    /// What the capsule has said of its end.
    last_word: Why,
    events: Receiver<Event>,
    inbox: Sender<Event>,
    over: bool,
}

impl Stay {
    /// Lives until nothing of it is left, and home knows.
    fn live(mut self, first: Vec<Action>) {
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
                self.tell(host::Event::Tick);
                self.measure();
            }
        }
        let session = self.offer.session;
        self.daemon.stays.end(session);
        self.daemon.registry.change(session, |view| view.state = ProcessState::Ended);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Link(link) => {
                self.link = Some(link);
                self.hand_on(&ToCapsule::Reattached);
            }
            Event::Word(ToHost::Letter(letter) | ToHost::Offer(letter, _)) => {
                self.tell(host::Event::Letter(letter));
            }
            Event::Word(ToHost::Packet(packet)) => self.hand_on(&ToCapsule::Packet(packet)),
            Event::Word(ToHost::Reattached) => self.hand_on(&ToCapsule::Reattached),
            Event::Word(ToHost::Stop) => self.hand_on(&ToCapsule::Stop),
            Event::Capsule(word) => self.hear_capsule(word),
            Event::CapsuleGone => {
                // What ends because it is cleared has no connection any more.
                if self.capsule.take().is_some() {
                    self.look_for_capsule();
                } else {
                    self.gone_early = true;
                }
            }
            Event::Image(Ok(())) => {
                self.arrival.step("received");
                self.tell(match Place::Received.pass() {
                    Ok(()) => host::Event::ImageArrived,
                    Err(error) => host::Event::ImageLost(failed(error)),
                });
            }
            Event::Image(Err(why)) => self.tell(host::Event::ImageLost(why)),
            Event::Prepared(ticket, prepared) => self.prepared(ticket, prepared),
            Event::Worked(ticket, outcome) => self.worked(ticket, outcome),
            Event::Progress(progress) => self.tell_progress(progress),
            Event::Departure(ticket, work, departure, outcome) => {
                self.departure = Some(departure);
                match (work, outcome) {
                    // What only the capsule knows goes along.
                    (Work::Dump, Ok(())) => self.ask_capsule(ticket, work, &ToCapsule::Pack),
                    (_, outcome) => self.worked(ticket, outcome),
                }
            }
        }
    }

    /// The connection is over: so is the capsule, unless it was only the connection that it gave up.
    fn look_for_capsule(&mut self) {
        match Capsule::find(self.offer.session, &self.inbox) {
            Ok((capsule, _, _, filled)) if self.last_word == Why::CapsuleEnded => {
                self.capsule = Some(capsule);
                if filled {
                    self.note_filled();
                }
            }
            _ => {
                self.awaited = None;
                self.tell(host::Event::CapsuleEnded(self.last_word.clone()));
            }
        }
    }

    /// A capsule that is not wanted any more is, or was, cleared by its name.
    fn prepared(&mut self, ticket: Ticket, prepared: Result<Capsule, Why>) {
        if self.awaited.take_if(|(awaited, _)| *awaited == ticket).is_none() {
            return;
        }
        let outcome = prepared.and_then(|capsule| {
            if self.gone_early {
                return Err(Why::CapsuleEnded);
            }
            self.arrival.step("prepared");
            self.capsule = Some(capsule);
            self.daemon.stays.open_desk(&self.offer);
            Place::Accepted.pass().map_err(failed)
        });
        self.worked(ticket, outcome);
    }

    fn hear_capsule(&mut self, word: FromCapsule) {
        match word {
            FromCapsule::Packet(packet) => {
                if let Some(link) = &self.link {
                    link.say_if_room(&ToHome::Packet(packet));
                }
            }
            FromCapsule::Held => {
                self.daemon.registry.begin(
                    self.offer.session,
                    super::shown(&self.daemon, &self.offer),
                    Vec::new(),
                );
                self.arrival.step("restored");
                let passed = Place::Held.pass();
                self.capsule_worked(Work::Restore, passed.map_err(failed));
            }
            FromCapsule::Runs => {
                self.meter = self.capsule.as_ref().map(Meter::start);
                self.arrival.step("released");
                self.arrival.remember(&self.daemon.node.name(), &self.offer);
                let passed = Place::Released.pass();
                self.capsule_worked(Work::Release, passed.map_err(failed));
            }
            FromCapsule::Filled => {
                if let Err(error) = place::remove_image(self.offer.session) {
                    tracing::warn!("removing an image that has done its work: {error:#}");
                }
                self.note_filled();
            }
            FromCapsule::Departing => self.capsule_worked(Work::Freeze, Ok(())),
            FromCapsule::Packed => self.capsule_worked(Work::Dump, Ok(())),
            FromCapsule::CannotDepart(why) => {
                if let Some((ticket, _)) = self.awaited.take() {
                    self.worked(ticket, Err(Why::Failed(why)));
                }
            }
            FromCapsule::Stays => {
                self.departure = None;
                place::clear_departure(self.offer.session);
                self.capsule_worked(Work::Thaw, Ok(()));
            }
            FromCapsule::Over => self.last_word = Why::Over,
            FromCapsule::Failed(why) => {
                tracing::warn!(%why, comm = %self.offer.comm, "a guest's capsule has failed");
                self.last_word = Why::Failed(why.clone());
                if let Some((ticket, _)) = self.awaited.take() {
                    self.worked(ticket, Err(Why::Failed(why)));
                }
            }
            FromCapsule::Prepared | FromCapsule::Here { .. } => {}
        }
    }

    /// A departure that has waited for that can begin.
    fn note_filled(&mut self) {
        self.filled = true;
        if let Some((ticket, Work::PreCopy { next, to })) = self.awaited {
            self.awaited = None;
            self.pre_copy(ticket, next, to);
        }
    }

    /// The capsule has done what was asked, if this is what was asked.
    fn capsule_worked(&mut self, work: Work, outcome: Result<(), Why>) {
        if let Some((ticket, _)) = self.awaited.take_if(|(_, awaited)| *awaited == work) {
            self.worked(ticket, outcome);
        }
    }

    fn worked(&mut self, ticket: Ticket, outcome: Result<(), Why>) {
        self.tell(match outcome {
            Ok(()) => host::Event::Done(ticket),
            Err(why) => host::Event::Failed(ticket, why),
        });
    }

    fn tell(&mut self, event: host::Event) {
        let mut out = Vec::new();
        self.host.step(clock::now(), event, &mut out);
        self.perform(out);
    }

    /// From home to the capsule, while a process runs there.
    fn hand_on(&self, word: &ToCapsule) {
        if let Some(capsule) = self.capsule.as_ref().filter(|_| self.host.is_running()) {
            capsule.hand_on(word);
        }
    }

    fn tell_progress(&self, progress: Progress) {
        if let Some(link) = &self.link {
            link.say_if_room(&ToHome::Progress(progress));
        }
    }

    /// Shows here what the guest has used, and tells home.
    fn measure(&mut self) {
        let (Some(meter), Some(capsule)) = (&mut self.meter, &self.capsule) else { return };
        let Some(cpu_micros) = meter.read(capsule) else { return };
        let memory_kib = capsule.memory_kib();
        let seconds = cpu_micros as f64 / 1e6;
        self.daemon.registry.change(self.offer.session, move |view| view.cpu_seconds_away = seconds);
        if let Some(link) = &self.link {
            link.say_if_room(&ToHome::Used { cpu_micros, memory_kib });
        }
    }
}

fn failed(error: anyhow::Error) -> Why {
    Why::Failed(format!("{error:#}"))
}
