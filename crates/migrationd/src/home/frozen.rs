//! A process that stands still, in a control group of its own.

use crate::inspect::JOBS;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::SessionId;
use brant_sys::cgroup::Cgroup;
use std::path::Path;
use std::time::Duration;

/// How long the kernel may take to stop or start a process.
const SOON: Duration = Duration::from_secs(10);

/// A frozen process. Dropping it lets the process run on in the group where it was.
#[derive(Debug)]
pub(super) struct Frozen {
    pid: i32,
    group: Cgroup,
    session: Cgroup,
    over: bool,
}

impl Frozen {
    /// Puts the process in a group of its own and stops it there.
    pub(super) fn freeze(pid: i32, session: SessionId) -> Result<Self> {
        let Some(origin) = crate::inspect::session_group(pid) else {
            bail!("the process has left its session")
        };
        let group =
            Cgroup::create(Path::new(JOBS).join(session.to_string())).context("making a control group")?;
        let frozen = Self { pid, group, session: origin, over: false };
        frozen.group.add(pid).context("moving the process to a control group of its own")?;
        frozen.group.freeze(SOON).context("freezing the process")?;
        Ok(frozen)
    }

    /// The group's folder, for CRIU.
    pub(super) fn group(&self) -> &Path {
        self.group.path()
    }

    /// Lets it run, now as what it was made meanwhile, but keeps it in the group.
    pub(super) fn thaw(&self) -> Result<()> {
        self.group.thaw(SOON).context("thawing the process")
    }

    /// Stops it again.
    pub(super) fn freeze_again(&self) -> Result<()> {
        self.group.freeze(SOON).context("freezing the process again")
    }

    /// Puts what the process has become back into the session.
    pub(super) fn release(mut self) {
        self.let_go();
    }

    fn let_go(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        // Back to its session first, as long as it cannot run away; a session that has ended leaves it where it is.
        if let Err(error) = self.session.add(self.pid) {
            tracing::debug!("putting a process back into its session: {error:#}");
        }
        if let Err(error) = self.group.thaw(SOON) {
            tracing::error!("thawing a process: {error:#}");
        }
        if let Err(error) = self.group.remove() {
            tracing::debug!("removing a control group: {error:#}");
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Lets processes run again that an earlier daemon left frozen; none of them had been given away.
pub fn thaw_leftovers() {
    let jobs = Cgroup::at(JOBS);
    for name in jobs.children().unwrap_or_default() {
        let group = jobs.child(&name);
        tracing::warn!(group = %group.path().display(), "letting a process run that a move had left frozen");
        if let Err(error) = group.thaw(SOON) {
            tracing::error!("thawing a process: {error:#}");
        }
    }
}
