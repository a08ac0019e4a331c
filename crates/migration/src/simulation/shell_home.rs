//! Does what home's machine says, in the world.

use super::plan::{Faulty, Micros, SECOND};
use super::truth::{Ending, Image, Program, Stage, Task};
use super::world::{Due, Job, World, index_of};
use crate::session::home::{self, Action, Record, Saved, Stay, Work};
use crate::session::relay::End;
use crate::session::{Settings, Time, Why};

pub(super) type Outcome = Result<Option<Saved>, Why>;

pub(super) fn broken(what: &str) -> Why {
    Why::Failed(what.to_owned())
}

impl World {
    pub(super) fn perform_home(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(node, letter) => self.post_to_host(node, letter),
                Action::Do(ticket, work) => {
                    self.trace(|| format!("home begins {work:?}"));
                    self.begin(0, Job::Home(ticket, work));
                }
                Action::Answer(answer) => {
                    self.trace(|| format!("home answers {answer:?}"));
                    match answer {
                        Ok(_) => self.moved += 1,
                        Err(_) => self.stayed += 1,
                    }
                }
                Action::Forget => {
                    self.trace(|| "home forgets it".to_owned());
                    if let Some(daemon) = &mut self.daemons[0] {
                        daemon.home = None;
                    }
                }
            }
        }
        self.pump_deputy();
    }

    pub(super) fn begin(&mut self, node: usize, job: Job) {
        let id = self.count();
        let Some(daemon) = &mut self.daemons[node] else { return };
        let run = daemon.run;
        daemon.jobs.push((id, job));
        let slow = !self.whole && self.random.chance(40);
        let length: Micros = if slow {
            self.random.between(SECOND, 4 * SECOND)
        } else {
            self.random.between(SECOND / 1000, SECOND / 5)
        };
        self.after(length, Due::Work(node, run, id));
    }

    /// The moment at which a piece of work takes effect, and at which its outcome is told.
    pub(super) fn finish(&mut self, node: usize, run: crate::session::letter::Incarnation, id: u64) {
        let Some(daemon) = self.daemons[node].as_mut().filter(|daemon| daemon.run == run) else { return };
        let Some(at) = daemon.jobs.iter().position(|(other, _)| *other == id) else { return };
        let (_, job) = daemon.jobs.remove(at);
        match job {
            Job::Home(ticket, work) => {
                let outcome = self.effect_at_home(&work);
                self.trace(|| format!("home has done {work:?}: {outcome:?}"));
                self.tell_home(match outcome {
                    Ok(None) => home::Event::Done(ticket),
                    Ok(Some(saved)) => home::Event::Saved(ticket, saved),
                    Err(why) => home::Event::Failed(ticket, why),
                });
            }
            Job::Host(session, ticket, work) => self.finish_at_host(node, session, ticket, work),
        }
    }

    pub(super) fn fails(&mut self) -> bool {
        let of_1000 = self.plan.work_fails;
        !self.whole && self.random.chance(of_1000)
    }

    /// What a piece of work does to the world.
    pub(super) fn effect_at_home(&mut self, work: &Work) -> Outcome {
        match work {
            Work::PreCopy(stay) => {
                self.nodes[0].put_dump(None, None);
                if self.fails() || !self.partial_image(0, *stay) {
                    return Err(broken("pre-copy"));
                }
                self.original().map(|_| None)
            }
            Work::Freeze => {
                let fails = self.fails();
                self.home.group |= self.original().is_ok() && !fails;
                match &mut self.home.task {
                    Task::Original { frozen, .. } if !fails => *frozen = true,
                    _ => return Err(broken("freezing")),
                }
                Ok(None)
            }
            Work::Dump => {
                let program = self.original()?;
                if self.fails() {
                    self.nodes[0].put_dump(None, None);
                    return Err(broken("CRIU"));
                }
                self.nodes[0].put_dump(None, Some(Image { program, relay: End::default() }));
                Ok(None)
            }
            Work::SendImage(stay) => {
                let image = self.nodes[0].dumps.iter().find(|(leaving, _)| leaving.is_none());
                let image = image.and_then(|(_, image)| image.clone());
                self.send_image(0, *stay, image).map(|()| None)
            }
            Work::Save => match self.fails() {
                true => Err(broken("ptrace")),
                false => self.original().map(|_| Some(Saved(vec![1]))),
            },
            Work::Record(record) => self.write_record(record.clone()),
            Work::Redirect => {
                let fails = self.fails();
                match &mut self.home.task {
                    // A failure may leave it half done; half a redirection is put back like a whole one.
                    Task::Original { redirected, .. } => *redirected = true,
                    _ => return Err(broken("it has ended")),
                }
                if fails { Err(broken("ptrace")) } else { Ok(None) }
            }
            Work::BecomeDeputy => self.become_deputy(),
            Work::PutBack(_) => {
                self.put_back_due = self.is(Faulty::PutsBackTooLate);
                if !self.put_back_due
                    && let Task::Original { redirected, frozen: true, .. } = &mut self.home.task
                {
                    *redirected = false;
                }
                Ok(None)
            }
            Work::LetGo => {
                if self.fails() {
                    return Err(broken("removing an image"));
                }
                self.nodes[0].dumps.retain(|(leaving, _)| leaving.is_some());
                self.home.group = false;
                if std::mem::take(&mut self.put_back_due)
                    && let Task::Original { redirected, .. } = &mut self.home.task
                {
                    *redirected = false;
                }
                self.thaw_task();
                Ok(None)
            }
            Work::EndDeputy(_) => {
                self.lose_deputy();
                Ok(None)
            }
        }
    }

    fn original(&self) -> Result<Program, Why> {
        match &self.home.task {
            Task::Original { program, .. } => Ok(*program),
            _ => Err(broken("it has ended")),
        }
    }

    fn write_record(&mut self, record: Option<Record>) -> Outcome {
        let of_1000 = self.plan.record_fails;
        if !self.whole && self.random.chance(of_1000) {
            return Err(broken("no space"));
        }
        if let Some(Record::Leaving { stay, .. } | Record::Away { stay }) = &record {
            self.last_given = Some(stay.session);
        }
        if !self.is(Faulty::ForgetsTheRecord) {
            self.home.record = record;
        }
        Ok(None)
    }

    fn become_deputy(&mut self) -> Outcome {
        let refused = self.fails();
        if refused && !self.is(Faulty::BelievesInExecve) {
            // Thawed, it has run nothing of its own; it is frozen again.
            return Err(broken("execve"));
        }
        if refused && let Task::Original { redirected, .. } = &mut self.home.task {
            *redirected = false;
        }
        self.thaw_task();
        match self.home.task {
            Task::Gone => Err(broken("it was killed")),
            _ => Ok(None),
        }
    }

    /// Lets the task run: as what it was, or, if it was redirected, as its deputy.
    pub(super) fn thaw_task(&mut self) {
        match &mut self.home.task {
            Task::Original { redirected: true, .. } => {
                let alone_since = self.daemons[0].is_none().then_some(self.now);
                self.home.task = Task::Deputy { relay: End::default(), alone_since };
                self.watch_deputy();
            }
            Task::Original { frozen, .. } => *frozen = false,
            Task::Deputy { .. } | Task::Gone => {}
        }
    }

    pub(super) fn end_task(&mut self, ending: Ending) {
        self.trace(|| format!("the task at home ends: {ending:?}"));
        self.home.task = Task::Gone;
        self.home.ending = Some(ending);
        self.tell_home(home::Event::TaskGone);
    }

    pub(super) fn lose_deputy(&mut self) {
        if !matches!(self.home.task, Task::Deputy { .. }) {
            return;
        }
        let running =
            self.nodes.iter().flat_map(|node| &node.capsules).find(|capsule| capsule.stage == Stage::Runs);
        if let Some(session) = running.map(|capsule| capsule.session) {
            self.violate(|| format!("the process is counted as lost, and runs as {session}"));
        }
        self.end_task(Ending::Lost);
    }

    pub(super) fn deputy_patience(&self) -> Time {
        let Settings { margin, .. } = self.settings;
        self.home_settings().grant() + margin
    }

    /// Some of an image is at the target, before the process is frozen. False when it cannot be.
    pub(super) fn partial_image(&mut self, from: usize, stay: Stay) -> bool {
        let to = index_of(stay.node);
        if !self.is_linked(from, to) || self.daemons[to].is_none() {
            return false;
        }
        let waits = self.nodes[to].capsule(stay.session).is_some_and(|capsule| capsule.stage == Stage::Empty);
        if waits {
            self.nodes[to].put_received(stay.session, None);
        }
        waits
    }

    /// Sends a whole image. It may have arrived also when this fails.
    pub(super) fn send_image(&mut self, from: usize, stay: Stay, image: Option<Image>) -> Result<(), Why> {
        let to = index_of(stay.node);
        let Some(image) = image else { return Err(broken("there is no image")) };
        if !self.is_linked(from, to) {
            return Err(broken("the link is cut"));
        }
        if !self.whole && self.random.chance(self.plan.doubled) {
            let delay = self.random.between(1, 3 * SECOND);
            self.after(delay, Due::LateImage(to, stay.session, image.clone()));
        }
        if self.fails() {
            if self.random.chance(500) {
                let _arrived = self.image_arrives(to, stay.session, image);
            }
            return Err(broken("the link broke"));
        }
        self.image_arrives(to, stay.session, image)
    }

    /// The target's side of it.
    pub(super) fn image_arrives(
        &mut self,
        to: usize,
        session: crate::protocol::SessionId,
        image: Image,
    ) -> Result<(), Why> {
        let known = self.daemons[to]
            .as_ref()
            .is_some_and(|daemon| daemon.hosts.iter().any(|(other, _)| *other == session));
        let waits = self.nodes[to].capsule(session).is_some_and(|capsule| capsule.stage == Stage::Empty);
        if !known || !waits {
            return Err(broken("the target does not wait for it"));
        }
        self.nodes[to].put_received(session, Some(image));
        self.tell_host(to, session, crate::session::host::Event::ImageArrived);
        Ok(())
    }
}
