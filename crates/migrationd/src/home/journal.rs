//! What is on its way or away, for a daemon that starts anew: each process's record, the only decision on who may run it,
//! and what is needed to go on with it.
//!
//! Each entry replaces the one before as a whole, by a rename. It is removed when the process runs here again, or has
//! ended.

use anyhow::{Context, Result};
use brant_migration::protocol::{Hello, Offer};
use brant_migration::session::home::Record;
use brant_types::migration::ProcessView;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only root may look: registers of processes lie here.
const JOURNAL: &str = "/run/brant/journal";

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Who may run it.
    pub(super) record: Record,
    /// What was offered last.
    pub(super) offer: Offer,
    /// The task's own start, in clock ticks since boot: with its number, its identity.
    pub(super) started: u64,
    /// Whether a signal had stopped it when it left: then it becomes its deputy when it goes on.
    pub(super) stopped: bool,
    /// What its deputy is told.
    pub(super) hello: Hello,
    /// The process that stands for it; its number, unless others have gone on after its end.
    pub(super) deputy: i32,
    /// Its start.
    pub(super) deputy_started: u64,
    /// What is shown of it.
    pub(super) view: ProcessView,
}

/// Writes an entry, or replaces it.
///
/// # Errors
/// What the file system said; the entry before stands.
pub(super) fn write(entry: &Entry) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(JOURNAL)
        .context("making the journal's folder")?;
    let path = path(entry.offer.pid);
    let new = path.with_extension("new");
    let packed = postcard::to_allocvec(entry).context("writing an entry down")?;
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).context("opening the journal")?;
    file.write_all(&packed).and_then(|()| file.sync_all()).context("writing the journal")?;
    std::fs::rename(&new, &path).context("writing the journal")
}

/// Removes the entry of this process, if there is one.
///
/// # Errors
/// What the file system said; the entry stands.
pub(super) fn remove(pid: i32) -> Result<()> {
    match std::fs::remove_file(path(pid)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("removing an entry from the journal")
        }
        _ => Ok(()),
    }
}

/// All entries that can be read; what was only half written is not one.
pub(super) fn read() -> Vec<Entry> {
    let files = std::fs::read_dir(JOURNAL).into_iter().flatten().flatten().map(|file| file.path());
    let whole = files.filter(|path| path.extension().is_none());
    let entries = whole.filter_map(|path| {
        let packed = std::fs::read(&path).ok()?;
        let entry = postcard::from_bytes(&packed);
        entry.inspect_err(|error| tracing::error!(%error, path = %path.display(), "reading the journal")).ok()
    });
    entries.collect()
}

fn path(pid: i32) -> PathBuf {
    Path::new(JOURNAL).join(pid.to_string())
}
