//! What is really there: tasks, capsules, images, records. The machines never see it, only what the shell tells them.

use super::plan::Micros;
use crate::protocol::SessionId;
use crate::session::home::Record;
use crate::session::lease::Lease;
use crate::session::relay::End;

/// The process's memory: how much it has said and heard. Wherever it runs, it must go on from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) said: u32,
    pub(super) heard: u32,
}

/// What a process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Output(u32),
    Ended,
}

/// What is typed.
pub(super) type Typed = u32;

/// A frozen process's image.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) program: Program,
    pub(super) relay: End<Said>,
}

/// The task on the home node.
#[derive(Debug)]
pub(super) enum Task {
    /// The process itself.
    Original { program: Program, frozen: bool, redirected: bool },
    /// Its deputy; since when its daemon has been away.
    Deputy { relay: End<Typed>, alone_since: Option<Micros> },
    /// It has ended.
    Gone,
}

/// How the task on the home node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As the process did.
    Proper,
    /// Its owner killed it.
    Killed,
    /// Its process is lost.
    Lost,
}

/// How far a capsule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Empty,
    Held,
    Runs,
    Frozen,
    /// The process has ended; the capsule waits until the deputy knows.
    Ended,
    /// PID 1 has ended; mounts and group are left.
    Dead,
}

/// A capsule, with its mounts and its group.
#[derive(Debug)]
pub(super) struct Capsule {
    pub(super) session: SessionId,
    pub(super) stage: Stage,
    pub(super) lease: Lease,
    pub(super) program: Program,
    pub(super) relay: End<Said>,
}

/// One node, apart from its daemon.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) powered: bool,
    pub(super) capsules: Vec<Capsule>,
    /// Images that came from elsewhere; without content while they are incomplete.
    pub(super) received: Vec<(SessionId, Option<Image>)>,
    /// Images made here, by the stay that leaves; the process at home has none.
    pub(super) dumps: Vec<(Option<SessionId>, Option<Image>)>,
}

impl Node {
    pub(super) fn capsule(&mut self, session: SessionId) -> Option<&mut Capsule> {
        self.capsules.iter_mut().find(|capsule| capsule.session == session)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.capsules.is_empty() && self.received.is_empty() && self.dumps.is_empty()
    }

    pub(super) fn put_dump(&mut self, leaving: Option<SessionId>, image: Option<Image>) {
        self.dumps.retain(|(other, _)| *other != leaving);
        self.dumps.push((leaving, image));
    }

    pub(super) fn put_received(&mut self, session: SessionId, image: Option<Image>) {
        self.received.retain(|(other, _)| *other != session);
        self.received.push((session, image));
    }
}

/// What is only on the home node.
#[derive(Debug)]
pub(super) struct HomeTruth {
    pub(super) task: Task,
    /// Whether the task is in a group of its own.
    pub(super) group: bool,
    pub(super) record: Option<Record>,
    pub(super) ending: Option<Ending>,
    /// The last output on the terminal.
    pub(super) shown: u32,
    /// The last thing typed.
    pub(super) typed: Typed,
}

impl HomeTruth {
    pub(super) fn runs_the_original(&self) -> bool {
        matches!(self.task, Task::Original { frozen: false, redirected: false, .. })
    }
}
