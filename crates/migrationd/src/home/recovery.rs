//! What a daemon does that finds processes which an earlier one left frozen.
//!
//! | the journal says | what is done |
//! |---|---|
//! | nothing | nothing of it was changed: it goes on |
//! | redirecting | it is put back and goes on |
//! | committed, or it is its deputy already | it runs elsewhere: its descendants here end |

use super::frozen::{LEADER, SOON};
use super::journal::{self, Record};
use crate::inspect::{self, DEPUTY, JOBS, SESSIONS};
use anyhow::{Context, Result};
use brant_sys::cgroup::Cgroup;
use std::collections::BTreeSet;
use std::path::Path;

/// The session of those that have no ancestor in one.
const ORPHANS: &str = "orphans";

/// Sees to every process that a move has left frozen.
pub fn recover() {
    let jobs = Cgroup::at(JOBS);
    let suffix = format!(".{LEADER}");
    let names = jobs.children().unwrap_or_default();
    let sessions: BTreeSet<&str> =
        names.iter().map(|name| name.strip_suffix(&suffix).unwrap_or(name)).collect();
    for session in sessions {
        let tree = jobs.child(session);
        let leader = jobs.child(&format!("{session}{suffix}"));
        if let Err(error) = recover_one(session, &tree, &leader) {
            tracing::error!(session, "seeing to a process that a move had left frozen: {error:#}");
        }
    }
    journal::forget_all();
}

fn recover_one(session: &str, tree: &Cgroup, leader: &Cgroup) -> Result<()> {
    match journal::read(session) {
        record if is_deputy(leader) || matches!(record, Some(Record::Committed)) => {
            tracing::warn!(session, "a process was given away when the daemon ended");
            if tree.path().exists() {
                tree.kill().context("ending what runs elsewhere")?;
            }
        }
        Some(Record::Redirecting(was)) => {
            tracing::warn!(session, "putting a process back that was about to leave");
            was.put_back()?;
        }
        _ => tracing::warn!(session, "letting a process go on that a move had left frozen"),
    }
    for group in [leader, tree].into_iter().filter(|group| group.path().exists()) {
        // Back to its session as long as it cannot run away, so that it can move again.
        for pid in group.processes().context("listing its control group")? {
            session_of(pid)?.add(pid).context("putting a process back into its session")?;
        }
        group.thaw(SOON).context("thawing it")?;
        group.wait_empty(SOON).and_then(|()| group.remove()).context("removing its control group")?;
    }
    Ok(())
}

/// The session of its nearest ancestor that is in one.
fn session_of(pid: i32) -> Result<Cgroup> {
    match inspect::ancestors(pid).into_iter().find_map(inspect::session_group) {
        Some(session) => Ok(session),
        None => Cgroup::create(Path::new(SESSIONS).join(ORPHANS)).context("making a session for it"),
    }
}

fn is_deputy(leader: &Cgroup) -> bool {
    let members = leader.processes().unwrap_or_default();
    members
        .iter()
        .any(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == Path::new(DEPUTY)))
}
