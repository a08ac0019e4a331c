//! The root as one file: where it travels, and how a node will know that it is whole.

use super::root::SealedRoot;
use super::squashfs::Squashfs;
use super::verity;
use crate::profile::RootPlace;
use anyhow::Context as _;
use brant_types::boot::RootFacts;
use std::fs::File;
use std::hash::Hasher;
use std::io::Read;
use std::path::PathBuf;
use twox_hash::XxHash64;

/// The root, packed and described.
#[derive(Debug)]
pub(crate) struct CarriedRoot {
    /// The packed root, with what belongs to it.
    pub file: PathBuf,
    /// What the initramfs says of it.
    pub facts: RootFacts,
}

impl CarriedRoot {
    /// Describes a root that goes to this place, and appends to it what it needs there.
    ///
    /// # Errors
    /// The file cannot be read or written, or a signal asked to stop.
    pub(crate) fn prepare(squashfs: Squashfs, place: RootPlace, root: &SealedRoot) -> anyhow::Result<Self> {
        let file = squashfs.file;
        let image_id = &root.facts().image_id;
        let facts = match place {
            RootPlace::Initramfs => {
                let (size, checksum) =
                    checksum(&file).with_context(|| format!("reading `{}`", file.display()))?;
                RootFacts::Initramfs { size, checksum }
            }
            RootPlace::Medium => RootFacts::Medium {
                verity: verity::append(&file, image_id.as_bytes())?,
                file: format!("/brant/{image_id}.root"),
            },
        };
        Ok(Self { file, facts })
    }
}

fn checksum(path: &std::path::Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = XxHash64::with_seed(0);
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, format!("{:016x}", hash.finish()))),
            got => {
                hash.write(&buffer[..got]);
                size += got as u64;
            }
        }
    }
}
