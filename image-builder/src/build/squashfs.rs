//! The root as one compressed file.

use super::root::SealedRoot;
use crate::job::Job;
use anyhow::Context as _;
use std::path::PathBuf;

/// Good enough for every day; the highest levels take minutes for a tenth of the size.
const LEVEL: &str = "9";

/// A root as one compressed file.
#[derive(Debug)]
pub(crate) struct Squashfs {
    /// Where it is.
    pub file: PathBuf,
}

/// Packs the root. Owners, extended attributes and the table for NFS export (which is on unless `-no-exports` is
/// said) are kept.
///
/// # Errors
/// mksquashfs fails, mostly for a full disk.
pub(crate) fn make(root: &SealedRoot, file: PathBuf, date: u64) -> anyhow::Result<Squashfs> {
    Job::new("mksquashfs")
        .env("SOURCE_DATE_EPOCH", date.to_string())
        .arg(root.path(""))
        .arg(&file)
        .args([
            "-comp",
            "zstd",
            "-Xcompression-level",
            LEVEL,
            "-b",
            "256K",
            "-noappend",
            "-no-progress",
            "-quiet",
        ])
        .run()
        .context("packing the root")?;
    Ok(Squashfs { file })
}
