//! The home node's side of one process: the record, the only place where it is decided who may run it.
//!
//! ```text
//!             move_to            Accepted              Held, fresh
//!  (no move) ────────▶ Asking ───────────▶ Moving ─────────────────▶ Committing ──▶ (no move; the target is the host)
//!      ▲                  │                   │                           │ the record cannot be written
//!      └── called off ◀───┴───────────────────┴───────────────────────────┘
//! ```
//!
//! On the first move home is the source too, and `Moving` is what the task goes through (see [`Work`]):
//!
//! ```text
//!  Runs ─▶ PreCopied ─▶ Frozen ─▶ Dumped ─▶ Sent ─▶ Saved ─▶ Noted ─▶ Redirected ─▶ Deputy
//!   ▲          │           │         │        │       │        │             │ execve refused, or called off
//!   └──────────┴──LetGo────┴─────────┴────────┴───────┘        │             │
//!   └──LetGo── Frozen ◀── (record removed) ◀── PutBack ◀───────┴─────────────┘
//! ```
//!
//! On success the process runs on the target and nowhere else, and the deputy stands for it. On failure before the
//! commit it runs where it ran. A process is counted as lost only when its host surely holds no copy of it, and the
//! deputy ends then; a deputy that has ended takes every copy along.

mod peer;
mod task;

use super::letter::{FromHome, FromHost, Incarnation, Letter, Order, Standing};
use super::{Settings, Ticket, Time, Why};
use crate::protocol::SessionId;
use brant_types::node::NodeId;
use peer::{News, Peer};
use serde::{Deserialize, Serialize};
use task::Task;

/// One stay of the process on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// Random; made by home's shell, never used again.
    pub session: SessionId,
    /// The node.
    pub node: NodeId,
}

/// What a task was before it was redirected to its deputy: registers and text, in the shell's own encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved(pub Vec<u8>);

/// The durable record of a process that moves or is away; see the session module for its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The task is, or will be, redirected: as soon as it is the deputy, this stay may run the process. A task that is
    /// not the deputy is put back.
    Leaving {
        /// Where it goes.
        stay: Stay,
        /// What to put back.
        saved: Saved,
    },
    /// The task is a deputy, and this stay may run the process.
    Away {
        /// Where it is.
        stay: Stay,
    },
}

/// Work for the shell, one piece at a time. Each is done once, and its outcome is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Copy memory to the target while the process runs.
    PreCopy(Stay),
    /// Freeze the process in a group of its own. On failure it runs.
    Freeze,
    /// Dump it; it stays frozen.
    Dump,
    /// Send the image to the target.
    SendImage(Stay),
    /// Read what a redirection will overwrite; told by [`Event::Saved`].
    Save,
    /// Make this the record, durably and at once, or remove it. On failure the one before stands.
    Record(Option<Record>),
    /// Redirect the frozen task to its deputy, with fatal signals held back, and let go of it.
    Redirect,
    /// Thaw it, and wait until it is the deputy: this is the commit. On failure the task is frozen again, has run nothing
    /// of its own, and is not the deputy.
    BecomeDeputy,
    /// Put a frozen task back to what was saved, whether or not it was redirected.
    PutBack(Saved),
    /// Remove images and group, and let the task run as what it is. Nothing to do is no failure.
    LetGo,
    /// Tell the deputy that the process is lost; it says so and ends.
    EndDeputy(Why),
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this to that node.
    Send(NodeId, Letter<FromHome>),
    /// Do this, and tell how it went.
    Do(Ticket, Work),
    /// To whoever asked for the move: the process runs there, or why not.
    Answer(Result<Stay, Why>),
    /// The process runs here as before, or has ended, and nothing of it is left anywhere: drop this machine.
    Forget,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A letter from a host came.
    Letter(Letter<FromHost>),
    /// That work is done.
    Done(Ticket),
    /// [`Work::Save`] is done.
    Saved(Ticket, Saved),
    /// That work failed.
    Failed(Ticket, Why),
    /// The task, process or deputy, has ended.
    TaskGone,
    /// Time has passed.
    Tick,
}

/// What a restarted daemon finds of the task. One that is not its deputy is frozen before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Frozen, and not the deputy.
    Frozen,
    /// The deputy.
    Deputy,
    /// No such task.
    Nothing,
}

/// The process is in a move, or cannot be moved any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process is being moved already, or has ended")]
pub struct Busy;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Moving,
    Committing,
}

#[derive(Debug)]
struct Attempt {
    target: Peer,
    deadline: Time,
    phase: Phase,
}

/// One process that moves or is away.
#[derive(Debug)]
pub struct Home {
    settings: Settings,
    me: Incarnation,
    task: Task,
    record: Option<Record>,
    busy: Option<(Ticket, Work)>,
    current: Option<Peer>,
    attempt: Option<Attempt>,
    dismissed: Vec<Peer>,
    lost: Option<Why>,
    unanswered: bool,
    tickets: u64,
    not_before: Time,
}

impl Home {
    /// A process that runs here and has never moved.
    pub fn new(me: Incarnation, settings: Settings) -> Self {
        Self {
            settings,
            me,
            task: Task::Runs,
            record: None,
            busy: None,
            current: None,
            attempt: None,
            dismissed: Vec::new(),
            lost: None,
            unanswered: false,
            tickets: 0,
            not_before: Time::ZERO,
        }
    }

    /// A process of which a restarted daemon has found a record, or a frozen task, or both.
    pub fn recover(
        now: Time,
        record: Option<Record>,
        found: Found,
        me: Incarnation,
        settings: Settings,
        out: &mut Vec<Action>,
    ) -> Self {
        let mut home = Self::new(me, settings);
        home.task = Task::found(record.as_ref(), found);
        if let (Found::Deputy, Some(record)) = (found, &record) {
            let (Record::Leaving { stay, .. } | Record::Away { stay }) = record;
            home.current = Some(Peer::new(*stay, me, now));
        }
        if found == Found::Deputy && record.is_none() {
            home.lost = Some(Why::Unknown);
        }
        home.record = record;
        home.step(now, Event::Tick, out);
        home
    }

    /// Begins a move, the first one or a later one.
    ///
    /// # Errors
    /// [`Busy`]; nothing was begun.
    pub fn move_to(&mut self, now: Time, stay: Stay, out: &mut Vec<Action>) -> Result<(), Busy> {
        let can = match self.task {
            Task::Runs => true,
            Task::Deputy { .. } => self.current.is_some(),
            _ => false,
        };
        if self.attempt.is_some() || self.lost.is_some() || self.unanswered || !can {
            return Err(Busy);
        }
        let target = Peer::new(stay, self.me, now);
        self.attempt = Some(Attempt { target, deadline: now + self.settings.attempt, phase: Phase::Asking });
        self.unanswered = true;
        self.step(now, Event::Tick, out);
        Ok(())
    }

    /// The stay that the deputy's words go to, and whose words go to the deputy.
    pub fn host(&self) -> Option<Stay> {
        self.current.as_ref().map(|current| current.stay)
    }

    /// Whether letters about this stay are for this machine.
    pub fn knows(&self, session: SessionId) -> bool {
        let peers = self.current.iter().chain(&self.dismissed);
        peers.chain(self.attempt.as_ref().map(|attempt| &attempt.target)).any(|it| it.stay.session == session)
    }

    /// Takes in what happened, and appends what is to be done.
    pub fn step(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Letter(letter) => self.read(now, letter, out),
            Event::Done(ticket) => self.done(ticket, None),
            Event::Saved(ticket, saved) => self.done(ticket, Some(saved)),
            Event::Failed(ticket, why) => self.failed(now, ticket, why, out),
            Event::TaskGone => self.task_gone(out),
            Event::Tick => {}
        }
        self.judge(now, out);
        self.go_on(now, out);
        self.write(now, out);
        if self.is_over() {
            out.push(Action::Forget);
        }
    }

    fn read(&mut self, now: Time, letter: Letter<FromHost>, out: &mut Vec<Action>) {
        let session = letter.session;
        if let Some(attempt) = &mut self.attempt
            && attempt.target.stay.session == session
        {
            let news = attempt.target.read(now, letter);
            match attempt.target.standing() {
                _ if news == News::Restarted => self.call_off(Why::Unknown, out),
                Some(Standing::Gone(why)) => {
                    let why = why.clone();
                    self.call_off(why, out);
                }
                Some(Standing::Accepted) if attempt.phase == Phase::Asking => attempt.phase = Phase::Moving,
                _ => {}
            }
            return;
        }
        if let Some(current) = self.current.as_mut().filter(|current| current.stay.session == session) {
            current.read(now, letter);
            let next = self.attempt.as_ref().map(|attempt| attempt.target.stay.session);
            match current.standing() {
                Some(Standing::Runs) if self.unanswered && next.is_none() => {
                    self.unanswered = false;
                    out.push(Action::Answer(Ok(current.stay)));
                }
                Some(Standing::CannotDepart(failed, why)) if Some(*failed) == next => {
                    let why = why.clone();
                    self.call_off(why, out);
                }
                // Its daemon was restarted in the middle; it may or may not have sent the image.
                Some(Standing::Stalled) => self.call_off(Why::Unknown, out),
                _ => {}
            }
            return;
        }
        if let Some(peer) = self.dismissed.iter_mut().find(|peer| peer.stay.session == session) {
            peer.read(now, letter);
        }
    }

    /// What follows from the time, and from what everybody has said.
    fn judge(&mut self, now: Time, out: &mut Vec<Action>) {
        if let Some(attempt) = &mut self.attempt {
            if now >= attempt.deadline {
                self.call_off(Why::TooLong, out);
            } else if let Some(why) = attempt.target.surely_gone(now, &self.settings) {
                self.call_off(why, out);
            } else if attempt.phase == Phase::Moving
                && self.current.is_some()
                && attempt.target.surely_holds(now, &self.settings)
            {
                attempt.phase = Phase::Committing;
            }
        }
        if let Some(current) = &self.current
            && let Some(why) = current.surely_lost(now, &self.settings)
        {
            match &mut self.attempt {
                // The host has gone, and yet the process may be saved: the target may have all of it.
                Some(attempt) if attempt.phase != Phase::Asking => {
                    attempt.deadline = attempt.deadline.min(now + self.settings.lease);
                }
                _ => self.lose(why, out),
            }
        }
        self.dismissed.retain(|peer| peer.surely_gone(now, &self.settings).is_none());
    }

    /// Gives a move up, for good: its stay is never told to run. Too late once the outcome is out of our hands.
    fn call_off(&mut self, why: Why, out: &mut Vec<Action>) {
        if self.is_deciding() {
            return;
        }
        if let Some(attempt) = self.attempt.take() {
            self.dismissed.push(attempt.target);
            self.answer(Err(why), out);
        }
    }

    fn answer(&mut self, answer: Result<Stay, Why>, out: &mut Vec<Action>) {
        if std::mem::take(&mut self.unanswered) {
            out.push(Action::Answer(answer));
        }
    }

    fn lose(&mut self, why: Why, out: &mut Vec<Action>) {
        self.call_off(why.clone(), out);
        self.answer(Err(why.clone()), out);
        self.dismissed.extend(self.current.take());
        self.lost = Some(why);
    }

    fn task_gone(&mut self, out: &mut Vec<Action>) {
        self.task = Task::Gone { clean: false };
        if let Some(attempt) = self.attempt.take() {
            self.dismissed.push(attempt.target);
        }
        self.answer(Err(Why::Failed("the process has ended".to_owned())), out);
        self.dismissed.extend(self.current.take());
    }

    fn write(&mut self, now: Time, out: &mut Vec<Action>) {
        let departure = self
            .attempt
            .as_ref()
            .filter(|attempt| attempt.phase != Phase::Asking)
            .map(|attempt| attempt.target.stay);
        let mut tell = |peer: &mut Peer, order| {
            let node = peer.stay.node;
            out.extend(peer.letter(now, order, &self.settings).map(|letter| Action::Send(node, letter)));
        };
        if let Some(current) = &mut self.current {
            let depart = |stay: Stay| Order::Depart { next: stay.session, to: stay.node };
            tell(current, departure.map_or(Order::Run, depart));
        }
        if let Some(attempt) = &mut self.attempt {
            let order = if attempt.phase == Phase::Asking { Order::Prepare } else { Order::Hold };
            tell(&mut attempt.target, order);
        }
        for peer in &mut self.dismissed {
            tell(peer, Order::End);
        }
    }

    fn is_over(&self) -> bool {
        let at_rest = matches!(self.task, Task::Runs | Task::Gone { clean: true });
        let nobody = self.current.is_none() && self.attempt.is_none() && self.dismissed.is_empty();
        at_rest && nobody && self.busy.is_none() && self.record.is_none()
    }
}
