//! The root that the initramfs itself carries.

use crate::boot::checksum;
use crate::report;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Seek;
use std::time::Instant;

/// Its file, which stays as long as the root is mounted.
pub(in crate::boot) const SQUASHFS: &str = "/root.squashfs";

/// Opens it when it is whole: a bit that a stick or the memory has lost would show as a strange crash much later.
pub(super) fn open(size: u64, checksum: &str) -> Result<File> {
    let opening = "opening the root file system in the initramfs (was the image loaded completely?)";
    let mut file = File::open(SQUASHFS).context(opening)?;
    let found = file.metadata().context(opening)?.len();
    ensure!(
        found == size,
        "the root file system has {found} bytes and should have {size}: the image was not loaded completely"
    );
    let started = Instant::now();
    let (sum, _all_of_it) = checksum::of(&mut file).context("reading the root file system")?;
    let sum = format!("{sum:016x}");
    ensure!(
        sum == checksum,
        "the root file system is damaged: its checksum is {sum} and should be {checksum}"
    );
    report::say(&format!("the root file system is whole ({} ms)", started.elapsed().as_millis()));
    file.rewind().context("reading the root file system")?;
    Ok(file)
}
