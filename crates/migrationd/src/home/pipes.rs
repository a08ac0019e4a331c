//! What a process shares with those that stay, pipes and open files: copied while it is frozen, for its deputy to
//! carry.

use crate::inspect;
use anyhow::{Context, Result};
use brant_migration::obstacle::Migratable;
use brant_sys::process::take_descriptor;
use std::os::fd::OwnedFd;

/// Copies of the process's ends. Dropping it closes the copies; the process has its own.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// One end of each pipe, in the order of the offer's streams.
    pub(super) ends: Vec<OwnedFd>,
    /// Open files whose offset others go on from, in the order of the offer.
    pub(super) files: Vec<OwnedFd>,
}

impl Pipes {
    /// Copies the ends from the frozen members that hold them.
    pub(super) fn copy(migratable: &Migratable) -> Result<Self> {
        let ends = migratable.streams.iter().map(|stream| {
            let (pid, number) = inspect::holder_of(&migratable.members, stream)
                .context("finding who holds a pipe of the process")?;
            take_descriptor(pid, number).context("copying a pipe of the process")
        });
        let files = migratable.shared_files.iter().map(|file| {
            take_descriptor(file.pid, file.number).context("copying a shared file of the process")
        });
        Ok(Self { ends: ends.collect::<Result<_>>()?, files: files.collect::<Result<_>>()? })
    }
}
