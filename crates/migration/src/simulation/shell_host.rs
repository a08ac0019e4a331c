//! Does what a stay's machine says, in the world.

use super::plan::Faulty;
use super::shell_home::broken;
use super::truth::{Capsule, Image, Program, Stage};
use super::world::{Due, Job, World};
use crate::protocol::SessionId;
use crate::session::home::Stay;
use crate::session::host::{self, Action, Work};
use crate::session::lease::Lease;
use crate::session::relay::End;
use crate::session::{Ticket, Why};

impl World {
    pub(super) fn perform_host(&mut self, node: usize, session: SessionId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(letter) => self.post_to_home(node, letter),
                Action::Do(ticket, work) => {
                    self.trace(|| format!("node {node} begins {work:?} of {session}"));
                    if work == Work::Clear
                        && let Some(daemon) = &mut self.daemons[node]
                    {
                        // Whatever else was being done for it is given up.
                        daemon
                            .jobs
                            .retain(|(_, job)| !matches!(job, Job::Host(other, ..) if *other == session));
                    }
                    self.begin(node, Job::Host(session, ticket, work));
                }
                Action::Prolong(until) => {
                    if let Some(capsule) = self.nodes[node].capsule(session) {
                        capsule.lease = Lease::found(until);
                    }
                }
                Action::Forget => {
                    self.trace(|| format!("node {node} forgets {session}"));
                    if let Some(daemon) = &mut self.daemons[node] {
                        daemon.hosts.retain(|(other, _)| *other != session);
                    }
                }
            }
        }
    }

    pub(super) fn finish_at_host(&mut self, node: usize, session: SessionId, ticket: Ticket, work: Work) {
        let outcome = self.effect_at_host(node, session, work);
        self.trace(|| format!("node {node} has done {work:?} of {session}: {outcome:?}"));
        self.tell_host(
            node,
            session,
            match outcome {
                Ok(()) => host::Event::Done(ticket),
                Err(why) => host::Event::Failed(ticket, why),
            },
        );
        self.pump_capsule(node, session);
    }

    /// What a piece of work does to the world.
    pub(super) fn effect_at_host(&mut self, node: usize, session: SessionId, work: Work) -> Result<(), Why> {
        match work {
            Work::Prepare => self.prepare(node, session),
            Work::Restore => self.restore(node, session),
            Work::Release => {
                self.capsule_at(node, session, &[Stage::Held])?.stage = Stage::Runs;
                if !self.is(Faulty::LeavesImages) {
                    self.nodes[node].received.retain(|(other, _)| *other != session);
                }
                Ok(())
            }
            Work::PreCopy { next, to } => {
                self.nodes[node].put_dump(Some(session), None);
                let fails = self.fails();
                let stay = Stay { session: next, node: to };
                if fails || !self.partial_image(node, stay) {
                    return Err(broken("pre-copy"));
                }
                self.capsule_at(node, session, &[Stage::Runs]).map(|_| ())
            }
            Work::Freeze => {
                let fails = self.fails();
                let capsule = self.capsule_at(node, session, &[Stage::Runs])?;
                if fails {
                    return Err(broken("freezing"));
                }
                capsule.stage = Stage::Frozen;
                Ok(())
            }
            Work::Dump => {
                let (fails, behind) = (self.fails(), self.is(Faulty::RelayStaysBehind));
                let capsule = self.capsule_at(node, session, &[Stage::Frozen])?;
                let relay = if behind { End::default() } else { capsule.relay.for_the_image() };
                let image = Image { program: capsule.program, relay };
                self.nodes[node].put_dump(Some(session), (!fails).then_some(image));
                if fails { Err(broken("CRIU")) } else { Ok(()) }
            }
            Work::SendImage { next, to } => {
                let image = self.nodes[node].dumps.iter().find(|(leaving, _)| *leaving == Some(session));
                let image = image.and_then(|(_, image)| image.clone());
                let outcome = self.send_image(node, Stay { session: next, node: to }, image);
                if outcome.is_err() && self.is(Faulty::ThawsWhenSendingFails) {
                    self.capsule_at(node, session, &[Stage::Frozen])?.stage = Stage::Runs;
                }
                outcome
            }
            Work::Thaw => {
                self.nodes[node].dumps.retain(|(leaving, _)| *leaving != Some(session));
                self.capsule_at(node, session, &[Stage::Frozen, Stage::Runs])?.stage = Stage::Runs;
                Ok(())
            }
            Work::Clear => {
                if self.fails() {
                    return Err(broken("unmounting"));
                }
                self.clear(node, session);
                Ok(())
            }
        }
    }

    fn prepare(&mut self, node: usize, session: SessionId) -> Result<(), Why> {
        if self.fails() {
            return Err(broken("mounting home's files"));
        }
        let lease = Lease::begin(self.clock(node), &self.settings);
        let (program, relay) = (Program::default(), End::default());
        self.nodes[node].capsules.push(Capsule { session, stage: Stage::Empty, lease, program, relay });
        let wait = self.until(node, lease.until());
        self.after(wait, Due::CapsuleClock(node, session));
        Ok(())
    }

    fn restore(&mut self, node: usize, session: SessionId) -> Result<(), Why> {
        let fails = self.fails();
        let early = self.is(Faulty::RunsWhenRestored);
        let image = self.nodes[node].received.iter().find(|(other, _)| *other == session);
        let Some(Image { program, relay }) = image.and_then(|(_, image)| image.clone()) else {
            return Err(broken("the image is not whole"));
        };
        let capsule = self.capsule_at(node, session, &[Stage::Empty])?;
        if fails {
            return Err(broken("CRIU"));
        }
        capsule.program = program;
        capsule.relay = relay;
        capsule.stage = if early { Stage::Runs } else { Stage::Held };
        Ok(())
    }

    /// Ends a capsule and removes all that a stay has made on a node.
    pub(super) fn clear(&mut self, node: usize, session: SessionId) {
        let leaves = self.is(Faulty::LeavesImages);
        let now = self.clock(node);
        let ended = self.nodes[node].capsule(session).is_some_and(|capsule| {
            !matches!(capsule.stage, Stage::Empty | Stage::Dead) && capsule.lease.is_over(now)
        });
        if ended {
            self.destroyed.push(session);
        }
        let place = &mut self.nodes[node];
        place.capsules.retain(|capsule| capsule.session != session);
        place.dumps.retain(|(leaving, _)| *leaving != Some(session));
        if !leaves {
            place.received.retain(|(other, _)| *other != session);
        }
    }

    fn capsule_at(&mut self, node: usize, session: SessionId, stages: &[Stage]) -> Result<&mut Capsule, Why> {
        self.nodes[node]
            .capsule(session)
            .filter(|capsule| stages.contains(&capsule.stage))
            .ok_or_else(|| broken("the capsule is not there, or not in that state"))
    }
}
