//! The task on the home node: what it is, and what is to be done with it next.

use super::{Action, Found, Home, Phase, Record, Saved, Work};
use crate::session::{Ticket, Time, Why};

/// The task, from the process that has never moved to the deputy and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    Runs,
    PreCopied,
    Frozen,
    Dumped,
    Sent,
    /// What a redirection would overwrite has been read.
    Saved(Saved),
    /// And is in the record.
    Noted(Saved),
    /// A thaw makes it the deputy.
    Redirected(Saved),
    /// It is what it was, but the record does not say so yet.
    PutBack,
    Deputy {
        clean: bool,
    },
    Gone {
        clean: bool,
    },
}

impl Task {
    /// What a restarted daemon takes it for.
    pub(super) fn found(record: Option<&Record>, found: Found) -> Self {
        match (found, record) {
            (Found::Deputy, _) => Self::Deputy { clean: false },
            (Found::Nothing, _) | (Found::Frozen, Some(Record::Away { .. })) => Self::Gone { clean: false },
            (Found::Frozen, None) => Self::Frozen,
            // No deputy stands, so that nobody was told to run it.
            (Found::Frozen, Some(Record::Leaving { saved, .. })) => Self::Redirected(saved.clone()),
        }
    }
}

impl Home {
    /// Whether work is under way whose outcome decides who may run the process.
    pub(super) fn is_deciding(&self) -> bool {
        match &self.busy {
            Some((_, Work::BecomeDeputy)) => true,
            Some((_, Work::Record(Some(Record::Away { stay })))) => {
                self.attempt.as_ref().is_some_and(|attempt| attempt.target.stay == *stay)
            }
            _ => false,
        }
    }

    pub(super) fn go_on(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.busy.is_some() || now < self.not_before {
            return;
        }
        if let Some(work) = self.next_work(now) {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            self.busy = Some((ticket, work.clone()));
            out.push(Action::Do(ticket, work));
        }
    }

    fn next_work(&self, now: Time) -> Option<Work> {
        match &self.task {
            Task::Gone { clean: false } | Task::Deputy { clean: false } => Some(Work::LetGo),
            Task::Gone { clean: true } => self.record.is_some().then_some(Work::Record(None)),
            Task::Deputy { clean: true } => self.next_of_deputy(),
            task if self.attempt.is_some() => self.next_forward(now, task),
            task => next_back(task),
        }
    }

    fn next_of_deputy(&self) -> Option<Work> {
        if let Some(why) = &self.lost {
            return Some(Work::EndDeputy(why.clone()));
        }
        let target = self.attempt.as_ref().filter(|attempt| attempt.phase == Phase::Committing);
        let stay = target.map(|attempt| attempt.target.stay).or(self.host())?;
        let record = Some(Record::Away { stay });
        (self.record != record).then_some(Work::Record(record))
    }

    fn next_forward(&self, now: Time, task: &Task) -> Option<Work> {
        let attempt = self.attempt.as_ref()?;
        let stay = attempt.target.stay;
        let holds = || attempt.target.surely_holds(now, &self.settings);
        match task {
            Task::Runs => (attempt.phase == Phase::Moving).then_some(Work::PreCopy(stay)),
            Task::PreCopied => Some(Work::Freeze),
            Task::Frozen => Some(Work::Dump),
            Task::Dumped => Some(Work::SendImage(stay)),
            Task::Sent => holds().then_some(Work::Save),
            Task::Saved(saved) => Some(Work::Record(Some(Record::Leaving { stay, saved: saved.clone() }))),
            Task::Noted(_) => Some(Work::Redirect),
            Task::Redirected(_) => holds().then_some(Work::BecomeDeputy),
            Task::PutBack | Task::Deputy { .. } | Task::Gone { .. } => None,
        }
    }

    pub(super) fn done(&mut self, ticket: Ticket, saved: Option<Saved>) {
        let Some((_, work)) = self.busy.take_if(|(busy, _)| *busy == ticket) else { return };
        match work {
            Work::Record(record) => return self.recorded(record),
            Work::LetGo => return self.let_go(),
            // It is told once; when it has ended, the shell says so.
            Work::EndDeputy(_) => {
                self.lost = None;
                return;
            }
            _ => {}
        }
        if matches!(self.task, Task::Gone { .. }) {
            return;
        }
        self.task = match (work, std::mem::replace(&mut self.task, Task::Runs)) {
            (Work::PreCopy(_), _) => Task::PreCopied,
            (Work::Freeze, _) => Task::Frozen,
            (Work::Dump, _) => Task::Dumped,
            (Work::SendImage(_), _) => Task::Sent,
            (Work::Save, task) => saved.map_or(task, Task::Saved),
            (Work::Redirect, Task::Noted(saved)) => Task::Redirected(saved),
            (Work::BecomeDeputy, _) => {
                self.current = self.attempt.take().map(|attempt| attempt.target);
                Task::Deputy { clean: false }
            }
            (Work::PutBack(_), _) => Task::PutBack,
            (_, task) => task,
        };
    }

    fn recorded(&mut self, record: Option<Record>) {
        match (&record, &self.task) {
            (Some(Record::Leaving { .. }), Task::Saved(saved)) => self.task = Task::Noted(saved.clone()),
            (None, Task::PutBack) => self.task = Task::Frozen,
            (Some(Record::Away { stay }), _) => {
                // COMMIT: from now on it is the target that may run it.
                if let Some(attempt) = self.attempt.take_if(|attempt| attempt.target.stay == *stay) {
                    self.dismissed.extend(self.current.replace(attempt.target));
                }
            }
            _ => {}
        }
        self.record = record;
    }

    fn let_go(&mut self) {
        match &mut self.task {
            Task::Gone { clean } | Task::Deputy { clean } => *clean = true,
            task => *task = Task::Runs,
        }
    }

    pub(super) fn failed(&mut self, now: Time, ticket: Ticket, why: Why, out: &mut Vec<Action>) {
        let Some((_, work)) = self.busy.take_if(|(busy, _)| *busy == ticket) else { return };
        // Some of it may lie on either node.
        if matches!((&work, &self.task), (Work::PreCopy(_), Task::Runs)) {
            self.task = Task::PreCopied;
        }
        // Where there is a move, it is off; where there is none, the same is tried again.
        let again = work == Work::LetGo || self.attempt.is_none();
        if again {
            self.not_before = now + self.settings.again_after();
        }
        if work != Work::LetGo {
            self.call_off(why, out);
        }
    }
}

/// The way back of a task that stays: whatever was begun is undone, in the order that leaves no moment without a way.
fn next_back(task: &Task) -> Option<Work> {
    match task {
        Task::Runs | Task::Deputy { .. } | Task::Gone { .. } => None,
        Task::PreCopied | Task::Frozen | Task::Dumped | Task::Sent | Task::Saved(_) => Some(Work::LetGo),
        Task::Noted(saved) | Task::Redirected(saved) => Some(Work::PutBack(saved.clone())),
        Task::PutBack => Some(Work::Record(None)),
    }
}
