//! The root that the initramfs itself carries.

use crate::report;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::hash::Hasher;
use std::io::{Read, Seek};
use std::time::Instant;
use twox_hash::XxHash64;

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
    let sum = sum(&mut file).context("reading the root file system")?;
    ensure!(
        sum == checksum,
        "the root file system is damaged: its checksum is {sum} and should be {checksum}"
    );
    report::say(&format!("the root file system is whole ({} ms)", started.elapsed().as_millis()));
    file.rewind().context("reading the root file system")?;
    Ok(file)
}

fn sum(from: &mut impl Read) -> std::io::Result<String> {
    let mut hash = XxHash64::with_seed(0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(format!("{:016x}", hash.finish())),
            got => hash.write(&buffer[..got]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_changes_the_sum() {
        let mut bytes = vec![5; 600_000];
        let before = sum(&mut &bytes[..]).unwrap();
        assert_eq!(sum(&mut &bytes[..]).unwrap(), before);
        bytes[300_000] ^= 1;
        assert_ne!(sum(&mut &bytes[..]).unwrap(), before);
    }
}
