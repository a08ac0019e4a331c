//! What becomes of the processes in here, and of our own helpers.

use super::{Capsule, Stage};
use crate::members;
use crate::restore;
use crate::root;
use anyhow::{Result, bail};
use brant_migration::protocol::{End, FromCapsule, FromProcess};
use brant_migrationd::criu;
use brant_sys::child::Running;
use brant_sys::process::{Change, ChildChange};
use std::path::Path;

impl Capsule {
    /// Processes of our own in here.
    pub(super) fn helpers(&self) -> Vec<i32> {
        let ids = [Some(self.criu.id()), self.filler.as_ref().map(Running::id)];
        ids.into_iter().flatten().filter_map(|id| i32::try_from(id).ok()).collect()
    }

    /// Notes what became of a child.
    pub(super) fn note(&mut self, change: ChildChange) -> Result<()> {
        if i64::from(change.pid) == i64::from(self.criu.id()) {
            return self.note_criu(change.change);
        }
        if self.filler.as_ref().is_some_and(|filler| i64::from(change.pid) == i64::from(filler.id())) {
            return self.note_filler(change.change);
        }
        if change.pid != self.pid || self.end.is_some() {
            return Ok(());
        }
        let end = match change.change {
            Change::Stopped(signal) => {
                self.is_stopped = true;
                if !std::mem::replace(&mut self.told.stopped, true) {
                    self.words.say(FromProcess::Stopped(signal));
                }
                return Ok(());
            }
            Change::Continued => {
                self.is_stopped = false;
                return Ok(());
            }
            Change::Exited(status) => End::Exited(status),
            Change::Killed(signal) => End::Killed(signal),
        };
        if !matches!(self.stage, Stage::Running | Stage::Releasing) {
            let last = criu::errors(&Path::new(root::IMAGES).join("restore.log"));
            bail!("the restored process ended before it was let go; CRIU says: {last}")
        }
        self.end = Some(end);
        self.look_for_survivors(true);
        Ok(())
    }

    fn note_criu(&mut self, change: Change) -> Result<()> {
        match (change, &self.stage) {
            (Change::Exited(0), Stage::Releasing) => self.begin_to_run(),
            (Change::Exited(0), Stage::Restoring | Stage::Held) => bail!("CRIU ended without waiting"),
            (Change::Stopped(_) | Change::Continued, _) => Ok(()),
            (change, Stage::Restoring | Stage::Held | Stage::Releasing) => {
                let last = criu::errors(&Path::new(root::IMAGES).join("restore.log"));
                bail!("CRIU did not restore it ({change:?}): {last}")
            }
            // It has done its work.
            _ => Ok(()),
        }
    }

    /// CRIU has let it go.
    pub(super) fn begin_to_run(&mut self) -> Result<()> {
        if !matches!(self.stage, Stage::Releasing) {
            return Ok(());
        }
        self.stage = Stage::Running;
        self.group = members::group_of(self.pid).unwrap_or(self.pid);
        self.control.say(&FromCapsule::Runs)?;
        if self.filler.is_none() {
            self.control.say(&FromCapsule::Filled)?;
        }
        // It may have ended before CRIU said so.
        self.look_for_survivors(true);
        Ok(())
    }

    /// Notes that the memory is all there, or never will be.
    fn note_filler(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Stopped(_) | Change::Continued => Ok(()),
            Change::Exited(0) if matches!(self.stage, Stage::Running | Stage::Releasing) => {
                self.filler = None;
                restore::make_huge(self.pid);
                self.control.say(&FromCapsule::Filled)
            }
            // Nobody's memory is left to fill.
            _ if self.end.is_some() => {
                self.filler = None;
                self.control.say(&FromCapsule::Filled)
            }
            change => bail!("the process's memory cannot be filled any more: {change:?}"),
        }
    }

    /// Once the first process has ended: goes on for those it has left behind, or empties the streams.
    pub(super) fn look_for_survivors(&mut self, just_ended: bool) {
        let (Some(end), Stage::Running) = (self.end, &self.stage) else { return };
        if just_ended {
            self.tell_offsets();
        }
        if members::all(&self.helpers()).is_empty() {
            self.tell_offsets();
            // With nobody on the other side, the terminal comes to an end, too.
            self.terminal.let_go();
            self.stage = Stage::Emptying;
        } else if just_ended {
            self.words.say(FromProcess::LeaderEnded(end));
        }
    }

    /// Tells of shared files in which the process has come further.
    pub(super) fn tell_offsets(&mut self) {
        for (file, offset) in self.offsets.news() {
            self.words.say(FromProcess::Offset(file, offset));
        }
    }
}
