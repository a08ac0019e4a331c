//! The record of a move, always at home: what a process was, and whether it was given away. A daemon that starts
//! reads it.
//!
//! ```text
//! (none) ──redirecting──▶ Redirecting(what it was) ──commit──▶ Committed(where) ──▶ … ──▶ (none)
//! ```
//!
//! Each record replaces the one before as a whole, by a rename.

use super::takeover::Was;
use anyhow::{Context, Result};
use brant_migration::protocol::SessionId;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only root may look: registers of processes lie here.
const JOURNAL: &str = "/run/brant/journal";
const REDIRECTING: &[u8] = b"redirecting\n";
const COMMITTED: &[u8] = b"committed\n";

/// The record of one process; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
}

/// What a record says.
pub(super) enum Record {
    /// The process may have been redirected, and was this before. It was not given away.
    Redirecting(Was),
    /// It was given away.
    Committed,
}

impl Journal {
    /// Writes what the process is, before anything of it is changed.
    pub(super) fn redirecting(session: SessionId, was: &Was) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(JOURNAL)
            .context("making the journal's folder")?;
        let journal = Self { path: path(&session.to_string()) };
        journal.replace(&[REDIRECTING, &was.to_bytes()].concat())?;
        Ok(journal)
    }

    /// Writes that the process is given away: from here on only this node may run it.
    pub(super) fn commit(&self, pid: i32, to: &str) -> Result<()> {
        self.replace(&[COMMITTED, format!("process {pid} to {to}\n").as_bytes()].concat())
    }

    fn replace(&self, record: &[u8]) -> Result<()> {
        let new = self.path.with_extension("new");
        let mut options = std::fs::File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .context("opening the journal")?;
        file.write_all(record).and_then(|()| file.sync_all()).context("writing the journal")?;
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

/// What the journal says of a session; nothing when it never came so far.
pub(super) fn read(session: &str) -> Option<Record> {
    let text = std::fs::read(path(session)).ok()?;
    if text.starts_with(COMMITTED) {
        return Some(Record::Committed);
    }
    text.strip_prefix(REDIRECTING).and_then(Was::from_bytes).map(Record::Redirecting)
}

/// Forgets everything, once it was acted on.
pub(super) fn forget_all() {
    match std::fs::remove_dir_all(JOURNAL) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "removing the journal of an earlier daemon");
        }
        _ => {}
    }
}

fn path(session: &str) -> PathBuf {
    Path::new(JOURNAL).join(session)
}
