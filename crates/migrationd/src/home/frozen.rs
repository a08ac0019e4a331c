//! A process that stands still with all that descends from it, in a control group of their own.

use crate::groups;
use crate::inspect;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::SessionId;
use brant_sys::cgroup::Cgroup;
use std::path::Path;
use std::time::Duration;

/// How long the kernel may take to stop or start processes.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// The leader's own group is called after its tree's.
pub(super) const LEADER: &str = "leader";
/// The session of those that have no ancestor in one.
const ORPHANS: &str = "orphans";
/// How often a tree is looked at until it has stopped growing out of its group.
const LOOKS: usize = 100;

/// A frozen tree. Dropping it lets everything run on in the groups where it was.
#[derive(Debug)]
pub(super) struct Frozen {
    leader: i32,
    group: Cgroup,
    /// Where each member was; those born meanwhile go where the leader was.
    origins: Vec<(i32, Cgroup)>,
    over: bool,
}

impl Frozen {
    /// Puts the process and its descendants in a group of their own and stops them there.
    pub(super) fn freeze(leader: i32, session: SessionId) -> Result<Self> {
        let group =
            Cgroup::create(groups::jobs().join(session.to_string())).context("making a control group")?;
        let mut frozen = Self { leader, group, origins: Vec::new(), over: false };
        frozen.gather()?;
        frozen.group.freeze(SOON).context("freezing the process")?;
        Ok(frozen)
    }

    /// Children are born into their parent's group, so once every member is in it, none can be outside any more.
    fn gather(&mut self) -> Result<()> {
        for _ in 0..LOOKS {
            let inside = self.group.processes().context("listing the control group")?;
            // What has ended is in no group any more; its parent carries it along.
            let outside: Vec<i32> = inspect::members(self.leader)
                .into_iter()
                .filter(|pid| !inside.contains(pid) && !inspect::has_ended(*pid))
                .collect();
            let mut moved = false;
            for pid in outside {
                let Some(origin) = groups::session_of(pid) else {
                    if pid == self.leader {
                        bail!("the process has left its session");
                    }
                    // It has ended; what is left of it travels with its parent.
                    continue;
                };
                self.group.add(pid).context("moving a process to a control group of its own")?;
                self.origins.push((pid, origin));
                moved = true;
            }
            if !moved {
                return Ok(());
            }
        }
        bail!("the process starts new ones faster than they can be stopped")
    }

    /// One that an earlier daemon has left; it is made to stand still, if it did not.
    pub(super) fn found(leader: i32, session: SessionId) -> Result<Self> {
        let group = Cgroup::at(groups::jobs().join(session.to_string()));
        let found = Self { leader, group, origins: Vec::new(), over: false };
        for group in [found.apart(), found.group.clone()].iter().filter(|group| group.path().exists()) {
            group.freeze(SOON).context("freezing what an earlier daemon has left")?;
        }
        Ok(found)
    }

    /// The group's folder, for CRIU.
    pub(super) fn group(&self) -> &Path {
        self.group.path()
    }

    /// Puts the leader into a frozen group apart from its descendants, so that it alone can be let go.
    pub(super) fn set_leader_apart(&self) -> Result<()> {
        let apart = self.apart();
        std::fs::create_dir_all(apart.path()).context("making a control group for the leader")?;
        apart.set("cgroup.freeze", "1").context("freezing the leader's control group")?;
        apart.add(self.leader).context("moving the leader to a control group of its own")
    }

    /// Lets the leader run, now as what it was made meanwhile; the others stay frozen.
    pub(super) fn thaw_leader(&self) -> Result<()> {
        self.apart().thaw(SOON).context("thawing the process")
    }

    /// The same, if it is apart; also one that is apart and runs already.
    pub(super) fn thaw_leader_if_apart(&self) -> Result<()> {
        if self.apart().path().exists() { self.thaw_leader() } else { Ok(()) }
    }

    /// Stops the leader again.
    pub(super) fn freeze_leader_again(&self) -> Result<()> {
        self.apart().freeze(SOON).context("freezing the process again")
    }

    /// Ends all but the leader, where they stand: they live on elsewhere.
    pub(super) fn end_descendants(&self) {
        if !self.group.path().exists() {
            return;
        }
        if let Err(error) = self.group.kill().and_then(|()| self.group.wait_empty(SOON)) {
            tracing::error!("ending what has moved: {error:#}");
        }
    }

    /// Puts what the leader has become back into its session.
    pub(super) fn release(mut self) {
        self.let_go();
    }

    /// Where it was; for one that was born meanwhile, or that an earlier daemon has put here, where its nearest ancestor
    /// in a session is.
    fn origin_of(&self, pid: i32) -> Result<Cgroup> {
        let known = self.origins.iter().find(|(member, _)| *member == pid).or(self.origins.first());
        if let Some((_, origin)) = known {
            return Ok(origin.clone());
        }
        match inspect::ancestors(pid).into_iter().find_map(groups::session_of) {
            Some(session) => Ok(session),
            None => orphans(),
        }
    }

    fn apart(&self) -> Cgroup {
        Cgroup::at(self.group.path().with_extension(LEADER))
    }

    fn let_go(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        for group in [self.apart(), self.group.clone()] {
            // Back to their sessions first, as long as they cannot run away; a session that has ended leaves them.
            for pid in group.processes().unwrap_or_default() {
                let put_back = self.origin_of(pid).and_then(|origin| Ok(origin.add(pid)?));
                // logind removes the scope of a login that nobody is in any more.
                let put_back = put_back.or_else(|_| Ok::<_, anyhow::Error>(orphans()?.add(pid)?));
                if let Err(error) = put_back {
                    tracing::debug!("putting a process back into its session: {error:#}");
                }
            }
            if !group.path().exists() {
                continue;
            }
            if let Err(error) = group.thaw(SOON) {
                tracing::error!("thawing a process: {error:#}");
            }
            if let Err(error) = group.remove() {
                tracing::debug!("removing a control group: {error:#}");
            }
        }
    }
}

/// A session for those whose own has ended.
fn orphans() -> Result<Cgroup> {
    Cgroup::create(groups::sessions().join(ORPHANS)).context("making a session for it")
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.let_go();
    }
}
