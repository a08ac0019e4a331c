//! The decision record of a move, always at home: whether a process was given away.

use anyhow::{Context, Result};
use brant_migration::protocol::SessionId;
use std::io::Write;
use std::path::{Path, PathBuf};

const JOURNAL: &str = "/run/brant/journal";

/// The record of one move; it is removed when the process has come to its end.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
}

impl Journal {
    /// Writes that the process is given away. From here on only the target may run it.
    pub(super) fn commit(session: SessionId, pid: i32, to: &str) -> Result<Self> {
        std::fs::create_dir_all(JOURNAL).context("making the journal's folder")?;
        let journal = Self { path: Path::new(JOURNAL).join(session.to_string()) };
        journal.moved_on(session, pid, to)?;
        Ok(journal)
    }

    /// Writes that from here on only this node may run it.
    pub(super) fn moved_on(&self, session: SessionId, pid: i32, to: &str) -> Result<()> {
        let new = self.path.with_extension("new");
        let mut file = std::fs::File::create(&new).context("opening the journal")?;
        writeln!(file, "committed session={session} pid={pid} to={to}").context("writing the journal")?;
        file.sync_all().context("writing the journal")?;
        std::fs::rename(&new, &self.path).context("writing the journal")
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "removing a journal entry");
        }
    }
}
