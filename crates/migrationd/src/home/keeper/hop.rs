//! A process that is away moves on: to a third node, or home.

use super::{Event, Keeper, Stay};
use crate::home::source::{accepted, new_session};
use crate::home::{Daemon, Stayed};
use crate::link;
use anyhow::{Context, Result, anyhow, bail};
use brant_migration::obstacle::Obstacle;
use brant_migration::protocol::{Destination, FromTarget, Offer, SessionId, ToDeputy, ToTarget};
use brant_types::agent::NodeView;
use brant_types::migration::{MoveRecord, MovedBy};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long one hop may take, from the question to the node where it is.
const HOP: Duration = Duration::from_secs(180);

/// The wish that a process be on another node.
pub(crate) struct Hop {
    pub(in crate::home) to: NodeView,
    pub(in crate::home) by: MovedBy,
    pub(in crate::home) answer: Sender<Result<MoveRecord, Stayed>>,
}

/// A hop under way.
pub(super) struct Leg {
    hop: Hop,
    offer: Offer,
    stage: Stage,
    times: Times,
}

/// What the time of a hop goes into.
struct Times {
    began: Instant,
    frozen: Option<Instant>,
    last: Instant,
    steps: Vec<(String, u64)>,
}

enum Stage {
    /// The next node has been asked.
    Asking,
    /// This node is to freeze the process and send its image to the next one.
    Leaving(Stay),
    /// The next node holds it and alone may run it; this one is ending what it has of it.
    Committed(Stay),
    /// The next node has been told to run it.
    Resuming,
}

impl Times {
    fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, frozen: None, last: now, steps: Vec::new() }
    }

    fn step(&mut self, name: &str) {
        let now = Instant::now();
        self.steps.push((name.to_owned(), millis(now - self.last)));
        self.last = now;
    }
}

impl Keeper {
    /// Whether what the deputy says has to wait.
    pub(super) fn is_between_nodes(&self) -> bool {
        self.leg.as_ref().is_some_and(|leg| !matches!(leg.stage, Stage::Asking))
    }

    /// Asks the next node, on a thread of its own: it may have to mount this node's root first.
    pub(super) fn begin_hop(&mut self, hop: Hop) {
        if self.leg.is_some() {
            let _gone = hop.answer.send(Err(Stayed::Busy(self.offer.pid)));
            return;
        }
        let offer = Offer { session: new_session(), moves_on: true, ..self.offer.clone() };
        let (daemon, to, asked, events) =
            (self.daemon.clone(), hop.to.clone(), offer.clone(), self.inbox.clone());
        self.leg = Some(Leg { hop, offer, stage: Stage::Asking, times: Times::begin() });
        let spawned = std::thread::Builder::new().name("asking".to_owned()).spawn(move || {
            let _keeper_gone = events.send(Event::Answered(ask(&daemon, &to, asked)));
        });
        if let Err(error) = spawned {
            self.fail_hop("asking the next node", error.into());
        }
    }

    /// The next node has answered: this one is told to let the process go.
    pub(super) fn answered(&mut self, answer: Result<TcpStream, Stayed>) -> Result<()> {
        let Some(mut leg) = self.leg.take() else { return Ok(()) };
        let link = match answer {
            Ok(link) => link,
            Err(stayed) => {
                let _gone = leg.hop.answer.send(Err(stayed));
                return Ok(());
            }
        };
        leg.times.step("negotiated");
        let session = leg.offer.session;
        match Stay::begin(session, link, &self.inbox) {
            Ok(next) => {
                let overlay = leg.hop.to.overlay;
                leg.stage = Stage::Leaving(next);
                leg.times.frozen = Some(Instant::now());
                self.leg = Some(leg);
                self.stay.say(&ToTarget::Depart(Destination { overlay, session }))
            }
            Err(error) => {
                let doing = "listening to the next node";
                let _gone = leg.hop.answer.send(Err(Stayed::Undone { doing, source: error }));
                Ok(())
            }
        }
    }

    /// This node has frozen and dumped it.
    pub(super) fn departing(&mut self) {
        if let Some(leg) = &mut self.leg {
            leg.times.step("frozen and dumped");
        }
    }

    /// From the next node. Only once it holds the process, and that is on record, is this one told to end it.
    pub(super) fn hear_next_host(&mut self, session: SessionId, word: FromTarget) -> Result<()> {
        if self.leg.as_ref().is_none_or(|leg| leg.offer.session != session) {
            // A late word of a node that an earlier hop would have gone to.
            return Ok(());
        }
        let Some(mut leg) = self.leg.take() else { return Ok(()) };
        match (word, leg.stage) {
            (FromTarget::RestoredStopped, Stage::Leaving(next)) => {
                leg.times.step("sent and restored");
                if let Err(error) = self.journal.commit(self.offer.pid, &leg.hop.to.name) {
                    leg.stage = Stage::Leaving(next);
                    self.leg = Some(leg);
                    return self.undo_hop("committing the move", error);
                }
                leg.stage = Stage::Committed(next);
                self.leg = Some(leg);
                // Should it not hear that any more, it ends the process with the link.
                let _lost = self.stay.say(&ToTarget::Left);
                Ok(())
            }
            (FromTarget::Failed(why), stage @ Stage::Leaving(_)) => {
                leg.stage = stage;
                self.leg = Some(leg);
                self.undo_hop("restoring it on the next node", anyhow!("that node says: {why}"))
            }
            (FromTarget::Failed(why), Stage::Committed(_)) => bail!("the node that had taken it says: {why}"),
            (_, stage) => {
                leg.stage = stage;
                self.leg = Some(leg);
                Ok(())
            }
        }
    }

    /// The node where the process is does not answer any more. After the commit that is what was waited for.
    pub(super) fn lose_host(&mut self, why: String) -> Result<()> {
        let Some(mut leg) = self.leg.take() else { bail!(why) };
        let Stage::Committed(next) = leg.stage else {
            self.leg = Some(leg);
            bail!(why)
        };
        leg.times.step("committed");
        leg.stage = Stage::Resuming;
        self.stay = next;
        self.used_before += std::mem::take(&mut self.used_here);
        self.offer.session = self.stay.session;
        self.stay.say(&ToTarget::Resume)?;
        // What it waited for there, it has to ask for here anew.
        let _killed = self
            .deputy
            .send(ToDeputy::WantsInput(false))
            .and_then(|()| self.deputy.send(ToDeputy::Family(false)));
        self.leg = Some(leg);
        Ok(())
    }

    /// It runs on the next node.
    pub(super) fn resumed(&mut self) -> Result<()> {
        let Some(mut leg) = self.leg.take() else { return Ok(()) };
        leg.times.step("resumed");
        let record = MoveRecord {
            pid: self.offer.pid,
            to: leg.hop.to.name.clone(),
            to_id: leg.hop.to.id,
            by: leg.hop.by,
            frozen_ms: leg.times.frozen.map_or(0, |frozen| millis(frozen.elapsed())),
            bytes: 0,
            steps: leg.times.steps,
            rounds: Vec::new(),
        };
        tracing::info!(pid = record.pid, to = %record.to, frozen_ms = record.frozen_ms, "a process has moved on");
        let shown = record.clone();
        self.daemon.registry.change(self.shown, move |view| {
            view.node.clone_from(&shown.to);
            view.moves.push(shown);
        });
        let _gone = leg.hop.answer.send(Ok(record));
        self.go_on()
    }

    /// The next node does not answer any more: before the commit the process stays where it is.
    pub(super) fn lose_next_host(&mut self, session: SessionId, why: String) -> Result<()> {
        match &self.leg {
            Some(leg) if leg.offer.session != session => Ok(()),
            None => Ok(()),
            Some(leg) if matches!(leg.stage, Stage::Committed(_)) => bail!(why),
            Some(_) => self.undo_hop("moving it to the next node", anyhow!(why)),
        }
    }

    /// Lets the next node know that this one is there; gives a hop up that takes too long.
    pub(super) fn keep_next_host(&mut self) -> Result<()> {
        let Some(leg) = &self.leg else { return Ok(()) };
        match &leg.stage {
            Stage::Leaving(_) if leg.times.began.elapsed() > HOP => {
                self.undo_hop("moving it to the next node", anyhow!("it took too long"))
            }
            Stage::Leaving(next) | Stage::Committed(next) => next.say(&ToTarget::StillHere).or(Ok(())),
            Stage::Asking | Stage::Resuming => Ok(()),
        }
    }

    pub(super) fn undo_hop(&mut self, doing: &'static str, source: anyhow::Error) -> Result<()> {
        self.fail_hop(doing, source);
        self.stay.say(&ToTarget::Stay).context("letting the process go on where it is")?;
        self.go_on()
    }

    /// Forgets the hop, and with that the next node; whoever wanted it is told.
    pub(super) fn fail_hop(&mut self, doing: &'static str, source: anyhow::Error) {
        if let Some(leg) = self.leg.take() {
            tracing::info!(pid = self.offer.pid, to = %leg.hop.to.name, "a process did not move on: {source:#}");
            let _gone = leg.hop.answer.send(Err(Stayed::Undone { doing, source }));
        }
    }

    /// The process is over, and with it any hop.
    pub(super) fn call_off_hop(&mut self) {
        if let Some(leg) = self.leg.take() {
            let over = Obstacle::NoSuchProcess(self.offer.pid);
            let _gone = leg.hop.answer.send(Err(over.into()));
        }
    }
}

fn ask(daemon: &Daemon, to: &NodeView, offer: Offer) -> Result<TcpStream, Stayed> {
    let undone = |source| Stayed::Undone { doing: "negotiating with the target", source };
    let secret = daemon.node.boot.secret.as_ref();
    let secret = secret.ok_or_else(|| undone(anyhow!("this node has no cluster secret")))?;
    let link = link::connect(to.overlay, secret).map_err(undone)?;
    accepted(&link, to, offer)?;
    Ok(link)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
