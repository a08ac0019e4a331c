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
    let copying = "copying the root to memory";
    let mut to = File::from(memfd_create("brant-root", MemfdFlags::CLOEXEC).context(copying)?);
    let (mut buffer, mut done, mut said) = (vec![0; PIECE], 0_u64, 0);
    loop {
        let got = (&from).read(&mut buffer).context("reading the medium")?;
        if got == 0 {
            break;
        }
        to.write_all(&buffer[..got]).context(copying)?;
        done += got as u64;
        let tenths = done * 10 / length.max(1);
        if tenths > said {
            report::say(&format!("copying to memory: {} %", tenths * 10));
            said = tenths;
        }
    }
    to.rewind().context(copying)?;
    drop(from);
    medium::let_go();
    report::say("the medium can be taken out now");
    Ok(to)
}

fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    meminfo::field(&text, "MemAvailable").unwrap_or(0) << 10
}
