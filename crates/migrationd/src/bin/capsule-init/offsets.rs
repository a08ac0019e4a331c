//! How far the process has come in files whose offset others at home go on from, as in `for f in *; do job $f; done > out`.

use anyhow::{Context, Result};
use brant_migration::protocol::SharedFile;
use brant_sys::process::take_descriptor;
use rustix::fs::SeekFrom;
use std::os::fd::OwnedFd;

/// The process's open files of that kind, held here too: their offset is known after it has ended.
pub(crate) struct Offsets {
    files: Vec<SharedFile>,
    held: Vec<(OwnedFd, u64)>,
}

impl Offsets {
    /// Those of an offer.
    pub(crate) fn of(files: &[SharedFile]) -> Self {
        Self { files: files.to_vec(), held: Vec::new() }
    }

    /// Takes hold of them in the restored process, before it runs.
    pub(crate) fn take_hold(&mut self) -> Result<()> {
        for file in &self.files {
            let held = take_descriptor(file.pid, file.number).context("taking hold of a shared file")?;
            let offset = position(&held)?;
            self.held.push((held, offset));
        }
        Ok(())
    }

    /// Those that have changed since they were last told of.
    pub(crate) fn news(&mut self) -> Vec<(u16, u64)> {
        let mut news = Vec::new();
        for (number, (file, told)) in (0..).zip(&mut self.held) {
            if let Ok(offset) = position(file)
                && offset != *told
            {
                *told = offset;
                news.push((number, offset));
            }
        }
        news
    }
}

fn position(file: &OwnedFd) -> Result<u64> {
    rustix::fs::seek(file, SeekFrom::Current(0)).context("asking for the offset of a shared file")
}
