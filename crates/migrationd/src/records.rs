//! The records of processes that move or are away ([`home::Record`]), one file each, as a restarted daemon finds them.
//!
//! A file is replaced whole: written beside, brought to the medium, then renamed. So there is the old record or the new
//! one at any moment, and a write that fails (no space) leaves the old. `/run` is memory, as are the processes: what a
//! power cut takes, it takes together.

use anyhow::{Context, Result};
use brant_migration::frame::{HEADER, Header, seal};
use brant_migration::session::home;
use brant_types::migration::ProcessView;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the records lie; only root may look, for they hold registers and text of processes.
pub const RECORDS: &str = "/run/brant/records";

/// All that a restarted daemon needs to know of one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it was decided to run it.
    pub record: home::Record,
    /// When the task at home was started, in the kernel's ticks: another task may have its number by now.
    pub started: u64,
    /// What was shown of it; names its process id.
    pub view: ProcessView,
}

/// A folder of records.
#[derive(Debug, Clone)]
pub struct Records(PathBuf);

impl Records {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .context("making the folder of records")?;
        Ok(Self(folder))
    }

    /// Makes this the record of its process, durably and at once.
    ///
    /// # Errors
    /// The record before stands.
    pub fn write(&self, entry: &Entry) -> Result<()> {
        let body = postcard::to_allocvec(entry).context("encoding a record")?;
        let beside = self.0.join(format!(".{}", entry.view.pid));
        let written = write_durably(&beside, &seal(&body).context("framing a record")?);
        written
            .and_then(|()| fs::rename(&beside, self.path(entry.view.pid)).context("replacing a record"))
            .inspect_err(|_| {
            let _never_made = fs::remove_file(&beside);
        })?;
        self.settle()
    }

    /// Removes the record of a process, durably; one that is not there is no error.
    ///
    /// # Errors
    /// The record may still be there.
    pub fn remove(&self, pid: i32) -> Result<()> {
        match fs::remove_file(self.path(pid)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing a record")
            }
            _ => self.settle(),
        }
    }

    /// All records, for a daemon that starts. What was left half written is removed; a record that cannot be read is
    /// left for people to look at, and said to be so.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn all(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.0).context("listing the records")? {
            let path = file.context("listing the records")?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                fs::remove_file(&path).context("removing half a record")?;
                continue;
            }
            match read(&path) {
                Ok(entry) => entries.push(entry),
                Err(error) => tracing::error!(path = %path.display(), "a record cannot be read: {error:#}"),
            }
        }
        entries.sort_by_key(|entry| entry.view.pid);
        Ok(entries)
    }

    fn path(&self, pid: i32) -> PathBuf {
        self.0.join(pid.to_string())
    }

    /// Brings the names to the medium.
    fn settle(&self) -> Result<()> {
        File::open(&self.0).and_then(|folder| folder.sync_all()).context("writing the folder of records")
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = File::options();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(path).context("making a record")?;
    file.write_all(bytes).and_then(|()| file.sync_all()).context("writing a record")
}

fn read(path: &Path) -> Result<Entry> {
    let bytes = fs::read(path).context("reading a record")?;
    let (header, body) = bytes.split_first_chunk::<HEADER>().context("it is too short")?;
    let body = Header::read(header).and_then(|header| header.open(body.to_vec())).context("unframing it")?;
    postcard::from_bytes(body.bytes()).context("decoding it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_migration::protocol::SessionId;
    use brant_migration::session::home::{Record, Saved, Stay};
    use brant_types::migration::ProcessState;
    use brant_types::node::NodeId;

    fn entry(pid: i32, session: u64) -> Entry {
        let stay = Stay { session: SessionId(session), node: NodeId::from([1; 8]) };
        let view = ProcessView {
            pid,
            comm: "job".to_owned(),
            args: "job 1".to_owned(),
            user: "a".to_owned(),
            uid: 1000,
            node: "n".to_owned(),
            home: "h".to_owned(),
            state: ProcessState::Moving,
            cpu_seconds_home: 1.5,
            cpu_seconds_away: 0.0,
            moves: Vec::new(),
        };
        Entry { record: Record::Leaving { stay, saved: Saved(vec![1, 2]) }, started: 77, view }
    }

    #[test]
    fn a_restarted_daemon_finds_the_newest_record_of_each_process() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path().join("records")).unwrap();
        for written in [entry(7, 1), entry(3, 2), entry(7, 3), entry(9, 4)] {
            records.write(&written).unwrap();
        }
        records.remove(9).unwrap();
        records.remove(9).unwrap();
        assert_eq!(records.all().unwrap(), [entry(3, 2), entry(7, 3)]);
    }

    #[test]
    fn half_a_record_is_removed_and_a_damaged_one_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        records.write(&entry(7, 1)).unwrap();
        fs::write(folder.path().join(".7"), "half").unwrap();
        fs::write(folder.path().join("8"), "nonsense that is long enough").unwrap();
        assert_eq!(records.all().unwrap(), [entry(7, 1)]);
        assert!(!folder.path().join(".7").exists());
    }

    #[test]
    fn a_record_that_cannot_be_replaced_stands() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        records.write(&entry(7, 1)).unwrap();
        // What is written beside cannot be made where a folder is.
        fs::create_dir(folder.path().join(".7")).unwrap();
        assert!(records.write(&entry(7, 2)).is_err());
        fs::remove_dir(folder.path().join(".7")).unwrap();
        assert_eq!(records.all().unwrap(), [entry(7, 1)]);
    }
}
