//! The side of a node that hosts a process: one stay, from the request to take it until nothing of it is left.
//!
//! ```text
//!            Prepare            image arrived           Restore              Run
//!  Fresh ──────────▶ Prepared ───────────────▶ Arrived ─────────▶ Held ─────────────▶ Runs ◀──────────────┐
//!                                                                              Depart │ PreCopy           │
//!                                                                                     ▼                   │ Thaw, when
//!                                                   Sent ◀── Sending ◀── Dumped ◀── Frozen ◀── PreCopied ─┤ told Run
//!                                                                                                         │
//!                                              (the daemon was restarted, and found it frozen:) Stalled ──┘
//!
//!  from every state: told End, lease over, capsule ended ──▶ (Clear) ──▶ Gone, forgotten once home knows
//! ```
//!
//! The machine compares what is with the newest order, and gives out one piece of work at a time; only [`Work::Clear`]
//! does not wait. On failure: before `Held` everything is cleared, and home still has the process. From `Sending` on
//! the process stands still until home says `Run` or `End`, because its image may be complete elsewhere.

use super::lease::Lease;
use super::letter::{Addressed, FromHome, FromHost, Incarnation, Letter, Mail, Order, Standing};
use super::{Settings, Ticket, Time, Why};
use crate::protocol::SessionId;
use brant_types::node::NodeId;
use serde::{Deserialize, Serialize};

/// Work for the shell. Each is done once, and its outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Judge the offer; mount home's files; make the capsule's group, and be ready for the image.
    Prepare,
    /// Have CRIU restore the process, stopped. The capsule holds the lease from its start.
    Restore,
    /// Let CRIU go on; the process runs when this is done. The image is removed once it is not needed.
    Release,
    /// Copy memory to the other node while the process runs.
    PreCopy {
        /// Its stay there.
        next: SessionId,
        /// That node.
        to: NodeId,
    },
    /// Freeze the process; the capsule's end of the relay stands still with it.
    Freeze,
    /// Dump it, the capsule's end of the relay included.
    Dump,
    /// Send the image to the other node's stay. It may have arrived even if this fails.
    SendImage {
        /// Its stay there.
        next: SessionId,
        /// That node.
        to: NodeId,
    },
    /// Remove what a departure made here, and let the process run on.
    Thaw,
    /// End the capsule, and remove it with its mounts, its group and its images. Whatever else was being done is
    /// given up.
    Clear,
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this to home.
    Send(Letter<FromHost>),
    /// Do this, and tell how it went.
    Do(Ticket, Work),
    /// Tell the capsule that it may live until then.
    Prolong(Time),
    /// Nothing is left, and home knows: drop this machine.
    Forget,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A letter from home came.
    Letter(Letter<FromHome>),
    /// The whole image has arrived.
    ImageArrived,
    /// The image will not arrive whole.
    ImageLost(Why),
    /// That work is done.
    Done(Ticket),
    /// That work failed.
    Failed(Ticket, Why),
    /// The capsule has ended by itself: its process has ended and its deputy knows ([`Why::Over`]), or something else has
    /// ended it.
    CapsuleEnded(Why),
    /// Time has passed.
    Tick,
}

/// What a restarted daemon finds of a stay. Everything else it clears without a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// A capsule that holds its process before the first instruction.
    Held,
    /// A capsule whose process runs.
    Runs,
    /// A capsule whose process is frozen.
    Frozen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Fresh,
    Prepared,
    Arrived,
    Held,
    Runs,
    PreCopied,
    Frozen,
    Dumped,
    Sending,
    Sent,
    Stalled,
    Gone { why: Why, since: Time },
}

/// One stay.
#[derive(Debug)]
pub struct Host {
    settings: Settings,
    mail: Mail,
    lease: Lease,
    state: State,
    order: Order,
    busy: Option<(Ticket, Work)>,
    clearing: Option<Why>,
    leaving: Option<SessionId>,
    cannot: Option<(SessionId, Why)>,
    tickets: u64,
    not_before: Time,
    reported: Time,
}

impl Host {
    /// A stay that home has asked for, with the letter that [asks](super::letter::asks).
    pub fn asked(
        now: Time,
        letter: Letter<FromHome>,
        me: Incarnation,
        settings: Settings,
        out: &mut Vec<Action>,
    ) -> Self {
        let lease = Lease::begin(now, &settings);
        let mut host = Self::with(Mail::new(letter.session, me), lease, State::Fresh, Order::Hold, settings);
        host.step(now, Event::Letter(letter), out);
        host
    }

    /// A stay that a restarted daemon has found, with the lease that its capsule holds.
    pub fn recover(
        now: Time,
        session: SessionId,
        found: Found,
        lease: Lease,
        me: Incarnation,
        settings: Settings,
        out: &mut Vec<Action>,
    ) -> Self {
        let state = match found {
            Found::Held => State::Held,
            Found::Runs => State::Runs,
            Found::Frozen => State::Stalled,
        };
        let mut host = Self::with(Mail::new(session, me), lease, state, Order::Hold, settings);
        host.report(now, out);
        host
    }

    fn with(mail: Mail, lease: Lease, state: State, order: Order, settings: Settings) -> Self {
        Self {
            settings,
            mail,
            lease,
            state,
            order,
            busy: None,
            clearing: None,
            leaving: None,
            cannot: None,
            tickets: 0,
            not_before: Time::ZERO,
            reported: Time::ZERO,
        }
    }

    /// Whether the process may be relayed to and from here.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Runs | State::PreCopied)
    }

    /// Takes in what happened, and appends what is to be done.
    pub fn step(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        let before = self.standing();
        match event {
            Event::Letter(letter) => self.read(now, letter, out),
            Event::ImageArrived if self.state == State::Prepared => self.state = State::Arrived,
            Event::ImageLost(why) if matches!(self.state, State::Fresh | State::Prepared) => {
                self.clear(why, out);
            }
            Event::ImageArrived | Event::ImageLost(_) => {}
            Event::Done(ticket) => self.done(now, ticket),
            Event::Failed(ticket, why) => self.failed(now, ticket, why, out),
            Event::CapsuleEnded(why) => self.clear(why, out),
            Event::Tick => {
                if self.lease.is_over(now) {
                    self.clear(Why::LeaseRanOut, out);
                }
            }
        }
        self.go_on(now, out);
        let due = self.settings.is_word_due(self.reported, now);
        if due || self.standing() != before {
            self.report(now, out);
        }
        if let State::Gone { since, .. } = self.state
            && (self.order == Order::End || now >= since + self.settings.lease)
        {
            out.push(Action::Forget);
        }
    }

    fn read(&mut self, now: Time, letter: Letter<FromHome>, out: &mut Vec<Action>) {
        let home = self.mail.them();
        let Some((addressed, FromHome { order, echo })) = self.mail.read(letter) else { return };
        // A daemon that has just started cannot echo anything before it has heard how things stand.
        if home != self.mail.them() {
            self.reported = Time::ZERO;
        }
        // Who has not heard this run of the daemon does not know how the process stands here.
        if addressed == Addressed::ToAnyone && order != Order::Prepare {
            return;
        }
        self.order = order;
        if let Some(sent_at) = echo
            && self.clearing.is_none()
            && self.lease.echoed(now, sent_at, &self.settings)
        {
            out.push(Action::Prolong(self.lease.until()));
        }
        if order == Order::End {
            self.clear(Why::CalledOff, out);
        }
    }

    fn done(&mut self, now: Time, ticket: Ticket) {
        let Some((_, work)) = self.busy.take_if(|(busy, _)| *busy == ticket) else { return };
        self.state = match work {
            Work::Prepare => State::Prepared,
            Work::Restore => State::Held,
            Work::Release => State::Runs,
            Work::PreCopy { .. } => State::PreCopied,
            Work::Freeze => State::Frozen,
            Work::Dump => State::Dumped,
            Work::SendImage { .. } => State::Sent,
            Work::Thaw => {
                self.leaving = None;
                State::Runs
            }
            Work::Clear => State::Gone { why: self.clearing.take().unwrap_or(Why::CalledOff), since: now },
        };
    }

    fn failed(&mut self, now: Time, ticket: Ticket, why: Why, out: &mut Vec<Action>) {
        let Some((_, work)) = self.busy.take_if(|(busy, _)| *busy == ticket) else { return };
        match work {
            Work::Prepare | Work::Restore | Work::Release => self.clear(why, out),
            Work::PreCopy { next, .. } => {
                // Some of it may lie on either node.
                self.state = State::PreCopied;
                self.cannot = Some((next, why));
            }
            Work::SendImage { next, .. } => self.cannot = Some((next, why)),
            Work::Freeze | Work::Dump => self.cannot = self.leaving.map(|next| (next, why)),
            Work::Thaw | Work::Clear => self.not_before = now + self.settings.again_after(),
        }
    }

    fn clear(&mut self, why: Why, out: &mut Vec<Action>) {
        let over = self.clearing.is_some() || matches!(self.state, State::Gone { .. });
        if !over {
            self.clearing = Some(why);
            self.begin(Work::Clear, out);
        }
    }

    fn begin(&mut self, work: Work, out: &mut Vec<Action>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.busy = Some((ticket, work));
        out.push(Action::Do(ticket, work));
    }

    fn go_on(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.busy.is_some() || now < self.not_before {
            return;
        }
        let Some(work) = self.next_work() else { return };
        match work {
            Work::PreCopy { next, .. } => self.leaving = Some(next),
            // From here on nobody knows whether the other node has the image.
            Work::SendImage { .. } => self.state = State::Sending,
            _ => {}
        }
        self.begin(work, out);
    }

    fn next_work(&self) -> Option<Work> {
        if self.clearing.is_some() {
            return Some(Work::Clear);
        }
        match (self.order, &self.state) {
            (_, State::Gone { .. }) | (Order::End, _) => None,
            (_, State::Fresh) => Some(Work::Prepare),
            (_, State::Arrived) => Some(Work::Restore),
            (Order::Prepare | Order::Hold, _) | (_, State::Prepared) => None,
            (_, State::Held) => Some(Work::Release),
            (Order::Run, State::Runs) => None,
            (Order::Run, _) => Some(Work::Thaw),
            (Order::Depart { next, to }, _) => self.next_of_departure(next, to),
        }
    }

    fn next_of_departure(&self, next: SessionId, to: NodeId) -> Option<Work> {
        let stood_down = self.leaving.is_some_and(|leaving| leaving != next);
        let cannot = self.cannot.as_ref().is_some_and(|(failed, _)| *failed == next);
        match self.state {
            // Home has moved on to another attempt: the one before is called off for good.
            State::PreCopied | State::Frozen | State::Dumped | State::Sending | State::Sent if stood_down => {
                Some(Work::Thaw)
            }
            // What was sent is not whole, so nobody else can have it.
            State::PreCopied | State::Frozen | State::Dumped if cannot => Some(Work::Thaw),
            State::Runs if cannot => None,
            State::Runs => Some(Work::PreCopy { next, to }),
            State::PreCopied => Some(Work::Freeze),
            State::Frozen => Some(Work::Dump),
            State::Dumped => Some(Work::SendImage { next, to }),
            _ => None,
        }
    }

    fn standing(&self) -> Standing {
        if let (Some((next, why)), Order::Depart { next: wanted, .. }) = (&self.cannot, self.order)
            && *next == wanted
            && !matches!(self.state, State::Gone { .. })
        {
            return Standing::CannotDepart(*next, why.clone());
        }
        match (&self.state, self.leaving) {
            (State::Fresh, _) => Standing::Preparing,
            (State::Prepared | State::Arrived, _) => Standing::Accepted,
            (State::Held, _) => Standing::Held,
            (State::Gone { why, .. }, _) => Standing::Gone(why.clone()),
            (State::Sent, Some(next)) => Standing::Handed(next),
            (State::PreCopied | State::Frozen | State::Dumped | State::Sending, Some(next)) => {
                Standing::Departing(next)
            }
            (State::Runs, _) => Standing::Runs,
            (
                State::PreCopied
                | State::Frozen
                | State::Dumped
                | State::Sending
                | State::Sent
                | State::Stalled,
                _,
            ) => Standing::Stalled,
        }
    }

    fn report(&mut self, now: Time, out: &mut Vec<Action>) {
        self.reported = now;
        let body = FromHost { standing: self.standing(), sent_at: now };
        out.push(Action::Send(self.mail.write(body)));
    }
}
