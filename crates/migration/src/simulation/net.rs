//! Letters and words between nodes: lost, late, doubled, overtaken, cut off.

use super::plan::{Faulty, Micros, SECOND};
use super::truth::{Ending, Said, Stage, Task, Typed};
use super::world::{Due, World, index_of};
use crate::protocol::SessionId;
use crate::session::Why;
use crate::session::home;
use crate::session::host::{self, Host};
use crate::session::letter::{self, FromHome, FromHost, Incarnation, Letter};
use crate::session::relay::Packet;
use brant_types::node::NodeId;

impl World {
    /// How long the copies of a message take; none when it is lost.
    fn ways(&mut self, one: usize, other: usize) -> [Option<Micros>; 2] {
        if one == other {
            return [Some(200), None];
        }
        if !self.is_linked(one, other) || (!self.whole && self.random.chance(self.plan.loss)) {
            return [None, None];
        }
        let late = !self.whole && self.random.chance(self.plan.late);
        let delay =
            if late { self.random.between(SECOND, 15 * SECOND) } else { self.random.between(500, 40_000) };
        let doubled = !self.whole && self.random.chance(self.plan.doubled);
        let copy = doubled.then(|| self.random.between(500, 15 * SECOND));
        [Some(delay), copy]
    }

    pub(super) fn post_to_host(&mut self, node: NodeId, letter: Letter<FromHome>) {
        let node = index_of(node);
        for delay in self.ways(0, node).into_iter().flatten() {
            self.after(delay, Due::ToHost(node, letter.clone()));
        }
    }

    pub(super) fn post_to_home(&mut self, from: usize, letter: Letter<FromHost>) {
        for delay in self.ways(from, 0).into_iter().flatten() {
            self.after(delay, Due::ToHome(from, letter.clone()));
        }
    }

    pub(super) fn deliver_to_host(&mut self, node: usize, mut letter: Letter<FromHome>) {
        let now = self.clock(node);
        if !self.is_linked(0, node) {
            return;
        }
        if self.is(Faulty::LeaseFromArrival) && letter.body.echo.is_some() {
            letter.body.echo = Some(now);
        }
        let stamp = self.count();
        let misread = self.is(Faulty::ReadsOldLetters);
        let settings = self.settings;
        let Some(daemon) = &mut self.daemons[node] else { return };
        let session = letter.session;
        let known = daemon.hosts.iter().any(|(other, _)| *other == session);
        if misread && known {
            letter.to = Some(daemon.run);
            letter.from = Incarnation(u64::MAX);
            letter.number = stamp;
        }
        let run = daemon.run;
        self.trace(|| format!("node {node} reads of {session}: {:?}", letter.body));
        if known {
            self.tell_host(node, session, host::Event::Letter(letter));
        } else if letter::asks(&letter) {
            let mut out = Vec::new();
            let host = Host::asked(now, letter, run, settings, &mut out);
            if let Some(daemon) = &mut self.daemons[node] {
                daemon.hosts.push((session, host));
            }
            self.perform_host(node, session, out);
        } else if let Some(answer) = letter::not_here(&letter, run, now) {
            self.post_to_home(node, answer);
        }
    }

    pub(super) fn deliver_to_home(&mut self, from: usize, mut letter: Letter<FromHost>) {
        if !self.is_linked(0, from) {
            return;
        }
        let stamp = self.count();
        let misread = self.is(Faulty::ReadsOldLetters);
        let Some(daemon) = &mut self.daemons[0] else { return };
        let session = letter.session;
        let known = daemon.home.as_ref().is_some_and(|home| home.knows(session));
        let answer = letter::dismissal(&letter, daemon.run);
        if misread {
            letter.to = Some(daemon.run);
            letter.from = Incarnation(u64::MAX);
            letter.number = stamp;
        }
        self.trace(|| format!("home reads of {session} at node {from}: {:?}", letter.body.standing));
        if known {
            self.tell_home(home::Event::Letter(letter));
        } else if let Some(answer) = answer {
            self.post_to_host(super::world::node_id(from), answer);
        }
    }

    /// Sends what the deputy has to say, if there is anybody to say it to.
    pub(super) fn pump_deputy(&mut self) {
        let now = self.clock(0);
        let stay =
            self.daemons[0].as_ref().and_then(|daemon| daemon.home.as_ref()).and_then(home::Home::host);
        let (Some(stay), Task::Deputy { relay, .. }) = (stay, &mut self.home.task) else { return };
        let packets: Vec<_> = std::iter::from_fn(|| relay.packet(now)).collect();
        let node = index_of(stay.node);
        for packet in packets {
            for delay in self.ways(0, node).into_iter().flatten() {
                self.after(delay, Due::RelayToHost(node, stay.session, packet.clone()));
            }
        }
    }

    /// Sends what a capsule has to say, if its daemon is there.
    pub(super) fn pump_capsule(&mut self, node: usize, session: SessionId) {
        let now = self.clock(node);
        if self.daemons[node].is_none() {
            return;
        }
        let Some(capsule) = self.nodes[node].capsule(session) else { return };
        if !matches!(capsule.stage, Stage::Runs | Stage::Ended) {
            return;
        }
        let packets: Vec<_> = std::iter::from_fn(|| capsule.relay.packet(now)).collect();
        for packet in packets {
            for delay in self.ways(node, 0).into_iter().flatten() {
                self.after(delay, Due::RelayToHome(node, session, packet.clone()));
            }
        }
    }

    pub(super) fn relay_to_host(&mut self, node: usize, session: SessionId, packet: Packet<Typed>) {
        let now = self.clock(node);
        if !self.is_linked(0, node) || self.daemons[node].is_none() {
            return;
        }
        let Some(capsule) = self.nodes[node].capsule(session) else { return };
        if !matches!(capsule.stage, Stage::Runs | Stage::Ended) {
            return;
        }
        let mut words = Vec::new();
        capsule.relay.take(now, packet, &mut words);
        let mut wrong = None;
        for word in words {
            if word != capsule.program.heard + 1 {
                wrong = Some((word, capsule.program.heard));
            }
            capsule.program.heard = word;
        }
        let over = capsule.stage == Stage::Ended && capsule.relay.all_taken();
        if over {
            capsule.stage = Stage::Dead;
        }
        if let Some((word, before)) = wrong {
            self.violate(|| format!("the process heard {word} after {before}"));
        }
        if over {
            self.tell_host(node, session, host::Event::CapsuleEnded(Why::Over));
        }
        self.pump_capsule(node, session);
    }

    pub(super) fn relay_to_home(&mut self, from: usize, session: SessionId, packet: Packet<Said>) {
        let now = self.clock(0);
        if !self.is_linked(0, from) {
            return;
        }
        let Some(home) = self.daemons[0].as_ref().and_then(|daemon| daemon.home.as_ref()) else { return };
        let Task::Deputy { relay, .. } = &mut self.home.task else { return };
        if home.host().is_none_or(|stay| stay.session != session) {
            return;
        }
        let mut words = Vec::new();
        relay.take(now, packet, &mut words);
        for word in words {
            match word {
                Said::Output(number) => self.show(number),
                Said::Ended => {
                    self.end_task(Ending::Proper);
                    return;
                }
            }
        }
        self.pump_deputy();
    }

    /// Output comes to the terminal.
    pub(super) fn show(&mut self, number: u32) {
        if number != self.home.shown + 1 {
            let before = self.home.shown;
            self.violate(|| format!("the terminal shows {number} after {before}"));
        }
        self.home.shown = number;
    }
}
