//! The root as one compressed file.

use super::root::SealedRoot;
use crate::job::Job;
use anyhow::Context as _;
use std::path::PathBuf;

/// A root as one compressed file.
#[derive(Debug)]
pub(crate) struct Squashfs {
    /// Where it is.
    pub file: PathBuf,
}

/// Packs the root with this level of zstd. Owners, extended attributes and the table for NFS export (which is on unless `-no-exports` is
/// said) are kept.
///
/// # Errors
/// mksquashfs fails, mostly for a full disk.
pub(crate) fn make(root: &SealedRoot, level: u32, file: PathBuf, date: u64) -> anyhow::Result<Squashfs> {
    Job::new("mksquashfs")
        .env("SOURCE_DATE_EPOCH", date.to_string())
        .arg(root.path(""))
        .arg(&file)
        .args([
            "-comp",
            "zstd",
            "-Xcompression-level",
            &level.to_string(),
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
