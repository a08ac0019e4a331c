//! What ties a deputy to its process: one owner for each process that is away, who hears everybody in turn.
//!
//! ```text
//! Standing(A) ──Hop──▶ Asking(B) ──accepted──▶ Leaving(A) ──B holds it──▶ COMMIT ──A is gone──▶ Standing(B)
//!     ▲                   │                        │
//!     └──── refused ──────┴──── failed: A lets it go on ────┘
//! ```
//!
//! While the process is between two nodes, what the deputy says waits; from the commit on only B may run it.

mod hop;
mod meeting;

pub(crate) use hop::Hop;
pub(in crate::home) use meeting::{Greeting, Waiting};

use super::Daemon;
use super::journal::Journal;
use crate::link::{SILENCE, WORD_EVERY};
use crate::{inspect, wire};
use anyhow::{Context, Result, anyhow, bail};
use brant_migration::protocol::{FromDeputy, FromTarget, Offer, SessionId, ToDeputy, ToTarget};
use brant_sys::process::SIGSTOP;
use brant_types::migration::ProcessState;
use hop::Leg;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

/// What a keeper hears.
pub(crate) enum Event {
    /// From the node where the process runs, or is to run.
    Word(SessionId, FromTarget),
    /// The link to that node is over, for this reason.
    Over(SessionId, String),
    /// From the deputy.
    Deputy(FromDeputy),
    /// The deputy is gone.
    DeputyGone,
    /// Somebody wants the process on another node.
    Hop(Box<Hop>),
    /// The node that was asked has answered.
    Answered(Result<TcpStream, super::Stayed>),
}

/// One end of a link: what is said goes out by it, what is heard comes as events of its session.
struct Stay {
    session: SessionId,
    link: TcpStream,
}

impl Stay {
    /// Listens on a thread of its own from now on.
    fn begin(session: SessionId, link: TcpStream, events: &Sender<Event>) -> Result<Self> {
        link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
        let (mut from, events) = (link.try_clone().context("sharing the link")?, events.clone());
        std::thread::Builder::new()
            .name("from-host".to_owned())
            .spawn(move || {
                let over = loop {
                    let event = match wire::receive(&mut from) {
                        Ok(Some(word)) => Event::Word(session, word),
                        Ok(None) => break "the node where it ran has hung up".to_owned(),
                        Err(error) => break format!("listening to the node where it runs: {error}"),
                    };
                    if events.send(event).is_err() {
                        return;
                    }
                };
                let _nobody_listens = events.send(Event::Over(session, over));
            })
            .context("starting a thread")?;
        Ok(Self { session, link })
    }

    fn say(&self, word: &ToTarget) -> Result<()> {
        wire::send(&mut &self.link, word).context("speaking to the node where it runs")
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let _gone = self.link.shutdown(Shutdown::Both);
    }
}

/// The owner of a process that is away.
pub(in crate::home) struct Keeper {
    daemon: Daemon,
    /// What is shown of the process is kept under its first stay.
    shown: SessionId,
    offer: Offer,
    deputy: Sender<ToDeputy>,
    stay: Stay,
    journal: Journal,
    events: Receiver<Event>,
    inbox: Sender<Event>,
    /// What the deputy has said while the process was between two nodes.
    deferred: Vec<FromDeputy>,
    leg: Option<Leg>,
    /// Whether its deputy stands still as the process does, or is about to: that it is stopped is no news then.
    is_known_to_be_stopped: bool,
    /// What it had used on nodes that it has left, and on this one, microseconds.
    used_before: u64,
    used_here: u64,
}

/// What a keeper begins with.
pub(in crate::home) struct Beginning {
    pub(in crate::home) daemon: Daemon,
    pub(in crate::home) offer: Offer,
    pub(in crate::home) deputy: UnixStream,
    pub(in crate::home) link: TcpStream,
    pub(in crate::home) journal: Journal,
    /// What the process has said already.
    pub(in crate::home) early: Vec<FromTarget>,
    /// Whether it moved while it was stopped.
    pub(in crate::home) stopped: bool,
}

impl Keeper {
    /// Takes the process over once it runs elsewhere.
    pub(in crate::home) fn begin(beginning: Beginning) -> Result<Self> {
        let Beginning { daemon, offer, deputy, link, journal, early, stopped } = beginning;
        let (inbox, events) = channel();
        for word in early {
            let _held_here = inbox.send(Event::Word(offer.session, word));
        }
        let stay = Stay::begin(offer.session, link, &inbox)?;
        let (mut from, to) = (deputy.try_clone().context("sharing the deputy's socket")?, inbox.clone());
        std::thread::Builder::new()
            .name("from-deputy".to_owned())
            .spawn(move || {
                while let Ok(Some(word)) = wire::receive(&mut from) {
                    if to.send(Event::Deputy(word)).is_err() {
                        return;
                    }
                }
                let _nobody_listens = to.send(Event::DeputyGone);
            })
            .context("starting a thread")?;
        let deputy = speak_to(deputy)?;
        daemon.registry.take_orders(offer.session, inbox.clone());
        Ok(Self {
            shown: offer.session,
            daemon,
            offer,
            deputy,
            stay,
            journal,
            events,
            inbox,
            deferred: Vec::new(),
            leg: None,
            is_known_to_be_stopped: stopped,
            used_before: 0,
            used_here: 0,
        })
    }

    /// Stays with the process until it has ended, on whichever side.
    pub(in crate::home) fn keep(mut self) {
        let outcome = self.listen();
        self.call_off_hop();
        if let Err(error) = outcome {
            tracing::warn!(session = %self.shown, "a process away from home is lost: {error:#}");
            let _deputy_gone = self.deputy.send(ToDeputy::Lost(format!("{error:#}")));
        }
        self.daemon.registry.change(self.shown, |view| view.state = ProcessState::Ended);
    }

    fn listen(&mut self) -> Result<()> {
        let mut said = Instant::now();
        loop {
            // By the clock, not by silence: the nodes that speak all the time want to hear something, too.
            if said.elapsed() >= WORD_EVERY {
                said = Instant::now();
                self.stay.say(&ToTarget::StillHere)?;
                self.keep_next_host()?;
                self.stop_with_deputy()?;
            }
            match self.events.recv_timeout(WORD_EVERY.saturating_sub(said.elapsed())) {
                Ok(Event::Word(session, word)) if session == self.stay.session => {
                    if self.hear(word)? {
                        return Ok(());
                    }
                }
                Ok(Event::Over(session, why)) if session == self.stay.session => self.lose_host(why)?,
                Ok(Event::Word(session, word)) => self.hear_next_host(session, word)?,
                Ok(Event::Over(session, why)) => self.lose_next_host(session, why)?,
                Ok(Event::Deputy(word)) if self.is_between_nodes() => self.deferred.push(word),
                Ok(Event::Deputy(word)) => {
                    // Its deputy goes on, so the process is to go on.
                    self.is_known_to_be_stopped = false;
                    self.hand_on(word)?;
                }
                // A deputy that is gone takes its process along.
                Ok(Event::DeputyGone) => {
                    self.stay.say(&ToTarget::Kill)?;
                    return Ok(());
                }
                Ok(Event::Hop(hop)) => self.begin_hop(*hop),
                Ok(Event::Answered(answer)) => self.answered(answer)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("nobody speaks any more"),
            }
        }
    }

    /// From the node where it runs, to the deputy; true when it was the last word. A deputy that was killed hears
    /// nothing any more: the target is told, and ends the process.
    fn hear(&mut self, word: FromTarget) -> Result<bool> {
        let deputy = &self.deputy;
        let _killed = match word {
            FromTarget::Stream(word) => deputy.send(ToDeputy::Stream(word)),
            FromTarget::Offset(file, offset) => deputy.send(ToDeputy::Offset(file, offset)),
            FromTarget::Family(has) => deputy.send(ToDeputy::Family(has)),
            FromTarget::LeaderEnded(end) => deputy.send(ToDeputy::LeaderEnded(end)),
            FromTarget::WantsInput(wants) => deputy.send(ToDeputy::WantsInput(wants)),
            FromTarget::Stopped(_) if self.is_known_to_be_stopped => Ok(()),
            FromTarget::Stopped(signal) => {
                self.is_known_to_be_stopped = true;
                deputy.send(ToDeputy::Stopped(signal))
            }
            FromTarget::Ended(end) => {
                let _killed = deputy.send(ToDeputy::Ended(end));
                return Ok(true);
            }
            FromTarget::Used { cpu_micros, memory_kib } => {
                self.used_here = cpu_micros;
                self.offer.resident_kib = memory_kib;
                let seconds = (self.used_before + cpu_micros) as f64 / 1e6;
                self.daemon.registry.change(self.shown, move |view| view.cpu_seconds_away = seconds);
                Ok(())
            }
            FromTarget::StillHere | FromTarget::Continued => Ok(()),
            FromTarget::Resumed => {
                self.resumed()?;
                Ok(())
            }
            FromTarget::Departing => {
                self.departing();
                Ok(())
            }
            FromTarget::DepartureFailed(why) => {
                self.undo_hop("leaving the node where it is", anyhow!("that node says: {why}"))?;
                Ok(())
            }
            FromTarget::Failed(why) => bail!("the node where it ran says: {why}"),
            other => bail!("did not expect {other:?}"),
        };
        Ok(false)
    }

    /// From the deputy to the node where the process runs.
    fn hand_on(&self, word: FromDeputy) -> Result<()> {
        self.stay.say(&match word {
            FromDeputy::Signal(signal) => ToTarget::Signal(signal),
            FromDeputy::SignalGroup(signal) => ToTarget::SignalGroup(signal),
            FromDeputy::Input(bytes) => ToTarget::Input(bytes),
            FromDeputy::Resize(size) => ToTarget::Resize(size),
            FromDeputy::Stream(word) => ToTarget::Stream(word),
        })
    }

    /// SIGSTOP cannot be caught: a deputy that was stopped so is seen to be, and its process stopped as well.
    fn stop_with_deputy(&mut self) -> Result<()> {
        if self.is_known_to_be_stopped || self.is_between_nodes() || !inspect::is_stopped(self.offer.pid) {
            return Ok(());
        }
        self.is_known_to_be_stopped = true;
        self.stay.say(&ToTarget::Signal(SIGSTOP))
    }

    /// Hands on what has waited.
    fn go_on(&mut self) -> Result<()> {
        let deferred = std::mem::take(&mut self.deferred);
        deferred.into_iter().try_for_each(|word| self.hand_on(word))
    }
}

/// Hands words to the deputy on a thread of their own: one that somebody has stopped takes none, and must not hold up
/// its keeper. How much can wait is bounded by the streams' windows.
fn speak_to(mut deputy: UnixStream) -> Result<Sender<ToDeputy>> {
    let (words, outbox) = channel::<ToDeputy>();
    std::thread::Builder::new()
        .name("to-deputy".to_owned())
        .spawn(move || {
            for word in outbox {
                if wire::send(&mut deputy, &word).is_err() {
                    return;
                }
            }
        })
        .context("starting a thread")?;
    Ok(words)
}
