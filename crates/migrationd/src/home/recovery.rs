//! What a daemon does that starts anew: it goes on with the processes that an earlier one was moving, or had moved.

use super::frozen::{Frozen, LEADER};
use super::journal::{self, Entry};
use super::{Daemon, keeper};
use crate::groups;
use crate::inspect;
use anyhow::{Context, Result};
use brant_migration::protocol::SessionId;
use brant_migration::session::home::{Found, Record, Stay};
use brant_sys::cgroup::Cgroup;
use std::collections::BTreeSet;

/// Sees to every process that was moving or away.
pub fn recover(daemon: &Daemon) {
    let mut seen_to = BTreeSet::new();
    for entry in journal::read() {
        let (Record::Leaving { stay, .. } | Record::Away { stay }) = &entry.record;
        seen_to.insert(stay.session);
        let (pid, stay) = (entry.offer.pid, *stay);
        if let Err(error) = go_on(daemon, entry, stay) {
            tracing::error!(pid, "going on with a process that had moved: {error:#}");
        }
    }
    let suffix = format!(".{LEADER}");
    for name in Cgroup::at(groups::jobs()).children().unwrap_or_default() {
        let name = name.strip_suffix(&suffix).unwrap_or(&name);
        let Ok(session) = u64::from_str_radix(name, 16).map(SessionId) else { continue };
        if seen_to.insert(session) {
            // Nothing of it was changed, or there would be an entry.
            tracing::warn!(%session, "letting a process go on that a move had left frozen");
            match Frozen::found(0, session) {
                Ok(frozen) => frozen.release(),
                Err(error) => tracing::error!("letting a process go on: {error:#}"),
            }
        }
    }
}

fn go_on(daemon: &Daemon, entry: Entry, stay: Stay) -> Result<()> {
    let frozen = Frozen::found(entry.offer.pid, stay.session).context("looking at it")?;
    let found = look(&entry);
    if found == Found::Deputy {
        // It was given away with its descendants; they must not run here as well.
        frozen.end_descendants();
        frozen.thaw_leader_if_apart()?;
    }
    tracing::warn!(pid = entry.offer.pid, ?found, "going on with a process that was moving, or away");
    keeper::find(daemon, entry, found, frozen)
}

/// What is left of the task. One that a signal had stopped is not its deputy yet, but nothing else any more.
fn look(entry: &Entry) -> Found {
    let Entry { deputy, offer, .. } = entry;
    if *deputy != offer.pid {
        let same = inspect::is_deputy(*deputy) && inspect::started(*deputy) == Some(entry.deputy_started);
        return if same { Found::Deputy } else { Found::Nothing };
    }
    let same = inspect::started(offer.pid) == Some(entry.started);
    if !same || inspect::has_ended(offer.pid) {
        return Found::Nothing;
    }
    let stands =
        inspect::is_deputy(offer.pid) || (entry.stopped && matches!(entry.record, Record::Away { .. }));
    if stands { Found::Deputy } else { Found::Frozen }
}
