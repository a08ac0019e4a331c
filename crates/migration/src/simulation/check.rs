//! What must hold: at each instant, when all has settled, and in the end.

use super::plan::{Faulty, Micros, NODES, SECOND};
use super::truth::{Ending, Stage, Task};
use super::world::World;
use crate::protocol::SessionId;

impl World {
    fn copies(&self) -> usize {
        let away = self.nodes.iter().flat_map(|node| &node.capsules);
        usize::from(self.home.runs_the_original())
            + away.filter(|capsule| capsule.stage == Stage::Runs).count()
    }

    /// Never twice.
    pub(super) fn check_copies(&mut self) {
        if self.copies() > 1 {
            self.violate(|| "two copies of the process can run".to_owned());
        }
    }

    /// A lease may end a process only when home and the node could not talk for about as long.
    pub(super) fn check_hindrance(&mut self, node: usize, session: SessionId) {
        let excused = !self.plan.has_fair_links() || self.whole;
        if excused || self.faulty == Some(Faulty::NegativeMargin) {
            return;
        }
        let grant = self.settings.grant().as_micros() as Micros;
        let (begin, end) = (self.now.saturating_sub(grant + grant / 20), self.now);
        let of_interest = self.hindered.iter().filter(|(other, ..)| *other == node);
        let hindered: Micros =
            of_interest.map(|(_, from, to)| (*to).min(end).saturating_sub((*from).max(begin))).sum();
        // A host that was told to end it may have let the lease run out on the way; a dismissed one is not renewed
        // once home has nobody to ask.
        let current = self.last_given == Some(session) && matches!(self.home.task, Task::Deputy { .. });
        if current && hindered + SECOND < self.settings.lease.as_micros() as Micros {
            self.violate(|| {
                format!("the lease of {session} ran out after a cut of only {} ms", hindered / 1000)
            });
        }
    }

    /// Why all has not settled yet, if so. Never lost: exactly one copy, or a good reason for none.
    pub(super) fn unsettled(&self) -> Option<String> {
        let expected = match (&self.home.task, self.home.ending) {
            (Task::Gone, _) => 0,
            _ => 1,
        };
        if self.copies() != expected {
            return Some(format!("{} copies can run instead of {expected}", self.copies()));
        }
        if self.home.ending == Some(Ending::Lost) && !self.may_be_lost() {
            return Some("the process is lost, and its node and its lease were there".to_owned());
        }
        if let Task::Original { frozen: true, .. } | Task::Original { redirected: true, .. } = self.home.task
        {
            return Some("the process at home is frozen".to_owned());
        }
        let frozen = (0..NODES).find(|node| self.nodes[*node].has_frozen());
        if let Some(node) = frozen {
            return Some(format!("a process is frozen at node {node}"));
        }
        self.leftovers(usize::from(matches!(self.home.task, Task::Deputy { .. })))
    }

    /// Why something is left that belongs to no process, if so.
    fn leftovers(&self, capsules: usize) -> Option<String> {
        let there: usize = self.nodes.iter().map(|node| node.capsules.len()).sum();
        let images = self.nodes.iter().any(|node| !node.received.is_empty() || !node.dumps.is_empty());
        if there != capsules {
            return Some(format!("there are {there} capsules instead of {capsules}"));
        }
        if images {
            return Some("an image is left".to_owned());
        }
        if self.home.group {
            return Some("a group is left at home".to_owned());
        }
        None
    }

    fn may_be_lost(&self) -> bool {
        self.last_given.is_some_and(|session| self.destroyed.contains(&session))
    }

    /// Why it is not over yet, if so.
    pub(super) fn unfinished(&self) -> Option<String> {
        if !matches!(self.home.task, Task::Gone) {
            return Some("the task at home has not ended".to_owned());
        }
        if self.home_is_on() && self.home.ending.is_none() {
            return Some("the task at home ended without any reason".to_owned());
        }
        if let Some(record) = &self.home.record {
            return Some(format!("a record is left: {record:?}"));
        }
        if let Some(node) = self.nodes.iter().position(|node| !node.is_clean()) {
            return Some(format!("something is left at node {node}"));
        }
        let known = self.daemons.iter().flatten().any(|it| it.home.is_some() || !it.hosts.is_empty());
        known.then(|| "a machine is left".to_owned())
    }
}
