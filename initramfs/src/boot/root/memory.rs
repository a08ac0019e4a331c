//! `toram`: the root is copied into memory first, so that the medium can be taken out and used for the next PC.

use super::medium;
use crate::report;
use anyhow::{Context, Result};
use brant_types::meminfo;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{Read, Seek, Write};

/// What the node needs besides, bytes.
const FOR_THE_NODE: u64 = 256 << 20;
const PIECE: usize = 1 << 20;

/// Copies the file, says how far it is, and lets the medium go. Where there is too little memory the file stays where it
/// is, and the medium with it.
pub(super) fn copy(from: File, length: u64) -> Result<File> {
    let free = free_memory();
    if free < length + FOR_THE_NODE {
        report::complain(&format!(
            "not copied to memory: {} MB are free and {} MB are needed; the medium has to stay in",
            free / 1_000_000,
            (length + FOR_THE_NODE) / 1_000_000
        ));
        return Ok(from);
    }
    let (to, _) = fill(&from, length).context("copying the root to memory")?;
    drop(from);
    medium::let_go();
    report::say("the medium can be taken out now");
    Ok(to)
}

/// A file in memory with what comes from there, of which no more is taken than this; gives the number of bytes as well.
pub(super) fn fill(from: impl Read, most: u64) -> Result<(File, u64)> {
    let mut to =
        File::from(memfd_create("brant-root", MemfdFlags::CLOEXEC).context("making a file in memory")?);
    let mut from = from.take(most);
    let (mut buffer, mut done, mut said) = (vec![0; PIECE], 0_u64, 0);
    loop {
        let got = from.read(&mut buffer).context("reading the root")?;
        if got == 0 {
            break;
        }
        to.write_all(&buffer[..got]).context("writing to memory")?;
        done += got as u64;
        let tenths = done * 10 / most.max(1);
        if tenths > said {
            report::say(&format!("copying to memory: {} %", tenths * 10));
            said = tenths;
        }
    }
    to.rewind().context("writing to memory")?;
    Ok((to, done))
}

/// What there is for the root and the node, bytes.
pub(super) fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    meminfo::field(&text, "MemAvailable").unwrap_or(0) << 10
}
