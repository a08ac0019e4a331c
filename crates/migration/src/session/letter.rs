//! What home and hosts write to each other, and which letters are read.
//!
//! A letter says what is so, or is to be so, never what has changed: it is repeated until the other side's letters show
//! that it was read, and it does no harm twice.

use super::{Time, Why};
use crate::protocol::SessionId;
use brant_types::node::NodeId;
use serde::{Deserialize, Serialize};

/// One run of a node's daemon: the boot time at which it started, in nanoseconds. A later run has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// What home wants of a stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Take it: prepare a capsule, and restore what comes, stopped. The shell adds the offer.
    Prepare,
    /// Go on with that, and hold it stopped.
    Hold,
    /// Let it run; home's record names this stay.
    Run,
    /// Bring it to another node, and stand still until told more.
    Depart {
        /// Its stay there.
        next: SessionId,
        /// That node.
        to: NodeId,
    },
    /// End it, and leave nothing.
    End,
}

/// From home to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromHome {
    /// What is to be.
    pub order: Order,
    /// The newest time, on the host's clock, that home has had a letter of.
    pub echo: Option<Time>,
}

/// How a stay stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It is being considered; nothing is ready.
    Preparing,
    /// The capsule is ready for the image, or is restoring it.
    Accepted,
    /// Restored, and held before its first instruction. This is a promise: it outlives the daemon.
    Held,
    /// It runs.
    Runs,
    /// It is leaving for that stay.
    Departing(SessionId),
    /// It stands still, and its image was sent for that stay.
    Handed(SessionId),
    /// It cannot leave for that stay, or nobody knows whether it could: call it off.
    CannotDepart(SessionId, Why),
    /// It stands still since before this daemon started; why is only known at home.
    Stalled,
    /// Nothing of it is here.
    Gone(Why),
}

/// From a host to home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromHost {
    /// How it stands.
    pub standing: Standing,
    /// The host's time, to be echoed.
    pub sent_at: Time,
}

/// A letter about one stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter<Body> {
    /// The stay.
    pub session: SessionId,
    /// The run of the daemon that wrote it.
    pub from: Incarnation,
    /// The run of the daemon that it is for, once that has been heard.
    pub to: Option<Incarnation>,
    /// Counted up by its writer.
    pub number: u64,
    /// What it says.
    pub body: Body,
}

/// One side's correspondence about one stay.
#[derive(Debug, Clone, Copy)]
pub struct Mail {
    session: SessionId,
    me: Incarnation,
    them: Option<Incarnation>,
    newest: Option<(Incarnation, u64)>,
    written: u64,
}

/// Whether a letter was written to this very run of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressed {
    /// It was.
    ToMe,
    /// Its writer had not heard from this side yet.
    ToAnyone,
}

impl Mail {
    /// Nothing was written or read yet.
    pub fn new(session: SessionId, me: Incarnation) -> Self {
        Self { session, me, them: None, newest: None, written: 0 }
    }

    /// The next letter.
    pub fn write<Body>(&mut self, body: Body) -> Letter<Body> {
        self.written += 1;
        Letter { session: self.session, from: self.me, to: self.them, number: self.written, body }
    }

    /// The other side's run, as last heard.
    pub fn them(&self) -> Option<Incarnation> {
        self.them
    }

    /// Reads a letter, unless it is about something else, meant for an earlier run, or not newer than one that was
    /// read.
    pub fn read<Body>(&mut self, letter: Letter<Body>) -> Option<(Addressed, Body)> {
        let addressed = match letter.to {
            Some(to) if to == self.me => Addressed::ToMe,
            Some(_) => return None,
            None => Addressed::ToAnyone,
        };
        let stamp = (letter.from, letter.number);
        if letter.session != self.session || self.newest.is_some_and(|newest| stamp <= newest) {
            return None;
        }
        self.newest = Some(stamp);
        self.them = Some(letter.from);
        Some((addressed, letter.body))
    }
}

/// What home answers about a stay that none of its processes has; nothing when nothing is left of it there, or the two
/// would write to each other for ever.
pub fn dismissal(letter: &Letter<FromHost>, me: Incarnation) -> Option<Letter<FromHome>> {
    if matches!(letter.body.standing, Standing::Gone(_)) {
        return None;
    }
    let body = FromHome { order: Order::End, echo: None };
    // No other letter about this stay comes from this run any more.
    Some(Letter { session: letter.session, from: me, to: Some(letter.from), number: u64::MAX, body })
}

/// Whether a letter about a stay that a host does not have asks it to take it: then [`super::host::Host::asked`] begins
/// the stay. Else, [`not_here`] is the answer; also to a repeated request whose stay has come and gone.
pub fn asks(letter: &Letter<FromHome>) -> bool {
    letter.body.order == Order::Prepare && letter.to.is_none()
}

/// What a host answers about a stay that it does not have; nothing to what [`asks`] it to take it.
pub fn not_here(letter: &Letter<FromHome>, me: Incarnation, now: Time) -> Option<Letter<FromHost>> {
    if asks(letter) {
        return None;
    }
    let body = FromHost { standing: Standing::Gone(Why::Unknown), sent_at: now };
    // As home may write to it again, this is no last word; each answer has a number above those before it.
    let number = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Some(Letter { session: letter.session, from: me, to: Some(letter.from), number, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_for_an_earlier_run_late_ones_and_copies_are_not_read() {
        let (mut home, mut host) =
            (Mail::new(SessionId(1), Incarnation(10)), Mail::new(SessionId(1), Incarnation(20)));
        let first = home.write("first");
        assert_eq!(host.read(first.clone()), Some((Addressed::ToAnyone, "first")));
        assert_eq!(home.read(host.write("heard")), Some((Addressed::ToMe, "heard")));
        let (second, third) = (home.write("second"), home.write("third"));
        assert_eq!(host.read(third.clone()), Some((Addressed::ToMe, "third")));
        assert_eq!(host.read(second), None, "late");
        assert_eq!(host.read(third.clone()), None, "twice");
        let mut restarted = Mail::new(SessionId(1), Incarnation(21));
        assert_eq!(restarted.read(third), None, "for the run before");
        assert_eq!(Mail::new(SessionId(2), Incarnation(20)).read(first), None, "about another stay");
    }

    #[test]
    fn two_who_know_nothing_of_a_stay_soon_fall_silent() {
        let mut host = Mail::new(SessionId(1), Incarnation(1));
        let runs = host.write(FromHost { standing: Standing::Runs, sent_at: Time::ZERO });
        let end = dismissal(&runs, Incarnation(2)).unwrap();
        let gone = not_here(&end, Incarnation(1), Time::ZERO).unwrap();
        assert_eq!(dismissal(&gone, Incarnation(2)), None);
    }

    #[test]
    fn a_daemon_that_is_asked_to_take_a_process_does_not_say_it_is_gone() {
        let mut home = Mail::new(SessionId(1), Incarnation(1));
        let prepare = home.write(FromHome { order: Order::Prepare, echo: None });
        assert_eq!(not_here(&prepare, Incarnation(2), Time::ZERO), None);
        let run = home.write(FromHome { order: Order::Run, echo: None });
        assert!(not_here(&run, Incarnation(2), Time::ZERO).is_some());
    }
}
